//go:build cgo && linux && !race

package native_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"github.com/jeantrail/jeantrail-ai/engine"
	"github.com/jeantrail/jeantrail-ai/engine/native"
	"github.com/jeantrail/jeantrail-ai/registry/fit"
	"github.com/jeantrail/jeantrail-ai/registry/gguf"
)

// fitChildEnv names the file that says what the child opens; it writes what it
// found beside it.
const fitChildEnv = "NATIVE_TEST_FIT"

// resident is what a process holds of memory, in bytes (proc(5), RssAnon and
// RssFile), and what llama.cpp says of its buffers.
type resident struct {
	Anonymous, File     int64
	KV, Compute, Copied int64
}

func residentNow(t *testing.T) resident {
	t.Helper()
	debug.FreeOSMemory() // what Go keeps free does not count
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	var r resident
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch {
		case name == "RssAnon" && err == nil:
			r.Anonymous = kib << 10
		case name == "RssFile" && err == nil:
			r.File = kib << 10
		}
	}
	if r.Anonymous == 0 || r.File == 0 {
		t.Skip("this system does not tell a process's anonymous memory from what is mapped")
	}
	return r
}

// fitRun is what a child does: open a model, and encode a square image of so many
// pixels a side if that is not 0.
type fitRun struct {
	Options native.Options
	Image   int
}

