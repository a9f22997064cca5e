package registry

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/build/benchmodel/projector"
)

// TestCopyIsWholeOrNotThere tests the way that Import takes between file
// systems, where no hard link can be made.
func TestCopyIsWholeOrNotThere(t *testing.T) {
	folder := t.TempDir()
	source, target := filepath.Join(folder, "source"), filepath.Join(folder, "target")
	content := make([]byte, 9<<20)
	content[len(content)-1] = 7
	if err := os.WriteFile(source, content, 0o600); err != nil {
		t.Fatal(err)
	}
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	err := copyFile(ctx, source, target, func(copied, _ int64) { cancel(cause) })
	if !errors.Is(err, cause) {
		t.Errorf("a cancelled copy: %v", err)
	}
	if files, _ := filepath.Glob(filepath.Join(folder, ".partial-*")); len(files) > 0 {
		t.Errorf("a cancelled copy leaves %v", files)
	}
	if _, err := os.Stat(target); err == nil {
		t.Error("a cancelled copy has its final name")
	}

	var last int64
	if err := copyFile(t.Context(), source, target, func(copied, _ int64) { last = copied }); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(target)
	if err != nil || len(got) != len(content) || got[len(got)-1] != 7 || last != int64(len(content)) {
		t.Errorf("the copy has %d bytes, progress said %d: %v", len(got), last, err)
	}
}

func TestCheckProjector(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mmproj.gguf")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = projector.Write(f, projector.Options{Kind: projector.Qwen3VL, TextWidth: 64, Seed: 1})
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	p, err := CheckProjector(path)
	if err != nil || p.Type != "qwen3vl_merger" || p.Layers != 2 || p.PatchSize != 14 || p.WeightBytes <= 0 || p.FileBytes <= p.WeightBytes {
		t.Errorf("projector %+v, %v", p, err)
	}
	if _, err := Check(path); jeantrail.CodeOf(err) != jeantrail.CodeInvalid || !strings.Contains(jeantrail.AsError(err).Hint, "mmproj_path") {
		t.Errorf("as a model: %v", err)
	}
	if _, err := CheckProjector(filepath.Join(t.TempDir(), "none.gguf")); jeantrail.CodeOf(err) != jeantrail.CodeNotFound {
		t.Errorf("a file that is not there: %v", err)
	}
}

// A projector in the models folder is a part of another model; one that the
// configuration names as a model is a mistake that is shown.
func TestAProjectorIsNoModel(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "mmproj.gguf")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = projector.Write(f, projector.Options{Kind: projector.MLP, TextWidth: 64, Seed: 1})
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	other := Entry{Name: "other", Path: filepath.Join(folder, "other.gguf")}
	r, err := New(folder, "other", []Entry{other})
	if err != nil {
		t.Fatal(err)
	}
	if got := r.List(t.Context()); len(got) != 1 || got[0].Name != "other" {
		t.Errorf("listed: %+v", got)
	}
	if err := r.Replace("other", []Entry{other, {Name: "eye", Path: path}}); err != nil {
		t.Fatal(err)
	}
	if got := r.List(t.Context()); len(got) != 2 || got[1].Name != "eye" || got[1].Problem == "" {
		t.Errorf("listed when it is configured: %+v", got)
	}
}

// TestBringIsAllOrNothing copies several files and stops in the second.
func TestBringIsAllOrNothing(t *testing.T) {
	folder := t.TempDir()
	var sources, targets []string
	for _, name := range []string{"a", "b", "c"} {
		sources, targets = append(sources, filepath.Join(folder, name)), append(targets, filepath.Join(folder, "to", name))
		if err := os.WriteFile(sources[len(sources)-1], make([]byte, 5<<20), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// A source that is gone when its turn comes: what was brought before goes too.
	if err := os.Mkdir(filepath.Join(folder, "to"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(sources[0]); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(sources[0], 0o700); err != nil { // cannot be linked nor copied, but be looked at
		t.Fatal(err)
	}
	if err := bring(t.Context(), sources, targets, nil); err == nil {
		t.Error("a folder was brought")
	}
	if left, err := filepath.Glob(filepath.Join(folder, "to", "*")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if err := os.Remove(sources[0]); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(sources[0], []byte("a"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := bring(t.Context(), sources, targets, nil); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(folder, "to", "*")); err != nil || len(left) != 3 {
		t.Errorf("brought: %v, %v", left, err)
	}
}
