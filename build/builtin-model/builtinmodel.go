package builtinmodel

import _ "embed"

// Name is what the model is called in requests, answers and listings.
const Name = "builtin"

// SHA256 is the checksum of [Bytes] in lower-case hexadecimal, the same as in
// builtin.gguf.sha256.
const SHA256 = "932c742cba0ece6fbcf8e9ef219fa76186d9819ec7a3c6379053fe9632adcbf8"

// MaxBytes is the largest the embedded file may be.
const MaxBytes = 6_000_000

//go:embed builtin.gguf
var file string

// Bytes returns the GGUF file (version 3, Q4_K_M): a fresh copy, which the
// caller may keep and change.
func Bytes() []byte { return []byte(file) }
