package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"github.com/jeantrail/jeantrail-ai"
)

// instance.lock is held for as long as a process owns a home; instance.json
// beside it tells other commands how to reach that process. The lock goes with
// the process, however it ends, so the file alone proves nothing: only with the
// lock held is it believed.
const (
	lockFile     = "instance.lock"
	instanceFile = "instance.json"
)

// Instance tells how to reach the process that owns a home.
type Instance struct {
	PID        int       `json:"pid"`
	BaseURL    string    `json:"base_url"`
	InstanceID string    `json:"instance_id"`
	Version    string    `json:"version"`
	Token      string    `json:"token,omitempty"` // the folder is 0700 and the file 0600
	StartedAt  time.Time `json:"started_at"`
	Hub        string    `json:"hub,omitempty"` // see hubEnvironment
}

// Ownership is the lock on a home.
type Ownership struct {
	home string
	lock *flock.Flock
}

// ownHome creates the home if need be and locks it. If another process has it,
// the error is already_running and says where that one is.
func ownHome(home string) (*Ownership, error) {
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "create home folder: %w", err).
			WithHint("Set JEANTRAIL_HOME or --home to a folder that this user may write to.")
	}
	lock := flock.New(filepath.Join(home, lockFile), flock.SetPermissions(0o600))
	got, err := lock.TryLock()
	if err != nil {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "lock home folder %s: %w", home, err).
			WithHint("The folder must be writable and on a file system with locks.")
	}
	if got {
		return &Ownership{home: home, lock: lock}, nil
	}
	e := jeantrail.Errorf(jeantrail.CodeAlreadyRunning, "an instance is already running on %s", home)
	if other, err := readInstance(home); err == nil {
		e = jeantrail.Errorf(jeantrail.CodeAlreadyRunning, "an instance is already running on %s: %s (pid %d)", home, other.BaseURL, other.PID).
			WithNumber("pid", int64(other.PID))
	}
	return nil, e.WithHint("Use that one, stop it, or start with another --home.")
}

// Announce writes how to reach this process, whole or not at all.
func (o *Ownership) Announce(i Instance) error {
	data, err := json.Marshal(i)
	if err != nil {
		return fmt.Errorf("announce instance: %w", err)
	}
	tmp := filepath.Join(o.home, instanceFile+".tmp")
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return fmt.Errorf("announce instance: %w", err)
	}
	if err := os.Rename(tmp, filepath.Join(o.home, instanceFile)); err != nil {
		return fmt.Errorf("announce instance: %w", err)
	}
	return nil
}

// Release removes the announcement and gives the home back.
func (o *Ownership) Release() error {
	err := os.Remove(filepath.Join(o.home, instanceFile))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, o.lock.Unlock())
}

func readInstance(home string) (Instance, error) {
	var i Instance
	data, err := os.ReadFile(filepath.Join(home, instanceFile))
	if err != nil {
		return i, err
	}
	return i, json.Unmarshal(data, &i)
}

// runningInstance finds the process that owns a home. It reports false if
// nobody holds the lock.
func runningInstance(home string) (Instance, bool, error) {
	if _, err := os.Stat(filepath.Join(home, lockFile)); err != nil {
		return Instance{}, false, nil
	}
	lock := flock.New(filepath.Join(home, lockFile))
	free, err := lock.TryRLock()
	if err != nil {
		return Instance{}, false, fmt.Errorf("look for a running instance: %w", err)
	}
	if free {
		return Instance{}, false, lock.Unlock()
	}
	i, err := readInstance(home)
	if err != nil {
		return Instance{}, true, jeantrail.Errorf(jeantrail.CodeModelLoading, "an instance on %s is just starting", home).
			WithHint("Try again in a second.")
	}
	return i, true, nil
}
