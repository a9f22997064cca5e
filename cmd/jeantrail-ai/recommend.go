package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/engine/native"
	"github.com/jeantrail/jeantrail-ai/registry/catalogue"
	"github.com/jeantrail/jeantrail-ai/registry/fit"
)

func newModelRecommendCommand(o *options) *cobra.Command {
	var nCtx, slots int
	cmd := &cobra.Command{
		Use: "recommend", Short: "Say which models of the catalogue fit this machine", Args: args(cobra.NoArgs),
		Long: "Looks at memory, graphics cards and how fast the memory can be read, and says of each model of the\n" +
			"catalogue whether it fits, what it needs and how many tokens a second to expect. What was measured here\n" +
			"with jeantrail-ai bench takes the place of the estimate, and corrects those of the other models.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			home, err := homeDir(o.home)
			if err != nil {
				return err
			}
			machine, err := probeMachine(cmd.Context(), o, filepath.Join(home, "models"))
			if err != nil {
				return err
			}
			list := catalogue.List()
			speeds, sizeOf, err := recommendBy(cmd.Context(), o, list)
			if err != nil {
				fmt.Fprintf(cmd.ErrOrStderr(), "note: what was measured here is not known, so that all speeds are estimated: %v\n", err)
			}
			advice, err := advise(machine, list, fit.Setting{NCtx: nCtx, Slots: slots, GPULayers: -1, ImageTokens: defaultImageTokens}, speeds, sizeOf)
			if err != nil {
				return err
			}
			if o.json {
				return printJSON(cmd.OutOrStdout(), advice.wire())
			}
			return advice.print(cmd.OutOrStdout(), time.Now())
		},
	}
	cmd.Flags().IntVar(&nCtx, "n-ctx", 0, "tokens of context in all (default 8192, or what the model was trained with)")
	cmd.Flags().IntVar(&slots, "slots", 1, "conversations at once")
	return o.jsonFlag(cmd)
}

