package hub

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jeantrail/jeantrail-ai/registry/gguf"
)

// Leftover is a file of a pull that did not end.
type Leftover struct {
	Name    string // that the file has or would have in the models folder
	Bytes   int64  // of the disk, which are those of the whole file
	Fetched int64  // bytes that are there, as far as the map knows
	Touched time.Time
}

// Leftovers lists what unfinished pulls left in a models folder: files that are
// not whole, and parts of split models that have their names while the first
// part, without which they are of no use, has not.
func Leftovers(folder string) ([]Leftover, error) {
	incoming := filepath.Join(folder, incomingFolder)
	entries, err := os.ReadDir(incoming)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, diskError(err, "read "+incoming)
	}
	var all []Leftover
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), partialEnding)
		if !ok || !e.Type().IsRegular() {
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue // it was finished at this moment
		}
		l := Leftover{Name: name, Bytes: info.Size(), Touched: info.ModTime()}
		if m, err := readMap(filepath.Join(incoming, name+mapEnding)); err == nil {
			for _, n := range m.Safe {
				l.Fetched += n
			}
		}
		all = append(all, l)
	}
	strays, err := strays(folder)
	return append(all, strays...), err
}

// strays lists the parts in a models folder that lack their first one.
func strays(folder string) (all []Leftover, err error) {
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, diskError(err, "read "+folder)
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || !isStray(folder, e.Name()) {
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue // it was removed at this moment
		}
		all = append(all, Leftover{Name: e.Name(), Bytes: info.Size(), Fetched: info.Size(), Touched: info.ModTime()})
	}
	return all, nil
}

// isStray reports whether a name is that of a part whose first one is not in the
// folder.
func isStray(folder, name string) bool {
	prefix, part, parts, ok := gguf.ParsePart(name)
	if _, err := parseFileName(name); err != nil || !ok || part == 1 {
		return false // the first check leaves names that no pull gives
	}
	_, err := os.Lstat(filepath.Join(folder, gguf.PartPath(prefix, 1, parts)))
	return errors.Is(err, os.ErrNotExist)
}

// Discard removes what an unfinished pull left of a file, by the name that
// Leftovers gives. It is a conflict while a pull is under way.
func Discard(folder, name string) error {
	file, err := parseFileName(name)
	if err != nil {
		return err
	}
	incoming := filepath.Join(folder, incomingFolder)
	if err := os.MkdirAll(incoming, 0o700); err != nil { // where the lock is
		return diskError(err, "make "+incoming)
	}
	unlock, err := lock(incoming, file.model)
	if err != nil {
		return err
	}
	defer unlock()
	err = discard(file.in(incoming))
	if err == nil && isStray(folder, name) {
		err = os.Remove(file.in(folder))
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return diskError(err, "remove what is left of "+name)
	}
	return nil
}
