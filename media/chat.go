package media

import (
	"context"
	"errors"
	"strings"

	"github.com/jeantrail/jeantrail-ai"
)

const (
	chatPath = "/v1/chat/completions"
	// More tokens than a chat template adds to a message, and than a picture takes
	// in any model that sees.
	messageOverhead = 64
	pictureOverhead = 4096
	// bytesPerToken is how many bytes of text a token stands for, roughly.
	bytesPerToken = 4
)

// chatCraft has a server complete chats. Tokens are counted by the worker: in
// each piece if it tells them there, as llama-server and vLLM do, else at the
// end. If it tells nothing, pieces are counted and the prompt is estimated, which
// the result says in Engine.FallbackReason.
func chatCraft() *craft {
	return &craft{
		prepare:  prepareChat,
		prompt:   func(req *jeantrail.Request) int { return guessPrompt(req.Text) },
		dialects: map[string]func(context.Context, *call) error{dialectOpenAI: completeChat},
	}
}

func prepareChat(_ context.Context, w *Worker, req *jeantrail.Request, _ string) (jeantrail.Bounds, error) {
	t := req.Text
	if t == nil {
		return jeantrail.Bounds{}, jeantrail.Errorf(jeantrail.CodeInvalid, "the request says nothing about a text")
	}
	if err := w.chatRefuses(t); err != nil {
		return jeantrail.Bounds{}, err
	}
	if k := w.knows(); k.flavour != "" {
		if _, err := w.parameters(t, k.flavour); err != nil {
			return jeantrail.Bounds{}, err
		}
	}
	b := jeantrail.Bounds{CompletionTokens: w.maxTokens(t), Open: t.MaxTokens == nil}
	b.PromptTokens = chatBytes(t) + (len(t.Messages)+2)*messageOverhead + len(t.Images)*pictureOverhead
	if w.opts.NCtx > 0 {
		b.PromptTokens, b.CompletionTokens = min(b.PromptTokens, w.opts.NCtx), min(b.CompletionTokens, w.opts.NCtx)
	}
	return b, nil
}

// chatRefuses says what no chat server can be asked for.
func (w *Worker) chatRefuses(t *jeantrail.TextRequest) error {
	what := ""
	switch {
	case t.Raw:
		what = "raw"
	case len(t.Tools) > 0:
		what = "tools"
	case len(t.Images) > 0 && !w.opts.Vision:
		return jeantrail.Errorf(jeantrail.CodeUnsupported, "the worker %s reads no images", w.opts.Name).
			WithHint("If its model does, set vision: true in config.yaml; else ask a model that sees.")
	case len(t.Images) > 0 && w.opts.Files == nil:
		return errors.New("a worker with vision has no place where images lie")
	}
	for i := range t.Messages {
		if t.Messages[i].Role == "tool" || len(t.Messages[i].ToolCalls) > 0 {
			what = "messages of tools"
		}
	}
	if what == "" {
		return nil
	}
	return jeantrail.Errorf(jeantrail.CodeUnsupported, "the worker %s cannot be asked for %s", w.opts.Name, what).
		WithHint("Leave it out, or ask a model that runs in this process.")
}

func (w *Worker) maxTokens(t *jeantrail.TextRequest) int {
	if t.MaxTokens != nil {
		return *t.MaxTokens
	}
	return w.opts.MaxTokens
}

// chatBytes is the size of all text of a request. No vocabulary has tokens of
// less than a byte.
func chatBytes(t *jeantrail.TextRequest) int {
	n := len(t.Prompt) + len(t.System)
	for i := range t.Messages {
		n += len(t.Messages[i].Content) + len(t.Messages[i].Reasoning)
	}
	return n
}

// guessPrompt is about how many tokens a prompt has.
func guessPrompt(t *jeantrail.TextRequest) int {
	return chatBytes(t)/bytesPerToken + (len(t.Messages)+1)*bytesPerToken + 1
}

func completeChat(ctx context.Context, c *call) error {
	t := c.req.Text
	want := c.worker.maxTokens(t)
	limit := min(want, c.bounds.CompletionTokens)
	// The worst prompt: what is reserved must be enough whatever the worker counts.
	allowed := c.sink.Allowance(c.bounds.PromptTokens, 0)
	r := &reply{call: c, limit: min(limit, allowed), ended: jeantrail.FinishLength}
	if allowed < limit {
		r.ended = jeantrail.FinishBudget
	}
	if r.limit < 1 {
		c.result.FinishReason, c.result.Truncated = r.ended, true
		return nil
	}
	q, err := c.chatQuery(ctx, r.limit)
	if err != nil {
		return err
	}
	defer q.close()
	ctx, cancel := context.WithCancel(ctx) // ends the answer of a server that does not stop
	defer cancel()
	a, err := c.do(ctx, q.query)
	if err != nil {
		return chatFault(err)
	}
	defer a.Close()
	err = r.read(ctx, a)
	r.settle()
	return chatFault(err)
}

// chatFault finds the errors that chat servers have names for.
func chatFault(err error) error {
	var e *jeantrail.Error
	if !errors.As(err, &e) || e.Numbers["worker_status"] == 0 {
		return err
	}
	said := strings.ToLower(e.Message)
	switch {
	case strings.Contains(said, "context") && (strings.Contains(said, "exceed") || strings.Contains(said, "maximum") || strings.Contains(said, "longer")):
		e.Code, e.RetryAfter = jeantrail.CodeContextLength, 0
		e.Hint = "Shorten the prompt, or lower max_tokens."
	case strings.Contains(said, "image input is not supported"), strings.Contains(said, "not a multimodal model"):
		e.Code, e.RetryAfter = jeantrail.CodeUnsupported, 0
		e.Hint = "Its model does not see: set vision: false in config.yaml, or give it one that does."
	}
	return e
}
