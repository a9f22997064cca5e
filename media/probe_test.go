package media

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/internal/testkit"
)

// aim is a worker without a craft of its own, which probes do not need.
func aim(t *testing.T, kind jeantrail.Kind, url, dialect, model string) *Worker {
	t.Helper()
	o := Options{Name: "w", Kind: kind, URL: url, Dialect: dialect, Model: model}
	base, err := o.complete()
	if err != nil {
		t.Fatal(err)
	}
	w := &Worker{opts: o, client: newClient(&o, base), lane: &lane{limit: 1}}
	w.found.dialect = o.Dialect
	t.Cleanup(w.Close)
	return w
}

func TestProbeFindsTheDialect(t *testing.T) {
	for _, tt := range []struct {
		name    string
		double  testkit.Double
		kind    jeantrail.Kind
		model   string // asked for
		want    jeantrail.Probe
		dialect string
		flavour string
	}{
		{"sd-server", testkit.SDServer{}, jeantrail.KindImage, "", jeantrail.Probe{Status: "ready", Model: "sd_xl_base_1.0"}, "sdapi", flavourPlain},
		{"forge", testkit.Forge{}, jeantrail.KindImage, "", jeantrail.Probe{Status: "ready", Model: "sd_xl_base_1.0.safetensors [31e35c80fc]"}, "sdapi", flavourWebUI},
		{"automatic", testkit.Forge{Automatic: true, NoWebUI: true}, jeantrail.KindImage, "",
			jeantrail.Probe{Status: "ready", Model: "sd_xl_base_1.0.safetensors [31e35c80fc]"}, "sdapi", flavourWebUI},
		{"localai", testkit.LocalAI{}, jeantrail.KindImage, "", jeantrail.Probe{Status: "ready", Model: "sdxl"}, "openai", flavourLocalAI},
		{"localai, its second", testkit.LocalAI{}, jeantrail.KindTranscribe, "whisper-1", jeantrail.Probe{Status: "ready", Model: "whisper-1"}, "openai", flavourLocalAI},
		{"localai without the model", testkit.LocalAI{}, jeantrail.KindImage, "flux",
			jeantrail.Probe{Status: "degraded", Model: "sdxl", Problem: "it has no model flux; it has sdxl, whisper-1"}, "openai", flavourLocalAI},
		{"localai, starting", testkit.LocalAI{Starting: 9}, jeantrail.KindImage, "", jeantrail.Probe{Status: "starting", Problem: "startup preload in progress"}, "", ""},
		{"whisper.cpp", testkit.Whisper{}, jeantrail.KindTranscribe, "", jeantrail.Probe{Status: "ready"}, "whisper.cpp", flavourPlain},
		{"speaches", testkit.Speaches{}, jeantrail.KindTranscribe, "", jeantrail.Probe{Status: "ready"}, "openai", flavourPlain},
		{"asr", testkit.ASR{}, jeantrail.KindTranscribe, "", jeantrail.Probe{Status: "ready"}, "asr", flavourPlain},
		{"kokoro", testkit.Kokoro{}, jeantrail.KindSpeak, "", jeantrail.Probe{Status: "ready"}, "openai", flavourPlain},
		{"coqui", testkit.Coqui{}, jeantrail.KindSpeak, "", jeantrail.Probe{Status: "ready", Model: "vits"}, "coqui", flavourPlain},
		{"coqui, the original", testkit.Coqui{Original: true}, jeantrail.KindSpeak, "", jeantrail.Probe{Status: "ready", Model: "vits"}, "coqui", flavourPlain},
		{"llama-server", testkit.Llama{}, jeantrail.KindText, "any", jeantrail.Probe{Status: "ready", Model: "qwen"}, "openai", flavourLlama},
		{"llama-server, loading", testkit.Llama{Starting: 9}, jeantrail.KindText, "",
			jeantrail.Probe{Status: "starting", Problem: "Loading model: unavailable_error"}, "", ""},
		{"vllm", testkit.VLLM{}, jeantrail.KindText, "", jeantrail.Probe{Status: "ready", Model: "qwen", Version: "0.11.0"}, "openai", flavourVLLM},
		{"vllm with a key", testkit.VLLM{Chat: testkit.Chat{APIKey: "k"}}, jeantrail.KindText, "", jeantrail.Probe{Status: "down"}, "", ""},
		{"a server of another kind", testkit.Coqui{}, jeantrail.KindImage, "", jeantrail.Probe{Status: "down"}, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := aim(t, tt.kind, testkit.Serve(t, tt.double).URL, "auto", tt.model)
			p := w.Probe(t.Context())
			if p.Status != tt.want.Status || tt.want.Model != "" && p.Model != tt.want.Model || p.Version != tt.want.Version ||
				tt.want.Problem != "" && !strings.HasPrefix(p.Problem, strings.Split(tt.want.Problem, ":")[0]) || p.Worker != "w" || p.At.IsZero() {
				t.Errorf("probe is %+v, want %+v", p, tt.want)
			}
			if (p.Status == jeantrail.WorkerReady) != (p.Problem == "") {
				t.Errorf("a worker that is %s has the problem %q", p.Status, p.Problem)
			}
			if k := w.knows(); k.dialect != tt.dialect || k.flavour != tt.flavour {
				t.Errorf("found %q %q, want %q %q", k.dialect, k.flavour, tt.dialect, tt.flavour)
			}
		})
	}
}

