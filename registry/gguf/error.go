package gguf

import (
	"fmt"
)

// Reason says which rule a file breaks, for programs.
type Reason string

// The reasons. Those up to ReasonIO come from Read, the rest from Validate.
const (
	ReasonEmpty             Reason = "empty"               // no bytes, or zeros only
	ReasonWebPage           Reason = "web_page"            // HTML, XML or JSON saved under a model's name
	ReasonPointer           Reason = "lfs_pointer"         // a Git LFS pointer in place of the file
	ReasonOtherFormat       Reason = "other_format"        // a known format that is not GGUF
	ReasonNotGGUF           Reason = "not_gguf"            // the magic is wrong
	ReasonBigEndian         Reason = "big_endian"          // written for big-endian machines
	ReasonVersion           Reason = "unsupported_version" // not GGUF v2 or v3
	ReasonTruncated         Reason = "truncated"           // the file ends before its content does
	ReasonLimit             Reason = "limit"               // a count or length above the package's limits
	ReasonMalformed         Reason = "malformed"           // bytes that no writer produces
	ReasonDuplicateKey      Reason = "duplicate_key"
	ReasonDuplicateTensor   Reason = "duplicate_tensor"
	ReasonAlignment         Reason = "alignment"
	ReasonTensorType        Reason = "tensor_type"   // unknown, removed or not usable where it stands
	ReasonTensorShape       Reason = "tensor_shape"  // impossible, or not the one the architecture has
	ReasonTensorOffset      Reason = "tensor_offset" // not the padded sum of the tensors before it
	ReasonOverflow          Reason = "overflow"      // a size that does not fit 63 bits
	ReasonIO                Reason = "io"            // the file could not be read
	ReasonMissingKey        Reason = "missing_key"
	ReasonKeyType           Reason = "key_type"
	ReasonBadValue          Reason = "bad_value" // metadata that makes no working model
	ReasonArchitecture      Reason = "unknown_architecture"
	ReasonNotTextModel      Reason = "not_text_model"
	ReasonNotProjector      Reason = "not_projector"
	ReasonVocabOnly         Reason = "vocabulary_only"
	ReasonSplit             Reason = "split"        // a part of a split model where it does not belong
	ReasonMissingPart       Reason = "missing_part" // of a split model
	ReasonMissingTensor     Reason = "missing_tensor"
	ReasonNormType          Reason = "norm_type" // a norm or bias that is not F32
	ReasonVocabulary        Reason = "vocabulary"
	ReasonDuplicateToken    Reason = "duplicate_token"
	ReasonSpecialToken      Reason = "special_token"
	ReasonTemplateTooLarge  Reason = "template_too_large"
	ReasonTemplateMalformed Reason = "template_malformed"
)

// Error is the refusal of a file. Message and Hint may be shown to a person.
type Error struct {
	Reason  Reason
	Message string // what is wrong, with the name and numbers concerned
	Hint    string // what to do about it
	Err     error  // the cause, if there is one (ReasonIO)
}

// Error implements error.
func (e *Error) Error() string {
	if e.Err != nil {
		return e.Message + ": " + e.Err.Error()
	}
	return e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

const (
	hintDownload = "Download the file again, and compare its size and SHA-256 with what the publisher states."
	hintConvert  = "Convert the model again with llama.cpp's current convert_hf_to_gguf.py, or download a current GGUF of it."
	hintRequant  = "Download the model in another quantisation (Q4_K_M is a good default), or quantise it again with a current llama-quantize."
)

// refuse makes an Error with the hint that fits its reason most often.
func refuse(reason Reason, format string, args ...any) *Error {
	e := &Error{Reason: reason, Message: fmt.Sprintf(format, args...), Hint: hintConvert}
	switch reason {
	case ReasonEmpty, ReasonTruncated, ReasonNotGGUF, ReasonMalformed:
		e.Hint = hintDownload
	case ReasonTensorType, ReasonNormType:
		e.Hint = hintRequant
	}
	return e
}

func (e *Error) hint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}
