package gguf

import "iter"

// ValueType is the type tag of a metadata value, as it stands in the file.
type ValueType uint32

// The value types of GGUF v2 and v3.
const (
	Uint8   ValueType = 0
	Int8    ValueType = 1
	Uint16  ValueType = 2
	Int16   ValueType = 3
	Uint32  ValueType = 4
	Int32   ValueType = 5
	Float32 ValueType = 6
	Bool    ValueType = 7
	String  ValueType = 8
	Array   ValueType = 9
	Uint64  ValueType = 10
	Int64   ValueType = 11
	Float64 ValueType = 12
)

var valueTypes = [...]struct {
	name string
	size int64 // bytes of one value; for a string, of its length alone
}{
	Uint8: {"u8", 1}, Int8: {"i8", 1}, Uint16: {"u16", 2}, Int16: {"i16", 2},
	Uint32: {"u32", 4}, Int32: {"i32", 4}, Float32: {"f32", 4}, Bool: {"bool", 1},
	String: {"str", 8}, Array: {"arr", 12}, Uint64: {"u64", 8}, Int64: {"i64", 8},
	Float64: {"f64", 8},
}

// String returns the short name used by llama.cpp, such as "u32".
func (t ValueType) String() string {
	if int64(t) < int64(len(valueTypes)) {
		return valueTypes[t].name
	}
	return "unknown"
}

// Scalar lists the Go types of single values.
type Scalar interface {
	uint8 | int8 | uint16 | int16 | uint32 | int32 | float32 | bool | string | uint64 | int64 | float64
}

// Slice lists the Go types of arrays. Arrays of arrays are not supported:
// llama.cpp refuses them too.
type Slice interface {
	[]uint8 | []int8 | []uint16 | []int16 | []uint32 | []int32 | []float32 | []bool | []string | []uint64 | []int64 | []float64
}

// Value is one typed metadata value. The zero Value has no type and belongs to
// no file.
type Value struct{ data any }

// ValueOf wraps v. The file's type follows from Go's: uint32 is u32, []string
// an array of str. A slice is kept, not copied.
func ValueOf[T Scalar | Slice](v T) Value { return Value{data: v} }

// As returns the value as T if exactly that type is stored.
func As[T Scalar | Slice](v Value) (T, bool) {
	t, ok := v.data.(T)
	return t, ok
}

// Type returns the type of the value and, for an Array, that of its elements.
func (v Value) Type() (typ, elem ValueType) {
	switch v.data.(type) {
	case uint8:
		return Uint8, 0
	case int8:
		return Int8, 0
	case uint16:
		return Uint16, 0
	case int16:
		return Int16, 0
	case uint32:
		return Uint32, 0
	case int32:
		return Int32, 0
	case float32:
		return Float32, 0
	case bool:
		return Bool, 0
	case string:
		return String, 0
	case uint64:
		return Uint64, 0
	case int64:
		return Int64, 0
	case float64:
		return Float64, 0
	}
	return Array, v.elem()
}

func (v Value) elem() ValueType {
	switch v.data.(type) {
	case []uint8:
		return Uint8
	case []int8:
		return Int8
	case []uint16:
		return Uint16
	case []int16:
		return Int16
	case []uint32:
		return Uint32
	case []int32:
		return Int32
	case []float32:
		return Float32
	case []bool:
		return Bool
	case []string:
		return String
	case []uint64:
		return Uint64
	case []int64:
		return Int64
	}
	return Float64
}

// TypeName returns the type in words, such as "u32" or "arr[str]".
func (v Value) TypeName() string {
	typ, elem := v.Type()
	if typ == Array {
		return "arr[" + elem.String() + "]"
	}
	return typ.String()
}

// Any returns the value as the Go type it has.
func (v Value) Any() any { return v.data }

// Metadata is the ordered list of key-value pairs of a file.
type Metadata struct {
	keys   []string
	values map[string]Value
}

// Len returns the number of pairs.
func (m *Metadata) Len() int { return len(m.keys) }

// Get returns the value of a key.
func (m *Metadata) Get(key string) (Value, bool) {
	v, ok := m.values[key]
	return v, ok
}

// All yields the pairs in the order of the file.
func (m *Metadata) All() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		for _, k := range m.keys {
			if !yield(k, m.values[k]) {
				return
			}
		}
	}
}

// set appends a pair and says whether the key is new.
func (m *Metadata) set(key string, v Value) bool {
	if _, dup := m.values[key]; dup {
		return false
	}
	if m.values == nil {
		m.values = make(map[string]Value)
	}
	m.keys = append(m.keys, key)
	m.values[key] = v
	return true
}

// Get returns the value of key if it is present with exactly the type T.
func Get[T Scalar | Slice](m *Metadata, key string) (T, bool) {
	v, _ := m.Get(key)
	return As[T](v)
}
