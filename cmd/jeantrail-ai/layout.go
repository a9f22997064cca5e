package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/registry/fit"
)

// asked is what the configuration asks for a model.
type asked struct {
	name, path, projector string

	kv          string // auto, unified or streams
	slots       int
	nCtx        int // of one conversation; 0: the default
	batchTokens int
	gpuLayers   int // -1: as many as fit
	imageTokens int // that one image becomes at most
}

// layout is how a model would be loaded, and what that takes.
type layout struct {
	kv      kvPlan
	plan    fit.Plan
	largest int              // the longest conversation that would fit; 0 if none
	layers  int              // that there are; the output counts as one
	gpus    bool             // there are some
	shared  bool             // they have no memory of their own
	refusal *jeantrail.Error // why it cannot be loaded; nil if it can
}

// mostUBatch is llama.cpp's default of the tokens that are computed at once.
const mostUBatch = 512

// site is where a model is to be laid out.
type site struct {
	machine  fit.Machine // with what could be had for the model
	held     stays       // what could not
	kvMemory int64       // what planKV shares out
}

// measures is what a layout depends on besides the model.
func (s *site) measures() measures {
	return measures{s.machine.UsableRAM(), s.machine.UsableVRAM(), s.machine.RAMBandwidth, s.held.by}
}

// read reads the files of a model and lays it out.
func (s *site) read(a asked) (layout, error) {
	m, err := fit.Read(a.name, a.path, a.projector)
	if err != nil {
		return layout{}, err
	}
	l := s.lay(m, a)
	if !l.plan.Fits {
		l.refusal = s.refuse(&l, m, a)
	}
	return l, nil
}

// lay plans a model. Unless streams are asked for, a KV cache that does not fit
// shrinks to what does, as long as one conversation is whole.
func (s *site) lay(m fit.Model, a asked) layout {
	l := layout{kv: planKV(a.kv, a.slots, a.nCtx, m.ContextTrain, kvPerToken(m), s.kvMemory), layers: m.Layers() + 1}
	l.gpus = len(s.machine.Devices) > 0
	// llama.cpp leaves GPUs that share the machine's memory alone if there are others.
	l.shared = l.gpus && !slices.ContainsFunc(s.machine.Devices, ownMemory)
	if !l.gpus { // there is nothing to put layers on, which the result says
		a.gpuLayers = 0
	}
	s.make(&l, m, a, []fit.Model{})
	if a.kv == "streams" {
		l.largest = l.plan.LargestContext / a.slots
	} else {
		one := l
		one.kv.Unified, one.kv.Cells = true, l.kv.CtxSeq
		s.make(&one, m, a, []fit.Model{})
		l.largest = one.plan.LargestContext
		if !l.plan.Fits {
			one.kv.Cells = max(l.kv.CtxSeq, min(l.kv.Cells, l.largest))
			s.make(&one, m, a, []fit.Model{})
			l.kv, l.plan = one.kv, one.plan
		}
	}
	l.largest = min(l.largest/contextStep*contextStep, max(m.ContextTrain, l.kv.CtxSeq))
	if l.plan.Fits {
		l.largest = max(l.largest, l.kv.CtxSeq)
	} else {
		l.largest = min(l.largest, l.kv.CtxSeq)
	}
	return l
}

// make plans what was laid out; others are what a smaller model may be chosen
// from, nil is the catalogue.
func (s *site) make(l *layout, m fit.Model, a asked, others []fit.Model) {
	l.plan = fit.Make(s.machine, m, fit.Setting{
		NCtx: l.kv.Cells, Slots: l.kv.Slots, Streams: !l.kv.Unified, UBatch: min(a.batchTokens, mostUBatch),
		GPULayers: a.gpuLayers, ImageTokens: a.imageTokens,
	}, others)
}

// kvPerToken is the KV cache of one token, in bytes.
func kvPerToken(m fit.Model) int64 {
	return m.Needs(fit.Setting{NCtx: contextStep}).KV / contextStep
}

// takes is what the layout takes of the machine's memory and of that of GPUs which
// have their own.
func (l *layout) takes() (ram, vram int64) {
	if l.shared {
		return l.plan.Need.RAM + l.plan.Need.VRAM, 0
	}
	return l.plan.Need.RAM, l.plan.Need.VRAM
}

