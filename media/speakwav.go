package media

import (
	"bufio"
	"context"
	"errors"
	"io"
	"time"
	"unicode/utf8"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/media/audio"
)

// What a second of speech takes at most: 48 kHz, two channels of 32 bits. The
// rest is for what stands before and after it.
const (
	speechRate = 48000 * 2 * 4
	speechRest = 1 << 20
	maxSpeech  = 2 << 30
)

// speak sends a query for speech and keeps what comes, if it is whole. The file
// gets the sizes that servers which stream do not know yet when they begin.
func (c *call) speak(ctx context.Context, q query) error {
	q.accept = "audio/wav"
	q.limit = min(int64(c.bounds.AudioOut.Seconds()+1)*speechRate+speechRest, maxSpeech)
	a, err := c.do(ctx, q)
	if err != nil {
		return err
	}
	defer a.Close()
	body := bufio.NewReader(a)
	if err := c.soundsLikeWAV(a, body); err != nil {
		return err
	}
	file, err := c.worker.newSpool()
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := audio.Rewrite(file, body)
	var bad *jeantrail.Error
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &bad) && bad.Code == jeantrail.CodeUnsupportedMedia:
		return c.unreadable("sent speech that cannot be used: %s", bad.Message)
	case err != nil:
		return err
	case info.Duration > c.bounds.AudioOut:
		return c.unreadable("spoke for %s, longer than such a text takes", info.Duration.Round(time.Millisecond)).
			WithNumber("limit_ms", c.bounds.AudioOut.Milliseconds())
	}
	if err := file.rewind(); err != nil {
		return err
	}
	made := jeantrail.Artifact{Kind: jeantrail.ArtifactAudio, Duration: max(info.Duration.Round(time.Millisecond), time.Millisecond)}
	made.MediaType = audio.WAV.MediaType()
	return c.keep(made, file)
}

// soundsLikeWAV looks at the beginning of an answer. What is not sound has the
// worker's own words, for an error with which it says that all is well.
func (c *call) soundsLikeWAV(a *answer, body *bufio.Reader) error {
	head, err := body.Peek(4)
	switch {
	case len(head) == 0 && err == io.EOF:
		return c.unreadable("sent nothing instead of speech")
	case len(head) < 4 && err != io.EOF:
		return err
	case string(head) == "RIFF", string(head) == "RF64", string(head) == "BW64":
		return nil
	}
	kind := plain(a.header.Get("Content-Type"), 80)
	text, err := io.ReadAll(io.LimitReader(body, maxProblem))
	if err != nil {
		return err
	}
	if said := words(text); utf8.Valid(text) && said != "" {
		return c.unreadable("sent no speech (%s), but says: %s", kind, said)
	}
	return c.unreadable("sent %s instead of WAV", kind)
}
