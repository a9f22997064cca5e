package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"
)

func newJobCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "job", Short: "See and stop jobs", Args: args(cobra.NoArgs)}
	cmd.AddCommand(newJobListCommand(o), newJobShowCommand(o), newJobWatchCommand(o), newJobCancelCommand(o))
	return cmd
}

// wireJob is a job as /job/{id} shows it.
type wireJob struct {
	ID        string `json:"job_id"`
	Kind      string `json:"kind"`
	Status    string `json:"status"`
	Model     string `json:"model"`
	UserID    string `json:"user_id"`
	CreatedAt string `json:"created_at"`
	Cost      *struct {
		USD string `json:"usd"`
	} `json:"cost"`
	Usage *struct {
		Prompt     int `json:"prompt_tokens"`
		Completion int `json:"completion_tokens"`
	} `json:"usage"`
}

func newJobListCommand(o *options) *cobra.Command {
	var limit int
	var status, user string
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List jobs, newest first", Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			query := url.Values{"limit": {strconv.Itoa(limit)}}
			if status != "" {
				query.Set("status", status)
			}
			if user != "" {
				query.Set("user_id", user)
			}
			return withRecords(cmd.Context(), o, func(s *Session) error {
				var page struct {
					Jobs []json.RawMessage `json:"jobs"`
				}
				if err := s.get(cmd.Context(), http.MethodGet, "/jobs?"+query.Encode(), &page); err != nil {
					return err
				}
				if o.json {
					return printJSON(cmd.OutOrStdout(), page.Jobs)
				}
				return printJobs(cmd, page.Jobs)
			})
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 20, "the most jobs to list")
	cmd.Flags().StringVar(&status, "status", "", "only jobs in this state")
	cmd.Flags().StringVar(&user, "user", "", "only jobs of this user")
	return o.jsonFlag(cmd)
}

func printJobs(cmd *cobra.Command, jobs []json.RawMessage) error {
	t := newTable(cmd.OutOrStdout(), "JOB", "STATUS", "KIND", "MODEL", "USER", "TOKENS", "COST", "CREATED")
	for _, raw := range jobs {
		var j wireJob
		if err := json.Unmarshal(raw, &j); err != nil {
			return fmt.Errorf("read job: %w", err)
		}
		tokens, cost := "", ""
		if j.Usage != nil {
			tokens = fmt.Sprintf("%d+%d", j.Usage.Prompt, j.Usage.Completion)
		}
		if j.Cost != nil {
			cost = "$" + j.Cost.USD
		}
		t.AppendRow(table.Row{j.ID, j.Status, j.Kind, j.Model, j.UserID, tokens, cost, j.CreatedAt})
	}
	t.Render()
	return nil
}

func newJobShowCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "show JOB", Short: "Show a job with its result, as JSON", Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, a []string) error {
			return withRecords(cmd.Context(), o, func(s *Session) error {
				var raw json.RawMessage
				if err := s.get(cmd.Context(), http.MethodGet, "/job/"+url.PathEscape(a[0]), &raw); err != nil {
					return err
				}
				return printJSON(cmd.OutOrStdout(), raw)
			})
		},
	}
}

func newJobWatchCommand(o *options) *cobra.Command {
	return o.jsonFlag(&cobra.Command{
		Use: "watch JOB", Short: "Follow a job from its beginning to its end", Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, a []string) error {
			return withRecords(cmd.Context(), o, func(s *Session) error {
				p := &printer{out: cmd.OutOrStdout(), err: cmd.ErrOrStderr(), json: o.json}
				if err := s.Watch(cmd.Context(), a[0], p.event); err != nil {
					return err
				}
				return p.end()
			})
		},
	})
}

func newJobCancelCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "cancel JOB", Short: "Stop a job; what it produced is kept and charged", Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, a []string) error {
			return withRecords(cmd.Context(), o, func(s *Session) error {
				var j wireJob
				if err := s.get(cmd.Context(), http.MethodDelete, "/job/"+url.PathEscape(a[0]), &j); err != nil {
					return err
				}
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", j.ID, j.Status)
				return err
			})
		},
	}
}
