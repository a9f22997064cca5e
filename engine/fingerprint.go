package engine

import (
	"crypto/sha256"
	"encoding/json"
)

// fingerprint is everything that can change the text of a request, in a form
// whose bytes are equal exactly if all of it is.
type fingerprint struct {
	Identity  string // of the model's file and of what computes it
	Prompt    []Token
	MaxTokens int
	Sampling  SamplingParams
	Seeded    bool // false: every run draws a seed of its own
	Schema    string
	Stop      []string
	IgnoreEOS bool
	// Of images, whose rows are -1 in the prompt; left out where there are none.
	Projector string            `json:",omitempty"`
	Images    []imageIdentifier `json:",omitempty"`
}

// imageIdentifier says which part of which image stands where in a prompt.
type imageIdentifier struct {
	At     int
	SHA256 string
	Part   int
}

// Fingerprint is a SHA-256 of all that can change the result, and whether the
// result is the same each time: it is if the likeliest token is always taken, or
// the draw's seed is given. It is nil if the engine was not told what its model
// is (Options.Identity and, for images, Options.Projector).
//
// Other conversations in the same batch can change how a sum rounds, and so a
// token whose rival is as likely to the last bit; that is as much as "the same"
// means here.
func (w *Work) Fingerprint() (sum []byte, deterministic bool) {
	e, t := w.engine, w.text
	identity := e.identity()
	if identity == "" {
		return nil, false
	}
	projector, images := e.projector(), w.prepared.prompt.images
	if len(images) > 0 && projector == "" {
		return nil, false
	}
	p := e.sampling(t)
	f := fingerprint{
		Identity: identity, Prompt: w.prepared.prompt.tokens, MaxTokens: w.prepared.maxTokens, Sampling: p,
		Seeded: t.Seed != nil || e.opts.Sampling.Seed != 0, Schema: t.JSONSchema, Stop: t.Stop, IgnoreEOS: t.IgnoreEOS,
	}
	for _, i := range images {
		f.Projector = projector
		f.Images = append(f.Images, imageIdentifier{At: i.at, SHA256: i.key.sha256, Part: i.key.part})
	}
	greedy := p.Temperature <= 0 || p.TopK == 1
	if greedy {
		f.Seeded = false // nothing is drawn
	}
	if !f.Seeded {
		f.Sampling.Seed = 0 // is not looked at, or differs each time
	}
	if t.IgnoreEOS {
		// It bans the end tokens by biases of minus infinity, which JSON cannot say.
		f.Sampling.LogitBias = e.bias(t, false)
	}
	text, err := json.Marshal(f) // maps are written in the order of their keys
	if err != nil {
		return nil, false
	}
	digest := sha256.Sum256(text)
	return digest[:], greedy || f.Seeded
}

// projector is what Options.Projector says at this moment.
func (e *Engine) projector() string {
	if e.opts.Projector == nil {
		return ""
	}
	return e.opts.Projector()
}

// identity is what Options.Identity says at this moment.
func (e *Engine) identity() string {
	if e.opts.Identity == nil {
		return ""
	}
	return e.opts.Identity()
}
