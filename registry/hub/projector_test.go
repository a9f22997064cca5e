package hub

import (
	"os"
	"path/filepath"
	"testing"
)

func TestProjectorOf(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{"eyes.mmproj", "folder.mmproj/x"} {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	eyes := filepath.Join(folder, "eyes.mmproj")
	for name, want := range map[string]string{
		"eyes.gguf": eyes, "eyes-00001-of-00003.gguf": eyes, "blind.gguf": "", "folder.gguf": "", "eyes.mmproj": "", "eyes": "", ".gguf": "",
	} {
		if got := ProjectorOf(filepath.Join(folder, name)); got != want {
			t.Errorf("beside %s is %q, want %q", name, got, want)
		}
	}
}
