package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/jeantrail/jeantrail-ai/engine/native"
	"github.com/jeantrail/jeantrail-ai/registry/catalogue"
	"github.com/jeantrail/jeantrail-ai/registry/fit"
)

func newModelRecommendCommand(o *options) *cobra.Command {
	var nCtx, slots int
	cmd := &cobra.Command{
		Use: "recommend", Short: "Say which models of the catalogue fit this machine", Args: args(cobra.NoArgs),
		Long: "Looks at memory, graphics cards and how fast the memory can be read, and says of each model of the\n" +
			"catalogue whether it fits, what it needs and how many tokens a second to expect.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			home, err := homeDir(o.home)
			if err != nil {
				return err
			}
			machine, err := probeMachine(cmd.Context(), o, filepath.Join(home, "models"))
			if err != nil {
				return err
			}
			list, err := fit.Recommend(machine, catalogue.List(), fit.Setting{NCtx: nCtx, Slots: slots, GPULayers: -1})
			if err != nil {
				return err
			}
			if o.json {
				return printJSON(cmd.OutOrStdout(), recommendationsOf(machine, list))
			}
			return printRecommendations(cmd.OutOrStdout(), machine, list)
		},
	}
	cmd.Flags().IntVar(&nCtx, "n-ctx", 0, "tokens of context in all (default 8192, or what the model was trained with)")
	cmd.Flags().IntVar(&slots, "slots", 1, "conversations at once")
	return o.jsonFlag(cmd)
}

// probeMachine is what there is to run models on, with the memory that the
// configuration leaves them.
func probeMachine(ctx context.Context, o *options, folder string) (fit.Machine, error) {
	home, err := homeDir(o.home)
	if err != nil {
		return fit.Machine{}, err
	}
	config, err := loadConfig(home, nil)
	if err != nil {
		return fit.Machine{}, err
	}
	machine, err := fit.Probe(ctx, folder)
	if err != nil {
		return machine, err
	}
	if machine.RAMLimit, err = parseBytes(config.Memory.Limit); err != nil {
		return machine, err
	}
	for _, d := range native.Devices() {
		if d.GPU {
			machine.Devices = append(machine.Devices, fit.Device{Name: d.Description, VRAMFree: d.FreeBytes, VRAMTotal: d.TotalBytes})
		}
	}
	machine.RAMBandwidth, err = fit.MeasureBandwidth(ctx, machine.RAMAvailable/4)
	return machine, err
}

// wireRecommendation is a recommendation as --json writes it.
type wireRecommendation struct {
	Name            string  `json:"name"`
	Verdict         string  `json:"verdict"`
	Reason          string  `json:"reason"`
	Fits            bool    `json:"fits"`
	NeedBytes       int64   `json:"need_bytes"`
	DownloadBytes   int64   `json:"download_bytes"`
	NCtx            int     `json:"n_ctx"`
	LargestContext  int     `json:"largest_context"`
	GPULayers       int     `json:"n_gpu_layers"`
	TokensPerSecond float64 `json:"tokens_per_second,omitempty"`
	SpeedIsBound    bool    `json:"speed_is_bound,omitempty"`
	License         string  `json:"license"`
	Source          string  `json:"source"`
}

func recommendationsOf(machine fit.Machine, list []fit.Recommendation) map[string]any {
	models := make([]wireRecommendation, 0, len(list))
	for _, r := range list {
		models = append(models, wireRecommendation{
			Name: r.Model.Name, Verdict: string(r.Verdict), Reason: r.Reason, Fits: r.Plan.Fits, NeedBytes: r.Plan.Need.Total,
			DownloadBytes: r.Model.DownloadBytes(), NCtx: r.Plan.Setting.NCtx, LargestContext: r.Plan.LargestContext,
			GPULayers: r.Plan.Setting.GPULayers, TokensPerSecond: r.Plan.TokensPerSecond, SpeedIsBound: r.Plan.SpeedIsBound,
			License: r.Model.License, Source: r.Model.Source(),
		})
	}
	return map[string]any{
		"memory_bytes": machine.RAMTotal, "available_bytes": machine.RAMAvailable, "usable_bytes": machine.UsableRAM(),
		"usable_vram_bytes": machine.UsableVRAM(), "bandwidth_bytes_per_second": machine.RAMBandwidth, "disk_free_bytes": machine.DiskFree,
		"models": models,
	}
}

func printRecommendations(w io.Writer, machine fit.Machine, list []fit.Recommendation) error {
	fmt.Fprintf(w, "%s of memory, %s of it usable for models, read at %s/s; %s free on the disk\n\n", humanBytes(machine.RAMTotal),
		humanBytes(machine.UsableRAM()), humanBytes(int64(machine.RAMBandwidth)), humanBytes(machine.DiskFree))
	t := newTable(w, "MODEL", "VERDICT", "NEEDS", "DOWNLOAD", "SPEED", "WHY")
	for _, r := range list {
		speed := "-"
		if r.Plan.TokensPerSecond > 0 {
			speed = fmt.Sprintf("about %.0f t/s", r.Plan.TokensPerSecond)
			if r.Plan.SpeedIsBound {
				speed = fmt.Sprintf("at most %.0f t/s", r.Plan.TokensPerSecond)
			}
		}
		t.AppendRow(table.Row{r.Model.Name, string(r.Verdict), humanBytes(r.Plan.Need.Total), humanBytes(r.Model.DownloadBytes()), speed, r.Reason})
	}
	t.Render()
	_, err := fmt.Fprintln(w, "\nget one with: jeantrail-ai model pull NAME")
	return err
}
