package engine

import (
	"crypto/rand"
	"strconv"
	"strings"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/engine/chat"
)

// imageMarks stand for the images of one request while a template renders its
// messages. They have a random word in them, so that no caller can write one.
type imageMarks struct {
	open string // how every mark begins
	n    int
}

func newImageMarks(n int) imageMarks {
	return imageMarks{open: markBegin + rand.Text() + ":", n: n}
}

func (m imageMarks) mark(i int) string { return m.open + strconv.Itoa(i) + markEnd }

// place puts the marks before the last words of the user, which is where
// conversations with one picture have it in models' training.
func (m imageMarks) place(messages []chat.Message) error {
	if m.n == 0 {
		return nil
	}
	for i := len(messages) - 1; i >= 0; i-- {
		if messages[i].Role != "user" {
			continue
		}
		var all strings.Builder
		for k := range m.n {
			all.WriteString(m.mark(k))
		}
		messages[i].Content = all.String() + messages[i].Content
		return nil
	}
	return jeantrail.Errorf(jeantrail.CodeInvalid, "there are images, and no message of the user to put them before").
		WithHint(`Add a message with the role user that says what to do with them.`)
}

// cut takes the text before the first mark off. image is -1 if there is no mark.
func (m imageMarks) cut(text string) (before string, image int, rest string) {
	if m.n == 0 {
		return text, -1, ""
	}
	begin := strings.Index(text, m.open)
	if begin < 0 {
		return text, -1, ""
	}
	number, rest, ended := strings.Cut(text[begin+len(m.open):], markEnd)
	image, err := strconv.Atoi(number)
	if err != nil || !ended || image < 0 || image >= m.n {
		return text, -1, "" // a template cut the mark up; that an image is missing is seen at the end
	}
	return text[:begin], image, rest
}

// tokenizer collects the rows of a prompt.
type tokenizer struct {
	vocab *vocabulary
	out   history
	text  strings.Builder // since the last control token or image
}

// flush tokenises the text that was collected.
func (t *tokenizer) flush(special bool) error {
	if t.text.Len() == 0 {
		return nil
	}
	more, err := t.vocab.Tokenize(t.text.String(), special)
	t.text.Reset()
	t.out.tokens = append(t.out.tokens, more...)
	if err != nil {
		return jeantrail.Errorf(jeantrail.CodeInvalid, "tokenize prompt: %w", err)
	}
	return nil
}

// segment adds a segment without images. A marked one that the vocabulary does
// not have as one token is text.
func (t *tokenizer) segment(s chat.Segment) error {
	if s.Text == "" { // a vocabulary may have a token without text
		return nil
	}
	if !s.Special {
		t.text.WriteString(s.Text)
		return nil
	}
	if id, ok := t.vocab.Lookup(s.Text); ok {
		if err := t.flush(false); err != nil {
			return err
		}
		t.out.tokens = append(t.out.tokens, id)
		return nil
	}
	if !t.vocab.containsControl(s.Text) {
		t.text.WriteString(s.Text)
		return nil
	}
	if err := t.flush(false); err != nil {
		return err
	}
	t.text.WriteString(s.Text)
	return t.flush(true)
}

// tokenize turns segments to rows. Text between control tokens and images is
// tokenised as one piece, since a tokeniser's merges cross the borders of
// segments. Every image must come once, in order.
func (e *Engine) tokenize(segments []chat.Segment, marks imageMarks, images layouts) (history, error) {
	t := &tokenizer{vocab: e.vocab}
	bos, hasBOS := e.vocab.BOS()
	if hasBOS {
		t.out.tokens = append(t.out.tokens, bos)
	}
	next := 0 // the image that must come next
	for _, s := range segments {
		for image := 0; image >= 0; {
			var before string
			before, image, s.Text = marks.cut(s.Text)
			if err := t.segment(chat.Segment{Text: before, Special: s.Special}); err != nil {
				return history{}, err
			}
			if image < 0 {
				break
			}
			if image != next {
				return history{}, e.misplaced()
			}
			if err := t.flush(false); err != nil {
				return history{}, err
			}
			images.append(&t.out, image)
			next++
		}
	}
	if err := t.flush(false); err != nil {
		return history{}, err
	}
	if next != marks.n {
		return history{}, e.misplaced()
	}
	// A template may write the BOS token itself.
	if hasBOS && len(t.out.tokens) > 1 && t.out.tokens[1] == bos {
		t.out.tokens = t.out.tokens[1:]
		for i := range t.out.images {
			t.out.images[i].at--
		}
	}
	return t.out, nil
}

// misplaced is the error of a template that does not leave words as they are.
func (e *Engine) misplaced() error {
	return jeantrail.Errorf(jeantrail.CodeUnsupported, "the chat template of the model %s does not keep the images in their place", e.opts.Model).
		WithHint("Use a model file whose chat template was made for images.")
}
