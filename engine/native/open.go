package native

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/jeantrail/jeantrail-ai/engine"
	"github.com/jeantrail/jeantrail-ai/llama"
)

// Options says what to open. One of Path and Data is set; zero values of the
// rest are usable.
type Options struct {
	Path string // a GGUF file, or the first part of a split one, beside which the others lie
	Data string // a GGUF file's bytes

	// Projector is the GGUF file that encodes images for the model (mmproj); "" is
	// none, and the model does not read images.
	Projector string
	// ImageMinTokens and ImageMaxTokens bound what one image becomes, for
	// projectors that scale images; 0 is what the file says. The most of Qwen's
	// models, 4096, takes minutes on a CPU.
	ImageMinTokens, ImageMaxTokens int

	NCtx     int // KV cells in all; 0: what the model was trained with
	NSeqMax  int // sequences; 0: 1
	NBatch   int // most rows in a step; 0: 2048
	NUBatch  int // most rows evaluated at once; 0: 512
	NThreads int // 0: the physical cores that the process may use

	// NGPULayers is how many layers go to a GPU: 0 none, -1 as many as fit.
	NGPULayers int
	// LayersChosen says that NGPULayers is as many as fit, and not what somebody
	// wanted: then it counts as a fallback if that is not all.
	LayersChosen bool
	// PerSequenceKV gives each sequence a KV stream of its own, NCtx/NSeqMax
	// cells long. Without it all share NCtx cells, and copies are free.
	PerSequenceKV bool
	FlashAttn     string // "auto" (or ""), "on", "off"
	TypeK, TypeV  string // "f16" (or ""), "f32", "q8_0"
	// NoMmap reads the weights to memory instead of mapping the file.
	NoMmap bool
	// NoRepack keeps the weights as they are in the file: a faster start, slower
	// prefill.
	NoRepack bool
	// CheckTensors validates all weights, which reads the whole file.
	CheckTensors bool
	// NoWarmUp leaves the first step to pay for memory touched the first time.
	NoWarmUp bool
}

func parseFlashAttn(s string) (llama.FlashAttn, error) {
	switch s {
	case "", "auto":
		return llama.FlashAttnAuto, nil
	case "on":
		return llama.FlashAttnOn, nil
	case "off":
		return llama.FlashAttnOff, nil
	}
	return 0, fmt.Errorf("flash attention %q is not known: use auto, on or off", s)
}

func parseKVType(s string) (llama.KVType, error) {
	switch s {
	case "", "f16":
		return llama.KVF16, nil
	case "f32":
		return llama.KVF32, nil
	case "q8_0":
		return llama.KVQ8_0, nil
	}
	return 0, fmt.Errorf("KV cache type %q is not known: use f16, f32 or q8_0", s)
}

func (o Options) contextParams() (llama.ContextParams, error) {
	flash, err1 := parseFlashAttn(o.FlashAttn)
	typeK, err2 := parseKVType(o.TypeK)
	typeV, err3 := parseKVType(o.TypeV)
	if err := errors.Join(err1, err2, err3); err != nil {
		return llama.ContextParams{}, err
	}
	if o.ImageMinTokens < 0 || o.ImageMaxTokens < 0 || o.ImageMaxTokens > 0 && o.ImageMaxTokens < o.ImageMinTokens {
		return llama.ContextParams{}, fmt.Errorf("images of %d to %d tokens: give none, or the least before the most", o.ImageMinTokens, o.ImageMaxTokens)
	}
	if o.NGPULayers < -1 {
		return llama.ContextParams{}, fmt.Errorf("%d GPU layers: use 0 for none or -1 for as many as fit", o.NGPULayers)
	}
	return llama.ContextParams{
		NCtx: o.NCtx, NBatch: o.NBatch, NUBatch: o.NUBatch, NSeqMax: o.NSeqMax, NThreads: o.NThreads,
		Unified: !o.PerSequenceKV, FlashAttn: flash, TypeK: typeK, TypeV: typeV,
	}, nil
}

// Open loads a model and makes a context on it; it blocks until both are done.
// progress, if not nil, is called with values from 0 to 1, from another goroutine
// and never after Open returned. When ctx ends the load is abandoned.
func Open(ctx context.Context, o Options, progress func(float64)) (*Decoder, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer llama.ReleaseThreads() // the warm-up's
	return open(ctx, o, progress)
}

