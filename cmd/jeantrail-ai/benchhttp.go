package main

import (
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/jeantrail/jeantrail-ai/bench"
)

func newBenchHTTPCommand(o *options) *cobra.Command {
	out := benchOutput{}
	opt := bench.HTTPOptions{}
	var api string
	cmd := &cobra.Command{
		Use:   "http",
		Short: "Measure a server: this program's, llama-server, Ollama or any OpenAI-compatible one",
		Long: "Sends streamed requests, several at once, and measures the time to the first token, the gaps between\n" +
			"tokens and the speed. Without --url the instance of this home is measured.",
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			opt.API = bench.API(api)
			show, end := benchProgress()
			opt.Progress = show
			measure := func(s *Session) error {
				report, err := bench.HTTP(cmd.Context(), opt)
				end()
				if report != nil {
					report.Machine, _ = machineFacts()
				}
				return out.finish(cmd, o, report, err, s)
			}
			if opt.URL != "" {
				return measure(nil)
			}
			return withSession(cmd.Context(), o, func(s *Session) error {
				if err := s.Ready(cmd.Context()); err != nil {
					return err
				}
				opt.URL, opt.Token = s.base, s.token
				return measure(s)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&opt.URL, "url", "", "address of the server, such as http://127.0.0.1:8080")
	f.StringVar(&api, "api", "auto", "what it speaks: "+apiNames())
	f.StringVar(&opt.Model, "model", "", "the model to ask for")
	f.StringVar(&opt.Token, "token", os.Getenv("JEANTRAIL_BENCH_TOKEN"), "sent as a bearer token (JEANTRAIL_BENCH_TOKEN)")
	f.IntSliceVar(&opt.Streams, "streams", []int{1, 4, 8, 16}, "requests at once")
	f.IntVar(&opt.Requests, "requests", 0, "requests for each number of streams (default: five rounds)")
	f.IntVarP(&opt.PromptTokens, "n-prompt", "p", 128, "tokens of each prompt, about")
	f.IntVarP(&opt.MaxTokens, "n-gen", "n", 64, "tokens of each answer")
	f.BoolVar(&opt.SharedPrefix, "shared", false, "all prompts have their first three quarters in common")
	f.DurationVar(&opt.Timeout, "timeout", 5*time.Minute, "limit of one request")
	f.Lookup("token").DefValue = "" // the help shows no secret
	out.flags(cmd)
	return o.jsonFlag(cmd)
}

func apiNames() string {
	var names []string
	for _, a := range bench.APIs() {
		names = append(names, string(a))
	}
	return strings.Join(names, ", ")
}
