package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"
)

func newJobCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "job", Short: "See and stop jobs, and get the files that they made", Args: args(cobra.NoArgs)}
	cmd.AddCommand(newJobListCommand(o), newJobShowCommand(o), newJobWatchCommand(o), newJobArtifactCommand(o), newJobCancelCommand(o))
	return cmd
}

// wireJob is a job as /job/{id} shows it.
type wireJob struct {
	ID         string `json:"job_id"`
	Kind       string `json:"kind"`
	Status     string `json:"status"`
	Model      string `json:"model"`
	UserID     string `json:"user_id"`
	Workflow   string `json:"workflow"` // of a stage
	Parent     string `json:"parent_id"`
	Stage      string `json:"stage"`
	CreatedAt  string `json:"created_at"`
	StartedAt  string `json:"started_at"`
	FinishedAt string `json:"finished_at"`
	Cost       *struct {
		USD string `json:"usd"`
	} `json:"cost"`
	Usage *struct {
		Prompt     int     `json:"prompt_tokens"`
		Completion int     `json:"completion_tokens"`
		Images     int     `json:"images"`
		AudioIn    float64 `json:"audio_input_seconds"`
		AudioOut   float64 `json:"audio_output_seconds"`
	} `json:"usage"`
	Result *wireAnswer `json:"result"`
	Error  *problem    `json:"error"`
}

// used says in a few words what the job consumed and made.
func (j *wireJob) used() string {
	if j.Usage == nil {
		return ""
	}
	var parts []string
	if j.Usage.Prompt+j.Usage.Completion > 0 {
		parts = append(parts, fmt.Sprintf("%d+%d tokens", j.Usage.Prompt, j.Usage.Completion))
	}
	switch n := j.Usage.Images; {
	case n == 1:
		parts = append(parts, "1 image")
	case n > 1:
		parts = append(parts, fmt.Sprintf("%d images", n))
	}
	if seconds := j.Usage.AudioIn + j.Usage.AudioOut; seconds > 0 {
		parts = append(parts, fmt.Sprintf("%.1f s", seconds))
	}
	return strings.Join(parts, ", ")
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
	t := newTable(cmd.OutOrStdout(), "JOB", "STATUS", "KIND", "MODEL", "USER", "USED", "COST", "CREATED")
	for _, raw := range jobs {
		var j wireJob
		if err := json.Unmarshal(raw, &j); err != nil {
			return fmt.Errorf("read job: %w", err)
		}
		cost := ""
		if j.Cost != nil {
			cost = "$" + j.Cost.USD
		}
		t.AppendRow(table.Row{j.ID, j.Status, j.Kind, j.Model, j.UserID, j.used(), cost, j.CreatedAt})
	}
	t.Render()
	return nil
}

func newJobShowCommand(o *options) *cobra.Command {
	return o.jsonFlag(&cobra.Command{
		Use: "show JOB", Short: "Show a job with its result, stages and files", Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, a []string) error {
			return showing(cmd, o, "/job/"+url.PathEscape(a[0]), printJob)
		},
	})
}

func printJob(w io.Writer, j wireJob) {
	t := newTable(w)
	t.AppendRows([]table.Row{{"job", j.ID}, {"kind", j.Kind}, {"status", j.Status}, {"model", orDash(&j.Model)}, {"user", printable(j.UserID)}})
	if j.Workflow != "" {
		t.AppendRow(table.Row{"stage of", fmt.Sprintf("%s of %s (%s)", j.Stage, j.Workflow, j.Parent)})
	}
	t.AppendRows([]table.Row{{"created", j.CreatedAt}, {"started", orDash(&j.StartedAt)}, {"finished", orDash(&j.FinishedAt)}})
	switch {
	case j.Result != nil && len(j.Result.Stages) > 0: // the job itself costs nothing
		t.AppendRow(table.Row{"cost", "$" + j.Result.Cost.USD + " for all stages"})
	case j.Cost != nil:
		t.AppendRow(table.Row{"cost", "$" + j.Cost.USD})
	}
	if j.Error != nil {
		t.AppendRow(table.Row{"problem", printable(j.Error.err().Error())})
	}
	t.Render()
	if j.Result == nil {
		return
	}
	if len(j.Result.Stages) > 0 {
		fmt.Fprintln(w)
		printStages(w, j.Result.Stages)
	}
	if len(j.Result.Artifacts) > 0 {
		fmt.Fprintln(w)
		files := newTable(w, "FILE", "KIND", "TYPE", "SIZE", "ABOUT")
		for i := range j.Result.Artifacts {
			f := &j.Result.Artifacts[i]
			files.AppendRow(table.Row{f.Index, f.Kind, f.MediaType, humanBytes(f.Bytes), f.about()})
		}
		files.Render()
		fmt.Fprintf(w, "Get one: jeantrail-ai job artifact %s %d -o FILE\n", j.ID, j.Result.Artifacts[0].Index)
	}
	if j.Result.Text != "" {
		fmt.Fprintf(w, "\n%s\n", strings.TrimSuffix(j.Result.Text, "\n"))
	}
}

func newJobArtifactCommand(o *options) *cobra.Command {
	var to output
	cmd := &cobra.Command{
		Use: "artifact JOB N", Short: "Write a file that a job made", Args: args(cobra.ExactArgs(2)),
		Long: "Writes file N of a job, as \"job show\" lists them, to where -o says: a file, a folder, or - for standard\n" +
			"output. No file is written over without --force.",
		RunE: func(cmd *cobra.Command, a []string) error {
			index, err := strconv.Atoi(a[1])
			if err != nil || index < 0 {
				return errUsage{fmt.Errorf("%q is not the number of a file; they count from 0", a[1])}
			}
			if to.path == "-" && isTerminal(cmd.OutOrStdout()) {
				return errUsage{errors.New("the file is not written to a terminal; use -o FILE")}
			}
			if to.path != "-" {
				if err := to.check(1); err != nil {
					return err
				}
			}
			return withRecords(cmd.Context(), o, func(s *Session) error { return s.artifact(cmd, a[0], index, to) })
		},
	}
	to.stem = "artifact"
	cmd.Flags().StringVarP(&to.path, "output", "o", "", "file or folder to write to, - for standard output (default: this folder)")
	cmd.Flags().BoolVar(&to.force, "force", false, "write over a file that is there")
	return cmd
}

// artifact writes one file of a job.
func (s *Session) artifact(cmd *cobra.Command, job string, index int, to output) error {
	resp, err := s.do(cmd.Context(), http.MethodGet, artifactPath(job, index), nil, "*/*")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if to.path == "-" {
		if _, err := io.Copy(cmd.OutOrStdout(), resp.Body); err != nil {
			return fmt.Errorf("write the file: %w", err)
		}
		return nil
	}
	path := to.name(job, index, 1, resp.Header.Get("Content-Type"))
	bytes, err := keep(path, to.force, resp.Body)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s  %s\n", path, humanBytes(bytes))
	return err
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
