//go:build cgo

package native_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/jeantrail/jeantrail-ai/engine"
	"github.com/jeantrail/jeantrail-ai/engine/native"
)

func modelPath(tb testing.TB) string {
	tb.Helper()
	if p := os.Getenv("JEANTRAIL_TEST_MODEL"); p != "" {
		return p
	}
	return filepath.Join("..", "..", "build", "builtin-model", "builtin.gguf")
}

func open(tb testing.TB, o native.Options) *native.Decoder {
	tb.Helper()
	runtime.LockOSThread()
	if o.Path == "" && o.Data == "" {
		o.Path = modelPath(tb)
	}
	if o.NCtx == 0 {
		o.NCtx = 1024
	}
	if o.NThreads == 0 {
		o.NThreads = 1
	}
	d, err := native.Open(context.Background(), o, nil)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		runtime.UnlockOSThread()
		for range 2 {
			if err := d.Close(); err != nil {
				tb.Error(err)
			}
		}
	})
	return d
}

func answer(tb testing.TB, d *native.Decoder, seq int, prompt []engine.Token, p engine.SamplingParams) string {
	tb.Helper()
	s, err := d.NewSampler(p)
	if err != nil {
		tb.Fatal(err)
	}
	defer d.FreeSampler(s)
	if err := d.SeedSampler(s, prompt); err != nil {
		tb.Fatal(err)
	}
	ops := []engine.MemOp{{Kind: engine.MemRemove, Seq: seq, P1: -1}}
	var out bytes.Buffer
	for span := prompt; ; {
		pos := 0
		if ops == nil {
			pos = d.SeqLen(seq)
		}
		r, info, err := d.Step(ops, []engine.Span{{Seq: seq, Pos: pos, Tokens: span, Sample: true, Sampler: s}}, nil)
		if err != nil || info.Outcome != engine.OutcomeOK || r[0].Err != nil {
			tb.Fatalf("%+v, %+v, %v", r, info, err)
		}
		if r[0].EOG || out.Len() > 400 {
			return out.String()
		}
		out.Write(d.Vocab().Piece(r[0].Token))
		ops, span = nil, []engine.Token{r[0].Token}
	}
}

func prompt(tb testing.TB, d *native.Decoder, text string) []engine.Token {
	tb.Helper()
	p, err := d.RenderChat(context.Background(), []engine.ChatMessage{{Role: "user", Content: text}}, nil, false)
	if err != nil {
		tb.Fatal(err)
	}
	tokens, err := d.Vocab().Tokenize(p, true)
	if err != nil {
		tb.Fatal(err)
	}
	return tokens
}

func TestAnswers(t *testing.T) {
	data, err := os.ReadFile(modelPath(t))
	if err != nil {
		t.Fatal(err)
	}
	d := open(t, native.Options{NSeqMax: 2})
	fromBytes := open(t, native.Options{NSeqMax: 2, Data: string(data), PerSequenceKV: true, NoMmap: true, NoRepack: true})
	q := prompt(t, d, "What are you?")
	a, b := answer(t, d, 1, q, engine.SamplingParams{}), answer(t, fromBytes, 1, q, engine.SamplingParams{})
	if len(a) < 20 || a != b {
		t.Errorf("%q and %q", a, b)
	}
	if c := answer(t, d, 0, q, engine.SamplingParams{Temperature: 0.8, TopK: 40, TopP: 0.95, Seed: 4, RepeatPenalty: 1.1}); c == "" {
		t.Error("no answer with sampling")
	}
}

func TestInfo(t *testing.T) {
	d := open(t, native.Options{NSeqMax: 3, PerSequenceKV: true, NBatch: 256, NUBatch: 64})
	i := d.Info()
	if i.Architecture != "qwen3" || i.Device != "CPU" || i.LayersOffloaded != 0 || i.LayersTotal < 2 || i.FallbackReason != "" {
		t.Errorf("%+v", i)
	}
	if i.NSeqMax != 3 || i.NBatch != 256 || i.NUBatch != 64 || i.Unified || i.NCtx < 1024 || i.NCtxSeq*3 != i.NCtx || i.NCtxTrain == 0 {
		t.Errorf("%+v", i)
	}
	if i.ModelBytes == 0 || i.KVBytes == 0 || i.Threads != 1 || !strings.Contains(i.ChatTemplate, "im_start") || d.Template() != i.ChatTemplate {
		t.Errorf("%d model bytes, %d KV bytes, %d threads", i.ModelBytes, i.KVBytes, i.Threads)
	}
}

