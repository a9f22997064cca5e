package builtinmodel

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/jeantrail/jeantrail-ai/registry/gguf"
)

func TestChecksum(t *testing.T) {
	sum := sha256.Sum256(Bytes())
	if got := hex.EncodeToString(sum[:]); got != SHA256 {
		t.Errorf("builtin.gguf has the checksum %s, the constant SHA256 says %s", got, SHA256)
	}
	line, err := os.ReadFile("builtin.gguf.sha256")
	if err != nil {
		t.Fatal(err)
	}
	if want := SHA256 + "  builtin.gguf\n"; string(line) != want {
		t.Errorf("builtin.gguf.sha256 holds %q, want %q", line, want)
	}
}

func TestSize(t *testing.T) {
	if n := len(Bytes()); n > MaxBytes {
		t.Errorf("builtin.gguf has %d bytes, more than %d", n, MaxBytes)
	}
}

// The copies are apart: what one caller does to its own reaches nobody else.
func TestBytesAreCopies(t *testing.T) {
	a := Bytes()
	a[0] = 'X'
	if b := Bytes(); b[0] != 'G' {
		t.Errorf("a change of one copy shows in another: first byte %q", b[0])
	}
}

func TestMetadata(t *testing.T) {
	data := Bytes()
	f, err := gguf.Read(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"general.architecture": "qwen3",
		"general.name":         "jeantrail builtin",
		"general.license":      "mit",
		"tokenizer.ggml.pre":   "qwen2",
	} {
		if got, _ := gguf.Get[string](&f.Metadata, key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	// It must not pass for one of the Qwen models.
	if d, _ := gguf.Get[string](&f.Metadata, "general.description"); !strings.Contains(d, "not one of the Qwen models") {
		t.Errorf("general.description does not say what the model is not: %q", d)
	}
}
