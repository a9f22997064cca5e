package media

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/jeantrail/jeantrail-ai"
)

// The longest that speech takes, for what is held for a job before it is spoken:
// several times what is usual. A voice says about 15 letters of an alphabet in a
// second, 4 or 5 syllables of those scripts that write them, and reads a digit
// or a sign out as a word.
const (
	perLetter   = 250 * time.Millisecond
	perSyllable = 600 * time.Millisecond // letters of scripts that are no alphabets
	perSign     = 800 * time.Millisecond // digits, symbols and punctuation, with its pause
	perSpace    = 100 * time.Millisecond
	silence     = 5 * time.Second // around it
)

// speakCraft reads text out. The artifact is a WAV file, whatever the worker can
// make beside that.
func speakCraft() *craft {
	return &craft{
		prepare: prepareSpeak,
		dialects: map[string]func(context.Context, *call) error{
			dialectOpenAI: openAISpeech,
			dialectCoqui:  coquiSpeech,
		},
	}
}

func prepareSpeak(_ context.Context, w *Worker, req *jeantrail.Request, dialect string) (jeantrail.Bounds, error) {
	s := req.Speak
	if s == nil {
		return jeantrail.Bounds{}, jeantrail.Errorf(jeantrail.CodeInvalid, "the request says nothing about speech")
	}
	if !strings.ContainsFunc(s.Text, speakable) {
		return jeantrail.Bounds{}, jeantrail.Errorf(jeantrail.CodeInvalid, "there is nothing in the text that can be spoken").
			WithHint("Send text with letters or digits, not only spaces and punctuation.")
	}
	if err := w.speakRefuses(s, dialect, w.knows()); err != nil {
		return jeantrail.Bounds{}, err
	}
	return jeantrail.Bounds{AudioOut: longestSpeech(s)}, nil
}

// speakable reports whether a voice makes a sound of a character.
func speakable(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsSymbol(r) }

// longestSpeech is the most that the text can take to be spoken.
func longestSpeech(s *jeantrail.SpeakRequest) time.Duration {
	var sum time.Duration
	for _, r := range s.Text {
		switch {
		case unicode.IsSpace(r):
			sum += perSpace
		case unicode.In(r, unicode.Latin, unicode.Greek, unicode.Cyrillic, unicode.Armenian, unicode.Georgian, unicode.Hebrew, unicode.Arabic):
			sum += perLetter
		case unicode.IsLetter(r):
			sum += perSyllable
		case unicode.IsMark(r): // of the letter before it
		default:
			sum += perSign
		}
	}
	if s.Speed != nil {
		sum = time.Duration(float64(sum) / *s.Speed)
	}
	return (sum + silence).Round(time.Millisecond)
}

// speakRefuses says what a dialect has no field for; what is asked for and would
// be ignored is an error. With an unknown dialect nothing is refused.
func (w *Worker) speakRefuses(s *jeantrail.SpeakRequest, dialect string, k knowledge) error {
	switch {
	case dialect == dialectCoqui && s.Speed != nil && *s.Speed != 1:
		return jeantrail.Errorf(jeantrail.CodeUnsupported, "the worker %s speaks the coqui dialect, which has no speed", w.opts.Name).
			WithHint("Leave speed out, or set the worker's dialect to openai if it is the maintained server.")
	case dialect == dialectOpenAI && s.Language != "" && k.flavour != "":
		if _, _, ok := speechLanguage(s.Language, k); !ok {
			return jeantrail.Errorf(jeantrail.CodeUnsupported, "the worker %s cannot be told the language %s", w.opts.Name, s.Language).
				WithHint("Leave language out and choose a voice that speaks it.")
		}
	}
	return nil
}

// speechLanguage returns the field that names a language in a request, and how
// the language is called there.
func speechLanguage(language string, k knowledge) (field, value string, ok bool) {
	switch {
	case k.flavour == flavourLocalAI:
		return "language", language, true
	case slices.Contains(k.all, "kokoro"):
		value, ok = kokoroLanguages[strings.ReplaceAll(strings.ToLower(language), "_", "-")]
		return "lang_code", value, ok
	}
	return "", "", false
}

// kokoroLanguages are Kokoro's own codes.
var kokoroLanguages = map[string]string{
	"en": "a", "en-us": "a", "en-gb": "b", "es": "e", "fr": "f", "fr-fr": "f", "hi": "h", "it": "i",
	"pt": "p", "pt-br": "p", "ja": "j", "zh": "z", "zh-cn": "z",
}

// openAISpeech asks a server of OpenAI's dialect. It is not asked to stream: it
// would say that all is well before it has begun.
func openAISpeech(ctx context.Context, c *call) error {
	s, known := c.req.Speak, c.known
	if known.flavour == "" { // it hides what it is
		known.flavour = flavourPlain
	}
	if err := c.worker.speakRefuses(s, dialectOpenAI, known); err != nil {
		return err
	}
	order := map[string]any{"input": strings.TrimSpace(s.Text), "response_format": "wav", "stream": false}
	for field, value := range map[string]string{"model": c.model(), "voice": s.Voice} {
		if value != "" {
			order[field] = value
		}
	}
	if s.Speed != nil {
		order["speed"] = *s.Speed
	}
	if s.Language != "" {
		field, value, _ := speechLanguage(s.Language, known)
		order[field] = value
	}
	q, err := jsonQuery("/v1/audio/speech", order)
	if err != nil {
		return err
	}
	return c.speak(ctx, q)
}

// maxAddress is how long an address may be that has the text in it.
const maxAddress = 4 << 10

// coquiSpeech asks Coqui's server in its own dialect. Its fields for files are
// never sent: it would open them.
func coquiSpeech(ctx context.Context, c *call) error {
	s := c.req.Speak
	if err := c.worker.speakRefuses(s, dialectCoqui, c.known); err != nil {
		return err
	}
	values := url.Values{"text": {strings.TrimSpace(s.Text)}}
	if s.Voice != "" {
		values.Set("speaker_id", s.Voice)
	}
	if s.Language != "" {
		values.Set("language_id", s.Language)
	}
	form := values.Encode()
	err := c.speak(ctx, query{
		method: http.MethodPost, path: "/api/tts", contentType: "application/x-www-form-urlencoded", body: strings.NewReader(form), length: int64(len(form)),
	})
	var e *jeantrail.Error
	if errors.As(err, &e) && e.Numbers["worker_status"] == http.StatusMethodNotAllowed && len(form) <= maxAddress {
		return c.speak(ctx, query{path: "/api/tts", values: values}) // the first versions
	}
	return err
}
