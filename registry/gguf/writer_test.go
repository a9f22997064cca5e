package gguf

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
)

// rewrite copies a file through Writer.
func rewrite(t testing.TB, f *File, src io.ReaderAt) []byte {
	t.Helper()
	var w Writer
	for key, v := range f.Metadata.All() {
		if err := w.Set(key, v); err != nil {
			t.Fatal(err)
		}
	}
	for i := range f.Tensors {
		tensor := &f.Tensors[i]
		err := w.Add(tensor.Name, tensor.Type, tensor.Dims, func(out io.Writer) error {
			_, err := io.Copy(out, f.Data(src, tensor))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	n, err := w.WriteTo(&out)
	if err != nil {
		t.Fatal(err)
	}
	if n != int64(out.Len()) {
		t.Fatalf("WriteTo says %d bytes and wrote %d", n, out.Len())
	}
	return out.Bytes()
}

func TestWriterRoundTrip(t *testing.T) {
	for _, align := range []uint32{0, 8, 32, 4096} {
		m := tinyModel()
		if align != 0 {
			m.tensors = nil // the raw encoder pads to the default only
		}
		raw := m.encode()
		f := mustParse(t, raw)
		if align != 0 {
			f.Metadata.set("general.alignment", ValueOf(align))
		} else {
			for i := range raw[f.DataOffset:] { // data that a wrong offset would show
				raw[f.DataOffset+int64(i)] = byte(i * 7)
			}
		}
		once := rewrite(t, f, bytes.NewReader(raw))
		g := mustParse(t, once)
		if align == 0 && !reflect.DeepEqual(f.Tensors, g.Tensors) {
			t.Errorf("tensors changed:\n%v\n%v", f.Tensors, g.Tensors)
		}
		for i := range f.Tensors {
			a, _ := io.ReadAll(f.Data(bytes.NewReader(raw), &f.Tensors[i]))
			b, _ := io.ReadAll(g.Data(bytes.NewReader(once), &g.Tensors[i]))
			if len(a) == 0 || !bytes.Equal(a, b) {
				t.Errorf("data of %s changed", f.Tensors[i].Name)
			}
		}
		if twice := rewrite(t, g, bytes.NewReader(once)); !bytes.Equal(once, twice) {
			t.Errorf("alignment %d: a second pass changed the file", align)
		}
	}
}

func zeros(n int) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(make([]byte, n))
		return err
	}
}

func TestWriterAlignsTensors(t *testing.T) {
	var w Writer
	if err := w.Set("general.alignment", ValueOf(uint32(256))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b"} {
		if err := w.Add(name, TypeF32, []int64{3}, zeros(12)); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if _, err := w.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	f := mustParse(t, out.Bytes())
	if f.DataOffset%256 != 0 || f.Tensors[1].Offset != 256 || out.Len()%256 != 0 {
		t.Errorf("data at %d, second tensor at %d, size %d: not aligned to 256", f.DataOffset, f.Tensors[1].Offset, out.Len())
	}
}

func TestWriterRefuses(t *testing.T) {
	var w Writer
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(w.Set("k", ValueOf("v")))
	must(w.Add("t", TypeF32, []int64{4}, zeros(16)))
	for name, err := range map[string]error{
		"duplicate key":    w.Set("k", ValueOf("v")),
		"empty key":        w.Set("", ValueOf("v")),
		"value of no type": w.Set("x", Value{}),
		"long string":      w.Set("x", ValueOf(strings.Repeat("x", MaxStringBytes+1))),
		"long array":       w.Set("x", ValueOf(make([]uint8, MaxArrayLength+1))),
		"odd alignment":    w.Set("general.alignment", ValueOf(uint32(33))),
		"duplicate tensor": w.Add("t", TypeF32, []int64{4}, zeros(16)),
		"unknown type":     w.Add("u", 5, []int64{4}, zeros(16)),
		"impossible row":   w.Add("u", TypeQ4_K, []int64{100}, zeros(16)),
		"long name":        w.Add(strings.Repeat("n", 64), TypeF32, []int64{4}, zeros(16)),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := w.WriteTo(io.Discard); err != nil {
		t.Errorf("a refused call has left the writer unusable: %v", err)
	}
}

func TestWriterHoldsTensorsToTheirSize(t *testing.T) {
	for name, write := range map[string]func(io.Writer) error{
		"too few bytes": zeros(15), "too many bytes": zeros(17),
		"own error": func(io.Writer) error { return errors.New("no data") },
	} {
		var w Writer
		if err := w.Add("t", TypeF32, []int64{4}, write); err != nil {
			t.Fatal(err)
		}
		if _, err := w.WriteTo(io.Discard); err == nil || !strings.Contains(err.Error(), "tensor t") {
			t.Errorf("%s: error = %v, want one that names the tensor", name, err)
		}
	}
}

type brokenDisk struct{}

func (brokenDisk) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestWriterPassesOnWriteErrors(t *testing.T) {
	var w Writer
	if err := w.Set("k", ValueOf("v")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteTo(brokenDisk{}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("error = %v, want io.ErrShortWrite", err)
	}
}
