//go:build cgo

package llama

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestSelfTest(t *testing.T) {
	if err := SelfTest(); err != nil {
		t.Fatal(err)
	}
	if err := CheckCPU(); err != nil {
		t.Fatal(err)
	}
	b := BuildInfo()
	if b.Version == "" || b.Tree == "" || b.Key == "" || b.CPU == "" || b.Backends == "" {
		t.Errorf("build info has gaps: %+v", b)
	}
	if SystemInfo() == "" {
		t.Error("no system info")
	}
}

func TestDevices(t *testing.T) {
	for _, d := range Devices() {
		if d.Kind == DeviceCPU && d.TotalBytes > 0 && d.Name != "" {
			return
		}
	}
	t.Errorf("no CPU with memory among %+v", Devices())
}

func TestLoadFromPathAndFromBytesAgree(t *testing.T) {
	data, err := os.ReadFile(modelPath(t))
	if err != nil {
		t.Fatal(err)
	}
	var got []float64
	m1, err := LoadModel(context.Background(), ModelParams{Data: string(data), Load: LoadAuto}, func(p float64) { got = append(got, p) })
	if err != nil {
		t.Fatal(err)
	}
	defer m1.Close()
	if len(got) == 0 || got[len(got)-1] != 1 {
		t.Errorf("progress %v does not end with 1", got)
	}
	m2 := openModel(t)
	if m1.Info() != m2.Info() {
		t.Errorf("from bytes %+v, from a file %+v", m1.Info(), m2.Info())
	}
	i := m2.Info()
	if i.Architecture != "qwen3" || i.NLayer == 0 || i.NParams == 0 || i.Bytes == 0 || i.NVocab != m2.Vocab().Size() {
		t.Errorf("info %+v", i)
	}
	if v, ok := m2.Meta("general.architecture"); !ok || v != "qwen3" {
		t.Errorf("architecture %q, %v", v, ok)
	}
	if v, ok := m2.Meta("tokenizer.chat_template"); !ok || len(v) < 256 || v != m2.ChatTemplate() {
		t.Errorf("long metadata value of %d bytes, %v", len(v), ok)
	}
	if _, ok := m2.Meta("no.such.key"); ok {
		t.Error("found a key that is not there")
	}
	p := question("What are you?")
	x1, x2 := openContext(t, m1, ContextParams{}), openContext(t, m2, ContextParams{})
	a := generate(t, x1, 0, tokenize(t, m1, p), newSampler(t, x1, SamplerParams{}), 20)
	b := generate(t, x2, 0, tokenize(t, m2, p), newSampler(t, x2, SamplerParams{}), 20)
	if text(m1.Vocab(), a) != text(m2.Vocab(), b) || len(a) == 0 {
		t.Errorf("from bytes %q, from a file %q", text(m1.Vocab(), a), text(m2.Vocab(), b))
	}
	if err := x1.Close(); err != nil {
		t.Error(err)
	}
}

func TestLoadCancelled(t *testing.T) {
	stop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(stop)
	_, err := LoadModel(ctx, ModelParams{Path: modelPath(t)}, nil)
	if !errors.Is(err, stop) {
		t.Errorf("load with an ended context: %v", err)
	}
	// llama.cpp sees the flag at its first tensor.
	if err := loadWithFlag(modelPath(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("load with the flag set: %v", err)
	}
}

func TestLoadRefusals(t *testing.T) {
	good, err := os.ReadFile(modelPath(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		p    ModelParams
		kind error
		says string
	}{
		"nothing":      {ModelParams{}, ErrArgument, "path or the model's bytes"},
		"both":         {ModelParams{Path: "x", Data: "y"}, ErrArgument, "path or the model's bytes"},
		"no file":      {ModelParams{Path: filepath.Join(t.TempDir(), "none.gguf")}, ErrFailed, "none.gguf"},
		"not a model":  {ModelParams{Data: "<html>no</html>"}, ErrFailed, "load model"},
		"cut short":    {ModelParams{Data: string(good[:len(good)/2])}, ErrFailed, "not within the file bounds"},
		"no layers":    {ModelParams{Data: string(patchU32(t, good, "qwen3.block_count", 0))}, nil, "GGML_ASSERT"},
		"many layers":  {ModelParams{Data: string(patchU32(t, good, "qwen3.block_count", 100000))}, nil, "GGML_ASSERT"},
		"other layers": {ModelParams{Data: string(patchU32(t, good, "qwen3.block_count", 9))}, ErrFailed, "not found"},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := LoadModel(context.Background(), tc.p, nil)
			if err == nil {
				m.Close()
			}
			wantError(t, err, tc.says)
			if tc.kind != nil && !errors.Is(err, tc.kind) {
				t.Errorf("%v is not %v", err, tc.kind)
			}
		})
	}
}

