package prompt

import (
	"embed"
	"maps"
	"slices"
	"strings"
	"text/template"

	"github.com/jeantrail/jeantrail-ai"
)

//go:embed templates/*.yaml
var builtin embed.FS

// sourceBuiltin is the Source of a template that comes with the program.
const sourceBuiltin = "builtin"

// File is a template file of the home folder, as it was read.
type File struct {
	Path string // for messages, and the template's Source
	Data []byte
}

// Library holds templates. It does not change, so that any number of
// goroutines may use it.
type Library struct {
	templates map[string]*compiled
}

// compiled is a template that has passed every check.
type compiled struct {
	jeantrail.Template
	system, prompt *template.Template // system is nil if there is none
}

// New returns the built-in templates with files put over them: a file replaces
// the built-in template of the same name or adds one. The first thing wrong in a
// file is returned as invalid, with the file's path, the line and the field, and
// so are two files with one name.
func New(overrides []File) (*Library, error) {
	l := &Library{templates: make(map[string]*compiled)}
	entries, err := builtin.ReadDir("templates")
	if err != nil {
		return nil, jeantrail.Errorf(jeantrail.CodeInternal, "list the built-in templates: %w", err)
	}
	for _, entry := range entries {
		path := "templates/" + entry.Name()
		data, err := builtin.ReadFile(path)
		if err != nil {
			return nil, jeantrail.Errorf(jeantrail.CodeInternal, "read the built-in template: %w", err)
		}
		c, err := load(File{Path: path, Data: data})
		if err != nil {
			return nil, err
		}
		c.Source = sourceBuiltin
		l.templates[c.Name] = c
	}
	for _, file := range overrides {
		c, err := load(file)
		if err != nil {
			return nil, err
		}
		if before := l.templates[c.Name]; before != nil && before.Source != sourceBuiltin {
			return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "%s: name: %s also has a template %s", file.Path, before.Source, c.Name).
				WithHint("Give one of the two templates another name, or remove its file.")
		}
		l.templates[c.Name] = c
	}
	return l, nil
}

// Templates returns every template, by name. The copies are the caller's.
func (l *Library) Templates() []jeantrail.Template {
	all := make([]jeantrail.Template, 0, len(l.templates))
	for _, name := range l.names() {
		all = append(all, l.templates[name].copy())
	}
	return all
}

// Template returns a copy of a template, or not_found with the names there are.
func (l *Library) Template(name string) (*jeantrail.Template, error) {
	c, err := l.find(name)
	if err != nil {
		return nil, err
	}
	t := c.copy()
	return &t, nil
}

func (l *Library) find(name string) (*compiled, error) {
	if c := l.templates[name]; c != nil {
		return c, nil
	}
	return nil, jeantrail.Errorf(jeantrail.CodeNotFound, "there is no template %s", shown(name)).
		WithHint("There are: %s.", strings.Join(l.names(), ", "))
}

func (l *Library) names() []string {
	return slices.Sorted(maps.Keys(l.templates))
}

// copy makes a Template whose slices and pointers are its own.
func (c *compiled) copy() jeantrail.Template {
	t := c.Template
	t.Variables = slices.Clone(t.Variables)
	for i := range t.Variables {
		v := &t.Variables[i]
		v.Enum = slices.Clone(v.Enum)
		if v.Minimum != nil {
			minimum := *v.Minimum
			v.Minimum = &minimum
		}
	}
	return t
}
