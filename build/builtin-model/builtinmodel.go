package builtinmodel

import _ "embed"

// Name is what the model is called in requests, answers and listings.
const Name = "builtin"

// SHA256 is the checksum of [Bytes] in lower-case hexadecimal, the same as in
// builtin.gguf.sha256.
const SHA256 = "8fc0a11d26fb32093f624abf0c962d1d5c075c86e525cc09451974b096ae0e81"

// MaxBytes is the largest the embedded file may be.
const MaxBytes = 6_000_000

//go:embed builtin.gguf
var file string

// Bytes returns the GGUF file (version 3, Q4_K_M): a fresh copy, which the
// caller may keep and change.
func Bytes() []byte { return []byte(file) }
