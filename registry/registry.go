package registry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/registry/gguf"
)

// Entry is a model as the configuration names it.
type Entry struct {
	Name    string
	Aliases []string
	Path    string
	BuiltIn bool
	NCtx    int // 0 means the context it was trained with

	found bool // in the models folder; no configuration names it
}

// Registry is a set of models. All methods may be called by any goroutine.
type Registry struct {
	folder string // the home's models folder
	clock  func() time.Time

	mu        sync.Mutex
	fallback  string // the default model's name
	entries   []Entry
	inspects  map[string]inspection // by path
	states    map[string]State      // by name
	checksums map[string]summed     // by path

	sums sync.Mutex // held while a checksum is computed, or its file written
}

// State is what the holder of a model says about it.
type State struct {
	Status   jeantrail.ModelStatus
	Progress float64 // 0 to 1
	Problem  string
	Engine   jeantrail.EngineInfo
}

// inspection is what a model's files held when they were last looked at. It is
// valid as long as size and time of change of each are the same.
type inspection struct {
	stamps []stamp
	at     time.Time
	facts  Facts
	err    error
	// projector: it is the part of another model that reads images, not a model.
	projector bool
}

// New makes a registry of the given entries; defaultName must be one of their
// names or aliases. GGUF files in folder that no entry names are models too,
// under the name of their file; a split model is one, under what its parts' names
// begin with.
func New(folder, defaultName string, entries []Entry) (*Registry, error) {
	r := &Registry{
		folder:    folder,
		clock:     time.Now,
		inspects:  make(map[string]inspection),
		states:    make(map[string]State),
		checksums: make(map[string]summed),
	}
	return r, r.Replace(defaultName, entries)
}

// Replace puts other entries in the place of the configured ones; what is wrong
// with them leaves the registry as it was.
func (r *Registry) Replace(defaultName string, entries []Entry) error {
	seen := make(map[string]string)
	for _, e := range entries {
		for _, name := range append([]string{e.Name}, e.Aliases...) {
			if err := CheckName(name); err != nil {
				return err
			}
			if other, taken := seen[name]; taken {
				return jeantrail.Errorf(jeantrail.CodeInvalid, "model name %q is used by %s and by %s", name, other, e.Name).
					WithHint("Every name and alias under models: in config.yaml must be different.")
			}
			seen[name] = e.Name
		}
	}
	entry, err := r.find(defaultName, r.withFiles(entries))
	if err != nil {
		return fmt.Errorf("default_model: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries, r.fallback = slices.Clone(entries), entry.Name
	return nil
}

// CheckName reports whether a model may have this name: a plain word of
// letters, digits and ".-_:", which can never be read as a path.
func CheckName(name string) error {
	ok := name != "" && len(name) <= 128 && name[0] != '.' && name[0] != '-'
	for _, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		ok = ok && (letter || strings.IndexByte(".-_:", c) >= 0)
	}
	if !ok {
		return jeantrail.Errorf(jeantrail.CodeInvalid, "model name %q is not usable", name).
			WithHint("Use letters, digits and . - _ : only, beginning with a letter or digit.")
	}
	return nil
}

// Default returns the default model's name.
func (r *Registry) Default() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fallback
}

// Resolve finds the entry for a name or alias; "" is the default. The entry's
// Name tells which model it really is.
func (r *Registry) Resolve(name string) (Entry, error) {
	if name == "" {
		name = r.Default()
	}
	return r.find(name, r.all())
}

func (r *Registry) find(name string, entries []Entry) (Entry, error) {
	for _, e := range entries {
		if e.Name == name || slices.Contains(e.Aliases, name) {
			return e, nil
		}
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name)
	}
	return Entry{}, jeantrail.Errorf(jeantrail.CodeNotFound, "there is no model %q", name).
		WithHint("Installed models: %s. Add one with: jeantrail-ai model import FILE.gguf", strings.Join(names, ", "))
}

// all returns the configured entries and the files of the models folder.
func (r *Registry) all() []Entry {
	r.mu.Lock()
	entries := slices.Clone(r.entries)
	r.mu.Unlock()
	return r.withFiles(entries)
}

