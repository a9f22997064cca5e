package media

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/media/audio"
	"github.com/jeantrail/jeantrail-ai/media/subtitle"
)

// What is read of an answer. A word with its times and numbers takes some
// hundred bytes, an hour of speech has ten thousand.
const (
	maxHeard   = 128 << 20
	maxSegment = 4 << 20
	maxSpoken  = 16 << 20 // bytes of the whole text
	maxWordsAt = 64 << 10 // bytes of one word of those that stand beside the segments
)

// hearing is what a worker heard.
type hearing struct {
	text     string
	language string
	length   time.Duration // of the audio, as the worker says; 0 if it does not
	segments []jeantrail.TranscriptSegment
	problem  string // of a worker that says that all is well, and then what is not

	told  bool                       // there is a text, though it may be empty
	words []jeantrail.TranscriptWord // of servers that have them beside the segments
}

// hear sends the request's audio with a form, and reads the answer. The file goes
// from the disk to the connection; it has a name that says what it is and nothing
// of where it came from.
func (c *call) hear(ctx context.Context, q query, f form) (*hearing, error) {
	file, err := c.worker.opts.Files.Open(c.req.Transcribe.Audio)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if err := f.dress(&q, file); err != nil {
		return nil, err
	}
	q.method, q.accept, q.limit = http.MethodPost, "application/json", maxHeard
	a, err := c.do(ctx, q)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	h := &hearing{}
	err = h.read(newScan(a))
	switch {
	case err == nil:
		return h, nil
	case errors.Is(err, errNoTranscript) && h.problem != "":
		return nil, c.unreadable("sent no transcript, but says: %s", h.problem)
	}
	return nil, c.garbled(ctx, a, err)
}

// dress makes the query's body of the fields and the file. Its length is known:
// not every server takes a body in pieces.
func (f *form) dress(q *query, file io.ReadSeeker) error {
	format, err := audio.FormatOf(file)
	if err != nil {
		return err
	}
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	var head bytes.Buffer
	w := multipart.NewWriter(&head)
	for _, field := range f.fields {
		if err := w.WriteField(field[0], field[1]); err != nil {
			return err
		}
	}
	_, err = w.CreatePart(textproto.MIMEHeader{
		"Content-Disposition": {multipart.FileContentDisposition(f.file, "audio."+string(format))},
		"Content-Type":        {format.MediaType()},
	})
	if err != nil {
		return err
	}
	before := head.Len()
	if err := w.Close(); err != nil {
		return err
	}
	all := head.Bytes()
	q.body = io.MultiReader(bytes.NewReader(all[:before]), io.LimitReader(file, size), bytes.NewReader(all[before:]))
	q.length, q.contentType = int64(len(all))+size, w.FormDataContentType()
	return nil
}

// spokenWord is a word as the dialects write it.
type spokenWord struct {
	Word  string  `json:"word"`
	Start float64 `json:"start"` // in seconds
	End   float64 `json:"end"`
}

// read reads an answer in any of the dialects' JSON.
func (h *hearing) read(s *scan) error {
	err := s.object(func(key string) error { return h.member(s, key) })
	if err == nil {
		err = s.end()
	}
	if err != nil {
		return err
	}
	if !h.told && h.segments == nil {
		return errNoTranscript
	}
	h.spread()
	if h.text = tidy(h.text); h.text == "" {
		h.text = subtitle.Text(h.segments)
	}
	return nil
}

func (h *hearing) member(s *scan, key string) error {
	c, err := s.next()
	switch {
	case err != nil:
		return err
	case key == "text" && c == '"':
		h.told = true
		h.text, err = s.text(maxSpoken)
		return err
	case key == "language" && c == '"':
		h.language, err = s.text(maxModelName)
		return err
	case key == "duration":
		return h.duration(s)
	case key == "usage" && c == '{':
		return s.object(func(key string) error {
			if key != "seconds" || h.length > 0 {
				return s.skip()
			}
			return h.duration(s)
		})
	case key == "error", key == "detail":
		var said any
		err := s.value(&said, maxProblem)
		h.problem = plain(message(said), maxWords)
		return err
	case key == "segments" && c == '[':
		return s.array(func() error { return h.segment(s) })
	case key == "words" && c == '[':
		return s.array(func() error {
			var w spokenWord
			err := s.value(&w, maxWordsAt)
			h.words = append(h.words, w.known())
			return err
		})
	}
	return s.skip()
}

// errNoTranscript is JSON that is no answer to the question.
var errNoTranscript = errors.Join(errSyntax, errors.New("no transcript in it"))

// duration reads seconds, which some servers write as a string.
func (h *hearing) duration(s *scan) error {
	var said any
	err := s.value(&said, maxModelName)
	switch n := said.(type) {
	case float64:
		h.length = seconds(n)
	case string:
		if f, err := strconv.ParseFloat(n, 64); err == nil {
			h.length = seconds(f)
		}
	}
	return err
}

func (h *hearing) segment(s *scan) error {
	var one struct {
		Text  string       `json:"text"`
		Start float64      `json:"start"` // in seconds
		End   float64      `json:"end"`
		Words []spokenWord `json:"words"`
	}
	if err := s.value(&one, maxSegment); err != nil {
		return err
	}
	segment := jeantrail.TranscriptSegment{Start: seconds(one.Start), End: seconds(one.End), Text: tidy(one.Text)}
	for _, w := range one.Words {
		segment.Words = append(segment.Words, w.known())
	}
	h.segments = append(h.segments, segment)
	return nil
}

// spread gives the words to the segments in whose time they begin.
func (h *hearing) spread() {
	if len(h.segments) == 0 || slices.ContainsFunc(h.segments, func(s jeantrail.TranscriptSegment) bool { return len(s.Words) > 0 }) {
		return
	}
	at := 0
	for _, w := range h.words {
		for at+1 < len(h.segments) && w.Start >= h.segments[at+1].Start {
			at++
		}
		h.segments[at].Words = append(h.segments[at].Words, w)
	}
}

func (w spokenWord) known() jeantrail.TranscriptWord {
	return jeantrail.TranscriptWord{Start: seconds(w.Start), End: seconds(w.End), Text: tidy(w.Word)}
}

// seconds makes a time of what a worker says, in whole milliseconds and within
// what audio can last.
func seconds(s float64) time.Duration {
	if !(s > 0) { // also what is no number
		return 0
	}
	return time.Duration(math.Round(min(s, audio.MaxDuration.Seconds())*1000)) * time.Millisecond
}

// tidy returns text without space around it and its lines, with plain ends of
// lines.
func tidy(text string) string {
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(strings.ToValidUTF8(text, "\uFFFD"))
	if !strings.Contains(text, "\n") {
		return strings.TrimSpace(text)
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return strings.TrimSpace(strings.Join(lines, "\n"))
}
