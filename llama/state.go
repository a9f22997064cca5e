//go:build cgo

package llama

// #include "shim.h"
import "C"

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"unsafe"
)

// A saved sequence starts with a header of headerBytes: seqMagic, the
// fingerprint of model, context type and build, and the length of what follows,
// both little-endian uint64. A file has the same header with fileMagic, a count
// of tokens, the tokens, the state and a CRC-32C of all before it.
const (
	headerBytes = 24
	seqMagic    = "LXSEQ\x00\x00\x01"
	fileMagic   = "LXFIL\x00\x00\x01"
)

func (x *Context) putHeader(dst []byte, magic string, n int) {
	copy(dst, magic)
	binary.LittleEndian.PutUint64(dst[8:], x.print)
	binary.LittleEndian.PutUint64(dst[16:], uint64(n))
}

func (x *Context) checkHeader(blob []byte, magic string) error {
	if len(blob) < headerBytes || string(blob[:8]) != magic {
		return fmt.Errorf("%w: it is not a saved sequence", ErrStateMismatch)
	}
	if binary.LittleEndian.Uint64(blob[8:]) != x.print {
		return fmt.Errorf("%w: it comes from another model, context type or build", ErrStateMismatch)
	}
	if binary.LittleEndian.Uint64(blob[16:]) != uint64(len(blob)-headerBytes) {
		return fmt.Errorf("%w: it is cut short", ErrStateMismatch)
	}
	return nil
}

// SaveSeq copies a sequence's KV state to memory.
func (x *Context) SaveSeq(seq int) ([]byte, error) {
	if err := x.enter(); err != nil {
		return nil, fmt.Errorf("save sequence: %w", err)
	}
	defer x.leave()
	var e errText
	msg, cap := e.ptr()
	size := C.lx_state_size(x.c, C.int32_t(seq), msg, cap)
	if size < 0 {
		return nil, e.fail("save sequence", C.int32_t(size))
	}
	blob := make([]byte, headerBytes+int(size))
	n := C.lx_state_save(x.c, C.int32_t(seq), (*C.uint8_t)(unsafe.Pointer(&blob[headerBytes])), size, msg, cap)
	if n < 0 {
		return nil, e.fail("save sequence", C.int32_t(n))
	}
	blob = blob[:headerBytes+int(n)]
	x.putHeader(blob, seqMagic, int(n))
	return blob, nil
}

// LoadSeq puts what SaveSeq gave into an empty sequence. The error wraps
// [ErrStateMismatch] if blob does not fit; the sequence stays empty then.
func (x *Context) LoadSeq(seq int, blob []byte) error {
	if err := x.enter(); err != nil {
		return fmt.Errorf("load sequence: %w", err)
	}
	defer x.leave()
	if err := x.checkHeader(blob, seqMagic); err != nil {
		return fmt.Errorf("load sequence: %w", err)
	}
	var e errText
	msg, cap := e.ptr()
	data := blob[headerBytes:]
	return e.fail("load sequence", C.lx_state_load(x.c, C.int32_t(seq),
		(*C.uint8_t)(unsafe.SliceData(data)), C.int64_t(len(data)), msg, cap))
}

// SaveSeqFile writes a sequence's KV state with the tokens that it stands for to
// a file, which appears whole or not at all.
func (x *Context) SaveSeqFile(path string, seq int, tokens []int32) error {
	if n, err := x.SeqLen(seq); err != nil || n != len(tokens) {
		if err == nil {
			err = fmt.Errorf("%w: %d tokens for a sequence of %d", ErrArgument, len(tokens), n)
		}
		return fmt.Errorf("save sequence file: %w", err)
	}
	blob, err := x.SaveSeq(seq)
	if err != nil {
		return err
	}
	head := make([]byte, headerBytes+4+4*len(tokens))
	x.putHeader(head, fileMagic, len(head)-headerBytes+len(blob)+4)
	binary.LittleEndian.PutUint32(head[headerBytes:], uint32(len(tokens)))
	for i, t := range tokens {
		binary.LittleEndian.PutUint32(head[headerBytes+4+4*i:], uint32(t))
	}
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	sum.Write(head)
	sum.Write(blob)
	if err := writeWhole(path, head, blob, binary.LittleEndian.AppendUint32(nil, sum.Sum32())); err != nil {
		return fmt.Errorf("save sequence file: %w", err)
	}
	return nil
}

func writeWhole(path string, parts ...[]byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".seq-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	for _, p := range parts {
		if _, err = f.Write(p); err != nil {
			f.Close()
			return err
		}
	}
	if err = f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// LoadSeqFile puts the state in a file of SaveSeqFile into an empty sequence and
// returns its tokens.
func (x *Context) LoadSeqFile(path string, seq int) ([]int32, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("load sequence file: %w", err)
	}
	if err := x.checkHeader(data, fileMagic); err != nil {
		return nil, fmt.Errorf("load sequence file: %w", err)
	}
	tokens, blob, err := splitSeqFile(data)
	if err != nil {
		return nil, fmt.Errorf("load sequence file: %w", err)
	}
	return tokens, x.LoadSeq(seq, blob)
}

func splitSeqFile(data []byte) (tokens []int32, blob []byte, err error) {
	if len(data) < headerBytes+8 {
		return nil, nil, fmt.Errorf("%w: it is cut short", ErrStateMismatch)
	}
	body, sum := data[:len(data)-4], binary.LittleEndian.Uint32(data[len(data)-4:])
	if crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)) != sum {
		return nil, nil, fmt.Errorf("%w: its checksum is wrong", ErrStateMismatch)
	}
	body = body[headerBytes:]
	n := int64(binary.LittleEndian.Uint32(body))
	body = body[4:]
	if 4*n > int64(len(body)) {
		return nil, nil, fmt.Errorf("%w: it is cut short", ErrStateMismatch)
	}
	tokens = make([]int32, n)
	for i := range tokens {
		tokens[i] = int32(binary.LittleEndian.Uint32(body[4*i:]))
	}
	return tokens, body[4*n:], nil
}
