package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/jeantrail/jeantrail-ai"
)

// sampling are the flags that generate and chat share; only those given are
// sent, so that the model's defaults stay in force.
type sampling struct {
	model       string
	system      string
	maxTokens   int
	temperature float64
	topP        float64
	topK        int
	seed        uint32
	thinking    bool
}

func (s *sampling) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&s.model, "model", "m", "", "model or alias (default: the configured one)")
	f.StringVar(&s.system, "system", "", "system message")
	f.IntVarP(&s.maxTokens, "max-tokens", "n", 0, "the most tokens to generate")
	f.Float64VarP(&s.temperature, "temperature", "t", 0, "randomness; 0 always picks the likeliest token")
	f.Float64Var(&s.topP, "top-p", 0, "draw from the likeliest tokens that make up this share")
	f.IntVar(&s.topK, "top-k", 0, "draw from this many likeliest tokens")
	f.Uint32Var(&s.seed, "seed", 0, "seed of the draw")
	f.BoolVar(&s.thinking, "thinking", false, "let the model reason before it answers")
}

func (s *sampling) body(cmd *cobra.Command) map[string]any {
	body := make(map[string]any)
	for flag, field := range map[string]struct {
		name  string
		value any
	}{
		"model": {"model", s.model}, "system": {"system", s.system}, "max-tokens": {"max_tokens", s.maxTokens},
		"temperature": {"temperature", s.temperature}, "top-p": {"top_p", s.topP}, "top-k": {"top_k", s.topK},
		"seed": {"seed", s.seed}, "thinking": {"thinking", s.thinking},
	} {
		if cmd.Flags().Changed(flag) {
			body[field.name] = field.value
		}
	}
	return body
}

func newGenerateCommand(o *options) *cobra.Command {
	s := &sampling{}
	var raw bool
	cmd := &cobra.Command{
		Use:     "generate PROMPT | -",
		Short:   "Answer one prompt, streaming to the terminal",
		Example: "  jeantrail-ai generate \"What can you do?\"\n  cat notes.txt | jeantrail-ai generate -",
		Args:    args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, a []string) error {
			prompt, err := promptText(cmd.InOrStdin(), a)
			if err != nil {
				return err
			}
			body := s.body(cmd)
			body["prompt"] = prompt
			if raw {
				body["raw"] = true
			}
			return withSession(cmd.Context(), o, func(session *Session) error {
				if err := session.Ready(cmd.Context()); err != nil {
					return err
				}
				p := &printer{out: cmd.OutOrStdout(), err: cmd.ErrOrStderr(), json: o.json}
				return errors.Join(session.Generate(cmd.Context(), body, p.event), p.end())
			})
		},
	}
	s.flags(cmd)
	cmd.Flags().BoolVar(&raw, "raw", false, "send the prompt as it is, without the chat template")
	return o.jsonFlag(cmd)
}

// promptText is the arguments joined, or standard input for "-".
func promptText(in io.Reader, a []string) (string, error) {
	if len(a) != 1 || a[0] != "-" {
		return strings.Join(a, " "), nil
	}
	data, err := io.ReadAll(io.LimitReader(in, jeantrail.MaxPromptBytes+1))
	if err != nil {
		return "", fmt.Errorf("read the prompt: %w", err)
	}
	if len(data) > jeantrail.MaxPromptBytes {
		return "", jeantrail.Errorf(jeantrail.CodeTooLarge, "the prompt is larger than %d bytes", jeantrail.MaxPromptBytes)
	}
	return string(data), nil
}

// printer writes events for a person, or as JSON lines.
type printer struct {
	out, err  io.Writer
	json      bool
	reasoning bool // reasoning is being shown
	wrote     bool
	answer    wireAnswer
	text      strings.Builder
}

func (p *printer) event(e wireEvent) error {
	if p.json {
		_, err := fmt.Fprintf(p.out, "%s\n", e.Raw)
		return errors.Join(err, p.finish(e))
	}
	if e.Type == string(jeantrail.EventToken) && e.Text != "" {
		p.token(e)
	}
	return p.finish(e)
}