// refuse says why a layout cannot be loaded, with the numbers and what to write
// into the configuration, or to do, so that it can.
func (s *site) refuse(l *layout, m fit.Model, a asked) *jeantrail.Error {
	s.make(l, m, a, nil)
	e := jeantrail.AsError(l.plan.Refusal())
	e = e.WithNumber("n_ctx", int64(l.kv.CtxSeq)).WithNumber("largest_n_ctx", int64(l.largest)).
		WithNumber("kv_cells", int64(l.kv.Cells)).WithNumber("slots", int64(l.kv.Slots))
	list := s.changes(l, m, a)
	if s.held.by != "" {
		e.Message += "; what stays in memory: " + s.held.by
		e = e.WithName("held_by", s.held.by).WithNumber("held_bytes", s.held.ram+s.held.vram)
		if ram, vram := l.takes(); ram <= l.plan.UsableRAM+s.held.ram && vram <= l.plan.UsableVRAM+s.held.vram {
			list = append(list, "unload what stays in memory, or pin it no longer: "+s.held.by)
		}
	}
	if len(list) == 0 {
		return e.WithHint("No setting of this model fits, and no smaller model of the catalogue does. Raise memory.limit in config.yaml if the machine has more memory.")
	}
	return e.WithHint("One of these helps: %s. A change of config.yaml is taken up by: jeantrail-ai config reload (of what is under engine: by a restart)", strings.Join(list, "; "))
}

// changes are the settings that would fit, the nearest first.
func (s *site) changes(l *layout, m fit.Model, a asked) []string {
	var list []string
	try := func(a asked, text string) bool {
		other := s.lay(m, a)
		if other.plan.Fits {
			list = append(list, fmt.Sprintf("%s (%s)", text, humanBytes(other.plan.Need.Total)))
		}
		return other.plan.Fits
	}
	if a.gpuLayers > 0 && l.gpus {
		fewer := a
		fewer.gpuLayers = -1
		if other := s.lay(m, fewer); other.plan.Fits {
			fewer.gpuLayers = other.plan.Setting.GPULayers
			try(fewer, fmt.Sprintf("n_gpu_layers: %d for the model %s in config.yaml", fewer.gpuLayers, a.name))
		}
	}
	if a.kv == "streams" {
		shared := a
		shared.kv = "unified"
		try(shared, "engine.kv: unified in config.yaml")
		for fewer := a; fewer.slots > 1; {
			if fewer.slots--; try(fewer, fmt.Sprintf("engine.slots: %d in config.yaml", fewer.slots)) {
				break
			}
		}
	}
	if l.largest > 0 && l.largest < l.kv.CtxSeq {
		shorter := a
		shorter.nCtx = l.largest
		try(shorter, fmt.Sprintf("n_ctx: %d for the model %s in config.yaml", l.largest, a.name))
	}
	for _, c := range l.plan.Nearest {
		if c.Kind == fit.ChangeModel {
			list = append(list, fmt.Sprintf("a smaller model, jeantrail-ai model pull %s (%s)", c.Model, humanBytes(c.Need.Total)))
		}
	}
	return list
}

// told is a layout as others see it.
func (l *layout) told() *jeantrail.ModelFit {
	n, p := l.plan.Need, &l.plan
	f := &jeantrail.ModelFit{
		Fits: p.Fits, Weights: n.Weights, Projector: n.Projector, KV: n.KV, Compute: n.Compute + n.Output + n.Runtime, Total: n.Total,
		RAM: n.RAM, VRAM: n.VRAM, UsableRAM: p.UsableRAM, UsableVRAM: p.UsableVRAM,
		NCtx: l.kv.CtxSeq, Slots: l.kv.Slots, KVCells: l.kv.Cells, LargestNCtx: l.largest,
		GPULayers: p.Setting.GPULayers, Layers: l.layers, TokensPerSecond: p.TokensPerSecond, SpeedIsBound: p.SpeedIsBound,
	}
	if l.refusal != nil {
		f.Reason, f.Hint = l.refusal.Message, l.refusal.Hint
	}
	return f
}
