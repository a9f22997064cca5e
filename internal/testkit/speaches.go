package testkit

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Speaches is speaches' transcription in OpenAI's dialect. A model must be
// installed before it can be used; the health path knows nothing of models.
type Speaches struct {
	Models []string // that are installed; Systran/faster-whisper-large-v3 unless told
	APIKey string
	// Usage adds the usage that vLLM and OpenAI send with a JSON answer: whole
	// seconds of audio.
	Usage  bool
	Script Script
}

// Work implements Double.
func (Speaches) Work() []string { return []string{"/v1/audio/transcriptions"} }

// Handler implements Double.
func (d Speaches) Handler(s *Server) http.Handler {
	if d.Models == nil {
		d.Models = []string{"Systran/faster-whisper-large-v3"}
	}
	h := &speaches{Speaches: d, server: s, models: slices.Clone(d.Models)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, object{"message": "OK"}) })
	mux.HandleFunc("GET /v1/models", h.list)
	mux.HandleFunc("POST /v1/models/{id...}", h.install)
	mux.HandleFunc("POST /v1/audio/transcriptions", h.transcribe)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.APIKey != "" && r.URL.Path != "/health" && r.Header.Get("Authorization") != "Bearer "+d.APIKey {
			w.Header().Set("WWW-Authenticate", "Bearer")
			detail(w, http.StatusForbidden, "Not authenticated")
			return
		}
		fastAPI(mux).ServeHTTP(w, r)
	})
}

type speaches struct {
	Speaches
	server *Server

	mu     sync.Mutex
	models []string // installed by now
}

func (h *speaches) list(w http.ResponseWriter, _ *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]object, 0, len(h.models))
	for _, m := range h.models {
		all = append(all, object{"id": m, "object": "model", "created": 1700000000, "owned_by": "Systran", "task": "automatic-speech-recognition", "language": []string{"en", "de"}})
	}
	writeJSON(w, http.StatusOK, object{"object": "list", "data": all})
}

func (h *speaches) install(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	id := r.PathValue("id")
	h.server.Note("installed the model %s", id)
	if slices.Contains(h.models, id) {
		write(w, http.StatusCreated, "text/plain; charset=utf-8", fmt.Appendf(nil, "Model '%s' already exists", id))
		return
	}
	h.models = append(h.models, id)
	write(w, http.StatusOK, "text/plain; charset=utf-8", fmt.Appendf(nil, "Model '%s' downloaded", id))
}

func (h *speaches) installed(model string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Contains(h.models, pick(model == "whisper-1", "Systran/faster-whisper-large-v3", model))
}

func (h *speaches) transcribe(w http.ResponseWriter, r *http.Request) {
	audio, _, contentType, err := upload(r, "file")
	if err != nil {
		invalid(w, "missing", "Field required", "body", "file")
		return
	}
	model := r.PostFormValue("model")
	if model == "" {
		invalid(w, "missing", "Field required", "body", "model")
		return
	}
	format := or(r.PostFormValue("response_format"), "json")
	if !slices.Contains([]string{"json", "text", "verbose_json", "srt", "vtt"}, format) {
		invalid(w, "enum", "Input should be 'text', 'json', 'verbose_json', 'srt' or 'vtt'", "body", "response_format")
		return
	}
	if !h.installed(model) {
		detail(w, http.StatusNotFound, fmt.Sprintf("Model '%s' is not installed locally. You can download the model using `POST /v1/models/%s`", model, model))
		return
	}
	if len(audio) == 0 {
		detail(w, http.StatusBadRequest, "Audio file is empty")
		return
	}
	words := slices.Contains(r.PostForm["timestamp_granularities[]"], "word")
	if words && format != "verbose_json" {
		// An assertion of its own fails.
		write(w, http.StatusInternalServerError, "text/plain; charset=utf-8", []byte("Internal Server Error"))
		return
	}
	var t heard
	if contentType == "audio/pcm" || contentType == "audio/raw" {
		t = h.Script.over(rawLength(len(audio), 32000))
	} else if t, err = h.Script.hear(audio); err != nil {
		detail(w, http.StatusUnsupportedMediaType, "Failed to decode audio. The provided file type is not supported.")
		return
	}
	if language := r.PostFormValue("language"); language != "" {
		t.language = language
	}
	if isTrue(r.PostFormValue("stream")) {
		h.stream(w, r, t)
		return
	}
	// A client that leaves is not noticed.
	if h.server.tick(context.WithoutCancel(r.Context()), 1) == nil {
		h.answer(w, format, t, words)
	}
}

func (h *speaches) answer(w http.ResponseWriter, format string, t heard, words bool) {
	switch format {
	case "text", "srt":
		write(w, http.StatusOK, "text/plain; charset=utf-8", []byte(pick(format == "srt", t.srt(), t.text)))
	case "vtt":
		write(w, http.StatusOK, "text/vtt; charset=utf-8", []byte(t.vtt()))
	case "verbose_json":
		v := object{"task": "transcribe", "language": t.language, "duration": t.length.Seconds(), "text": t.text, "segments": t.openAISegments(), "words": nil}
		if words {
			v["words"] = t.openAIWords()
		}
		writeJSON(w, http.StatusOK, v)
	default:
		v := object{"text": t.text, "logprobs": nil}
		if h.Usage {
			v["usage"] = object{"type": "duration", "seconds": int(t.length.Round(time.Second).Seconds())}
		}
		writeJSON(w, http.StatusOK, v)
	}
}

// stream sends each segment as an event. The last event's text is empty, and
// there is no [DONE].
func (h *speaches) stream(w http.ResponseWriter, r *http.Request, t heard) {
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	for _, s := range t.segments {
		if h.server.tick(r.Context(), len(t.segments)) != nil {
			return
		}
		fmt.Fprintf(w, "data: %s\n\n", jsonText(object{"type": "transcript.text.delta", "delta": s.text}))
		flush(w)
	}
	fmt.Fprintf(w, "data: %s\n\n", jsonText(object{"type": "transcript.text.done", "text": ""}))
}
