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

	loaded chan struct{} // closed when engine or failure is set

	mu      sync.Mutex
	engine  *engine.Engine
	failure error
}

func newTextModel(name string, maxTokens, nCtx int) *TextModel {
	return &TextModel{name: name, maxTokens: maxTokens, nCtx: nCtx, loaded: make(chan struct{})}
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

// Measure implements gateway.Backend. While the model is loading the prompt is
// bounded by its bytes: in a byte-level vocabulary a token is at least one.
func (m *TextModel) Measure(ctx context.Context, req *jeantrail.Request) (jeantrail.Bounds, error) {
	select {
	case <-m.loaded:
		e, err := m.wait(ctx)
		if err != nil {
			return jeantrail.Bounds{}, err
		}
		return e.Measure(ctx, req)
	default:
	}
	t := req.Text
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
	return jeantrail.Bounds{PromptTokens: min(prompt, m.nCtx), CompletionTokens: min(completion, m.nCtx)}, nil
}

// Run implements gateway.Backend.
func (m *TextModel) Run(ctx context.Context, job *jeantrail.Job, sink gateway.Sink) (*jeantrail.Result, error) {
	e, err := m.wait(ctx)
	if err != nil {
		result := &jeantrail.Result{Model: m.name, FinishReason: jeantrail.FinishError}
		if ctx.Err() != nil {
			result.FinishReason = jeantrail.FinishCancelled
		}
		return result, err
	}
	return e.Run(ctx, job, sink)
}
