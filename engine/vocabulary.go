package engine

import "strings"

// vocabulary is a Vocab with what the engine asks of it again and again.
type vocabulary struct {
	Vocab
	think    thinkTokens
	eogs     []Token
	controls []string // the text of every control token
}

func newVocabulary(v Vocab) *vocabulary {
	k := &vocabulary{Vocab: v, think: lookupThink(v)}
	for t := range Token(v.Size()) {
		if v.IsEOG(t) {
			k.eogs = append(k.eogs, t)
		}
		if !v.IsControl(t) {
			continue
		}
		if text := v.SpecialText(t); text != "" {
			k.controls = append(k.controls, text)
		}
	}
	return k
}

// containsControl reports whether text would become control tokens if it were
// tokenised with parseSpecial.
func (k *vocabulary) containsControl(text string) bool {
	if len(text) == 0 {
		return false
	}
	for _, c := range k.controls {
		if strings.Contains(text, c) {
			return true
		}
	}
	return false
}