// TestFitChild is the process that checkFit looks at: it opens a model, and says by
// how much it grew when it had encoded an image, evaluated as many tokens as it can
// at once and sampled one.
func TestFitChild(t *testing.T) {
	file := os.Getenv(fitChildEnv)
	if file == "" {
		return // not the child
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var run fitRun
	if err := json.Unmarshal(text, &run); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	before := residentNow(t)
	d, err := native.Open(context.Background(), run.Options, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	s, err := d.NewSampler(engine.SamplingParams{Temperature: 1, TopP: 0.9})
	if err != nil {
		t.Fatal(err)
	}
	var rows []engine.ImageRows
	if n := run.Image; n > 0 {
		if rows, err = d.EncodeImage(make([]byte, 3*n*n), n, n); err != nil {
			t.Fatal(err)
		}
	}
	tokens := make([]engine.Token, d.Info().NUBatch)
	for _, span := range []engine.Span{{Tokens: tokens}, {Pos: len(tokens), Tokens: tokens[:1], Sample: true, Sampler: s}} {
		r, info, err := d.Step(nil, []engine.Span{span}, nil)
		if err != nil || info.Outcome != engine.OutcomeOK || len(r) > 0 && r[0].Err != nil {
			t.Fatalf("%+v, %+v, %v", r, info, err)
		}
	}
	after := residentNow(t)
	info := d.Info()
	text, err = json.Marshal(resident{
		Anonymous: after.Anonymous - before.Anonymous, File: after.File - before.File,
		KV: info.KVBytes, Compute: info.ComputeBytes, Copied: info.CopiedBytes,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file+".out", text, 0o600); err != nil {
		t.Fatal(err)
	}
	runtime.KeepAlive(rows)
}

// grown runs a child and returns by how much it grew.
func grown(t *testing.T, run fitRun) resident {
	t.Helper()
	file := filepath.Join(t.TempDir(), "child.json")
	text, err := json.Marshal(run)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestFitChild$")
	// By itself glibc comes to keep large blocks that were freed, depending on which
	// thread freed what first; with a fixed threshold it gives them back.
	cmd.Env = append(os.Environ(), fitChildEnv+"="+file, "MALLOC_MMAP_THRESHOLD_=131072")
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, output.Bytes())
	}
	text, err = os.ReadFile(file + ".out")
	if err != nil {
		t.Skipf("the child measured nothing: %s", output.Bytes())
	}
	var r resident
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// fitShapes are small models with the proportions of real ones.
var fitShapes = []shape{
	{name: "narrow, tied", layers: 12, embedding: 1024, feedForward: 3072, heads: 16, kvHeads: 8, headLength: 128, vocabulary: 16384, tied: true},
	{name: "wide, untied", layers: 3, embedding: 2048, feedForward: 6144, heads: 16, kvHeads: 8, headLength: 128, vocabulary: 16384},
	{name: "mixture", layers: 4, embedding: 1024, feedForward: 512, heads: 16, kvHeads: 4, headLength: 128, vocabulary: 65536, experts: 16, used: 4},
}

// fitCase is one way to run a model.
type fitCase struct {
	nCtx, slots, uBatch    int
	streams, q8, asInFile  bool
	imageTokens, imageSide int // of the largest image, if there is a projector
}

// settings are the case for the arithmetic and for the decoder.
func (c fitCase) settings(path, mmproj string) (fit.Setting, native.Options) {
	s := fit.Setting{
		NCtx: c.nCtx, Slots: c.slots, UBatch: c.uBatch, Streams: c.streams, Q8KV: c.q8, ImageTokens: c.imageTokens,
		Kernels: fit.KernelsOf(native.BuildInfo().Features),
	}
	o := native.Options{
		Path: path, Projector: mmproj, ImageMaxTokens: c.imageTokens, NCtx: c.nCtx, NSeqMax: c.slots, NUBatch: c.uBatch, NThreads: 1,
		PerSequenceKV: c.streams, NoRepack: c.asInFile,
	}
	if c.q8 {
		o.TypeK, o.TypeV = "q8_0", "q8_0"
	}
	if c.asInFile {
		s.Kernels = fit.Kernels{}
	}
	return s, o
}

// checkFit compares what the arithmetic says that a model takes with what a
// process that runs it takes.
func checkFit(t *testing.T, name, path, mmproj string, c fitCase) {
	t.Helper()
	m, err := fit.Read(name, path, mmproj)
	if err != nil {
		t.Fatal(err)
	}
	s, o := c.settings(path, mmproj)
	need, got := m.Needs(s), grown(t, fitRun{o, c.imageSide})
	// What threads happen to leave behind only adds, so that more than was predicted
	// is believed when it is seen again.
	for n := 0; n < 2 && 1.05*float64(need.Anonymous) < float64(got.Anonymous); n++ {
		t.Logf("%s: %d bytes were taken; looking again", name, got.Anonymous)
		got = grown(t, fitRun{o, c.imageSide})
	}
	off := float64(need.Anonymous)/float64(got.Anonymous) - 1
	mapped := need.Resident - need.Anonymous
	t.Logf("%s, %+v: anonymous %.1f MiB, predicted %.1f (%+.1f %%); of the file %.1f, predicted %.1f, needed %.1f",
		name, c, mib(got.Anonymous), mib(need.Anonymous), 100*off, mib(got.File), mib(mapped), mib(need.Mapped))
	if off > 0.05 || off < -0.05 {
		t.Errorf("%s, %+v: %d bytes of anonymous memory were predicted, %d were taken", name, c, need.Anonymous, got.Anonymous)
	}
	// The program's own code counts as file too, as far as it ran.
	if code := got.File - mapped; code < -1<<20 || code > 8<<20 {
		t.Errorf("%s, %+v: %d bytes of the file were to be mapped, %d are", name, c, mapped, got.File)
	}
	// Tensors lie at multiples of 64 bytes in the buffer of copies.
	if copies := need.Weights - need.Mapped; got.Copied < copies || got.Copied > copies+1<<16 {
		t.Errorf("%s, %+v: %d bytes of weights were to be copied, llama.cpp copied %d", name, c, copies, got.Copied)
	}
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	opt := gguf.MemoryOptions{Context: c.nCtx, UBatch: c.uBatch, Outputs: c.slots, Q8KV: c.q8}
	if c.streams {
		opt.Streams = c.slots
	}
	memory, err := gguf.EstimateMemory(f, opt)
	if err != nil {
		t.Fatal(err)
	}
	if off := float64(memory.Compute)/float64(got.Compute) - 1; memory.KV != got.KV || off > 0.01 || off < -0.02 {
		t.Errorf("%s, %+v: a KV cache of %d bytes and buffers of %d were predicted, llama.cpp made %d and %d",
			name, c, memory.KV, memory.Compute, got.KV, got.Compute)
	}
}

// TestMemoryIsPredicted looks at models with one context and another. Prompts are
// shorter than the cache, of which all is written when it is made; what is noted
// about its cells, and the mask of a full one, are counted and not yet there.
func TestMemoryIsPredicted(t *testing.T) {
	for i, s := range fitShapes {
		cases := []fitCase{{nCtx: 1024, slots: 1, uBatch: 256}, {nCtx: 4096, slots: 1, uBatch: 64}}
		if i == 0 {
			cases = append(cases, fitCase{nCtx: 4096, slots: 8, uBatch: 64, streams: true}, fitCase{nCtx: 4096, slots: 4, uBatch: 64, q8: true},
				fitCase{nCtx: 1024, slots: 1, uBatch: 64, asInFile: true})
		}
		path := s.write(t)
		for _, c := range cases {
			checkFit(t, s.name, path, "", c)
		}
	}
}

// TestMemoryForImagesIsPredicted encodes an image as large as it may be.
func TestMemoryForImagesIsPredicted(t *testing.T) {
	s := shape{
		name: "sees", layers: 2, embedding: 512, feedForward: 1024, heads: 4, kvHeads: 2, headLength: 128, vocabulary: 4096, tied: true, vision: true,
	}
	eyes := encoderShape{layers: 3, width: 512, feedForward: 2048, heads: 8, patch: 16, side: 256, text: s.embedding}
	checkFit(t, s.name, s.write(t), eyes.write(t), fitCase{nCtx: 1024, slots: 1, uBatch: 64, imageTokens: 256, imageSide: 512})
}

func TestDevicesAreNamedByKind(t *testing.T) {
	known := map[string]bool{"cpu": true, "gpu": true, "igpu": true, "accelerator": true}
	cpu := false
	for _, d := range native.Devices() {
		gpu := d.Kind == "gpu" || d.Kind == "igpu"
		if !known[d.Kind] || d.GPU != gpu || d.Kind != "gpu" && !d.SharesMemory || d.FreeBytes > d.TotalBytes {
			t.Errorf("device %+v", d)
		}
		cpu = cpu || d.Kind == "cpu" && d.TotalBytes > 0
	}
	if !cpu {
		t.Error("the CPU is not among the devices")
	}
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }
