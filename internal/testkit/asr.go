package testkit

import (
	"context"
	"fmt"
	"net/http"
	"strings"
)

// ASR is whisper-asr-webservice. It answers one request after the other, also
// those to its probes, and calls everything text/plain.
type ASR struct {
	Script Script
}

// Work implements Double.
func (ASR) Work() []string { return []string{"/asr", "/detect-language"} }

// Handler implements Double.
func (d ASR) Handler(s *Server) http.Handler {
	h := &asr{ASR: d, server: s, loop: make(slots, 1)}
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", http.RedirectHandler("/docs", http.StatusTemporaryRedirect))
	mux.HandleFunc("GET /docs", func(w http.ResponseWriter, _ *http.Request) {
		write(w, http.StatusOK, "text/html; charset=utf-8", []byte("<!DOCTYPE html><title>Whisper ASR Webservice - Swagger UI</title>"))
	})
	mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, object{"openapi": "3.1.0", "info": object{"title": "Whisper ASR Webservice", "version": "1.9.1"},
			"paths": object{"/asr": object{"post": object{}}, "/detect-language": object{"post": object{}}}})
	})
	mux.HandleFunc("POST /asr", h.transcribe)
	mux.HandleFunc("POST /detect-language", h.detect)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The event loop does nothing else meanwhile.
		if h.loop.take(context.Background(), s) != nil {
			return
		}
		defer h.loop.give()
		fastAPI(mux).ServeHTTP(w, r)
	})
}

type asr struct {
	ASR
	server *Server
	loop   slots
}

// read returns what is heard in the upload and the upload's name.
func (h *asr) read(w http.ResponseWriter, r *http.Request) (heard, string, bool) {
	audio, name, _, err := upload(r, "audio_file")
	if err != nil {
		invalid(w, "missing", "Field required", "body", "audio_file")
		return heard{}, "", false
	}
	if h.server.tick(context.Background(), 1) != nil {
		return heard{}, "", false
	}
	if encode := r.URL.Query().Get("encode"); encode != "" && !isTrue(encode) {
		return h.Script.over(rawLength(len(audio), 32000)), name, true
	}
	t, err := h.Script.hear(audio)
	if err != nil {
		write(w, http.StatusInternalServerError, "text/plain; charset=utf-8", []byte("Internal Server Error"))
		return heard{}, "", false
	}
	return t, name, true
}

func (h *asr) transcribe(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	if task := query.Get("task"); task != "" && task != "transcribe" && task != "translate" {
		invalid(w, "enum", "Input should be 'transcribe' or 'translate'", "query", "task")
		return
	}
	t, name, ok := h.read(w, r)
	if !ok {
		return
	}
	if language := query.Get("language"); language != "" {
		t.language = language
	}
	output := or(query.Get("output"), "txt")
	w.Header().Set("Asr-Engine", "openai_whisper")
	w.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=\"%s.%s\"", name, output))
	body := t.lines()
	switch output {
	case "json":
		segments := t.openAISegments()
		for i, s := range segments {
			s["id"] = i
			if isTrue(query.Get("word_timestamps")) {
				var words []object
				for _, word := range t.segments[i].words() {
					words = append(words, object{"word": " " + word.word, "start": word.start.Seconds(), "end": word.end.Seconds(), "probability": 0.98})
				}
				s["words"] = words
			}
		}
		body = jsonText(object{"language": t.language, "text": " " + t.text, "segments": segments})
	case "srt":
		body = t.srt()
	case "vtt":
		body = t.vtt()
	case "tsv":
		body = t.tsv()
	}
	write(w, http.StatusOK, "text/plain; charset=utf-8", []byte(body))
}

func (h *asr) detect(w http.ResponseWriter, r *http.Request) {
	if t, _, ok := h.read(w, r); ok {
		writeJSON(w, http.StatusOK, object{"detected_language": languageName(t.language), "language_code": t.language, "confidence": 0.98})
	}
}

// tsv returns the segments with their times in milliseconds.
func (h heard) tsv() string {
	var out strings.Builder
	out.WriteString("start\tend\ttext\n")
	for _, s := range h.segments {
		fmt.Fprintf(&out, "%d\t%d\t%s\n", s.start.Milliseconds(), s.end.Milliseconds(), s.text)
	}
	return out.String()
}
