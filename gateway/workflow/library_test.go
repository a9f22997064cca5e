package workflow_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway/workflow"
)

// storage keeps files in memory.
type storage struct {
	mu    sync.Mutex
	files map[string]string
	err   error
}

func (s *storage) Write(name string, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.files[name] = string(data)
	}
	return s.err
}

func (s *storage) Remove(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		delete(s.files, name)
	}
	return s.err
}

var builtinNames = []string{"image_description", "multimodal_analysis", "speech_to_text_to_analysis", "text_to_image", "text_to_speech"}

func names(l *workflow.Library) []string {
	var all []string
	for _, w := range l.List() {
		all = append(all, w.Name)
	}
	return all
}

func named(name string) string { return strings.Replace(full, "name: full", "name: "+name, 1) }

func TestListing(t *testing.T) {
	l := library(t, map[string]string{"x.yaml": full, "notes.txt": "no workflow"})
	if got, want := names(l), append([]string{"full"}, builtinNames...); !slices.Equal(got, want) {
		t.Errorf("workflows %v, want %v", got, want)
	}
	w, err := l.Get("full")
	if err != nil || w.BuiltIn || w.Source != full || w.Description != "Everything." || len(w.Inputs) != 6 || len(w.Stages) != 5 {
		t.Fatalf("%+v, %v", w, err)
	}
	if got, want := w.Stages[1], (jeantrail.WorkflowStage{Name: "look", Kind: jeantrail.KindText, Parallel: 1, OnError: "skip"}); got != want {
		t.Errorf("stage %+v, want %+v", got, want)
	}
	if got, want := w.Inputs[2], (jeantrail.WorkflowInput{Name: "ratio", Type: "number", Default: num("1.5"), Description: "d"}); got != want {
		t.Errorf("input %+v, want %+v", got, want)
	}
	w.Stages[0].Name, w.Inputs[0].Name = "spoilt", "spoilt"
	if again, _ := l.Get("full"); again.Stages[0].Name != "hear" || again.Inputs[0].Name != "text" {
		t.Errorf("a caller changed the library: %+v", again)
	}
	for _, name := range builtinNames {
		if w, err := l.Get(name); err != nil || !w.BuiltIn || w.Source == "" {
			t.Errorf("%s: %+v, %v", name, w, err)
		}
	}
}

func TestUnknownWorkflow(t *testing.T) {
	l := library(t, nil)
	_, err := l.Get("text-to-imag")
	_, _, other := l.Resolve("text-to-imag")
	for _, err := range []error{err, other} {
		if e := jeantrail.AsError(err); e.Code != jeantrail.CodeNotFound || !strings.HasPrefix(e.Hint, "Did you mean text_to_image?") {
			t.Errorf("%v (%s)", err, e.Hint)
		}
	}
}

func TestPutAndDelete(t *testing.T) {
	s := &storage{files: map[string]string{"mine.yaml": named("full")}}
	l, err := workflow.New(workflow.Options{Files: mapFS(s.files), Storage: s})
	if err != nil {
		t.Fatal(err)
	}
	mine := strings.Replace(named("text_to_image"), "Everything.", "Mine.", 1)
	if w, err := l.Put("text_to_image", []byte(mine)); err != nil || w.BuiltIn || w.Source != mine || s.files["text_to_image.yaml"] != mine {
		t.Fatalf("put: %+v, %v, %v", w, err, s.files)
	}
	// A workflow stays in the file that it was found in; a new one never takes the
	// file of another.
	if _, err := l.Put("full", []byte(strings.Replace(full, "Everything.", "New.", 1))); err != nil || !strings.Contains(s.files["mine.yaml"], "New.") {
		t.Errorf("put: %v, %v", err, s.files)
	}
	if _, err := l.Put("mine", []byte(named("mine"))); err != nil || s.files["_mine.yaml"] == "" || !strings.Contains(s.files["mine.yaml"], "New.") {
		t.Errorf("put: %v, %v", err, s.files)
	}
	again, err := workflow.New(workflow.Options{Files: mapFS(s.files), Storage: s})
	if err != nil || !slices.Equal(names(again), names(l)) {
		t.Errorf("the next start finds %v, %v", again, err)
	}
	if w, _ := l.Get("text_to_image"); w.Description != "Mine." {
		t.Errorf("it was not replaced: %+v", w)
	}
	if err := l.Delete("text_to_image"); err != nil || s.files["text_to_image.yaml"] != "" {
		t.Errorf("delete: %v, %v", err, s.files)
	}
	if w, err := l.Get("text_to_image"); err != nil || !w.BuiltIn {
		t.Errorf("the built-in one is not back: %+v, %v", w, err)
	}
	if err := l.Delete("text_to_image"); jeantrail.CodeOf(err) != jeantrail.CodeConflict {
		t.Errorf("the built-in one was deleted: %v", err)
	}
	if err := l.Delete("nothing"); jeantrail.CodeOf(err) != jeantrail.CodeNotFound {
		t.Errorf("nothing was deleted: %v", err)
	}
}

