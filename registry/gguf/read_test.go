package gguf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// u64At overwrites eight bytes of a sound file. Bytes 8 and 16 hold the counts
// of tensors and of metadata pairs.
func u64At(b []byte, at int, v uint64) []byte {
	binary.LittleEndian.PutUint64(b[at:], v)
	return b
}

func TestReadRefuses(t *testing.T) {
	sound := func() []byte { return tinyModel().encode() }
	with := func(change func(m *rawModel)) []byte {
		m := tinyModel()
		change(m)
		return m.encode()
	}
	oneValue := func(typ uint32, payload ...byte) []byte {
		b := binary.LittleEndian.AppendUint32([]byte(magic), 3)
		b = binary.LittleEndian.AppendUint64(b, 0)
		b = binary.LittleEndian.AppendUint64(b, 1)
		b = binary.LittleEndian.AppendUint32(appendString(b, "k"), typ)
		return append(b, payload...)
	}
	le64 := func(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }
	arr := func(elem uint32, n uint64, payload ...byte) []byte {
		b := binary.LittleEndian.AppendUint32(nil, elem)
		return oneValue(9, append(append(b, le64(n)...), payload...)...)
	}
	tests := []struct {
		name string
		file []byte
		want Reason
	}{
		{"empty file", nil, ReasonEmpty},
		{"zeros of an unfinished download", make([]byte, 4096), ReasonEmpty},
		{"HTML", []byte("\n<!DOCTYPE html><html><body>Sign in</body></html>"), ReasonWebPage},
		{"HTML with a byte order mark", []byte("\xef\xbb\xbf<html>404"), ReasonWebPage},
		{"JSON error", []byte(`{"error":"Repository not found"}`), ReasonWebPage},
		{"Git LFS pointer", []byte("version https://git-lfs.github.com/spec/v1\noid sha256:ab\n"), ReasonPointer},
		{"GGML", []byte("lmgg\x01\x00\x00\x00"), ReasonOtherFormat},
		{"zip", []byte("PK\x03\x04rest"), ReasonOtherFormat},
		{"safetensors", append(le64(100), `{"__metadata__":{}}`...), ReasonOtherFormat},
		{"wrong magic", []byte("GGUX\x03\x00\x00\x00"), ReasonNotGGUF},
		{"two bytes", []byte("GG"), ReasonNotGGUF},
		{"byte-swapped magic", []byte("FUGG\x00\x00\x00\x03"), ReasonBigEndian},
		{"big-endian", []byte("GGUF\x00\x00\x00\x03\x00\x00\x00\x00"), ReasonBigEndian},
		{"version 0", []byte("GGUF\x00\x00\x00\x00"), ReasonVersion},
		{"version 1", []byte("GGUF\x01\x00\x00\x00\x00\x00\x00\x00"), ReasonVersion},
		{"version 4", []byte("GGUF\x04\x00\x00\x00\x00\x00\x00\x00"), ReasonVersion},
		{"cut in the header", sound()[:15], ReasonTruncated},
		{"cut in the metadata", sound()[:300], ReasonTruncated},
		{"cut in the last tensor", func() []byte { b := sound(); return b[:len(b)-1] }(), ReasonTruncated},
		{"too many tensors", u64At(sound(), 8, MaxTensors+1), ReasonLimit},
		{"negative tensor count", u64At(sound(), 8, math.MaxUint64), ReasonLimit},
		{"more tensors than bytes", u64At(sound(), 8, MaxTensors), ReasonTruncated},
		{"too many pairs", u64At(sound(), 16, MaxMetadataPairs+1), ReasonLimit},
		{"more pairs than bytes", u64At(sound(), 16, MaxMetadataPairs), ReasonTruncated},
		{"long key", u64At(sound(), 24, MaxKeyBytes+1), ReasonLimit},
		{"empty key", with(func(m *rawModel) { m.keys[0] = "" }), ReasonMalformed},
		{"key not UTF-8", with(func(m *rawModel) { m.keys[0] = "a\xff" }), ReasonMalformed},
		{"duplicate key", with(func(m *rawModel) { m.add("general.name", ValueOf("b")) }), ReasonDuplicateKey},
		{"long string", oneValue(8, le64(MaxStringBytes+1)...), ReasonLimit},
		{"string past the end", oneValue(8, le64(1000)...), ReasonTruncated},
		{"unknown value type", oneValue(13, 0), ReasonMalformed},
		{"bool of 2", oneValue(7, 2), ReasonMalformed},
		{"array of bool with 2", arr(7, 2, 1, 2), ReasonMalformed},
		{"array of arrays", arr(9, 1, make([]byte, 12)...), ReasonMalformed},
		{"array of unknown", arr(99, 1, 0), ReasonMalformed},
		{"long array", arr(0, MaxArrayLength+1), ReasonLimit},
		{"array past the end", arr(10, MaxArrayLength, 1, 2, 3), ReasonTruncated},
		{"array of strings past the end", arr(8, MaxArrayLength, le64(0)...), ReasonTruncated},
		{"alignment of 48", with(func(m *rawModel) { m.add("general.alignment", ValueOf(uint32(48))) }), ReasonAlignment},
		{"alignment of 0", with(func(m *rawModel) { m.add("general.alignment", ValueOf(uint32(0))) }), ReasonAlignment},
		{"alignment of 4", with(func(m *rawModel) { m.add("general.alignment", ValueOf(uint32(4))) }), ReasonAlignment},
		{"alignment of 2^31", with(func(m *rawModel) { m.add("general.alignment", ValueOf(uint32(1<<31))) }), ReasonAlignment},
		{"alignment as u64", with(func(m *rawModel) { m.add("general.alignment", ValueOf(uint64(32))) }), ReasonAlignment},
		{"duplicate tensor", with(func(m *rawModel) { m.tensors = append(m.tensors, m.tensors[0]) }), ReasonDuplicateTensor},
		{"tensor without a name", with(func(m *rawModel) { m.tensors[0].Name = "" }), ReasonMalformed},
		{"tensor with a name of 64 bytes", with(func(m *rawModel) { m.tensors[0].Name = string(bytes.Repeat([]byte("n"), 64)) }), ReasonMalformed},
		{"five dimensions", with(func(m *rawModel) { m.tensors[0].Dims = []int64{32, 1, 1, 1, 8} }), ReasonTensorShape},
		{"dimension of 0", with(func(m *rawModel) { m.tensors[0].Dims = []int64{0, 8} }), ReasonTensorShape},
		{"negative dimension", with(func(m *rawModel) { m.tensors[0].Dims = []int64{-32, 8} }), ReasonOverflow},
		{"element count overflows", with(func(m *rawModel) { m.tensors[0].Dims = []int64{1 << 40, 1 << 40} }), ReasonOverflow},
		{"byte count overflows", with(func(m *rawModel) { m.tensors[1].Dims = []int64{1 << 61} }), ReasonOverflow},
		{"end of data overflows", with(func(m *rawModel) { m.tensors[0].Dims = []int64{1<<62 - 16} }), ReasonOverflow},
		{"row not a multiple of the block", with(func(m *rawModel) { m.tensors[0].Type = TypeQ4_K }), ReasonTensorShape},
		{"removed tensor type", with(func(m *rawModel) { m.tensors[0].Type = 4 }), ReasonTensorType},
		{"unknown tensor type", with(func(m *rawModel) { m.tensors[0].Type = 43 }), ReasonTensorType},
		{"huge tensor type", with(func(m *rawModel) { m.tensors[0].Type = math.MaxUint32 }), ReasonTensorType},
		{"data past the end", with(func(m *rawModel) { m.tensors[len(m.tensors)-1].Dims = []int64{64, 1 << 24} }), ReasonTruncated},
		{"offset of another tensor", with(func(m *rawModel) { m.offset = func(i int, n int64) int64 { return 0 } }), ReasonTensorOffset},
		{"offset not padded", with(func(m *rawModel) { m.offset = func(i int, n int64) int64 { return n + int64(i%2)*8 } }), ReasonTensorOffset},
		{"offset with a gap", with(func(m *rawModel) { m.offset = func(i int, n int64) int64 { return n + int64(i)*32 } }), ReasonTensorOffset},
		{"offset beyond 63 bits", with(func(m *rawModel) { m.offset = func(int, int64) int64 { return -32 } }), ReasonOverflow},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { wantRefusal(t, second(parse(tt.file)), tt.want) })
	}
}

