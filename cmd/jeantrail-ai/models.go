package main

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"sync"

	"github.com/jeantrail/jeantrail-ai"
	builtinmodel "github.com/jeantrail/jeantrail-ai/build/builtin-model"
	"github.com/jeantrail/jeantrail-ai/engine/native"
	"github.com/jeantrail/jeantrail-ai/gateway"
	"github.com/jeantrail/jeantrail-ai/registry"
	"github.com/jeantrail/jeantrail-ai/registry/hub"
)

// models is every text model that runs in this process. They are loaded when
// somebody needs them; the default one from the start.
type models struct {
	*registry.Registry
	opt      AppOptions
	room     *room
	capacity *capacity
	files    gateway.Files
	states   *modelStates
	prefixes *keptPrefixes // nil: what leaves a KV cache is gone

	mu     sync.Mutex
	config *LoadedConfig // replaced by a reload
	texts  map[string]*TextModel
	closed bool

	background sync.WaitGroup // identifying files
	life       context.Context
	end        context.CancelFunc
}

func newModels(reg *registry.Registry, opt AppOptions, capacity *capacity, files gateway.Files) *models {
	m := &models{
		Registry: reg, opt: opt, config: opt.Config, room: capacity.room, capacity: capacity, files: files,
		states: newModelStates(), texts: make(map[string]*TextModel),
	}
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
	if settings.MMProjPath == "" && !entry.BuiltIn {
		settings.MMProjPath = hub.ProjectorOf(entry.Path)
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

// Load begins to load the default model, unless a worker takes its place, and
// then the pinned ones, in the order of the configuration. That they have a place
// is waited for one after the other, so that it is clear which of two that do not
// fit together stays out.
func (m *models) Load(withDefault bool) error {
	var list []*TextModel
	if withDefault {
		t, err := m.find("")
		if err != nil {
			return err
		}
		list = append(list, t)
	}
	m.mu.Lock()
	config := m.config
	m.mu.Unlock()
	for _, c := range config.Models {
		if !c.Pinned {
			continue
		}
		t, err := m.find(c.Name)
		if err != nil {
			return err
		}
		if !slices.Contains(list, t) {
			list = append(list, t)
		}
	}
	var placed <-chan struct{}
	if len(list) > 0 {
		placed, list = list[0].Load(), list[1:]
	}
	m.background.Go(func() {
		for _, t := range list {
			select {
			case <-placed:
			case <-m.life.Done():
				return
			}
			placed = t.Load()
		}
		if !m.opt.Brief {
			m.Survey(m.life) // so that nobody has to wait for the files to be read
		}
	})
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
	for _, found := range m.Registry.List(m.life) { // those that were pulled with their projectors
		if hub.ProjectorOf(found.Path) == "" {
			continue
		}
		if found.Default {
			return found.Name
		}
		first = cmp.Or(first, found.Name)
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
			continue
		}
		settings := modelSettings(config, entry)
		switch pinned := settings.Pinned; {
		case !t.pin(pinned):
		case pinned:
			changes = append(changes, "model "+name+" is pinned")
		default:
			changes = append(changes, "model "+name+" is not pinned any more")
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

// sameSettings compares what a model is loaded with; whether it is pinned can
// change while it is.
func sameSettings(a, b ModelConfig) bool {
	layers, temperature := *a.NGPULayers == *b.NGPULayers, *a.Temperature == *b.Temperature
	return layers && temperature && a.ModelPath == b.ModelPath && a.MMProjPath == b.MMProjPath && a.ImageTokens == b.ImageTokens && a.NCtx == b.NCtx &&
		a.NThreads == b.NThreads && a.MaxTokens == b.MaxTokens
}

// newText makes the backend of a model; nothing is loaded yet.
func (m *models) newText(entry registry.Entry) *TextModel {
	settings := modelSettings(m.config, entry)
	l := &loader{models: m, entry: entry, settings: settings, engine: m.config.Engine}
	if m.prefixes != nil {
		l.prefixes = m.prefixes
	}
	return &TextModel{resident: newResident(entry, l, m.room, settings.Pinned), maxTokens: settings.MaxTokens, nCtx: max(settings.NCtx, defaultContext)}
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
	if m.prefixes != nil {
		errs = append(errs, m.prefixes.Close(ctx))
	}
	return errors.Join(errs...)
}

// builtInPath is the file of the built-in model in a models folder. Its name holds
// the start of its checksum, so that another version's file is left alone.
func builtInPath(folder string) string {
	return filepath.Join(folder, ".builtin-"+builtinmodel.SHA256[:12]+".gguf")
}

// placeBuiltIn puts the model that is inside the binary into the models folder,
// because llama.cpp maps models from files, and returns its entry.
func placeBuiltIn(folder string) (registry.Entry, error) {
	entry := registry.Entry{Name: builtInName, Path: builtInPath(folder), BuiltIn: true, NCtx: builtInContext}
	return entry, registry.PlaceBuiltIn(entry.Path, builtinmodel.Bytes())
}