func open(ctx context.Context, o Options, progress func(float64)) (*Decoder, error) {
	cp, err := o.contextParams()
	if err != nil {
		return nil, fmt.Errorf("open model: %w", err)
	}
	load := llama.LoadAuto
	if o.NoMmap {
		load = llama.LoadCopy
	}
	model, err := llama.LoadModel(ctx, llama.ModelParams{
		Path: o.Path, Data: o.Data, GPULayers: o.NGPULayers, Load: load,
		NoRepack: o.NoRepack, CheckTensors: o.CheckTensors, Fit: cp,
	}, part(progress, 0, o.modelShare()))
	if err != nil {
		return nil, fmt.Errorf("open model: %w", err)
	}
	d := &Decoder{model: model, vocab: vocab{model.Vocab()}}
	if o.Projector != "" {
		d.vision, err = llama.OpenVision(ctx, model, llama.VisionParams{
			Path: o.Projector, GPU: o.NGPULayers != 0, NThreads: o.NThreads,
			MinTokens: o.ImageMinTokens, MaxTokens: o.ImageMaxTokens, NoWarmUp: o.NoWarmUp,
		}, part(progress, o.modelShare(), 1))
	}
	if err == nil {
		d.context, err = llama.NewContext(model, cp)
	}
	if err == nil && !o.NoWarmUp {
		err = d.context.WarmUp()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open model: %w", err), d.Close())
	}
	d.info = describe(o, model, d.context)
	d.info.Vision, d.info.ProjectorBytes = d.vision != nil, fileSize(o.Projector)
	if d.info.LayersOffloaded < d.info.LayersTotal {
		cpu.join(&d.share) // steps of a whole model on a GPU need no CPU to themselves
	}
	return d, nil
}

// modelShare is what part of a load's bytes the text model is.
func (o Options) modelShare() float64 {
	model, projector := modelSize(o.Path)+int64(len(o.Data)), fileSize(o.Projector)
	if model+projector == 0 {
		return 1
	}
	return float64(model) / float64(model+projector)
}

// modelSize is the size of a model's files. llama.cpp is given the first part of a
// split model, PREFIX-00001-of-00003.gguf, and finds the others by their names.
func modelSize(path string) int64 {
	var parts int
	const first = "-00001-of-"
	ending := path[max(0, len(path)-len(first+"00000.gguf")):]
	if n, err := fmt.Sscanf(ending, first+"%05d.gguf", &parts); n < 1 || err != nil {
		return fileSize(path)
	}
	var size int64
	for i := range parts {
		size += fileSize(fmt.Sprintf("%s-%05d-of-%05d.gguf", strings.TrimSuffix(path, ending), i+1, parts))
	}
	return size
}

// fileSize is 0 for a file that is not there; opening it will say so.
func fileSize(path string) int64 {
	if path == "" {
		return 0
	}
	st, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return st.Size()
}

// part maps progress from 0 to 1 to what lies between two points of the whole.
func part(progress func(float64), from, to float64) func(float64) {
	if progress == nil {
		return nil
	}
	return func(p float64) { progress(from + p*(to-from)) }
}

func describe(o Options, model *llama.Model, lc *llama.Context) engine.Info {
	m, c := model.Info(), lc.Info()
	device := m.Device
	if device == "" {
		device = "CPU"
	}
	layers := m.NLayer + 1 // llama.cpp counts the output layer
	asked := o.NGPULayers
	if o.LayersChosen {
		asked = layers
	}
	return engine.Info{
		Model: m.Name, Architecture: m.Architecture, Device: device,
		LayersTotal: layers, LayersOffloaded: m.Offloaded,
		FallbackReason: fallbackReason(asked, layers, m.Offloaded, llama.Devices()),
		NCtx:           c.NCtx, NCtxSeq: c.NCtxSeq, NSeqMax: c.NSeqMax, NBatch: c.NBatch, NUBatch: c.NUBatch,
		NCtxTrain: m.NCtxTrain, Unified: c.Unified, ChatTemplate: model.ChatTemplate(),
		Threads: c.NThreads, ModelBytes: m.Bytes, KVBytes: c.KVBytes, ComputeBytes: c.ComputeBytes, CopiedBytes: c.CopiedBytes,
	}
}

// fallbackReason says why fewer layers are on a GPU than were asked for.
func fallbackReason(asked, total, offloaded int, devices []llama.Device) string {
	wanted := asked
	if asked < 0 || asked > total {
		wanted = total
	}
	if offloaded >= wanted {
		return ""
	}
	for _, d := range devices {
		if d.Kind == llama.DeviceGPU || d.Kind == llama.DeviceIGPU {
			return fmt.Sprintf("%d of %d layers are on %s: no more fit beside the context in its %d MiB of free memory",
				offloaded, wanted, d.Description, d.FreeBytes>>20)
		}
	}
	return "GPU layers were asked for, but this build or this machine has no GPU device (backends: " +
		llama.BuildInfo().Backends + ")"
}
