package policy

import "strings"

// signList names a list of signs.
type signList int

// The lists.
const (
	translationWords signList = iota
	sayingWords               // together with languageWords: a translation
	languageWords
	summaryWords
	extractionWords
	searchWords // together with sourceWords: something out of a text
	sourceWords
	inventionWords
	creativeWords // together with buildingWords or tellingWords: something invented
	tellingWords
	codeWords
	programWords // together with buildingWords: a program
	buildingWords
	mathWords
	reckoningWords // with a number
	quantityWords  // with two numbers
	sumWords       // what two numbers with a minus or a slash between them give
	thoughtWords   // reasoning, a plan or a long answer
	signLists
)

// A sign is a piece of text that is looked for among words: some words, the
// beginning of a word, or letters anywhere in one.
type sign struct {
	list  signList
	first string   // the first word, the beginning or the letters
	rest  []string // the words that follow
}

// signs are all signs, by how they are looked for.
var signs = newSignIndex()

type signIndex struct {
	words      map[string][]sign // by the first word
	beginnings [256][]sign       // by the first byte
	letters    []sign            // for writing without spaces
}

func newSignIndex() *signIndex {
	index := &signIndex{words: make(map[string][]sign)}
	for list, text := range signTexts {
		for piece := range strings.SplitSeq(text, ",") {
			words := strings.Fields(piece)
			s := sign{list: signList(list), first: words[0], rest: words[1:]}
			switch bare, begins := strings.CutSuffix(s.first, "*"); {
			case begins && strings.HasPrefix(bare, "*"):
				s.first = bare[1:]
				index.letters = append(index.letters, s)
			case begins:
				s.first = bare
				index.beginnings[bare[0]] = append(index.beginnings[bare[0]], s)
			default:
				index.words[s.first] = append(index.words[s.first], s)
			}
		}
	}
	return index
}

// place is where a sign stands: the number of the word, then the byte in it.
type place int

// noPlace is that of a sign that was not found.
const noPlace = place(-1)

// wordPlace returns the place of a byte of a word.
func wordPlace(word, offset int) place { return place(word*(headBytes+tailBytes+1) + offset) }

// places are where the first sign of each list stands.
type places [signLists]place

func (p *places) has(list signList) bool { return p[list] != noPlace }

// find looks for every sign among words in small letters.
func (x *signIndex) find(words []string) places {
	var found places
	for list := range found {
		found[list] = noPlace
	}
	note := func(s sign, at place) {
		if now := found[s.list]; now == noPlace || at < now {
			found[s.list] = at
		}
	}
	for i, word := range words {
		for _, s := range x.words[word] {
			if follows(words[i+1:], s.rest) {
				note(s, wordPlace(i, 0))
			}
		}
		for _, s := range x.beginnings[word[0]] {
			if strings.HasPrefix(word, s.first) {
				note(s, wordPlace(i, 0))
			}
		}
		if !needsNoSpaces(word) {
			continue
		}
		for _, s := range x.letters {
			if at := strings.Index(word, s.first); at >= 0 {
				note(s, wordPlace(i, at))
			}
		}
	}
	return found
}

// needsNoSpaces reports whether a word has letters beyond Latin, Greek, Cyrillic
// and Hebrew. Arabic, which joins small words to the next, is among them.
func needsNoSpaces(word string) bool {
	for i := range len(word) {
		if word[i] >= 0xD8 { // the first byte of U+0600 and all after
			return true
		}
	}
	return false
}

// follows reports whether the words begin with the others, of which "#" is any
// number.
func follows(words, others []string) bool {
	if len(words) < len(others) {
		return false
	}
	for i, other := range others {
		digit := other == "#" && '0' <= words[i][0] && words[i][0] <= '9'
		if words[i] != other && !digit {
			return false
		}
	}
	return true
}
