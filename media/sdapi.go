package media

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
)

// txt2img is a request for pictures in the sdapi dialect. What is left out is the
// server's own default.
type txt2img struct {
	Prompt   string   `json:"prompt"`
	Negative string   `json:"negative_prompt,omitempty"`
	Width    int      `json:"width,omitempty"`
	Height   int      `json:"height,omitempty"`
	Steps    int      `json:"steps,omitempty"`
	CFGScale *float64 `json:"cfg_scale,omitempty"`
	Seed     int64    `json:"seed"`
	// sd-server makes batch_size pictures and does not know n_iter. The web UIs
	// make batch_size at once, which takes so much more memory, n_iter times.
	BatchSize int  `json:"batch_size"`
	NIter     int  `json:"n_iter"`
	Send      bool `json:"send_images"`
	Save      bool `json:"save_images"` // there, and a grid with them

	Task     string         `json:"force_task_id,omitempty"`
	Override map[string]any `json:"override_settings,omitempty"`
	Restore  *bool          `json:"override_settings_restore_afterwards,omitempty"`
}

func sdapiImages(ctx context.Context, c *call) error {
	i, w := c.req.Image, c.worker
	width, height := w.size(i)
	t := txt2img{
		Prompt: i.Prompt, Negative: i.NegativePrompt, Width: width, Height: height, Steps: w.steps(i), CFGScale: i.CFGScale,
		Seed: seedOf(i), BatchSize: 1, NIter: 1, Send: true,
	}
	webUI := c.known.flavour == flavourWebUI
	if webUI && w.opts.Model != "" {
		// Restoring would load another model after each job.
		t.Override, t.Restore = map[string]any{"sd_model_checkpoint": w.opts.Model}, new(bool)
	}
	return c.another(ctx, max(i.N, 1), func(missing int) (int, error) {
		if webUI {
			t.NIter, t.Task = missing, "task(jeantrail-"+rand.Text()+")"
		} else {
			t.BatchSize = missing
		}
		return c.txt2img(ctx, &t, missing)
	})
}

// txt2img is one call for so many pictures. It sets the seed to the one after
// those that were used, and returns how many files were no pictures.
func (c *call) txt2img(ctx context.Context, t *txt2img, want int) (bad int, err error) {
	q, err := jsonQuery("/sdapi/v1/txt2img", t)
	if err != nil {
		return 0, err
	}
	q.limit = answerLimit(want + maxExtras)
	unwatch := c.watch(ctx, t)
	a, err := c.do(ctx, q)
	unwatch()
	if err != nil {
		if ctx.Err() != nil {
			c.interrupt(ctx, t)
		}
		return 0, err
	}
	defer a.Close()
	r := received{seeds: nil}
	defer r.close()
	if err := r.read(c, newScan(a), want); err != nil {
		return 0, c.garbled(ctx, a, err)
	}
	t.Seed += int64(max(len(r.seeds), len(r.files)))
	first, count := r.pictures(want)
	for n, file := range r.files[first : first+count] {
		var seed *int64
		if count == min(len(r.seeds), want) { // else nobody knows which are missing
			seed = &r.seeds[n]
		}
		ok, err := c.keepPicture(file, seed)
		if err != nil {
			return bad, err
		}
		if !ok {
			bad++
		}
	}
	return bad, nil
}

// received is an answer to txt2img. What it has beside the pictures comes after
// them, so that they wait on the disk.
type received struct {
	files []*spool
	seeds []int64
	first int // index of the first picture that was asked for
}

func (r *received) close() {
	for _, f := range r.files {
		_ = f.Close()
	}
}

// pictures returns where those that were asked for are among the files: not a
// grid before them, nor what extensions add after them.
func (r *received) pictures(want int) (first, count int) {
	first = min(max(r.first, 0), len(r.files))
	count = min(len(r.files)-first, want)
	if len(r.seeds) > 0 {
		count = min(count, len(r.seeds))
	}
	return first, count
}

func (r *received) read(c *call, s *scan, want int) error {
	err := s.object(func(key string) error {
		switch next, err := s.next(); {
		case err != nil:
			return err
		case key == "images" && next == '[':
			return s.array(func() error { return r.file(c, s, want) })
		case key == "info" && next == '"':
			return r.info(s)
		}
		return s.skip()
	})
	if err != nil {
		return err
	}
	return s.end()
}

func (r *received) file(c *call, s *scan, want int) error {
	if len(r.files) >= want+maxExtras {
		return c.unreadable("sent more than %d pictures instead of %d", want+maxExtras, want)
	}
	text, err := s.chars()
	if err != nil {
		return err
	}
	file, address, err := c.receive(text)
	if err == nil && file == nil {
		err = c.unreadable("sent the address %s instead of a picture", plain(address, 80))
	}
	if err != nil {
		return err
	}
	r.files = append(r.files, file)
	return nil
}

// info reads the JSON that stands in a string. It repeats the prompt for each
// picture, so that it can be large; what is needed of it is not.
func (r *received) info(s *scan) error {
	text, err := s.chars()
	if err != nil {
		return err
	}
	in := newScan(text)
	if _, err := in.next(); errors.Is(err, io.ErrUnexpectedEOF) {
		return drain(text) // older servers send an empty one
	}
	err = in.object(func(key string) error {
		switch key {
		case "all_seeds":
			return in.value(&r.seeds, 4<<10)
		case "index_of_first_image":
			return in.value(&r.first, 64)
		}
		return in.skip()
	})
	if err != nil {
		return fmt.Errorf("read info: %w", err)
	}
	return drain(in.in)
}
