package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/jeantrail/jeantrail-ai"
)

// hearing are the flags of the transcribe command.
type hearing struct {
	asking
	language, prompt, format string
	translate                bool
}

func (h *hearing) flags(cmd *cobra.Command) {
	h.asking.flags(cmd, "worker for transcriptions (default: the first one)")
	f := cmd.Flags()
	f.StringVar(&h.language, "language", "", "language code of the speech, such as en (default: found out)")
	f.BoolVar(&h.translate, "translate", false, "write it down in English")
	f.StringVar(&h.prompt, "prompt", "", "words that help the worker, such as names")
	f.StringVar(&h.format, "format", string(jeantrail.TranscriptText), "text, json, srt, vtt or verbose_json")
	f.StringVarP(&h.output.path, "output", "o", "", "file to write to (default: standard output)")
	f.BoolVar(&h.output.force, "force", false, "write over a file that is there")
}

// check refuses flags that cannot go together, and a place that cannot be
// written to.
func (h *hearing) check(cmd *cobra.Command, o *options) error {
	if err := exclusive(cmd, "json", "format"); err != nil {
		return err
	}
	if o.json {
		h.format = string(jeantrail.TranscriptVerbose)
	}
	if !slices.Contains(jeantrail.TranscriptFormats(), jeantrail.TranscriptFormat(h.format)) {
		return errUsage{fmt.Errorf("--format %q is not known; use text, json, srt, vtt or verbose_json", h.format)}
	}
	if h.output.path == "" {
		return nil
	}
	if h.output.folder() {
		return errUsage{fmt.Errorf("-o %s is a folder; name a file", h.output.path)}
	}
	return h.output.check(1)
}

// asJSON reports whether the whole answer is wanted, and not the text alone.
func (h *hearing) asJSON() bool {
	return h.format == string(jeantrail.TranscriptJSON) || h.format == string(jeantrail.TranscriptVerbose)
}

// form makes the body of /transcribe around the sound.
func (h *hearing) form(content io.Reader) form {
	f := form{files: []formFile{{field: "file", content: content}}}
	add := func(name, value string) {
		if value != "" {
			f.fields = append(f.fields, [2]string{name, value})
		}
	}
	add("model", h.model)
	add("user_id", h.user)
	add("language", h.language)
	add("prompt", h.prompt)
	if h.translate {
		add("translate", strconv.FormatBool(true))
	}
	// The text is taken out of the JSON, which tells the cost too.
	if h.format != string(jeantrail.TranscriptText) {
		add("format", h.format)
	} else {
		add("format", string(jeantrail.TranscriptJSON))
	}
	return f
}

func newTranscribeCommand(o *options) *cobra.Command {
	h := &hearing{}
	cmd := &cobra.Command{
		Use: "transcribe FILE | -", Short: "Write down what is said in a sound file",
		Long: "Writes down speech from a WAV, FLAC, MP3, OGG or M4A file, as text, subtitles or JSON with times. The\n" +
			"file is streamed to the instance; its name stays here.",
		Example: "  jeantrail-ai transcribe meeting.m4a\n  jeantrail-ai transcribe talk.mp3 --format srt -o talk.srt",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, a []string) error {
			if err := h.check(cmd, o); err != nil {
				return err
			}
			content, size, err := openInput(cmd.InOrStdin(), a[0])
			if err != nil {
				return err
			}
			defer content.Close()
			return withWorkers(cmd.Context(), o, func(s *Session) error { return h.run(cmd, s, content, size) })
		},
	}
	h.flags(cmd)
	return o.jsonFlag(cmd)
}

// run sends the sound and writes what comes back.
func (h *hearing) run(cmd *cobra.Command, s *Session, content io.Reader, size int64) error {
	bar := newProgress("sending", true)
	defer bar.Done()
	f := h.form(content)
	f.sent = func(bytes int64) { bar.Set(bytes, size) }
	resp, err := s.upload(cmd.Context(), "/transcribe", f, "*/*")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	bar.Done()
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		return h.answer(cmd, resp)
	}
	return h.write(cmd, resp.Body)
}

// answer writes a JSON answer, or the text in it.
func (h *hearing) answer(cmd *cobra.Command, resp *http.Response) error {
	var raw json.RawMessage
	if err := json.NewDecoder(resp.Body).Decode(&raw); err != nil {
		return fmt.Errorf("read the answer to /transcribe: %w", err)
	}
	var a struct {
		wireAnswer
		Language string  `json:"language"`
		Seconds  float64 `json:"duration_seconds"`
	}
	if err := json.Unmarshal(raw, &a); err != nil {
		return fmt.Errorf("read the answer to /transcribe: %w", err)
	}
	var out bytes.Buffer
	if h.asJSON() {
		if err := printJSON(&out, raw); err != nil {
			return err
		}
	} else {
		fmt.Fprintln(&out, strings.TrimSpace(a.Text))
	}
	if err := h.write(cmd, &out); err != nil {
		return err
	}
	f := follower{err: cmd.ErrOrStderr(), answer: a.wireAnswer}
	f.summary(fmt.Sprintf("%.1f s", a.Seconds), a.Language)
	return nil
}

// write puts the transcription where it is wanted.
func (h *hearing) write(cmd *cobra.Command, content io.Reader) error {
	if h.output.path == "" {
		_, err := io.Copy(cmd.OutOrStdout(), content)
		if err != nil {
			return fmt.Errorf("print: %w", err)
		}
		return nil
	}
	if _, err := keep(h.output.path, h.output.force, content); err != nil {
		return err
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), h.output.path)
	return err
}
