package media

import (
	"context"
	"math/rand/v2"
	"strings"

	"github.com/jeantrail/jeantrail-ai"
)

// imageCraft makes pictures, and counts those that are. A job that got fewer than it asked for, but some,
// succeeds with FinishLength and Truncated; one that got none fails.
func imageCraft() *craft {
	return &craft{
		prepare: prepareImage,
		dialects: map[string]func(context.Context, *call) error{
			dialectSDAPI:  sdapiImages,
			dialectOpenAI: openAIImages,
		},
	}
}

func prepareImage(_ context.Context, w *Worker, req *jeantrail.Request, dialect string) (jeantrail.Bounds, error) {
	i := req.Image
	if i == nil {
		return jeantrail.Bounds{}, jeantrail.Errorf(jeantrail.CodeInvalid, "the request says nothing about a picture")
	}
	if strings.TrimSpace(i.Prompt) == "" {
		return jeantrail.Bounds{}, jeantrail.Errorf(jeantrail.CodeInvalid, "the prompt of the picture is empty").WithHint("Say what is to be seen.")
	}
	for _, text := range []string{i.Prompt, i.NegativePrompt} {
		if strings.Contains(strings.ToLower(text), commandMarkup) {
			return jeantrail.Bounds{}, jeantrail.Errorf(jeantrail.CodeInvalid, "the prompt has %s in it, which image servers take for a command", commandMarkup).
				WithHint("Leave it out; width, height, steps, cfg_scale and seed are fields of the request.")
		}
	}
	if dialect == dialectOpenAI {
		if err := w.openAIRefuses(i, w.knows().flavour); err != nil {
			return jeantrail.Bounds{}, err
		}
	}
	return jeantrail.Bounds{Images: max(i.N, 1), Exact: true}, nil
}

// commandMarkup is the tag whose content sd-server runs as parameters.
const commandMarkup = "sd_cpp_extra_args"

// size returns what a picture is to have, 0 for the worker's own default.
func (w *Worker) size(i *jeantrail.ImageRequest) (width, height int) {
	width, height = i.Width, i.Height
	if width == 0 {
		width = w.opts.Width
	}
	if height == 0 {
		height = w.opts.Height
	}
	return width, height
}

func (w *Worker) steps(i *jeantrail.ImageRequest) int {
	if i.Steps == 0 {
		return w.opts.Steps
	}
	return i.Steps
}

// seedOf returns the request's seed, or a random one: servers that choose one
// themselves choose the same within a second, or always.
func seedOf(i *jeantrail.ImageRequest) int64 {
	if i.Seed != nil {
		return *i.Seed
	}
	return rand.Int64N(1<<32 - jeantrail.MaxImages)
}

// another asks for pictures until there are as many as were asked for: some
// servers give one at a time, or lose one. ask gets how many are missing. A
// server that gives none, or fails once there are some, is not asked again.
func (c *call) another(ctx context.Context, want int, ask func(missing int) (bad int, err error)) error {
	bad := 0
	for c.result.Usage.Images < want {
		before := c.result.Usage.Images
		wrong, err := ask(want - before)
		if err != nil && (before == 0 || ctx.Err() != nil || jeantrail.CodeOf(err) != jeantrail.CodeWorkerUnavailable) {
			return err
		}
		bad += wrong
		if c.result.Usage.Images == before {
			break
		}
	}
	return c.concluded(want, bad)
}

// concluded is the end of an image job: how many came of those that were asked
// for, and how many of what came were no pictures.
func (c *call) concluded(want, bad int) error {
	got := c.result.Usage.Images
	switch {
	case got == 0 && bad > 0:
		return c.unreadable("sent %d files that are no whole pictures", bad)
	case got == 0:
		return c.unreadable("made no picture")
	case got < want:
		c.result.FinishReason, c.result.Truncated = jeantrail.FinishLength, true
	default:
		c.result.FinishReason = jeantrail.FinishStop
	}
	return nil
}
