package gguf

import (
	"fmt"
	"io"
)

// Copy returns a Writer with the metadata and the tensors of f, whose bytes it
// reads from src while it writes. src is the file that f was read from.
func Copy(f *File, src io.ReaderAt) (*Writer, error) {
	var w Writer
	for key, v := range f.Metadata.All() {
		if err := w.Set(key, v); err != nil {
			return nil, err
		}
	}
	for i := range f.Tensors {
		t := &f.Tensors[i]
		err := w.Add(t.Name, t.Type, t.Dims, func(out io.Writer) error {
			_, err := io.Copy(out, f.Data(src, t))
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return &w, nil
}

// Split deals the tensors out, in their order, to so many writers, each of which
// writes a part of the model as llama.cpp's gguf-split does: the first has all
// metadata. PartPath gives the names that the parts must have.
func (w *Writer) Split(parts int) ([]*Writer, error) {
	if parts < 2 || parts > min(MaxParts, len(w.tensors)) {
		return nil, fmt.Errorf("split model: %d parts of %d tensors, must be 2 to %d", parts, len(w.tensors), min(MaxParts, len(w.tensors)))
	}
	all := make([]*Writer, parts)
	for i := range all {
		part := &Writer{tensors: w.tensors[i*len(w.tensors)/parts : (i+1)*len(w.tensors)/parts]}
		for key, v := range w.meta.All() {
			if i == 0 || key == "general.alignment" {
				part.meta.set(key, v)
			}
		}
		for _, pair := range []struct {
			key   string
			value Value
		}{
			{"split.no", ValueOf(uint16(i))}, {"split.count", ValueOf(uint16(parts))},
			{"split.tensors.count", ValueOf(int32(len(w.tensors)))},
		} {
			if err := part.Set(pair.key, pair.value); err != nil {
				return nil, fmt.Errorf("split model: %w", err)
			}
		}
		// A copy, since writing a part gives its tensors their offsets.
		part.tensors = append([]pendingTensor(nil), part.tensors...)
		part.names = make(map[string]bool, len(part.tensors))
		for _, t := range part.tensors {
			part.names[t.Name] = true
		}
		all[i] = part
	}
	return all, nil
}
