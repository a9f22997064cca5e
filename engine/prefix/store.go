package prefix

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/engine"
)

// collectBytes is how much memory is let go before the runtime is told to give it
// back: by itself it would keep as much again as is in use.
const collectBytes = 64 << 20

// Options configure a Store.
type Options struct {
	RAM    int64  // bytes of states in memory; 0 keeps none there
	Disk   int64  // bytes of files; 0 keeps none, and removes those that are there
	Folder string // of the files; "" keeps none
	Logger *slog.Logger
	// Resized is told how much memory is held, after it changed. Nil: nobody.
	Resized func(bytes int64)
}

// Store keeps states for every engine of the process.
type Store struct {
	opt Options

	wake chan struct{} // capacity 1: the writer has something to look at
	life context.Context
	end  context.CancelFunc
	done chan struct{} // closed when the writer has ended

	scanned  chan struct{} // closed when it is known what is on the disk
	sweeping sync.Mutex    // doomed files are removed by one at a time
	pen      chan struct{} // holds a token while a file is written

	telling sync.Mutex // Resized is called by one at a time
	told    int64

	mu       sync.Mutex
	begun    bool // the writer was started
	closing  bool
	changed  chan struct{}     // closed, and replaced, when a file was written or was not
	spaces   map[string]*space // by identity
	ram      map[*entry]bool   // in memory; one that leaves is not among them
	disk     map[*entry]bool   // in files
	ramBytes int64
	diskUsed int64    // bytes of files, those that are being written too
	leaving  *entry   // in memory beside the budget, until it is written
	freed    int64    // bytes let go since memory was given back
	doomed   []string // files to remove, which no lock waits for
	total    usage    // its counters
}

// space holds what fits one model in one kind of context.
type space struct {
	identity string // "" while it is not known
	ram      index  // one that leaves is among them
	disk     index
	usage    usage // its counters
}

// usage counts.
type usage struct{ engine.PrefixUsage }

func (u *usage) add(more engine.PrefixUsage) {
	u.Written += more.Written
	u.Evicted += more.Evicted
	u.Lost += more.Lost
	u.Rejected += more.Rejected
}

// entry is a state, in memory, in a file, or both.
type entry struct {
	space   *space
	tokens  []engine.Token
	state   []byte // nil if it is not in memory
	bytes   int64  // of the state
	file    string // "" if it is in none
	used    time.Time
	stale   bool // the file's time is older than used
	writing bool
	failed  bool // it could not be written, and is not tried again
}

func (e *entry) fileBytes() int64 {
	return fileBytes(e.space.identity, len(e.tokens), e.bytes)
}

