package engine

import (
	"context"
	"strings"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// Sink takes what Run reports, from one goroutine. A method that blocks pauses
// its own job only.
type Sink interface {
	// Started is called once, when the job has left the queue.
	Started(model string, engine jeantrail.EngineInfo, promptTokens, cachedTokens int)
	// Token passes on text that so many sampled tokens account for. Either may
	// be empty: a token can be held back, and text can follow the last token.
	// Over a job the tokens add up to Usage.CompletionTokens exactly.
	Token(text string, reasoning bool, tokens int)
	// Allowance returns how many tokens may be sampled after such a prompt. It is
	// asked once, from the loop, before the first one, and must only calculate.
	Allowance(promptTokens, cachedTokens int) int
	Progress(jeantrail.Progress)
}

// Work is a request whose prompt is in tokens and fits the context.
type Work struct {
	engine   *Engine
	text     *jeantrail.TextRequest
	prepared prepared
}

// Prepare reads a request. One that can never run is refused, one that does not
// fit the context with its numbers.
func (e *Engine) Prepare(ctx context.Context, req *jeantrail.Request) (*Work, error) {
	p, err := e.prepare(ctx, req)
	if err != nil {
		return nil, err
	}
	return &Work{engine: e, text: req.Text, prepared: p}, nil
}

// Bounds are the most that Run can use.
func (w *Work) Bounds() jeantrail.Bounds {
	return jeantrail.Bounds{
		PromptTokens: len(w.prepared.prompt.tokens), CompletionTokens: w.prepared.maxTokens, Exact: true, Open: w.text.MaxTokens == nil,
	}
}

// Run generates the job's text and returns when nothing of it runs any more.
// The result is never nil, and its usage is exact also beside an error. When
// ctx ends, Run returns after the running step at the latest, with
// FinishCancelled and the context's cause.
func (w *Work) Run(ctx context.Context, job *jeantrail.Job, sink Sink) (*jeantrail.Result, error) {
	arrived, e, t, p := time.Now(), w.engine, w.text, w.prepared
	res := &jeantrail.Result{Model: e.opts.Model, Engine: e.Info(), FinishReason: jeantrail.FinishError, Cache: jeantrail.CacheOff}
	if ctx.Err() != nil {
		res.FinishReason = jeantrail.FinishCancelled
		return res, context.Cause(ctx)
	}
	sampler, params, err := e.newSampler(t)
	if err != nil {
		return res, err
	}
	defer e.dec.FreeSampler(sampler) // the loop has let go of it when collect returns
	q := &sequence{
		class: classOf(job.Priority), history: p.prompt, nPrompt: len(p.prompt.tokens), maxTokens: p.maxTokens, allowance: sink.Allowance,
		ignoreEOS: t.IgnoreEOS, sampler: sampler, seed: params.remembers(), arrivedAt: arrived,
		files: p.files, encoded: make([]*ImageRows, len(p.prompt.images)),
		stream: newStream(e.opts.MaxUnread, e.wake),
	}
	q.out = newOutput(q.stream, e.vocab.think, t.Stop, e.vocab.think.openAtEnd(p.prompt.tokens, e.vocab))
	if err := e.submit(q); err != nil {
		return res, err
	}
	unwatch := e.watch(ctx, q)
	defer unwatch()
	return e.collect(q, res, sink)
}

// watch cancels q when ctx ends. The function that it returns ends the watch
// and waits for it.
func (e *Engine) watch(ctx context.Context, q *sequence) (unwatch func()) {
	over := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(over)
		e.cancel(q, context.Cause(ctx))
	})
	return func() {
		if !stop() {
			<-over
		}
	}
}

// collect passes a job's stream to the sink until its end.
func (e *Engine) collect(q *sequence, res *jeantrail.Result, sink Sink) (*jeantrail.Result, error) {
	var answer, reasoning strings.Builder
	var c chunk
	for {
		q.stream.fetch(&c)
		if c.started != nil {
			sink.Started(res.Model, res.Engine, c.started.prompt, c.started.cached)
		}
		if c.progress.Total > 0 {
			sink.Progress(c.progress)
		}
		begin := 0
		for _, m := range c.marks {
			text := string(c.text[begin:m.end])
			begin = m.end
			if m.reasoning {
				reasoning.WriteString(text)
			} else {
				answer.WriteString(text)
			}
			sink.Token(text, m.reasoning, m.tokens)
		}
		q.stream.delivered(&c)
		if f := c.final; f != nil {
			res.Text, res.Reasoning = answer.String(), reasoning.String()
			res.FinishReason, res.Truncated = f.reason, f.reason == jeantrail.FinishLength || f.reason == jeantrail.FinishBudget
			res.Usage, res.Timings = f.usage, f.timings
			return res, f.err
		}
	}
}
