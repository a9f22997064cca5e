package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/build/compose"
)

func newWorkerCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{
		Use: "worker", Short: "See, start and stop the servers for images and speech", Args: args(cobra.NoArgs),
		Long: "Workers are servers on this machine, in containers or not, that make images, write down speech and\n" +
			"speak. They are found at 127.0.0.1:8002, :8004 and :8005, at SDXL_URL, WHISPER_URL and COQUI_URL, or\n" +
			"where config.yaml says. \"up\" and \"down\" start and stop three of them with docker.",
	}
	cmd.AddCommand(newWorkerStatusCommand(o), newWorkerProbeCommand(o), newWorkerUpCommand(o), newWorkerDownCommand(o), newWorkerComposeCommand())
	return cmd
}

// wireWorker is a worker as /registry shows it.
type wireWorker struct {
	Name      string  `json:"name"`
	Kind      string  `json:"kind"`
	URL       string  `json:"url"`
	Dialect   string  `json:"dialect"`
	Speaks    string  `json:"speaks"`
	Model     string  `json:"model"`
	Version   string  `json:"version"`
	Status    string  `json:"status"`
	Problem   string  `json:"problem"`
	Optional  bool    `json:"optional"`
	LatencyMS float64 `json:"latency_ms"`
	ErrorRate float64 `json:"error_rate"`
	Running   int     `json:"running"`
	Queued    int     `json:"queued"`
	Limit     int     `json:"concurrency"`
}

// spoken is the dialect that a probe found, or the configured one.
func (w *wireWorker) spoken() string { return cmp.Or(w.Speaks, w.Dialect, "-") }

func newWorkerStatusCommand(o *options) *cobra.Command {
	return o.jsonFlag(&cobra.Command{
		Use: "status", Aliases: []string{"list", "ls"}, Short: "Show every worker and how it is", Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withWorkers(cmd.Context(), o, func(s *Session) error {
				workers, err := s.workers(cmd)
				if err != nil {
					return err
				}
				if o.json {
					return printJSON(cmd.OutOrStdout(), workers)
				}
				list := make([]wireWorker, len(workers))
				for i, raw := range workers {
					if err := json.Unmarshal(raw, &list[i]); err != nil {
						return fmt.Errorf("read worker: %w", err)
					}
				}
				printWorkers(cmd.OutOrStdout(), list)
				return nil
			})
		},
	})
}

// workers reads the registry. An instance that lives for this command has not
// looked at any worker yet: then each is probed.
func (s *Session) workers(cmd *cobra.Command) ([]json.RawMessage, error) {
	var registry struct {
		Workers []json.RawMessage `json:"workers"`
	}
	if err := s.get(cmd.Context(), http.MethodGet, "/registry", &registry); err != nil || s.own == nil {
		return registry.Workers, err
	}
	for i, raw := range registry.Workers {
		var w wireWorker
		if err := json.Unmarshal(raw, &w); err != nil {
			return nil, fmt.Errorf("read worker: %w", err)
		}
		if err := s.get(cmd.Context(), http.MethodPost, probePath(w.Name), &registry.Workers[i]); err != nil {
			return nil, err
		}
	}
	return registry.Workers, nil
}

func probePath(name string) string { return "/registry/" + url.PathEscape(name) + "/probe" }

func printWorkers(w io.Writer, list []wireWorker) {
	t := newTable(w, "WORKER", "KIND", "URL", "DIALECT", "STATUS", "LATENCY", "QUEUE", "ERRORS", "MODEL", "NOTE")
	for i := range list {
		v := &list[i]
		latency := "-"
		if v.LatencyMS > 0 {
			latency = fmt.Sprintf("%.0f ms", v.LatencyMS)
		}
		model := printable(v.Model)
		if v.Version != "" {
			model = strings.TrimSpace(model + " " + printable(v.Version))
		}
		t.AppendRow(table.Row{v.Name, v.Kind, orDash(&v.URL), v.spoken(), v.Status, latency, fmt.Sprintf("%d+%d", v.Running, v.Queued),
			fmt.Sprintf("%.0f %%", v.ErrorRate*100), orDash(&model), printable(firstLine(v.Problem))})
	}
	t.Render()
}

