package ggufsplit

import (
	"errors"
	"fmt"
	"os"

	"github.com/jeantrail/jeantrail-ai/registry/gguf"
)

// Split cuts the GGUF file at path into parts, PREFIX-00001-of-00003.gguf and so
// on, and returns their paths in order. Parts that are there already are
// replaced. On an error none is left.
func Split(path, prefix string, parts int) (made []string, err error) {
	defer func() {
		if err != nil {
			for _, part := range made {
				err = errors.Join(err, os.Remove(part))
			}
			made = nil
		}
	}()
	f, err := gguf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("split model: %w", err)
	}
	in, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("split model: %w", err)
	}
	defer in.Close()
	whole, err := gguf.Copy(f, in)
	if err != nil {
		return nil, fmt.Errorf("split model: %w", err)
	}
	writers, err := whole.Split(parts)
	if err != nil {
		return nil, err
	}
	for i, w := range writers {
		name := gguf.PartPath(prefix, i+1, parts)
		out, err := os.Create(name)
		if err != nil {
			return made, fmt.Errorf("split model: %w", err)
		}
		made = append(made, name)
		_, err = w.WriteTo(out)
		if err := errors.Join(err, out.Close()); err != nil {
			return made, fmt.Errorf("split model: %w", err)
		}
	}
	return made, nil
}
