package server

import (
	"errors"
	"net/http"
	"strings"

	"github.com/jeantrail/jeantrail-ai"
)

// RequestOptions are what a request for images or speech may say beside what it is
// for. Only because the OpenAPI document leaves out embedded types that are not
// exported is this one.
type RequestOptions struct {
	Model    string            `json:"model,omitempty" maxLength:"256" doc:"Name or alias of a model or worker; the default of the kind if left out."`
	UserID   string            `json:"user_id,omitempty" maxLength:"128" doc:"Who it is for, if not the caller."`
	Stream   *bool             `json:"stream,omitempty" doc:"Answer with Server-Sent Events."`
	Async    bool              `json:"async,omitempty" doc:"Answer 202 at once; the job lives on without its caller."`
	TaskType string            `json:"task_type,omitempty" maxLength:"128" doc:"What it is for; optimisation rules may ask for it."`
	Priority string            `json:"priority,omitempty" enum:"interactive,batch,background"`
	Metadata map[string]string `json:"metadata,omitempty" doc:"Stored with the job."`
	Cache    *bool             `json:"cache,omitempty" doc:"Whether a stored result of the same request may be given, and this one be stored."`
}

func (c *RequestOptions) wishes() (stream *bool, async bool) { return c.Stream, c.Async }

// words begins a request of a kind.
func (c *RequestOptions) words(kind jeantrail.Kind) jeantrail.Request {
	return jeantrail.Request{
		Kind: kind, UserID: c.UserID, Model: c.Model, Priority: jeantrail.Priority(c.Priority), Async: c.Async,
		TaskType: c.TaskType, Metadata: c.Metadata, Cache: c.Cache,
	}
}

// optionsOf is the inverse of words.
func optionsOf(req *jeantrail.Request) RequestOptions {
	return RequestOptions{
		Model: req.Model, UserID: req.UserID, Async: req.Async, TaskType: req.TaskType, Priority: string(req.Priority),
		Metadata: req.Metadata, Cache: req.Cache,
	}
}

// imageRequest is the body of POST /generate-image.
type imageRequest struct {
	Prompt         string   `json:"prompt,omitempty" doc:"What the image is to show. Needed, unless a template makes it."`
	NegativePrompt string   `json:"negative_prompt,omitempty" doc:"What the image must not show."`
	Width          *int     `json:"width,omitempty" minimum:"64" maximum:"4096" doc:"Pixels. The worker may round them up; the answer tells the real size."`
	Height         *int     `json:"height,omitempty" minimum:"64" maximum:"4096"`
	Steps          *int     `json:"steps,omitempty" minimum:"1" maximum:"100"`
	CFGScale       *float64 `json:"cfg_scale,omitempty" minimum:"0" maximum:"100" doc:"How closely the image follows the prompt."`
	Seed           *int64   `json:"seed,omitempty" minimum:"0" doc:"A random one if left out; the answer tells it."`
	N              *int     `json:"n,omitempty" minimum:"1" maximum:"8" doc:"How many images; 1 if left out."`

	Template  string        `json:"template,omitempty" maxLength:"128" doc:"Name of a prompt template; variables fill it, and prompt its main variable."`
	Variables wireVariables `json:"variables,omitempty" doc:"What the template has to be told."`
	RequestOptions
}

// request turns the wire form into the project's words.
func (i *imageRequest) request(*upload) (jeantrail.Request, error) {
	req := i.words(jeantrail.KindImage)
	req.Template, req.Variables = i.Template, i.Variables
	image := &jeantrail.ImageRequest{Prompt: i.Prompt, NegativePrompt: i.NegativePrompt, CFGScale: i.CFGScale, Seed: i.Seed}
	for _, number := range []struct {
		name  string
		given *int
		into  *int
	}{{"width", i.Width, &image.Width}, {"height", i.Height, &image.Height}, {"steps", i.Steps, &image.Steps}, {"n", i.N, &image.N}} {
		if number.given == nil {
			continue
		}
		if *number.given == 0 { // in the words it stands for the default
			return req, jeantrail.Errorf(jeantrail.CodeInvalid, "%s is 0", number.name).WithHint("Leave it out for the default.")
		}
		*number.into = *number.given
	}
	req.Image = image
	return req, req.Validate()
}

// transcribeRequest is the body of POST /transcribe: as JSON, or as the fields of
// a form whose part file is the sound.
type transcribeRequest struct {
	AudioBase64 string     `json:"audio_base64,omitempty" doc:"The sound: WAV, FLAC, MP3, OGG or M4A, in base64. In a form it is the part file."`
	File        *fileInput `json:"file,omitempty" doc:"The sound, if a job made it."`
	Language    string     `json:"language,omitempty" maxLength:"128" doc:"A code such as en; found out if left out."`
	Translate   bool       `json:"translate,omitempty" doc:"Write it down in English."`
	Prompt      string     `json:"prompt,omitempty" doc:"Words that help, such as names."`
	Format      string     `json:"format,omitempty" enum:"json,text,srt,vtt,verbose_json" doc:"json if left out. text, srt and vtt are answered as such if the caller waits for them."`
	Temperature *float64   `json:"temperature,omitempty" minimum:"0" maximum:"1"`
	RequestOptions

	sound *jeantrail.File // that a form brought
}

func (t *transcribeRequest) carried() int64 {
	n := len(t.AudioBase64)
	if t.File != nil {
		n += len(t.File.data)
	}
	return int64(n)
}

