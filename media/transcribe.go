package media

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/media/audio"
	"github.com/jeantrail/jeantrail-ai/media/subtitle"
)

// maxASRPrompt is the most bytes of a prompt for the asr dialect, which has it
// in the address.
const maxASRPrompt = 2 << 10

// A worker's count of seconds may differ by so much from ours, or by one in
// fifty, before it is worth a line in the log.
const fairDifference = time.Second

// transcribeCraft writes down speech. Times are asked of every worker, whatever
// form the answer is wanted in, and the form is made here.
func transcribeCraft() *craft {
	return &craft{
		prepare: prepareTranscribe,
		dialects: map[string]func(context.Context, *call) error{
			dialectWhisper: whisperTranscript,
			dialectOpenAI:  openAITranscript,
			dialectASR:     asrTranscript,
		},
	}
}

// prepareTranscribe measures the audio: what a job can cost is known before
// anybody hears it.
func prepareTranscribe(_ context.Context, w *Worker, req *jeantrail.Request, dialect string) (jeantrail.Bounds, error) {
	t := req.Transcribe
	if t == nil {
		return jeantrail.Bounds{}, jeantrail.Errorf(jeantrail.CodeInvalid, "the request says nothing about speech to write down")
	}
	if err := w.transcribeRefuses(t, dialect); err != nil {
		return jeantrail.Bounds{}, err
	}
	if w.opts.Files == nil {
		return jeantrail.Bounds{}, jeantrail.Errorf(jeantrail.CodeInternal, "the worker %s has nowhere to read audio from", w.opts.Name)
	}
	file, err := w.opts.Files.Open(t.Audio)
	if err != nil {
		return jeantrail.Bounds{}, err
	}
	defer file.Close()
	info, err := audio.Identify(file)
	if err != nil {
		return jeantrail.Bounds{}, err
	}
	return jeantrail.Bounds{AudioIn: (info.Duration + time.Millisecond - 1).Truncate(time.Millisecond), Exact: true}, nil
}

// transcribeRefuses says what a dialect has no field for; what is asked for and
// would be ignored is an error. With an unknown dialect nothing is refused.
func (w *Worker) transcribeRefuses(t *jeantrail.TranscribeRequest, dialect string) error {
	field := ""
	switch {
	case dialect == dialectASR && t.Temperature != nil:
		field = "temperature"
	case dialect == dialectASR && len(t.Prompt) > maxASRPrompt:
		return jeantrail.Errorf(jeantrail.CodeTooLarge, "the prompt has %d bytes, the worker %s takes %d at most", len(t.Prompt), w.opts.Name, maxASRPrompt).
			WithHint("A few names are enough; Whisper reads the last words only.")
	case dialect == dialectOpenAI && t.Translate && t.Language != "":
		field = "language for a translation"
	}
	if field == "" {
		return nil
	}
	return jeantrail.Errorf(jeantrail.CodeUnsupported, "the worker %s speaks the %s dialect, which has no %s", w.opts.Name, dialect, field).
		WithHint("Leave it out.")
}

// whisperTranscript asks whisper.cpp. It gives up when the connection is closed.
func whisperTranscript(ctx context.Context, c *call) error {
	t := c.req.Transcribe
	f := form{file: "file", fields: [][2]string{
		{"response_format", "verbose_json"},
		{"language", "auto"}, // its own default is English
		{"no_language_probabilities", "true"},
	}}
	if t.Language != "" {
		f.fields[1][1] = t.Language
	}
	if t.Translate {
		f.add("translate", "true")
	}
	f.add("prompt", t.Prompt)
	f.addNumber("temperature", t.Temperature)
	heard, err := c.hear(ctx, query{path: "/inference"}, f)
	var e *jeantrail.Error
	if errors.As(err, &e) && e.Numbers["worker_status"] == http.StatusBadRequest {
		// Its only reason for this status: it cannot decode the file.
		e.Code = jeantrail.CodeUnsupportedMedia
		_ = e.WithHint("Send WAV, FLAC or MP3, or start whisper-server with --convert, which reads more.")
	}
	if err != nil {
		return err
	}
	return c.transcribed(heard)
}

