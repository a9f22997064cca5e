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
)

// checksumFile keeps, in the models folder, the checksums that were computed:
// reading gigabytes anew at each start would take from the disk and the
// processor what the first answers need.
const checksumFile = ".checksums.json"

// remembered is a checksum with what the file looked like then.
type remembered struct {
	Bytes   int64     `json:"bytes"`
	Changed time.Time `json:"changed"`
	SHA256  string    `json:"sha256"`
}

// Checksum returns the SHA-256 of a model's file in hexadecimal, and reports it
// in List from then on. One that was computed before is believed while the file
// has the same size and time of change; model verify reads it all again.
func (r *Registry) Checksum(ctx context.Context, path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("hash model: %w", err)
	}
	r.sums.Lock()
	defer r.sums.Unlock()
	known, err := r.readChecksums()
	if err != nil {
		return "", err
	}
	old, ok := known[path]
	if !ok || old.Bytes != info.Size() || !old.Changed.Equal(info.ModTime()) {
		sum, err := Hash(ctx, path, nil)
		if err != nil {
			return "", err
		}
		old = remembered{Bytes: info.Size(), Changed: info.ModTime(), SHA256: sum}
		known[path] = old
		if err := r.writeChecksums(known); err != nil {
			return "", err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.checksums[path] = old
	return old.SHA256, nil
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
