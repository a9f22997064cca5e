package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/jeantrail/jeantrail-ai/registry"
)

func newModelCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "model", Short: "See, check and add models", Args: args(cobra.NoArgs)}
	cmd.AddCommand(newModelListCommand(o), newModelShowCommand(o), newModelVerifyCommand(o), newModelImportCommand(o),
		newModelPullCommand(o), newModelRecommendCommand(o), newModelRemoveCommand(o), newModelPruneCommand(o))
	return cmd
}

// wireModel is a model as /models shows it.
type wireModel struct {
	Name         string   `json:"name"`
	Aliases      []string `json:"aliases"`
	Default      bool     `json:"default"`
	Status       string   `json:"status"`
	Problem      string   `json:"problem"`
	Path         string   `json:"path"`
	Bytes        int64    `json:"bytes"`
	Architecture string   `json:"architecture"`
	Quantization string   `json:"quantization"`
	Parameters   int64    `json:"parameters"`
	Layers       int      `json:"layers"`
	NCtxTrain    int      `json:"n_ctx_train"`
	NCtx         int      `json:"n_ctx"`
	MemoryBytes  int64    `json:"memory_bytes"`
}

func newModelListCommand(o *options) *cobra.Command {
	return o.jsonFlag(&cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the installed models", Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withRecords(cmd.Context(), o, func(s *Session) error {
				var raw struct {
					Models []json.RawMessage `json:"models"`
				}
				if err := s.get(cmd.Context(), http.MethodGet, "/models", &raw); err != nil {
					return err
				}
				if o.json {
					return printJSON(cmd.OutOrStdout(), raw.Models)
				}
				return printModels(cmd.OutOrStdout(), raw.Models)
			})
		},
	})
}

func printModels(w io.Writer, models []json.RawMessage) error {
	t := newTable(w, "NAME", "STATUS", "SIZE", "PARAMETERS", "QUANTISATION", "CONTEXT", "MEMORY", "NOTE")
	for _, raw := range models {
		var m wireModel
		if err := json.Unmarshal(raw, &m); err != nil {
			return fmt.Errorf("read model: %w", err)
		}
		note := m.Problem
		if m.Default && note == "" {
			note = "default"
		}
		t.AppendRow(table.Row{m.Name, m.Status, humanBytes(m.Bytes), humanCount(m.Parameters), m.Quantization, m.NCtx, humanBytes(m.MemoryBytes), note})
	}
	t.Render()
	return nil
}

func newModelShowCommand(o *options) *cobra.Command {
	return o.jsonFlag(&cobra.Command{
		Use: "show NAME", Short: "Show everything about one model", Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, a []string) error {
			return withRecords(cmd.Context(), o, func(s *Session) error {
				var raw json.RawMessage
				if err := s.get(cmd.Context(), http.MethodGet, "/models/"+url.PathEscape(a[0]), &raw); err != nil {
					return err
				}
				if o.json {
					return printJSON(cmd.OutOrStdout(), raw)
				}
				return printModel(cmd.OutOrStdout(), raw)
			})
		},
	})
}

func printModel(w io.Writer, raw json.RawMessage) error {
	var m wireModel
	if err := json.Unmarshal(raw, &m); err != nil {
		return fmt.Errorf("read model: %w", err)
	}
	t := newTable(w)
	rows := []table.Row{
		{"name", m.Name}, {"status", m.Status}, {"file", m.Path}, {"size", humanBytes(m.Bytes)},
		{"architecture", m.Architecture}, {"quantisation", m.Quantization}, {"parameters", humanCount(m.Parameters)},
		{"layers", m.Layers}, {"context", fmt.Sprintf("%d (trained with %d)", m.NCtx, m.NCtxTrain)},
		{"memory needed", humanBytes(m.MemoryBytes)},
	}
	if len(m.Aliases) > 0 {
		rows = append(rows, table.Row{"also answers to", fmt.Sprint(m.Aliases)})
	}
	if m.Problem != "" {
		rows = append(rows, table.Row{"problem", m.Problem})
	}
	t.AppendRows(rows)
	t.Render()
	return nil
}

// modelFile finds the file for a name or a path.
func modelFile(o *options, nameOrPath string) (string, error) {
	if filepath.Ext(nameOrPath) == ".gguf" {
		return nameOrPath, nil
	}
	reg, err := homeRegistry(o)
	if err != nil {
		return "", err
	}
	entry, err := reg.Resolve(nameOrPath)
	return entry.Path, err
}

// homeRegistry opens the registry of the home, whoever runs on it.
func homeRegistry(o *options) (*registry.Registry, error) {
	home, err := homeDir(o.home)
	if err != nil {
		return nil, err
	}
	config, err := loadConfig(home, nil)
	if err != nil {
		return nil, err
	}
	return newRegistry(config)
}

func newModelVerifyCommand(o *options) *cobra.Command {
	return o.jsonFlag(&cobra.Command{
		Use: "verify NAME|FILE.gguf", Short: "Check a model file and print its SHA-256", Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, a []string) error {
			path, err := modelFile(o, a[0])
			if err != nil {
				return err
			}
			summary, err := registry.Check(path)
			if err != nil {
				return err
			}
			bar := newProgress("hashing", true)
			sum, err := registry.Hash(cmd.Context(), path, func(read, total int64) { bar.Set(read, total) })
			bar.Done()
			if err != nil {
				return err
			}
			if o.json {
				return printJSON(cmd.OutOrStdout(), map[string]any{
					"path": path, "sha256": sum, "architecture": summary.Architecture,
					"quantization": summary.Quantization, "parameters": summary.Parameters, "sound": true,
				})
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s  %s\nsound: %s, %s, %s parameters\n",
				sum, path, summary.Architecture, summary.Quantization, humanCount(summary.Parameters))
			return err
		},
	})
}

func newModelImportCommand(o *options) *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:   "import FILE.gguf",
		Short: "Check a model file and bring it into the home's models folder",
		Long: "Checks a GGUF file and puts it into the models folder: by a hard link if the file is on the same\n" +
			"file system, else by a copy. The model is there for the next start; make it the default with\n" +
			"default_model in config.yaml or --model of serve.",
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, a []string) error {
			reg, err := homeRegistry(o)
			if err != nil {
				return err
			}
			bar := newProgress("copying", true)
			entry, err := reg.Import(cmd.Context(), a[0], name, bar.Set)
			bar.Done()
			if err != nil {
				return err
			}
			if o.json {
				return printJSON(cmd.OutOrStdout(), map[string]any{"name": entry.Name, "path": entry.Path})
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "imported %s as %s\nserve it with: jeantrail-ai serve --model %s\n", a[0], entry.Path, entry.Name)
			return err
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "name of the model (default: the file's)")
	return o.jsonFlag(cmd)
}
