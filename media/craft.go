package media

import (
	"context"
	"io"

	"github.com/jeantrail/jeantrail-ai"
)

// The dialects.
const (
	dialectSDAPI   = "sdapi"       // image: sd-server, AUTOMATIC1111, Forge
	dialectOpenAI  = "openai"      // every kind
	dialectWhisper = "whisper.cpp" // transcribe
	dialectASR     = "asr"         // transcribe: whisper-asr-webservice
	dialectCoqui   = "coqui"       // speak
)

// craft is what is done for requests of one kind.
type craft struct {
	// prepare reads a request: it returns the most that it can use, or why it can
	// never run. What depends on the dialect is refused here if the dialect is
	// known, "" if it is not, and by the dialect's own function otherwise.
	prepare func(ctx context.Context, w *Worker, req *jeantrail.Request, dialect string) (jeantrail.Bounds, error)
	// prompt is about how many tokens the prompt has, for the event that the job
	// has started. nil: it has none.
	prompt func(req *jeantrail.Request) int
	// dialects do the work, each in its protocol. The first error ends the job.
	dialects map[string]func(ctx context.Context, c *call) error
}

// craftOf returns the craft of a kind, nil if there is none. Each is in the file
// named for it.
func craftOf(k jeantrail.Kind) *craft {
	switch k {
	case jeantrail.KindImage:
		return imageCraft()
	case jeantrail.KindTranscribe:
		return transcribeCraft()
	case jeantrail.KindSpeak:
		return speakCraft()
	case jeantrail.KindText:
		return chatCraft()
	default:
		return nil
	}
}

// call is one job at a worker, as a dialect sees it.
type call struct {
	*client
	worker *Worker
	req    *jeantrail.Request
	job    *jeantrail.Job
	bounds jeantrail.Bounds
	sink   Sink
	// known is what probes found out about the server.
	known knowledge
	// result is filled as far as the work goes. Images and seconds of audio that
	// were made are counted by keep.
	result *jeantrail.Result
}

// keep passes a finished artifact on and counts it. The content is read to its
// end; an error of reading it is returned as it is.
func (c *call) keep(a jeantrail.Artifact, content io.Reader) error {
	kept, err := c.sink.Artifact(a, content)
	if err != nil {
		return err
	}
	c.result.Artifacts = append(c.result.Artifacts, kept)
	switch a.Kind {
	case jeantrail.ArtifactImage:
		c.result.Usage.Images++
	case jeantrail.ArtifactAudio:
		c.result.Usage.AudioOut += kept.Duration
	}
	return nil
}
