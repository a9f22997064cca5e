package gguf

import (
	"bytes"
	"strings"
	"testing"
)

// shrink divides the widths of a model by 8: small seeds mutate faster.
func shrink(m *rawModel) *rawModel {
	for i, key := range m.keys {
		if n, ok := As[uint32](m.values[i]); ok && strings.HasSuffix(key, "_length") && n < 512 {
			m.values[i] = ValueOf(n / 8)
		}
	}
	for i := range m.tensors {
		for j, d := range m.tensors[i].Dims {
			if d >= 16 {
				m.tensors[i].Dims[j] = d / 8
			}
		}
	}
	return m
}

func addSeeds(f *testing.F) {
	for _, m := range []*rawModel{shrink(tinyModel()), shrink(tinyMoE())} {
		b := m.encode()
		file, err := parse(b)
		if err != nil {
			f.Fatal(err)
		}
		if err := Validate(file); err != nil {
			f.Fatal(err) // a seed that is refused early reaches no later rule
		}
		f.Add(b)
		f.Add(b[:300])
	}
	f.Add(tinyProjector().encode())
	f.Add(fusedProjector().encode())
	arrays := &rawModel{version: 2}
	arrays.add("a", ValueOf([]string{"x", ""}))
	arrays.add("b", ValueOf([]bool{true}))
	arrays.add("c", ValueOf([]float64{1}))
	f.Add(arrays.encode())
	f.Add((&rawModel{version: 3}).encode())
	f.Add([]byte("<html>"))
}

// FuzzRead holds Read to its promises on any bytes: no panic, memory in
// proportion to the input, tensors inside the file, and, for what it accepts,
// the same content after a pass through Writer.
func FuzzRead(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		file, allocated, err := read(bytes.NewReader(b), int64(len(b)))
		// The dearest is a pair with an empty string or a single number:
		// 14 bytes of input against pairCost.
		if most := int64(len(b))*20 + 64; allocated > most {
			t.Fatalf("%d bytes kept for an input of %d", allocated, len(b))
		}
		if err != nil {
			if err.Reason == "" || err.Message == "" || err.Hint == "" {
				t.Fatalf("incomplete error %#v", err)
			}
			return
		}
		for _, tensor := range file.Tensors {
			if end := file.DataOffset + tensor.Offset + tensor.Bytes; end > int64(len(b)) || end < 0 {
				t.Fatalf("tensor %q ends at %d of %d", tensor.Name, end, len(b))
			}
		}
		checkRewrite(t, file, b)
	})
}

func checkRewrite(t *testing.T, file *File, b []byte) {
	once := rewrite(t, file, bytes.NewReader(b))
	again, err := parse(once)
	if err != nil {
		t.Fatalf("Writer made a file that Read refuses: %v", err)
	}
	if again.Metadata.Len() != file.Metadata.Len() || len(again.Tensors) != len(file.Tensors) {
		t.Fatal("a pass through Writer lost content")
	}
	for key, v := range file.Metadata.All() {
		w, _ := again.Metadata.Get(key)
		// Compared as bytes: a NaN does not equal itself.
		if w.data == nil || !bytes.Equal(v.append(nil), w.append(nil)) {
			t.Fatalf("%q changed from %v to %v", key, v.Any(), w.Any())
		}
	}
	if twice := rewrite(t, again, bytes.NewReader(once)); !bytes.Equal(once, twice) {
		t.Fatal("a second pass through Writer changed the file")
	}
}

// FuzzValidate holds everything that looks at a file to not panicking, and
// Validate to what its callers rely on: bounded counts and sizes.
func FuzzValidate(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := parse(b)
		if err != nil {
			return
		}
		s := Summarize(file)
		_ = ValidateVocabulary(file)
		if ValidateProjector(file) == nil && file.Architecture() != "clip" {
			t.Fatalf("a projector of the architecture %q", file.Architecture())
		}
		if Validate(file) != nil {
			return
		}
		if s.Layers < 1 || s.Layers > MaxLayers || s.Vocabulary < 1 || s.Experts > MaxExperts || s.BOS >= s.Vocabulary {
			t.Fatalf("accepted with %+v", s)
		}
		m, err := EstimateMemory(file, MemoryOptions{Context: 1 << 40})
		if err != nil {
			t.Fatalf("accepted, but its memory is unknown: %v", err)
		}
		if m.KV < 0 || m.Compute < 0 || m.Output < 0 || m.Total < m.Weights {
			t.Fatalf("memory overflows: %+v", m)
		}
	})
}
