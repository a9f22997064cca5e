package registry_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jeantrail/jeantrail-ai/registry"
)

func TestChecksumIsRememberedWhileTheFileIsTheSame(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "m.gguf")
	write := func(text string, at time.Time) string {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256([]byte(text))
		return hex.EncodeToString(sum[:])
	}
	ask := func() string {
		t.Helper()
		r := newRegistry(t, folder, "m", registry.Entry{Name: "m", Path: path}) // as after a start
		sum, err := r.Checksum(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if listed := r.List(t.Context())[0].SHA256; listed != sum {
			t.Errorf("List says %q, Checksum %q", listed, sum)
		}
		return sum
	}
	monday := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	first := write("one", monday)
	if got := ask(); got != first {
		t.Errorf("got %s, want %s", got, first)
	}
	write("two", monday) // another text of the same size and time is not read again
	if got := ask(); got != first {
		t.Errorf("the file was read again: %s", got)
	}
	third := write("two", monday.Add(time.Second))
	if got := ask(); got != third {
		t.Errorf("a changed file: got %s, want %s", got, third)
	}
	if err := os.WriteFile(filepath.Join(folder, ".checksums.json"), []byte("{damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := ask(); got != third {
		t.Errorf("after damage to what was remembered: got %s, want %s", got, third)
	}
	r := newRegistry(t, folder, "m", registry.Entry{Name: "m", Path: path})
	if _, err := r.Checksum(t.Context(), filepath.Join(folder, "gone.gguf")); err == nil {
		t.Error("a file that is not there has a checksum")
	}
}
