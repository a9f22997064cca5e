package native

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jeantrail/jeantrail-ai/engine"
	"github.com/jeantrail/jeantrail-ai/llama"
)

// Decoder is an [engine.Decoder] and [engine.Renderer] over llama.cpp.
type Decoder struct {
	model   *llama.Model
	context *llama.Context
	vision  *llama.Vision // nil if there is no projector
	vocab   vocab
	info    engine.Info
	share   share

	// scratch of Step, kept between calls
	ops     []llama.MemOp
	spans   []llama.Span
	results []llama.Result
}

var (
	_ engine.Decoder       = (*Decoder)(nil)
	_ engine.Renderer      = (*Decoder)(nil)
	_ engine.VisionDecoder = (*Decoder)(nil)
	_ engine.Rester        = (*Decoder)(nil)
)

// Info describes the loaded model and context.
func (d *Decoder) Info() engine.Info { return d.info }

// Vocab reads the vocabulary.
func (d *Decoder) Vocab() engine.Vocab { return d.vocab }

// Template returns the Jinja source of the model's chat template, "" if none.
func (d *Decoder) Template() string { return d.info.ChatTemplate }

// NewSampler builds a sampler chain and returns its handle.
func (d *Decoder) NewSampler(p engine.SamplingParams) (engine.SamplerID, error) {
	id, err := d.context.NewSampler(llama.SamplerParams{
		Temperature: p.Temperature, TopK: p.TopK, TopP: p.TopP, MinP: p.MinP, TypicalP: p.TypicalP,
		RepeatPenalty: p.RepeatPenalty, FrequencyPenalty: p.FrequencyPenalty, PresencePenalty: p.PresencePenalty,
		PenaltyLastN: p.PenaltyLastN, DryMultiplier: p.DryMultiplier, DryBase: p.DryBase,
		DryAllowedLength: p.DryAllowedLength, DryPenaltyLastN: p.DryPenaltyLastN, DryBreakers: p.DryBreakers,
		Seed: p.Seed, LogitBias: p.LogitBias, Grammar: p.Grammar,
	})
	return engine.SamplerID(id), err
}

// FreeSampler returns a handle; one that is not alive is ignored.
func (d *Decoder) FreeSampler(id engine.SamplerID) {
	_ = d.context.FreeSampler(llama.SamplerID(id)) // the interface has no use for a double free
}

// SeedSampler shows a sampler the tokens that precede generation.
func (d *Decoder) SeedSampler(id engine.SamplerID, tokens []engine.Token) error {
	return d.context.SeedSampler(llama.SamplerID(id), tokens)
}

// Step applies ops, evaluates spans and samples.
func (d *Decoder) Step(ops []engine.MemOp, spans []engine.Span, results []engine.Result) ([]engine.Result, engine.StepInfo, error) {
	d.ops, d.spans = d.ops[:0], d.spans[:0]
	for _, op := range ops {
		d.ops = append(d.ops, llama.MemOp{Kind: llama.MemOpKind(op.Kind), Seq: op.Seq, Dst: op.Dst, P0: op.P0, P1: op.P1})
	}
	if len(spans) == 1 && spans[0].Image != nil {
		info, err := d.stepImage(&spans[0])
		return results[:0], info, err
	}
	for i := range spans {
		s := &spans[i]
		if s.Image != nil {
			return results[:0], engine.StepInfo{}, fmt.Errorf("step: an image is not alone in its step")
		}
		d.spans = append(d.spans, llama.Span{
			Seq: s.Seq, Pos: s.Pos, Tokens: s.Tokens, Sample: s.Sample, Sampler: llama.SamplerID(s.Sampler), Top: s.Logprobs,
		})
	}
	var info llama.StepInfo
	err := cpu.run(&d.share, func() (err error) {
		d.results, info, err = d.context.Step(d.ops, d.spans, d.results)
		return err
	})
	clear(d.spans) // keep nobody's tokens alive
	if err != nil {
		return results[:0], engine.StepInfo{}, err
	}
	results = results[:0]
	for i := range d.results {
		results = append(results, toResult(&d.results[i]))
	}
	return results, toInfo(info), nil
}

func toInfo(i llama.StepInfo) engine.StepInfo {
	return engine.StepInfo{Outcome: outcomes[i.Outcome], DecodeUS: i.DecodeUS, SampleUS: i.SampleUS}
}

