package gguf

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

const magic = "GGUF"

// Costs of what Read keeps in memory besides the bytes of the file, counted
// against its allowance: the entry of a map and the headers it holds. They are
// upper bounds for a 64-bit machine.
const (
	pairCost   = 256
	tensorCost = 320
	stringCost = 16
)

// Read reads the description of a GGUF v2 or v3 file of size bytes. It reads
// the header, the metadata and the tensor table, and none of the tensor data;
// that the data is all there follows from size. The error is an *Error.
func Read(src io.ReaderAt, size int64) (*File, error) {
	f, _, err := read(src, size)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// read also returns the bytes allocated for the file's content, so that tests
// can hold them against the size of the input.
func read(src io.ReaderAt, size int64) (*File, int64, *Error) {
	r := &reader{size: size, buf: bufio.NewReaderSize(io.NewSectionReader(src, 0, max(size, 0)), 64<<10)}
	f := &File{Size: size, Alignment: DefaultAlignment}
	nTensors, nPairs, err := r.header(f)
	if err != nil {
		return nil, r.allocated, err
	}
	if err := r.metadata(f, nPairs); err != nil {
		return nil, r.allocated, err
	}
	if err := r.tensorTable(f, nTensors); err != nil {
		return nil, r.allocated, err
	}
	return f, r.allocated, nil
}

// reader walks the description part of a file and knows how much is left.
type reader struct {
	buf       *bufio.Reader
	off, size int64
	allocated int64
	word      [8]byte
	block     [32 << 10]byte
}

// need refuses to go on if the file has fewer than n bytes left.
func (r *reader) need(n int64, what string) *Error {
	if n > r.size-r.off {
		return refuse(ReasonTruncated, "the file ends inside %s: %d bytes needed at offset %d, %d left", what, n, r.off, r.size-r.off)
	}
	if n > MaxHeaderBytes-r.off {
		return refuse(ReasonLimit, "metadata and tensor table are larger than %d MiB", MaxHeaderBytes>>20)
	}
	return nil
}

// full fills p.
func (r *reader) full(p []byte, what string) *Error {
	if err := r.need(int64(len(p)), what); err != nil {
		return err
	}
	n, err := io.ReadFull(r.buf, p)
	r.off += int64(n)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return refuse(ReasonTruncated, "the file ends inside %s at offset %d, although it should have %d bytes", what, r.off, r.size)
	case err != nil:
		return ioError("read "+what, err)
	}
	return nil
}

func (r *reader) u32(what string) (uint32, *Error) {
	err := r.full(r.word[:4], what)
	return binary.LittleEndian.Uint32(r.word[:4]), err
}

func (r *reader) u64(what string) (uint64, *Error) {
	err := r.full(r.word[:8], what)
	return binary.LittleEndian.Uint64(r.word[:8]), err
}

// count reads a number of things that take at least least bytes each.
func (r *reader) count(limit, least int64, what string) (int64, *Error) {
	n, err := r.u64("the number of " + what)
	if err != nil {
		return 0, err
	}
	if n > uint64(limit) {
		return 0, refuse(ReasonLimit, "the file claims %d %s, the limit is %d", n, what, limit).
			hint("If this is a real model, the file is damaged: %s", hintDownload)
	}
	return int64(n), r.need(int64(n)*least, what)
}

func (r *reader) str(limit int64, what string) (string, *Error) {
	n, err := r.u64("the length of " + what)
	if err != nil {
		return "", err
	}
	if n > uint64(limit) {
		return "", refuse(ReasonLimit, "%s claims %d bytes, the limit is %d", what, n, limit)
	}
	if err := r.need(int64(n), what); err != nil {
		return "", err
	}
	if n <= uint64(len(r.block)) {
		p := r.block[:n]
		if err := r.full(p, what); err != nil {
			return "", err
		}
		r.allocated += int64(n)
		return string(p), nil
	}
	r.allocated += int64(n)
	var b strings.Builder // a builder gives its buffer away without a copy
	b.Grow(int(n))
	for left := int(n); left > 0; {
		p := r.block[:min(left, len(r.block))]
		if err := r.full(p, what); err != nil {
			return "", err
		}
		b.Write(p)
		left -= len(p)
	}
	return b.String(), nil
}

