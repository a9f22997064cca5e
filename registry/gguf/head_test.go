package gguf

import (
	"bytes"
	"maps"
	"reflect"
	"testing"
)

func TestAHeadIsWhatReadGives(t *testing.T) {
	var w Writer
	m := tinyModel()
	for i, key := range m.keys {
		if err := w.Set(key, m.values[i]); err != nil {
			t.Fatal(err)
		}
	}
	head := w.Head()
	var file bytes.Buffer
	if _, err := w.WriteTo(&file); err != nil {
		t.Fatal(err)
	}
	read := mustParse(t, file.Bytes())
	if got, want := maps.Collect(head.Metadata.All()), maps.Collect(read.Metadata.All()); !reflect.DeepEqual(got, want) {
		t.Errorf("metadata %v, want %v", got, want)
	}
	if head.Version != read.Version || head.Alignment != read.Alignment || len(head.Tensors) != len(read.Tensors) {
		t.Errorf("head %+v, want %+v", head, read)
	}
	got, err1 := EstimateMemory(head, MemoryOptions{Context: 300})
	want, err2 := EstimateMemory(read, MemoryOptions{Context: 300})
	if got != want || err1 != nil || err2 != nil {
		t.Errorf("estimated %+v, %v; want %+v, %v", got, err1, want, err2)
	}
	if err := w.Set("general.alignment", ValueOf(uint32(64))); err != nil {
		t.Fatal(err)
	}
	if head.Metadata.Len() != len(m.keys) || w.Head().Alignment != 64 {
		t.Errorf("a later Set changes the head, or its alignment is not taken: %d", w.Head().Alignment)
	}
}
