package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/jeantrail/jeantrail-ai/registry/gguf"
)

// checksumFile keeps, in the models folder, the checksums that were computed:
// reading gigabytes anew at each start would take from the disk and the
// processor what the first answers need.
const checksumFile = ".checksums.json"

// stamp tells whether a file is still the one that was looked at.
type stamp struct {
	bytes   int64
	changed time.Time
}

func (s stamp) equal(other stamp) bool {
	return s.bytes == other.bytes && s.changed.Equal(other.changed)
}

// stampsOf looks at the files of the model at path. A part that is not there has
// the zero stamp; a first one that is not there is an error.
func stampsOf(path string) ([]stamp, error) {
	paths, err := gguf.PartPaths(path)
	if err != nil {
		paths = []string{path} // what is wrong with it, Check says
	}
	stamps := make([]stamp, len(paths))
	for i, p := range paths {
		info, err := os.Stat(p)
		switch {
		case err == nil:
			stamps[i] = stamp{info.Size(), info.ModTime()}
		case i == 0 || !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	return stamps, nil
}

// sizeOf is the sum of the files' sizes.
func sizeOf(stamps []stamp) (bytes int64) {
	for _, s := range stamps {
		bytes += s.bytes
	}
	return bytes
}

// summed is the checksum of a model, with what its files looked like then.
type summed struct {
	stamps []stamp
	sha256 string
}

// remembered is the checksum of a file with what it looked like then, as it is
// kept on the disk.
type remembered struct {
	Bytes   int64     `json:"bytes"`
	Changed time.Time `json:"changed"`
	SHA256  string    `json:"sha256"`
}

// Checksum returns the SHA-256 of the model at path in hexadecimal, as HashModel
// makes it, and reports it in List from then on. One that was computed before is
// believed while the file has the same size and time of change; model verify
// reads it all again.
func (r *Registry) Checksum(ctx context.Context, path string) (string, error) {
	paths, err := gguf.PartPaths(path)
	if err != nil {
		return "", wrap(path, err)
	}
	r.sums.Lock()
	defer r.sums.Unlock()
	known, err := r.readChecksums()
	if err != nil {
		return "", err
	}
	var now summed
	sums := make([]string, len(paths))
	for i, p := range paths {
		of, err := r.fileChecksum(ctx, known, p)
		if err != nil {
			return "", err
		}
		sums[i] = of.SHA256
		now.stamps = append(now.stamps, stamp{of.Bytes, of.Changed})
	}
	now.sha256 = SumOf(sums)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.checksums[path] = now
	return now.sha256, nil
}

// fileChecksum looks a file up among the known ones, or hashes it and adds it to
// them. The caller holds sums.
func (r *Registry) fileChecksum(ctx context.Context, known map[string]remembered, path string) (remembered, error) {
	info, err := os.Stat(path)
	if err != nil {
		return remembered{}, fmt.Errorf("hash model: %w", err)
	}
	old, ok := known[path]
	if ok && old.Bytes == info.Size() && old.Changed.Equal(info.ModTime()) {
		return old, nil
	}
	sum, err := HashFile(ctx, path, nil)
	if err != nil {
		return remembered{}, err
	}
	known[path] = remembered{Bytes: info.Size(), Changed: info.ModTime(), SHA256: sum}
	return known[path], r.writeChecksums(known)
}

// readChecksums reads the file; one that is missing or damaged has none, since
// everything in it can be computed.
func (r *Registry) readChecksums() (map[string]remembered, error) {
	known := make(map[string]remembered)
	data, err := os.ReadFile(filepath.Join(r.folder, checksumFile))
	if errors.Is(err, fs.ErrNotExist) {
		return known, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read checksums: %w", err)
	}
	if json.Unmarshal(data, &known) != nil {
		return make(map[string]remembered), nil
	}
	return known, nil
}

// writeChecksums replaces the file whole. Files that are gone are forgotten.
func (r *Registry) writeChecksums(known map[string]remembered) error {
	for path := range known {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			delete(known, path)
		}
	}
	data, err := json.MarshalIndent(known, "", "  ")
	if err != nil {
		return fmt.Errorf("write checksums: %w", err)
	}
	name := filepath.Join(r.folder, checksumFile)
	if err := os.WriteFile(name+".tmp", data, 0o600); err != nil {
		return fmt.Errorf("write checksums: %w", err)
	}
	if err := os.Rename(name+".tmp", name); err != nil {
		return fmt.Errorf("write checksums: %w", err)
	}
	return nil
}
