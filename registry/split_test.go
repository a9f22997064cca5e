package registry_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/build/benchmodel/ggufsplit"
	"github.com/jeantrail/jeantrail-ai/registry"
	"github.com/jeantrail/jeantrail-ai/registry/gguf"
)

// writeSplit makes a tiny sound model in parts and returns their paths, and the
// facts of the whole one.
func writeSplit(t *testing.T, prefix string, parts int, seed uint64) ([]string, registry.Facts) {
	t.Helper()
	whole := filepath.Join(t.TempDir(), "whole.gguf")
	writeModel(t, whole, seed)
	facts, err := registry.Check(whole)
	if err != nil {
		t.Fatal(err)
	}
	paths, err := ggufsplit.Split(whole, prefix, parts)
	if err != nil {
		t.Fatal(err)
	}
	return paths, facts
}

// ofFiles is the sum of the sizes, and the checksum by its definition.
func ofFiles(t *testing.T, paths []string) (bytes int64, sum string) {
	t.Helper()
	var lines strings.Builder
	for _, p := range paths {
		data, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		bytes += int64(len(data))
		fmt.Fprintf(&lines, "%x\n", sha256.Sum256(data))
	}
	all := sha256.Sum256([]byte(lines.String()))
	return bytes, hex.EncodeToString(all[:])
}

func TestASplitModelIsOneModel(t *testing.T) {
	folder := t.TempDir()
	paths, whole := writeSplit(t, filepath.Join(folder, "big"), 3, 1)
	bytes, sum := ofFiles(t, paths)
	r := newRegistry(t, folder, "big")
	models := r.List(t.Context())
	if len(models) != 1 {
		t.Fatalf("models: %+v", models)
	}
	m := models[0]
	if m.Name != "big" || !m.Default || m.Status != jeantrail.ModelAvailable || m.Path != paths[0] || m.Bytes != bytes ||
		m.Parameters != whole.Parameters || m.Layers != whole.Layers || m.MemoryBytes != whole.MemoryBytes(m.NCtx) {
		t.Errorf("model: %+v", m)
	}
	if got, err := r.Checksum(t.Context(), m.Path); err != nil || got != sum {
		t.Errorf("checksum %s, %v; want %s", got, err, sum)
	}
	if m := r.List(t.Context())[0]; m.SHA256 != sum {
		t.Errorf("listed with %q", m.SHA256)
	}
	// A change of any part is seen.
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(paths[2], later, later); err != nil {
		t.Fatal(err)
	}
	if m := r.List(t.Context())[0]; m.SHA256 != "" {
		t.Error("the checksum is shown for parts that changed")
	}
	if err := os.Rename(paths[1], paths[1]+".away"); err != nil {
		t.Fatal(err)
	}
	if m := r.List(t.Context())[0]; m.Status != jeantrail.ModelMissing || !strings.Contains(m.Problem, "not there: big-00002-of-00003.gguf") {
		t.Errorf("without its second part: %+v", m)
	}
	if _, err := r.Checksum(t.Context(), m.Path); err == nil {
		t.Error("a model without its second part has a checksum")
	}
	if err := os.Rename(paths[1]+".away", paths[1]); err != nil {
		t.Fatal(err)
	}
	if m := r.List(t.Context())[0]; m.Status != jeantrail.ModelAvailable {
		t.Errorf("with it again: %+v", m)
	}
}