func second(_ *File, err error) error { return err }

// wantRefusal also wants words that a person can use.
func wantRefusal(t *testing.T, err error, want Reason) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("error = %v, want reason %q", err, want)
	}
	if e.Reason != want {
		t.Fatalf("reason = %q (%v), want %q", e.Reason, e, want)
	}
	if e.Message == "" || e.Hint == "" {
		t.Errorf("message %q or hint %q is empty", e.Message, e.Hint)
	}
}

func TestReadValues(t *testing.T) {
	m := &rawModel{version: 2}
	values := []Value{
		ValueOf(uint8(1)), ValueOf(int8(-2)), ValueOf(uint16(3)), ValueOf(int16(-4)), ValueOf(uint32(5)), ValueOf(int32(-6)),
		ValueOf(float32(0.5)), ValueOf(true), ValueOf("s"), ValueOf(uint64(1 << 60)), ValueOf(int64(-7)), ValueOf(1e300),
		ValueOf([]uint8{1, 2}), ValueOf([]int8{-1}), ValueOf([]uint16{1}), ValueOf([]int16{-1}), ValueOf([]uint32{1, 2, 3}), ValueOf([]int32{-1}),
		ValueOf([]float32{0.25}), ValueOf([]bool{true, false}), ValueOf([]string{"", "x"}), ValueOf([]uint64{1}), ValueOf([]int64{-1}), ValueOf([]float64{2}),
		ValueOf(string(bytes.Repeat([]byte("long "), 20_000))),
	}
	for i, v := range values {
		m.add(string(rune('a'+i)), v)
	}
	f := mustParse(t, m.encode())
	if f.Version != 2 || f.Metadata.Len() != len(values) {
		t.Fatalf("version %d with %d pairs, want 2 with %d", f.Version, f.Metadata.Len(), len(values))
	}
	i := 0
	for key, v := range f.Metadata.All() {
		if want := values[i]; key != m.keys[i] || v.TypeName() != want.TypeName() || !bytes.Equal(v.append(nil), want.append(nil)) {
			t.Errorf("pair %d is %s = %v (%s), want %s = %v (%s)", i, key, v.Any(), v.TypeName(), m.keys[i], want.Any(), want.TypeName())
		}
		i++
	}
}

