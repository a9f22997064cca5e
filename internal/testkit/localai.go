package testkit

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// LocalAI is LocalAI's server: pictures and transcription in OpenAI's dialect,
// with its own spellings. Pictures are sent as URLs unless b64_json is asked
// for, and plain text is called "txt".
type LocalAI struct {
	Models   []string // that are configured; "sdxl" and "whisper-1" unless told
	Starting int      // so many requests to /readyz are answered 503
	Opaque   bool     // errors have no body
	Script   Script
}

// Work implements Double.
func (LocalAI) Work() []string { return []string{"/v1/images/generations", "/v1/audio/transcriptions"} }

const localAIUploads = 15 << 20 // bytes

// Handler implements Double.
func (d LocalAI) Handler(s *Server) http.Handler {
	if d.Models == nil {
		d.Models = []string{"sdxl", "whisper-1"}
	}
	l := &localAI{LocalAI: d, server: s, pictures: make(map[string][]byte)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET /readyz", l.ready)
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) {
		all := make([]object, 0, len(d.Models))
		for _, m := range d.Models {
			all = append(all, object{"id": m, "object": "model"})
		}
		writeJSON(w, http.StatusOK, object{"object": "list", "data": all})
	})
	mux.HandleFunc("POST /v1/images/generations", l.images)
	mux.HandleFunc("GET /generated-images/{name}", l.picture)
	mux.HandleFunc("POST /v1/audio/transcriptions", l.transcribe)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := mux.Handler(r); pattern == "" {
			l.fail(w, http.StatusNotFound, "Resource not found")
			return
		}
		mux.ServeHTTP(w, r)
	})
}

type localAI struct {
	LocalAI
	server *Server
	asked  atomic.Int64

	mu       sync.Mutex
	pictures map[string][]byte // by name
}

func (l *localAI) ready(w http.ResponseWriter, _ *http.Request) {
	if l.asked.Add(1) <= int64(l.Starting) {
		writeJSON(w, http.StatusServiceUnavailable, object{"status": "starting", "reason": "startup preload in progress"})
		return
	}
	w.WriteHeader(http.StatusOK)
}

func (l *localAI) fail(w http.ResponseWriter, status int, message string) {
	if l.Opaque {
		w.WriteHeader(status)
		return
	}
	writeJSON(w, status, object{"error": object{"code": status, "message": message, "type": ""}})
}

func (l *localAI) images(w http.ResponseWriter, r *http.Request) {
	o := struct {
		Model  string          `json:"model"`
		Prompt string          `json:"prompt"`
		N      int             `json:"n"`
		Size   string          `json:"size"`
		Format string          `json:"response_format"`
		File   string          `json:"file"`
		Files  []string        `json:"files"`
		Refs   []string        `json:"ref_images"`
		Step   json.RawMessage `json:"step"`
	}{N: 1}
	if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
		l.fail(w, http.StatusBadRequest, err.Error())
		return
	}
	if !slices.Contains(l.Models, o.Model) {
		l.fail(w, http.StatusBadRequest, fmt.Sprintf("model %q not found", o.Model))
		return
	}
	for _, ref := range append(append(o.Files, o.Refs...), o.File) {
		if strings.HasPrefix(ref, "http") {
			l.server.Note("fetched %s", ref)
		}
	}
	width, height := 512, 512
	if strings.Contains(o.Size, "x") {
		if _, err := fmt.Sscanf(o.Size, "%dx%d", &width, &height); err != nil {
			l.fail(w, http.StatusInternalServerError, "invalid value for 'size'")
			return
		}
	}
	prompt, negative, _ := strings.Cut(o.Prompt, "|")
	data := make([]object, 0, o.N)
	for i := range max(o.N, 1) {
		if err := l.server.tick(r.Context(), max(o.N, 1)); err != nil {
			l.fail(w, http.StatusInternalServerError, "rpc error: code = Canceled desc = context canceled")
			return
		}
		data = append(data, l.keep(PNG(width, height, paintingOf(time.Now().UnixNano()+int64(i), prompt, negative)), o.Format))
	}
	writeJSON(w, http.StatusOK, object{"id": fmt.Sprintf("%d", time.Now().UnixNano()), "created": time.Now().Unix(), "data": data,
		"usage": object{"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}})
}

// keep returns how the answer tells of a picture, and keeps one that has a URL.
func (l *localAI) keep(picture []byte, format string) object {
	if format == "b64_json" {
		return object{"b64_json": base64Text(picture)}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	name := fmt.Sprintf("b64%d.png", len(l.pictures))
	l.pictures[name] = picture
	return object{"url": l.server.URL + "/generated-images/" + name}
}

func (l *localAI) picture(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	picture, ok := l.pictures[r.PathValue("name")]
	l.mu.Unlock()
	if !ok {
		l.fail(w, http.StatusNotFound, "Resource not found")
		return
	}
	write(w, http.StatusOK, "image/png", picture)
}

func (l *localAI) transcribe(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength > localAIUploads {
		l.fail(w, http.StatusRequestEntityTooLarge, "Request Entity Too Large")
		return
	}
	audio, _, _, err := upload(r, "file")
	if err != nil {
		l.fail(w, http.StatusInternalServerError, err.Error())
		return
	}
	if model := r.PostFormValue("model"); !slices.Contains(l.Models, model) {
		l.fail(w, http.StatusInternalServerError, fmt.Sprintf("could not load model: %q not found", model))
		return
	}
	format := r.PostFormValue("response_format")
	if !slices.Contains([]string{"", "json", "verbose_json", "txt", "srt", "vtt"}, format) {
		l.fail(w, http.StatusInternalServerError, "invalid response_format")
		return
	}
	if l.server.tick(r.Context(), 1) != nil {
		return
	}
	h, err := l.Script.hear(audio)
	if err != nil {
		l.fail(w, http.StatusInternalServerError, "rpc error: code = Unknown desc = failed to decode audio")
		return
	}
	switch format {
	case "txt":
		write(w, http.StatusOK, "text/plain; charset=UTF-8", []byte(h.lines()))
	case "srt":
		write(w, http.StatusOK, "application/x-subrip", []byte(h.srt()))
	case "vtt":
		write(w, http.StatusOK, "text/vtt", []byte(h.vtt()))
	case "json":
		writeJSON(w, http.StatusOK, object{"text": h.text, "language": h.language, "duration": h.length.Seconds()})
	default:
		writeJSON(w, http.StatusOK, object{"text": h.text, "language": h.language, "duration": h.length.Seconds(),
			"segments": h.openAISegments(), "words": h.openAIWords()})
	}
}