// patchU32 returns a copy of a GGUF file with another value for a u32 key.
func patchU32(t *testing.T, file []byte, key string, value uint32) []byte {
	t.Helper()
	at := bytes.Index(file, []byte(key))
	if at < 0 || binary.LittleEndian.Uint32(file[at+len(key):]) != 4 {
		t.Fatalf("no u32 %s in the model", key)
	}
	out := bytes.Clone(file)
	binary.LittleEndian.PutUint32(out[at+len(key)+4:], value)
	return out
}

func TestExceptionsBecomeErrors(t *testing.T) {
	for kind, want := range map[int]struct {
		says string
		is   error
	}{
		0: {"thrown on purpose", ErrException},
		1: {"unknown C++ exception", ErrException},
		2: {"out of memory", ErrException},
		3: {"aborted on purpose", ErrException},
		4: {"refused on purpose", ErrArgument},
	} {
		err := throwForTest(kind)
		wantError(t, err, want.says)
		if !errors.Is(err, want.is) {
			t.Errorf("kind %d: %v is not %v", kind, err, want.is)
		}
	}
}

func TestCloseOrder(t *testing.T) {
	m, err := LoadModel(context.Background(), ModelParams{Path: modelPath(t), Load: LoadAuto}, nil)
	if err != nil {
		t.Fatal(err)
	}
	x, err := NewContext(m, ContextParams{NCtx: 256, TypeK: KVF16, TypeV: KVF16})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); !errors.Is(err, ErrInUse) {
		t.Errorf("closing a model with a context: %v", err)
	}
	for range 2 {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	}
	for range 2 {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := m.Vocab().Tokenize("x", false); !errors.Is(err, ErrClosed) {
		t.Errorf("tokenize after close: %v", err)
	}
	if _, err := NewContext(m, ContextParams{}); !errors.Is(err, ErrClosed) {
		t.Errorf("context after close: %v", err)
	}
	if _, _, err := x.Step(nil, nil, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("step after close: %v", err)
	}
	if _, err := x.NewSampler(SamplerParams{}); !errors.Is(err, ErrClosed) {
		t.Errorf("sampler after close: %v", err)
	}
	x.Abort(true) // nothing to abort, and no crash
}

func TestLeakAlarm(t *testing.T) {
	type object [64]byte
	rang := make(chan string, 2)
	for _, closed := range []bool{false, true} {
		func() {
			obj := &object{}
			a := watchLeak(obj, "object", 0)
			a.report = func(_, site string) { rang <- site }
			a.closed.Store(closed)
			runtime.KeepAlive(obj)
		}()
	}
	site := ""
	for site == "" {
		runtime.GC()
		select {
		case site = <-rang:
		default:
			runtime.Gosched()
		}
	}
	if filepath.Base(site)[:len("model_test.go")] != "model_test.go" {
		t.Errorf("the alarm names %s", site)
	}
	runtime.GC()
	select {
	case site := <-rang:
		t.Errorf("an alarm for a closed object, created at %s", site)
	default:
	}
}

func TestLogIsDrained(t *testing.T) {
	DrainLog()
	openModel(t)
	records, dropped := DrainLog()
	if len(records) == 0 || dropped != 0 {
		t.Fatalf("%d records, %d dropped", len(records), dropped)
	}
	for _, r := range records {
		if r.Text == "" {
			t.Error("an empty record")
		}
	}
	if again, _ := DrainLog(); len(again) != 0 {
		t.Errorf("%d records came twice", len(again))
	}
}

func TestQuantize(t *testing.T) {
	out := filepath.Join(t.TempDir(), "q8.gguf")
	if err := Quantize(modelPath(t), out, FTypeQ8_0, 2, false); err == nil {
		t.Error("quantised a quantised file without being told to")
	}
	if err := Quantize(modelPath(t), out, FTypeQ8_0, 2, true); err != nil {
		t.Fatal(err)
	}
	m, err := LoadModel(context.Background(), ModelParams{Path: out}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if m.Info().FType != FTypeQ8_0 {
		t.Errorf("file type %d", m.Info().FType)
	}
	err = Quantize(filepath.Join(t.TempDir(), "none"), out, FTypeQ8_0, 1, false)
	wantError(t, err, "none")
}
