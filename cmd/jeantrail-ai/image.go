package main

import (
	"fmt"
	"net/http"

	"github.com/spf13/cobra"
)

// picture are the flags of the image command; only those given are sent, so that
// the worker's defaults stay in force.
type picture struct {
	asking
	negative      string
	width, height int
	steps, n      int
	cfgScale      float64
	seed          int64
	filling       filling
}

func (p *picture) flags(cmd *cobra.Command) {
	p.asking.flags(cmd, "worker for images (default: the first one)")
	p.outputFlags(cmd, "image", "file or folder to write to (default: this folder)")
	p.asyncFlag(cmd)
	f := cmd.Flags()
	f.StringVar(&p.negative, "negative", "", "what the image must not show")
	f.IntVar(&p.width, "width", 0, "width in pixels, 64 to 4096; the worker may round it up")
	f.IntVar(&p.height, "height", 0, "height in pixels, 64 to 4096; the worker may round it up")
	f.IntVar(&p.steps, "steps", 0, "steps of the sampler, 1 to 100")
	f.Float64Var(&p.cfgScale, "cfg-scale", 0, "how closely the image follows the prompt")
	f.Int64Var(&p.seed, "seed", 0, "seed of the draw (default: a random one, which is printed)")
	f.IntVarP(&p.n, "number", "n", 1, "how many images, 1 to 8")
	f.StringVar(&p.filling.template, "template", "", "prompt template to fill; see: jeantrail-ai template list")
	p.filling.flags(cmd)
}

// request makes the body of /generate-image.
func (p *picture) request(cmd *cobra.Command, a []string) (map[string]any, error) {
	body := make(map[string]any)
	p.into(body)
	for flag, field := range map[string]struct {
		name  string
		value any
	}{
		"negative": {"negative_prompt", p.negative}, "width": {"width", p.width}, "height": {"height", p.height},
		"steps": {"steps", p.steps}, "cfg-scale": {"cfg_scale", p.cfgScale}, "seed": {"seed", p.seed}, "number": {"n", p.n},
	} {
		if cmd.Flags().Changed(flag) {
			body[field.name] = field.value
		}
	}
	return p.filling.intoWith(cmd, a, body, "prompt")
}

func newImageCommand(o *options) *cobra.Command {
	p := &picture{}
	cmd := &cobra.Command{
		Use: "image PROMPT | -", Short: "Make images from a prompt and write them to files",
		Long: "Makes images and writes them as files called image-JOB-N.png, or as -o says. No file is written over\n" +
			"without --force. With --template the prompt, if there is one, fills the template's main variable;\n" + varHelp,
		Example: "  jeantrail-ai image \"a red lighthouse at dusk\" --width 1024 --height 1024 -o lighthouse.png\n" +
			"  jeantrail-ai image \"a cat\" -n 4 --seed 7 -o cats/",
		Args: args(p.filling.needPrompt),
		RunE: func(cmd *cobra.Command, a []string) error {
			if err := p.filling.check(); err != nil {
				return err
			}
			body, err := p.request(cmd, a)
			if err != nil {
				return err
			}
			if !p.async {
				if err := p.output.check(p.n); err != nil {
					return err
				}
			}
			return withWorkers(cmd.Context(), o, func(s *Session) error {
				if p.async {
					return p.submit(cmd, o, s, posting(cmd, s, "/generate-image", body))
				}
				return p.run(cmd, o, s, body)
			})
		},
	}
	p.flags(cmd)
	return o.jsonFlag(cmd)
}

// run makes the images and writes them.
func (p *picture) run(cmd *cobra.Command, o *options, s *Session, body map[string]any) error {
	f := newFollower(cmd, "making the image")
	if err := s.stream(cmd.Context(), http.MethodPost, "/generate-image", body, f.event); err != nil {
		return err
	}
	return p.deliver(cmd, o, s, f, fmt.Sprintf("%d of %d images", len(f.answer.Artifacts), max(p.n, 1)))
}