// TestNamesOfSplitModels: a name means one model, and who names a part is told
// which file to name.
func TestNamesOfSplitModels(t *testing.T) {
	folder := t.TempDir()
	three, _ := writeSplit(t, filepath.Join(folder, "q"), 3, 1)
	if e, err := newRegistry(t, folder, "q").Resolve("q"); err != nil || e.Path != three[0] {
		t.Errorf("alone: %+v, %v", e, err)
	}
	two, _ := writeSplit(t, filepath.Join(folder, "q"), 2, 2)
	whole := filepath.Join(folder, "q.gguf")
	writeModel(t, whole, 3)
	r := newRegistry(t, folder, "q")
	for name, path := range map[string]string{"q": whole, "q-00001-of-00002": two[0], "q-00001-of-00003": three[0]} {
		if e, err := r.Resolve(name); err != nil || e.Path != path {
			t.Errorf("%s is %+v, %v", name, e, err)
		}
	}
	if n := len(r.List(t.Context())); n != 3 {
		t.Errorf("%d models", n)
	}
	// Named by the configuration, it is not listed once more.
	r = newRegistry(t, folder, "mine", registry.Entry{Name: "mine", Path: three[0]}, registry.Entry{Name: "wrong", Path: two[1]})
	var names []string
	for _, m := range r.List(t.Context()) {
		names = append(names, m.Name)
		if m.Name == "wrong" && (m.Status != jeantrail.ModelMissing || !strings.Contains(m.Problem, "part 2 of a model")) {
			t.Errorf("the entry that names the second part: %+v", m)
		}
	}
	if got := strings.Join(names, " "); got != "mine q q-00001-of-00002 wrong" {
		t.Errorf("names: %s", got)
	}
	_, err := registry.Check(two[1])
	if e := jeantrail.AsError(err); e.Code != jeantrail.CodeInvalid || !strings.Contains(e.Hint, two[0]) {
		t.Errorf("check of the second part: %v, hint %q", err, e.Hint)
	}
}

func TestCheckNamesTheMissingPart(t *testing.T) {
	paths, _ := writeSplit(t, filepath.Join(t.TempDir(), "m"), 4, 1)
	if err := os.Remove(paths[2]); err != nil {
		t.Fatal(err)
	}
	_, err := registry.Check(paths[0])
	e := jeantrail.AsError(err)
	if e.Code != jeantrail.CodeNotFound || !strings.Contains(e.Message, "m-00003-of-00004.gguf") || e.Hint == "" {
		t.Errorf("without the third: %v, hint %q", err, e.Hint)
	}
	if _, err := registry.CheckParts(nil); jeantrail.CodeOf(err) != jeantrail.CodeInvalid {
		t.Errorf("no parts: %v", err)
	}
}

// TestCheckPartsNeedsNoNames is how a pull checks what has no names yet.
func TestCheckPartsNeedsNoNames(t *testing.T) {
	folder := t.TempDir()
	paths, whole := writeSplit(t, filepath.Join(folder, "m"), 2, 1)
	for i, p := range paths {
		paths[i] = p + ".partial"
		if err := os.Rename(p, paths[i]); err != nil {
			t.Fatal(err)
		}
	}
	facts, err := registry.CheckParts(paths)
	if err != nil || facts.Parameters != whole.Parameters || facts.FixedBytes != whole.FixedBytes {
		t.Errorf("facts %+v, %v", facts, err)
	}
	other, _ := writeSplit(t, filepath.Join(folder, "o"), 3, 1)
	if _, err := registry.CheckParts([]string{paths[0], other[1]}); jeantrail.CodeOf(err) != jeantrail.CodeInvalid {
		t.Errorf("parts of two models: %v", err)
	}
}

func TestHashModel(t *testing.T) {
	paths, _ := writeSplit(t, filepath.Join(t.TempDir(), "m"), 3, 1)
	bytes, want := ofFiles(t, paths)
	var read, total int64
	sum, err := registry.HashModel(t.Context(), paths[0], func(r, n int64) {
		if r < read || n != bytes {
			t.Errorf("progress went from %d to %d of %d", read, r, n)
		}
		read, total = r, n
	})
	if err != nil || sum.SHA256 != want || len(sum.Files) != 3 || read != total {
		t.Errorf("sum %+v, %v; want %s; %d of %d", sum, err, want, read, total)
	}
	for i, f := range sum.Files {
		if one, err := registry.HashFile(t.Context(), paths[i], nil); err != nil || f.Path != paths[i] || f.SHA256 != one || f.Bytes == 0 {
			t.Errorf("file %+v, %v", f, err)
		}
	}
	if got, err := registry.Hash(t.Context(), paths[0], nil); err != nil || got != want {
		t.Errorf("Hash gives %s, %v", got, err)
	}
	if _, err := registry.HashModel(t.Context(), paths[1], nil); jeantrail.CodeOf(err) != jeantrail.CodeInvalid {
		t.Errorf("of the second part: %v", err)
	}
}

