package prefix_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/engine"
	"github.com/jeantrail/jeantrail-ai/engine/prefix"
)

func TestFilesComeBack(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "prefix")
	o := prefix.Options{RAM: 1 << 20, Disk: 1 << 20, Folder: folder}
	s := open(t, o)
	h := shelf(s, "m")
	put(t, h, tokens(1, 300), 1)
	put(t, h, tokens(2, 300), 2)
	flush(t, h)
	put(t, h, tokens(3, 300), 3) // written by Close
	closeStore(t, s)

	info, err := os.Stat(folder)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	h = shelf(open(t, o), "m")
	put(t, h, tokens(4, 300), 4)
	flush(t, h) // the folder was read by now
	for i := 1; i <= 3; i++ {
		_, p := h.Find(tokens(i, 400))
		if p.Common != 300 || p.State != nil || p.Tier != engine.TierDisk || p.Bytes != stateBytes {
			t.Fatalf("number %d: %+v", i, p)
		}
		got, err := h.Fetch(t.Context(), p)
		if err != nil || !bytes.Equal(got, state(byte(i))) {
			t.Errorf("number %d: %v", i, err)
		}
		if ram, _ := found(h, tokens(i, 400)); ram != 300 {
			t.Errorf("number %d is not in memory now", i)
		}
	}
	if ram, disk := found(shelf(open(t, o), "other"), tokens(1, 300)); ram+disk != 0 {
		t.Error("it fits another model")
	}
}

// Nothing that is not whole and sound is given out, and it is removed.
func TestUnsoundFiles(t *testing.T) {
	for name, damage := range map[string]func(data []byte) []byte{
		"empty":              func([]byte) []byte { return nil },
		"cut in the header":  func(d []byte) []byte { return d[:20] },
		"cut in the tokens":  func(d []byte) []byte { return d[:100] },
		"cut in the state":   func(d []byte) []byte { return d[:len(d)-10] },
		"too long":           func(d []byte) []byte { return append(d, 0) },
		"another version":    func(d []byte) []byte { d[8]++; return d },
		"another magic":      func(d []byte) []byte { d[0]++; return d },
		"huge numbers":       func(d []byte) []byte { copy(d[12:28], bytes.Repeat([]byte{0xFF}, 16)); return d },
		"bit in a token":     func(d []byte) []byte { d[40] ^= 4; return d },
		"bit in the state":   func(d []byte) []byte { d[len(d)-500] ^= 1; return d },
		"bit in its sum":     func(d []byte) []byte { d[len(d)-1] ^= 1; return d },
		"another's contents": nil,
	} {
		t.Run(name, func(t *testing.T) { unsound(t, damage) })
	}
}

func unsound(t *testing.T, damage func(data []byte) []byte) {
	folder := t.TempDir()
	o := prefix.Options{RAM: 1 << 20, Disk: 1 << 20, Folder: folder}
	s := open(t, o)
	h := shelf(s, "m")
	put(t, h, tokens(1, 300), 1)
	flush(t, h)
	first, _ := filepath.Glob(filepath.Join(folder, "*"))
	put(t, h, tokens(2, 300), 2)
	closeStore(t, s)

	from := first[0]
	if damage == nil { // it has another's contents
		all, _ := filepath.Glob(filepath.Join(folder, "*"))
		from = all[slices.IndexFunc(all, func(f string) bool { return f != first[0] })]
		damage = func(d []byte) []byte { return d }
	}
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(first[0], damage(data), 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, o)
	h = shelf(s, "m")
	put(t, h, tokens(3, 300), 3)
	flush(t, h) // the folder was read by now
	if _, p := h.Find(tokens(1, 300)); p.Common > 0 {
		if got, err := h.Fetch(t.Context(), p); err == nil {
			t.Errorf("%d bytes were given out", len(got))
		}
	}
	if _, disk := found(h, tokens(1, 300)); disk != 0 {
		t.Error("it is still offered")
	}
	if n := s.Usage().Rejected; n != 1 {
		t.Errorf("%d files were rejected", n)
	}
	if _, disk := found(h, tokens(2, 300)); disk != 300 {
		t.Error("the sound file is gone, too")
	}
	closeStore(t, s)
	if _, err := os.Stat(first[0]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}
}

// The folder stays within its budget; what is used least goes first. Files of
// others are left alone.
func TestDiskIsBounded(t *testing.T) {
	folder := t.TempDir()
	foreign := filepath.Join(folder, "notes.txt")
	half := filepath.Join(folder, ".unfinished-123")
	for _, f := range []string{foreign, half} {
		if err := os.WriteFile(f, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, prefix.Options{RAM: 1 << 20, Disk: 3 * 2400, Folder: folder})
	h := shelf(s, "m")
	for i := range 3 {
		put(t, h, tokens(i, 300), byte(i))
		flush(t, h)
	}
	_, p := h.Find(tokens(0, 300))
	if _, err := h.Fetch(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	put(t, h, tokens(3, 300), 3)
	flush(t, h)
	for i, want := range []int{300, 0, 300, 300} {
		if _, disk := found(h, tokens(i, 300)); disk != want {
			t.Errorf("%d tokens of number %d are on the disk, want %d", disk, i, want)
		}
	}
	if err := h.Put(t.Context(), tokens(4, 300), make([]byte, 2<<20), time.Now()); jeantrail.CodeOf(err) != jeantrail.CodeUnsupported {
		t.Errorf("larger than everything: %v", err)
	}
	closeStore(t, s)
	if _, err := os.Stat(foreign); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(half); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the unfinished file is still there: %v", err)
	}
	if names, _ := filepath.Glob(filepath.Join(folder, "*.kv")); len(names) != 3 {
		t.Errorf("%d files", len(names))
	}

	// A budget of 0 removes them.
	s = open(t, prefix.Options{RAM: 1 << 20, Folder: folder})
	h = shelf(s, "m")
	put(t, h, tokens(5, 300), 5)
	if err := h.Flush(t.Context()); jeantrail.CodeOf(err) != jeantrail.CodeUnsupported {
		t.Errorf("flush without a disk: %v", err)
	}
	closeStore(t, s)
	if names, _ := filepath.Glob(filepath.Join(folder, "*")); len(names) != 1 || names[0] != foreign {
		t.Errorf("left: %v", names)
	}
}
