package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v4/process"

	"github.com/jeantrail/jeantrail-ai/doctor"
)

func (l *looker) lookAtInstance(ctx context.Context) ([]doctor.Finding, error) {
	seen := l.instance()
	i := doctor.Instance{
		Home: l.home, File: filepath.Join(l.home, instanceFile), There: seen.there, FileErr: seen.fileErr,
		PID: seen.file.PID, URL: seen.file.BaseURL, Version: seen.file.Version, Took: seen.took, Err: seen.err,
		Answered: seen.answers(), Status: seen.health.Status, Own: version, Windows: runtime.GOOS == "windows",
	}
	i.Alive = seen.there && isOurs(ctx, seen.file.PID)
	if half := i.File + ".tmp"; fileThere(half) {
		i.Half = half
	}
	lock, err := os.Stat(filepath.Join(l.home, lockFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		i.HoldersSeen = true // nobody ever held it
	case err == nil:
		i.Holders, i.HoldersSeen = lockHolders(lock, seen.file.PID)
	}
	if len(i.Holders) > 0 {
		if born, err := bornAt(ctx, i.Holders[0]); err == nil {
			i.HolderAge = time.Since(time.UnixMilli(born))
		}
	}
	i.Others = l.otherInstances(ctx, i.Holders, seen.file.PID)
	return doctor.CheckInstance(i), nil
}

// isOurs reports whether a process is there and is an instance of this program.
func isOurs(ctx context.Context, pid int) bool {
	if _, err := bornAt(ctx, pid); err != nil {
		return false
	}
	p, err := process.NewProcessWithContext(ctx, int32(pid))
	if err != nil {
		return false
	}
	name, err := p.NameWithContext(ctx)
	return err != nil || isOurName(name) // one that cannot be looked at is left alone
}

func isOurName(name string) bool {
	own, err := os.Executable()
	return strings.HasPrefix(name, "jeantrail-ai") || err == nil && name == filepath.Base(own)
}

// otherInstances lists the instances that run, besides the one that the home's
// file names unless its app is gone.
func (l *looker) otherInstances(ctx context.Context, holders []int, known int) []doctor.Process {
	all, err := process.ProcessesWithContext(ctx)
	if err != nil {
		return nil
	}
	var out []doctor.Process
	for _, p := range all {
		name, err := p.NameWithContext(ctx)
		if err != nil || !isOurName(name) || int(p.Pid) == os.Getpid() {
			continue
		}
		words, err := p.CmdlineSliceWithContext(ctx)
		if err != nil || !slices.Contains(words, "serve") {
			continue
		}
		found := doctor.Process{PID: int(p.Pid), Home: homeOf(ctx, p, words), Orphan: isOrphan(ctx, p, words)}
		found.Holds = len(holders) > 0 && holders[0] == found.PID || known == found.PID
		out = append(out, found)
	}
	return out
}

// flagOf returns the value of a flag in a command line.
func flagOf(words []string, flag string) string {
	for i, w := range words {
		if value, ok := strings.CutPrefix(w, flag+"="); ok {
			return value
		}
		if w == flag && i+1 < len(words) {
			return words[i+1]
		}
	}
	return ""
}

// homeOf is the home of another instance as far as its command line and
// environment can be seen, else "".
func homeOf(ctx context.Context, p *process.Process, words []string) string {
	home := flagOf(words, "--home")
	if home == "" {
		environ, err := p.EnvironWithContext(ctx)
		if err != nil {
			return ""
		}
		for _, v := range environ {
			if value, ok := strings.CutPrefix(v, "JEANTRAIL_HOME="); ok {
				home = value
			}
		}
	}
	if home == "" || filepath.IsAbs(home) {
		return home
	}
	folder, err := p.CwdWithContext(ctx)
	if err != nil {
		return ""
	}
	return filepath.Join(folder, home)
}

// isOrphan reports whether the app that launched a sidecar is gone: the process
// that it was told to end with, or its own parent, in whose place is the system's
// first process then.
func isOrphan(ctx context.Context, p *process.Process, words []string) bool {
	if parent, err := strconv.Atoi(flagOf(words, "--parent-pid")); err == nil && parent > 0 {
		_, err := bornAt(ctx, parent)
		return err != nil && ctx.Err() == nil
	}
	if !slices.Contains(words, "--sidecar") {
		return false
	}
	parent, err := p.ParentWithContext(ctx)
	if err != nil {
		return false
	}
	name, err := parent.NameWithContext(ctx)
	return err == nil && (name == "systemd" || name == "init" || name == "launchd")
}
