package prefix

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jeantrail/jeantrail-ai/engine"
)

// write writes an entry that was marked as being written, when it is known what
// is on the disk and nobody else writes, and makes room for it before. A failure
// that is not the context's is logged.
func (s *Store) write(ctx context.Context, e *entry) error {
	err := s.takePen(ctx)
	if err == nil {
		defer func() { <-s.pen }()
		err = s.makeFile(ctx, e)
	}
	s.mu.Lock()
	defer s.unlock()
	defer s.signal()
	e.writing = false
	if err != nil {
		if ctx.Err() == nil {
			e.failed = true
			s.opt.Logger.Warn("keeping a prefix on the disk failed", "error", err)
		}
		if s.leaving == e {
			s.evict(e)
		}
		return fmt.Errorf("keep prefix: %w", err)
	}
	switch {
	case s.leaving == e:
		s.count(e.space, engine.PrefixUsage{Evicted: 1})
		s.forget(e)
	case !s.ram[e]: // it was never meant to stay
		e.state = nil
	}
	return nil
}

func (s *Store) takePen(ctx context.Context) error {
	select {
	case <-s.scanned:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case s.pen <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// makeFile writes an entry's file, removes others for it before and those that it
// supersedes after. The caller has the pen.
func (s *Store) makeFile(ctx context.Context, e *entry) error {
	if ctx.Err() != nil {
		return context.Cause(ctx) // before anything is removed for it
	}
	s.mu.Lock()
	size, identity, state := e.fileBytes(), e.space.identity, e.state
	s.makeRoomOnDisk(size)
	s.diskUsed += size
	s.mu.Unlock()
	s.sweep()
	name, err := writeFile(ctx, s.opt.Folder, identity, e.tokens, state)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.diskUsed -= size
		return err
	}
	s.count(e.space, engine.PrefixUsage{Written: 1})
	if same := e.space.disk.exact(e.tokens); same != nil { // it is the same file
		s.removeFromIndex(same)
	}
	e.file = name
	s.disk[e] = true
	e.space.disk.add(e)
	for _, old := range e.space.disk.within(e.tokens) {
		s.removeFile(old)
	}
	return nil
}

// signal wakes those that wait for a file. The caller holds mu, here and below.
func (s *Store) signal() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// makeRoomOnDisk removes the least recently used files until so many bytes fit.
func (s *Store) makeRoomOnDisk(bytes int64) {
	for s.diskUsed+bytes > s.opt.Disk {
		e := oldest(s.disk, func(*entry) bool { return true })
		if e == nil {
			return
		}
		s.count(e.space, engine.PrefixUsage{Evicted: 1})
		s.removeFile(e)
	}
}

// removeFile takes an entry's file away.
func (s *Store) removeFile(e *entry) {
	s.diskUsed -= e.fileBytes()
	delete(s.disk, e)
	e.space.disk.remove(e)
	s.doom(e.file)
	e.file = ""
}

// doom has a file removed by whoever sweeps next: the writer, before it writes.
func (s *Store) doom(name string) {
	s.doomed = append(s.doomed, name)
	s.nudge()
}

// sweep removes the doomed files. When it returns, those that were doomed before
// are gone. The caller does not hold mu.
func (s *Store) sweep() {
	s.sweeping.Lock()
	defer s.sweeping.Unlock()
	s.mu.Lock()
	names := s.doomed
	s.doomed = nil
	s.mu.Unlock()
	for _, name := range names {
		if err := os.Remove(filepath.Join(s.opt.Folder, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.opt.Logger.Warn("removing a kept prefix failed", "error", err)
		}
	}
}

// scan learns what an earlier process left in the folder. What it did not finish
// and what is not sound is removed; so is everything if nothing is to be kept.
func (s *Store) scan() {
	defer close(s.scanned)
	if s.opt.Folder == "" {
		return
	}
	if s.opt.Disk > 0 {
		if err := privateFolder(s.opt.Folder); err != nil {
			s.opt.Logger.Warn("no prefixes are kept on the disk", "error", err)
			return
		}
	}
	files, err := os.ReadDir(s.opt.Folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.opt.Logger.Warn("the kept prefixes on the disk cannot be listed", "error", err)
	}
	for _, f := range files {
		switch {
		case s.life.Err() != nil:
			return
		case strings.HasPrefix(f.Name(), unfinished), s.opt.Disk == 0 && ours(f.Name()):
			s.mu.Lock()
			s.doom(f.Name())
			s.mu.Unlock()
		case ours(f.Name()):
			s.take(f)
		}
	}
	s.mu.Lock()
	s.makeRoomOnDisk(0)
	s.mu.Unlock()
	s.sweep()
}

// privateFolder makes a folder that only the user may look into.
func privateFolder(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	return os.Chmod(path, 0o700) // it may have been there
}

// take adds a file to what is known.
func (s *Store) take(d fs.DirEntry) {
	info, err := d.Info()
	if err != nil {
		return // it went away
	}
	f, l, err := openFile(filepath.Join(s.opt.Folder, d.Name()))
	if err == nil {
		err = f.Close()
		if d.Name() != fileName(l.identity, l.tokens) {
			err = fmt.Errorf("%w: it has another's name", errDamaged)
		}
	}
	s.mu.Lock()
	defer s.unlock()
	if err != nil {
		s.doom(d.Name())
		s.refuse(nil, d.Name(), err)
		return
	}
	sp := s.spaceOf(l.identity)
	if sp.disk.exact(l.tokens) != nil {
		return // it was written meanwhile
	}
	e := sp.ram.exact(l.tokens)
	if e == nil {
		e = &entry{space: sp, tokens: l.tokens, bytes: l.state, used: info.ModTime()}
	}
	e.file = d.Name()
	s.disk[e] = true
	s.diskUsed += e.fileBytes()
	sp.disk.add(e)
}

func (s *Store) spaceOf(identity string) *space {
	sp := s.spaces[identity]
	if sp == nil {
		sp = &space{identity: identity}
		s.spaces[identity] = sp
	}
	return sp
}

// refuse says that a file was removed because it could not be read; it counts if
// the file was not sound.
func (s *Store) refuse(sp *space, name string, err error) {
	s.opt.Logger.Warn("removing a kept prefix", "file", name, "reason", err)
	if errors.Is(err, errDamaged) {
		s.count(sp, engine.PrefixUsage{Rejected: 1})
	}
}

// read reads the state of an entry from its file.
func (s *Store) read(ctx context.Context, e *entry) ([]byte, error) {
	s.mu.Lock()
	name, identity := e.file, e.space.identity
	if e.state != nil { // it is in memory, too
		defer s.mu.Unlock()
		return e.state, nil
	}
	s.mu.Unlock()
	if name == "" {
		return nil, fmt.Errorf("fetch prefix: %w", fs.ErrNotExist)
	}
	path := filepath.Join(s.opt.Folder, name)
	state, err := readEntry(ctx, path, identity, e.tokens, e.bytes)
	now := time.Now()
	fresh := err == nil && os.Chtimes(path, time.Time{}, now) == nil
	s.mu.Lock()
	defer s.unlock()
	switch {
	case err == nil:
		e.used, e.stale = now, !fresh
		s.fetched(e, state)
	case ctx.Err() != nil:
	case e.file == name:
		s.removeFile(e)
		s.refuse(e.space, name, err)
	}
	if err != nil {
		return nil, fmt.Errorf("fetch prefix: %w", err)
	}
	return state, nil
}

// readEntry reads a state if the file still is what it was.
func readEntry(ctx context.Context, path, identity string, tokens []engine.Token, bytes int64) ([]byte, error) {
	f, l, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if l.identity != identity || l.state != bytes || len(l.tokens) != len(tokens) || shared(l.tokens, tokens) != len(tokens) {
		return nil, fmt.Errorf("%w: it is another's", errDamaged)
	}
	return readState(ctx, f, bytes)
}

// fetched notes that a state was read; it stays in memory if there is room.
func (s *Store) fetched(e *entry, state []byte) {
	if e.state == nil && e.file != "" && s.makeRoom(e.bytes) {
		e.state = state
		s.ram[e] = true
		s.ramBytes += e.bytes
		e.space.ram.add(e)
	}
}

// removeFromIndex forgets a file without touching it.
func (s *Store) removeFromIndex(e *entry) {
	s.diskUsed -= e.fileBytes()
	delete(s.disk, e)
	e.space.disk.remove(e)
	e.file = ""
}

// freshen gives files that were of use from memory their time, for the next
// process.
func (s *Store) freshen() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for e := range s.disk {
		if e.stale {
			e.stale = os.Chtimes(filepath.Join(s.opt.Folder, e.file), time.Time{}, e.used) != nil
		}
	}
}
