package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/jeantrail/jeantrail-ai/registry"
)

func newModelCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "model", Short: "See, check and add models", Args: args(cobra.NoArgs)}
	cmd.AddCommand(newModelListCommand(o), newModelShowCommand(o), newModelVerifyCommand(o), newModelImportCommand(o),
		newModelLoadCommand(o), newModelUnloadCommand(o), newModelPullCommand(o), newModelPullsCommand(o), newModelRecommendCommand(o), newModelRemoveCommand(o), newModelPruneCommand(o))
	return cmd
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
	t := newTable(w, "NAME", "STATUS", "SIZE", "PARAMETERS", "QUANTISATION", "CONTEXT", "MEMORY", "FITS", "NOTE")
	for _, raw := range models {
		var m wireModel
		if err := json.Unmarshal(raw, &m); err != nil {
			return fmt.Errorf("read model: %w", err)
		}
		note := m.Problem
		if note == "" {
			note = strings.Join(m.marks(), ", ")
		}
		t.AppendRow(table.Row{
			m.Name, m.Status, humanBytes(m.Bytes), humanCount(m.Parameters), m.Quantization, m.NCtx, humanBytes(m.MemoryBytes), m.Fit.word(), note,
		})
	}
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
		Long: "Checks a model and prints its SHA-256. Of a split model, which the file of its first part stands for, each\n" +
			"part has a sum, and the model that over these sums in order, each with a line feed behind it:\n\n" +
			"  sha256sum NAME-?????-of-00003.gguf | cut -c1-64 | sha256sum",
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
			sum, err := registry.HashModel(cmd.Context(), path, func(read, total int64) { bar.Set(read, total) })
			bar.Done()
			if err != nil {
				return err
			}
			return printVerified(cmd.OutOrStdout(), o.json, path, summary, sum)
		},
	})
}

// printVerified prints the sums of a sound model: of each part of a split one
// first, then of all.
func printVerified(w io.Writer, asJSON bool, path string, facts registry.Facts, sum registry.Sum) error {
	if asJSON {
		files := make([]map[string]any, len(sum.Files))
		for i, f := range sum.Files {
			files[i] = map[string]any{"path": f.Path, "bytes": f.Bytes, "sha256": f.SHA256}
		}
		return printJSON(w, map[string]any{
			"path": path, "sha256": sum.SHA256, "files": files, "architecture": facts.Architecture,
			"quantization": facts.Quantization, "parameters": facts.Parameters, "sound": true,
		})
	}
	for _, f := range sum.Files {
		if _, err := fmt.Fprintf(w, "%s  %s\n", f.SHA256, f.Path); err != nil {
			return err
		}
	}
	if n := len(sum.Files); n > 1 {
		if _, err := fmt.Fprintf(w, "%s  over the sums of the %d parts\n", sum.SHA256, n); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "sound: %s, %s, %s parameters\n", facts.Architecture, facts.Quantization, humanCount(facts.Parameters))
	return err
}

func newModelImportCommand(o *options) *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:   "import FILE.gguf",
		Short: "Check a model file and bring it into the home's models folder",
		Long: "Checks a GGUF file and puts it into the models folder: by a hard link if the file is on the same\n" +
			"file system, else by a copy. Of a split model give the first part: all of them come, or none. The model\n" +
			"is there for the next start; make it the default with\n" +
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
