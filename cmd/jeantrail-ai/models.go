package main

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/shirou/gopsutil/v4/mem"

	"github.com/jeantrail/jeantrail-ai"
	builtinmodel "github.com/jeantrail/jeantrail-ai/build/builtin-model"
	"github.com/jeantrail/jeantrail-ai/engine"
	"github.com/jeantrail/jeantrail-ai/engine/native"
	"github.com/jeantrail/jeantrail-ai/gateway"
	"github.com/jeantrail/jeantrail-ai/registry"
)

// models is what there is to run: it finds the backend for a name and loads
// the default model in the background.
type models struct {
	*registry.Registry
	opt   AppOptions
	entry registry.Entry // the default model
	text  *TextModel

	life   context.Context // ends when loading must stop
	end    context.CancelFunc
	once   sync.Once
	loader sync.WaitGroup

	decoder *native.Decoder // set by the loader, read after it has ended

	checksum atomic.Pointer[string] // of the default model's file, once it is known
}

func newModels(reg *registry.Registry, opt AppOptions) (*models, error) {
	entry, err := reg.Resolve("")
	if err != nil {
		return nil, err
	}
	m := &models{Registry: reg, opt: opt, entry: entry}
	settings := modelSettings(opt.Config, entry)
	m.text = newTextModel(entry.Name, settings.MaxTokens, max(settings.NCtx, defaultContext), m.Load)
	m.life, m.end = context.WithCancel(context.Background())
	return m, nil
}

// modelSettings finds a model's block in the configuration. A model without
// one has the defaults.
func modelSettings(config *LoadedConfig, entry registry.Entry) ModelConfig {
	i := slices.IndexFunc(config.Models, func(c ModelConfig) bool { return c.Name == entry.Name })
	settings := ModelConfig{Name: entry.Name, ModelPath: entry.Path}
	if i >= 0 {
		settings = config.Models[i]
	}
	if settings.MaxTokens == 0 {
		settings.MaxTokens = defaultMaxTokens
	}
	if entry.BuiltIn && settings.NCtx == 0 {
		settings.NCtx = builtInContext
	}
	if settings.NGPULayers == nil {
		settings.NGPULayers = new(int)
		if native.BuildInfo().Backends != "cpu" { // a build without GPUs was not asked for one
			*settings.NGPULayers = -1
		}
	}
	if settings.Temperature == nil {
		settings.Temperature = new(float64)
		if !entry.BuiltIn { // the built-in model was trained to answer greedily
			*settings.Temperature = defaultTemperature
		}
	}
	return settings
}

// The integration guide's defaults.
const (
	defaultMaxTokens   = 2048
	defaultTemperature = 0.7
)

// builtInContext is longer than what the built-in model was trained with, so
// that a request with the guide's max_tokens fits. Its answers end long before.
const builtInContext = defaultMaxTokens + 512

// Resolve implements gateway.Models.
func (m *models) Resolve(name string) (string, gateway.Backend, error) {
	entry, err := m.Registry.Resolve(name)
	if err != nil && slices.Contains(guideNames, name) {
		entry, err = m.entry, nil
	}
	if err != nil {
		return "", nil, err
	}
	if entry.Name != m.entry.Name {
		return "", nil, jeantrail.Errorf(jeantrail.CodeUnsupported, "the model %q is installed but not loaded; this instance serves %q", entry.Name, m.entry.Name).
			WithHint("Start with: jeantrail-ai serve --model %s", entry.Name)
	}
	return entry.Name, m.text, nil
}

// Load begins to load the default model, once. Close ends it.
func (m *models) Load() { m.once.Do(m.begin) }

func (m *models) begin() {
	m.loader.Go(func() {
		e, err := m.load(m.life)
		if m.life.Err() != nil {
			err = jeantrail.Errorf(jeantrail.CodeShuttingDown, "the program stopped before the model was loaded")
		} else if err != nil {
			m.opt.Logger.Error("loading the model failed", "model", m.entry.Name, "error", err)
			m.say(registry.State{Status: jeantrail.ModelFailed, Problem: jeantrail.AsError(err).Message})
		}
		m.text.Loaded(e, err)
		if err == nil {
			info := m.decoder.Info()
			m.opt.Logger.Info("model ready", "model", m.entry.Name, "device", info.Device,
				"layers_offloaded", info.LayersOffloaded, "n_ctx", e.Info().NCtx, "slots", info.NSeqMax,
				"kv_unified", info.Unified, "threads", info.Threads)
			m.say(registry.State{Status: jeantrail.ModelReady, Progress: 1, Engine: e.Info()})
			m.identify(m.life)
		}
	})
}

