package registry

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/registry/gguf"
)

// Facts are what the file of a model says about it.
type Facts struct {
	gguf.Summary
	// KVBytesPerToken is the KV cache that one token of context takes, at F16.
	KVBytesPerToken int64
	// FixedBytes is what the model takes besides the KV cache: weights, and
	// compute and output buffers at their default sizes.
	FixedBytes int64
}

// MemoryBytes is what the model takes with a context of nCtx tokens in all.
func (f Facts) MemoryBytes(nCtx int) int64 { return f.FixedBytes + f.KVBytesPerToken*int64(nCtx) }

// Check reads and validates a model without loading it: its file, or all parts of
// which path is the first. The error says what is wrong and what to do about it.
func Check(path string) (Facts, error) {
	set, err := gguf.OpenModel(path)
	if err != nil {
		return Facts{}, wrap(path, err)
	}
	return facts(path, set)
}

// CheckParts is Check for the files of a split model, in order, while they do not
// have their names yet.
func CheckParts(paths []string) (Facts, error) {
	if len(paths) == 0 {
		return Facts{}, jeantrail.Errorf(jeantrail.CodeInvalid, "open model: no files are given")
	}
	set, err := gguf.OpenParts(paths)
	if err != nil {
		return Facts{}, wrap(paths[0], err)
	}
	return facts(paths[0], set)
}

func facts(path string, set *gguf.Set) (Facts, error) {
	if err := gguf.Validate(set.Model); err != nil {
		return Facts{}, wrap(path, err)
	}
	// One context long enough that rounding does not show.
	const sample = 4096
	memory, err := gguf.EstimateMemory(set.Model, gguf.MemoryOptions{Context: sample})
	if err != nil {
		return Facts{}, wrap(path, err)
	}
	return Facts{
		Summary:         *gguf.Summarize(set.Model),
		KVBytesPerToken: memory.KV / sample,
		FixedBytes:      memory.Total - memory.KV,
	}, nil
}

// CheckProjector reads and validates the file of a projector (mmproj) without
// loading it. The error says what is wrong with the file and what to do about it.
func CheckProjector(path string) (gguf.Projector, error) {
	p, err := gguf.InspectProjector(path)
	if err != nil {
		return gguf.Projector{}, wrap(path, err)
	}
	return *p, nil
}

// wrap makes a refusal of the reader into an error for a person.
func wrap(path string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return jeantrail.Errorf(jeantrail.CodeNotFound, "open model %s: there is no such file", path)
	}
	var refused *gguf.Error
	if errors.As(err, &refused) {
		code := jeantrail.CodeInvalid
		if refused.Reason == gguf.ReasonMissingPart {
			code = jeantrail.CodeNotFound
		}
		e := jeantrail.Errorf(code, "open model %s: %s", filepath.Base(path), refused.Message)
		e.Hint = refused.Hint
		return e
	}
	return fmt.Errorf("open model %s: %w", path, err)
}

// copyFile copies a file so that target is either whole or not there.
func copyFile(ctx context.Context, source, target string, done func(copied, total int64)) error {
	in, err := os.Open(source)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	return writeWhole(target, func(w io.Writer) error {
		var copied int64
		for {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			n, err := io.CopyN(w, in, 4<<20)
			copied += n
			if done != nil {
				done(copied, info.Size())
			}
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
		}
	})
}

// writeWhole writes a file under a temporary name in the same folder, flushes
// it to the disk and renames it. Nothing is left behind on an error.
func writeWhole(target string, write func(io.Writer) error) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(target), ".partial-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = tmp.Close() // a second close after a failed one changes nothing
			_ = os.Remove(tmp.Name())
		}
	}()
	if err = write(tmp); err != nil {
		return err
	}
	if err = tmp.Sync(); err != nil {
		return err
	}
	if err = tmp.Close(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), target)
}

// PlaceBuiltIn makes sure that the built-in model's file is at path with the
// given content, and writes it if it is missing or differs: llama.cpp maps
// models from files.
func PlaceBuiltIn(path string, content []byte) error {
	if old, err := os.ReadFile(path); err == nil && sha256.Sum256(old) == sha256.Sum256(content) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("place built-in model: %w", err)
	}
	err := writeWhole(path, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
	if err != nil {
		return fmt.Errorf("place built-in model: %w", err)
	}
	return nil
}
