package policy

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// fence begins and ends code in Markdown.
const fence = "```"

// codeMarks are letters that hardly any text but code has.
var codeMarks = []string{"#include", "#!/", "=>", "::", "&&", "+=", "==", "!=", "() =>", "</", "();", "():", "console.log", "System.out",
	"printf(", "fmt.", "self.", "SELECT ", "INSERT INTO", "Traceback (most recent call last)", "Exception in thread", "\tat "}

// lineBeginnings begin lines of code, if a mark of punctuation follows.
var lineBeginnings = []string{"def ", "func ", "fn ", "class ", "import ", "from ", "package ", "public ", "private ", "static ",
	"const ", "let ", "var ", "return ", "if ", "for ", "while ", "else", "try", "int ", "void ", "async ", "function ", "struct ", "@"}

// looksLikeCode reports whether the text has a fence in it, or at least two
// lines or marks that only code has.
func looksLikeCode(text string) bool {
	if strings.Contains(text, fence) {
		return true
	}
	found := 0
	for _, mark := range codeMarks {
		if strings.Contains(text, mark) {
			found++
		}
	}
	for line := range strings.Lines(text) {
		if found > 1 {
			break
		}
		if isCodeLine(strings.TrimSpace(line)) {
			found++
		}
	}
	return found > 1
}

// isCodeLine reports whether a line is written as statements are.
func isCodeLine(line string) bool {
	if line == "{" || line == "}" || line == "};" || line == "end" {
		return true
	}
	if strings.HasSuffix(line, ";") && strings.ContainsAny(line, "()=[]") || strings.HasSuffix(line, " {") {
		return true
	}
	for _, beginning := range lineBeginnings {
		if rest, ok := strings.CutPrefix(line, beginning); ok && strings.ContainsAny(rest, "=({;") {
			return true
		}
	}
	return false
}

// formulaMarks are letters that hardly any text but math has.
var formulaMarks = []string{`\frac`, `\int`, `\sum`, `\sqrt`, `\lim`, "$$", "∫", "∑", "√", "∂", "×", "÷"}

// hasFormula reports whether the text has a mark of math in it, or an operator
// between a number or variable and another. A minus or a slash does not count,
// because dates and names have them, unless the text has nothing but numbers or
// asks for a sum.
func hasFormula(text string, asksForSum bool) bool {
	for _, mark := range formulaMarks {
		if strings.Contains(text, mark) {
			return true
		}
	}
	weak := false
	for i, r := range text {
		strong := false
		switch r {
		case '+', '*', '^', '=':
			strong = true
		case '%':
			if percentOf(text[:i], text[i+1:]) {
				return true
			}
			continue
		case '-', '−', '/':
		default:
			continue
		}
		if operandBefore(text[:i]) && operandAfter(text[i+utf8.RuneLen(r):]) {
			if strong {
				return true
			}
			weak = true
		}
	}
	return weak && (asksForSum || !strings.ContainsFunc(text, unicode.IsLetter))
}

// percentOf reports whether a number stands before a percent sign, and after it
// of what.
func percentOf(before, after string) bool {
	before = strings.TrimRight(before, " ")
	if before == "" || before[len(before)-1] < '0' || before[len(before)-1] > '9' {
		return false
	}
	for _, word := range []string{" of ", " von ", " de ", " di ", " от "} {
		if number, ok := strings.CutPrefix(after, word); ok && number != "" && '0' <= number[0] && number[0] <= '9' {
			return true
		}
	}
	return false
}

// operandBefore reports whether the text ends with a number, a closing bracket
// or a letter on its own.
func operandBefore(text string) bool {
	text = strings.TrimRight(text[max(0, len(text)-nearBytes):], " ")
	last, size := utf8.DecodeLastRuneInString(text)
	if !isLatin(last) {
		return unicode.IsDigit(last) || last == ')'
	}
	before, _ := utf8.DecodeLastRuneInString(text[:len(text)-size])
	return !isLatin(before) && !strings.ContainsRune("?&_./%-", before)
}

// operandAfter reports whether the text begins with a number, an opening
// bracket, a sign or a letter on its own.
func operandAfter(text string) bool {
	text = strings.TrimLeft(text[:min(nearBytes, len(text))], " ")
	first, size := utf8.DecodeRuneInString(text)
	second, _ := utf8.DecodeRuneInString(text[size:])
	if isLatin(first) {
		return !isLatin(second)
	}
	return unicode.IsDigit(first) || first == '(' || first == '-' && unicode.IsDigit(second)
}

// nearBytes is how far from an operator its operands may stand.
const nearBytes = 8

// countNumbers counts the numbers in words, not those that are part of a name
// such as mp4.
func countNumbers(words []string) int {
	n := 0
	for _, word := range words {
		before := ' '
		for _, r := range word {
			if unicode.IsDigit(r) && !unicode.IsDigit(before) && !isLatin(before) {
				n++
			}
			before = r
		}
	}
	return n
}

func isLatin(r rune) bool { return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' }
