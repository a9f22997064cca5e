package gguf

import (
	"fmt"
	"strconv"
	"strings"
)

// MaxParts is how many files a model may be split into.
const MaxParts = 999

// partEnding is the form of what follows the prefix of a part's name.
const partEnding = "-00000-of-00000.gguf"

// PartPath returns the path of a part of a split model, counted from 1:
// PREFIX-00002-of-00003.gguf. llama.cpp finds the parts by these names.
func PartPath(prefix string, part, parts int) string {
	return fmt.Sprintf("%s-%05d-of-%05d.gguf", prefix, part, parts)
}

// ParsePart takes the path of a part apart; ok is false if it is none. Names are
// compared exactly, as llama.cpp does on every system: .GGUF is another ending.
func ParsePart(path string) (prefix string, part, parts int, ok bool) {
	at := len(path) - len(partEnding)
	if at < 1 || strings.IndexByte(`/\`, path[at-1]) >= 0 {
		return "", 0, 0, false
	}
	for i, want := range []byte(partEnding) {
		c := path[at+i]
		if want == '0' && (c < '0' || c > '9') || want != '0' && c != want {
			return "", 0, 0, false
		}
	}
	part, _ = strconv.Atoi(path[at+1 : at+6]) // five digits each
	parts, _ = strconv.Atoi(path[at+10 : at+15])
	return path[:at], part, parts, part >= 1 && part <= parts
}

// PartPaths returns the paths of all files of the model at path, in order, by its
// name alone: path itself, or all parts if it is the first one. The error for
// another part is an *Error that names the first.
func PartPaths(path string) ([]string, error) {
	prefix, part, parts, ok := ParsePart(path)
	switch {
	case !ok:
		return []string{path}, nil
	case part != 1:
		return nil, refuse(ReasonSplit, "the file is part %d of a model split into %d files", part, parts).
			hint("Name the first part, and the others are found beside it: %s", PartPath(prefix, 1, parts))
	case parts > MaxParts:
		return nil, refuse(ReasonLimit, "the name claims %d parts, the limit is %d", parts, MaxParts).
			hint("Join the parts with \"llama-gguf-split --merge FIRST-PART OUTPUT\", then give the output.")
	}
	paths := make([]string, parts)
	for i := range paths {
		paths[i] = PartPath(prefix, i+1, parts)
	}
	return paths, nil
}
