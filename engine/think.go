package engine

// deltas takes pieces of text with the number of tokens they account for.
type deltas interface {
	push(text []byte, reasoning bool, tokens int)
}

// thinkTokens are the ids that open and close a block of reasoning; -1 where
// the vocabulary has none.
type thinkTokens struct{ open, close Token }

func lookupThink(v Vocab) thinkTokens {
	t := thinkTokens{open: -1, close: -1}
	if id, ok := v.Lookup("<think>"); ok {
		t.open = id
	}
	if id, ok := v.Lookup("</think>"); ok {
		t.close = id
	}
	return t
}

// openAtEnd reports whether generation after the prompt begins inside a block
// of reasoning, as with templates that open it themselves. It looks back no
// further than the last control token: what a user wrote does not matter.
func (t thinkTokens) openAtEnd(prompt []Token, v Vocab) bool {
	for i := len(prompt) - 1; i >= 0; i-- {
		switch tok := prompt[i]; {
		case tok == t.open:
			return true
		case tok == t.close, tok == imageToken, v.IsControl(tok):
			return false
		}
	}
	return false
}

// output turns sampled tokens into deltas: whole runes, reasoning apart from
// the answer, no stop string and nothing after it. Every token is counted in
// exactly one delta. Stop strings are looked for in the answer only; a think
// tag counts as reasoning.
type output struct {
	to        deltas
	think     thinkTokens
	reasoning bool
	runes     runeFilter
	trim      trimmer
	stop      stopFilter

	joined  []byte // scratch
	trimmed []byte
	out     []byte
}

func newOutput(to deltas, think thinkTokens, stops []string, reasoning bool) *output {
	o := &output{to: to, think: think, reasoning: reasoning, stop: stopFilter{stops: stops}}
	if reasoning {
		o.trim = trimmer{leading: true, trailing: true}
	}
	return o
}

// token passes on one token and reports whether a stop string was met.
func (o *output) token(tok Token, piece []byte) (stopped bool) {
	switch {
	case tok == o.think.open && !o.reasoning:
		o.flush(0)
		o.reasoning = true
		o.trim = trimmer{leading: true, trailing: true}
		o.to.push(nil, true, 1)
		return false
	case tok == o.think.close && o.reasoning:
		o.flush(1)
		o.reasoning = false
		o.trim = trimmer{leading: true}
		return false
	}
	o.joined = o.runes.write(o.joined[:0], piece)
	text, stopped := o.filter(o.joined)
	o.to.push(text, o.reasoning, 1)
	return stopped
}

// flush ends the text: what was held back leaves, and tokens is how many
// tokens without text of their own come with it.
func (o *output) flush(tokens int) {
	o.joined = o.runes.flush(o.joined[:0])
	text, stopped := o.filter(o.joined)
	if !stopped && !o.reasoning {
		text = o.stop.flush(text)
		o.out = text
	}
	if len(text) > 0 || tokens > 0 {
		o.to.push(text, o.reasoning, tokens)
	}
}

func (o *output) filter(text []byte) (out []byte, stopped bool) {
	o.trimmed = o.trim.write(o.trimmed[:0], text)
	if o.reasoning {
		return o.trimmed, false
	}
	o.out, stopped = o.stop.write(o.out[:0], o.trimmed)
	return o.out, stopped
}
