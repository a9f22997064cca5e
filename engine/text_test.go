package engine

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// recorder joins deltas.
type recorder struct {
	text      [2]strings.Builder // answer, reasoning
	tokens    [2]int
	malformed bool
}

func (r *recorder) push(text []byte, reasoning bool, tokens int) {
	i := 0
	if reasoning {
		i = 1
	}
	r.text[i].Write(text)
	r.tokens[i] += tokens
	r.malformed = r.malformed || !utf8.Valid(text)
}

// feed passes pieces through an output and returns what left it, and how many
// pieces it took.
func feed(pieces []string, stops []string) (answer string, taken int, r *recorder) {
	r = &recorder{}
	o := newOutput(r, thinkTokens{-1, -1}, stops, false)
	for i, p := range pieces {
		if o.token(Token(i), []byte(p)) {
			return r.text[0].String(), i + 1, r
		}
	}
	o.flush(0)
	return r.text[0].String(), len(pieces), r
}

// cuts returns the text in two pieces, cut at every border.
func cuts(s string) [][]string {
	var all [][]string
	for i := range len(s) + 1 {
		all = append(all, []string{s[:i], s[i:]})
	}
	return all
}

func TestTextDoesNotDependOnTokenBorders(t *testing.T) {
	for _, c := range []struct {
		in    string
		stops []string
		want  string
	}{
		{"hello world", []string{"wor"}, "hello "},
		{"aab", []string{"ab"}, "a"},
		{"ababac", []string{"abac"}, "ab"},
		{"abc", []string{"abcd"}, "abc"},
		{"abcd", []string{"abcd", "bc"}, "a"},
		{"xyz", []string{"yz", "xyz"}, ""},
		{"naïve — 🌍!", []string{"— 🌍"}, "naïve "},
		{"STOP", []string{"STOP"}, ""},
		{"a\n\nb", []string{"\n\n"}, "a"},
		{"é", nil, "é"},
		{"\xff\xfeok", nil, "\uFFFD\uFFFDok"},
		{"\xe2\x82x", nil, "\uFFFDx"},
		{"\xf0\x9f\x8c", nil, "\uFFFD"},
		{"\xe2\x82\xe2\x82\xac", nil, "\uFFFD€"},
	} {
		for _, pieces := range cuts(c.in) {
			if got, _, r := feed(pieces, c.stops); got != c.want || r.malformed {
				t.Errorf("%q with stops %q gave %q, want %q", pieces, c.stops, got, c.want)
			}
		}
		if got, _, _ := feed(strings.Split(c.in, ""), c.stops); got != c.want {
			t.Errorf("%q rune by rune with stops %q gave %q, want %q", c.in, c.stops, got, c.want)
		}
	}
}

// No more is held back than could become a stop string.
func TestHoldBackIsMinimal(t *testing.T) {
	r := &recorder{}
	o := newOutput(r, thinkTokens{-1, -1}, []string{"\nUser:", "###"}, false)
	for _, step := range []struct{ piece, left string }{
		{"a", "a"}, {"#", "a"}, {"b", "a#b"}, {"##", "a#b"}, {"\nUse", "a#b##"}, {"d", "a#b##\nUsed"},
	} {
		o.token(1, []byte(step.piece))
		if got := r.text[0].String(); got != step.left {
			t.Errorf("after %q, %q has left, want %q", step.piece, got, step.left)
		}
	}
}

func TestOutputAllocatesNothing(t *testing.T) {
	s := newStream(1<<30, func() {})
	o := newOutput(s, thinkTokens{-1, -1}, []string{"STOP"}, false)
	piece := []byte(" word")
	var c chunk
	for range 2 {
		for range 300 {
			o.token(1, piece)
		}
		s.fetch(&c)
	}
	if n := testing.AllocsPerRun(200, func() { o.token(1, piece) }); n > 0 {
		t.Errorf("a token costs %v allocations", n)
	}
}

// reference finds the end of the text the slow way.
func reference(text string, stops []string) (string, bool) {
	for end := 1; end <= len(text); end++ {
		longest := -1
		for _, s := range stops {
			if strings.HasSuffix(text[:end], s) {
				longest = max(longest, len(s))
			}
		}
		if longest >= 0 {
			return text[:end-longest], true
		}
	}
	return text, false
}

