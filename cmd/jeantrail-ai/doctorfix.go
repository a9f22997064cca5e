package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/doctor"
	"github.com/jeantrail/jeantrail-ai/registry/hub"
)

// mend does what the findings say can be done, and says so before.
func (l *looker) mend(ctx context.Context, found []doctor.Finding, say func(format string, args ...any)) {
	first := true
	for i := range found {
		f := found[i].Fix
		if f == nil || ctx.Err() != nil {
			continue
		}
		if first {
			say("\n")
			first = false
		}
		say("fixing: %s\n", f.Does)
		if err := l.fix(f); err != nil {
			f.Error = err.Error()
			say("failed: %s\n", f.Error)
			continue
		}
		f.Done = true
	}
}

func (l *looker) fix(f *doctor.Fix) error {
	switch f.Kind {
	case doctor.FixInstanceFile:
		return removeStale(l.home, f.Path)
	case doctor.FixLeftover:
		return hub.Discard(filepath.Join(l.home, "models"), f.Path)
	case doctor.FixMode:
		return os.Chmod(f.Path, fs.FileMode(f.Mode))
	}
	return jeantrail.Errorf(jeantrail.CodeInternal, "doctor has no fix of the kind %s", f.Kind)
}

// removeStale removes what an instance that is gone told about itself. It holds
// the lock of the home meanwhile, so that it can never be that of a new one.
func removeStale(home, path string) error {
	lock := flock.New(filepath.Join(home, lockFile), flock.SetPermissions(0o600))
	got, err := lock.TryLock()
	if err != nil {
		return err
	}
	if !got {
		return jeantrail.Errorf(jeantrail.CodeConflict, "an instance runs on %s by now; the file stays", home)
	}
	err = os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, lock.Unlock())
}
