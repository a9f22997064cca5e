package gguf

import (
	"io"
	"os"
)

// File is the description of a GGUF file: everything before its tensor data.
type File struct {
	Version    uint32
	Metadata   Metadata
	Tensors    []Tensor
	Alignment  int64
	DataOffset int64 // of the tensor data, from the start of the file
	Size       int64 // of the whole file
	tensors    map[string]int
	joined     bool // from several parts, by Join
}

// Tensor returns the tensor of that name, or nil.
func (f *File) Tensor(name string) *Tensor {
	if i, ok := f.tensors[name]; ok {
		return &f.Tensors[i]
	}
	return nil
}

// Data returns the bytes of a tensor of f in src, the file that f was read from;
// for what Join made, src has the parts one after another.
func (f *File) Data(src io.ReaderAt, t *Tensor) *io.SectionReader {
	return io.NewSectionReader(src, f.DataOffset+t.Offset, t.Bytes)
}

// Architecture returns general.architecture, or "".
func (f *File) Architecture() string {
	arch, _ := Get[string](&f.Metadata, "general.architecture")
	return arch
}

// archKey returns the full name of a key of the file's architecture.
func (f *File) archKey(suffix string) string { return f.Architecture() + "." + suffix }

// Open reads the file at path, which must be a regular one. It does not stay
// open. The error is an *Error.
func Open(path string) (*File, error) {
	// Looked at before opening: opening a named pipe would wait for a writer.
	st, err := os.Stat(path)
	if err != nil {
		return nil, ioError("read model file", err).hint("Check the path and its permissions.")
	}
	if !st.Mode().IsRegular() {
		return nil, refuse(ReasonIO, "read model file: %s is not a regular file", path).hint("Give the path of a .gguf file.")
	}
	fd, err := os.Open(path)
	if err != nil {
		return nil, ioError("open model file", err).hint("Check the path and its permissions.")
	}
	defer fd.Close()
	if st, err = fd.Stat(); err != nil {
		return nil, ioError("read model file", err)
	}
	return Read(fd, st.Size())
}

// Inspect opens the model at path as OpenModel does, validates and describes it.
func Inspect(path string) (*Summary, error) {
	set, err := OpenModel(path)
	if err != nil {
		return nil, err
	}
	if err := Validate(set.Model); err != nil {
		return nil, err
	}
	return Summarize(set.Model), nil
}

func ioError(doing string, err error) *Error {
	return &Error{Reason: ReasonIO, Message: doing, Err: err, Hint: "Check the disk and the permissions of the file."}
}