// withFiles adds the files of the models folder that none of the entries is.
func (r *Registry) withFiles(entries []Entry) []Entry {
	entries = slices.Clone(entries)
	configured, taken := make(map[string]bool), make(map[string]bool)
	for _, e := range entries {
		configured[filepath.Clean(e.Path)] = true
		configured[e.Name] = true
		for _, a := range e.Aliases {
			configured[a] = true
		}
	}
	files, err := os.ReadDir(r.folder)
	if err != nil {
		return entries // a home without a models folder has only what is configured
	}
	// Whole models first: of two files that would have one name, the split one is
	// called as its first part is.
	slices.SortStableFunc(files, func(a, b fs.DirEntry) int { return rank(a) - rank(b) })
	for _, f := range files {
		stem, isModel := strings.CutSuffix(f.Name(), ".gguf")
		_, part, _, split := gguf.ParsePart(f.Name())
		if !isModel || f.IsDir() || split && part != 1 {
			continue
		}
		name, path := nameOf(f.Name()), filepath.Join(r.folder, f.Name())
		if taken[name] {
			name = stem
		}
		if configured[path] || configured[name] || CheckName(name) != nil {
			continue
		}
		taken[name] = true
		entries = append(entries, Entry{Name: name, Path: path, found: true})
	}
	return entries
}

// rank is 0 for a whole model's file and 1 for a part.
func rank(f fs.DirEntry) int {
	if _, _, _, split := gguf.ParsePart(f.Name()); split {
		return 1
	}
	return 0
}

// SetState records what the holder of a model says about it.
func (r *Registry) SetState(name string, s State) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.states[name] = s
}

// List describes every model, the default first. A projector that lies in the
// models folder is a part of another model and none itself.
func (r *Registry) List(ctx context.Context) []jeantrail.Model {
	var models []jeantrail.Model
	for _, e := range r.all() {
		if ctx.Err() != nil {
			return models
		}
		if e.found && r.inspect(e.Path).projector {
			continue
		}
		models = append(models, r.describe(e))
	}
	slices.SortStableFunc(models, func(a, b jeantrail.Model) int {
		if a.Default != b.Default {
			if a.Default {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	return models
}

func (r *Registry) describe(e Entry) jeantrail.Model {
	look := r.inspect(e.Path)
	r.mu.Lock()
	state, held := r.states[e.Name]
	isDefault := e.Name == r.fallback
	sum := r.checksums[e.Path]
	r.mu.Unlock()

	s := look.facts
	m := jeantrail.Model{
		Name: e.Name, Aliases: e.Aliases, Default: isDefault, BuiltIn: e.BuiltIn,
		Status: jeantrail.ModelAvailable, Path: e.Path, Bytes: sizeOf(look.stamps),
		Architecture: s.Architecture, Quantization: s.Quantization, Parameters: s.Parameters,
		Layers: s.Layers, NCtxTrain: s.ContextLength, NCtx: e.NCtx, CheckedAt: look.at,
	}
	if slices.EqualFunc(sum.stamps, look.stamps, stamp.equal) {
		m.SHA256 = sum.sha256
	}
	if m.NCtx == 0 {
		m.NCtx = s.ContextLength
	}
	if held && state.Engine.NCtx > 0 { // what it really runs with
		m.NCtx = state.Engine.NCtx
	}
	if look.err == nil {
		m.MemoryBytes = s.MemoryBytes(m.NCtx)
	} else {
		m.Status, m.Problem = jeantrail.ModelMissing, reason(look.err)
	}
	if held {
		m.Status, m.Progress, m.Engine = state.Status, state.Progress, state.Engine
		if state.Problem != "" {
			m.Problem = state.Problem
		}
	}
	return m
}

// reason is the sentence that a user is shown for a file that is not usable.
func reason(err error) string {
	if errors.Is(err, fs.ErrNotExist) {
		return "the file is not there"
	}
	return jeantrail.AsError(err).Message
}

// inspect looks at a model's files, or remembers what it saw if they are unchanged.
func (r *Registry) inspect(path string) inspection {
	now, err := stampsOf(path)
	if err != nil {
		return inspection{err: err, at: r.clock()}
	}
	r.mu.Lock()
	old, ok := r.inspects[path]
	r.mu.Unlock()
	if ok && slices.EqualFunc(old.stamps, now, stamp.equal) {
		return old
	}
	look := inspection{stamps: now, at: r.clock()}
	if look.facts, look.err = Check(path); look.err != nil {
		_, err := CheckProjector(path)
		look.projector = err == nil
	}
	r.mu.Lock()
	r.inspects[path] = look
	r.mu.Unlock()
	return look
}
