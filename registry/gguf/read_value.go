package gguf

import (
	"encoding/binary"
	"math"
)

// value reads the type tag and the value that follow a key.
func (r *reader) value(key string) (Value, *Error) {
	what := "metadata value " + quoteShort(key)
	t, err := r.u32(what)
	if err != nil {
		return Value{}, err
	}
	switch typ := ValueType(t); {
	case typ == String:
		s, err := r.str(MaxStringBytes, what)
		return Value{data: s}, err
	case typ == Array:
		return r.array(what)
	case typ <= Float64:
		return r.scalar(typ, what)
	}
	return Value{}, refuse(ReasonMalformed, "%s has the unknown type %d", what, t)
}

func quoteShort(s string) string {
	const most = 80
	if len(s) > most {
		s = s[:most] + "..."
	}
	return "\"" + s + "\""
}

func (r *reader) scalar(typ ValueType, what string) (Value, *Error) {
	p := r.word[:valueTypes[typ].size]
	if err := r.full(p, what); err != nil {
		return Value{}, err
	}
	r.allocated += 8
	le := binary.LittleEndian
	switch typ {
	case Uint8:
		return Value{data: p[0]}, nil
	case Int8:
		return Value{data: int8(p[0])}, nil
	case Uint16:
		return Value{data: le.Uint16(p)}, nil
	case Int16:
		return Value{data: int16(le.Uint16(p))}, nil
	case Uint32:
		return Value{data: le.Uint32(p)}, nil
	case Int32:
		return Value{data: int32(le.Uint32(p))}, nil
	case Float32:
		return Value{data: math.Float32frombits(le.Uint32(p))}, nil
	case Uint64:
		return Value{data: le.Uint64(p)}, nil
	case Int64:
		return Value{data: int64(le.Uint64(p))}, nil
	case Float64:
		return Value{data: math.Float64frombits(le.Uint64(p))}, nil
	}
	if p[0] > 1 { // the one type left is Bool
		return Value{}, refuse(ReasonMalformed, "%s is a bool with the value %d", what, p[0])
	}
	return Value{data: p[0] == 1}, nil
}

func (r *reader) array(what string) (Value, *Error) {
	t, err := r.u32(what)
	if err != nil {
		return Value{}, err
	}
	elem := ValueType(t)
	if elem > Float64 || elem == Array {
		return Value{}, refuse(ReasonMalformed, "%s is an array of type %d, which no model has", what, t)
	}
	n, err := r.count(MaxArrayLength, valueTypes[elem].size, "elements in "+what)
	if err != nil {
		return Value{}, err
	}
	switch elem {
	case Uint8:
		return fixed[uint8](r, n, what)
	case Int8:
		return fixed[int8](r, n, what)
	case Uint16:
		return fixed[uint16](r, n, what)
	case Int16:
		return fixed[int16](r, n, what)
	case Uint32:
		return fixed[uint32](r, n, what)
	case Int32:
		return fixed[int32](r, n, what)
	case Float32:
		return fixed[float32](r, n, what)
	case Uint64:
		return fixed[uint64](r, n, what)
	case Int64:
		return fixed[int64](r, n, what)
	case Float64:
		return fixed[float64](r, n, what)
	case Bool:
		return r.bools(n, what)
	}
	return r.strings(n, what)
}

// fixed reads n numbers; count has checked that the file can hold them.
func fixed[T uint8 | int8 | uint16 | int16 | uint32 | int32 | float32 | uint64 | int64 | float64](r *reader, n int64, what string) (Value, *Error) {
	out := make([]T, n)
	width := binary.Size(T(0))
	r.allocated += n * int64(width)
	for done := 0; done < len(out); {
		m := min(len(out)-done, len(r.block)/width)
		p := r.block[:m*width]
		if err := r.full(p, what); err != nil {
			return Value{}, err
		}
		if _, err := binary.Decode(p, binary.LittleEndian, out[done:done+m]); err != nil {
			return Value{}, refuse(ReasonMalformed, "decode %s: %v", what, err)
		}
		done += m
	}
	return Value{data: out}, nil
}

