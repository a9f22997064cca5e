package chat

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// FormatJSON writes a JSON value as the tojson filter of llama.cpp's Jinja
// engine does: ", " and ": " between items, the order of keys kept, no escape
// that JSON does not need. Each string, keys included, passes through change;
// nil leaves them alone.
//
// Numbers deviate in one point: llama.cpp prints fractions with six digits,
// which changes 3.14159265; here a number that six digits cannot hold keeps all
// of its own.
func FormatJSON(text string, change func(string) string) (string, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	f := formatter{decoder: d, change: change}
	if err := f.value(); err != nil {
		return "", fmt.Errorf("format JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return "", errors.New("format JSON: there is something after the value")
	}
	return f.out.String(), nil
}

// maxDepth is the deepest nesting that encoding/json itself accepts; Token does
// not hold to it, and the stack of this process depends on it.
const maxDepth = 10000

type formatter struct {
	decoder *json.Decoder
	depth   int
	change  func(string) string
	out     bytes.Buffer
}

// value copies one value. The decoder checks the syntax.
func (f *formatter) value() error {
	token, err := f.decoder.Token()
	if err != nil {
		return err
	}
	switch t := token.(type) {
	case json.Delim:
		return f.container(t)
	case string:
		f.text(t)
	case json.Number:
		f.out.WriteString(formatNumber(t))
	case bool:
		f.out.WriteString(strconv.FormatBool(t))
	default:
		f.out.WriteString("null")
	}
	return nil
}

func (f *formatter) container(open json.Delim) error {
	if f.depth++; f.depth > maxDepth {
		return fmt.Errorf("it is nested deeper than %d levels", maxDepth)
	}
	defer func() { f.depth-- }()
	f.out.WriteString(open.String())
	for first := true; f.decoder.More(); first = false {
		if !first {
			f.out.WriteString(", ")
		}
		if open == '{' {
			if err := f.value(); err != nil {
				return err
			}
			f.out.WriteString(": ")
		}
		if err := f.value(); err != nil {
			return err
		}
	}
	end, err := f.decoder.Token()
	if err != nil {
		return err
	}
	f.out.WriteString(end.(json.Delim).String())
	return nil
}

func (f *formatter) text(s string) {
	if f.change != nil {
		s = f.change(s)
	}
	f.out.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; c {
		case '"', '\\':
			f.out.WriteByte('\\')
			f.out.WriteByte(c)
		case '\b':
			f.out.WriteString(`\b`)
		case '\f':
			f.out.WriteString(`\f`)
		case '\n':
			f.out.WriteString(`\n`)
		case '\r':
			f.out.WriteString(`\r`)
		case '\t':
			f.out.WriteString(`\t`)
		default:
			if c < 0x20 {
				fmt.Fprintf(&f.out, `\u%04x`, c)
			} else {
				f.out.WriteByte(c)
			}
		}
	}
	f.out.WriteByte('"')
}

func formatNumber(n json.Number) string {
	if i, err := n.Int64(); err == nil {
		return strconv.FormatInt(i, 10)
	}
	v, err := n.Float64()
	if err != nil || !strings.ContainsAny(n.String(), ".eE") {
		return n.String() // an integer beyond 64 bits, or a number beyond a double
	}
	// Six digits are C++'s default for streams.
	short := strconv.FormatFloat(v, 'g', 6, 64)
	if back, err := strconv.ParseFloat(short, 64); err == nil && back == v {
		return short
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}
