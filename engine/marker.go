package engine

import (
	"cmp"
	"crypto/rand"
	"slices"
	"strconv"
	"strings"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/engine/chat"
)

// Private-use characters around a mark, which no template treats in a special way.
const (
	markBegin = "\uE000"
	markEnd   = "\uE001"
)

// marker hides control tokens in a caller's words from a chat template.
type marker struct {
	hiding *strings.Replacer
	open   string            // how every mark begins
	texts  map[string]string // mark -> the text it stands for
}

// newMarker makes marks for one request, with a random word in them so that no
// caller can write one.
func newMarker(controls []string) *marker {
	m := &marker{texts: make(map[string]string, len(controls)), open: markBegin + rand.Text() + "."}
	sorted := slices.Clone(controls)
	// A Replacer tries pairs in order; the longest of overlapping ones is first.
	slices.SortFunc(sorted, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	pairs := make([]string, 0, 2*len(sorted))
	for i, c := range sorted {
		mark := m.open + strconv.Itoa(i) + markEnd
		m.texts[mark] = c
		pairs = append(pairs, c, mark)
	}
	m.hiding = strings.NewReplacer(pairs...)
	return m
}

func (m *marker) hide(text string) string { return m.hiding.Replace(text) }

// hideJSON does so in every string of a JSON value, where a control token may
// be written with escapes.
func (m *marker) hideJSON(text string) (string, error) {
	out, err := chat.FormatJSON(text, m.hide)
	if err != nil {
		return "", jeantrail.Errorf(jeantrail.CodeInvalid, "read tool: %w", err)
	}
	return out, nil
}

// split cuts a rendered prompt at the marks.
func (m *marker) split(prompt string) []chat.Segment {
	var segments []chat.Segment
	for {
		begin := strings.Index(prompt, m.open)
		if begin < 0 {
			return append(segments, chat.Segment{Text: prompt, Special: true})
		}
		mark := prompt[begin:]
		if end := strings.Index(mark, markEnd); end >= 0 {
			mark = mark[:end+len(markEnd)]
		}
		// A template may cut a mark off in the middle; what is left is text.
		text, ok := m.texts[mark]
		if !ok {
			text = mark
		}
		segments = append(segments, chat.Segment{Text: prompt[:begin], Special: true}, chat.Segment{Text: text})
		prompt = prompt[begin+len(mark):]
	}
}
