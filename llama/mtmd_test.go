//go:build cgo

package llama

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/jeantrail/jeantrail-ai/build/benchmodel/projector"
	"github.com/jeantrail/jeantrail-ai/build/benchmodel/qwen3"
	"github.com/jeantrail/jeantrail-ai/registry/gguf"
)

// writePair writes a tiny text model and a projector for it.
func writePair(tb testing.TB, kind projector.Kind) (model, mmproj string) {
	tb.Helper()
	dir := tb.TempDir()
	shape, err := qwen3.ShapeByName("tiny")
	if err != nil {
		tb.Fatal(err)
	}
	model, mmproj = filepath.Join(dir, "model.gguf"), filepath.Join(dir, "mmproj.gguf")
	create := func(path string, write func(f *os.File) error) {
		f, err := os.Create(path)
		if err != nil {
			tb.Fatal(err)
		}
		if err := errors.Join(write(f), f.Close()); err != nil {
			tb.Fatal(err)
		}
	}
	create(model, func(f *os.File) error {
		_, err := qwen3.Write(context.Background(), f, qwen3.Options{
			Shape: shape, Vocabulary: qwen3.TinyVocabulary(), Seed: 1, Vision: kind == projector.Qwen3VL,
		})
		return err
	})
	create(mmproj, func(f *os.File) error {
		_, err := projector.Write(f, projector.Options{Kind: kind, TextWidth: shape.Embedding, Seed: 1})
		return err
	})
	return model, mmproj
}

// seeing is a model with its projector and a context.
type seeing struct {
	model *Model
	see   *Vision
	x     *Context
}

func openSeeing(tb testing.TB, kind projector.Kind, p ContextParams) *seeing {
	tb.Helper()
	path, mmproj := writePair(tb, kind)
	m, err := LoadModel(context.Background(), ModelParams{Path: path, Load: LoadAuto}, nil)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := m.Close(); err != nil {
			tb.Error(err)
		}
	})
	v, err := OpenVision(context.Background(), m, VisionParams{Path: mmproj, NThreads: 1}, nil)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := errors.Join(v.Close(), v.Close()); err != nil {
			tb.Error(err)
		}
	})
	return &seeing{model: m, see: v, x: openContext(tb, m, p)}
}

// picture is an RGB image that depends on its seed in every pixel.
func picture(w, h, seed int) []byte {
	rgb := make([]byte, 3*w*h)
	for i := range rgb {
		rgb[i] = byte((i*i*7 + i*seed*13 + seed*31) >> 3)
	}
	return rgb
}

// show puts text, an image and more text into a sequence and returns where it
// ends and what follows greedily.
func (s *seeing) show(tb testing.TB, seq int, rgb []byte, w, h int) (pos int, said []int32) {
	tb.Helper()
	rows, err := s.see.Encode(rgb, w, h)
	if err != nil {
		tb.Fatal(err)
	}
	parts, err := s.see.Layout(w, h)
	if err != nil {
		tb.Fatal(err)
	}
	greedy := newSampler(tb, s.x, SamplerParams{})
	text := func(tokens []int32, sample bool) []Result {
		r := mustStep(tb, s.x, nil, []Span{{Seq: seq, Pos: pos, Tokens: tokens, Sample: sample, Sampler: greedy}})
		pos += len(tokens)
		return r
	}
	text(tokenize(tb, s.model, "Look: "), false)
	for _, p := range parts {
		if p.Tokens != nil {
			text(p.Tokens, false)
			continue
		}
		info, err := s.x.StepImage(nil, seq, pos, rows[0])
		if err != nil || info.Outcome != OutcomeOK {
			tb.Fatalf("image: outcome %d, %v", info.Outcome, err)
		}
		pos += p.NPos
		rows = rows[1:]
	}
	r := text(tokenize(tb, s.model, " What is it?"), true)
	return pos, continueFrom(tb, s.x, seq, pos, r, greedy, 12)
}

var kinds = []projector.Kind{projector.MLP, projector.Gemma3, projector.Qwen3VL}

func TestImageIsSeen(t *testing.T) {
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			s := openSeeing(t, kind, ContextParams{NSeqMax: 3, Unified: true, NBatch: 64, NUBatch: 32})
			const w, h = 112, 84
			_, first := s.show(t, 0, picture(w, h, 1), w, h)
			_, again := s.show(t, 1, picture(w, h, 1), w, h)
			_, other := s.show(t, 2, picture(w, h, 2), w, h)
			if !slices.Equal(first, again) {
				t.Errorf("the same image gave %v and then %v", first, again)
			}
			if slices.Equal(first, other) {
				t.Errorf("another image gave the same: %v", other)
			}
		})
	}
}

