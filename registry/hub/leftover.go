package hub

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Leftover is a file of a pull that did not end.
type Leftover struct {
	Name    string // that the file would have in the models folder
	Bytes   int64  // of the disk, which are those of the whole file
	Fetched int64  // bytes that are there, as far as the map knows
	Touched time.Time
}

// Leftovers lists what unfinished pulls left in a models folder.
func Leftovers(folder string) ([]Leftover, error) {
	incoming := filepath.Join(folder, incomingFolder)
	entries, err := os.ReadDir(incoming)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
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
	return all, nil
}

// Discard removes what an unfinished pull left of a file, by the name that
// Leftovers gives. It is a conflict while a pull is under way.
func Discard(folder, name string) error {
	file, err := parseFileName(name)
	if err != nil {
		return err
	}
	incoming := filepath.Join(folder, incomingFolder)
	unlock, err := lock(incoming, file.model)
	if err != nil {
		return err
	}
	defer unlock()
	if err := discard(file.in(incoming)); err != nil {
		return diskError(err, "remove what is left of "+name)
	}
	return nil
}
