package gguf

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
)

// Set is a model with all the files it is split into; most models have one.
type Set struct {
	Paths []string
	Parts []*File // as Read gives them, in the order of Paths
	Model *File   // all of them as one, as Join gives it
}

// OpenModel reads the model at path, which is its file or the first of its
// parts. Parts lie in one folder under the names that PartPath gives them. No
// file stays open. The error is an *Error.
func OpenModel(path string) (*Set, error) {
	paths, err := PartPaths(path)
	if err != nil {
		return nil, err
	}
	return OpenParts(paths)
}

// OpenParts reads the parts of a model, or its one file, whatever their names
// are. The error is an *Error.
func OpenParts(paths []string) (*Set, error) {
	if err := checkPresent(paths); err != nil {
		return nil, err
	}
	s := &Set{Paths: paths, Parts: make([]*File, len(paths))}
	var header int64
	for i, path := range paths {
		f, err := Open(path)
		if err != nil {
			return nil, inPart(err, path, i, len(paths))
		}
		if header += f.DataOffset; header > MaxHeaderBytes {
			return nil, refuse(ReasonLimit, "metadata and tensor tables of the parts are larger than %d MiB", MaxHeaderBytes>>20)
		}
		s.Parts[i] = f
	}
	var err error
	s.Model, err = Join(s.Parts)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// checkPresent names the parts that are not there. A first one that is not there
// is left to Open, whose words fit any file.
func checkPresent(paths []string) *Error {
	var missing []string
	for _, path := range paths[1:] {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, filepath.Base(path))
		}
	}
	if len(missing) == 0 {
		return nil
	}
	const most = 5
	names := strings.Join(missing[:min(most, len(missing))], ", ")
	if len(missing) > most {
		names += " and others"
	}
	return refuse(ReasonMissingPart, "the model has %d parts, of which these are not there: %s", len(paths), names).
		hint("Put all parts into one folder, under the names that they were published with. A pull of the same model fetches what is missing.")
}

// inPart says which part of several is refused.
func inPart(err error, path string, i, parts int) error {
	var e *Error
	if parts > 1 && errors.As(err, &e) {
		named := *e
		named.Message = filepath.Base(path) + ": " + e.Message
		return &named
	}
	return err
}

// Join describes the parts of a model, in order, as one file: the metadata of the
// first and the tensors of all. It is what Validate, Summarize and EstimateMemory
// want for a split model. Offsets count in the parts' bytes put one after
// another, and Size is the sum. One file is returned as it is.
//
// It refuses what llama.cpp does when it loads the first part, and what would
// end the process there: split.no, split.count and split.tensors.count must be
// in every part with their types and fit its place, and no tensor may be there
// twice. Parts of different models are refused as far as they can be told apart:
// by these counts, and by metadata that two parts have and differ in. The error
// is an *Error.
func Join(parts []*File) (*File, error) {
	if len(parts) == 0 || len(parts) > MaxParts {
		return nil, refuse(ReasonLimit, "a model of %d files, the limit is %d", len(parts), MaxParts)
	}
	first := parts[0]
	if len(parts) == 1 {
		return first, nil
	}
	var total int64
	for i, f := range parts {
		n, err := checkPart(f, i, len(parts))
		if err == nil && i > 0 {
			err = checkSameModel(first, f, i, len(parts))
		}
		if err == nil {
			if err = checkMapped(f); err != nil {
				err.Message = partOf(i, len(parts)) + ": " + err.Message
			}
		}
		if err != nil {
			return nil, err
		}
		total += int64(len(f.Tensors))
		if last := i == len(parts)-1; last && total != n || total > n {
			return nil, refuse(ReasonMissingTensor, "the first %d of %d parts have %d tensors, split.tensors.count says %d in all", i+1, len(parts), total, n).
				hint("The parts are not of one model. Download all of them again from one place.")
		}
	}
	if total > MaxTensors {
		return nil, refuse(ReasonLimit, "the parts have %d tensors, the limit is %d", total, MaxTensors)
	}
	model := &File{
		Version: first.Version, Metadata: first.Metadata, Alignment: first.Alignment, DataOffset: first.DataOffset,
		Tensors: make([]Tensor, 0, total), tensors: make(map[string]int, total), joined: true,
	}
	for i, f := range parts {
		if err := model.take(f, i, len(parts)); err != nil {
			return nil, err
		}
	}
	return model, nil
}

