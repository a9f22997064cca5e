package engine

import (
	"context"
	"maps"
	"math"
	"math/rand/v2"

	"github.com/jeantrail/jeantrail-ai"
)

// SchemaGrammar turns a JSON schema into a GBNF grammar. A decoder that can do
// so implements it. Any goroutine.
type SchemaGrammar interface {
	SchemaToGrammar(schema []byte) (string, error)
}

// prepared is a request in the words of the decoder.
type prepared struct {
	prompt    history
	files     map[string]jeantrail.File // the images in the prompt, by SHA-256
	maxTokens int
}

// prepare measures a request: it makes the prompt's tokens and checks that they
// and the answer fit the context.
func (e *Engine) prepare(ctx context.Context, req *jeantrail.Request) (prepared, error) {
	t := req.Text
	if req.Kind != jeantrail.KindText || t == nil {
		return prepared{}, jeantrail.Errorf(jeantrail.CodeUnsupported, "the engine makes text, not %q", req.Kind)
	}
	if t.Thinking && (t.Grammar != "" || t.JSONSchema != "") {
		return prepared{}, jeantrail.Errorf(jeantrail.CodeUnsupported, "thinking and a grammar or json_schema exclude each other").
			WithHint("A grammar holds from the first token on; leave thinking off.")
	}
	if err := e.checkBias(t.LogitBias); err != nil {
		return prepared{}, err
	}
	images, err := e.layOut(ctx, t.Images)
	if err != nil {
		return prepared{}, err
	}
	prompt, err := e.tokenizePrompt(ctx, t, images)
	if err != nil {
		return prepared{}, err
	}
	tokens := prompt.tokens
	if len(tokens) == 0 {
		return prepared{}, jeantrail.Errorf(jeantrail.CodeInvalid, "the prompt has no tokens")
	}
	if tokens[len(tokens)-1] == imageToken {
		return prepared{}, jeantrail.Errorf(jeantrail.CodeUnsupported, "the model's chat template ends with an image").
			WithHint("Use a template that asks for an answer after the user's message.")
	}
	limit := e.maxContext()
	room := limit - len(tokens)
	maxTokens := min(e.opts.DefaultMaxTokens, room)
	if t.MaxTokens != nil {
		maxTokens = *t.MaxTokens
	}
	if room < 1 || maxTokens > room {
		return prepared{}, overflow(len(tokens), maxTokens, limit, t.MaxTokens != nil)
	}
	return prepared{prompt: prompt, files: images.byHash(), maxTokens: maxTokens}, nil
}

func overflow(prompt, maxTokens, limit int, explicit bool) error {
	err := jeantrail.Errorf(jeantrail.CodeContextLength, "the prompt has %d tokens, the context %d", prompt, limit).
		WithHint("Shorten the prompt, or run the model with a larger context (n_ctx).")
	if explicit {
		err = jeantrail.Errorf(jeantrail.CodeContextLength,
			"the prompt has %d tokens and max_tokens is %d, together more than the context of %d", prompt, maxTokens, limit).
			WithHint("Shorten the prompt, lower max_tokens, or run the model with a larger context (n_ctx).")
	}
	return err.WithNumber("prompt_tokens", int64(prompt)).
		WithNumber("max_tokens", int64(max(0, maxTokens))).WithNumber("n_ctx", int64(limit))
}

func (e *Engine) checkBias(bias map[int32]float64) error {
	for token := range bias {
		if int(token) >= e.vocab.Size() {
			return jeantrail.Errorf(jeantrail.CodeInvalid, "logit_bias names token %d, the vocabulary ends at %d", token, e.vocab.Size()-1)
		}
	}
	return nil
}

// newSampler makes the request's sampler. The caller frees it.
func (e *Engine) newSampler(t *jeantrail.TextRequest) (SamplerID, SamplingParams, error) {
	p := e.sampling(t)
	if t.JSONSchema != "" {
		maker, ok := e.dec.(SchemaGrammar)
		if !ok {
			return 0, p, jeantrail.Errorf(jeantrail.CodeUnsupported, "json_schema is not supported by this build").
				WithHint("Send a grammar in GBNF.")
		}
		var err error
		if p.Grammar, err = maker.SchemaToGrammar([]byte(t.JSONSchema)); err != nil {
			return 0, p, jeantrail.Errorf(jeantrail.CodeInvalid, "read json_schema: %w", err)
		}
	}
	id, err := e.dec.NewSampler(p)
	switch {
	case err == nil:
		return id, p, nil
	case p.Grammar != "":
		return 0, p, jeantrail.Errorf(jeantrail.CodeInvalid, "make sampler: %w", err).
			WithHint("Check the grammar or schema of the request.")
	default:
		return 0, p, jeantrail.Errorf(jeantrail.CodeInternal, "make sampler: %w", err)
	}
}

// sampling lays the request over the configured defaults.
func (e *Engine) sampling(t *jeantrail.TextRequest) SamplingParams {
	p := e.opts.Sampling
	set := func(to *float32, from *float64) {
		if from != nil {
			*to = float32(*from)
		}
	}
	set(&p.Temperature, t.Temperature)
	set(&p.TopP, t.TopP)
	set(&p.MinP, t.MinP)
	set(&p.TypicalP, t.TypicalP)
	set(&p.RepeatPenalty, t.RepeatPenalty)
	set(&p.FrequencyPenalty, t.FrequencyPenalty)
	set(&p.PresencePenalty, t.PresencePenalty)
	set(&p.DryMultiplier, t.DryMultiplier)
	if t.TopK != nil {
		p.TopK = int32(min(*t.TopK, math.MaxInt32))
	}
	if t.TopP != nil && *t.TopP == 0 {
		// The decoder reads 0 as off; what is asked for is the likeliest token.
		p.TopK = 1
	}
	switch {
	case t.Seed != nil:
		p.Seed = *t.Seed
	case p.Seed == 0:
		p.Seed = rand.Uint32()
	}
	p.Grammar = t.Grammar
	if len(t.LogitBias) > 0 || t.IgnoreEOS {
		p.LogitBias = e.bias(t, t.IgnoreEOS)
	}
	return p
}

// bias lays the request's biases over the configured ones. With ban the tokens
// that end a turn are never sampled.
func (e *Engine) bias(t *jeantrail.TextRequest, ban bool) map[Token]float32 {
	bias := make(map[Token]float32, len(e.opts.Sampling.LogitBias)+len(t.LogitBias))
	maps.Copy(bias, e.opts.Sampling.LogitBias)
	for token, b := range t.LogitBias {
		bias[token] = float32(b)
	}
	if ban {
		for _, token := range e.vocab.eogs {
			bias[token] = float32(math.Inf(-1))
		}
	}
	return bias
}

// remembers reports whether the sampler looks at tokens before the first one.
func (p SamplingParams) remembers() bool {
	return p.RepeatPenalty != 0 && p.RepeatPenalty != 1 || p.FrequencyPenalty != 0 || p.PresencePenalty != 0 || p.DryMultiplier != 0
}
