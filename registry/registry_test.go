package registry_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/build/benchmodel/qwen3"
	"github.com/jeantrail/jeantrail-ai/registry"
)

// writeModel makes a tiny sound model file.
func writeModel(t *testing.T, path string, seed uint64) {
	t.Helper()
	shape, err := qwen3.ShapeByName("tiny")
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := qwen3.Write(t.Context(), f, qwen3.Options{Shape: shape, Vocabulary: qwen3.TinyVocabulary(), Seed: seed}); err != nil {
		t.Fatal(err)
	}
}

func newRegistry(t *testing.T, folder, fallback string, entries ...registry.Entry) *registry.Registry {
	t.Helper()
	r, err := registry.New(folder, fallback, entries)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestNamesResolveToOneModel(t *testing.T) {
	r := newRegistry(t, t.TempDir(), "a",
		registry.Entry{Name: "a", Aliases: []string{"qwen-3-72b"}, Path: "a.gguf"}, registry.Entry{Name: "b", Path: "b.gguf"})
	for name, want := range map[string]string{"": "a", "a": "a", "qwen-3-72b": "a", "b": "b"} {
		if e, err := r.Resolve(name); err != nil || e.Name != want {
			t.Errorf("Resolve(%q) = %q, %v; want %q", name, e.Name, err, want)
		}
	}
	_, err := r.Resolve("c")
	if e := jeantrail.AsError(err); e.Code != jeantrail.CodeNotFound || !strings.Contains(e.Hint, "a, b") {
		t.Errorf("Resolve of an unknown name: %+v", e)
	}
}

func TestNamesThatCannotBe(t *testing.T) {
	for name, entries := range map[string][]registry.Entry{
		"a name twice":          {{Name: "a"}, {Name: "a"}},
		"an alias that's taken": {{Name: "a"}, {Name: "b", Aliases: []string{"a"}}},
		"a path":                {{Name: "a"}, {Name: "../a"}},
		"nothing":               {{Name: "a"}, {Name: ""}},
		"a hidden file":         {{Name: "a"}, {Name: ".a"}},
		"a flag":                {{Name: "a"}, {Name: "-a"}},
	} {
		if _, err := registry.New(t.TempDir(), "a", entries); jeantrail.CodeOf(err) != jeantrail.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := registry.New(t.TempDir(), "gone", []registry.Entry{{Name: "a"}}); jeantrail.CodeOf(err) != jeantrail.CodeNotFound {
		t.Errorf("an unknown default: %v", err)
	}
}

func TestFilesOfTheFolderAreModels(t *testing.T) {
	folder := t.TempDir()
	writeModel(t, filepath.Join(folder, "mine.gguf"), 1)
	for _, other := range []string{".partial-1", "notes.txt", "big-00002-of-00003.gguf"} {
		if err := os.WriteFile(filepath.Join(folder, other), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := newRegistry(t, folder, "a", registry.Entry{Name: "a", Path: filepath.Join(folder, "gone.gguf"), NCtx: 256})
	models := r.List(t.Context())
	if len(models) != 2 || models[0].Name != "a" || models[1].Name != "mine" {
		t.Fatalf("models: %+v", models)
	}
	if m := models[0]; !m.Default || m.Status != jeantrail.ModelMissing || m.Problem == "" {
		t.Errorf("the missing one: %+v", m)
	}
	m := models[1]
	if m.Status != jeantrail.ModelAvailable || m.Architecture != "qwen3" || m.Parameters == 0 || m.Bytes == 0 {
		t.Errorf("the sound one: %+v", m)
	}
	if m.MemoryBytes <= m.Bytes*9/10 {
		t.Errorf("memory %d for a file of %d bytes", m.MemoryBytes, m.Bytes)
	}
}

func TestAChangedFileIsLookedAtAgain(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "a.gguf")
	writeModel(t, path, 1)
	r := newRegistry(t, folder, "a", registry.Entry{Name: "a", Path: path})
	if m := r.List(t.Context())[0]; m.Status != jeantrail.ModelAvailable {
		t.Fatalf("before: %+v", m)
	}
	if err := os.WriteFile(path, []byte("<html>"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if m := r.List(t.Context())[0]; m.Status != jeantrail.ModelMissing || !strings.Contains(m.Problem, "web page") {
		t.Errorf("after: %+v", m)
	}
}

func TestTheHolderSaysHowAModelIs(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "a.gguf")
	writeModel(t, path, 1)
	r := newRegistry(t, folder, "a", registry.Entry{Name: "a", Path: path})
	r.SetState("a", registry.State{Status: jeantrail.ModelReady, Progress: 1, Engine: jeantrail.EngineInfo{Device: "CPU", NCtx: 300}})
	if m := r.List(t.Context())[0]; m.Status != jeantrail.ModelReady || m.Engine.Device != "CPU" || m.NCtx != 300 {
		t.Errorf("model: %+v", m)
	}
}

func TestImport(t *testing.T) {
	source := filepath.Join(t.TempDir(), "new.gguf")
	writeModel(t, source, 1)
	folder := filepath.Join(t.TempDir(), "models")
	r := newRegistry(t, folder, "a", registry.Entry{Name: "a", Path: "a.gguf"})
	e, err := r.Import(t.Context(), source, "", nil)
	if err != nil || e.Name != "new" {
		t.Fatalf("import: %+v, %v", e, err)
	}
	if got, err := r.Resolve("new"); err != nil || got.Path != e.Path {
		t.Errorf("the imported model: %+v, %v", got, err)
	}
	if _, err := r.Import(t.Context(), source, "", nil); jeantrail.CodeOf(err) != jeantrail.CodeConflict {
		t.Errorf("a second import: %v", err)
	}
	if _, err := r.Import(t.Context(), source, "../up", nil); jeantrail.CodeOf(err) != jeantrail.CodeInvalid {
		t.Errorf("a name that leaves the folder: %v", err)
	}
	if _, err := r.Import(t.Context(), source+"x", "y", nil); jeantrail.CodeOf(err) != jeantrail.CodeNotFound {
		t.Errorf("a file that is not there: %v", err)
	}
	broken := filepath.Join(t.TempDir(), "broken.gguf")
	if err := os.WriteFile(broken, []byte("GGUF"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Import(t.Context(), broken, "", nil); jeantrail.CodeOf(err) != jeantrail.CodeInvalid {
		t.Errorf("a broken file: %v", err)
	}
	files, err := os.ReadDir(folder)
	if err != nil || len(files) != 1 {
		t.Errorf("the folder holds %v, %v", files, err)
	}
}

func TestHash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte("abc"), 0o600); err != nil {
		t.Fatal(err)
	}
	var steps []int64
	sum, err := registry.Hash(t.Context(), path, func(read, total int64) { steps = append(steps, read, total) })
	// FIPS 180-2, appendix B.1
	if want := "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"; err != nil || sum != want {
		t.Errorf("hash %s, %v", sum, err)
	}
	if len(steps) == 0 || !slices.Equal(steps[len(steps)-2:], []int64{3, 3}) {
		t.Errorf("progress: %v", steps)
	}
	gone := errors.New("gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	if _, err := registry.Hash(ctx, path, nil); !errors.Is(err, gone) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestTheBuiltInFileIsMended(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "b.gguf")
	content := []byte("the model")
	for _, damage := range []func() error{
		func() error { return nil },
		func() error { return os.WriteFile(path, []byte("the modeL"), 0o600) },
		func() error { return os.Truncate(path, 3) },
		func() error { return os.Remove(path) },
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		if err := registry.PlaceBuiltIn(path, content); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(f)
		f.Close()
		if err != nil || string(got) != string(content) {
			t.Errorf("the file holds %q, %v", got, err)
		}
	}
}
