package engine

import (
	"bytes"
	"unicode/utf8"
)

const replacement = "\uFFFD"

// runeFilter joins bytes to whole runes. A token of a byte-level vocabulary may
// end in the middle of one.
type runeFilter struct {
	tail []byte // the valid beginning of a rune, at most 3 bytes
}

// write appends to dst what of the bytes so far is whole runes. Bytes that can
// never be UTF-8 become U+FFFD, one for each maximal subpart, as the Unicode
// standard (section 3.9) recommends.
func (f *runeFilter) write(dst, piece []byte) []byte {
	if len(f.tail) == 0 && utf8.Valid(piece) {
		return append(dst, piece...)
	}
	f.tail = append(f.tail, piece...)
	rest := f.tail
	for len(rest) > 0 {
		r, size := utf8.DecodeRune(rest)
		if r != utf8.RuneError || size > 1 {
			dst = append(dst, rest[:size]...)
			rest = rest[size:]
			continue
		}
		if !utf8.FullRune(rest) {
			break
		}
		dst = append(dst, replacement...)
		rest = rest[maximalSubpart(rest):]
	}
	f.tail = append(f.tail[:0], rest...)
	return dst
}

// flush appends U+FFFD for an incomplete rune, since none of it will follow.
func (f *runeFilter) flush(dst []byte) []byte {
	if len(f.tail) > 0 {
		dst = append(dst, replacement...)
	}
	f.tail = f.tail[:0]
	return dst
}

// maximalSubpart is the length of the longest beginning of b that could have
// begun a rune, at least 1. b begins with an encoding error.
func maximalSubpart(b []byte) int {
	for n := min(3, len(b)); n > 1; n-- {
		if !utf8.FullRune(b[:n]) {
			return n
		}
	}
	return 1
}

// stopFilter finds stop strings and holds back what could become one. The
// match that ends first wins, and of those the longest, so that the text does
// not depend on where the borders between tokens lie.
type stopFilter struct {
	stops []string
	held  []byte // the longest end of the text that begins a stop string
}

// write appends to dst the text that may leave. Once it reports a stop, what
// it appended is all the text before the stop string, and the rest is dropped.
func (f *stopFilter) write(dst, text []byte) (out []byte, stopped bool) {
	if len(f.stops) == 0 {
		return append(dst, text...), false
	}
	seen := len(f.held)
	f.held = append(f.held, text...)
	for end := seen + 1; end <= len(f.held); end++ {
		if n := f.match(f.held[:end]); n > 0 {
			dst = append(dst, f.held[:end-n]...)
			f.held = f.held[:0]
			return dst, true
		}
	}
	keep := f.partial()
	cut := len(f.held) - keep
	dst = append(dst, f.held[:cut]...)
	f.held = append(f.held[:0], f.held[cut:]...)
	return dst, false
}

// flush appends what was held back: no stop string came of it.
func (f *stopFilter) flush(dst []byte) []byte {
	dst = append(dst, f.held...)
	f.held = f.held[:0]
	return dst
}

// match returns the length of the longest stop string that text ends with.
func (f *stopFilter) match(text []byte) int {
	longest := 0
	for _, s := range f.stops {
		if len(s) > longest && len(s) <= len(text) && string(text[len(text)-len(s):]) == s {
			longest = len(s)
		}
	}
	return longest
}

// partial returns the length of the longest end of held that a stop string
// begins with.
func (f *stopFilter) partial() int {
	longest := 0
	for _, s := range f.stops {
		for n := min(len(s)-1, len(f.held)); n > longest; n-- {
			if string(f.held[len(f.held)-n:]) == s[:n] {
				longest = n
				break
			}
		}
	}
	return longest
}

// trimmer drops the newlines that the format of a think block puts around its
// content.
type trimmer struct {
	leading  bool // at the beginning, where newlines are dropped
	trailing bool // newlines at the end are dropped
	newlines int  // newlines held back until something follows
}

func (t *trimmer) write(dst, text []byte) []byte {
	if t.leading {
		text = bytes.TrimLeft(text, "\n")
		t.leading = len(text) == 0
	}
	if !t.trailing || len(text) == 0 {
		return append(dst, text...)
	}
	body := bytes.TrimRight(text, "\n")
	if len(body) > 0 {
		for range t.newlines {
			dst = append(dst, '\n')
		}
		t.newlines = 0
	}
	t.newlines += len(text) - len(body)
	return append(dst, body...)
}
