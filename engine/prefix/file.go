package prefix

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/jeantrail/jeantrail-ai/engine"
)

// A file is, with all numbers little-endian:
//
//	8 bytes   magic
//	4 bytes   version
//	4 bytes   length of the identity
//	4 bytes   number of tokens
//	8 bytes   length of the state
//	          identity, tokens of 4 bytes each
//	4 bytes   CRC-32C of all before it
//	          state
//	4 bytes   CRC-32C of the state
const (
	magic       = "JTPREFIX"
	version     = 1
	fixedBytes  = 8 + 4 + 4 + 4 + 8
	sumBytes    = 4
	maxIdentity = 4096
	extension   = ".kv"
	unfinished  = ".unfinished-" // begins the names of files that are being written
	chunkBytes  = 1 << 20        // between two looks at the context
)

// errDamaged wraps what is wrong with a file that is to be removed.
var errDamaged = errors.New("the file is not sound")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// fileName is a hash of what a state fits and stands for.
func fileName(identity string, tokens []engine.Token) string {
	h := sha256.New()
	h.Write([]byte(identity + "\x00"))
	h.Write(tokenBytes(tokens))
	return hex.EncodeToString(h.Sum(nil)[:16]) + extension
}

// ours reports whether a name is one that fileName gives.
func ours(name string) bool {
	base, ok := strings.CutSuffix(name, extension)
	raw, err := hex.DecodeString(base)
	return ok && err == nil && len(raw) == 16
}

// fileBytes is how large the file of a state is.
func fileBytes(identity string, tokens int, state int64) int64 {
	return int64(fixedBytes+len(identity)+4*tokens+2*sumBytes) + state
}

func tokenBytes(tokens []engine.Token) []byte {
	b := make([]byte, 0, 4*len(tokens))
	for _, t := range tokens {
		b = binary.LittleEndian.AppendUint32(b, uint32(t))
	}
	return b
}

func header(identity string, tokens []engine.Token, state int64) []byte {
	b := make([]byte, 0, fixedBytes+len(identity)+4*len(tokens)+sumBytes)
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint32(b, version)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(identity)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(tokens)))
	b = binary.LittleEndian.AppendUint64(b, uint64(state))
	b = append(b, identity...)
	b = append(b, tokenBytes(tokens)...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// writeFile writes a state to a file, which gets its name when it is whole and
// on the disk. Nothing is left of one that was not finished.
func writeFile(ctx context.Context, folder, identity string, tokens []engine.Token, state []byte) (name string, err error) {
	tmp, err := os.CreateTemp(folder, unfinished+"*")
	if err != nil {
		return "", err
	}
	err = fill(ctx, tmp, header(identity, tokens, int64(len(state))), state)
	err = errors.Join(err, tmp.Close())
	name = fileName(identity, tokens)
	if err == nil {
		err = os.Rename(tmp.Name(), filepath.Join(folder, name))
	}
	if err != nil {
		return "", errors.Join(err, os.Remove(tmp.Name()))
	}
	if err := syncFolder(folder); err != nil {
		return "", errors.Join(err, os.Remove(filepath.Join(folder, name)))
	}
	return name, nil
}

// fill writes a whole file to the disk, and stops when ctx ends.
func fill(ctx context.Context, f *os.File, head, state []byte) error {
	if _, err := f.Write(head); err != nil {
		return err
	}
	sum := crc32.New(castagnoli)
	for rest := state; len(rest) > 0; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		chunk := rest[:min(chunkBytes, len(rest))]
		rest = rest[len(chunk):]
		sum.Write(chunk)
		if _, err := f.Write(chunk); err != nil {
			return err
		}
	}
	if _, err := f.Write(binary.LittleEndian.AppendUint32(nil, sum.Sum32())); err != nil {
		return err
	}
	return f.Sync()
}

// syncFolder makes a new name last. Windows does that by itself.
func syncFolder(folder string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// label is what a file says before its state.
type label struct {
	identity string
	tokens   []engine.Token
	state    int64 // bytes
}

// readLabel reads the beginning of a file of so many bytes; r is at the state
// then.
func readLabel(r io.Reader, size int64) (label, error) {
	fixed := make([]byte, fixedBytes)
	if _, err := io.ReadFull(r, fixed); err != nil {
		return label{}, cutShort(err)
	}
	if string(fixed[:8]) != magic || binary.LittleEndian.Uint32(fixed[8:]) != version {
		return label{}, fmt.Errorf("%w: it has another format", errDamaged)
	}
	identity, tokens := binary.LittleEndian.Uint32(fixed[12:]), binary.LittleEndian.Uint32(fixed[16:])
	state := binary.LittleEndian.Uint64(fixed[20:])
	if identity > maxIdentity || int64(tokens) > size/4 || state > uint64(size) ||
		int64(fixedBytes+2*sumBytes)+int64(identity)+4*int64(tokens)+int64(state) != size {
		return label{}, fmt.Errorf("%w: it is cut short or damaged", errDamaged)
	}
	rest := make([]byte, int(identity)+4*int(tokens)+sumBytes)
	if _, err := io.ReadFull(r, rest); err != nil {
		return label{}, cutShort(err)
	}
	body := rest[:len(rest)-sumBytes]
	sum := crc32.Update(crc32.Checksum(fixed, castagnoli), castagnoli, body)
	if sum != binary.LittleEndian.Uint32(rest[len(body):]) {
		return label{}, fmt.Errorf("%w: its checksum is wrong", errDamaged)
	}
	l := label{identity: string(body[:identity]), tokens: make([]engine.Token, tokens), state: int64(state)}
	for i := range l.tokens {
		l.tokens[i] = engine.Token(binary.LittleEndian.Uint32(body[int(identity)+4*i:]))
	}
	return l, nil
}

// cutShort tells a file that ends early from one that cannot be read.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it is cut short", errDamaged)
	}
	return err
}

// openFile opens a file and reads its label.
func openFile(path string) (f *os.File, l label, err error) {
	f, err = os.Open(path)
	if err != nil {
		return nil, l, err
	}
	info, err := f.Stat()
	if err == nil {
		// Without a buffer ahead of the state, which is read into place.
		l, err = readLabel(f, info.Size())
	}
	if err != nil {
		return nil, l, errors.Join(err, f.Close())
	}
	return f, l, nil
}

// readState reads the state behind a label and checks it.
func readState(ctx context.Context, r io.Reader, n int64) ([]byte, error) {
	state, sum := make([]byte, n), crc32.New(castagnoli)
	for rest := state; len(rest) > 0; {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		chunk := rest[:min(chunkBytes, len(rest))]
		rest = rest[len(chunk):]
		if _, err := io.ReadFull(r, chunk); err != nil {
			return nil, cutShort(err)
		}
		sum.Write(chunk)
	}
	end := make([]byte, sumBytes)
	if _, err := io.ReadFull(r, end); err != nil {
		return nil, cutShort(err)
	}
	if sum.Sum32() != binary.LittleEndian.Uint32(end) {
		return nil, fmt.Errorf("%w: its checksum is wrong", errDamaged)
	}
	return state, nil
}
