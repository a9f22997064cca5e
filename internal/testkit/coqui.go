package testkit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Coqui is the server of idiap's coqui-ai-TTS, on Flask: WAV with true sizes,
// one text at a time, HTML pages for what goes wrong. It sounds for
// SpeechLength of the text; Espeak returns one that really speaks.
type Coqui struct {
	Model    string   // tts_models/en/vctk/vits unless told
	Speakers []string // of a model with several; p225 and p376 unless told
	Rate     int      // in Hz, 22050 unless told
	Original bool     // coqui-ai's own last server: no OpenAI dialect, HTML for all errors

	// voice makes a whole WAV file, nil for a tone.
	voice func(ctx context.Context, text, speaker string, speed float64) ([]byte, error)
}

// Work implements Double.
func (Coqui) Work() []string { return []string{"/api/tts", "/v1/audio/speech"} }

// Handler implements Double.
func (d Coqui) Handler(s *Server) http.Handler {
	d.Model, d.Rate = or(d.Model, "tts_models/en/vctk/vits"), or(d.Rate, 22050)
	if d.Speakers == nil {
		d.Speakers = []string{"p225", "p376"}
	}
	c := &coqui{Coqui: d, server: s, lock: make(slots, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		write(w, http.StatusOK, "text/html; charset=utf-8", []byte("<!DOCTYPE html>\n<title>TTS engine</title>\n"))
	})
	parts := strings.Split(d.Model, "/")
	mux.HandleFunc("GET /voices", func(w http.ResponseWriter, _ *http.Request) {
		write(w, http.StatusOK, "text/html; charset=utf-8", fmt.Appendf(nil, "%s %s u\n", parts[len(parts)-1], parts[min(1, len(parts)-1)]))
	})
	mux.HandleFunc("GET /api/tts", c.tts)
	mux.HandleFunc("POST /api/tts", c.tts)
	if !d.Original {
		mux.HandleFunc("POST /v1/audio/speech", c.speech)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := mux.Handler(r); pattern == "" {
			flaskError(w, http.StatusNotFound)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

type coqui struct {
	Coqui
	server *Server
	lock   slots
}

// parameter returns a value from its header, where "_" is written "-", or else
// from the query or the form. JSON is not read.
func parameter(r *http.Request, name string) string {
	return or(r.Header.Get(strings.ReplaceAll(name, "_", "-")), r.FormValue(name))
}

func (c *coqui) tts(w http.ResponseWriter, r *http.Request) {
	for _, name := range []string{"style_wav", "speaker_wav"} {
		if file := parameter(r, name); file != "" {
			c.server.Note("opened the file %s", file)
		}
	}
	text := parameter(r, "text")
	if text == "" {
		c.fail(w, http.StatusBadRequest, "Text parameter is required")
		return
	}
	sound, err := c.synthesise(text, parameter(r, "speaker_id"), 1)
	if err != nil {
		c.fail(w, http.StatusInternalServerError, "TTS synthesis failed: "+err.Error())
		return
	}
	sound.send(w)
}

// fail sends an error of /api/tts, for which the original server has one page.
func (c *coqui) fail(w http.ResponseWriter, status int, text string) {
	if c.Original {
		flaskError(w, http.StatusInternalServerError)
		return
	}
	writeJSON(w, status, object{"error": text})
}

// A recording is a WAV file that is at hand, or a tone still to be made.
type recording struct {
	file []byte
	tone Tone
}

// send sends it with its length.
func (s recording) send(w http.ResponseWriter) {
	if s.file != nil {
		write(w, http.StatusOK, "audio/wav", s.file)
		return
	}
	w.Header().Set("Content-Type", "audio/wav")
	w.Header().Set("Content-Length", strconv.FormatInt(s.tone.Size(), 10))
	_, _ = s.tone.WriteTo(w)
}

// synthesise waits for the lock and works, whether the client is still there
// or not.
func (c *coqui) synthesise(text, speaker string, speed float64) (recording, error) {
	ctx := context.Background()
	if err := c.lock.take(ctx, c.server); err != nil {
		return recording{}, err
	}
	defer c.lock.give()
	if err := c.server.tick(ctx, 1); err != nil {
		return recording{}, err
	}
	if strings.Contains(speaker, "/") {
		c.server.Note("opened the file %s", speaker)
	}
	if speaker != "" && len(c.Speakers) > 0 && !slices.Contains(c.Speakers, speaker) {
		return recording{}, fmt.Errorf("'%s'", speaker)
	}
	if strings.TrimSpace(text) == "" || speed <= 0 {
		return recording{}, errors.New("kernel size can not be greater than the input")
	}
	if c.voice != nil {
		file, err := c.voice(ctx, text, speaker, speed)
		return recording{file: file}, err
	}
	return recording{tone: Tone{Length: speechLengthAt(text, speed), Rate: c.Rate}}, nil
}

func (c *coqui) speech(w http.ResponseWriter, r *http.Request) {
	o := speechOrder{Format: "mp3", Speed: 1}
	if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
		flaskError(w, http.StatusBadRequest)
		return
	}
	sound, err := c.synthesise(deref(o.Input), o.Voice, o.Speed)
	if err != nil {
		flaskError(w, http.StatusInternalServerError)
		return
	}
	switch o.Format {
	case "wav":
		sound.send(w)
	case "mp3", "opus", "aac", "flac", "pcm":
		flaskError(w, http.StatusInternalServerError) // no encoder in this image
	default: // noticed only now
		write(w, http.StatusBadRequest, "text/html; charset=utf-8", []byte("Unsupported format"))
	}
}
