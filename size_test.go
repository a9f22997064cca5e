package jeantrail_test

import (
	"testing"

	"github.com/jeantrail/jeantrail-ai"
)

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 bytes", 1023: "1023 bytes", 1 << 10: "1 KiB", 1<<20 - 1: "1023 KiB", 1 << 20: "1 MiB", 1<<30 - 1: "1023 MiB", 3 << 29: "1.5 GiB",
	} {
		if got := jeantrail.Size(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}