func TestImageLayout(t *testing.T) {
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			s := openSeeing(t, kind, ContextParams{NSeqMax: 1})
			parts, err := s.see.Layout(112, 84)
			if err != nil {
				t.Fatal(err)
			}
			rows, pos := 0, 0
			for _, p := range parts {
				if p.Tokens == nil {
					rows, pos = rows+p.NRows, pos+p.NPos
				} else if len(p.Tokens) != p.NRows || p.NPos != p.NRows {
					t.Errorf("a text part has %d tokens, %d rows and %d positions", len(p.Tokens), p.NRows, p.NPos)
				}
			}
			want := map[projector.Kind][2]int{projector.MLP: {16, 16}, projector.Gemma3: {4, 4}, projector.Qwen3VL: {12, 4}}[kind]
			if [2]int{rows, pos} != want {
				t.Errorf("the image has %d rows and %d positions, want %v", rows, pos, want)
			}
			if s.see.Info().NonCausal != (kind == projector.Gemma3) || s.see.Info().MRoPE != (kind == projector.Qwen3VL) {
				t.Errorf("info is %+v", s.see.Info())
			}
			if got, err := s.see.Encode(picture(112, 84, 1), 112, 84); err != nil || len(got) != 1 || got[0].NRows != rows ||
				len(got[0].Embd) != rows*s.see.Info().NEmbd || (got[0].Rel != nil) != s.see.Info().MRoPE {
				t.Errorf("encoded %d parts, %v", len(got), err)
			}
		})
	}
}

// Images of any shape go through, or are refused.
func TestImageShapes(t *testing.T) {
	for _, kind := range kinds {
		s := openSeeing(t, kind, ContextParams{NSeqMax: 1})
		for _, size := range [][2]int{{1, 1}, {1, 199}, {200, 1}, {13, 7}, {57, 56}, {640, 480}} {
			w, h := size[0], size[1]
			rows, err := s.see.Encode(picture(w, h, 1), w, h)
			if err != nil || len(rows) != 1 || rows[0].NRows < 1 {
				t.Errorf("%s: %d by %d: %d parts, %v", kind, w, h, len(rows), err)
			}
		}
	}
}

// rewrite copies a GGUF file with another value for a key.
func rewrite(tb testing.TB, path, key string, value gguf.Value) string {
	tb.Helper()
	in, err := os.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer in.Close()
	f, err := gguf.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	var out gguf.Writer
	for k, v := range f.Metadata.All() {
		if k == key {
			v = value
		}
		if err := out.Set(k, v); err != nil {
			tb.Fatal(err)
		}
	}
	for i := range f.Tensors {
		t := &f.Tensors[i]
		copyData := func(w io.Writer) error { _, err := io.Copy(w, f.Data(in, t)); return err }
		if err := out.Add(t.Name, t.Type, t.Dims, copyData); err != nil {
			tb.Fatal(err)
		}
	}
	changed := filepath.Join(tb.TempDir(), "changed.gguf")
	to, err := os.Create(changed)
	if err != nil {
		tb.Fatal(err)
	}
	_, err = out.WriteTo(to)
	if err := errors.Join(err, to.Close()); err != nil {
		tb.Fatal(err)
	}
	return changed
}

// A file whose numbers do not fit its tensors fails an assertion of ggml's while
// it is loaded, which must not end the process.
func TestProjectorWhoseGraphFails(t *testing.T) {
	model, mmproj := writePair(t, projector.Gemma3)
	m, err := LoadModel(context.Background(), ModelParams{Path: model, Load: LoadAuto}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	changed := rewrite(t, mmproj, "clip.vision.image_size", gguf.ValueOf(uint32(84)))
	v, err := OpenVision(context.Background(), m, VisionParams{Path: changed, NThreads: 1}, nil)
	if err == nil {
		t.Fatalf("opened: %v", v.Close())
	}
	wantError(t, err, "open projector", "assertion failed")

	// Without the warm-up the first image finds out.
	v, err = OpenVision(context.Background(), m, VisionParams{Path: changed, NThreads: 1, NoWarmUp: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = v.Encode(picture(60, 60, 1), 60, 60)
	wantError(t, err, "encode image", "assertion failed")
	if err := v.Close(); err != nil {
		t.Error(err)
	}
}

// An image larger than a batch goes in piece by piece, and comes out the same.
func TestImageInPieces(t *testing.T) {
	const w, h = 112, 84
	for _, kind := range []projector.Kind{projector.MLP, projector.Qwen3VL} {
		t.Run(string(kind), func(t *testing.T) {
			whole := openSeeing(t, kind, ContextParams{NSeqMax: 1})
			_, want := whole.show(t, 0, picture(w, h, 1), w, h)
			pieces := openSeeing(t, kind, ContextParams{NSeqMax: 1, NBatch: 15, NUBatch: 5})
			if _, got := pieces.show(t, 0, picture(w, h, 1), w, h); !slices.Equal(got, want) {
				t.Errorf("in pieces it gave %v, whole %v", got, want)
			}
		})
	}
}

func TestImageAborted(t *testing.T) {
	const w, h = 112, 84
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			s := openSeeing(t, kind, ContextParams{NSeqMax: 1})
			s.see.Abort(true)
			if _, err := s.see.Encode(picture(w, h, 1), w, h); !errors.Is(err, context.Canceled) {
				t.Fatalf("aborted encoding gave %v", err)
			}
			s.see.Abort(false)
			rows, err := s.see.Encode(picture(w, h, 1), w, h)
			if err != nil {
				t.Fatal(err)
			}
			mustStep(t, s.x, nil, []Span{{Tokens: tokenize(t, s.model, "abc")}})
			s.x.Abort(true)
			info, err := s.x.StepImage(nil, 0, 3, rows[0])
			if err != nil || info.Outcome != OutcomeAborted {
				t.Fatalf("outcome %d, %v", info.Outcome, err)
			}
			if n := seqLen(t, s.x, 0); n != 3 {
				t.Errorf("an aborted image left the sequence at %d", n)
			}
			s.x.Abort(false)
			if info, err := s.x.StepImage(nil, 0, 3, rows[0]); err != nil || info.Outcome != OutcomeOK {
				t.Errorf("after it: outcome %d, %v", info.Outcome, err)
			}
		})
	}
}

