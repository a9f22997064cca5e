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

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/registry/gguf"
)

// Import brings a model into the models folder under a name: its file, or all
// parts of which source is the first. Each comes by a hard link where the file
// system allows, else by a copy. The model is validated first; copies are made
// under temporary names, and the first part gets its name last, so that half a
// model is never seen. What fails leaves nothing. done, if not nil, is told how
// many bytes of how many in all were copied.
func (r *Registry) Import(ctx context.Context, source, name string, done func(copied, total int64)) (Entry, error) {
	if name == "" {
		name = nameOf(filepath.Base(source))
	}
	if err := CheckName(name); err != nil {
		return Entry{}, err
	}
	if _, _, _, split := gguf.ParsePart(name + ".gguf"); split {
		return Entry{}, jeantrail.Errorf(jeantrail.CodeInvalid, "the model name %q is that of a part of a split model", name).
			WithHint("Leave the numbers out: jeantrail-ai model import --name %s FILE", nameOf(name+".gguf"))
	}
	if _, err := Check(source); err != nil {
		return Entry{}, err
	}
	if e, err := r.Resolve(name); err == nil {
		return Entry{}, jeantrail.Errorf(jeantrail.CodeConflict, "there is a model %q already, at %s", name, e.Path).
			WithHint("Choose another name: jeantrail-ai model import --name NAME FILE")
	}
	sources, err := gguf.PartPaths(source)
	if err != nil {
		return Entry{}, wrap(source, err)
	}
	if err := os.MkdirAll(r.folder, 0o700); err != nil {
		return Entry{}, fmt.Errorf("import model: %w", err)
	}
	targets := []string{filepath.Join(r.folder, name+".gguf")}
	if len(sources) > 1 {
		targets[0] = gguf.PartPath(filepath.Join(r.folder, name), 1, len(sources))
		targets, err = gguf.PartPaths(targets[0])
		if err != nil {
			return Entry{}, wrap(targets[0], err)
		}
	}
	if err := bring(ctx, sources, targets, done); err != nil {
		return Entry{}, err
	}
	return Entry{Name: name, Path: targets[0]}, nil
}

// nameOf is the name of the model whose file, or part, is called file.
func nameOf(file string) string {
	if prefix, _, _, ok := gguf.ParsePart(file); ok {
		return prefix
	}
	return strings.TrimSuffix(file, ".gguf")
}

// bring links or copies files, the first one last. All of them come or none.
func bring(ctx context.Context, sources, targets []string, done func(copied, total int64)) (err error) {
	var total, before int64
	for i, source := range sources {
		if _, err := os.Lstat(targets[i]); !errors.Is(err, fs.ErrNotExist) {
			return jeantrail.Errorf(jeantrail.CodeConflict, "the file %s is there already", targets[i]).
				WithHint("Remove it, or choose another name: jeantrail-ai model import --name NAME FILE")
		}
		info, err := os.Stat(source)
		if err != nil {
			return fmt.Errorf("import model: %w", err)
		}
		total += info.Size()
	}
	var made []string
	defer func() {
		if err != nil {
			for _, target := range made {
				err = errors.Join(err, os.Remove(target))
			}
		}
	}()
	for i, source := range slices.Backward(sources) {
		if err := os.Link(source, targets[i]); err != nil {
			at := before
			err := copyFile(ctx, source, targets[i], func(copied, _ int64) {
				if done != nil {
					done(at+copied, total)
				}
			})
			if err != nil {
				return fmt.Errorf("import model: %w", err)
			}
		}
		made = append(made, targets[i])
		if info, err := os.Stat(targets[i]); err == nil { // only for the progress
			before += info.Size()
		}
	}
	return nil
}

// Remove deletes the model at path, its file or all parts of which it is the
// first, and returns the bytes of what it deleted. The first part goes first:
// without it the others are no model. Parts that are not there are no error.
func Remove(path string) (freed int64, err error) {
	paths, err := gguf.PartPaths(path)
	if err != nil {
		return 0, wrap(path, err)
	}
	for i, p := range paths {
		info, err := os.Stat(p)
		if err == nil {
			err = os.Remove(p)
		}
		switch {
		case err == nil:
			freed += info.Size()
		case i == 0 || !errors.Is(err, fs.ErrNotExist):
			return freed, fmt.Errorf("remove model: %w", err)
		}
	}
	return freed, nil
}
