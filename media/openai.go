package media

import (
	"context"
	"fmt"
	"strings"

	"github.com/jeantrail/jeantrail-ai"
)

// generation is a request for pictures in OpenAI's dialect.
type generation struct {
	Model  string `json:"model,omitempty"`
	Prompt string `json:"prompt"`
	N      int    `json:"n"`
	Size   string `json:"size,omitempty"`
	Format string `json:"response_format"`
	Step   int    `json:"step,omitempty"` // LocalAI's
}

// openAIRefuses says what the dialect has no field for; what is asked for and
// would be ignored is an error.
func (w *Worker) openAIRefuses(i *jeantrail.ImageRequest, flavour string) error {
	var field string
	local := flavour == flavourLocalAI || flavour == ""
	switch {
	case i.Seed != nil:
		field = "seed"
	case i.CFGScale != nil:
		field = "cfg_scale"
	case i.NegativePrompt != "" && !local:
		field = "negative_prompt"
	case i.Steps != 0 && !local:
		field = "steps"
	case flavour == flavourLocalAI && strings.Contains(i.Prompt, "|"):
		return jeantrail.Errorf(jeantrail.CodeInvalid, "the prompt has a bar | in it, which the worker %s takes for the beginning of the negative prompt", w.opts.Name).
			WithHint("Use negative_prompt.")
	}
	if field != "" {
		return jeantrail.Errorf(jeantrail.CodeUnsupported, "the worker %s speaks the openai dialect, which has no %s", w.opts.Name, field).
			WithHint("Leave %s out, or use a worker that speaks sdapi.", field)
	}
	if width, height := w.size(i); (width == 0) != (height == 0) {
		return jeantrail.Errorf(jeantrail.CodeInvalid, "width and height must both be given to the worker %s, or neither", w.opts.Name)
	}
	return nil
}

func openAIImages(ctx context.Context, c *call) error {
	i := c.req.Image
	if err := c.worker.openAIRefuses(i, c.known.flavour); err != nil {
		return err
	}
	g := generation{Model: c.model(), Prompt: i.Prompt, Format: "b64_json"}
	if width, height := c.worker.size(i); width > 0 {
		g.Size = fmt.Sprintf("%dx%d", width, height)
	}
	if c.known.flavour == flavourLocalAI {
		g.Step = c.worker.steps(i)
		if i.NegativePrompt != "" {
			g.Prompt += "|" + i.NegativePrompt
		}
	}
	return c.another(ctx, max(i.N, 1), func(missing int) (int, error) {
		g.N = missing
		return c.generations(ctx, &g)
	})
}

// model is what a server is asked for by name.
func (c *call) model() string {
	if c.worker.opts.Model != "" {
		return c.worker.opts.Model
	}
	return c.known.model
}

// generations is one call. It keeps the pictures as they come, but not more than
// were asked for, and returns how many were none.
func (c *call) generations(ctx context.Context, g *generation) (bad int, err error) {
	q, err := jsonQuery("/v1/images/generations", g)
	if err != nil {
		return 0, err
	}
	q.limit = answerLimit(g.N)
	a, err := c.do(ctx, q)
	if err != nil {
		return 0, err
	}
	defer a.Close()
	left := g.N
	var elsewhere []string
	s := newScan(a)
	err = s.object(func(key string) error {
		if key != "data" {
			return s.skip()
		}
		return s.array(func() error {
			return s.object(func(key string) error {
				if key != "b64_json" && key != "url" {
					return s.skip()
				}
				if c, err := s.next(); err != nil || c != '"' || left == 0 {
					return s.skip() // null, or more than was asked for
				}
				left--
				address, ok, err := c.arrive(s)
				if address != "" {
					elsewhere = append(elsewhere, address)
				} else if err == nil && !ok {
					bad++
				}
				return err
			})
		})
	})
	if err == nil {
		err = s.end()
	}
	if err != nil {
		return bad, c.garbled(ctx, a, err)
	}
	for _, address := range elsewhere {
		if err := c.collect(ctx, address, &bad); err != nil {
			return bad, err
		}
	}
	return bad, nil
}

// arrive reads the string that follows: a picture, which is kept, or an address.
func (c *call) arrive(s *scan) (address string, ok bool, err error) {
	text, err := s.chars()
	if err != nil {
		return "", false, err
	}
	file, address, err := c.receive(text)
	if err != nil || address != "" {
		return address, false, err
	}
	defer file.Close()
	ok, err = c.keepPicture(file, nil)
	return "", ok, err
}

// collect fetches a picture that the worker sent as an address.
func (c *call) collect(ctx context.Context, address string, bad *int) error {
	file, err := c.fetch(ctx, address)
	if err != nil {
		return err
	}
	defer file.Close()
	ok, err := c.keepPicture(file, nil)
	if err == nil && !ok {
		*bad++
	}
	return err
}

// answerLimit is the most bytes of an answer with so many pictures in base64.
func answerLimit(n int) int64 { return int64(n+2) * (maxPicture/3*4 + 4) }
