package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"
)

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
	LoadedBytes  int64    `json:"loaded_bytes"`
	Pinned       bool     `json:"pinned"`
	Fit          *wireFit `json:"fit"`
}

// wireFit is how a model fits the machine.
type wireFit struct {
	Fits            bool    `json:"fits"`
	Reason          string  `json:"reason"`
	Hint            string  `json:"hint"`
	Note            string  `json:"note"`
	Weights         int64   `json:"weights_bytes"`
	Projector       int64   `json:"projector_bytes"`
	KV              int64   `json:"kv_bytes"`
	Compute         int64   `json:"compute_bytes"`
	VRAM            int64   `json:"vram_bytes"`
	UsableRAM       int64   `json:"usable_ram_bytes"`
	UsableVRAM      int64   `json:"usable_vram_bytes"`
	NCtx            int     `json:"n_ctx"`
	Slots           int     `json:"slots"`
	KVCells         int     `json:"kv_cells"`
	LargestNCtx     int     `json:"largest_n_ctx"`
	GPULayers       int     `json:"gpu_layers"`
	Layers          int     `json:"layers"`
	TokensPerSecond float64 `json:"tokens_per_second"`
	SpeedIsBound    bool    `json:"speed_is_bound"`
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
	status := m.Status
	if m.LoadedBytes > 0 {
		status += ", " + humanBytes(m.LoadedBytes) + " of memory"
	}
	rows := []table.Row{
		{"name", m.Name}, {"status", status}, {"file", m.Path}, {"size", humanBytes(m.Bytes)},
		{"architecture", m.Architecture}, {"quantisation", m.Quantization}, {"parameters", humanCount(m.Parameters)},
		{"layers", m.Layers}, {"context", fmt.Sprintf("%d (trained with %d)", m.NCtx, m.NCtxTrain)},
		{"memory needed", humanBytes(m.MemoryBytes)},
	}
	rows = append(rows, m.Fit.rows()...)
	if marks := m.marks(); len(marks) > 0 {
		rows = append(rows, table.Row{"marked as", strings.Join(marks, ", ")})
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

// marks are what sets the model apart from others.
func (m *wireModel) marks() []string {
	var marks []string
	if m.Default {
		marks = append(marks, "default")
	}
	if m.Pinned {
		marks = append(marks, "pinned")
	}
	return marks
}

// word says whether the model fits.
func (f *wireFit) word() string {
	switch {
	case f == nil:
		return "-"
	case f.Fits:
		return "yes"
	default:
		return "no"
	}
}

// rows are what there is to say about how the model fits.
func (f *wireFit) rows() []table.Row {
	if f == nil {
		return nil
	}
	parts := []string{"weights " + humanBytes(f.Weights), "KV cache " + humanBytes(f.KV), "buffers " + humanBytes(f.Compute)}
	if f.Projector > 0 {
		parts = append(parts, "projector "+humanBytes(f.Projector))
	}
	rows := []table.Row{
		{"of that", strings.Join(parts, ", ")},
		{"conversations", fmt.Sprintf("%d of up to %d tokens, %d tokens together", f.Slots, f.NCtx, f.KVCells)},
		{"largest context", fmt.Sprintf("%d", f.LargestNCtx)},
		{"layers on a GPU", fmt.Sprintf("%d of %d", f.GPULayers, f.Layers)},
	}
	usable := humanBytes(f.UsableRAM) + " of memory"
	if f.UsableVRAM > 0 || f.VRAM > 0 {
		usable += ", " + humanBytes(f.UsableVRAM) + " of graphics memory"
	}
	rows = append(rows, table.Row{"usable", usable})
	if f.TokensPerSecond > 0 {
		about := "about"
		if f.SpeedIsBound {
			about = "at most"
		}
		rows = append(rows, table.Row{"speed", fmt.Sprintf("%s %.0f tokens per second (estimated)", about, f.TokensPerSecond)})
	}
	rows = append(rows, table.Row{"fits", f.word()})
	for _, r := range []table.Row{{"reason", f.Reason}, {"hint", f.Hint}, {"note", f.Note}} {
		if r[1] != "" {
			rows = append(rows, r)
		}
	}
	return rows
}