// take adds the tensors and the size of a part.
func (f *File) take(part *File, i, parts int) *Error {
	if part.Size > math.MaxInt64-f.Size {
		return refuse(ReasonOverflow, "the parts have more bytes than 63 bits can count")
	}
	for _, t := range part.Tensors {
		if _, dup := f.tensors[t.Name]; dup {
			return refuse(ReasonDuplicateTensor, "tensor %q of part %d of %d is in an earlier part too", t.Name, i+1, parts).
				hint("The parts are not of one model, or one is there twice. Download all of them again from one place.")
		}
		t.Offset += f.Size + part.DataOffset - f.DataOffset // within Size: Read has checked the part's own end
		f.tensors[t.Name] = len(f.Tensors)
		f.Tensors = append(f.Tensors, t)
	}
	f.Size += part.Size
	return nil
}

// checkPart holds what a part says about the split against its place, i from 0,
// and returns how many tensors all parts have.
func checkPart(f *File, i, parts int) (tensors int64, err *Error) {
	s, err := readSplit(f)
	const again = "The parts are named wrongly, or are not of one model. Download all of them again from one place."
	switch {
	case err != nil:
		err.Message = partOf(i, parts) + ": " + err.Message
		return 0, err
	case s.count <= 1:
		return 0, refuse(ReasonSplit, "%s is no part of a split model by its content", partOf(i, parts)).
			hint("If it is a model in one file, take the numbers out of its name. %s", again)
	case s.no < 0 || s.tensors < 0:
		return 0, refuse(ReasonMissingKey, "%s: metadata key split.no or split.tensors.count is missing", partOf(i, parts)).
			hint("Split the model again with a current llama-gguf-split, or download another GGUF of it.")
	case s.count != int64(parts):
		return 0, refuse(ReasonSplit, "%s is of a model split into %d files by its content", partOf(i, parts), s.count).hint(again)
	case s.no != int64(i):
		return 0, refuse(ReasonSplit, "%s is part %d by its content", partOf(i, parts), s.no+1).hint(again)
	}
	return s.tensors, nil
}

func partOf(i, parts int) string { return fmt.Sprintf("part %d of %d", i+1, parts) }

// splitCounts is what a file says about being a part.
type splitCounts struct {
	no      int64 // from 0; -1 if it does not say
	count   int64 // of parts; 1 for a model in one file
	tensors int64 // in all parts; -1 if it does not say
}

// readSplit reads the counts. llama.cpp reads the number without looking at its
// type and ends the process if that is wrong.
func readSplit(f *File) (splitCounts, *Error) {
	s := splitCounts{no: -1, count: 1, tensors: -1}
	no, found, err := optional[uint16](f, "split.no")
	if err != nil {
		return s, err
	}
	if found {
		s.no = int64(no)
	}
	count, _, err := optional[uint16](f, "split.count")
	if err != nil {
		return s, err
	}
	s.count = max(1, int64(count))
	tensors, found, err := optional[int32](f, "split.tensors.count")
	if found {
		s.tensors = int64(tensors)
	}
	return s, err
}

// checkSameModel compares the metadata that a part shares with the first one.
// Most parts repeat the counts of the split only.
func checkSameModel(first, f *File, i, parts int) *Error {
	for key, v := range f.Metadata.All() {
		if key == "split.no" || key == "general.alignment" { // each file has its own
			continue
		}
		// Compared as bytes: a NaN does not equal itself.
		if w, ok := first.Metadata.Get(key); ok && !bytes.Equal(v.append(nil), w.append(nil)) {
			return refuse(ReasonSplit, "%s is of another model than part 1: they differ in %s", partOf(i, parts), quoteShort(key)).
				hint("Keep the parts of each model in a folder of their own, and download all of these again from one place.")
		}
	}
	return nil
}
