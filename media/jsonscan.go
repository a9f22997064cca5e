package media

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf16"
	"unicode/utf8"
)

// maxNesting is how deep an answer's JSON may be.
const maxNesting = 64

// errSyntax is a syntax error in JSON.
var errSyntax = errors.New("not JSON")

// scan reads JSON as it comes and holds none of it: encoding/json would keep a
// string of 50 MB whole. Each value must be read or skipped before the next.
type scan struct {
	in    *bufio.Reader
	depth int
}

func newScan(r io.Reader) *scan { return &scan{in: bufio.NewReaderSize(r, 32<<10)} }

// next returns the first byte of what follows, without taking it.
func (s *scan) next() (byte, error) {
	for {
		c, err := s.in.ReadByte()
		if err != nil {
			return 0, early(err)
		}
		switch c {
		case ' ', '\t', '\n', '\r':
			continue
		}
		return c, s.in.UnreadByte()
	}
}

// early says that the text ended too soon.
func early(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// take takes one byte that must be there.
func (s *scan) take(want byte) error {
	c, err := s.next()
	if err != nil {
		return err
	}
	if c != want {
		return fmt.Errorf("%w: %q instead of %q", errSyntax, c, want)
	}
	_, err = s.in.ReadByte()
	return err
}

// list goes through what stands between two brackets, separated by commas.
func (s *scan) list(open, shut byte, each func() error) error {
	if err := s.take(open); err != nil {
		return err
	}
	if s.depth++; s.depth > maxNesting {
		return fmt.Errorf("%w: nested more than %d deep", errSyntax, maxNesting)
	}
	defer func() { s.depth-- }()
	for first := true; ; first = false {
		c, err := s.next()
		if err != nil {
			return err
		}
		if c == shut {
			return s.take(shut)
		}
		if !first {
			if err := s.take(','); err != nil {
				return err
			}
		}
		if err := each(); err != nil {
			return err
		}
	}
}

// object goes through the members of an object. each must read or skip the value.
func (s *scan) object(each func(key string) error) error {
	return s.list('{', '}', func() error {
		key, err := s.text(1 << 10)
		if err != nil {
			return err
		}
		if err := s.take(':'); err != nil {
			return err
		}
		return each(key)
	})
}

// array goes through an array. each must read or skip the element.
func (s *scan) array(each func() error) error { return s.list('[', ']', each) }

// end reports whether nothing follows.
func (s *scan) end() error {
	c, err := s.next()
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("%w: %q after the end", errSyntax, c)
}

// value reads any value into v, if it has no more than so many bytes.
func (s *scan) value(v any, limit int) error {
	var kept capped
	kept.left = limit
	if err := s.copy(&kept); err != nil {
		return err
	}
	if err := json.Unmarshal(kept.text, v); err != nil {
		return fmt.Errorf("%w: %v", errSyntax, err)
	}
	return nil
}

// text reads a string of at most so many bytes.
func (s *scan) text(limit int) (string, error) {
	r, err := s.chars()
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if err != nil {
		return "", err
	}
	if len(b) > limit {
		return "", fmt.Errorf("%w: a string of more than %d bytes", errSyntax, limit)
	}
	return string(b), nil
}

// skip passes over a value of any size.
func (s *scan) skip() error { return s.copy(io.Discard) }

// copy writes a value as it stands, without checking what is between its ends.
func (s *scan) copy(to io.Writer) error {
	if _, err := s.next(); err != nil {
		return err
	}
	out := bufio.NewWriterSize(to, 4<<10)
	depth, quoted, escaped := 0, false, false
	for {
		c, err := s.in.ReadByte()
		if err != nil {
			return early(err)
		}
		switch {
		case escaped:
			escaped = false
		case quoted:
			escaped, quoted = c == '\\', c != '"'
		case c == '"':
			quoted = true
		case c == '{' || c == '[':
			depth++
		case (c == '}' || c == ']' || c == ',') && depth == 0: // the end of a number or word
			if err := s.in.UnreadByte(); err != nil {
				return err
			}
			return out.Flush()
		case c == '}' || c == ']':
			depth--
		}
		if err := out.WriteByte(c); err != nil {
			return err
		}
		if depth == 0 && !quoted && (c == '"' || c == '}' || c == ']') {
			return out.Flush()
		}
	}
}

// capped keeps what is written, up to a size.
type capped struct {
	text []byte
	left int
}

func (c *capped) Write(p []byte) (int, error) {
	if c.left -= len(p); c.left < 0 {
		return 0, fmt.Errorf("%w: a value that is too large", errSyntax)
	}
	c.text = append(c.text, p...)
	return len(p), nil
}

// chars returns what is in the string that follows, which must be read to its
// end.
func (s *scan) chars() (io.Reader, error) {
	if err := s.take('"'); err != nil {
		return nil, err
	}
	return &chars{in: s.in}, nil
}

// chars reads a string's content, its escapes resolved, up to the quote.
type chars struct {
	in   *bufio.Reader
	rest []byte // of a character that did not fit
	done bool
}

func (c *chars) Read(p []byte) (n int, err error) {
	n = copy(p, c.rest)
	c.rest = c.rest[n:]
	for n < len(p) && !c.done {
		piece, err := c.in.Peek(max(1, min(c.in.Buffered(), len(p)-n)))
		if err != nil {
			return n, early(err)
		}
		size := 0
		for size < len(piece) && piece[size] != '"' && piece[size] != '\\' && piece[size] >= ' ' {
			size++
		}
		n += copy(p[n:], piece[:size])
		if _, err := c.in.Discard(size); err != nil {
			return n, err
		}
		if size < len(piece) {
			if err := c.special(); err != nil {
				return n, err
			}
			k := copy(p[n:], c.rest)
			n, c.rest = n+k, c.rest[k:]
		}
	}
	if n == 0 && c.done && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// special takes the quote at the end, or an escape.
func (c *chars) special() error {
	b, err := c.in.ReadByte()
	switch {
	case err != nil:
		return early(err)
	case b == '"':
		c.done = true
		return nil
	case b != '\\':
		return fmt.Errorf("%w: a control character in a string", errSyntax)
	}
	if b, err = c.in.ReadByte(); err != nil {
		return early(err)
	}
	switch b {
	case '"', '\\', '/':
		c.rest = []byte{b}
	case 'b':
		c.rest = []byte{'\b'}
	case 'f':
		c.rest = []byte{'\f'}
	case 'n':
		c.rest = []byte{'\n'}
	case 'r':
		c.rest = []byte{'\r'}
	case 't':
		c.rest = []byte{'\t'}
	case 'u':
		return c.unicode()
	default:
		return fmt.Errorf("%w: an escape \\%c", errSyntax, b)
	}
	return nil
}

// unicode takes the digits of an escape, and its second half if it is one of two.
func (c *chars) unicode() error {
	r, err := c.digits()
	if err != nil {
		return err
	}
	if utf16.IsSurrogate(r) {
		second := rune(utf8.RuneError)
		if next, err := c.in.Peek(2); err == nil && string(next) == `\u` {
			_, _ = c.in.Discard(2)
			if second, err = c.digits(); err != nil {
				return err
			}
		}
		r = utf16.DecodeRune(r, second)
	}
	c.rest = utf8.AppendRune(nil, r)
	return nil
}

func (c *chars) digits() (rune, error) {
	var hex [4]byte
	if _, err := io.ReadFull(c.in, hex[:]); err != nil {
		return 0, early(err)
	}
	var r rune
	for _, d := range hex {
		switch {
		case d >= '0' && d <= '9':
			r = r<<4 | rune(d-'0')
		case d|0x20 >= 'a' && d|0x20 <= 'f':
			r = r<<4 | rune(d|0x20-'a'+10)
		default:
			return 0, fmt.Errorf("%w: an escape with %q", errSyntax, d)
		}
	}
	return r, nil
}