func (p *printer) token(e wireEvent) {
	if e.Reasoning != p.reasoning {
		p.reasoning = e.Reasoning
		if !p.reasoning {
			fmt.Fprint(p.err, "\n")
		}
	}
	if p.reasoning { // reasoning is not the answer: it does not go down a pipe
		fmt.Fprint(p.err, e.Text)
		return
	}
	p.wrote = true
	p.text.WriteString(e.Text)
	fmt.Fprint(p.out, e.Text)
}

func (p *printer) finish(e wireEvent) error {
	if !e.terminal() {
		return nil
	}
	if e.Error != nil {
		return e.Error.err()
	}
	if e.Result != nil {
		p.answer = *e.Result
	}
	return nil
}

// end closes the line and, on a terminal, says what the answer took. It
// reports what ended the answer early.
func (p *printer) end() error {
	if p.json {
		return nil
	}
	if p.wrote && !strings.HasSuffix(p.text.String(), "\n") {
		fmt.Fprintln(p.out)
	}
	a := p.answer
	if term.IsTerminal(int(os.Stderr.Fd())) && a.Status != "" {
		fmt.Fprintf(p.err, "[%s · %d+%d tokens · %.0f tok/s · $%s]\n",
			a.Model, a.Usage.Prompt, a.Usage.Completion, a.Timings.TokensPerSecond, a.Cost.USD)
	}
	if a.Truncated {
		fmt.Fprintln(p.err, "note: the answer was cut off at the token limit; raise it with --max-tokens.")
	}
	return nil
}

func newChatCommand(o *options) *cobra.Command {
	s := &sampling{}
	cmd := &cobra.Command{
		Use:   "chat",
		Short: "Talk with the model; Ctrl-C stops an answer, Ctrl-D ends the chat",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withSession(cmd.Context(), o, func(session *Session) error {
				if err := session.Ready(cmd.Context()); err != nil {
					return err
				}
				return chat(cmd, o, session, s)
			})
		},
	}
	s.flags(cmd)
	return cmd
}

// chat reads a line, streams the answer and keeps both for the next turn.
func chat(cmd *cobra.Command, o *options, session *Session, s *sampling) error {
	in := bufio.NewScanner(cmd.InOrStdin())
	in.Buffer(make([]byte, 64<<10), jeantrail.MaxPromptBytes)
	prompt := ""
	if term.IsTerminal(int(os.Stdin.Fd())) {
		prompt = "> "
		fmt.Fprintln(cmd.ErrOrStderr(), "Write and press Enter; /new forgets the conversation, Ctrl-D ends it.")
	}
	var history []map[string]string
	for {
		fmt.Fprint(cmd.ErrOrStderr(), prompt)
		line, err := readLine(cmd.Context(), in)
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		switch strings.TrimSpace(line) {
		case "":
			continue
		case "/new":
			history = nil
			continue
		}
		history = append(history, map[string]string{"role": "user", "content": line})
		body := s.body(cmd)
		body["messages"] = history
		p := &printer{out: cmd.OutOrStdout(), err: cmd.ErrOrStderr()}
		ctx, release := o.interrupts.catch(cmd.Context())
		err = session.Generate(ctx, body, p.event)
		release()
		if errors.Is(err, errInterrupted) && cmd.Context().Err() == nil {
			fmt.Fprintln(cmd.ErrOrStderr(), " [stopped]")
			err = nil
		}
		if err := errors.Join(err, p.end()); err != nil {
			return err
		}
		history = append(history, map[string]string{"role": "assistant", "content": p.text.String()})
	}
}

// readLine waits for a line or for ctx. A read of the terminal cannot be
// interrupted; its goroutine ends with the process.
func readLine(ctx context.Context, in *bufio.Scanner) (string, error) {
	type read struct {
		line string
		err  error
	}
	got := make(chan read, 1)
	go func() {
		if in.Scan() {
			got <- read{line: in.Text()}
			return
		}
		err := in.Err()
		if err == nil {
			err = io.EOF
		}
		got <- read{err: err}
	}()
	select {
	case r := <-got:
		return r.line, r.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}
