package workflow

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/jeantrail/jeantrail-ai"
)

// attachment is a file as expressions see it.
type attachment struct {
	MediaType string  `expr:"media_type" json:"media_type"`
	Bytes     int     `expr:"bytes" json:"bytes"`
	Width     int     `expr:"width" json:"width"`
	Height    int     `expr:"height" json:"height"`
	Seconds   float64 `expr:"duration" json:"duration"`

	content jeantrail.File
	input   string // the input that it came in; "" for an artifact
	jobID   string // the job that made it
	index   int    // of that job's artifacts
}

func attach(f jeantrail.File, input string) *attachment {
	return &attachment{MediaType: f.MediaType, Bytes: int(f.Bytes), content: f, input: input}
}

// value is what a parameter is set to: a constant, or what expressions give.
type value struct {
	want     shape
	constant any    // of the type of want, if there are no parts
	parts    []part // texts and expressions that make one text; or one expression
	list     []*value
	uses     []string
}

type part struct {
	text string
	expr *expression // nil for a text
}

// alone returns the only expression of a value that keeps its type.
func (v *value) alone() *expression {
	var only *expression
	for _, p := range v.parts {
		switch {
		case p.expr == nil && strings.TrimSpace(p.text) == "":
		case p.expr == nil || only != nil:
			return nil
		default:
			only = p.expr
		}
	}
	return only
}

// eval returns the value as it is in the scope: string, int64, float64, bool,
// *attachment or []*attachment by its shape, whatever an expression gives for
// shapeAny, and nil if it has none.
func (v *value) eval(scope map[string]any) (any, error) {
	switch {
	case v.list != nil:
		return v.evalList(scope)
	case v.parts == nil:
		return v.constant, nil
	}
	if e := v.alone(); e != nil {
		got, err := e.run(scope)
		if err != nil {
			return nil, err
		}
		converted, ok := convert(got, v.want)
		if !ok {
			return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "{{ %s }} is %s, it must be %s", e.source, describe(got), v.want)
		}
		return converted, nil
	}
	var text strings.Builder
	for _, p := range v.parts {
		text.WriteString(p.text)
		if p.expr == nil {
			continue
		}
		got, err := p.expr.run(scope)
		if err != nil {
			return nil, err
		}
		written, ok := convert(got, shapeText)
		if !ok {
			return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "{{ %s }} is %s, it cannot stand within a text", p.expr.source, describe(got))
		}
		if written != nil {
			text.WriteString(written.(string))
		}
		if text.Len() > jeantrail.MaxPromptBytes {
			return nil, jeantrail.Errorf(jeantrail.CodeTooLarge, "the text is longer than %d bytes", jeantrail.MaxPromptBytes)
		}
	}
	return text.String(), nil
}

func (v *value) evalList(scope map[string]any) (any, error) {
	var files []*attachment
	for _, element := range v.list {
		got, err := element.eval(scope)
		if err != nil {
			return nil, err
		}
		files = append(files, got.([]*attachment)...)
	}
	return files, nil
}

// convert makes a value one of the shape. nil stays nil, but for files, of which
// it is none.
func convert(got any, want shape) (any, bool) {
	if a, ok := got.(*attachment); ok && a == nil {
		got = nil
	}
	if want == shapeFiles {
		return filesOf(got)
	}
	if got == nil || want == shapeAny {
		return got, true
	}
	switch got := got.(type) {
	case string:
		return got, want == shapeText
	case bool:
		return written(got, want, shapeBoolean, strconv.FormatBool(got))
	case int:
		return convertInteger(int64(got), want)
	case int64:
		return convertInteger(got, want)
	case float64:
		if want == shapeInteger && got == math.Trunc(got) && math.Abs(got) <= maxExactInteger {
			return int64(got), true
		}
		return written(got, want, shapeNumber, strconv.FormatFloat(got, 'g', -1, 64))
	case *attachment:
		return got, want == shapeFile
	}
	return nil, false
}

// maxExactInteger is the largest integer up to which a float64 holds every one.
const maxExactInteger = 1 << 53

func convertInteger(got int64, want shape) (any, bool) {
	if want == shapeNumber {
		return float64(got), true
	}
	return written(got, want, shapeInteger, strconv.FormatInt(got, 10))
}

// written is got where its own shape is wanted, and its text where a text is.
func written(got any, want, own shape, text string) (any, bool) {
	if want == shapeText {
		return text, true
	}
	return got, want == own
}

func filesOf(got any) (any, bool) {
	switch got := got.(type) {
	case nil:
		return []*attachment(nil), true
	case *attachment:
		return []*attachment{got}, true
	case []*attachment:
		return got, true
	case []any:
		var files []*attachment
		for _, element := range got {
			f, ok := element.(*attachment)
			if !ok || f == nil {
				return nil, false
			}
			files = append(files, f)
		}
		return files, true
	}
	return nil, false
}

func describe(got any) string {
	switch got.(type) {
	case string:
		return string(shapeText)
	case bool:
		return string(shapeBoolean)
	case int, int64, float64:
		return string(shapeNumber)
	case *attachment:
		return string(shapeFile)
	case []*attachment:
		return string(shapeFiles)
	}
	return string(shapeOther)
}

// fits reports whether an expression of the shape may be what is wanted. What is
// only known when it runs is checked then.
func fits(got, want shape) bool {
	switch {
	case got == shapeAny || want == shapeAny || got == want:
		return true
	case want == shapeText:
		return got == shapeInteger || got == shapeNumber || got == shapeBoolean
	case want == shapeNumber:
		return got == shapeInteger
	case want == shapeFiles:
		return got == shapeFile || got == shapeOther
	}
	return false
}

// atKey puts the field in front of an error's message.
func atKey(field string, err error) error {
	e := *jeantrail.AsError(err)
	e.Message = fmt.Sprintf("%s: %s", field, e.Message)
	return &e
}
