package testkit

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
)

// Whisper is whisper.cpp's whisper-server. It reads multipart bodies only,
// works on one at a time, gives up when the client of the running one leaves,
// and turns most errors into a 404.
type Whisper struct {
	Language                string // -l, "en" unless told; what "auto" finds is the script's
	NoLanguageProbabilities bool   // -nlp: verbose_json tells less of the language
	Convert                 bool   // --convert: ffmpeg reads the uploads, its failure is a 500
	Path                    string // --inference-path, /inference unless told
	Script                  Script
}

// Work implements Double.
func (d Whisper) Work() []string { return []string{or(d.Path, "/inference")} }

func (Whisper) perConnection() int64 { return 100 }

// Handler implements Double.
func (d Whisper) Handler(s *Server) http.Handler {
	d.Language = or(d.Language, "en")
	h := &whisper{Whisper: d, server: s, mutex: make(slots, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		write(w, http.StatusOK, "text/html", []byte("<!doctype html><title>Whisper.cpp Server</title>"))
	})
	mux.HandleFunc("POST "+or(d.Path, "/inference"), h.inference)
	mux.HandleFunc("POST /load", h.load)
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, r *http.Request) {
		if h.loading.Load() {
			whisperNotFound(w, r)
			return
		}
		writeJSON(w, http.StatusOK, object{"status": "ok"})
	})
	return httplib(s, mux, whisperNotFound)
}

// WhisperReloading is what a whisper-server answers at /health while it loads
// another model: its own 503, turned into a 404.
func WhisperReloading() Fault {
	return Fault{serve: func(w http.ResponseWriter, r *http.Request, _ http.Handler) { whisperNotFound(w, r) }}
}

func whisperNotFound(w http.ResponseWriter, r *http.Request) {
	write(w, http.StatusNotFound, "text/plain", []byte("File Not Found ("+r.URL.Path+")"))
}

type whisper struct {
	Whisper
	server  *Server
	mutex   slots
	loading atomic.Bool
}

// load takes another model, for as long as one step of work lasts.
func (h *whisper) load(w http.ResponseWriter, r *http.Request) {
	if h.mutex.take(context.Background(), h.server) != nil {
		return
	}
	defer h.mutex.give()
	h.server.Note("loaded the model %s", r.PostFormValue("model"))
	h.loading.Store(true)
	defer h.loading.Store(false)
	if h.server.tick(context.Background(), 1) == nil {
		write(w, http.StatusOK, "application/text", []byte("Load was successful!"))
	}
}

func (h *whisper) inference(w http.ResponseWriter, r *http.Request) {
	// A client that leaves while it waits here is not noticed.
	if h.mutex.take(context.Background(), h.server) != nil {
		return
	}
	defer h.mutex.give()
	audio, _, _, err := upload(r, "file")
	if err != nil {
		h.badRequest(w)
		return
	}
	field := func(name, otherwise string) string { return or(r.PostForm.Get(name), otherwise) }
	for _, name := range []string{"temperature", "temperature_inc", "beam_size", "best_of", "offset_t", "offset_n", "duration", "max_len"} {
		if _, err := strconv.ParseFloat(field(name, "0"), 64); err != nil {
			write(w, http.StatusInternalServerError, "text/plain", []byte("500 Internal Server Error\nsto"+pick(strings.HasPrefix(name, "temp"), "f", "i")))
			return
		}
	}
	t, err := h.Script.hear(audio)
	if err != nil {
		if h.Convert {
			writeJSON(w, http.StatusInternalServerError, object{"error": "FFmpeg conversion failed."})
			return
		}
		h.badRequest(w)
		return
	}
	if language := field("language", h.Language); language != "auto" {
		t.language = language
	}
	if isTrue(field("detect_language", "")) {
		t.segments, t.text = nil, ""
	}
	if h.server.tick(r.Context(), 1) != nil {
		whisperNotFound(w, r) // its 499, which nobody reads any more
		return
	}
	probabilities := !h.NoLanguageProbabilities && !isTrue(field("no_language_probabilities", ""))
	h.answer(w, field("response_format", "json"), t, isTrue(field("translate", "")), probabilities)
}

func (h *whisper) badRequest(w http.ResponseWriter) {
	write(w, http.StatusBadRequest, "text/plain", []byte("Invalid request"))
}

func (h *whisper) answer(w http.ResponseWriter, format string, t heard, translate, probabilities bool) {
	var text strings.Builder
	for _, s := range t.segments {
		text.WriteString(" " + s.text + "\n")
	}
	switch format {
	case "text":
		write(w, http.StatusOK, "text/html; charset=utf-8", []byte(text.String()))
	case "srt":
		write(w, http.StatusOK, "application/x-subrip", []byte(t.srt()))
	case "vtt":
		write(w, http.StatusOK, "text/vtt", []byte(t.vtt()))
	case "verbose_json":
		v := object{"task": pick(translate, "translate", "transcribe"), "language": languageName(t.language),
			"duration": t.length.Seconds(), "text": text.String(), "segments": whisperSegments(t)}
		if probabilities {
			v["detected_language"], v["detected_language_probability"] = languageName(t.language), 0.99
			v["language_probabilities"] = object{t.language: 0.99}
		}
		writeJSON(w, http.StatusOK, v)
	default:
		writeJSON(w, http.StatusOK, object{"text": text.String()})
	}
}

func whisperSegments(t heard) []object {
	all := make([]object, 0, len(t.segments))
	for i, s := range t.segments {
		var words []object
		for _, word := range s.words() {
			words = append(words, object{"word": " " + word.word, "start": word.start.Seconds(), "end": word.end.Seconds(), "t_dtw": -1, "probability": 0.98})
		}
		all = append(all, object{"id": i, "text": " " + s.text, "start": s.start.Seconds(), "end": s.end.Seconds(), "tokens": []int{50364, 50365 + i},
			"words": words, "temperature": 0.0, "avg_logprob": -0.2, "no_speech_prob": 0.01})
	}
	return all
}

// languageName returns the full name that OpenAI's Whisper uses for a code.
func languageName(code string) string {
	names := map[string]string{"en": "english", "de": "german", "fr": "french", "es": "spanish", "it": "italian", "nl": "dutch", "pl": "polish",
		"pt": "portuguese", "ru": "russian", "tr": "turkish", "uk": "ukrainian", "zh": "chinese", "ja": "japanese"}
	return or(names[code], code)
}

func isTrue(s string) bool { return s == "true" || s == "1" || s == "yes" || s == "y" }
