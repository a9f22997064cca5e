package server

import (
	"testing"

	"github.com/jeantrail/jeantrail-ai"
)

// Every kind of job can be had over a socket, with a body as its path takes.
func TestSocketMedia(t *testing.T) {
	wav, png := inBase64Text(aWAV()), inBase64Text(aPNG())
	socketTest(t, Options{Road: newFakeRoad(filesScript)}, func(t *testing.T, road *fakeRoad, _ *pipeListener, p *peer) {
		run := func(kind, request string) (*jeantrail.Job, map[string]any) {
			t.Helper()
			p.send(`{"type":"` + kind + `","id":"` + kind + `","request":` + request + `}`)
			if m := p.receive(); m["type"] != "accepted" || m["id"] != kind {
				t.Fatalf("%s: %v", kind, m)
			}
			artifact := p.until("artifact")
			p.until("done")
			return (<-road.submitted).snapshot(), artifact
		}
		made, artifact := run("generate_image", `{"prompt":"x","n":2}`)
		if made.Kind != jeantrail.KindImage || made.Request.Image.N != 2 || artifact["url"] != "/job/"+made.ID+"/artifact/0" || artifact["media_type"] != "image/png" {
			t.Errorf("the image: %+v, %v", made.Request, artifact)
		}
		if job, _ := run("speak", `{"text":"x"}`); job.Kind != jeantrail.KindSpeak || job.Request.Speak.Text != "x" {
			t.Errorf("the speech: %+v", job.Request)
		}
		if job, _ := run("transcribe", `{"audio_base64":"`+wav+`","format":"srt"}`); job.Request.Transcribe.Audio.MediaType != "audio/wav" {
			t.Errorf("the transcription: %+v", job.Request.Transcribe)
		}
		if job, _ := run("transcribe", `{"file":{"job_id":"`+made.ID+`","index":1}}`); job.Request.Transcribe.Audio.Bytes != 34 {
			t.Errorf("the transcription of what a job made: %+v", job.Request.Transcribe)
		}
		job, _ := run("pipeline", `{"workflow":"multimodal_analysis","input_data":{"image":"`+png+`"}}`)
		if file, ok := job.Request.Pipeline.Input["image"].(jeantrail.File); !ok || file.MediaType != "image/png" {
			t.Errorf("the pipeline: %+v", job.Request.Pipeline)
		}
		p.send(`{"type":"transcribe","id":"t","request":{"file":{"job_id":"` + made.ID + `","index":0}}}`)
		if m := p.receive(); m["type"] != "rejected" || m["error"].(map[string]any)["code"] != "unsupported_media" {
			t.Errorf("the sound of an image: %v", m)
		}
	})
}
