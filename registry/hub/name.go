package hub

import (
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/registry"
	"github.com/jeantrail/jeantrail-ai/registry/gguf"
)

// kind is what a file of a model is.
type kind int

const (
	wholeModel kind = iota
	splitPart
	projector
)

// fileName is the name of a file in the models folder. newFileName is the only
// place that makes one.
type fileName struct{ text, model string }

// newFileName makes the name of a model's file from the model's name, which may
// come from outside: part of parts for a split model, both from 1. A projector
// has no .gguf at its end, since it is not a model of its own.
func newFileName(model string, k kind, part, parts int) (fileName, error) {
	if err := registry.CheckName(model); err != nil {
		return fileName{}, err
	}
	if strings.Contains(model, ":") || strings.HasSuffix(model, ".") || splitName.MatchString(model) || reserved.MatchString(model) {
		return fileName{}, jeantrail.Errorf(jeantrail.CodeInvalid, "the model name %q cannot be the name of a file on every system", model).
			WithHint("Choose another name for the model with --name.")
	}
	switch k {
	case splitPart:
		if part < 1 || part > parts || parts > maxParts {
			return fileName{}, jeantrail.Errorf(jeantrail.CodeInvalid, "there is no part %d of %d of a model", part, parts)
		}
		return fileName{gguf.PartPath(model, part, parts), model}, nil
	case projector:
		return fileName{model + projectorEnding, model}, nil
	default:
		return fileName{model + ".gguf", model}, nil
	}
}

// parseFileName reads a name that newFileName made.
func parseFileName(text string) (fileName, error) {
	if model, ok := strings.CutSuffix(text, projectorEnding); ok {
		return newFileName(model, projector, 1, 1)
	}
	stem, ok := strings.CutSuffix(text, ".gguf")
	if !ok {
		return fileName{}, jeantrail.Errorf(jeantrail.CodeInvalid, "%q is not the name of a model's file", text)
	}
	if model, part, parts := splitStem(stem); parts > 1 {
		return newFileName(model, splitPart, part, parts)
	}
	return newFileName(stem, wholeModel, 1, 1)
}

// in returns the path of the file in a folder.
func (n fileName) in(folder string) string { return filepath.Join(folder, n.text) }

func (n fileName) String() string { return n.text }

const projectorEnding = ".mmproj"

// maxParts bounds how many files a split model may have.
const maxParts = gguf.MaxParts

var (
	splitName = regexp.MustCompile(`^(.+)-(\d{5})-of-(\d{5})$`)
	// reserved are the names of devices on Windows, with any ending.
	reserved = regexp.MustCompile(`(?i)^(con|prn|aux|nul|com\d|lpt\d)(\.|$)`)
)

// splitStem takes NAME-00002-of-00005 apart; what is no part of a split model
// is part 1 of 1.
func splitStem(stem string) (name string, part, parts int) {
	m := splitName.FindStringSubmatch(stem)
	if m == nil {
		return stem, 1, 1
	}
	part, _ = strconv.Atoi(m[2]) // five digits each
	parts, _ = strconv.Atoi(m[3])
	return m[1], part, parts
}

// cutGGUF takes the ending off, in whatever case it is written.
func cutGGUF(name string) (stem string, ok bool) {
	const ending = ".gguf"
	if len(name) <= len(ending) || !strings.EqualFold(name[len(name)-len(ending):], ending) {
		return name, false
	}
	return name[:len(name)-len(ending)], true
}