// FuzzOutput cuts any bytes anywhere: only UTF-8 leaves, it is what comes of
// the bytes in one piece, and a stop string ends it where the reference says.
func FuzzOutput(f *testing.F) {
	f.Add([]byte("hello wörld 🌍"), "wö", "🌍", []byte{1, 3, 2})
	f.Add([]byte("aababac\xff\xe2\x82"), "abac", "ba", []byte{1})
	f.Fuzz(func(t *testing.T, in []byte, stop1, stop2 string, lengths []byte) {
		var stops []string
		for _, s := range []string{stop1, stop2} {
			if s != "" && utf8.ValidString(s) {
				stops = append(stops, s)
			}
		}
		var pieces []string
		for rest, i := string(in), 0; rest != ""; i++ {
			n := len(rest)
			if len(lengths) > 0 {
				n = min(n, int(lengths[i%len(lengths)])+1)
			}
			pieces, rest = append(pieces, rest[:n]), rest[n:]
		}
		whole, _, _ := feed([]string{string(in)}, nil)
		want, stopped := reference(whole, stops)
		got, taken, r := feed(pieces, stops)
		if got != want || r.malformed {
			t.Fatalf("%q with stops %q gave %q, want %q", pieces, stops, got, want)
		}
		if r.tokens[0] != taken {
			t.Fatalf("%d tokens counted of %d", r.tokens[0], taken)
		}
		if utf8.Valid(in) && whole != string(in) {
			t.Fatalf("%q became %q", in, whole)
		}
		if !stopped && taken != len(pieces) {
			t.Fatalf("it stopped after %d of %d pieces", taken, len(pieces))
		}
	})
}

func TestThinkBlocks(t *testing.T) {
	const open, end = 1000, 1001
	for name, c := range map[string]struct {
		tokens    []Token // bytes, or open and end
		inside    bool
		answer    string
		reasoning string
		thought   int
	}{
		"none":              {tokens: toks("\n\nabc"), answer: "\n\nabc"},
		"block":             {tokens: toks(open, "\nwhy\n", end, "\n\nso"), answer: "so", reasoning: "why", thought: 7},
		"newlines inside":   {tokens: toks(open, "\n\na\n\nb\n\n", end, "c\n"), answer: "c\n", reasoning: "a\n\nb", thought: 10},
		"empty block":       {tokens: toks(open, "\n\n", end, "\n\nx"), answer: "x", thought: 4},
		"opened by prompt":  {tokens: toks("why", end, "so"), inside: true, answer: "so", reasoning: "why", thought: 4},
		"never closed":      {tokens: toks(open, "why\n"), reasoning: "why", thought: 5},
		"twice":             {tokens: toks(open, "a", end, "b", open, "c", end, "d"), answer: "bd", reasoning: "ac", thought: 6},
		"stop inside":       {tokens: toks(open, "a.b", end, "c"), answer: "c", reasoning: "a.b", thought: 5},
		"rune cut by block": {tokens: toks("\xe2\x82", open, "\xe2", end, "x"), answer: "\uFFFDx", reasoning: "\uFFFD", thought: 3},
		"close without":     {tokens: toks("a", end, "b"), answer: "ab"},
	} {
		r := &recorder{}
		o := newOutput(r, thinkTokens{open, end}, []string{"."}, c.inside)
		for _, tok := range c.tokens {
			piece := []byte{byte(tok)}
			if tok >= open {
				piece = nil
			}
			o.token(tok, piece)
		}
		o.flush(0)
		if r.text[0].String() != c.answer || r.text[1].String() != c.reasoning || r.malformed {
			t.Errorf("%s: got %q and %q, want %q and %q", name, r.text[0].String(), r.text[1].String(), c.answer, c.reasoning)
		}
		if r.tokens[0]+r.tokens[1] != len(c.tokens) || r.tokens[1] != c.thought {
			t.Errorf("%s: counted %v of %d tokens, want %d of reasoning", name, r.tokens, len(c.tokens), c.thought)
		}
	}
}

func toks(parts ...any) []Token {
	var all []Token
	for _, p := range parts {
		switch v := p.(type) {
		case int:
			all = append(all, Token(v))
		case string:
			for i := range len(v) {
				all = append(all, Token(v[i]))
			}
		}
	}
	return all
}