// New makes a store. It does nothing before the first shelf is asked for.
func New(opt Options) *Store {
	if opt.Folder == "" {
		opt.Disk = 0
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Store{
		opt: opt, wake: make(chan struct{}, 1), done: make(chan struct{}),
		scanned: make(chan struct{}), pen: make(chan struct{}, 1), changed: make(chan struct{}),
		spaces: make(map[string]*space), ram: make(map[*entry]bool), disk: make(map[*entry]bool),
	}
	s.life, s.end = context.WithCancel(context.Background())
	return s
}

// Shelf implements engine.Prefixes.
func (s *Store) Shelf(identity func() string) engine.Shelf {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.begun && !s.closing {
		s.begun = true
		go s.run()
	}
	return &shelf{store: s, identity: identity, space: &space{}}
}

// Usage tells what is kept for all shelves together.
func (s *Store) Usage() engine.PrefixUsage {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.total.PrefixUsage
	u.RAMBytes, u.RAMEntries, u.DiskBytes, u.DiskEntries = s.held(), len(s.ram), s.diskUsed, len(s.disk)
	if s.leaving != nil {
		u.RAMEntries++
	}
	return u
}

// count adds to the counters of a space, nil if it is not known, and of all. The
// caller holds mu, here and below.
func (s *Store) count(sp *space, more engine.PrefixUsage) {
	if sp != nil {
		sp.usage.add(more)
	}
	s.total.add(more)
}

// held is how many bytes are in memory.
func (s *Store) held() int64 {
	n := s.ramBytes
	if s.leaving != nil {
		n += s.leaving.bytes
	}
	return n
}

// unlock ends a change, and passes on how much memory is held now.
func (s *Store) unlock() {
	s.mu.Unlock()
	if s.opt.Resized == nil {
		return
	}
	s.telling.Lock()
	defer s.telling.Unlock()
	s.mu.Lock()
	n := s.held()
	s.mu.Unlock()
	if n != s.told {
		s.told = n
		s.opt.Resized(n)
	}
}

// Drop lets go of what is in memory, to make room for something else. What is on
// no disk goes there as long as ctx allows.
func (s *Store) Drop(ctx context.Context) {
	_ = s.flush(ctx, nil) // what was not written is lost, and counted
	s.mu.Lock()
	defer s.unlock()
	for e := range s.ram {
		if !e.writing {
			s.evict(e)
		}
	}
}

// Close writes what is in memory to the disk, the most recently used first, until
// ctx ends, and stops. No engine may use a shelf any more.
func (s *Store) Close(ctx context.Context) error {
	s.mu.Lock()
	begun := s.begun && !s.closing
	s.closing = true
	s.mu.Unlock()
	if begun {
		s.nudge()
		select {
		case <-s.done:
		case <-ctx.Done():
			s.end()
			<-s.done
		}
	}
	s.end()
	err := s.flush(ctx, nil)
	s.sweep()
	s.freshen()
	s.mu.Lock()
	defer s.unlock()
	left := len(s.ram)
	for e := range s.ram {
		s.forget(e)
	}
	switch {
	case jeantrail.CodeOf(err) == jeantrail.CodeUnsupported: // there is no disk for them
		return nil
	case ctx.Err() != nil:
		s.opt.Logger.Info("there was no time to keep every prefix", "lost", left)
		return nil
	}
	return err
}

func (s *Store) nudge() {
	select {
	case s.wake <- struct{}{}:
	default: // it is awake, or will be
	}
}

// run reads what is on the disk, and then writes what is to leave memory.
func (s *Store) run() {
	defer close(s.done)
	s.scan()
	for s.life.Err() == nil {
		s.mu.Lock()
		if s.closing {
			s.mu.Unlock()
			return
		}
		e := s.next()
		collect := s.freed >= collectBytes
		if collect {
			s.freed = 0
		}
		s.mu.Unlock()
		if collect {
			debug.FreeOSMemory()
		}
		s.sweep()
		if e != nil {
			_ = s.write(s.life, e) // it was logged, and the entry knows
			continue
		}
		select {
		case <-s.wake:
		case <-s.life.Done():
		}
	}
}

// next picks what the writer writes: what leaves, else the least recently used
// while more than three quarters of memory hold what is on no disk.
func (s *Store) next() *entry {
	e := s.leaving
	if e == nil && s.unwritten() > s.opt.RAM-s.opt.RAM/4 {
		e = oldest(s.ram, func(e *entry) bool { return s.writable(e) })
	}
	if e == nil || e.writing {
		return nil
	}
	e.writing = true
	return e
}

func (s *Store) unwritten() (bytes int64) {
	for e := range s.ram {
		if e.file == "" {
			bytes += e.bytes
		}
	}
	return bytes
}

// writable reports whether an entry is in no file and could be.
func (s *Store) writable(e *entry) bool {
	return e.file == "" && !e.writing && !e.failed && e.space.identity != "" && e.fileBytes() <= s.opt.Disk
}

// flush writes every state that is only in memory to the disk, the most recently
// used first, and lets go of those in memory; of one space, or of all. It ends at
// the first that cannot be written.
func (s *Store) flush(ctx context.Context, of *space) error {
	for {
		s.mu.Lock()
		var dirty []*entry
		busy, clean := false, []*entry(nil)
		for e := range s.ram {
			switch {
			case of != nil && e.space != of:
			case e.writing:
				busy = true
			case e.file != "":
				clean = append(clean, e)
			default:
				dirty = append(dirty, e)
			}
		}
		if e := s.leaving; e != nil && (of == nil || e.space == of) {
			busy = busy || e.writing
			if !e.writing {
				dirty = append(dirty, e)
			}
		}
		for _, e := range clean {
			s.forget(e)
		}
		slices.SortFunc(dirty, func(a, b *entry) int { return cmp.Compare(b.used.UnixNano(), a.used.UnixNano()) })
		i := slices.IndexFunc(dirty, s.writable)
		if i >= 0 {
			dirty[i].writing = true
		}
		changed := s.changed
		s.unlock()
		switch {
		case i >= 0:
			if err := s.write(ctx, dirty[i]); err != nil {
				return err
			}
		case busy:
			select {
			case <-changed:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		case len(dirty) > 0:
			return unwritable(s.opt.Disk)
		default:
			return nil
		}
	}
}

// errClosed is what a shelf says that is used too late.
var errClosed = errors.New("the store of prefixes is closed")

func unwritable(disk int64) error {
	if disk == 0 {
		return jeantrail.Errorf(jeantrail.CodeUnsupported, "keep prefix: nothing is kept on the disk").
			WithHint("Set engine.prefix_disk to a size other than 0.")
	}
	return jeantrail.Errorf(jeantrail.CodeUnsupported, "keep prefix: a state cannot go to the disk: it is larger than engine.prefix_disk, writing it failed, or the model is not known yet").
		WithHint("Raise engine.prefix_disk; the log says whether writing failed.")
}