func TestPutIsRefused(t *testing.T) {
	s := &storage{files: make(map[string]string)}
	l, err := workflow.New(workflow.Options{Storage: s})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, source, message string }{
		{"../x", full, `"../x" is not a name for a workflow`},
		{"Full", full, `"Full" is not a name for a workflow`},
		{"", full, `"" is not a name for a workflow`},
		{"other", full, "the workflow is named full, not other"},
		{"full", "name: full", "full.yaml:1: stages: it is missing\nfull.yaml:1: output: it is missing"},
		{"full", strings.Replace(full, "kind: image", "kind: images", 1), `full.yaml:17: stages[1].kind: "images" is not known`},
	} {
		_, err := l.Put(c.name, []byte(c.source))
		if e := jeantrail.AsError(err); err == nil || e.Code != jeantrail.CodeInvalid || !strings.HasPrefix(e.Message, c.message) {
			t.Errorf("%q: got %v, want %s", c.name, err, c.message)
		}
	}
	s.err = jeantrail.Errorf(jeantrail.CodeStorageFull, "the disk is full")
	if _, err := l.Put("full", []byte(full)); jeantrail.CodeOf(err) != jeantrail.CodeStorageFull {
		t.Errorf("put on a full disk: %v", err)
	}
	s.err = errors.New("broken")
	if _, err := l.Put("full", []byte(full)); jeantrail.CodeOf(err) != jeantrail.CodeInternal {
		t.Errorf("put on a broken disk: %v", err)
	}
	if got := names(l); !slices.Equal(got, builtinNames) || len(s.files) > 0 {
		t.Errorf("something was kept: %v, %v", got, s.files)
	}
	if _, err := library(t, nil).Put("full", []byte(full)); jeantrail.CodeOf(err) != jeantrail.CodeUnsupported {
		t.Errorf("put without a storage: %v", err)
	}
}

func TestBadFilesAreToldTogether(t *testing.T) {
	_, err := workflow.New(workflow.Options{Files: mapFS(map[string]string{
		"a.yaml": "name: a", "b.yaml": named("b"), "c.yaml": named("b"), "d.yaml": "[",
	})})
	for _, part := range []string{"a.yaml:1: stages", "c.yaml: b.yaml also has a workflow b", "d.yaml:1: workflow: the file is not valid YAML"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("got %v, want %s", err, part)
		}
	}
}

func TestLibraryIsUsedAtOnce(t *testing.T) {
	s := &storage{files: make(map[string]string)}
	l, err := workflow.New(workflow.Options{Storage: s})
	if err != nil {
		t.Fatal(err)
	}
	var users sync.WaitGroup
	for i := range 8 {
		users.Go(func() {
			name := fmt.Sprintf("w%d", i%4)
			for range 20 {
				if _, err := l.Put(name, []byte(named(name))); err != nil {
					t.Error(err)
				}
				if len(l.List()) < len(builtinNames) {
					t.Error("a built-in workflow is missing")
				}
				if err := l.Delete(name); err != nil && jeantrail.CodeOf(err) != jeantrail.CodeNotFound && jeantrail.CodeOf(err) != jeantrail.CodeConflict {
					t.Error(err)
				}
			}
		})
	}
	users.Wait()
	for _, name := range names(l) {
		if !slices.Contains(builtinNames, name) && s.files[name+".yaml"] == "" {
			t.Errorf("%s is not in the storage", name)
		}
	}
	if len(s.files)+len(builtinNames) != len(l.List()) {
		t.Errorf("the storage has %v, the library %v", s.files, names(l))
	}
}
