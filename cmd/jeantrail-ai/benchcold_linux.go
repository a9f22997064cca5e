package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// dropCached has the system forget what it holds in memory of the files of a
// folder, so that they are read from the disk the next time. cold is true if it
// said that it did.
func dropCached(folder string) (cold bool, err error) {
	err = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it made room for another one
		}
		if err != nil {
			return err
		}
		defer f.Close()
		// Only what is on the disk can be forgotten.
		return errors.Join(f.Sync(), unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
	})
	return err == nil, err
}