func newWorkerProbeCommand(o *options) *cobra.Command {
	return o.jsonFlag(&cobra.Command{
		Use: "probe WORKER", Short: "Look at a worker now; fails if it is not ready", Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, a []string) error {
			return withWorkers(cmd.Context(), o, func(s *Session) error {
				var raw json.RawMessage
				if err := s.get(cmd.Context(), http.MethodPost, probePath(a[0]), &raw); err != nil {
					return err
				}
				var w wireWorker
				if err := json.Unmarshal(raw, &w); err != nil {
					return fmt.Errorf("read worker: %w", err)
				}
				if o.json {
					if err := printJSON(cmd.OutOrStdout(), raw); err != nil {
						return err
					}
				} else {
					printWorkers(cmd.OutOrStdout(), []wireWorker{w})
				}
				return w.usable()
			})
		},
	})
}

// usable returns an error for a worker that would not take a request.
func (w *wireWorker) usable() error {
	switch jeantrail.WorkerStatus(w.Status) {
	case jeantrail.WorkerReady, jeantrail.WorkerDegraded:
		return nil
	}
	message := fmt.Sprintf("the worker %s is %s", w.Name, w.Status)
	if w.Problem != "" {
		message += ": " + w.Problem
	}
	return jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "%s", message).WithHint("See: jeantrail-ai worker status; start it with: jeantrail-ai worker up %s", w.Name)
}

// composed finds the workers that the compose file has, all if none is named.
func composed(names []string) ([]compose.Service, error) {
	all := compose.Services()
	if len(names) == 0 {
		return all, nil
	}
	var known []string
	for _, s := range all {
		known = append(known, s.Name)
	}
	var out []compose.Service
	for _, name := range names {
		i := slices.Index(known, name)
		if i < 0 {
			return nil, jeantrail.Errorf(jeantrail.CodeNotFound, "there is no container for a worker %q", name).
				WithHint("There are %s.", strings.Join(known, ", "))
		}
		if !slices.ContainsFunc(out, func(s compose.Service) bool { return s.Name == name }) {
			out = append(out, all[i])
		}
	}
	return out, nil
}

func newWorkerUpCommand(o *options) *cobra.Command {
	var gpu, wait bool
	cmd := &cobra.Command{
		Use: "up [WORKER…]", Short: "Start sdxl, whisper and coqui in containers",
		Long: "Starts workers with docker compose, on this machine only. The compose file is part of this program and\n" +
			"is written into the home, to compose/" + compose.FileName + "; what you add in compose/" + overrideName + "\n" +
			"is used too. The first start fetches the images, several gigabytes; the models of sdxl and whisper have\n" +
			"to be in the home already, under workers/.",
		Example: "  jeantrail-ai worker up --gpu sdxl\n  jeantrail-ai worker up whisper coqui --wait",
		RunE: func(cmd *cobra.Command, a []string) error {
			services, err := composed(a)
			if err != nil {
				return err
			}
			home, err := homeDir(o.home)
			if err != nil {
				return err
			}
			c, err := openContainers(cmd.Context(), home, cmd.ErrOrStderr(), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if err := c.up(cmd.Context(), services, gpu, wait); err != nil {
				return err
			}
			for _, s := range services {
				note := ""
				if gpu && s.GPU == "" {
					note = " (on the processor: there is no container of it for a card)"
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s http://127.0.0.1:%d%s\n", s.Name, s.Port, note)
			}
			fmt.Fprintln(cmd.ErrOrStderr(), "See when they are ready: jeantrail-ai worker status")
			return nil
		},
	}
	cmd.Flags().BoolVar(&gpu, "gpu", false, "use an NVIDIA card; needs the NVIDIA Container Toolkit")
	cmd.Flags().BoolVar(&wait, "wait", false, "return when they are healthy")
	return cmd
}

func newWorkerDownCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "down [WORKER…]", Short: "Stop and remove the containers; models stay",
		RunE: func(cmd *cobra.Command, a []string) error {
			services, err := composed(a)
			if err != nil {
				return err
			}
			if len(a) == 0 {
				services = nil // the network goes too
			}
			home, err := homeDir(o.home)
			if err != nil {
				return err
			}
			c, err := openContainers(cmd.Context(), home, cmd.ErrOrStderr(), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return c.down(cmd.Context(), services)
		},
	}
}

func newWorkerComposeCommand() *cobra.Command {
	return &cobra.Command{
		Use: "compose", Short: "Print the compose file", Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := cmd.OutOrStdout().Write(compose.File()); err != nil {
				return fmt.Errorf("print: %w", err)
			}
			return nil
		},
	}
}