// openAITranscript asks a server of OpenAI's dialect. One that has no times to
// tell is asked without them.
func openAITranscript(ctx context.Context, c *call) error {
	t := c.req.Transcribe
	if err := c.worker.transcribeRefuses(t, dialectOpenAI); err != nil {
		return err
	}
	q := query{path: "/v1/audio/transcriptions"}
	if t.Translate {
		q.path = "/v1/audio/translations"
	}
	var heard *hearing
	for _, format := range []string{"verbose_json", "json"} {
		f := form{file: "file", fields: [][2]string{{"response_format", format}}}
		f.add("model", c.model())
		f.add("language", t.Language)
		f.add("prompt", t.Prompt)
		f.addNumber("temperature", t.Temperature)
		var err error
		if heard, err = c.hear(ctx, q, f); err == nil {
			break
		}
		if format == "json" || !refusesFormat(err) {
			return err
		}
	}
	return c.transcribed(heard)
}

// refusesFormat reports whether a server does not know a form of answer. Some
// call that a failure of theirs.
func refusesFormat(err error) bool {
	var e *jeantrail.Error
	if !errors.As(err, &e) {
		return false
	}
	status, said := e.Numbers["worker_status"], strings.ToLower(e.Message)
	return status >= 400 && (strings.Contains(said, "format") || strings.Contains(said, "verbose")) && !strings.Contains(said, "audio format")
}

// asrTranscript asks whisper-asr-webservice, which has its parameters in the
// address.
func asrTranscript(ctx context.Context, c *call) error {
	t := c.req.Transcribe
	if err := c.worker.transcribeRefuses(t, dialectASR); err != nil {
		return err
	}
	q := query{path: "/asr", values: url.Values{"output": {"json"}, "task": {"transcribe"}, "encode": {"true"}}}
	if t.Translate {
		q.values.Set("task", "translate")
	}
	if t.Language != "" {
		q.values.Set("language", t.Language)
	}
	if t.Prompt != "" {
		q.values.Set("initial_prompt", t.Prompt)
	}
	heard, err := c.hear(ctx, q, form{file: "audio_file"})
	if err != nil {
		return err
	}
	return c.transcribed(heard)
}

// transcribed makes the result of what a worker heard. It is charged by the
// length of the audio, which Prepare has measured.
func (c *call) transcribed(h *hearing) error {
	measured := c.bounds.AudioIn
	if h.length > 0 && (h.length-measured).Abs() > max(fairDifference, measured/50) {
		c.worker.opts.Logger.Warn("a worker counts other seconds of audio than are there",
			"worker", c.client.worker, "measured", measured, "counted", h.length)
	}
	t := c.req.Transcribe
	if (t.Format == jeantrail.TranscriptSRT || t.Format == jeantrail.TranscriptVTT) && len(h.segments) == 0 && h.text != "" {
		return jeantrail.Errorf(jeantrail.CodeUnsupported, "the worker %s does not tell when something is said, so that there are no subtitles", c.client.worker).
			WithHint("Ask for text or json, or use another worker.").WithName("worker", c.client.worker)
	}
	c.result.Text = h.text
	c.result.Transcript = &jeantrail.Transcript{Language: h.language, Duration: measured, Segments: h.segments}
	if h.text != "" {
		c.sink.Token(h.text, false, 0)
	}
	if err := c.subtitles(t.Format, h.segments); err != nil {
		return err
	}
	c.result.Usage.AudioIn = measured
	return nil
}

// subtitles keeps the file for a format that is one.
func (c *call) subtitles(f jeantrail.TranscriptFormat, segments []jeantrail.TranscriptSegment) error {
	var kind string
	var content []byte
	switch f {
	case jeantrail.TranscriptSRT:
		kind, content = subtitle.TypeSRT, subtitle.SRT(segments)
	case jeantrail.TranscriptVTT:
		kind, content = subtitle.TypeVTT, subtitle.VTT(segments)
	default:
		return nil
	}
	a := jeantrail.Artifact{Kind: jeantrail.ArtifactSubtitles, File: jeantrail.File{MediaType: kind}}
	return c.keep(a, bytes.NewReader(content))
}

// form is what is sent beside a file.
type form struct {
	file   string // the name of its field
	fields [][2]string
}

// add adds a field, unless it is empty.
func (f *form) add(name, value string) {
	if value != "" {
		f.fields = append(f.fields, [2]string{name, value})
	}
}

func (f *form) addNumber(name string, value *float64) {
	if value != nil {
		f.add(name, strconv.FormatFloat(*value, 'f', -1, 64))
	}
}