func (r *reader) bools(n int64, what string) (Value, *Error) {
	raw, err := fixed[uint8](r, n, what)
	if err != nil {
		return Value{}, err
	}
	r.allocated += n
	out := make([]bool, n)
	for i, b := range raw.data.([]uint8) {
		if b > 1 {
			return Value{}, refuse(ReasonMalformed, "%s has a bool with the value %d at index %d", what, b, i)
		}
		out[i] = b == 1
	}
	return Value{data: out}, nil
}

func (r *reader) strings(n int64, what string) (Value, *Error) {
	out := make([]string, n)
	r.allocated += n * stringCost
	for i := range out {
		s, err := r.str(MaxStringBytes, what)
		if err != nil {
			return Value{}, err
		}
		out[i] = s
	}
	return Value{data: out}, nil
}

// tensorTable reads the tensor infos and checks where the data lies.
func (r *reader) tensorTable(f *File, n int64) *Error {
	if err := r.need(n*(8+4+4+8), "the tensor table"); err != nil {
		return err
	}
	f.Tensors = make([]Tensor, 0, n)
	f.tensors = make(map[string]int, n)
	r.allocated += n * tensorCost
	for i := range int(n) {
		t, err := r.tensorInfo()
		if err != nil {
			return err
		}
		if _, dup := f.tensors[t.Name]; dup {
			return refuse(ReasonDuplicateTensor, "tensor %q occurs twice", t.Name)
		}
		f.tensors[t.Name] = i
		f.Tensors = append(f.Tensors, t)
	}
	f.DataOffset = r.off
	if n == 0 {
		return nil
	}
	f.DataOffset, _ = pad(r.off, f.Alignment) // the header limit keeps this far from overflow
	return checkExtents(f)
}

func (r *reader) tensorInfo() (Tensor, *Error) {
	const what = "the tensor table"
	var t Tensor
	var err *Error
	if t.Name, err = r.str(MaxKeyBytes, "a tensor name"); err != nil {
		return t, err
	}
	nDims, err := r.u32(what)
	if err != nil {
		return t, err
	}
	if nDims > MaxDims {
		return t, refuse(ReasonTensorShape, "tensor %s has %d dimensions, at most %d are possible", quoteShort(t.Name), nDims, MaxDims)
	}
	t.Dims = make([]int64, nDims)
	for i := range t.Dims {
		d, err := r.u64(what)
		if err != nil {
			return t, err
		}
		if d > math.MaxInt64 {
			return t, refuse(ReasonOverflow, "tensor %s has %d elements in dimension %d", quoteShort(t.Name), d, i)
		}
		t.Dims[i] = int64(d)
	}
	typ, err := r.u32(what)
	if err != nil {
		return t, err
	}
	t.Type = TensorType(typ)
	off, err := r.u64(what)
	if err != nil {
		return t, err
	}
	if off > math.MaxInt64 {
		return t, refuse(ReasonOverflow, "tensor %s lies at offset %d", quoteShort(t.Name), off)
	}
	t.Offset = int64(off)
	t.Bytes, err = measure(t.Name, t.Type, t.Dims)
	return t, err
}

// checkExtents holds the offsets against the running padded sum, the only
// layout llama.cpp accepts, and the end of the data against the file's size.
// The padding behind the last tensor may be missing: some writers leave it out.
func checkExtents(f *File) *Error {
	var next, end int64
	for i := range f.Tensors {
		t := &f.Tensors[i]
		if t.Offset != next {
			return refuse(ReasonTensorOffset, "tensor %q lies at offset %d of the data, expected %d", t.Name, t.Offset, next)
		}
		if t.Bytes > math.MaxInt64-f.DataOffset-next {
			return refuse(ReasonOverflow, "tensor %q ends beyond what 63 bits can count", t.Name)
		}
		end = f.DataOffset + next + t.Bytes
		var ok bool
		if next, ok = pad(next+t.Bytes, f.Alignment); !ok || next > math.MaxInt64-f.DataOffset {
			return refuse(ReasonOverflow, "tensor %q ends beyond what 63 bits can count", t.Name)
		}
	}
	if end > f.Size {
		return refuse(ReasonTruncated, "the file has %d bytes, its tensors end at byte %d: %d bytes are missing", f.Size, end, end-f.Size)
	}
	return nil
}