func TestImageRefused(t *testing.T) {
	s := openSeeing(t, projector.Gemma3, ContextParams{NSeqMax: 1, NUBatch: 2})
	rows, err := s.see.Encode(picture(60, 60, 1), 60, 60)
	if err != nil {
		t.Fatal(err)
	}
	one := rows[0]
	_, err = s.x.StepImage(nil, 0, 0, one)
	wantError(t, err, "must be evaluated at once", "n_ubatch is 2")
	_, err = s.x.StepImage(nil, 0, 5, one)
	wantError(t, err, "starts at position 5")
	_, err = s.x.StepImage(nil, 7, 0, one)
	wantError(t, err, "sequence 7 of 1")
	short := one
	short.Embd = one.Embd[1:]
	_, err = s.x.StepImage(nil, 0, 0, short)
	wantError(t, err, "the model takes 256 a row")
	turned := one
	turned.Rel = make([]int32, 4*one.NRows)
	_, err = s.x.StepImage(nil, 0, 0, turned)
	wantError(t, err, "one axis only")
	_, err = s.x.StepImage(nil, 0, 0, ImageRows{NRows: 1, NPos: 1})
	wantError(t, err, "no rows")
	for _, size := range [][2]int{{0, 4}, {4, -1}} {
		_, err = s.see.Layout(size[0], size[1])
		wantError(t, err, "pixels")
	}
	_, err = s.see.Encode(make([]byte, 5), 2, 2)
	wantError(t, err, "5 bytes")
}

func TestOpenVisionRefuses(t *testing.T) {
	model, _ := writePair(t, projector.MLP)
	_, wide := writePair(t, projector.Qwen3VL)
	m, err := LoadModel(context.Background(), ModelParams{Path: model, Load: LoadAuto}, nil)
	if err != nil {
		t.Fatal(err)
	}
	open := func(path string) error {
		v, err := OpenVision(context.Background(), m, VisionParams{Path: path, NThreads: 1}, nil)
		if err == nil {
			t.Error(v.Close())
		}
		return err
	}
	wantError(t, open(wide), "open projector", "mismatch between text model (n_embd = 256)")
	wantError(t, open(model), "open projector")
	wantError(t, open(filepath.Join(t.TempDir(), "none.gguf")), "open projector")
	ctx, cancel := context.WithCancelCause(context.Background())
	cause := errors.New("no more")
	cancel(cause)
	if _, err := OpenVision(ctx, m, VisionParams{Path: wide}, nil); !errors.Is(err, cause) {
		t.Errorf("a cancelled open gave %v", err)
	}
	if err := m.Close(); err != nil {
		t.Errorf("a projector that was refused holds the model: %v", err)
	}
	if _, err := OpenVision(context.Background(), m, VisionParams{Path: wide}, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("open for a closed model gave %v", err)
	}
}

func TestVisionClosed(t *testing.T) {
	model, mmproj := writePair(t, projector.MLP)
	m, err := LoadModel(context.Background(), ModelParams{Path: model, Load: LoadAuto}, nil)
	if err != nil {
		t.Fatal(err)
	}
	v, err := OpenVision(context.Background(), m, VisionParams{Path: mmproj, NThreads: 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); !errors.Is(err, ErrInUse) {
		t.Errorf("the model was closed under its projector: %v", err)
	}
	if err := errors.Join(v.Close(), m.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Layout(4, 4); !errors.Is(err, ErrClosed) {
		t.Errorf("layout after close: %v", err)
	}
	if _, err := v.Encode(make([]byte, 3), 1, 1); !errors.Is(err, ErrClosed) {
		t.Errorf("encode after close: %v", err)
	}
	v.Abort(true) // does nothing
}