func TestProbeOfAConfiguredDialect(t *testing.T) {
	srv := testkit.Serve(t, testkit.SDServer{})
	if p := aim(t, jeantrail.KindImage, srv.URL, "openai", "").Probe(t.Context()); p.Status != jeantrail.WorkerReady || p.Model != "sd-cpp-local" {
		t.Errorf("probe is %+v", p)
	}
	if len(srv.RequestsTo("/sdapi/v1/options")) != 0 {
		t.Error("another dialect was tried")
	}
	w := aim(t, jeantrail.KindTranscribe, srv.URL, "asr", "")
	if p := w.Probe(t.Context()); p.Status != jeantrail.WorkerDown || w.Dialect() != "asr" {
		t.Errorf("probe is %+v, the dialect %q", p, w.Dialect())
	}
}

func TestProbeSeesThatTheServerIsAnother(t *testing.T) {
	srv := testkit.Serve(t, testkit.LocalAI{})
	w := aim(t, jeantrail.KindImage, srv.URL, "auto", "")
	w.found = knowledge{dialect: "sdapi", flavour: flavourWebUI}
	if p := w.Probe(t.Context()); p.Status != jeantrail.WorkerReady || w.Dialect() != "openai" {
		t.Errorf("probe is %+v, the dialect %q", p, w.Dialect())
	}
}

func TestProbeWaitsForNobody(t *testing.T) {
	srv := testkit.Serve(t, testkit.SDServer{})
	w := aim(t, jeantrail.KindImage, srv.URL, "auto", "")
	leave, err := w.lane.enter(t.Context(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer leave()
	if p := w.Probe(t.Context()); p.Status != jeantrail.WorkerReady {
		t.Errorf("probe of a busy worker is %+v", p)
	}
	srv.Fault("", testkit.Hang())
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if p := w.Probe(ctx); p.Status != jeantrail.WorkerDown || p.Problem != "it did not answer in time" {
		t.Errorf("probe of a hanging worker is %+v", p)
	}
}

func TestProbeOfSpoiltAnswers(t *testing.T) {
	for name, fault := range map[string]testkit.Fault{
		"500": testkit.HTML500(), "gzip": testkit.GzipBomb(1 << 28), "reset": testkit.Reset(), "huge": testkit.Huge(64 << 20),
		"page": testkit.Answer(200, "text/html", "<title>hello"), "redirect": testkit.RedirectTo("http://203.0.113.9/"),
	} {
		for _, kind := range []jeantrail.Kind{jeantrail.KindImage, jeantrail.KindText} {
			srv := testkit.Serve(t, testkit.SDServer{})
			srv.Fault("", fault)
			if p := aim(t, kind, srv.URL, "auto", "").Probe(t.Context()); p.Status != jeantrail.WorkerDown || p.Problem == "" || len(p.Problem) > 1000 {
				t.Errorf("%s: probe of %s is %+v, want down", name, kind, p)
			}
		}
	}
}

func TestKeysAreSentAsTheDialectWants(t *testing.T) {
	srv := testkit.Serve(t, testkit.Forge{Auth: "user:secret"})
	o := Options{Name: "w", Kind: jeantrail.KindImage, URL: srv.URL, APIKey: "user:secret"}
	if p := newWorker(t, o).Probe(t.Context()); p.Status != jeantrail.WorkerReady {
		t.Errorf("probe with Basic is %+v", p)
	}
	o.APIKey = ""
	if p := newWorker(t, o).Probe(t.Context()); p.Status != jeantrail.WorkerDown || !strings.Contains(p.Problem, "api_key") {
		t.Errorf("probe without a key is %+v", p)
	}
	o = Options{Name: "w", Kind: jeantrail.KindText, URL: testkit.Serve(t, testkit.VLLM{Chat: testkit.Chat{APIKey: "k"}}).URL, APIKey: "k"}
	if p := newWorker(t, o).Probe(t.Context()); p.Status != jeantrail.WorkerReady {
		t.Errorf("probe with a bearer token is %+v", p)
	}
}
