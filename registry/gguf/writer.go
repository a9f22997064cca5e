package gguf

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"unicode/utf8"
)

// Writer collects metadata and tensors and writes them as a GGUF v3 file. The
// tensors' bytes are asked for while writing, one tensor after the other, so a
// model larger than memory can be written. The zero Writer is ready for use.
type Writer struct {
	meta    Metadata
	tensors []pendingTensor
	names   map[string]bool
}

type pendingTensor struct {
	Tensor
	write func(io.Writer) error
}

// Set appends a metadata pair. The pairs are written in the order of the calls.
func (w *Writer) Set(key string, v Value) error {
	switch {
	case key == "" || len(key) > MaxKeyBytes || !utf8.ValidString(key):
		return fmt.Errorf("set metadata: key %.80q is empty, too long or not UTF-8", key)
	case v.data == nil:
		return fmt.Errorf("set metadata %s: the value has no type, make it with ValueOf", key)
	case w.meta.Len() == MaxMetadataPairs:
		return fmt.Errorf("set metadata %s: %d pairs are the limit", key, MaxMetadataPairs)
	}
	if err := checkLengths(v); err != nil {
		return fmt.Errorf("set metadata %s: %w", key, err)
	}
	if key == "general.alignment" {
		probe := &File{}
		probe.Metadata.set(key, v)
		if err := readAlignment(probe); err != nil {
			return fmt.Errorf("set metadata: %w", err)
		}
	}
	if !w.meta.set(key, v) {
		return fmt.Errorf("set metadata %s: the key is already set", key)
	}
	return nil
}

func checkLengths(v Value) error {
	switch d := v.data.(type) {
	case string:
		if len(d) > MaxStringBytes {
			return fmt.Errorf("string of %d bytes, the limit is %d", len(d), MaxStringBytes)
		}
	case []string:
		for i, s := range d {
			if len(s) > MaxStringBytes {
				return fmt.Errorf("string %d has %d bytes, the limit is %d", i, len(s), MaxStringBytes)
			}
		}
	}
	if n := v.length(); n > MaxArrayLength {
		return fmt.Errorf("array of %d elements, the limit is %d", n, MaxArrayLength)
	}
	return nil
}

// Add appends a tensor. write is called once, during WriteTo, and must write
// exactly the bytes that the type and the dimensions (fastest-running first)
// make.
func (w *Writer) Add(name string, typ TensorType, dims []int64, write func(io.Writer) error) error {
	size, refused := measure(name, typ, dims)
	switch {
	case refused != nil:
		return fmt.Errorf("add tensor: %w", refused)
	case w.names[name]:
		return fmt.Errorf("add tensor: %q is already there", name)
	case len(w.tensors) == MaxTensors:
		return fmt.Errorf("add tensor %s: %d tensors are the limit", name, MaxTensors)
	}
	if w.names == nil {
		w.names = make(map[string]bool)
	}
	w.names[name] = true
	w.tensors = append(w.tensors, pendingTensor{Tensor{Name: name, Type: typ, Dims: dims, Bytes: size}, write})
	return nil
}

// WriteTo writes the file and returns its size. It buffers, and flushes what
// it has buffered; syncing and closing are the caller's.
func (w *Writer) WriteTo(out io.Writer) (int64, error) {
	align, err := w.place()
	if err != nil {
		return 0, err
	}
	c := &countingWriter{w: bufio.NewWriterSize(out, 256<<10), left: -1}
	if err := w.writeHeader(c); err != nil {
		return c.n, fmt.Errorf("write metadata: %w", err)
	}
	for i := range w.tensors {
		t := &w.tensors[i]
		if err := c.padTo(align); err != nil {
			return c.n, fmt.Errorf("write padding: %w", err)
		}
		c.left = t.Bytes
		if err := t.write(c); err != nil {
			return c.n, fmt.Errorf("write tensor %s: %w", t.Name, err)
		}
		if c.left != 0 {
			return c.n, fmt.Errorf("write tensor %s: %d of its %d bytes were not written", t.Name, c.left, t.Bytes)
		}
		c.left = -1
	}
	if err := c.padTo(align); err != nil {
		return c.n, fmt.Errorf("write padding: %w", err)
	}
	if err := c.w.Flush(); err != nil {
		return c.n, fmt.Errorf("write model file: %w", err)
	}
	return c.n, nil
}

// place gives each tensor its offset and returns the alignment.
func (w *Writer) place() (align int64, err error) {
	align = DefaultAlignment
	if a, ok := Get[uint32](&w.meta, "general.alignment"); ok {
		align = int64(a)
	}
	var next int64
	for i := range w.tensors {
		t := &w.tensors[i]
		t.Offset = next
		end, ok := pad(t.Bytes, align)
		if next += end; !ok || next < 0 {
			return 0, fmt.Errorf("place tensor %s: the file would need more bytes than 63 bits can count", t.Name)
		}
	}
	return align, nil
}

func (w *Writer) writeHeader(out io.Writer) error {
	le := binary.LittleEndian
	b := append(make([]byte, 0, 4<<10), magic...)
	b = le.AppendUint32(b, 3)
	b = le.AppendUint64(b, uint64(len(w.tensors)))
	b = le.AppendUint64(b, uint64(w.meta.Len()))
	for key, v := range w.meta.All() {
		b = v.append(appendString(b, key))
		if _, err := out.Write(b); err != nil {
			return err
		}
		b = b[:0]
	}
	for i := range w.tensors {
		b = w.tensors[i].append(b)
	}
	_, err := out.Write(b)
	return err
}

func appendString(b []byte, s string) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(len(s)))
	return append(b, s...)
}

func (t *Tensor) append(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint32(appendString(b, t.Name), uint32(len(t.Dims)))
	for _, d := range t.Dims {
		b = le.AppendUint64(b, uint64(d))
	}
	b = le.AppendUint32(b, uint32(t.Type))
	return le.AppendUint64(b, uint64(t.Offset))
}

// append encodes the value with its type tag.
func (v Value) append(b []byte) []byte {
	le := binary.LittleEndian
	typ, elem := v.Type()
	b = le.AppendUint32(b, uint32(typ))
	if typ == Array {
		b = le.AppendUint32(b, uint32(elem))
		b = le.AppendUint64(b, uint64(v.length()))
	}
	switch d := v.data.(type) {
	case string:
		return appendString(b, d)
	case []string:
		for _, s := range d {
			b = appendString(b, s)
		}
		return b
	}
	b, err := binary.Append(b, le, v.data)
	if err != nil {
		// ValueOf admits nothing that encoding/binary cannot encode.
		panic("gguf: encode metadata value: " + err.Error())
	}
	return b
}

// length returns the number of elements of an array, 0 for a scalar.
func (v Value) length() int {
	if d, ok := v.data.([]string); ok {
		return len(d)
	}
	typ, elem := v.Type()
	if typ != Array {
		return 0
	}
	return binary.Size(v.data) / int(valueTypes[elem].size)
}

// countingWriter counts, and holds a tensor to its size.
type countingWriter struct {
	w    *bufio.Writer
	n    int64
	left int64 // bytes the current tensor may still write; -1: no tensor
}

func (c *countingWriter) Write(p []byte) (int, error) {
	if c.left >= 0 {
		if int64(len(p)) > c.left {
			return 0, fmt.Errorf("%d bytes more than its shape and type make", int64(len(p))-c.left)
		}
		c.left -= int64(len(p))
	}
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

func (c *countingWriter) padTo(align int64) error {
	end, _ := pad(c.n, align)
	_, err := c.Write(make([]byte, end-c.n))
	return err
}
