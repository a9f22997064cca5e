//go:build !linux

package hub

import (
	"errors"
	"os"
)

// reserveBytes cannot reserve here; the free bytes were looked at.
func reserveBytes(*os.File, int64) error { return errors.ErrUnsupported }

// allocated is what is sure not to be needed again: nothing, since the file may
// have holes.
func allocated(string) int64 { return 0 }

func syncData(f *os.File) error { return f.Sync() }

// bootID is not known here: after a kill, the map alone says what is there.
func bootID() string { return "" }
