package media

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/tmaxmax/go-sse"

	"github.com/jeantrail/jeantrail-ai"
)

const (
	maxStream = 1 << 30  // bytes of a stream of events
	maxEvent  = 1 << 20  // of one of them
	maxReply  = 16 << 20 // of the text of an answer
)

// uncounted is said of a result whose tokens the worker did not tell.
const uncounted = "the worker told no token counts: those of the prompt are estimated, those of the answer are its pieces"

// frame is one event of a chat's stream.
type frame struct {
	Choices []struct {
		Delta struct {
			Content   string `json:"content"`
			Reasoning string `json:"reasoning"`
			// as llama-server and older vLLM call it
			ReasoningContent string `json:"reasoning_content"`
		} `json:"delta"`
		Finish string `json:"finish_reason"`
	} `json:"choices"`
	Usage   *chatUsage      `json:"usage"`
	Timings *chatTimings    `json:"timings"`
	Error   json.RawMessage `json:"error"`
	Object  string          `json:"object"` // "error" in the frames of older vLLM
	Code    int             `json:"code"`
}

type chatUsage struct {
	Prompt     int `json:"prompt_tokens"`
	Completion int `json:"completion_tokens"`
	Details    struct {
		Cached int `json:"cached_tokens"`
	} `json:"prompt_tokens_details"`
}

// chatTimings is llama-server's own count.
type chatTimings struct {
	Prompt    int `json:"prompt_n"` // without those that were cached
	Cached    int `json:"cache_n"`
	Predicted int `json:"predicted_n"`
}

// reply is an answer as it comes.
type reply struct {
	*call
	limit int                    // tokens
	ended jeantrail.FinishReason // what it means to reach the limit

	text, reasoning strings.Builder
	begun           time.Time // when the first piece came
	told            int       // tokens that the sink knows of
	thought         int       // of those, for reasoning
	finish          string    // as the worker says it
	counted         bool      // the worker told how many tokens there are
	usage           chatUsage // the newest that it told
}

// read passes the stream on until it ends. An answer is complete if the worker
// says why it ended; [DONE] alone says nothing.
func (r *reply) read(ctx context.Context, a *answer) error {
	for event, err := range sse.Read(a, &sse.ReadConfig{MaxEventSize: maxEvent}) {
		if err != nil {
			var own *jeantrail.Error
			switch {
			case ctx.Err() != nil:
				return context.Cause(ctx)
			case errors.As(err, &own):
				return own
			}
			e := r.unreadable("sent events that cannot be read")
			e.Err = err
			return e
		}
		if event.Data == "" {
			continue
		}
		if event.Data == "[DONE]" {
			break
		}
		over, err := r.frame([]byte(event.Data))
		if err != nil {
			return err
		}
		if over {
			return nil
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if r.finish == "" {
		return r.unreadable("broke off its answer before it was complete")
	}
	return nil
}

// frame takes one event in and reports whether the answer has reached its limit.
func (r *reply) frame(data []byte) (over bool, err error) {
	var f frame
	if err := json.Unmarshal(data, &f); err != nil {
		e := r.unreadable("sent an event that is not JSON: %s", plain(string(data), maxWords/2))
		e.Err = err
		return false, e
	}
	if len(f.Error) > 0 && string(f.Error) != "null" || f.Object == "error" {
		return false, r.failure(&f, data)
	}
	r.count(&f)
	if len(f.Choices) == 0 {
		return false, nil
	}
	choice := &f.Choices[0]
	if choice.Finish != "" {
		r.finish = choice.Finish
	}
	thought, text := choice.Delta.Reasoning+choice.Delta.ReasoningContent, choice.Delta.Content
	if thought == "" && text == "" {
		return false, nil
	}
	if r.told >= r.limit && (!r.counted || r.usage.Completion > r.limit) {
		r.finish = "length"
		return true, nil
	}
	if r.text.Len()+r.reasoning.Len()+len(thought)+len(text) > maxReply {
		return false, r.unreadable("sent more than %d bytes of text", maxReply).WithNumber("limit", maxReply)
	}
	r.pass(thought, text)
	return false, nil
}

// count takes in what the worker says of tokens so far.
func (r *reply) count(f *frame) {
	switch {
	case f.Usage != nil && f.Usage.Prompt > 0:
		r.usage, r.counted = *f.Usage, true
	case f.Timings != nil && f.Timings.Predicted > 0:
		r.usage.Completion, r.counted = max(f.Timings.Predicted, r.usage.Completion), true
		r.usage.Prompt = max(f.Timings.Prompt+f.Timings.Cached, r.usage.Prompt)
		r.usage.Details.Cached = max(f.Timings.Cached, r.usage.Details.Cached)
	}
}

// pass gives a piece to the sink, with the tokens that it stands for: those that
// the worker counted since the last one, or one.
func (r *reply) pass(thought, text string) {
	if r.begun.IsZero() {
		r.begun = time.Now()
	}
	tokens := 1
	if r.counted {
		tokens = r.usage.Completion - r.told
	}
	tokens = min(max(tokens, 0), r.limit-r.told)
	r.told += tokens
	if thought != "" {
		r.reasoning.WriteString(thought)
		r.thought += tokens
		r.sink.Token(thought, true, tokens)
		tokens = 0
	}
	if text != "" {
		r.text.WriteString(text)
		r.sink.Token(text, false, tokens)
	}
}

// failure is the error that a worker sends in the middle of its answer.
func (r *reply) failure(f *frame, data []byte) error {
	status := f.Code
	var e struct {
		Code int `json:"code"`
	}
	if json.Unmarshal(f.Error, &e) == nil && e.Code != 0 {
		status = e.Code
	}
	if status < 400 || status > 599 {
		status = http.StatusInternalServerError
	}
	return r.refusal(status, nil, data)
}

// settle puts what came into the result, however the answer ended.
func (r *reply) settle() {
	res := r.result
	if rest := min(r.usage.Completion, r.limit) - r.told; rest > 0 {
		r.sink.Token("", false, rest) // held back, or the end of the turn
		r.told += rest
	}
	res.Text, res.Reasoning = r.text.String(), r.reasoning.String()
	res.Usage.CompletionTokens, res.Usage.ReasoningTokens = r.told, r.thought
	res.Usage.PromptTokens, res.Usage.CachedTokens = r.usage.Prompt, min(r.usage.Details.Cached, r.usage.Prompt)
	if r.usage.Prompt == 0 && r.told > 0 {
		res.Usage.PromptTokens = min(guessPrompt(r.req.Text), r.bounds.PromptTokens)
		res.Engine.FallbackReason = uncounted
	}
	if since := time.Since(r.begun); !r.begun.IsZero() && r.told > 1 && since > 0 {
		res.Timings.TokensPerSecond = float64(r.told-1) / since.Seconds()
	}
	res.FinishReason = jeantrail.FinishStop
	if r.finish == "length" {
		res.FinishReason, res.Truncated = r.ended, true
	}
}
