package main

import (
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
	cache       bool
	noCache     bool
	filling     filling
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
	f.BoolVar(&s.cache, "cache", false, "let a stored answer do also if the request is not deterministic, and store this one")
	f.BoolVar(&s.noCache, "no-cache", false, "neither take a stored answer nor store this one")
	f.StringVar(&s.filling.template, "template", "", "prompt template to fill; see: jeantrail-ai template list")
	s.filling.flags(cmd)
}

// check refuses flags that cannot go together.
func (s *sampling) check(cmd *cobra.Command) error {
	if err := s.filling.check(); err != nil {
		return err
	}
	return exclusive(cmd, "cache", "no-cache")
}

func (s *sampling) body(cmd *cobra.Command) map[string]any {
	body := make(map[string]any)
	if s.cache || s.noCache {
		body["cache"] = s.cache
	}
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

// request makes the body of /generate from the flags and the prompt.
func (s *sampling) request(cmd *cobra.Command, a []string) (map[string]any, error) {
	if err := s.check(cmd); err != nil {
		return nil, err
	}
	body := s.body(cmd)
	return s.filling.intoWith(cmd, a, body, "prompt")
}

func newGenerateCommand(o *options) *cobra.Command {
	s := &sampling{}
	var raw, noWait bool
	var who asking
	var images []string
	cmd := &cobra.Command{
		Use:   "generate PROMPT | -",
		Short: "Answer one prompt, streaming to the terminal",
		Long:  "Answers one prompt. With --template the prompt, if there is one, fills the template's main variable;\n" + varHelp,
		Example: "  jeantrail-ai generate \"What can you do?\"\n  cat notes.txt | jeantrail-ai generate -\n" +
			"  jeantrail-ai generate --image cat.png \"What is this?\"\n" +
			"  jeantrail-ai generate --template price_intelligence --var alibaba_price=12.5 --var amazon_price=30 \\\n" +
			"    --var weight=0.4 --var has_free_shipping=true",
		Args: args(s.filling.needPrompt),
		RunE: func(cmd *cobra.Command, a []string) error {
			body, err := s.request(cmd, a)
			if err != nil {
				return err
			}
			if raw {
				body["raw"] = true
			}
			if noWait {
				body["wait_for_model"] = false
			}
			who.into(body)
			if err := addImages(cmd.InOrStdin(), body, images); err != nil {
				return err
			}
			return withSession(cmd.Context(), o, func(session *Session) error {
				if !noWait {
					if err := session.Ready(cmd.Context()); err != nil {
						return err
					}
				}
				p := &printer{out: cmd.OutOrStdout(), err: cmd.ErrOrStderr(), json: o.json}
				return errors.Join(session.Generate(cmd.Context(), body, p.event), p.end())
			})
		},
	}
	s.flags(cmd)
	cmd.Flags().BoolVar(&raw, "raw", false, "send the prompt as it is, without the chat template")
	cmd.Flags().BoolVar(&noWait, "no-wait-for-model", false, "fail if the model is not loaded yet; that begins to load it")
	cmd.Flags().StringArrayVar(&images, "image", nil, "FILE: an image for a model that sees; may be repeated")
	who.flags(cmd, "")
	return o.jsonFlag(cmd)
}

// addImages puts image files into a request, in their order.
func addImages(stdin io.Reader, body map[string]any, paths []string) error {
	if len(paths) > jeantrail.MaxFilesPerText {
		return errUsage{fmt.Errorf("--image is given %d times, the most is %d", len(paths), jeantrail.MaxFilesPerText)}
	}
	images := make([]string, 0, len(paths))
	for _, path := range paths {
		data, err := readBase64(stdin, path)
		if err != nil {
			return err
		}
		images = append(images, data)
	}
	if len(images) > 0 {
		body["images"] = images
	}
	return nil
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
	notes     []string // for when the answer is through
}

func (p *printer) event(e wireEvent) error {
	if p.json {
		_, err := fmt.Fprintf(p.out, "%s\n", e.Raw)
		return errors.Join(err, p.finish(e))
	}
	switch jeantrail.EventType(e.Type) {
	case jeantrail.EventToken:
		if e.Text != "" {
			p.token(e)
		}
	case jeantrail.EventAlert:
		p.notes = append(p.notes, e.alert())
	case jeantrail.EventStage:
		if stage, ok := e.stage(); ok {
			fmt.Fprintln(p.err, stage.line())
		}
	case jeantrail.EventArtifact:
		if a, ok := e.artifact(); ok {
			fmt.Fprintf(p.err, "%s (%s)  jeantrail-ai job artifact %s %d -o FILE\n", a.Kind, a.about(), e.JobID, a.Index)
		}
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
		if len(p.answer.Output) > 0 && !p.json {
			printOutput(p.out, p.answer.Output)
		}
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
		fmt.Fprintf(p.err, "[%s · %d+%d tokens · %.0f tok/s · $%s%s]\n",
			a.Model, a.Usage.Prompt, a.Usage.Completion, a.Timings.TokensPerSecond, a.Cost.USD, a.thanks())
	}
	for _, rule := range a.RulesSkipped {
		p.notes = append(p.notes, "a rule was not applied: "+rule)
	}
	switch {
	case a.FinishReason == string(jeantrail.FinishBudget):
		p.notes = append(p.notes, "the answer was cut off because a budget had no room for more; see: jeantrail-ai budget list")
	case a.Truncated:
		p.notes = append(p.notes, "the answer was cut off at the token limit; raise it with --max-tokens.")
	}
	for _, note := range p.notes {
		fmt.Fprintln(p.err, "note:", note)
	}
	return nil
}

// thanks says what made the answer cheaper.
func (a *wireAnswer) thanks() string {
	out := ""
	if a.Cache == string(jeantrail.CacheHit) {
		out += " · from the cache"
	}
	if len(a.RulesApplied) > 0 {
		out += " · rules: " + strings.Join(a.RulesApplied, ", ")
	}
	return out
}
