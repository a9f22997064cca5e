package jeantrail_test

import (
	"strings"
	"testing"

	"github.com/jeantrail/jeantrail-ai"
)

func TestNearest(t *testing.T) {
	known := []string{"max_tokens", "temperature", "top_p", "top_k"}
	for name, want := range map[string]string{
		"max_tokens": "max_tokens", "maxTokens": "max_tokens", "max-token": "max_tokens", "temprature": "temperature",
		"TOP_P": "top_p", "prompt": "", "": "", strings.Repeat("max_tokens", 10): "",
	} {
		if got, ok := jeantrail.Nearest(name, known); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v; want %q", name, got, ok, want)
		}
	}
}