// request turns the wire form into the project's words.
func (t *transcribeRequest) request(u *upload) (jeantrail.Request, error) {
	req := t.words(jeantrail.KindTranscribe)
	req.Transcribe = &jeantrail.TranscribeRequest{
		Language: t.Language, Translate: t.Translate, Prompt: t.Prompt, Format: jeantrail.TranscriptFormat(t.Format),
		Temperature: t.Temperature,
	}
	sources := 0
	for _, there := range []bool{t.AudioBase64 != "", t.File != nil, t.sound != nil} {
		if there {
			sources++
		}
	}
	if sources > 1 {
		return req, jeantrail.Errorf(jeantrail.CodeInvalid, "the sound is given twice").WithHint("Send one of file and audio_base64.")
	}
	var err error
	switch {
	case t.sound != nil:
		req.Transcribe.Audio = *t.sound
	case t.File != nil:
		req.Transcribe.Audio, err = u.input(t.File, "file", "audio/")
	case t.AudioBase64 != "":
		req.Transcribe.Audio, err = u.text(t.AudioBase64, "audio_base64", "audio/")
	}
	if err != nil {
		return req, err
	}
	return req, req.Validate()
}

// speakRequest is the body of POST /speak.
type speakRequest struct {
	Text     string   `json:"text,omitempty" doc:"What to say. Needed, unless a template makes it."`
	Voice    string   `json:"voice,omitempty" maxLength:"128" doc:"A voice of the worker."`
	Language string   `json:"language,omitempty" maxLength:"128" doc:"A code such as en."`
	Speed    *float64 `json:"speed,omitempty" minimum:"0.25" maximum:"4" doc:"1 is normal."`
	Format   string   `json:"format,omitempty" enum:"wav"`

	Template  string        `json:"template,omitempty" maxLength:"128" doc:"Name of a prompt template; variables fill it, and text its main variable."`
	Variables wireVariables `json:"variables,omitempty" doc:"What the template has to be told."`
	RequestOptions
}

// request turns the wire form into the project's words.
func (p *speakRequest) request(*upload) (jeantrail.Request, error) {
	req := p.words(jeantrail.KindSpeak)
	req.Template, req.Variables = p.Template, p.Variables
	req.Speak = &jeantrail.SpeakRequest{Text: p.Text, Voice: p.Voice, Language: p.Language, Speed: p.Speed, Format: p.Format}
	return req, req.Validate()
}

// generateImage serves POST /generate-image.
func (s *Server) generateImage(w http.ResponseWriter, r *http.Request) error {
	var body imageRequest
	if err := s.readJSON(w, r, &body); err != nil {
		return err
	}
	return s.answer(w, r, &body, answerResult)
}

// transcribe serves POST /transcribe.
func (s *Server) transcribe(w http.ResponseWriter, r *http.Request) error {
	var body transcribeRequest
	if isForm(r) {
		if err := s.readTranscribeForm(w, r, &body); err != nil {
			return err
		}
	} else if err := s.readJSONWithFiles(w, r, &body); err != nil {
		return err
	}
	return s.answer(w, r, &body, s.answerTranscript)
}

// answerTranscript answers a transcription in the form that was asked for.
func (s *Server) answerTranscript(w http.ResponseWriter, r *http.Request, job *jeantrail.Job) error {
	request := job.Request.Transcribe
	if job.State != jeantrail.StateSucceeded || job.Result == nil || request == nil {
		return answerResult(w, r, job)
	}
	switch request.Format {
	case jeantrail.TranscriptText:
		setJobHeaders(w.Header(), job.ID)
		writeText(w, "text/plain; charset=utf-8", job.Result.Text)
		return nil
	case jeantrail.TranscriptSRT, jeantrail.TranscriptVTT:
		if a := artifactOf(job.Result, jeantrail.ArtifactSubtitles); a != nil {
			return s.serveFile(w, r, job.ID, a)
		}
		return &jobError{jobID: job.ID, err: errors.New("a transcription has no subtitles")}
	}
	return answerResult(w, r, job)
}

// artifactOf returns the first file of a kind, nil if there is none.
func artifactOf(result *jeantrail.Result, kind jeantrail.ArtifactKind) *jeantrail.Artifact {
	for i := range result.Artifacts {
		if result.Artifacts[i].Kind == kind {
			return &result.Artifacts[i]
		}
	}
	return nil
}

// speak serves POST /speak.
func (s *Server) speak(w http.ResponseWriter, r *http.Request) error {
	var body speakRequest
	if err := s.readJSON(w, r, &body); err != nil {
		return err
	}
	return s.answer(w, r, &body, s.answerSpeech)
}

// answerSpeech answers with the sound itself if that is what is accepted.
func (s *Server) answerSpeech(w http.ResponseWriter, r *http.Request, job *jeantrail.Job) error {
	if job.State == jeantrail.StateSucceeded && job.Result != nil && acceptsAudio(r) {
		if a := artifactOf(job.Result, jeantrail.ArtifactAudio); a != nil {
			return s.serveFile(w, r, job.ID, a)
		}
	}
	return answerResult(w, r, job)
}

// acceptsAudio reports whether the Accept header names sound, and not JSON.
func acceptsAudio(r *http.Request) bool {
	audio := false
	for _, line := range r.Header.Values("Accept") {
		for accepted := range strings.SplitSeq(line, ",") {
			mediaType, _, _ := strings.Cut(accepted, ";")
			mediaType = strings.ToLower(strings.TrimSpace(mediaType))
			if mediaType == "application/json" {
				return false
			}
			audio = audio || strings.HasPrefix(mediaType, "audio/")
		}
	}
	return audio
}
