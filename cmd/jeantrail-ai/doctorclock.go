package main

import (
	"context"
	"os"
	"runtime/debug"
	"time"

	"github.com/jeantrail/jeantrail-ai/doctor"
	"github.com/jeantrail/jeantrail-ai/store"
)

// now is the time by the wall clock alone, which is what files and the database
// go by.
func now() time.Time { return time.Now().Round(0) }

func (l *looker) lookAtClock(ctx context.Context) ([]doctor.Finding, error) {
	config, _ := l.config()
	c := doctor.Clock{Now: now(), Built: builtAt()}
	if path, err := config.databasePath(); err == nil {
		if seen, err := store.Peek(ctx, path); err == nil {
			c.Newest = seen.Entry
		}
	}
	if entries, err := os.ReadDir(l.home); err == nil {
		for _, e := range entries {
			if info, err := e.Info(); err == nil && info.ModTime().After(c.Files) {
				c.Files = info.ModTime()
			}
		}
	}
	// When a process began is counted from the start of the machine, and read as a
	// time by today's clock.
	if seen := l.instance(); seen.answers() {
		if born, err := bornAt(ctx, seen.file.PID); err == nil {
			c.Moved = time.UnixMilli(born).Sub(seen.file.StartedAt)
			if c.Moved < 0 && c.Moved > -10*time.Minute { // it takes a while from the process to the announcement
				c.Moved = 0
			}
		}
	}
	return doctor.CheckClock(c), nil
}

// builtAt is when the source was committed, else when the program's file was
// written.
func builtAt() time.Time {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key != "vcs.time" {
				continue
			}
			if at, err := time.Parse(time.RFC3339, s.Value); err == nil {
				return at
			}
		}
	}
	path, err := os.Executable()
	if err != nil {
		return time.Time{}
	}
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}
