package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/engine/native"
	"github.com/jeantrail/jeantrail-ai/server"
)

func newConfigCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "See the settings in force, and take up changed ones", Args: args(cobra.NoArgs)}
	cmd.AddCommand(o.jsonFlag(&cobra.Command{
		Use: "show", Short: "Print each setting, its value and where that comes from", Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			home, err := homeDir(o.home)
			if err != nil {
				return err
			}
			config, err := loadConfig(home, nil)
			if err != nil {
				return err
			}
			if o.json {
				return printJSON(cmd.OutOrStdout(), map[string]any{
					"home": home, "settings": config.values.Raw(), "sources": config.Sources, "notes": config.Notes,
				})
			}
			t := newTable(cmd.OutOrStdout(), "SETTING", "VALUE", "FROM")
			t.AppendRow(table.Row{"home", home, ""})
			keys := config.values.Keys()
			slices.Sort(keys)
			for _, key := range keys {
				t.AppendRow(table.Row{key, settingText(config.values.Get(key)), config.Sources[key]})
			}
			t.Render()
			for _, note := range config.Notes {
				fmt.Fprintln(cmd.ErrOrStderr(), "note:", note)
			}
			return nil
		},
	}), newConfigReloadCommand(o))
	return cmd
}

func newConfigReloadCommand(o *options) *cobra.Command {
	return o.jsonFlag(&cobra.Command{
		Use: "reload", Short: "Let the running instance read config.yaml again, without ending a job", Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			home, err := homeDir(o.home)
			if err != nil {
				return err
			}
			running, there, err := runningInstance(home)
			if err != nil {
				return err
			}
			if !there {
				return jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "no instance runs on %s", home).
					WithHint("The next one reads config.yaml when it starts: jeantrail-ai serve")
			}
			var raw json.RawMessage
			if err := newClient(running.BaseURL, running.Token).get(cmd.Context(), http.MethodPost, "/config/reload", &raw); err != nil {
				return err
			}
			if o.json {
				return printJSON(cmd.OutOrStdout(), raw)
			}
			return printReload(cmd.OutOrStdout(), raw)
		},
	})
}

// printReload says what was changed, or waits for another start.
func printReload(w io.Writer, raw json.RawMessage) error {
	var answer struct {
		Changes []string `json:"changes"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return fmt.Errorf("read the answer to /config/reload: %w", err)
	}
	if len(answer.Changes) == 0 {
		fmt.Fprintln(w, "nothing has changed")
	}
	for _, change := range answer.Changes {
		fmt.Fprintln(w, printable(change))
	}
	return nil
}

// settingText writes a value on one line.
func settingText(value any) string {
	if list, ok := value.([]string); ok {
		return strings.Join(list, ", ")
	}
	return strings.TrimSpace(fmt.Sprint(value))
}

// newOpenAPICommand needs neither a home nor an instance: the description is
// part of the program.
func newOpenAPICommand() *cobra.Command {
	return &cobra.Command{
		Use: "openapi", Short: "Print the OpenAPI 3.1 description of the interface", Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			doc, err := server.Describe(version)
			if err != nil {
				return err
			}
			return printJSON(cmd.OutOrStdout(), json.RawMessage(doc))
		},
	}
}

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version of this program and of what is built in", Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			b := native.BuildInfo()
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "jeantrail-ai %s\nllama.cpp %s (%s)\nbuilt for CPU %s, backends %s\n",
				version, b.Version, b.Tree, b.CPU, b.Backends)
			return err
		},
	}
}