func TestImportAndRemoveASplitModel(t *testing.T) {
	source, _ := writeSplit(t, filepath.Join(t.TempDir(), "new"), 3, 1)
	folder := filepath.Join(t.TempDir(), "models")
	r := newRegistry(t, folder, "a", registry.Entry{Name: "a", Path: "a.gguf"})
	if _, err := r.Import(t.Context(), source[1], "", nil); jeantrail.CodeOf(err) != jeantrail.CodeInvalid || !strings.Contains(jeantrail.AsError(err).Hint, source[0]) {
		t.Errorf("import of the second part: %v", err)
	}
	e, err := r.Import(t.Context(), source[0], "", nil)
	if err != nil || e.Name != "new" || e.Path != filepath.Join(folder, "new-00001-of-00003.gguf") {
		t.Fatalf("import: %+v, %v", e, err)
	}
	if _, err := registry.Check(e.Path); err != nil {
		t.Error(err)
	}
	if _, err := r.Import(t.Context(), source[0], "", nil); jeantrail.CodeOf(err) != jeantrail.CodeConflict {
		t.Errorf("a second import: %v", err)
	}
	other, err := r.Import(t.Context(), source[0], "other", nil)
	if err != nil || filepath.Base(other.Path) != "other-00001-of-00003.gguf" {
		t.Errorf("under another name: %+v, %v", other, err)
	}
	if got, err := r.Resolve("other"); err != nil || got.Path != other.Path {
		t.Errorf("resolved: %+v, %v", got, err)
	}
	if _, err := r.Import(t.Context(), source[0], "x-00001-of-00002", nil); jeantrail.CodeOf(err) != jeantrail.CodeInvalid {
		t.Errorf("under the name of a part: %v", err)
	}
	bytes, _ := ofFiles(t, source)
	if freed, err := registry.Remove(e.Path); err != nil || freed != bytes {
		t.Errorf("removed %d of %d bytes: %v", freed, bytes, err)
	}
	if left, err := filepath.Glob(filepath.Join(folder, "*")); err != nil || len(left) != 3 {
		t.Errorf("after the removal there is %v, %v", left, err)
	}
	if _, err := registry.Remove(e.Path); err == nil {
		t.Error("what is not there was removed")
	}
	if _, err := registry.Remove(gguf.PartPath(filepath.Join(folder, "other"), 2, 3)); jeantrail.CodeOf(err) != jeantrail.CodeInvalid {
		t.Errorf("the second part alone: %v", err)
	}
}

// TestAnImportThatFailsLeavesNothing finds a file of its name in the way.
func TestAnImportThatFailsLeavesNothing(t *testing.T) {
	source, _ := writeSplit(t, filepath.Join(t.TempDir(), "m"), 3, 1)
	folder := t.TempDir()
	mine := filepath.Join(folder, "m-00002-of-00003.gguf")
	if err := os.WriteFile(mine, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newRegistry(t, folder, "a", registry.Entry{Name: "a", Path: "a.gguf"})
	if _, err := r.Import(t.Context(), source[0], "", nil); jeantrail.CodeOf(err) != jeantrail.CodeConflict {
		t.Errorf("import: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(folder, "*")); err != nil || len(left) != 1 {
		t.Errorf("the folder has %v, %v", left, err)
	}
	if data, err := os.ReadFile(mine); err != nil || string(data) != "mine" {
		t.Errorf("the file that was there holds %q, %v", data, err)
	}
}
