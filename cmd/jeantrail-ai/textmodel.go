package main

import (
	"context"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/engine"
	"github.com/jeantrail/jeantrail-ai/gateway"
)

// templateOverhead is more tokens than any chat template adds to one message.
// It is used only to bound a request while the model, and with it the
// vocabulary, is not loaded.
const templateOverhead = 64

// imageOverhead is more tokens than a picture takes in any model that sees, at
// the size to which they scale it. It bounds a request as above.
const imageOverhead = 4096

// TextModel is the backend of one model in process. It is there whether the
// model is loaded or not: jobs for one that is not load it, and wait.
type TextModel struct {
	*resident
	maxTokens int // default of max_tokens
	nCtx      int // bound of a request's tokens while not loaded
}

// Prepare implements gateway.Backend. While the model is not loaded the prompt
// is bounded by its bytes: in a byte-level vocabulary a token is at least one.
func (m *TextModel) Prepare(ctx context.Context, req *jeantrail.Request) (gateway.Work, error) {
	w := &textWork{model: m, request: *req}
	loaded, done, err := m.resident.ready(ctx)
	if err == nil && loaded == nil && req.Text.NoWait {
		err = m.loading()
	}
	if err != nil {
		return nil, err
	}
	if loaded == nil {
		w.bounds = m.bound(req.Text)
		return w, nil
	}
	defer done()
	if err := w.prepare(ctx, loaded); err != nil {
		return nil, err
	}
	w.bounds = w.work.Bounds()
	return w, nil
}

// bound is the most that a request can use of a model that is not loaded.
func (m *TextModel) bound(t *jeantrail.TextRequest) jeantrail.Bounds {
	prompt := len(t.Prompt) + len(t.System) + 2*templateOverhead + len(t.Images)*imageOverhead
	for _, msg := range t.Messages {
		prompt += len(msg.Content) + len(msg.Reasoning) + templateOverhead
		for _, call := range msg.ToolCalls {
			prompt += len(call.Name) + len(call.Arguments) + templateOverhead
		}
	}
	for _, tool := range t.Tools {
		prompt += len(tool) + 16*templateOverhead // with tools comes a page of instructions
	}
	completion := m.maxTokens
	if t.MaxTokens != nil {
		completion = *t.MaxTokens
	}
	return jeantrail.Bounds{
		PromptTokens: min(prompt, m.nCtx), CompletionTokens: min(completion, m.nCtx), Open: t.MaxTokens == nil,
	}
}

// textWork is a request for a model in process. What was prepared holds as long
// as the model stays loaded; if it was unloaded in between, the request is
// prepared anew.
type textWork struct {
	model   *TextModel
	request jeantrail.Request // as it is to run
	bounds  jeantrail.Bounds
	engine  *engine.Engine // that work was prepared by; nil if none was
	work    *engine.Work
}

func (w *textWork) prepare(ctx context.Context, e *engine.Engine) (err error) {
	if w.work, err = e.Prepare(ctx, &w.request); err != nil {
		return err
	}
	w.engine = e
	return nil
}

// Bounds implements gateway.Work.
func (w *textWork) Bounds() jeantrail.Bounds { return w.bounds }

// Fingerprint implements gateway.Work. Without a vocabulary there is none.
func (w *textWork) Fingerprint() ([]byte, bool) {
	if w.work == nil {
		return nil, false
	}
	return w.work.Fingerprint()
}

// Run implements gateway.Work.
func (w *textWork) Run(ctx context.Context, job *jeantrail.Job, sink gateway.Sink) (*jeantrail.Result, error) {
	e, done, err := w.model.use(ctx, tellLoading(sink))
	if err == nil {
		defer done()
		if e != w.engine {
			err = w.prepare(ctx, e)
		}
	}
	if err != nil {
		result := &jeantrail.Result{Model: w.model.entry.Name, FinishReason: jeantrail.FinishError}
		if ctx.Err() != nil {
			result.FinishReason = jeantrail.FinishCancelled
		}
		return result, err
	}
	return w.work.Run(ctx, job, sink)
}

// tellLoading puts into a job's log how far the load is that it waits for.
func tellLoading(sink gateway.Sink) func(percent int) {
	next := 0
	return func(percent int) {
		if percent < next {
			return
		}
		next = percent/10*10 + 10
		sink.Progress(jeantrail.Progress{Stage: "load", Done: int64(percent), Total: 100, Unit: "percent"})
	}
}
