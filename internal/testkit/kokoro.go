package testkit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"
)

// Kokoro is Kokoro-FastAPI: speech in OpenAI's dialect, streamed unless told
// not to, as WAV whose sizes are placeholders. It speaks for SpeechLength of
// the text. Of the packed formats it makes only mp3, which is silent.
type Kokoro struct {
	Voices []string // af_heart, af_bella, af_sky and am_adam unless told
}

// Work implements Double.
func (Kokoro) Work() []string { return []string{"/v1/audio/speech"} }

// Handler implements Double.
func (d Kokoro) Handler(s *Server) http.Handler {
	if d.Voices == nil {
		d.Voices = []string{"af_heart", "af_bella", "af_sky", "am_adam"}
	}
	k := &kokoro{Kokoro: d, server: s}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, object{"status": "healthy"}) })
	mux.HandleFunc("GET /v1/audio/voices", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, object{"voices": d.Voices}) })
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) {
		all := make([]object, 0, len(kokoroModels))
		for _, m := range kokoroModels {
			all = append(all, object{"id": m, "object": "model", "created": 1686935002, "owned_by": "kokoro"})
		}
		writeJSON(w, http.StatusOK, object{"object": "list", "data": all})
	})
	mux.HandleFunc("POST /v1/audio/speech", k.speech)
	return fastAPI(mux)
}

var kokoroModels = []string{"tts-1", "tts-1-hd", "kokoro", "gpt-4o-mini-tts"}

type kokoro struct {
	Kokoro
	server *Server
}

func (k *kokoro) fail(w http.ResponseWriter, status int, kind, message string) {
	class := pick(status >= http.StatusInternalServerError, "server_error", "invalid_request_error")
	writeJSON(w, status, object{"detail": object{"error": kind, "message": message, "type": class}})
}

type speechOrder struct {
	Model  string  `json:"model"`
	Input  *string `json:"input"`
	Voice  string  `json:"voice"`
	Format string  `json:"response_format"`
	Speed  float64 `json:"speed"`
	Stream bool    `json:"stream"`
}

func (k *kokoro) speech(w http.ResponseWriter, r *http.Request) {
	o := speechOrder{Model: "kokoro", Voice: "af_heart", Format: "mp3", Speed: 1, Stream: true}
	if !k.read(w, r, &o) {
		return
	}
	length := speechLengthAt(*o.Input, o.Speed)
	if !strings.ContainsFunc(*o.Input, func(c rune) bool { return unicode.IsLetter(c) || unicode.IsDigit(c) }) {
		length = 0
	}
	head := w.Header()
	head.Set("Content-Type", kokoroTypes[o.Format])
	head.Set("Content-Disposition", "attachment; filename=speech."+o.Format)
	if o.Stream {
		// The 200 is out before anything is known about the speech.
		head.Set("X-Accel-Buffering", "no")
		head.Set("Cache-Control", "no-cache")
		w.WriteHeader(http.StatusOK)
		flush(w)
		if k.server.tick(r.Context(), 1) == nil && length > 0 {
			_ = k.sound(w, o.Format, length)
		}
		return
	}
	if k.server.tick(context.WithoutCancel(r.Context()), 1) != nil {
		return
	}
	if length == 0 {
		head.Del("Content-Disposition")
		k.fail(w, http.StatusInternalServerError, "processing_error", "No audio generated")
		return
	}
	_ = k.sound(w, o.Format, length)
}

var kokoroTypes = map[string]string{"mp3": "audio/mpeg", "opus": "audio/opus", "aac": "audio/aac", "flac": "audio/flac", "wav": "audio/wav", "pcm": "audio/pcm"}

// read reads and checks a request, and answers one that is refused.
func (k *kokoro) read(w http.ResponseWriter, r *http.Request, o *speechOrder) bool {
	err := json.NewDecoder(r.Body).Decode(o)
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong):
		invalid(w, "type_error", "Input should be a valid "+wrong.Type.String(), "body", wrong.Field)
	case err != nil:
		invalid(w, "json_invalid", "JSON decode error", "body", 0)
	case o.Input == nil:
		invalid(w, "missing", "Field required", "body", "input")
	case o.Speed < 0.25:
		invalid(w, "greater_than_equal", "Input should be greater than or equal to 0.25", "body", "speed")
	case o.Speed > 4:
		invalid(w, "less_than_equal", "Input should be less than or equal to 4", "body", "speed")
	case kokoroTypes[o.Format] == "":
		invalid(w, "literal_error", "Input should be 'mp3', 'opus', 'aac', 'flac', 'wav' or 'pcm'", "body", "response_format")
	case !slices.Contains(kokoroModels, o.Model):
		k.fail(w, http.StatusBadRequest, "invalid_model", "Unsupported model: "+o.Model)
	case !k.speaks(o.Voice):
		k.fail(w, http.StatusBadRequest, "validation_error", fmt.Sprintf("Voice '%s' not found. Available voices: %s", o.Voice, strings.Join(k.Voices, ", ")))
	case o.Format == "opus" || o.Format == "aac" || o.Format == "flac":
		k.fail(w, http.StatusInternalServerError, "processing_error", "this double makes wav, pcm and mp3 only")
	default:
		return true
	}
	return false
}

// speaks knows voices, OpenAI's names for them, and mixes as in
// af_bella(2)+af_sky.
func (k *kokoro) speaks(voice string) bool {
	openAI := map[string]string{"alloy": "am_adam", "nova": "af_bella", "shimmer": "af_sky", "coral": "af_heart"}
	for part := range strings.SplitSeq(voice, "+") {
		name, _, _ := strings.Cut(part, "(")
		if !slices.Contains(k.Voices, or(openAI[name], name)) {
			return false
		}
	}
	return true
}

func (k *kokoro) sound(w http.ResponseWriter, format string, length time.Duration) error {
	tone := Tone{Length: length, Rate: 24000, List: true, Placeholder: true}
	var err error
	switch format {
	case "mp3":
		_, err = w.Write(MP3(length))
	case "pcm":
		_, err = tone.withDefaults().writeSamples(w)
	default:
		_, err = tone.WriteTo(w)
	}
	return err
}
