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

func newChatCommand(o *options) *cobra.Command {
	s := &sampling{}
	cmd := &cobra.Command{
		Use:   "chat",
		Short: "Talk with the model; Ctrl-C stops an answer, Ctrl-D ends the chat",
		Long:  "Talks with the model. With --template the first line of each conversation fills the template's main\nvariable; " + varHelp,
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.check(cmd); err != nil {
				return err
			}
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

// conversation is what a chat sends again with each turn.
type conversation struct {
	messages []map[string]string
	system   string // of the template
}

// turn returns the body that asks for an answer to a line, and adds the line.
// The first line of a conversation goes through the template, if there is one.
func (c *conversation) turn(cmd *cobra.Command, session *Session, s *sampling, line string) (map[string]any, error) {
	body := s.body(cmd)
	if len(c.messages) == 0 && s.filling.template != "" {
		opening, err := s.filling.render(cmd.Context(), session, line)
		if err != nil {
			return nil, err
		}
		if opening.System != "" && s.system != "" {
			return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "the template %s has a system text; --system is another", opening.Name).
				WithHint("Leave --system out.")
		}
		line, c.system = opening.Prompt, opening.System
	}
	c.messages = append(c.messages, map[string]string{"role": "user", "content": line})
	if c.system != "" {
		body["system"] = c.system
	}
	body["messages"] = c.messages
	return body, nil
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
	var talk conversation
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
			talk = conversation{}
			continue
		}
		body, err := talk.turn(cmd, session, s, line)
		if err != nil {
			return err
		}
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
		talk.messages = append(talk.messages, map[string]string{"role": "assistant", "content": p.text.String()})
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
