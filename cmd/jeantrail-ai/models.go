package main

import (
	"cmp"
	"context"
	"errors"
	"maps"
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

// models is every text model that runs in this process. They are loaded when
// somebody needs them; the default one from the start.
type models struct {
	*registry.Registry
	opt   AppOptions
	room  *room
	files gateway.Files

	mu     sync.Mutex
	config *LoadedConfig // replaced by a reload
	texts  map[string]*TextModel
	closed bool

	background sync.WaitGroup // identifying files
	life       context.Context
	end        context.CancelFunc
}

func newModels(reg *registry.Registry, opt AppOptions, room *room, files gateway.Files) *models {
	m := &models{Registry: reg, opt: opt, config: opt.Config, room: room, files: files, texts: make(map[string]*TextModel)}
	m.life, m.end = context.WithCancel(context.Background())
	return m
}

// modelSettings finds a model's block in the configuration. A model without
// one has the defaults.
func modelSettings(config *LoadedConfig, entry registry.Entry) ModelConfig {
	i := slices.IndexFunc(config.Models, func(c ModelConfig) bool { return c.Name == entry.Name })
	settings := ModelConfig{Name: entry.Name, ModelPath: entry.Path}
	if i >= 0 {
		settings = config.Models[i]
	}
	if settings.ImageTokens == 0 {
		settings.ImageTokens = defaultImageTokens
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

// defaultImageTokens keeps a large picture from taking minutes on a processor:
// the projectors of Qwen's models make up to four times as many of one.
const defaultImageTokens = 1024

// builtInContext is longer than what the built-in model was trained with, so
// that a request with the guide's max_tokens fits. Its answers end long before.
const builtInContext = defaultMaxTokens + 512

// find returns the model for a name, "" for the default one. A name of the
// integration guide that no model has means the default one.
func (m *models) find(name string) (*TextModel, error) {
	entry, err := m.Registry.Resolve(name)
	if err != nil && slices.Contains(guideNames, name) {
		entry, err = m.Registry.Resolve("")
	}
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if t := m.texts[entry.Name]; t != nil {
		return t, nil
	}
	if m.closed {
		return nil, jeantrail.Errorf(jeantrail.CodeShuttingDown, "the program is stopping")
	}
	t := m.newText(entry)
	m.texts[entry.Name] = t
	return t, nil
}

// Load begins to load the default model.
func (m *models) Load() error {
	t, err := m.find("")
	if err != nil {
		return err
	}
	t.Load()
	return nil
}

// all returns the models that somebody has asked for, by name.
func (m *models) all() []*TextModel {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.SortedFunc(maps.Values(m.texts), func(a, b *TextModel) int { return cmp.Compare(a.entry.Name, b.entry.Name) })
}

// sees returns the name of a model that reads images: the default one if it
// does, "" if none does.
func (m *models) sees() string {
	m.mu.Lock()
	config := m.config
	m.mu.Unlock()
	first := ""
	for _, c := range config.Models {
		if c.MMProjPath == "" {
			continue
		}
		if c.Name == m.Default() {
			return c.Name
		}
		first = cmp.Or(first, c.Name)
	}
	return first
}

// reload takes up another configuration. A model whose settings changed is
// unloaded when its jobs are done, and loaded anew when somebody needs it.
func (m *models) reload(config *LoadedConfig, entries []registry.Entry) ([]string, error) {
	if err := m.Registry.Replace(config.DefaultModel, entries); err != nil {
		return nil, err
	}
	m.mu.Lock()
	var changes []string
	var old []*TextModel
	for name, t := range m.texts {
		entry, err := m.Registry.Resolve(name)
		same := err == nil && entry.Path == t.entry.Path && sameSettings(modelSettings(config, entry), modelSettings(m.config, t.entry))
		if !same {
			changes = append(changes, "model "+name+" is loaded anew")
			old = append(old, t)
			delete(m.texts, name)
		}
	}
	m.config = config
	m.mu.Unlock()
	for _, t := range old {
		m.background.Go(func() {
			if err := t.retire(m.life); err != nil {
				m.opt.Logger.Warn("freeing a model failed", "model", t.entry.Name, "error", err)
			}
		})
	}
	slices.Sort(changes)
	return changes, nil
}

func sameSettings(a, b ModelConfig) bool {
	layers, temperature := *a.NGPULayers == *b.NGPULayers, *a.Temperature == *b.Temperature
	return layers && temperature && a.ModelPath == b.ModelPath && a.MMProjPath == b.MMProjPath && a.ImageTokens == b.ImageTokens && a.NCtx == b.NCtx &&
		a.NThreads == b.NThreads && a.MaxTokens == b.MaxTokens
}

// newText makes the backend of a model; nothing is loaded yet.
func (m *models) newText(entry registry.Entry) *TextModel {
	settings := modelSettings(m.config, entry)
	l := &loader{models: m, entry: entry, settings: settings, engine: m.config.Engine}
	return &TextModel{resident: newResident(entry, l, m.room.Budget), maxTokens: settings.MaxTokens, nCtx: max(settings.NCtx, defaultContext)}
}

// Close stops loading and frees every model. The gateway must have stopped.
func (m *models) Close(ctx context.Context) error {
	m.end()
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	var errs []error
	for _, t := range m.all() {
		errs = append(errs, t.Close(ctx))
	}
	m.background.Wait()
	return errors.Join(errs...)
}

// loader opens one model.
type loader struct {
	models   *models
	entry    registry.Entry
	settings ModelConfig
	engine   EngineConfig
	bytes    atomic.Int64 // of memory that the model takes, once they are known
	// checked is the plan of a file that was checked for the load that follows; a
	// later load checks it again, since another may have taken its place.
	checked  atomic.Pointer[kvPlan]
	checksum atomic.Pointer[string] // of the model's file, once it is known
	// of the projector's, too
	projector atomic.Pointer[string]
}

// say implements opener: it tells the registry and the launching app how the
// model is.
func (l *loader) say(s registry.State) {
	l.models.SetState(l.entry.Name, s)
	l.models.opt.Handshake.Model(l.entry.Name, s.Status, s.Progress, s.Problem)
}

// plan checks the file and lays out its KV cache.
func (l *loader) plan(ctx context.Context) (kvPlan, registry.Facts, error) {
	facts, err := registry.Check(l.entry.Path)
	if err != nil {
		return kvPlan{}, facts, err
	}
	memory, err := mem.VirtualMemoryWithContext(ctx)
	if err != nil {
		l.models.opt.Logger.Warn("cannot tell how much memory there is; the KV cache is not limited by it", "error", err)
		memory = &mem.VirtualMemoryStat{}
	}
	return planKV(l.engine.KV, l.engine.Slots, l.settings.NCtx, facts.ContextLength, facts.KVBytesPerToken, int64(memory.Total)), facts, nil
}

// need implements opener: weights, the KV cache as it will be laid out, compute
// buffers, and the projector if there is one. It is found out once: a file that
// changes under a loaded model changes nothing.
func (l *loader) need(ctx context.Context) (int64, error) {
	if n := l.bytes.Load(); n > 0 {
		return n, nil
	}
	plan, facts, err := l.plan(ctx)
	if err != nil {
		return 0, err
	}
	if l.settings.MMProjPath != "" {
		if _, err := registry.CheckProjector(l.settings.MMProjPath); err != nil {
			return 0, err
		}
	}
	n := facts.MemoryBytes(plan.Cells) + fileSize(l.settings.MMProjPath)
	l.checked.Store(&plan)
	l.bytes.Store(n)
	return n, nil
}

// open implements opener: it opens the file and starts an engine on it.
func (l *loader) open(ctx context.Context) (o *opened, err error) {
	log := l.models.opt.Logger
	defer func() {
		if err != nil && ctx.Err() == nil {
			log.Error("loading the model failed", "model", l.entry.Name, "error", err)
		}
	}()
	plan := l.checked.Swap(nil) // by need, a moment ago
	if plan == nil {
		fresh, _, err := l.plan(ctx)
		if err != nil {
			return nil, err
		}
		plan = &fresh
	}
	if o, err = l.start(ctx, *plan); err != nil {
		return nil, err
	}
	info := o.decoder.Info()
	log.Info("model ready", "model", l.entry.Name, "device", info.Device, "layers_offloaded", info.LayersOffloaded,
		"n_ctx", o.engine.Info().NCtx, "slots", info.NSeqMax, "kv_unified", info.Unified, "threads", info.Threads)
	l.models.background.Go(func() { l.identify(l.models.life) })
	return o, nil
}

func (l *loader) start(ctx context.Context, plan kvPlan) (*opened, error) {
	decoder, err := native.Open(ctx, native.Options{
		Path: l.entry.Path, NCtx: plan.Cells, NSeqMax: plan.Slots, NBatch: l.engine.BatchTokens, PerSequenceKV: !plan.Unified,
		NThreads: l.settings.NThreads, NGPULayers: *l.settings.NGPULayers,
		Projector: l.settings.MMProjPath, ImageMaxTokens: l.settings.ImageTokens,
	}, l.progress())
	if err != nil {
		return nil, err
	}
	e, err := engine.New(decoder, engine.Options{
		Model: l.entry.Name, DefaultMaxTokens: l.settings.MaxTokens, MaxContext: plan.CtxSeq,
		MaxQueue: l.engine.Queue, TargetStep: l.engine.StepTarget,
		Sampling: defaultSampling(l.settings), Identity: func() string { return l.identity(decoder.Info()) },
		Files: l.models.files, Projector: func() string { return known(&l.projector) },
	})
	if err == nil {
		err = e.Start()
	}
	if err != nil {
		return nil, errors.Join(err, decoder.Close())
	}
	return &opened{engine: e, decoder: decoder}, nil
}

// identify finds out which file it is that was loaded, after the first jobs can
// run. Until it is known, no result is kept for later.
func (l *loader) identify(ctx context.Context) {
	sum := builtinmodel.SHA256
	if !l.entry.BuiltIn {
		var err error
		if sum, err = l.models.Checksum(ctx, l.entry.Path); err != nil {
			if ctx.Err() == nil {
				l.models.opt.Logger.Warn("the model's checksum is not known; its results are not kept for later", "error", err)
			}
			return
		}
	}
	l.checksum.Store(&sum)
	if l.settings.MMProjPath == "" {
		return
	}
	sum, err := l.models.Checksum(ctx, l.settings.MMProjPath)
	if err != nil {
		if ctx.Err() == nil {
			l.models.opt.Logger.Warn("the projector's checksum is not known; results about images are not kept for later", "error", err)
		}
		return
	}
	l.projector.Store(&sum)
}

// known is a checksum, "" until it is known.
func known(sum *atomic.Pointer[string]) string {
	if s := sum.Load(); s != nil {
		return *s
	}
	return ""
}

// identity is everything besides a request that can change its result: the
// model's file, the code that computes it, and what that runs on.
func (l *loader) identity(info engine.Info) string {
	sum := known(&l.checksum)
	if sum == "" {
		return ""
	}
	build := native.BuildInfo()
	return strings.Join([]string{
		sum, build.Tree, build.CPU, build.Backends, info.Device, strconv.Itoa(info.LayersOffloaded), strconv.Itoa(info.Threads),
		strconv.Itoa(info.NUBatch), strconv.FormatBool(info.Unified),
	}, "|")
}

// progress reports the loading in steps of a tenth, so that the handshake is
// not flooded.
func (l *loader) progress() func(float64) {
	last := 0.0
	return func(p float64) {
		if p < 1 && p-last < 0.1 {
			return
		}
		last = p
		l.say(registry.State{Status: jeantrail.ModelLoading, Progress: p})
	}
}

// defaultSampling is what Qwen recommends for Qwen3 without thinking (top-p
// 0.8, top-k 20; model card of Qwen3-8B), at the model's configured
// temperature. A temperature of 0 is greedy.
func defaultSampling(settings ModelConfig) engine.SamplingParams {
	return engine.SamplingParams{Temperature: float32(*settings.Temperature), TopK: 20, TopP: 0.8}
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
