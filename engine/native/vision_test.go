//go:build cgo

package native_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/build/benchmodel/projector"
	"github.com/jeantrail/jeantrail-ai/build/benchmodel/qwen3"
	"github.com/jeantrail/jeantrail-ai/engine"
	"github.com/jeantrail/jeantrail-ai/engine/native"
)

const chatML = `{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}`

// writePair writes a tiny model and a projector for it.
func writePair(tb testing.TB, kind projector.Kind) (model, mmproj string) {
	tb.Helper()
	shape, err := qwen3.ShapeByName("tiny")
	if err != nil {
		tb.Fatal(err)
	}
	dir := tb.TempDir()
	create := func(name string, write func(io.Writer) (int64, error)) string {
		path := filepath.Join(dir, name)
		f, err := os.Create(path)
		if err != nil {
			tb.Fatal(err)
		}
		_, err = write(f)
		if err := errors.Join(err, f.Close()); err != nil {
			tb.Fatal(err)
		}
		return path
	}
	model = create("model.gguf", func(w io.Writer) (int64, error) {
		return qwen3.Write(context.Background(), w, qwen3.Options{
			Shape: shape, Vocabulary: qwen3.TinyVocabulary(), Template: chatML, Seed: 1, Vision: kind == projector.Qwen3VL,
		})
	})
	mmproj = create("mmproj.gguf", func(w io.Writer) (int64, error) {
		return projector.Write(w, projector.Options{Kind: kind, TextWidth: shape.Embedding, Seed: 1})
	})
	return model, mmproj
}

// files keeps images by their content.
type files struct {
	mu   sync.Mutex
	kept map[string][]byte
}

func (f *files) put(data []byte) jeantrail.File {
	f.mu.Lock()
	defer f.mu.Unlock()
	sum := sha256.Sum256(data)
	file := jeantrail.File{SHA256: hex.EncodeToString(sum[:]), Bytes: int64(len(data))}
	if f.kept == nil {
		f.kept = make(map[string][]byte)
	}
	f.kept[file.SHA256] = data
	return file
}

type opened struct{ *bytes.Reader }

func (opened) Close() error { return nil }

func (f *files) Open(file jeantrail.File) (io.ReadSeekCloser, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	data, ok := f.kept[file.SHA256]
	if !ok {
		return nil, jeantrail.Errorf(jeantrail.CodeNotFound, "there is no such file")
	}
	return opened{bytes.NewReader(data)}, nil
}

// drawing is a PNG that depends on its seed in every pixel.
func drawing(tb testing.TB, w, h, seed int) []byte {
	tb.Helper()
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			img.SetNRGBA(x, y, color.NRGBA{uint8(x*seed*3 + y), uint8(y*seed*5 + x), uint8((x ^ y) * seed), 0xff})
		}
	}
	var out bytes.Buffer
	if err := png.Encode(&out, img); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

// recorder notes what a decoder samples.
type recorder struct {
	*native.Decoder
	tokens []engine.Token
	images int // steps of an image
}

func (r *recorder) Step(ops []engine.MemOp, spans []engine.Span, results []engine.Result) ([]engine.Result, engine.StepInfo, error) {
	for i := range spans {
		if spans[i].Image != nil {
			r.images++
		}
	}
	results, info, err := r.Decoder.Step(ops, spans, results)
	for i := range results {
		r.tokens = append(r.tokens, results[i].Token)
	}
	return results, info, err
}

// seeing is an engine on a model that reads images.
type seeing struct {
	*engine.Engine
	files files
	dec   *recorder
}

func openSeeing(tb testing.TB, model, mmproj string, o native.Options) *seeing {
	tb.Helper()
	o.Path, o.Projector, o.NThreads = model, mmproj, 1
	if o.NCtx == 0 {
		o.NCtx, o.NSeqMax = 1024, 4
	}
	d, err := native.Open(context.Background(), o, nil)
	if err != nil {
		tb.Fatal(err)
	}
	s := &seeing{dec: &recorder{Decoder: d}}
	s.Engine, err = engine.New(s.dec, engine.Options{
		Model: "tiny", Files: &s.files, Identity: func() string { return "model" }, Projector: func() string { return "projector" },
	})
	if err != nil {
		tb.Fatal(err)
	}
	if err := s.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := errors.Join(s.Stop(context.Background()), d.Close(), d.Close()); err != nil {
			tb.Error(err)
		}
		if n := s.Stats().KVLive; n != 0 {
			tb.Errorf("%d cells are live in the end", n)
		}
	})
	return s
}

