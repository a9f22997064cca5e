package jeantrail

import (
	"time"
	"unicode/utf8"
)

// The limits of requests for pictures and speech. Workers have their own, or
// none at all, and then an oversize request can bring them down.
const (
	MaxImageSide    = 4096 // pixels
	MinImageSide    = 64
	MaxImages       = 8
	MaxSteps        = 100
	MaxSpeechRunes  = 100_000
	MaxFilesPerText = 16
)

// File is a file that somebody sent or that a job made, by its content: the
// bytes lie in the artifacts folder. What a client called it is not kept.
type File struct {
	SHA256    string // 64 hexadecimal digits, lower case
	Bytes     int64
	MediaType string // as it was found to be, not as it was said to be; "" if not known
}

// Artifact is a file that a job made.
type Artifact struct {
	Index int // from 0, in the order in which they were made
	Kind  ArtifactKind
	File
	Width, Height int           // of an image, in pixels
	Seed          *int64        // of an image, if the worker told it
	Duration      time.Duration // of audio, in whole milliseconds
}

// ArtifactKind says what an artifact is.
type ArtifactKind string

// The kinds of artifact.
const (
	ArtifactImage     ArtifactKind = "image"
	ArtifactAudio     ArtifactKind = "audio"
	ArtifactSubtitles ArtifactKind = "subtitles"
)

// ImageRequest asks for pictures. Zero or nil means the worker's configured
// default.
type ImageRequest struct {
	Prompt         string // may be empty if a template makes it
	NegativePrompt string
	Width, Height  int // pixels; the worker may round them up, the artifact says what came
	Steps          int
	CFGScale       *float64
	Seed           *int64 // nil: a random one, which the artifact tells
	N              int    // how many; 0 means 1
}

// TranscriptFormat is the form that a transcription is wanted in.
type TranscriptFormat string

// The forms. JSON has the text only, verbose JSON the segments too; SRT and VTT
// are subtitles.
const (
	TranscriptJSON    TranscriptFormat = "json"
	TranscriptText    TranscriptFormat = "text"
	TranscriptSRT     TranscriptFormat = "srt"
	TranscriptVTT     TranscriptFormat = "vtt"
	TranscriptVerbose TranscriptFormat = "verbose_json"
)

// TranscriptFormats lists every form.
func TranscriptFormats() []TranscriptFormat {
	return []TranscriptFormat{TranscriptJSON, TranscriptText, TranscriptSRT, TranscriptVTT, TranscriptVerbose}
}

// TranscribeRequest asks for the text of speech.
type TranscribeRequest struct {
	Audio       File
	Language    string // a code such as "en"; "" lets the worker find out
	Translate   bool   // into English
	Prompt      string // words that help the worker, such as names
	Format      TranscriptFormat
	Temperature *float64
}

// Transcript is the text of speech with its times.
type Transcript struct {
	Language string // as the worker names it
	Duration time.Duration
	Segments []TranscriptSegment
}

// TranscriptSegment is a stretch of speech, from Start to End of the audio.
type TranscriptSegment struct {
	Start, End time.Duration
	Text       string
	Words      []TranscriptWord // if the worker tells them
}

// TranscriptWord is a word of a segment.
type TranscriptWord struct {
	Start, End time.Duration
	Text       string
}

// SpeakRequest asks for speech.
type SpeakRequest struct {
	Text     string // may be empty if a template makes it
	Voice    string
	Language string
	Speed    *float64 // 1 is normal
	Format   string   // "" or wav
}

// PipelineRequest asks for a workflow.
type PipelineRequest struct {
	Workflow string
	// Input has a value for each input of the workflow: from JSON (string,
	// json.Number, bool), or a File.
	Input map[string]any
}

