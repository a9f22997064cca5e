//go:build cgo

package llama

// #include "shim.h"
import "C"

import (
	"math"
	"unsafe"
)

// Vocab is a model's vocabulary, copied out of C once. Any goroutine.
type Vocab struct {
	model   *Model
	text    []byte   // all pieces, one after the other
	offsets []uint32 // of the pieces in text, and the end
	flags   []uint8
	bos     int32
	addBOS  bool
	eos     int32
}

func exportVocab(m *Model) (*Vocab, error) {
	n := m.info.NVocab
	v := &Vocab{model: m, offsets: make([]uint32, n+1), flags: make([]uint8, n+1)}
	var text *C.char
	var size C.int64_t
	var e errText
	msg, cap := e.ptr()
	status := C.lx_vocab_export(m.c, &text, &size, (*C.uint32_t)(&v.offsets[0]), (*C.uint8_t)(&v.flags[0]), msg, cap)
	if err := e.fail("read vocabulary", status); err != nil {
		return nil, err
	}
	defer C.lx_string_free(text)
	v.text = append([]byte(nil), unsafe.Slice((*byte)(unsafe.Pointer(text)), int(size))...)
	v.flags = v.flags[:n]
	var i C.lx_model_info
	C.lx_model_get_info(m.c, &i)
	v.bos, v.eos, v.addBOS = int32(i.bos), int32(i.eos), i.add_bos != 0
	return v, nil
}

// Size is the number of tokens.
func (v *Vocab) Size() int { return len(v.flags) }

func (v *Vocab) has(token int32, flags uint8) bool {
	return token >= 0 && int(token) < len(v.flags) && v.flags[token]&flags != 0
}

// whole returns a token's text, that of control tokens too.
func (v *Vocab) whole(token int32) []byte {
	if token < 0 || int(token) >= len(v.flags) {
		return nil
	}
	from, to := v.offsets[token], v.offsets[token+1]
	return v.text[from:to:to]
}

// Piece returns the bytes of a token, which may be part of a rune; none for
// control tokens. The bytes are the vocabulary's own: do not change them.
func (v *Vocab) Piece(token int32) []byte {
	if v.has(token, C.LX_TOKEN_CONTROL) {
		return nil
	}
	return v.whole(token)
}

// SpecialText returns the text of a control or user-defined token, "" for others.
func (v *Vocab) SpecialText(token int32) string {
	if v.has(token, C.LX_TOKEN_CONTROL|C.LX_TOKEN_USER_DEFINED) {
		return string(v.whole(token))
	}
	return ""
}

// IsEOG reports whether the token ends a generation.
func (v *Vocab) IsEOG(token int32) bool { return v.has(token, C.LX_TOKEN_EOG) }

// IsControl reports whether the token is a control token.
func (v *Vocab) IsControl(token int32) bool { return v.has(token, C.LX_TOKEN_CONTROL) }

// BOS returns the token that llama.cpp would put in front of a text, if the model
// wants one.
func (v *Vocab) BOS() (int32, bool) { return v.bos, v.addBOS && v.bos >= 0 }

// EOS returns the end-of-sequence token, -1 if there is none.
func (v *Vocab) EOS() int32 { return v.eos }

// Lookup finds the first token whose whole text is piece. It walks the
// vocabulary: a look-up is for start-up, not for every token.
func (v *Vocab) Lookup(piece string) (int32, bool) {
	for i := range v.flags {
		if string(v.whole(int32(i))) == piece {
			return int32(i), true
		}
	}
	return -1, false
}

// Tokenize splits text; no BOS is added. With parseSpecial the text of control
// tokens becomes those tokens, without it is only text.
func (v *Vocab) Tokenize(text string, parseSpecial bool) ([]int32, error) {
	if len(text) == 0 {
		return nil, nil
	}
	if len(text) > math.MaxInt32/2 {
		return nil, &Error{Op: "tokenize", Kind: ErrArgument, Msg: "the text is larger than 1 GiB"}
	}
	if err := v.model.acquire(); err != nil {
		return nil, &Error{Op: "tokenize", Kind: err, Msg: "the model is closed"}
	}
	defer v.model.release()
	// English gives a token for four bytes; a second call for the rest is cheaper
	// than room for a token for each byte.
	out := make([]int32, len(text)/3+16)
	for {
		n, needed, err := v.tokenizeInto(out, text, parseSpecial)
		if needed > 0 {
			out = make([]int32, needed)
			continue
		}
		if err != nil {
			return nil, err
		}
		return out[:n], nil
	}
}

func (v *Vocab) tokenizeInto(out []int32, text string, parseSpecial bool) (n, needed int, err error) {
	var need C.int32_t
	var e errText
	msg, cap := e.ptr()
	rc := C.lx_tokenize(v.model.c, (*C.char)(unsafe.Pointer(unsafe.StringData(text))), C.int32_t(len(text)),
		(*C.int32_t)(&out[0]), C.int32_t(len(out)), cbool(parseSpecial), &need, msg, cap)
	if rc == C.LX_E_NOMEM {
		return 0, int(need), nil
	}
	if rc < 0 {
		return 0, 0, e.fail("tokenize", rc)
	}
	return int(rc), 0, nil
}