// quiet is a sink that only notes what was cached.
type quiet struct {
	prompt, cached int
	progress       []jeantrail.Progress
}

func (q *quiet) Started(_ string, _ jeantrail.EngineInfo, prompt, cached int) {
	q.prompt, q.cached = prompt, cached
}
func (*quiet) Token(string, bool, int)         {}
func (*quiet) Allowance(int, int) int          { return math.MaxInt }
func (q *quiet) Progress(p jeantrail.Progress) { q.progress = append(q.progress, p) }

const answerTokens = 24

func about(question string, images ...jeantrail.File) jeantrail.Request {
	n := answerTokens
	return jeantrail.Request{Kind: jeantrail.KindText, Text: &jeantrail.TextRequest{
		Prompt: question, Images: images, MaxTokens: &n, Temperature: new(float64), IgnoreEOS: true,
	}}
}

// ask runs a request and returns the tokens of its answer.
func (s *seeing) ask(tb testing.TB, question string, images ...jeantrail.File) ([]engine.Token, *quiet) {
	tb.Helper()
	req := about(question, images...)
	work, err := s.Prepare(context.Background(), &req)
	if err != nil {
		tb.Fatal(err)
	}
	s.dec.tokens = nil
	sink := &quiet{}
	res, err := work.Run(context.Background(), &jeantrail.Job{Kind: jeantrail.KindText}, sink)
	if err != nil {
		tb.Fatal(err)
	}
	if res.Usage.PromptTokens != work.Bounds().PromptTokens || res.Usage.CompletionTokens != answerTokens {
		tb.Errorf("used %+v, bounds were %+v", res.Usage, work.Bounds())
	}
	return slices.Clone(s.dec.tokens), sink
}

var kinds = []projector.Kind{projector.MLP, projector.Gemma3, projector.Qwen3VL}

func TestSeeing(t *testing.T) {
	for _, kind := range kinds {
		for _, separate := range []bool{false, true} {
			name := string(kind)
			if separate {
				name += " separate"
			}
			t.Run(name, func(t *testing.T) {
				model, mmproj := writePair(t, kind)
				s := openSeeing(t, model, mmproj, native.Options{NCtx: 1024, NSeqMax: 2, PerSequenceKV: separate})
				if info := s.dec.Info(); !info.Vision || info.ProjectorBytes == 0 {
					t.Errorf("info is %+v", info)
				}
				one, two := s.files.put(drawing(t, 112, 84, 1)), s.files.put(drawing(t, 112, 84, 2))
				first, sink := s.ask(t, "What is it?", one)
				if sink.cached != 0 || s.dec.images != 1 {
					t.Errorf("%d tokens were cached, %d images evaluated", sink.cached, s.dec.images)
				}
				again, sink := s.ask(t, "What is it?", one)
				if !slices.Equal(again, first) || sink.cached != sink.prompt-1 || s.dec.images != 1 {
					t.Errorf("again: %v, then %v, %d of %d cached", first, again, sink.cached, sink.prompt)
				}
				other, sink := s.ask(t, "What is it?", two)
				if slices.Equal(other, first) || s.dec.images != 2 {
					t.Errorf("another image gave the same: %v", other)
				}
				if before := len("<user\n") + len("<start_of_image>"); sink.cached > before {
					t.Errorf("%d tokens of another image were reused", sink.cached)
				}
				both, _ := s.ask(t, "What is it?", one, two)
				swapped, _ := s.ask(t, "What is it?", two, one)
				blind, _ := s.ask(t, "What is it?")
				if slices.Equal(both, swapped) || slices.Equal(both, first) || slices.Equal(blind, first) {
					t.Errorf("the images do not matter: %v, %v, %v, %v", first, both, swapped, blind)
				}
				if last, _ := s.ask(t, "What is it?", one); !slices.Equal(last, first) {
					t.Errorf("in the end: %v, then %v", first, last)
				}
			})
		}
	}
}