func (i *ImageRequest) validate(templated bool) error {
	switch {
	case i.Prompt == "" && !templated:
		return Errorf(CodeInvalid, "the request has no prompt").WithHint(`Send {"prompt": "…"}.`)
	case len(i.Prompt)+len(i.NegativePrompt) > MaxPromptBytes:
		return Errorf(CodeTooLarge, "the prompt has %d bytes, the most is %d", len(i.Prompt)+len(i.NegativePrompt), MaxPromptBytes)
	case !utf8.ValidString(i.Prompt) || !utf8.ValidString(i.NegativePrompt):
		return Errorf(CodeInvalid, "the prompt is not valid UTF-8")
	case i.N < 0 || i.N > MaxImages:
		return Errorf(CodeInvalid, "n is %d, it must be between 1 and %d", i.N, MaxImages)
	case i.Steps < 0 || i.Steps > MaxSteps:
		return Errorf(CodeInvalid, "steps is %d, it must be between 1 and %d", i.Steps, MaxSteps)
	case i.CFGScale != nil && !(*i.CFGScale >= 0 && *i.CFGScale <= 100):
		return Errorf(CodeInvalid, "cfg_scale is %v, it must be between 0 and 100", *i.CFGScale)
	case i.Seed != nil && *i.Seed < 0:
		return Errorf(CodeInvalid, "seed is %d, it must not be negative", *i.Seed).WithHint("Leave it out for a random one.")
	}
	for _, side := range []struct {
		name   string
		pixels int
	}{{"width", i.Width}, {"height", i.Height}} {
		if side.pixels != 0 && (side.pixels < MinImageSide || side.pixels > MaxImageSide) {
			return Errorf(CodeInvalid, "%s is %d, it must be between %d and %d", side.name, side.pixels, MinImageSide, MaxImageSide)
		}
	}
	return nil
}

func (t *TranscribeRequest) validate() error {
	known := t.Format == ""
	for _, f := range TranscriptFormats() {
		known = known || f == t.Format
	}
	switch {
	case t.Audio.SHA256 == "":
		return Errorf(CodeInvalid, "the request has no audio").WithHint("Send a multipart form with the part file, or audio_base64 in JSON.")
	case !known:
		return Errorf(CodeInvalid, "format %q is not known", t.Format).WithHint("Use json, text, srt, vtt or verbose_json.")
	case !plainWord(t.Language):
		return Errorf(CodeInvalid, "language %q is not a language code", t.Language).WithHint("Use a code such as en, or leave it out.")
	case len(t.Prompt) > MaxPromptBytes || !utf8.ValidString(t.Prompt):
		return Errorf(CodeInvalid, "prompt must be UTF-8 of at most %d bytes", MaxPromptBytes)
	case t.Temperature != nil && !(*t.Temperature >= 0 && *t.Temperature <= 1):
		return Errorf(CodeInvalid, "temperature is %v, it must be between 0 and 1", *t.Temperature)
	}
	return nil
}

func (s *SpeakRequest) validate(templated bool) error {
	runes := utf8.RuneCountInString(s.Text)
	switch {
	case s.Text == "" && !templated:
		return Errorf(CodeInvalid, "the request has no text").WithHint(`Send {"text": "…"}.`)
	case !utf8.ValidString(s.Text):
		return Errorf(CodeInvalid, "text is not valid UTF-8")
	case runes > MaxSpeechRunes:
		return Errorf(CodeTooLarge, "text has %d characters, the most is %d", runes, MaxSpeechRunes).WithHint("Speak it in parts.")
	case s.Format != "" && s.Format != "wav":
		return Errorf(CodeUnsupported, "format %q is not made", s.Format).WithHint("Use wav, or leave it out.")
	case !plainWord(s.Voice):
		return Errorf(CodeInvalid, "voice %q is not a name", s.Voice).WithHint("A voice is a name of letters, digits and . - _ + ( ), not a path.")
	case !plainWord(s.Language):
		return Errorf(CodeInvalid, "language %q is not a language code", s.Language).WithHint("Use a code such as en, or leave it out.")
	case s.Speed != nil && !(*s.Speed >= 0.25 && *s.Speed <= 4):
		return Errorf(CodeInvalid, "speed is %v, it must be between 0.25 and 4", *s.Speed)
	}
	return nil
}

func (p *PipelineRequest) validate() error {
	if p.Workflow == "" || len(p.Workflow) > MaxNameBytes {
		return Errorf(CodeInvalid, "workflow must be 1 to %d bytes long", MaxNameBytes).WithHint("GET /workflows lists them.")
	}
	return nil
}

// plainWord reports whether a name can be sent to a worker without being read
// as a path or as markup there.
func plainWord(s string) bool {
	if len(s) > MaxNameBytes || s == "." || s == ".." {
		return false
	}
	for _, c := range []byte(s) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		switch {
		case letter, c == '.', c == '-', c == '_', c == '+', c == '(', c == ')':
		default:
			return false
		}
	}
	return true
}