func TestGPULayersWithoutGPU(t *testing.T) {
	for _, d := range native.Devices() {
		if d.GPU {
			t.Skip("this machine has a GPU")
		}
	}
	for _, n := range []int{-1, 4} {
		i := open(t, native.Options{NGPULayers: n}).Info()
		if !strings.Contains(i.FallbackReason, "no GPU device") || i.LayersOffloaded != 0 || i.Device != "CPU" {
			t.Errorf("%d layers: %+v", n, i)
		}
	}
}

func TestOpenRefusals(t *testing.T) {
	for name, tc := range map[string]struct {
		o    native.Options
		says string
	}{
		"flash attention": {native.Options{FlashAttn: "maybe"}, "flash attention"},
		"KV type":         {native.Options{TypeK: "q2"}, "KV cache type"},
		"GPU layers":      {native.Options{NGPULayers: -2}, "GPU layers"},
		"no file":         {native.Options{Path: "none.gguf"}, "none.gguf"},
		"no model":        {native.Options{NCtx: -1}, "path"},
		"sizes":           {native.Options{Path: modelPath(t), NSeqMax: 9999}, "n_seq_max"},
	} {
		d, err := native.Open(context.Background(), tc.o, nil)
		if err == nil {
			d.Close()
			t.Errorf("%s: opened", name)
		} else if !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := native.Open(ctx, native.Options{Path: modelPath(t)}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestQuantizedKV(t *testing.T) {
	d := open(t, native.Options{TypeK: "q8_0", TypeV: "q8_0", FlashAttn: "on"})
	half := open(t, native.Options{})
	if d.Info().KVBytes >= half.Info().KVBytes {
		t.Errorf("q8_0 takes %d bytes, f16 %d", d.Info().KVBytes, half.Info().KVBytes)
	}
	if a := answer(t, d, 0, prompt(t, d, "Hello!"), engine.SamplingParams{}); a == "" {
		t.Error("no answer")
	}
}

func TestAbortAndState(t *testing.T) {
	d := open(t, native.Options{NSeqMax: 2})
	q := prompt(t, d, "How do I pull a model?")
	d.Abort(true)
	_, info, err := d.Step(nil, []engine.Span{{Tokens: q}}, nil)
	if err != nil || info.Outcome != engine.OutcomeAborted || d.SeqLen(0) != 0 {
		t.Fatalf("%+v, %v, %d tokens", info, err, d.SeqLen(0))
	}
	d.Abort(false)
	want := answer(t, d, 0, q, engine.SamplingParams{})
	if _, _, err := d.Step([]engine.MemOp{{Kind: engine.MemRemove, Seq: 0, P0: len(q), P1: -1}}, nil, nil); err != nil {
		t.Fatal(err)
	}
	blob, err := d.SaveSeq(0)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "seq")
	if err := d.SaveSeqFile(file, 0, q); err != nil {
		t.Fatal(err)
	}
	if err := d.LoadSeq(1, blob); err != nil || d.SeqLen(1) != len(q) {
		t.Fatalf("%v, %d tokens", err, d.SeqLen(1))
	}
	if _, _, err := d.Step([]engine.MemOp{{Seq: 1, P1: -1}}, nil, nil); err != nil {
		t.Fatal(err)
	}
	tokens, err := d.LoadSeqFile(file, 1)
	if err != nil || !slices.Equal(tokens, q) || d.SeqLen(1) != len(q) {
		t.Fatalf("%v, %v", tokens, err)
	}
	if got := answer(t, d, 1, q, engine.SamplingParams{}); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if d.SeqLen(99) != 0 {
		t.Error("a sequence that is not there has tokens")
	}
}

func TestLogprobsAndBench(t *testing.T) {
	d := open(t, native.Options{NSeqMax: 2})
	s, err := d.NewSampler(engine.SamplingParams{})
	if err != nil {
		t.Fatal(err)
	}
	r, _, err := d.Step(nil, []engine.Span{{Tokens: prompt(t, d, "Hello!"), Sample: true, Sampler: s, Logprobs: 3}}, nil)
	if err != nil || len(r[0].Top) != 3 || r[0].Top[0].Token != r[0].Token || r[0].Top[0].Logprob != r[0].Logprob || r[0].Logprob >= 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if pp, err := d.BenchPrompt(32); err != nil || pp <= 0 {
		t.Error(pp, err)
	}
	if tg, err := d.BenchGenerate(4); err != nil || tg <= 0 {
		t.Error(tg, err)
	}
	if pp, tg, err := d.BenchBatched(8, 2, 2, true); err != nil || pp <= 0 || tg <= 0 {
		t.Error(pp, tg, err)
	}
	g, err := d.SchemaToGrammar([]byte(`{"enum":["a","b"]}`))
	if err != nil {
		t.Fatal(err)
	}
	if a := answer(t, d, 0, prompt(t, d, "Hello!"), engine.SamplingParams{Grammar: g}); a != `"a"` && a != `"b"` {
		t.Errorf("%q", a)
	}
}
