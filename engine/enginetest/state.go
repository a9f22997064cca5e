package enginetest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/jeantrail/jeantrail-ai/engine"
)

// A state of the fake is stateMagic, its tokens, and a CRC-32 of both. Whoever
// gives it anything else breaks a rule: llama.cpp may end the process.
const stateMagic = "FAKE"

var errCopying = errors.New("a copy between sequences waits for the next step that evaluates tokens")

// SaveSeq implements engine.Decoder.
func (f *Fake) SaveSeq(seq int) ([]byte, error) {
	if f.cache.copying {
		return nil, errCopying
	}
	blob := []byte(stateMagic)
	for _, x := range f.cache.seqs[seq] {
		if x.next != x.pos+1 {
			return nil, f.note(fmt.Errorf("save sequence %d, which has an image", seq))
		}
		blob = binary.LittleEndian.AppendUint32(blob, uint32(x.token))
	}
	f.mu.Lock()
	f.saved++
	f.mu.Unlock()
	return binary.LittleEndian.AppendUint32(blob, crc32.ChecksumIEEE(blob)), nil
}

// LoadSeq implements engine.Decoder.
func (f *Fake) LoadSeq(seq int, blob []byte) error {
	if f.cache.copying {
		return errCopying
	}
	n := (len(blob) - 8) / 4
	switch {
	case len(f.cache.seqs[seq]) > 0:
		return f.note(fmt.Errorf("load into sequence %d, which holds %d tokens", seq, len(f.cache.seqs[seq])))
	case len(blob) < 8 || len(blob)%4 != 0 || string(blob[:4]) != stateMagic ||
		crc32.ChecksumIEEE(blob[:len(blob)-4]) != binary.LittleEndian.Uint32(blob[len(blob)-4:]):
		return f.note(fmt.Errorf("load %d bytes that are no state into sequence %d", len(blob), seq))
	case n > f.cache.ctxSeq || f.cache.unified && f.cache.used+n > f.cache.ctx:
		return f.note(fmt.Errorf("load %d tokens into sequence %d without room", n, seq))
	case f.cfg.OnLoad != nil:
		if err := f.cfg.OnLoad(); err != nil {
			return err
		}
	}
	for i := range n {
		f.cache.extend(seq, engine.Token(binary.LittleEndian.Uint32(blob[4+4*i:])))
	}
	f.mu.Lock()
	f.loaded++
	f.mu.Unlock()
	return nil
}

// Saved is how many states were copied from a sequence.
func (f *Fake) Saved() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.saved
}

// Loaded is how many states were put into a sequence.
func (f *Fake) Loaded() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.loaded
}