func (r *reader) header(f *File) (nTensors, nPairs int64, err *Error) {
	if err := r.checkMagic(); err != nil {
		return 0, 0, err
	}
	if f.Version, err = r.u32("the format version"); err != nil {
		return 0, 0, err
	}
	switch {
	case f.Version&0xffff == 0 && f.Version != 0:
		return 0, 0, refuse(ReasonBigEndian, "the file is big-endian (version reads as %#x)", f.Version).
			hint("Download the little-endian file, or convert it with llama.cpp's gguf_convert_endian.py.")
	case f.Version != 2 && f.Version != 3:
		return 0, 0, refuse(ReasonVersion, "the file is GGUF version %d; versions 2 and 3 are supported", f.Version)
	}
	// A tensor has at least an empty name, its dimension count, type and offset.
	if nTensors, err = r.count(MaxTensors, 8+4+4+8, "tensors"); err != nil {
		return 0, 0, err
	}
	nPairs, err = r.count(MaxMetadataPairs, 8+4+1, "metadata pairs")
	return nTensors, nPairs, err
}

func (r *reader) checkMagic() *Error {
	if r.size <= 0 {
		return refuse(ReasonEmpty, "the file is empty")
	}
	head, peekErr := r.buf.Peek(int(min(r.size, 512)))
	if peekErr != nil && !errors.Is(peekErr, io.EOF) {
		return ioError("read the first bytes", peekErr)
	}
	if bytes.HasPrefix(head, []byte(magic)) {
		return r.full(r.word[:4], "the magic")
	}
	return sniff(head)
}

// sniff says what a file is that is not GGUF.
func sniff(head []byte) *Error {
	text := strings.ToLower(string(bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n")))
	prefixed := func(s string, prefixes ...string) bool {
		for _, p := range prefixes {
			if strings.HasPrefix(s, p) {
				return true
			}
		}
		return false
	}
	raw := string(head)
	switch {
	case len(bytes.Trim(head, "\x00")) == 0:
		return refuse(ReasonEmpty, "the file begins with zeros only: it was never filled, as by an interrupted download")
	case prefixed(text, "version https://git-lfs"):
		return refuse(ReasonPointer, "the file is a Git LFS pointer, not the model itself").
			hint("Run \"git lfs pull\" in the repository, or download the file itself.")
	case prefixed(text, "<!doctype", "<html", "<head", "<?xml", "<!--", "{\"", "{ \""), strings.Contains(text, "<html"):
		return refuse(ReasonWebPage, "the file is a web page or an error message saved under the name of a model").
			hint("Open the address in a browser: it may need a login or an accepted licence. Then download the file itself.")
	case prefixed(raw, "FUGG"):
		return refuse(ReasonBigEndian, "the file is byte-swapped").hint("Download the little-endian file.")
	case prefixed(raw, "lmgg", "fmgg", "tjgg", "algg", "ggml", "ggjt"):
		return refuse(ReasonOtherFormat, "the file is in a GGML format older than GGUF")
	case prefixed(raw, "PK\x03\x04", "\x1f\x8b", "7z\xbc\xaf", "\xfd7zXZ"):
		return refuse(ReasonOtherFormat, "the file is an archive, not a GGUF model").
			hint("Unpack it and give the .gguf file inside; PyTorch checkpoints have to be converted first.")
	case len(head) > 9 && head[8] == '{' && binary.LittleEndian.Uint64(head) < 1<<30:
		return refuse(ReasonOtherFormat, "the file is in safetensors format, not GGUF")
	}
	return refuse(ReasonNotGGUF, "the file begins with %q, not with %q", head[:min(len(head), 4)], magic)
}

func (r *reader) metadata(f *File, n int64) *Error {
	for range n {
		key, err := r.str(MaxKeyBytes, "a metadata key")
		if err != nil {
			return err
		}
		if key == "" || !utf8.ValidString(key) {
			return refuse(ReasonMalformed, "metadata key %.80q is empty or not UTF-8", key)
		}
		v, err := r.value(key)
		if err != nil {
			return err
		}
		r.allocated += pairCost
		if !f.Metadata.set(key, v) {
			return refuse(ReasonDuplicateKey, "metadata key %q occurs twice", key)
		}
	}
	return readAlignment(f)
}

func readAlignment(f *File) *Error {
	v, ok := f.Metadata.Get("general.alignment")
	if !ok {
		return nil
	}
	a, ok := As[uint32](v)
	if !ok {
		return refuse(ReasonAlignment, "general.alignment is %s, must be u32", v.TypeName())
	}
	if a&(a-1) != 0 || a < MinAlignment || a > MaxAlignment {
		return refuse(ReasonAlignment, "general.alignment is %d, must be a power of two from %d to %d", a, MinAlignment, MaxAlignment)
	}
	f.Alignment = int64(a)
	return nil
}
