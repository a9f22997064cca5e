package media

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// probeTimeout is the longest that a probe takes whose caller set no limit.
const probeTimeout = 10 * time.Second

// The flavours: products that share a dialect and differ within it.
const (
	flavourPlain   = "plain"   // nothing more is known than the dialect
	flavourWebUI   = "webui"   // AUTOMATIC1111 or Forge: progress, interrupt, memory
	flavourLocalAI = "localai" // negative prompts after a bar, steps in its own field
	flavourLlama   = "llama"   // llama-server
	flavourVLLM    = "vllm"
)

// finding is what a look at a server showed.
type finding struct {
	knowledge
	status  jeantrail.WorkerStatus // "": this is not a server of the dialect
	problem string
}

// look asks a server whether it speaks a dialect and how it is. The error is
// for one that could not be asked at all.
type look struct {
	dialect string
	ask     func(ctx context.Context, w *Worker) (finding, error)
}

// looksOf returns the dialects of a kind, the first to be tried first.
func looksOf(k jeantrail.Kind) []look {
	switch k {
	case jeantrail.KindImage:
		return []look{{dialectSDAPI, lookSDAPI}, {dialectOpenAI, lookModels}}
	case jeantrail.KindTranscribe:
		return []look{{dialectASR, lookASR}, {dialectOpenAI, lookModels}, {dialectWhisper, lookWhisper}}
	case jeantrail.KindSpeak:
		return []look{{dialectOpenAI, lookVoices}, {dialectCoqui, lookCoqui}, {dialectOpenAI, lookModels}}
	case jeantrail.KindText:
		return []look{{dialectOpenAI, lookModels}}
	default:
		return nil
	}
}

// Probe looks at the server and never waits for its turn. It finds the dialect
// if none is configured; a server that has become another is found out, too.
func (w *Worker) Probe(ctx context.Context) jeantrail.Probe {
	began := time.Now()
	limited, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	f, err := w.look(limited)
	p := jeantrail.Probe{
		At: began.UTC(), Worker: w.opts.Name, Status: f.status, Latency: time.Since(began),
		Problem: f.problem, Model: f.model, Version: f.version,
	}
	if err != nil {
		p.Status, p.Problem = jeantrail.WorkerDown, jeantrail.AsError(err).Message
		if limited.Err() != nil {
			p.Problem = "it did not answer in time"
		}
	}
	return p
}

// look asks the server what it is and keeps what it says. The status of the
// finding is never "".
func (w *Worker) look(ctx context.Context) (finding, error) {
	looks := looksOf(w.opts.Kind)
	before := w.knows()
	if before.dialect != "" { // the ones that are its own come first
		slices.SortStableFunc(looks, func(a, b look) int { return strangeness(a, before) - strangeness(b, before) })
	}
	var loading *finding
	var said []string
	for _, l := range looks {
		if w.opts.Dialect != "" && l.dialect != w.opts.Dialect {
			continue
		}
		f, err := l.ask(ctx, w)
		if err != nil {
			return finding{}, err
		}
		f.dialect = l.dialect
		switch f.status {
		case jeantrail.WorkerReady, jeantrail.WorkerDegraded:
			w.keepFinding(f)
			return f, nil
		case jeantrail.WorkerStarting:
			if loading == nil {
				loading = &f
			}
		default:
			if f.problem != "" && !slices.Contains(said, f.problem) {
				said = append(said, f.problem)
			}
		}
	}
	if loading != nil {
		return *loading, nil
	}
	f := finding{status: jeantrail.WorkerDown, problem: "something answers at " + w.client.base.String() + ", but not as a server of the kind " + string(w.opts.Kind) + " does"}
	if len(said) > 0 {
		f.problem += ": " + strings.Join(said, "; ")
	}
	return f, nil
}

// strangeness orders looks by whether the dialect is the one that is known.
func strangeness(l look, k knowledge) int {
	if l.dialect == k.dialect {
		return 0
	}
	return 1
}

func (w *Worker) keepFinding(f finding) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if f.flavour == "" {
		f.flavour = flavourPlain
	}
	w.found = f.knowledge
}
