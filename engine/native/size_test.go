//go:build cgo

package native

import (
	"os"
	"path/filepath"
	"testing"
)

func TestModelSizeIsThatOfAllParts(t *testing.T) {
	folder := t.TempDir()
	for name, size := range map[string]int{"m-00001-of-00003.gguf": 5, "m-00002-of-00003.gguf": 7, "m-00003-of-00003.gguf": 11, "m.gguf": 13, "x-00001-of-y.gguf": 17} {
		if err := os.WriteFile(filepath.Join(folder, name), make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]int64{"m-00001-of-00003.gguf": 23, "m-00002-of-00003.gguf": 7, "m.gguf": 13, "x-00001-of-y.gguf": 17, "none.gguf": 0} {
		if got := modelSize(filepath.Join(folder, name)); got != want {
			t.Errorf("%s has %d bytes, want %d", name, got, want)
		}
	}
	if got := modelSize(""); got != 0 {
		t.Errorf("no file has %d bytes", got)
	}
}