func TestSeeingInCrowd(t *testing.T) {
	model, mmproj := writePair(t, projector.Qwen3VL)
	alone := openSeeing(t, model, mmproj, native.Options{})
	crowd := openSeeing(t, model, mmproj, native.Options{NCtx: 512, NSeqMax: 3, NBatch: 32, NUBatch: 32})
	const jobs = 9
	want := make([]string, jobs)
	run := func(s *seeing, i int) (string, error) {
		image := s.files.put(drawing(t, 112, 84, 1+i%3))
		req := about("Question "+strings.Repeat("o", i), image)
		if i%4 == 3 {
			req.Text.Images = nil
		}
		work, err := s.Prepare(context.Background(), &req)
		if err != nil {
			return "", err
		}
		res, err := work.Run(context.Background(), &jeantrail.Job{Kind: jeantrail.KindText}, &quiet{})
		return res.Text, err
	}
	for i := range want {
		var err error
		if want[i], err = run(alone, i); err != nil {
			t.Fatal(err)
		}
	}
	var all sync.WaitGroup
	for i := range want {
		all.Go(func() {
			got, err := run(crowd, i)
			if err != nil || got != want[i] {
				t.Errorf("job %d: %q, alone %q, %v", i, got, want[i], err)
			}
		})
	}
	all.Wait()
}

func TestImagesRefused(t *testing.T) {
	model, mmproj := writePair(t, projector.MLP)
	s := openSeeing(t, model, mmproj, native.Options{})
	whole := drawing(t, 60, 60, 1)
	cases := map[string]struct {
		file jeantrail.File
		code jeantrail.Code
		says string
	}{
		"cut off":   {s.files.put(whole[:len(whole)/2]), jeantrail.CodeInvalid, "read image"},
		"no image":  {s.files.put([]byte("words")), jeantrail.CodeUnsupportedMedia, "format"},
		"empty":     {s.files.put(nil), jeantrail.CodeUnsupportedMedia, "format"},
		"not there": {jeantrail.File{SHA256: strings.Repeat("0", 64)}, jeantrail.CodeNotFound, "no such file"},
		"a strip":   {s.files.put(drawing(t, 402, 2, 1)), jeantrail.CodeInvalid, "more than 200 times"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			req := about("What?", c.file)
			_, err := s.Prepare(t.Context(), &req)
			if jeantrail.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v", jeantrail.CodeOf(err), err)
			}
		})
	}
	t.Run("too many for the context", func(t *testing.T) {
		image := s.files.put(whole)
		req := about("What?", slices.Repeat([]jeantrail.File{image}, 70)...)
		if _, err := s.Prepare(t.Context(), &req); jeantrail.CodeOf(err) != jeantrail.CodeContextLength {
			t.Errorf("%v", err)
		}
	})
	t.Run("without a projector", func(t *testing.T) {
		blind := openSeeing(t, model, "", native.Options{})
		req := about("What?", blind.files.put(whole))
		_, err := blind.Prepare(t.Context(), &req)
		if e := jeantrail.AsError(err); e.Code != jeantrail.CodeUnsupported || !strings.Contains(e.Message, "tiny does not read images") ||
			!strings.Contains(e.Hint, "mmproj") {
			t.Errorf("%+v", e)
		}
	})
}

func TestImageCancelled(t *testing.T) {
	model, mmproj := writePair(t, projector.MLP)
	s := openSeeing(t, model, mmproj, native.Options{})
	image := s.files.put(drawing(t, 112, 84, 1))
	want, _ := s.ask(t, "What is it?", image)
	cause := errors.New("changed my mind")
	for range 20 { // at whatever moment it hits
		ctx, cancel := context.WithCancelCause(t.Context())
		req := about("Now what is that?", s.files.put(drawing(t, 112, 84, 7)))
		work, err := s.Prepare(ctx, &req)
		if err != nil {
			t.Fatal(err)
		}
		go cancel(cause)
		res, err := work.Run(ctx, &jeantrail.Job{Kind: jeantrail.KindText}, &quiet{})
		if res.FinishReason == jeantrail.FinishCancelled && !errors.Is(err, cause) {
			t.Errorf("cancelled with %v", err)
		}
	}
	if got, _ := s.ask(t, "What is it?", image); !slices.Equal(got, want) {
		t.Errorf("after it: %v, before %v", got, want)
	}
}

func TestOpenWithWrongProjector(t *testing.T) {
	model, _ := writePair(t, projector.MLP)
	_, wide := writePair(t, projector.Qwen3VL)
	for _, path := range []string{wide, model, filepath.Join(t.TempDir(), "none.gguf")} {
		if d, err := native.Open(t.Context(), native.Options{Path: model, Projector: path, NCtx: 256, NThreads: 1}, nil); err == nil {
			t.Errorf("opened with %s: %v", path, d.Close())
		}
	}
}
