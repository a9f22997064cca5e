package media

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/jeantrail/jeantrail-ai"
)

const maxModelName = 200 // bytes of what a server calls its model

// ready is the finding of a server that is as it should be.
func ready(model, flavour string) finding {
	return finding{status: jeantrail.WorkerReady, knowledge: knowledge{model: plain(model, maxModelName), flavour: flavour}}
}

// unready is the finding of a page that is no success: of a server that is
// loading, or of none of the dialect.
func unready(p page) finding {
	said := words(p.body)
	switch {
	case p.status == http.StatusServiceUnavailable:
		if said == "" {
			said = "it is loading"
		}
		return finding{status: jeantrail.WorkerStarting, problem: said}
	case p.status == http.StatusUnauthorized, p.status == http.StatusForbidden:
		return finding{problem: "it wants a key; set its api_key in config.yaml"}
	case p.status >= 500:
		return finding{problem: "it failed: " + said}
	}
	return finding{}
}

// lookSDAPI is for sd-server, AUTOMATIC1111 and Forge. Their options are answered
// while a picture is made.
func lookSDAPI(ctx context.Context, w *Worker) (finding, error) {
	p, err := w.client.get(ctx, "/sdapi/v1/options")
	if err != nil {
		return finding{}, err
	}
	var options struct {
		Checkpoint *string `json:"sd_model_checkpoint"`
	}
	if !p.ok(&options) || options.Checkpoint == nil {
		if p.status != http.StatusNotFound {
			return unready(p), nil
		}
		// The web UI's own page is there a moment before its API.
		ping, err := w.client.get(ctx, "/internal/ping")
		if err == nil && ping.ok(&struct{}{}) {
			return finding{status: jeantrail.WorkerStarting, problem: "its API is not there yet; it must be started with --api"}, nil
		}
		return finding{}, err
	}
	f := ready(*options.Checkpoint, flavourPlain)
	p, err = w.client.get(ctx, progressPath)
	if err != nil {
		return finding{}, err
	}
	if p.ok(&struct{}{}) {
		f.flavour = flavourWebUI
	}
	return f, nil
}

// lookModels is for every server of OpenAI's dialect: it lists its models.
func lookModels(ctx context.Context, w *Worker) (finding, error) {
	flavour := flavourPlain
	for _, path := range []string{"/readyz", "/health"} {
		p, err := w.client.get(ctx, path)
		switch {
		case err != nil:
			return finding{}, err
		case p.status == http.StatusServiceUnavailable:
			return unready(p), nil
		case path == "/readyz" && p.status == http.StatusOK:
			flavour = flavourLocalAI
		}
	}
	p, err := w.client.get(ctx, "/v1/models")
	if err != nil {
		return finding{}, err
	}
	var list struct {
		Data *[]struct {
			ID    string `json:"id"`
			Owner string `json:"owned_by"`
		} `json:"data"`
	}
	if !p.ok(&list) || list.Data == nil {
		return unready(p), nil
	}
	f := ready("", flavour)
	anyName := false
	for _, m := range *list.Data {
		f.all = append(f.all, plain(m.ID, maxModelName))
		anyName = anyName || m.Owner == "llamacpp" || m.Owner == "local" // they take any name
		switch m.Owner {
		case "llamacpp":
			f.flavour = flavourLlama
		case "vllm":
			f.flavour = flavourVLLM
		}
	}
	f.chooseModel(w.opts.Model, anyName)
	if f.flavour == flavourVLLM {
		f.version, err = w.version(ctx)
	}
	return f, err
}

// chooseModel takes the model that is asked for, or the first that there is.
func (f *finding) chooseModel(asked string, anyName bool) {
	switch {
	case len(f.all) == 0:
		f.status, f.problem = jeantrail.WorkerDegraded, "it has no model; install one there"
	case asked == "" || slices.Contains(f.all, asked):
		f.model = f.all[0]
		if asked != "" {
			f.model = asked
		}
	default:
		f.model = f.all[0]
		if !anyName {
			f.status = jeantrail.WorkerDegraded
			f.problem = plain("it has no model "+asked+"; it has "+strings.Join(f.all, ", "), maxWords)
		}
	}
}

func (w *Worker) version(ctx context.Context) (string, error) {
	p, err := w.client.get(ctx, "/version")
	var v struct {
		Version string `json:"version"`
	}
	if err != nil || !p.ok(&v) {
		return "", err
	}
	return plain(v.Version, maxModelName), nil
}

// lookASR is for whisper-asr-webservice, which describes itself only.
func lookASR(ctx context.Context, w *Worker) (finding, error) {
	p, err := w.client.get(ctx, "/openapi.json")
	if err != nil {
		return finding{}, err
	}
	if p.status != http.StatusOK || !bytes.Contains(p.body, []byte(`"/asr"`)) {
		return unready(p), nil
	}
	return ready("", flavourPlain), nil
}

// lookWhisper is for whisper.cpp. While it loads another model its health is a
// 404, like everything that it does not know.
func lookWhisper(ctx context.Context, w *Worker) (finding, error) {
	p, err := w.client.get(ctx, "/health")
	if err != nil {
		return finding{}, err
	}
	var health struct {
		Status string `json:"status"`
	}
	switch {
	case p.ok(&health) && health.Status == "ok":
		return ready("", flavourPlain), nil
	case p.status == http.StatusNotFound && bytes.HasPrefix(p.body, []byte("File Not Found (")):
		return finding{status: jeantrail.WorkerStarting, problem: "it is loading a model"}, nil
	}
	return unready(p), nil
}

// lookVoices is for servers of OpenAI's speech dialect that list their voices, as
// Kokoro does.
func lookVoices(ctx context.Context, w *Worker) (finding, error) {
	p, err := w.client.get(ctx, "/v1/audio/voices")
	if err != nil {
		return finding{}, err
	}
	var voices any
	if !p.ok(&voices) {
		return unready(p), nil
	}
	f, err := lookModels(ctx, w)
	if f.status == "" {
		f = ready("", flavourPlain)
	}
	return f, err
}

// lookCoqui is for Coqui's server: the maintained one lists its voices, the
// original one has its page only.
func lookCoqui(ctx context.Context, w *Worker) (finding, error) {
	p, err := w.client.get(ctx, "/voices")
	if err != nil {
		return finding{}, err
	}
	if p.status == http.StatusOK {
		model, _, _ := strings.Cut(strings.TrimSpace(string(p.body)), " ")
		if strings.HasPrefix(model, "<") || strings.HasPrefix(model, "{") {
			model = ""
		}
		return ready(model, flavourPlain), nil
	}
	if p.status != http.StatusNotFound {
		return unready(p), nil
	}
	p, err = w.client.get(ctx, "/")
	if err != nil {
		return finding{}, err
	}
	if p.status != http.StatusOK || !bytes.Contains(p.body, []byte("TTS")) {
		return unready(p), nil
	}
	return ready("", flavourPlain), nil
}