// identify finds out which file it is that was loaded, after the first jobs can
// run. Until it is known, no result is kept for later.
func (m *models) identify(ctx context.Context) {
	sum := builtinmodel.SHA256
	if !m.entry.BuiltIn {
		var err error
		if sum, err = m.Checksum(ctx, m.entry.Path); err != nil {
			if ctx.Err() == nil {
				m.opt.Logger.Warn("the model's checksum is not known; its results are not kept for later", "error", err)
			}
			return
		}
	}
	m.checksum.Store(&sum)
}

// identity is everything besides a request that can change its result: the
// model's file, the code that computes it, and what that runs on.
func (m *models) identity(info engine.Info) string {
	sum := m.checksum.Load()
	if sum == nil {
		return ""
	}
	build := native.BuildInfo()
	return strings.Join([]string{
		*sum, build.Tree, build.CPU, build.Backends, info.Device, strconv.Itoa(info.LayersOffloaded), strconv.Itoa(info.Threads),
		strconv.Itoa(info.NUBatch), strconv.FormatBool(info.Unified),
	}, "|")
}

// say tells the registry and the launching app how the model is.
func (m *models) say(s registry.State) {
	m.SetState(m.entry.Name, s)
	m.opt.Handshake.Model(m.entry.Name, s.Status, s.Progress, s.Problem)
}

// load checks the file, opens it and starts an engine on it.
func (m *models) load(ctx context.Context) (*engine.Engine, error) {
	m.say(registry.State{Status: jeantrail.ModelLoading})
	facts, err := registry.Check(m.entry.Path)
	if err != nil {
		return nil, err
	}
	settings := modelSettings(m.opt.Config, m.entry)
	memory, err := mem.VirtualMemoryWithContext(ctx)
	if err != nil {
		m.opt.Logger.Warn("cannot tell how much memory there is; the KV cache is not limited by it", "error", err)
		memory = &mem.VirtualMemoryStat{}
	}
	config := m.opt.Config.Engine
	plan := planKV(config.KV, config.Slots, settings.NCtx, facts.ContextLength, facts.KVBytesPerToken, int64(memory.Total))
	decoder, err := native.Open(ctx, native.Options{
		Path: m.entry.Path, NCtx: plan.Cells, NSeqMax: plan.Slots, NBatch: config.BatchTokens, PerSequenceKV: !plan.Unified,
		NThreads: settings.NThreads, NGPULayers: *settings.NGPULayers,
	}, m.progress())
	if err != nil {
		return nil, err
	}
	e, err := engine.New(decoder, engine.Options{
		Model: m.entry.Name, DefaultMaxTokens: settings.MaxTokens, MaxContext: plan.CtxSeq,
		MaxQueue: config.Queue, TargetStep: config.StepTarget,
		Sampling: defaultSampling(settings), Identity: func() string { return m.identity(decoder.Info()) },
	})
	if err == nil {
		err = e.Start()
	}
	if err != nil {
		return nil, errors.Join(err, decoder.Close())
	}
	m.decoder = decoder
	return e, nil
}

// defaultSampling is what Qwen recommends for Qwen3 without thinking (top-p
// 0.8, top-k 20; model card of Qwen3-8B), at the model's configured
// temperature. A temperature of 0 is greedy.
func defaultSampling(settings ModelConfig) engine.SamplingParams {
	return engine.SamplingParams{Temperature: float32(*settings.Temperature), TopK: 20, TopP: 0.8}
}

// progress reports the loading in steps of a tenth, so that the handshake is
// not flooded.
func (m *models) progress() func(float64) {
	last := 0.0
	return func(p float64) {
		if p < 1 && p-last < 0.1 {
			return
		}
		last = p
		m.say(registry.State{Status: jeantrail.ModelLoading, Progress: p})
	}
}

// Close stops loading and frees the model. The gateway must have stopped.
func (m *models) Close(ctx context.Context) error {
	m.end()
	m.loader.Wait()
	e := m.text.Engine()
	if e == nil {
		return nil
	}
	return errors.Join(e.Stop(ctx), m.decoder.Close())
}

// placeBuiltIn puts the model that is inside the binary into the models folder,
// because llama.cpp maps models from files, and returns its entry. The file's
// name holds the start of its checksum, so that another version's file is left
// alone.
func placeBuiltIn(folder string) (registry.Entry, error) {
	name := ".builtin-" + builtinmodel.SHA256[:12] + ".gguf"
	entry := registry.Entry{Name: builtInName, Path: filepath.Join(folder, name), BuiltIn: true, NCtx: builtInContext}
	return entry, registry.PlaceBuiltIn(entry.Path, builtinmodel.Bytes())
}
