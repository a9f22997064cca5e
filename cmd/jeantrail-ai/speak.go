package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/jeantrail/jeantrail-ai"
)

// speech are the flags of the speak command.
type speech struct {
	asking
	voice, language string
	speed           float64
	filling         filling
}

func (p *speech) flags(cmd *cobra.Command) {
	p.asking.flags(cmd, "worker for speech (default: the first one)")
	p.outputFlags(cmd, "speech", "file or folder to write to, - for standard output (default: this folder)")
	p.asyncFlag(cmd)
	f := cmd.Flags()
	f.StringVar(&p.voice, "voice", "", "voice to speak with (default: the worker's)")
	f.StringVar(&p.language, "language", "", "language code of the text, such as en")
	f.Float64Var(&p.speed, "speed", 1, "how fast, 0.25 to 4; 1 is normal")
	f.StringVar(&p.filling.template, "template", "", "prompt template to fill; see: jeantrail-ai template list")
	p.filling.flags(cmd)
}

// request makes the body of /speak.
func (p *speech) request(cmd *cobra.Command, a []string) (map[string]any, error) {
	body := make(map[string]any)
	p.into(body)
	for flag, field := range map[string]any{"voice": p.voice, "language": p.language, "speed": p.speed} {
		if cmd.Flags().Changed(flag) {
			body[flag] = field
		}
	}
	return p.filling.intoWith(cmd, a, body, "text")
}

// toStdout reports whether the sound goes down a pipe.
func (p *speech) toStdout() bool { return p.output.path == "-" }

// check refuses, before anything is paid for, a place that cannot be written to.
func (p *speech) check(o *options, out io.Writer) error {
	switch {
	case p.async:
		return nil
	case !p.toStdout():
		return p.output.check(1)
	case o.json:
		return errUsage{errors.New("--json and -o - exclude each other: both write to standard output")}
	case isTerminal(out):
		return errUsage{errors.New("the sound is not written to a terminal; use -o FILE.wav, or pipe it into a player")}
	}
	return nil
}

func newSpeakCommand(o *options) *cobra.Command {
	p := &speech{}
	cmd := &cobra.Command{
		Use: "speak TEXT | -", Short: "Speak a text into a WAV file",
		Long: "Speaks a text and writes a WAV file called speech-JOB-0.wav, or as -o says. No file is written over\n" +
			"without --force. With --template the text, if there is one, fills the template's main variable;\n" + varHelp,
		Example: "  jeantrail-ai speak \"Your parcel is on its way.\" -o parcel.wav\n  jeantrail-ai speak -o - - < notes.txt | aplay",
		Args:    args(p.filling.needPrompt),
		RunE: func(cmd *cobra.Command, a []string) error {
			if err := p.filling.check(); err != nil {
				return err
			}
			if err := p.check(o, cmd.OutOrStdout()); err != nil {
				return err
			}
			body, err := p.request(cmd, a)
			if err != nil {
				return err
			}
			return withWorkers(cmd.Context(), o, func(s *Session) error {
				if p.async {
					return p.submit(cmd, o, s, posting(cmd, s, "/speak", body))
				}
				return p.run(cmd, o, s, body)
			})
		},
	}
	p.flags(cmd)
	return o.jsonFlag(cmd)
}

// run speaks and writes the sound.
func (p *speech) run(cmd *cobra.Command, o *options, s *Session, body map[string]any) error {
	f := newFollower(cmd, "speaking")
	if err := s.stream(cmd.Context(), http.MethodPost, "/speak", body, f.event); err != nil {
		return err
	}
	if len(f.answer.Artifacts) == 0 {
		return jeantrail.Errorf(jeantrail.CodeInternal, "the job %s gave no sound", f.answer.JobID)
	}
	sound := &f.answer.Artifacts[0]
	if p.toStdout() {
		resp, err := s.do(cmd.Context(), http.MethodGet, artifactPath(f.answer.JobID, sound.Index), nil, "*/*")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if _, err := io.Copy(cmd.OutOrStdout(), resp.Body); err != nil {
			return stillThere(fmt.Errorf("write the sound: %w", err), f.answer.JobID, sound.Index)
		}
		f.summary(sound.about())
		return nil
	}
	return p.deliver(cmd, o, s, f, sound.about())
}
