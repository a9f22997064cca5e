package policy

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// The task types that Classify tells apart. A caller may give any other word.
const (
	TaskCode        = "code"
	TaskMath        = "math"
	TaskTranslation = "translation"
	TaskSummary     = "summary"
	TaskExtraction  = "extraction"
	TaskCreative    = "creative"
	TaskSimple      = "simple"
	TaskComplex     = "complex"
)

// TaskTypes lists what Classify returns.
func TaskTypes() []string {
	return []string{TaskCode, TaskMath, TaskTranslation, TaskSummary, TaskExtraction, TaskCreative, TaskSimple, TaskComplex}
}

// What Classify looks at, and what it calls short.
const (
	headBytes      = 4 << 10
	tailBytes      = 512
	openingWords   = 60 // of the words, those at the beginning
	closingWords   = 30 // and those at the end
	commandWords   = 12 // beside code, only these say that something else is wanted
	shortLetters   = 200
	shortSentences = 3
	shortLines     = 3
)

// Classify guesses what a request is for, when its caller does not say so. It is
// a heuristic of some ten microseconds, not a model: it looks for words, in
// English and the commonest of a dozen other languages, and is wrong at times.
// Who depends on the class gives a task_type.
//
// It looks at the first 4 KiB and the last 512 bytes of the text. Of these it
// takes the first 60 and the last 30 words that are not between ``` fences: what
// is wanted stands at the beginning or at the end. The class is that of the sign
// that comes first among these words:
//
//   - translation: "translate", "how do you say" and their like, or "say", "mean"
//     or their like together with "in French" or its like;
//   - summary: "summarise", "tl;dr", "key points of" and their like;
//   - extraction: "extract", "as json", or "find", "list" and their like together
//     with "in the text" and its like;
//   - creative: a poem, story, song, slogan or their like together with "write",
//     "tell" or their like; "brainstorm" or "imagine";
//   - code: a programming language, tool or error by name, "this code", or a
//     function, script or algorithm together with "write", "fix" or their like;
//   - math: "equation", "integral", "square root" and their like; "solve",
//     "calculate" and their like in a text with a number; "how many" and its like
//     in a text with two numbers.
//
// Text that has code in it (a fence, or two lines or marks that only code has) is
// code, unless one of the first 12 words says otherwise; a translation of code is
// code too. Text without any of these signs is math if it has a formula in it,
// such as 2+3, x^2 or 17% of 250. The rest is complex if a word asks for thought
// ("explain", "compare", "step by step", "plan" and their like), or if it has
// more than 200 characters, three sentences or three lines. What is left, a
// short question or remark, is simple; so is no text at all.
func Classify(text string) string {
	t := strings.ToValidUTF8(text[:min(headBytes, len(text))], "")
	if tail := max(headBytes, len(text)-tailBytes); tail < len(text) {
		t += "\n" + strings.ToValidUTF8(text[tail:], "")
	}
	words := ends(outsideFences(t))
	found := signs.find(words)
	class, at := firstSign(&found, countNumbers(words))
	switch {
	case looksLikeCode(t):
		if class != "" && class != TaskTranslation && at < wordPlace(commandWords, 0) {
			return class
		}
		return TaskCode
	case class == TaskTranslation && found.has(codeWords):
		return TaskCode
	case class != "":
		return class
	case hasFormula(t, found.has(sumWords)):
		return TaskMath
	case found.has(thoughtWords) || len(text) > headBytes || !isShort(text):
		return TaskComplex
	}
	return TaskSimple
}

// outsideFences returns the text without what stands between ``` and ```.
func outsideFences(text string) string {
	if !strings.Contains(text, fence) {
		return text
	}
	var out strings.Builder
	for i, part := range strings.Split(text, fence) {
		if i%2 == 0 {
			out.WriteString(part)
			out.WriteByte('\n')
		}
	}
	return out.String()
}

// ends returns the opening and the closing words of a text, in small letters.
func ends(text string) []string {
	words := make([]string, 0, openingWords+closingWords)
	for len(words) < openingWords {
		begin := strings.IndexFunc(text, inWord)
		if begin < 0 {
			return words
		}
		text = text[begin:]
		end := strings.IndexFunc(text, betweenWords)
		if end < 0 {
			end = len(text)
		}
		words, text = append(words, strings.ToLower(text[:end])), text[end:]
	}
	closing := strings.FieldsFunc(strings.ToLower(text[max(0, len(text)-tailBytes):]), betweenWords)
	return append(words, closing[max(0, len(closing)-closingWords):]...)
}

func inWord(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) || r == '_' || r == '+' || r == '#'
}

func betweenWords(r rune) bool { return !inWord(r) }

// firstSign returns the class whose sign comes first, and where; "" if there is
// no sign. Of two signs at one place the earlier in the list counts.
func firstSign(found *places, numbers int) (class string, at place) {
	building := found.has(buildingWords)
	for _, s := range []struct {
		class string
		holds bool
		list  signList
	}{
		{TaskTranslation, true, translationWords},
		{TaskTranslation, found.has(sayingWords), languageWords},
		{TaskSummary, true, summaryWords},
		{TaskExtraction, true, extractionWords},
		{TaskExtraction, found.has(searchWords), sourceWords},
		{TaskCreative, true, inventionWords},
		{TaskCreative, building || found.has(tellingWords), creativeWords},
		{TaskCode, true, codeWords},
		{TaskCode, building, programWords},
		{TaskMath, true, mathWords},
		{TaskMath, numbers > 0, reckoningWords},
		{TaskMath, numbers > 1, quantityWords},
	} {
		if s.holds && found.has(s.list) && (class == "" || found[s.list] < at) {
			class, at = s.class, found[s.list]
		}
	}
	return class, at
}

// isShort reports whether the text is a question or remark by its size.
func isShort(text string) bool {
	text = strings.TrimSpace(text)
	if utf8.RuneCountInString(text) > shortLetters {
		return false
	}
	lines := 0
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) != "" {
			lines++
		}
	}
	return lines <= shortLines && countSentences(text) <= shortSentences
}

// countSentences counts the ends of sentences, and what comes after the last.
func countSentences(text string) int {
	n, open := 0, false
	runes := []rune(text)
	for i, r := range runes {
		switch {
		case strings.ContainsRune("。！？", r), strings.ContainsRune(".!?…", r) && (i+1 == len(runes) || unicode.IsSpace(runes[i+1])):
			if open {
				n++
			}
			open = false
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			open = true
		}
	}
	if open {
		n++
	}
	return n
}