// TestReadAllocation holds hostile headers to memory in proportion to their
// size: the promise of the package comment.
func TestReadAllocation(t *testing.T) {
	for _, elem := range []ValueType{Uint8, Bool, Uint64, String} {
		b := binary.LittleEndian.AppendUint32([]byte(magic), 3)
		b = binary.LittleEndian.AppendUint64(b, 0)
		b = binary.LittleEndian.AppendUint64(b, 1)
		b = binary.LittleEndian.AppendUint32(appendString(b, "k"), uint32(Array))
		b = binary.LittleEndian.AppendUint32(b, uint32(elem))
		b = binary.LittleEndian.AppendUint64(b, MaxArrayLength)
		b = append(b, make([]byte, 1000)...)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := parse(b)
		runtime.ReadMemStats(&after)
		wantRefusal(t, err, ReasonTruncated)
		if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
			t.Errorf("%d bytes allocated for an array of %s in a file of %d bytes", got, elem, len(b))
		}
	}
}

// shortReader ends before the size it was announced with.
type shortReader struct{ io.ReaderAt }

func TestReadShorterThanAnnounced(t *testing.T) {
	b := tinyModel().encode()
	_, err := Read(shortReader{bytes.NewReader(b[:200])}, int64(len(b)))
	wantRefusal(t, err, ReasonTruncated)
}

type failingReader struct{}

func (failingReader) ReadAt([]byte, int64) (int, error) { return 0, os.ErrPermission }

func TestReadPassesOnReadErrors(t *testing.T) {
	_, err := Read(failingReader{}, 100)
	wantRefusal(t, err, ReasonIO)
	if !errors.Is(err, os.ErrPermission) {
		t.Errorf("%v does not wrap the cause", err)
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "tiny.gguf")
	if err := os.WriteFile(path, tinyModel().encode(), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Inspect(path)
	if err != nil {
		t.Fatal(err)
	}
	if s.Name != "tiny" {
		t.Errorf("name = %q", s.Name)
	}
	_, err = Open(filepath.Join(dir, "missing.gguf"))
	if wantRefusal(t, err, ReasonIO); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v does not say that the file is missing", err)
	}
	_, err = Open(dir)
	wantRefusal(t, err, ReasonIO)
}
