package workflow

import (
	"embed"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway"
)

//go:embed builtin/*.yaml
var builtinFiles embed.FS

const suffix = ".yaml"

// Storage keeps the files of own workflows.
type Storage interface {
	// Write puts a file in the place of one of the same name, if there is one. A
	// reader sees the old or the new content, never a part, and so does the next
	// start of the program.
	Write(name string, data []byte) error
	// Remove removes a file.
	Remove(name string) error
}

// Options say where workflows come from.
type Options struct {
	// Files has own workflows as *.yaml; nil for none. Its names are those of
	// Storage.
	Files     fs.FS
	Storage   Storage   // nil: Put and Delete are unsupported
	Templates Templates // nil: names of templates are not checked
}

// Library holds workflows: the built-in ones, and own ones, which replace a
// built-in one of the same name or add one. Any number of goroutines may use it.
type Library struct {
	opts    Options
	builtIn map[string]*compiled

	writing sync.Mutex // held while files change

	mu   sync.RWMutex
	own  map[string]*compiled
	road Road
}

// New reads every workflow. What is wrong in own files is returned as invalid,
// each problem with its file and line, and so are two files with one name.
func New(o Options) (*Library, error) {
	l := &Library{opts: o, own: make(map[string]*compiled)}
	var err error
	if l.builtIn, err = readAll(builtinFiles, "builtin", nil); err != nil {
		return nil, err
	}
	for _, w := range l.builtIn {
		w.BuiltIn, w.file = true, ""
	}
	if o.Files != nil {
		if l.own, err = readAll(o.Files, ".", o.Templates); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// readAll reads the workflows of a folder. A folder that is not there has none.
func readAll(files fs.FS, folder string, templates Templates) (map[string]*compiled, error) {
	entries, err := fs.ReadDir(files, folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, jeantrail.Errorf(jeantrail.CodeInternal, "list the workflows: %w", err)
	}
	all := make(map[string]*compiled)
	var problems []error
	for _, entry := range entries {
		if entry.IsDir() || !strings.HasSuffix(entry.Name(), suffix) {
			continue
		}
		w, err := readOne(files, folder, entry.Name(), templates)
		switch {
		case err != nil:
			problems = append(problems, err)
		case all[w.Name] != nil:
			problems = append(problems, jeantrail.Errorf(jeantrail.CodeInvalid, "%s: %s also has a workflow %s", w.file, all[w.Name].file, w.Name).
				WithHint("Give one of the two another name, or remove its file."))
		default:
			all[w.Name] = w
		}
	}
	return all, together(problems)
}

func readOne(files fs.FS, folder, name string, templates Templates) (*compiled, error) {
	path := name
	if folder != "." {
		path = folder + "/" + name
	}
	data, err := fs.ReadFile(files, path)
	if err != nil {
		return nil, jeantrail.Errorf(jeantrail.CodeInternal, "read the workflow %s: %w", name, err)
	}
	w, err := load(name, data, templates)
	if err != nil {
		return nil, err
	}
	w.file = name
	return w, nil
}

// together makes one error of what is wrong with several files.
func together(problems []error) error {
	if len(problems) < 2 {
		return errors.Join(problems...)
	}
	var lines []string
	for _, err := range problems {
		lines = append(lines, jeantrail.AsError(err).Message)
	}
	return jeantrail.Errorf(jeantrail.CodeInvalid, "%s", strings.Join(lines, "\n"))
}

// List returns every workflow, by name. The copies are the caller's.
func (l *Library) List() []jeantrail.Workflow {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var all []jeantrail.Workflow
	for _, name := range l.names() {
		all = append(all, l.find(name).listing())
	}
	return all
}

// Get returns a workflow, or not_found with the names there are.
func (l *Library) Get(name string) (*jeantrail.Workflow, error) {
	w, err := l.get(name)
	if err != nil {
		return nil, err
	}
	listing := w.listing()
	return &listing, nil
}

func (l *Library) get(name string) (*compiled, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if w := l.find(name); w != nil {
		return w, nil
	}
	names := l.names()
	e := jeantrail.Errorf(jeantrail.CodeNotFound, "there is no workflow %s", shown(name)).WithHint("There are: %s.", strings.Join(names, ", "))
	if near, ok := jeantrail.Nearest(name, names); ok {
		e = e.WithHint("Did you mean %s? There are: %s.", near, strings.Join(names, ", "))
	}
	return nil, e
}

// find is called with the lock held.
func (l *Library) find(name string) *compiled {
	if w := l.own[name]; w != nil {
		return w
	}
	return l.builtIn[name]
}

// names is called with the lock held.
func (l *Library) names() []string {
	names := slices.AppendSeq(slices.Collect(maps.Keys(l.own)), maps.Keys(l.builtIn))
	slices.Sort(names)
	return slices.Compact(names)
}

// Put keeps an own workflow under its name, in the place of the one that had it.
// A name that is not that of the YAML, and everything wrong in it, is invalid.
func (l *Library) Put(name string, source []byte) (*jeantrail.Workflow, error) {
	if l.opts.Storage == nil {
		return nil, noStorage()
	}
	if !workflowName.MatchString(name) || len(name) > jeantrail.MaxNameBytes {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "%s is not a name for a workflow", shown(name)).
			WithHint("A name matches %s and is at most %d bytes long.", workflowName, jeantrail.MaxNameBytes)
	}
	w, err := load(name+suffix, source, l.opts.Templates)
	if err != nil {
		return nil, err
	}
	if w.Name != name {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "the workflow is named %s, not %s", w.Name, name).
			WithHint("Use the same name in both places.")
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	w.file = l.fileOf(name)
	if err := l.opts.Storage.Write(w.file, slices.Clone(source)); err != nil {
		return nil, failed("keep the workflow "+name, err)
	}
	l.mu.Lock()
	l.own[name] = w
	l.mu.Unlock()
	listing := w.listing()
	return &listing, nil
}

// fileOf returns the file of an own workflow, or that of a new one.
func (l *Library) fileOf(name string) string {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if w := l.own[name]; w != nil {
		return w.file
	}
	taken := func(file string) bool {
		for _, w := range l.own {
			if w.file == file {
				return true
			}
		}
		return false
	}
	file := name + suffix
	for taken(file) { // the file of that name has a workflow of another
		file = "_" + file
	}
	return file
}

// Delete removes an own workflow. A built-in one of the same name is there again
// then. It returns not_found if there is no such workflow, and a conflict for a
// built-in one.
func (l *Library) Delete(name string) error {
	if _, err := l.get(name); err != nil {
		return err
	}
	if l.opts.Storage == nil {
		return noStorage()
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.RLock()
	w := l.own[name]
	l.mu.RUnlock()
	if w == nil {
		return jeantrail.Errorf(jeantrail.CodeConflict, "the workflow %s comes with the program", name).
			WithHint("Put one of the same name in its place.")
	}
	if err := l.opts.Storage.Remove(w.file); err != nil {
		return failed("remove the workflow "+name, err)
	}
	l.mu.Lock()
	delete(l.own, name)
	l.mu.Unlock()
	return nil
}

func noStorage() error {
	return jeantrail.Errorf(jeantrail.CodeUnsupported, "workflows cannot be changed here")
}

// failed keeps the code of a storage's error, such as storage_full.
func failed(what string, err error) error {
	return jeantrail.Errorf(jeantrail.CodeOf(err), "%s: %w", what, err)
}

// Attach gives the library the road that stages are sent on. It is called once,
// before anything runs.
func (l *Library) Attach(road Road) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.road = road
}

func (l *Library) attached() Road {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.road
}

// Resolve returns a workflow's own name and the backend that runs it as it is
// now, or not_found with the names there are.
func (l *Library) Resolve(name string) (string, gateway.Backend, error) {
	w, err := l.get(name)
	if err != nil {
		return "", nil, err
	}
	return w.Name, &backend{library: l, workflow: w}, nil
}

// listing makes a Workflow whose slices are its own.
func (w *compiled) listing() jeantrail.Workflow {
	listing := w.Workflow
	listing.Inputs, listing.Stages = slices.Clone(listing.Inputs), slices.Clone(listing.Stages)
	return listing
}