// recommendBy returns what was measured on this machine, and how to size what was.
func recommendBy(ctx context.Context, o *options, list []catalogue.Model) ([]jeantrail.MeasuredSpeed, func(jeantrail.MeasuredSpeed) (fit.Model, bool), error) {
	speeds, err := readSpeeds(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	sizeOf, err := sizeBy(o, list)
	if err != nil {
		return nil, nil, err
	}
	return ofThisMachine(speeds), sizeOf, nil
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
	machine.Devices, machine.Kernels = devices(), fit.KernelsOf(native.BuildInfo().Features)
	machine.RAMBandwidth, err = fit.MeasureBandwidth(ctx, machine.RAMAvailable/4)
	return machine, err
}

// advice is the recommendations for a machine, and what their speeds are from.
type advice struct {
	machine     fit.Machine
	list        []fit.Recommendation
	calibration calibration
	measured    map[string]jeantrail.MeasuredSpeed // by the name of the catalogue
}

// advise judges each model of the list by the speed that was measured, where it
// was, and by the calibrated estimate otherwise; so are the verdicts. speeds are
// of this machine, newest first.
func advise(machine fit.Machine, list []catalogue.Model, want fit.Setting, speeds []jeantrail.MeasuredSpeed, sizeOf func(jeantrail.MeasuredSpeed) (fit.Model, bool)) (*advice, error) {
	a := &advice{machine: machine, calibration: calibrate(machine, speeds, sizeOf), measured: make(map[string]jeantrail.MeasuredSpeed)}
	machine.RAMBandwidth *= a.calibration.factor
	var err error
	if a.list, err = fit.Recommend(machine, list, want); err != nil {
		return nil, err
	}
	onGPU := make(map[string]bool)
	for _, r := range a.list {
		onGPU[r.Model.Name] = r.Plan.Setting.GPULayers > 0
	}
	machine.Measured = make(map[string]float64)
	for _, m := range speeds {
		c, ok := listedAs(m, list)
		if _, newer := a.measured[c.Name]; ok && !newer && onGPU[c.Name] == (m.GPULayers > 0) {
			a.measured[c.Name], machine.Measured[c.Name] = m, m.TokensPerSecond
		}
	}
	if len(a.measured) > 0 {
		a.list, err = fit.Recommend(machine, list, want)
	}
	return a, err
}

// Where a speed is from.
const (
	speedMeasured   = "measured"   // here, for this model
	speedCalibrated = "calibrated" // estimated, and corrected by what was measured here
	speedEstimated  = "estimated"
)

// source says where the speed of a recommendation is from; "" if there is none.
func (a *advice) source(r *fit.Recommendation) string {
	_, measured := a.measured[r.Model.Name]
	switch {
	case r.Plan.TokensPerSecond == 0:
		return ""
	case measured:
		return speedMeasured
	case a.calibration.models > 0 && r.Plan.Setting.GPULayers <= int(r.Model.Shape.Layers): // not all of it is on a GPU
		return speedCalibrated
	}
	return speedEstimated
}

// wireRecommendation is a recommendation as --json writes it.
type wireRecommendation struct {
	Name            string     `json:"name"`
	Verdict         string     `json:"verdict"`
	Reason          string     `json:"reason"`
	Fits            bool       `json:"fits"`
	NeedBytes       int64      `json:"need_bytes"`
	DownloadBytes   int64      `json:"download_bytes"`
	NCtx            int        `json:"n_ctx"`
	LargestContext  int        `json:"largest_context"`
	GPULayers       int        `json:"n_gpu_layers"`
	TokensPerSecond float64    `json:"tokens_per_second,omitempty"`
	SpeedSource     string     `json:"speed_source,omitempty"` // measured, calibrated or estimated
	SpeedIsBound    bool       `json:"speed_is_bound,omitempty"`
	MeasuredAt      *time.Time `json:"measured_at,omitempty"`
	BenchID         string     `json:"bench_id,omitempty"` // that measured it
	License         string     `json:"license"`
	Source          string     `json:"source"`
}

func (a *advice) wire() map[string]any {
	models := make([]wireRecommendation, 0, len(a.list))
	for i := range a.list {
		r := &a.list[i]
		w := wireRecommendation{
			Name: r.Model.Name, Verdict: string(r.Verdict), Reason: r.Reason, Fits: r.Plan.Fits, NeedBytes: r.Plan.Need.Total,
			DownloadBytes: r.Model.DownloadBytes(), NCtx: r.Plan.Setting.NCtx, LargestContext: r.Plan.LargestContext,
			GPULayers: r.Plan.Setting.GPULayers, TokensPerSecond: r.Plan.TokensPerSecond, SpeedIsBound: r.Plan.SpeedIsBound,
			SpeedSource: a.source(r), License: r.Model.License, Source: r.Model.Source(),
		}
		if m, ok := a.measured[r.Model.Name]; ok {
			w.MeasuredAt, w.BenchID = &m.MeasuredAt, m.RunID
		}
		models = append(models, w)
	}
	out := map[string]any{
		"memory_bytes": a.machine.RAMTotal, "available_bytes": a.machine.RAMAvailable, "usable_bytes": a.machine.UsableRAM(),
		"usable_vram_bytes": a.machine.UsableVRAM(), "bandwidth_bytes_per_second": a.machine.RAMBandwidth, "disk_free_bytes": a.machine.DiskFree,
		"models": models,
	}
	if a.calibration.models > 0 {
		out["calibration"] = map[string]any{"factor": a.calibration.factor, "models": a.calibration.models}
	}
	return out
}

// speed says how fast a model is, and how that is known.
func (a *advice) speed(r *fit.Recommendation, now time.Time) string {
	about := "about"
	if r.Plan.SpeedIsBound {
		about = "at most"
	}
	speed := fmt.Sprintf("%.0f t/s", r.Plan.TokensPerSecond)
	if r.Plan.TokensPerSecond < 9.95 {
		speed = fmt.Sprintf("%.1f t/s", r.Plan.TokensPerSecond)
	}
	switch a.source(r) {
	case "":
		return "-"
	case speedMeasured:
		at, form := a.measured[r.Model.Name].MeasuredAt.Local(), "2 Jan"
		if at.Year() != now.Year() {
			form = "2 Jan 2006"
		}
		return speed + ", measured " + at.Format(form)
	case speedCalibrated:
		return about + " " + speed + ", calibrated"
	}
	return about + " " + speed
}

// lowFactor is a calibration that more often comes from a busy machine than from
// its memory.
const lowFactor = 0.4

func (a *advice) print(w io.Writer, now time.Time) error {
	fmt.Fprintf(w, "%s of memory, %s of it usable for models, read at %s/s; %s free on the disk\n", humanBytes(a.machine.RAMTotal),
		humanBytes(a.machine.UsableRAM()), humanBytes(int64(a.machine.RAMBandwidth)), humanBytes(a.machine.DiskFree))
	switch n := a.calibration.models; n {
	case 0:
	case 1:
		fmt.Fprintf(w, "estimates are multiplied by %.2f: so fast, by its estimate, is the model that was measured here\n", a.calibration.factor)
	default:
		fmt.Fprintf(w, "estimates are multiplied by %.2f: so fast, by their estimates, are the %d models that were measured here (median)\n", a.calibration.factor, n)
	}
	if a.calibration.factor < lowFactor {
		fmt.Fprintln(w, "that is little: if the machine was busy then, measure again when it is idle")
	}
	fmt.Fprintln(w)
	t := newTable(w, "MODEL", "VERDICT", "NEEDS", "DOWNLOAD", "SPEED", "WHY")
	for i := range a.list {
		r := &a.list[i]
		t.AppendRow(table.Row{
			r.Model.Name, string(r.Verdict), humanBytes(r.Plan.Need.Total), humanBytes(r.Model.DownloadBytes()), a.speed(r, now), r.Reason,
		})
	}
	t.Render()
	_, err := fmt.Fprintln(w, "\nget one with: jeantrail-ai model pull NAME\nmeasure one with: jeantrail-ai bench raw NAME")
	return err
}
