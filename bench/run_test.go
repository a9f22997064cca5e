package bench

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/jeantrail/jeantrail-ai"
)

func TestRun(t *testing.T) {
	r := rawReport()
	r.ID = "01942000-0000-4000-8000-00000000000a"
	run, err := r.Run()
	if err != nil {
		t.Fatal(err)
	}
	if run.ID != r.ID || run.Kind != jeantrail.BenchRaw || !run.CreatedAt.Equal(r.CreatedAt) || len(run.Rows) != len(r.Rows) || len(run.Columns) != len(run.Rows[0]) {
		t.Errorf("%+v", run)
	}
	again, err := Read(bytes.NewReader(run.Report))
	if err != nil || !reflect.DeepEqual(again, r) {
		t.Errorf("read back %+v, error %v", again, err)
	}
	for name, change := range map[string]func(*Report){
		"no id": func(r *Report) { r.ID = "" }, "a path": func(r *Report) { r.ID = "../x" },
		"capitals": func(r *Report) { r.ID = strings.ToUpper(r.ID) }, "no rows": func(r *Report) { r.Rows = nil },
	} {
		other := *r
		change(&other)
		if _, err := other.Run(); jeantrail.CodeOf(err) != jeantrail.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The kinds here are those of the words.
func TestKinds(t *testing.T) {
	var kinds []Kind
	for _, k := range jeantrail.BenchKinds() {
		kinds = append(kinds, Kind(k))
	}
	if !reflect.DeepEqual(kinds, Kinds()) {
		t.Errorf("%v here, %v in words", Kinds(), kinds)
	}
}
