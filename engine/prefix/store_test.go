package prefix_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/engine"
	"github.com/jeantrail/jeantrail-ai/engine/prefix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const stateBytes = 1000

// tokens is a conversation of n tokens that begins like others of the same kind.
func tokens(kind, n int) []engine.Token {
	t := make([]engine.Token, n)
	for i := range t {
		t[i] = engine.Token(kind*1000 + i)
	}
	return t
}

func state(fill byte) []byte { return bytes.Repeat([]byte{fill}, stateBytes) }

func open(t *testing.T, o prefix.Options) *prefix.Store {
	t.Helper()
	s := prefix.New(o)
	t.Cleanup(func() { closeStore(t, s) })
	return s
}

func closeStore(t *testing.T, s *prefix.Store) {
	t.Helper()
	if err := s.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

func shelf(s *prefix.Store, identity string) engine.Shelf {
	return s.Shelf(func() string { return identity })
}

// found is how much of a conversation is kept where.
func found(h engine.Shelf, want []engine.Token) (ram, disk int) {
	r, d := h.Find(want)
	return r.Common, d.Common
}

func put(t *testing.T, h engine.Shelf, tokens []engine.Token, fill byte) {
	t.Helper()
	if err := h.Put(t.Context(), tokens, state(fill), time.Now()); err != nil {
		t.Fatal(err)
	}
}

func flush(t *testing.T, h engine.Shelf) {
	t.Helper()
	if err := h.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestFindsTheLongestBeginning(t *testing.T) {
	h := shelf(open(t, prefix.Options{RAM: 1 << 20}), "m")
	whole := tokens(1, 400)
	other := slices.Concat(whole[:300], tokens(7, 50))
	far := slices.Concat(whole[:100], tokens(8, 10))
	for i, kept := range [][]engine.Token{whole, other, far, tokens(2, 300)} {
		h.Keep(kept, state(byte(i)))
	}
	for name, c := range map[string]struct {
		ask    []engine.Token
		common int
		fill   byte
	}{
		"goes on":           {slices.Concat(whole, tokens(9, 5)), 400, 0},
		"ends before":       {whole[:350], 350, 0},
		"the other":         {slices.Concat(other, tokens(9, 5)), 350, 1},
		"between":           {slices.Concat(whole[:310], tokens(9, 5)), 310, 0},
		"shortest of equal": {slices.Concat(whole[:50], tokens(9, 5)), 50, 2},
		"another":           {tokens(2, 500), 300, 3},
		"nothing":           {tokens(5, 10), 0, 0},
	} {
		p, disk := h.Find(c.ask)
		if p.Common != c.common || p.Common > 0 && p.State[0] != c.fill || disk.Common != 0 {
			t.Errorf("%s: %d tokens of state %v, %d on the disk", name, p.Common, p.State[:min(1, len(p.State))], disk.Common)
		}
	}
	if ram, _ := found(shelf(open(t, prefix.Options{RAM: 1 << 20}), "m"), whole); ram != 0 {
		t.Error("another store has it")
	}
}

func TestMemoryIsBounded(t *testing.T) {
	var most int64
	s := open(t, prefix.Options{RAM: 3 * stateBytes, Resized: func(n int64) { most = max(most, n) }})
	a, b := shelf(s, "a"), shelf(s, "b")
	for i := range 3 {
		a.Keep(tokens(i, 300), state(byte(i)))
	}
	p, _ := a.Find(tokens(0, 300))
	a.Touch(p)
	b.Keep(tokens(9, 300), state(9)) // one budget for both
	for i, want := range []int{300, 0, 300} {
		if ram, _ := found(a, tokens(i, 300)); ram != want {
			t.Errorf("%d tokens of number %d are kept, want %d", ram, i, want)
		}
	}
	if a.Admit(3*stateBytes+1) || !a.Admit(3*stateBytes) {
		t.Error("what is larger than the budget is admitted, or what is not is refused")
	}
	a.Keep(tokens(4, 300), make([]byte, 3*stateBytes+1))
	if u := s.Usage(); u.RAMBytes != 0 || most > 3*stateBytes || u.Lost != 5 || u.Evicted != 4 {
		t.Errorf("%+v, at most %d bytes", u, most)
	}
}

// A conversation that went on takes the place of what it was, unless that is much
// shorter: then it is less to load.
func TestLongerSupersedesShorter(t *testing.T) {
	for _, onDisk := range []bool{false, true} {
		h := shelf(open(t, prefix.Options{RAM: 1 << 20, Disk: 1 << 20, Folder: t.TempDir()}), "m")
		all := tokens(1, 1000)
		for _, n := range []int{300, 700, 1000} {
			put(t, h, slices.Clone(all[:n]), 1)
			if onDisk {
				flush(t, h)
			}
		}
		u := h.Usage()
		if n := u.RAMEntries + u.DiskEntries; n != 2 {
			t.Errorf("on disk %v: %d are kept, want 300 and 1000 tokens", onDisk, n)
		}
	}
}

// What falls out of memory goes to the disk, by itself.
func TestWhatLeavesMemoryIsWritten(t *testing.T) {
	for _, ram := range []int64{0, stateBytes, 4 * stateBytes} {
		s := open(t, prefix.Options{RAM: ram, Disk: 1 << 20, Folder: t.TempDir()})
		h := shelf(s, "m")
		for i := range 8 {
			put(t, h, tokens(i, 300), byte(i))
		}
		u := s.Usage()
		if u.RAMBytes > ram+stateBytes || u.Lost != 0 {
			t.Errorf("with %d bytes: %+v", ram, u)
		}
		flush(t, h)
		for i := range 8 {
			if _, disk := found(h, tokens(i, 300)); disk != 300 {
				t.Errorf("with %d bytes number %d is on no disk", ram, i)
			}
		}
	}
}

// Keep never waits: with no room it drops, and one at a time leaves for the disk.
func TestKeepDoesNotWait(t *testing.T) {
	s := open(t, prefix.Options{Disk: 1 << 20, Folder: t.TempDir()})
	h := shelf(s, "m")
	for i := range 50 {
		h.Keep(tokens(i, 300), state(byte(i)))
		if n := s.Usage().RAMBytes; n > stateBytes {
			t.Errorf("%d bytes are in memory", n)
		}
	}
	flush(t, h)
	u := s.Usage()
	if u.Written == 0 || u.Written+u.Lost != 50 || u.RAMBytes != 0 {
		t.Errorf("%+v", u)
	}
}

func TestUnknownModel(t *testing.T) {
	folder := t.TempDir()
	s := open(t, prefix.Options{RAM: 1 << 20, Disk: 1 << 20, Folder: folder})
	identity := ""
	h := s.Shelf(func() string { return identity })
	put(t, h, tokens(1, 300), 1)
	if err := h.Flush(t.Context()); jeantrail.CodeOf(err) != jeantrail.CodeUnsupported || h.Lasting() {
		t.Errorf("%v, lasting %v", err, h.Lasting())
	}
	stranger := s.Shelf(func() string { return "" })
	if ram, _ := found(stranger, tokens(1, 300)); ram != 0 {
		t.Error("another unknown model was given it")
	}
	put(t, stranger, tokens(1, 300), 9)
	stranger.Close()
	identity = "m"
	if ram, _ := found(h, tokens(1, 300)); ram != 300 || !h.Lasting() {
		t.Errorf("%d tokens are left when the model is known", ram)
	}
	if u := s.Usage(); u.RAMEntries != 1 {
		t.Errorf("%+v", u)
	}
	h.Close()
	again := shelf(s, "m") // the model was unloaded and loaded again
	if ram, _ := found(again, tokens(1, 300)); ram != 300 {
		t.Errorf("%d tokens are left for the next engine", ram)
	}
	h.Keep(tokens(2, 300), state(2))
	if ram, _ := found(again, tokens(2, 300)); ram != 0 {
		t.Error("a closed shelf still keeps")
	}
}

// Close ends when its context does, and leaves nothing half written.
func TestCloseWithoutTime(t *testing.T) {
	folder := t.TempDir()
	s := prefix.New(prefix.Options{RAM: 64 << 20, Disk: 64 << 20, Folder: folder})
	h := shelf(s, "m")
	for i := range 4 {
		h.Keep(tokens(i, 300), make([]byte, 8<<20))
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil || slices.ContainsFunc(names, func(n string) bool { return strings.Contains(n, "unfinished") }) {
		t.Errorf("left: %v, %v", names, err)
	}
	if err := s.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if err := h.Put(t.Context(), tokens(1, 300), state(1), time.Now()); err == nil {
		t.Error("a closed store takes a state")
	}
}

// Drop makes room in memory; what can goes to the disk before.
func TestDrop(t *testing.T) {
	for _, disk := range []int64{0, 1 << 20} {
		var now int64
		s := open(t, prefix.Options{RAM: 1 << 20, Disk: disk, Folder: t.TempDir(), Resized: func(n int64) { now = n }})
		h := shelf(s, "m")
		put(t, h, tokens(1, 300), 1)
		if now != stateBytes {
			t.Errorf("%d bytes were told", now)
		}
		s.Drop(t.Context())
		if _, on := found(h, tokens(1, 300)); now != 0 || (on == 300) != (disk > 0) {
			t.Errorf("disk %d: %d bytes are told, %d tokens are on the disk", disk, now, on)
		}
	}
}

// A folder that cannot be used costs nothing but the disk.
func TestFolderThatIsAFile(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(folder, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := prefix.New(prefix.Options{RAM: 1 << 20, Disk: 1 << 20, Folder: folder})
	h := shelf(s, "m")
	put(t, h, tokens(1, 300), 1)
	if err := h.Flush(t.Context()); err == nil {
		t.Error("it was written to a file's inside")
	}
	if ram, _ := found(h, tokens(1, 300)); ram != 300 {
		t.Error("memory has lost it")
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestFetchEndsWithItsContext(t *testing.T) {
	h := shelf(open(t, prefix.Options{Disk: 1 << 20, Folder: t.TempDir()}), "m")
	put(t, h, tokens(1, 300), 1)
	_, p := h.Find(tokens(1, 300))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Fetch(ctx, p); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := h.Fetch(t.Context(), p); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	h.Reject(p)
	if _, err := h.Fetch(t.Context(), p); err == nil || h.Usage().Rejected != 1 {
		t.Errorf("a rejected state was fetched")
	}
}
