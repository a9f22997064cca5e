package main

import (
	"context"
	"sync"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/engine"
	"github.com/jeantrail/jeantrail-ai/gateway"
)

// templateOverhead is more tokens than any chat template adds to one message.
// It is used only to bound a request while the model, and with it the
// vocabulary, is still loading.
const templateOverhead = 64

// TextModel is the backend of one model in process. It exists before the model
// is loaded: jobs that arrive meanwhile wait for it.
type TextModel struct {
	name      string
	maxTokens int // default of max_tokens
	nCtx      int // bound of a request's tokens while loading

	load   func()        // begins to load the model, unless that was begun
	loaded chan struct{} // closed when engine or failure is set

	mu      sync.Mutex
	engine  *engine.Engine
	failure error
}

func newTextModel(name string, maxTokens, nCtx int, load func()) *TextModel {
	return &TextModel{name: name, maxTokens: maxTokens, nCtx: nCtx, load: load, loaded: make(chan struct{})}
}

// Loaded hands over the engine, or the reason why there is none. It is called
// once.
func (m *TextModel) Loaded(e *engine.Engine, failure error) {
	m.mu.Lock()
	m.engine, m.failure = e, failure
	m.mu.Unlock()
	close(m.loaded)
}

// Engine returns the engine without waiting; nil while loading or failed.
func (m *TextModel) Engine() *engine.Engine {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.engine
}

// wait returns the engine as soon as there is one.
func (m *TextModel) wait(ctx context.Context) (*engine.Engine, error) {
	select {
	case <-m.loaded:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.engine, m.failure
}

// Prepare implements gateway.Backend. While the model is loading the prompt is
// bounded by its bytes: in a byte-level vocabulary a token is at least one.
func (m *TextModel) Prepare(ctx context.Context, req *jeantrail.Request) (gateway.Work, error) {
	select {
	case <-m.loaded:
		e, err := m.wait(ctx)
		if err != nil {
			return nil, err
		}
		return prepareText(ctx, e, req)
	default:
	}
	return &waitingText{model: m, request: *req, bounds: m.bound(req.Text)}, nil
}

// bound is the most that a request can use of a model that is still loading.
func (m *TextModel) bound(t *jeantrail.TextRequest) jeantrail.Bounds {
	prompt := len(t.Prompt) + len(t.System) + 2*templateOverhead
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

// textWork makes the engine's work the gateway's: the two declare the same sink,
// each for itself.
type textWork struct{ *engine.Work }

func prepareText(ctx context.Context, e *engine.Engine, req *jeantrail.Request) (gateway.Work, error) {
	w, err := e.Prepare(ctx, req)
	if err != nil {
		return nil, err
	}
	return textWork{w}, nil
}

// Run implements gateway.Work.
func (w textWork) Run(ctx context.Context, job *jeantrail.Job, sink gateway.Sink) (*jeantrail.Result, error) {
	return w.Work.Run(ctx, job, sink)
}

// waitingText is work for a model that was still loading when it was asked for.
type waitingText struct {
	model   *TextModel
	request jeantrail.Request // as it is to run
	bounds  jeantrail.Bounds
}

// Bounds implements gateway.Work.
func (w *waitingText) Bounds() jeantrail.Bounds { return w.bounds }

// Fingerprint implements gateway.Work. Without a vocabulary there is none.
func (w *waitingText) Fingerprint() ([]byte, bool) { return nil, false }

// Run implements gateway.Work.
func (w *waitingText) Run(ctx context.Context, job *jeantrail.Job, sink gateway.Sink) (*jeantrail.Result, error) {
	work, err := w.prepare(ctx)
	if err != nil {
		result := &jeantrail.Result{Model: w.model.name, FinishReason: jeantrail.FinishError}
		if ctx.Err() != nil {
			result.FinishReason = jeantrail.FinishCancelled
		}
		return result, err
	}
	return work.Run(ctx, job, sink)
}

func (w *waitingText) prepare(ctx context.Context) (gateway.Work, error) {
	w.model.load()
	e, err := w.model.wait(ctx)
	if err != nil {
		return nil, err
	}
	return prepareText(ctx, e, &w.request)
}
