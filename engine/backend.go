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
	Progress(jeantrail.Progress)
}

// Measure bounds what the request can use. A request that can never run is
// refused, one that does not fit the context with its numbers.
func (e *Engine) Measure(ctx context.Context, req *jeantrail.Request) (jeantrail.Bounds, error) {
	p, err := e.prepare(ctx, req)
	if err != nil {
		return jeantrail.Bounds{}, err
	}
	return jeantrail.Bounds{PromptTokens: len(p.prompt), CompletionTokens: p.maxTokens, Exact: true}, nil
}

// Run generates the job's text and returns when nothing of it runs any more.
// The result is never nil, and its usage is exact also beside an error. When
// ctx ends, Run returns after the running step at the latest, with
// FinishCancelled and the context's cause.
func (e *Engine) Run(ctx context.Context, job *jeantrail.Job, sink Sink) (*jeantrail.Result, error) {
	arrived := time.Now()
	res := &jeantrail.Result{Model: e.opts.Model, Engine: e.Info(), FinishReason: jeantrail.FinishError, Cache: jeantrail.CacheOff}
	p, err := e.prepare(ctx, &job.Request)
	if err != nil {
		return res, err
	}
	if ctx.Err() != nil {
		res.FinishReason = jeantrail.FinishCancelled
		return res, context.Cause(ctx)
	}
	t := job.Request.Text
	sampler, params, err := e.newSampler(t)
	if err != nil {
		return res, err
	}
	defer e.dec.FreeSampler(sampler) // the loop has let go of it when collect returns
	q := &sequence{
		class: classOf(job.Priority), tokens: p.prompt, nPrompt: len(p.prompt), maxTokens: p.maxTokens,
		ignoreEOS: t.IgnoreEOS, sampler: sampler, seed: params.remembers(), arrivedAt: arrived,
		stream: newStream(e.opts.MaxUnread, e.wake),
	}
	q.out = newOutput(q.stream, e.vocab.think, t.Stop, e.vocab.think.openAtEnd(p.prompt, e.vocab))
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
			res.FinishReason, res.Truncated = f.reason, f.reason == jeantrail.FinishLength
			res.Usage, res.Timings = f.usage, f.timings
			return res, f.err
		}
	}
}
