package gguf

import (
	"testing"

	"pgregory.net/rapid"
)

// TestComputeAgainstLlama holds the scratch space against the compute buffer that
// llama.cpp v0.5.0 reports on a CPU, in MiB with two digits behind the point: for
// 512 tokens on 1024 cells with one output, unless it says otherwise.
func TestComputeAgainstLlama(t *testing.T) {
	dense := func(embedding, queries, kv, feedForward int64, layers int) computation {
		return computation{
			tokens: 512, outputs: 1, vocabulary: 32768, cells: 1024, embedding: embedding,
			queries: queries, keys: kv, values: kv, attended: queries, feedForward: feedForward, layers: layers,
		}
	}
	mixture := func(embedding, queries, used, feedForward int64) computation {
		c := dense(embedding, queries, 512, feedForward, 2)
		c.experts, c.used, c.vocabulary = 16, used, 512
		return c
	}
	with := func(c computation, change func(*computation)) computation {
		change(&c)
		return c
	}
	narrow, wide, few := dense(1024, 2048, 1024, 3072, 6), dense(2048, 2048, 1024, 6144, 4), mixture(1024, 2048, 4, 512)
	for _, tt := range []struct {
		c    computation
		want float64
	}{
		{narrow, 27.01}, {wide, 53.01},
		{with(dense(256, 512, 256, 1024, 2), func(c *computation) { c.vocabulary = 151936 }), 9.51},
		{with(narrow, func(c *computation) { c.cells, c.outputs = 8192, 8 }), 34.01},
		{with(narrow, func(c *computation) { c.outputs = 8 }), 27.01}, // eight streams of 1024 cells
		{with(wide, func(c *computation) { c.cells = 512 }), 52.51},
		{with(wide, func(c *computation) { c.cells, c.tokens = 256, 256 }), 26.13},
		{with(few, func(c *computation) { c.vocabulary, c.cells, c.tokens, c.outputs = 32768, 4096, 128, 4 }), 6.50},
		{with(few, func(c *computation) { c.vocabulary, c.cells, c.tokens, c.outputs = 32768, 4096, 1024, 4 }), 52.02},
		{mixture(1024, 2048, 1, 512), 15.01}, {mixture(1024, 2048, 2, 512), 15.01}, {few, 23.01},
		{mixture(1024, 2048, 8, 512), 35.01}, {mixture(1024, 2048, 16, 512), 59.01},
		{mixture(1024, 512, 4, 256), 16.01}, {mixture(1024, 512, 4, 768), 26.01}, {mixture(1024, 512, 4, 1024), 32.01},
		{mixture(1024, 512, 4, 1536), 44.01}, {mixture(1024, 512, 4, 2048), 56.01}, {mixture(1024, 512, 8, 768), 44.01},
		{mixture(2048, 4096, 8, 768), 89.01}, {mixture(4096, 8192, 8, 1536), 177.01}, {mixture(1024, 512, 8, 256), 36.01},
		{mixture(1024, 8192, 1, 256), 39.01}, {mixture(1024, 8192, 2, 256), 39.01},
	} {
		if got := float64(tt.c.scratch()) / (1 << 20); got < tt.want-0.02 || got > tt.want+0.02 {
			t.Errorf("%+v: %.3f MiB, llama.cpp takes %.2f", tt.c, got, tt.want)
		}
	}
}

// TestPlacesDoNotOverlap checks the arena against a list of what is taken.
func TestPlacesDoNotOverlap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a arena
		var taken []hole
		var live, most int64
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			if len(taken) > 0 && rapid.Bool().Draw(t, "free") {
				i := rapid.IntRange(0, len(taken)-1).Draw(t, "which")
				a.free(taken[i].offset, taken[i].bytes)
				live -= taken[i].bytes
				taken = append(taken[:i], taken[i+1:]...)
				continue
			}
			n := graphAlignment * rapid.Int64Range(1, 20).Draw(t, "bytes")
			at := a.take(n)
			for _, h := range taken {
				if at < h.offset+h.bytes && h.offset < at+n {
					t.Fatalf("%d bytes at %d overlap %+v", n, at, h)
				}
			}
			taken, live = append(taken, hole{at, n}), live+n
			most = max(most, live)
		}
		if a.most < most {
			t.Fatalf("%d bytes were taken at once in a buffer of %d", most, a.most)
		}
		for _, h := range taken {
			a.free(h.offset, h.bytes)
		}
		if len(a.holes) != 0 || a.end != 0 {
			t.Fatalf("all is free, and what is left is %+v, end %d", a.holes, a.end)
		}
	})
}