// outcomes is indexed by llama.Outcome.
var outcomes = [...]engine.Outcome{
	llama.OutcomeOK:      engine.OutcomeOK,
	llama.OutcomeNoRoom:  engine.OutcomeNoRoom,
	llama.OutcomeAborted: engine.OutcomeAborted,
	llama.OutcomeInvalid: engine.OutcomeInvalid,
}

func toResult(r *llama.Result) engine.Result {
	out := engine.Result{Span: r.Span, Token: r.Token, EOG: r.EOG, Err: r.Err, Logprob: r.Logprob}
	for _, t := range r.Top {
		out.Top = append(out.Top, engine.TokenLogprob{Token: t.Token, Logprob: t.Logprob})
	}
	return out
}

// Abort sets or clears the flag that ends a running Step early.
func (d *Decoder) Abort(on bool) { d.context.Abort(on) }

// SeqLen returns the position after the last one of a sequence in the KV cache;
// 0 for a sequence that does not exist.
func (d *Decoder) SeqLen(seq int) int {
	n, err := d.context.SeqLen(seq)
	if err != nil {
		return 0
	}
	return n
}

// SaveSeq copies a sequence's KV state to memory.
func (d *Decoder) SaveSeq(seq int) ([]byte, error) { return d.context.SaveSeq(seq) }

// LoadSeq puts such a copy into an empty sequence.
func (d *Decoder) LoadSeq(seq int, blob []byte) error { return d.context.LoadSeq(seq, blob) }

// SaveSeqFile writes a sequence's KV state and its tokens to a file.
func (d *Decoder) SaveSeqFile(path string, seq int, tokens []engine.Token) error {
	return d.context.SaveSeqFile(path, seq, tokens)
}

// LoadSeqFile puts the state in such a file into an empty sequence and returns
// its tokens.
func (d *Decoder) LoadSeqFile(path string, seq int) ([]engine.Token, error) {
	return d.context.LoadSeqFile(path, seq)
}

// RenderChat renders messages with the model's own template. tools are JSON
// objects, functions bare or in OpenAI's envelope.
func (d *Decoder) RenderChat(ctx context.Context, messages []engine.ChatMessage, tools []string, thinking bool) (string, error) {
	if err := context.Cause(ctx); err != nil {
		return "", fmt.Errorf("render chat: %w", err)
	}
	r := llama.ChatRequest{Thinking: thinking}
	for _, m := range messages {
		msg := llama.ChatMessage{Role: m.Role, Content: m.Content, Reasoning: m.Reasoning}
		for _, c := range m.ToolCalls {
			msg.ToolCalls = append(msg.ToolCalls, llama.ChatToolCall{Name: c.Name, Arguments: c.Arguments})
		}
		r.Messages = append(r.Messages, msg)
	}
	for _, t := range tools {
		r.Tools = append(r.Tools, json.RawMessage(t))
	}
	return d.model.RenderChat(r)
}

// SchemaToGrammar turns a JSON schema into a grammar for
// [engine.SamplingParams.Grammar].
func (d *Decoder) SchemaToGrammar(schema []byte) (string, error) {
	return llama.SchemaToGrammar(schema)
}

// Close frees context, projector and model.
func (d *Decoder) Close() error {
	cpu.leave(&d.share)
	var errs []error
	if d.context != nil {
		errs = append(errs, d.context.Close())
	}
	if d.vision != nil {
		errs = append(errs, d.vision.Close())
	}
	return errors.Join(append(errs, d.model.Close())...)
}

// vocab adapts llama's vocabulary.
type vocab struct{ v *llama.Vocab }

func (v vocab) Tokenize(text string, parseSpecial bool) ([]engine.Token, error) {
	return v.v.Tokenize(text, parseSpecial)
}
func (v vocab) Piece(t engine.Token) []byte              { return v.v.Piece(t) }
func (v vocab) SpecialText(t engine.Token) string        { return v.v.SpecialText(t) }
func (v vocab) IsEOG(t engine.Token) bool                { return v.v.IsEOG(t) }
func (v vocab) IsControl(t engine.Token) bool            { return v.v.IsControl(t) }
func (v vocab) Lookup(piece string) (engine.Token, bool) { return v.v.Lookup(piece) }
func (v vocab) Size() int                                { return v.v.Size() }
func (v vocab) BOS() (engine.Token, bool)                { return v.v.BOS() }
