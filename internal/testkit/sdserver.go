package testkit

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path"
	"regexp"
	"strings"
	"time"
)

// SDServer is stable-diffusion.cpp's sd-server. The port opens only when the
// model is loaded; there is no health path, no progress, no interrupting, and
// a picture is finished also when nobody waits for it any more.
type SDServer struct {
	Model     string // the checkpoint's file name, sd_xl_base_1.0.safetensors unless told
	Width     int    // the server's own default in pixels, 512 unless told
	Height    int
	Steps     int   // 20 unless told
	Seed      int64 // for the OpenAI dialect, 42 unless told
	MaxPixels int   // a larger picture runs out of memory, 0 for no limit
	Lose      int   // so many pictures of each batch fail to be encoded
}

// Work implements Double.
func (SDServer) Work() []string { return []string{"/sdapi/v1/txt2img", "/v1/images/generations"} }

func (SDServer) perConnection() int64 { return 100 }

// Handler implements Double.
func (d SDServer) Handler(s *Server) http.Handler {
	d.Model = or(d.Model, "sd_xl_base_1.0.safetensors")
	d.Width, d.Height, d.Steps, d.Seed = or(d.Width, 512), or(d.Height, 512), or(d.Steps, 20), or(d.Seed, 42)
	sd := &sdServer{SDServer: d, server: s, mutex: make(slots, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		write(w, http.StatusOK, "text/html", []byte("<!doctype html><title>stable-diffusion.cpp</title>"))
	})
	mux.HandleFunc("POST /sdapi/v1/txt2img", sd.txt2img)
	mux.HandleFunc("POST /v1/images/generations", sd.generations)
	stem := strings.TrimSuffix(d.Model, path.Ext(d.Model))
	answers := map[string]any{
		"/v1/models":           object{"data": []object{{"id": "sd-cpp-local", "object": "model", "owned_by": "local"}}},
		"/sdapi/v1/options":    object{"samples_format": "png", "sd_model_checkpoint": stem},
		"/sdapi/v1/sd-models":  []object{{"title": stem, "model_name": stem, "filename": "/models/" + d.Model, "hash": "", "sha256": "", "config": nil}},
		"/sdapi/v1/samplers":   []object{{"name": "euler", "aliases": []string{}, "options": object{}}, {"name": "euler_a", "aliases": []string{}, "options": object{}}},
		"/sdapi/v1/schedulers": []object{{"name": "discrete", "label": "discrete"}, {"name": "karras", "label": "karras"}},
		"/sdapi/v1/loras":      []object{},
		"/sdapi/v1/upscalers":  []object{},
		"/sdcpp/v1/capabilities": object{
			"model":           object{"name": d.Model, "stem": stem, "path": "/models/" + d.Model},
			"supported_modes": []string{"img_gen"},
			"samplers":        []string{"euler", "euler_a"}, "schedulers": []string{"discrete", "karras"},
			"limits":   object{"min_width": 64, "max_width": 4096, "min_height": 64, "max_height": 4096, "max_batch_count": 8, "max_queue_size": 64},
			"features": object{"cancel_queued": true, "cancel_generating": false},
		},
	}
	for at, v := range answers {
		mux.HandleFunc("GET "+at, func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, v) })
	}
	return httplib(s, mux, nil)
}

type sdServer struct {
	SDServer
	server *Server
	mutex  slots
}

// An order is a picture request as sd-server understands it.
type order struct {
	Prompt    string  `json:"prompt"`
	Negative  string  `json:"negative_prompt"`
	Width     int     `json:"width"`
	Height    int     `json:"height"`
	Steps     int     `json:"steps"`
	Cfg       float64 `json:"cfg_scale"`
	Seed      int64   `json:"seed"`
	BatchSize int     `json:"batch_size"`
	Sampler   string  `json:"sampler_name"`

	raw json.RawMessage

	N            int    `json:"n"`
	Size         string `json:"size"`
	OutputFormat string `json:"output_format"`
}

// read reads a body over the defaults, and answers itself when it can not.
func (d *sdServer) read(w http.ResponseWriter, r *http.Request, o *order) bool {
	body, err := io.ReadAll(r.Body)
	if err != nil || len(body) == 0 {
		writeJSON(w, http.StatusBadRequest, object{"error": "empty body"})
		return false
	}
	if err := json.Unmarshal(body, o); err != nil {
		writeJSON(w, http.StatusInternalServerError, object{"error": "server_error", "message": "[json.exception.parse_error.101] " + err.Error()})
		return false
	}
	o.raw = body
	if o.Prompt == "" {
		writeJSON(w, http.StatusBadRequest, object{"error": "prompt required"})
		return false
	}
	return true
}

var extraArgs = regexp.MustCompile(`(?s)<sd_cpp_extra_args>(.*?)</sd_cpp_extra_args>`)

// execute takes parameters out of the prompt, as the real server does.
func (d *sdServer) execute(o *order) error {
	for _, found := range extraArgs.FindAllStringSubmatch(o.Prompt, -1) {
		d.server.Note("executed sd_cpp_extra_args %s", found[1])
		prompt := o.Prompt
		if err := json.Unmarshal([]byte(found[1]), o); err != nil {
			return err
		}
		o.Prompt = prompt
	}
	o.Prompt = extraArgs.ReplaceAllString(o.Prompt, "")
	return nil
}

func (d *sdServer) txt2img(w http.ResponseWriter, r *http.Request) {
	o := order{Width: d.Width, Height: d.Height, Steps: d.Steps, Cfg: 7, Seed: -1, BatchSize: 1}
	if !d.read(w, r, &o) {
		return
	}
	pictures, ok := d.generate(w, &o)
	if !ok {
		return
	}
	seeds := make([]int64, o.BatchSize)
	prompts := make([]string, o.BatchSize)
	infotexts := make([]string, o.BatchSize)
	for i := range seeds {
		seeds[i], prompts[i] = o.Seed+int64(i), o.Prompt
		infotexts[i] = fmt.Sprintf("%s\nSteps: %d, CFG scale: %g, Seed: %d, Size: %dx%d", o.Prompt, o.Steps, o.Cfg, seeds[i], o.Width, o.Height)
	}
	info := jsonText(object{
		"prompt": o.Prompt, "negative_prompt": o.Negative, "seed": o.Seed, "steps": o.Steps, "width": o.Width, "height": o.Height,
		"cfg_scale": o.Cfg, "sampler_name": "euler_a", "sd_model_name": d.Model, "version": "stable-diffusion.cpp",
		"all_seeds": seeds, "all_prompts": prompts, "infotexts": infotexts,
	})
	body, _ := json.Marshal(struct {
		Images     [][]byte        `json:"images"` // base64, as encoding/json writes bytes
		Parameters json.RawMessage `json:"parameters"`
		Info       string          `json:"info"`
	}{pictures, o.raw, info})
	write(w, http.StatusOK, "application/json", body)
}

func (d *sdServer) generations(w http.ResponseWriter, r *http.Request) {
	o := order{N: 1, Cfg: 7, OutputFormat: "png"}
	if !d.read(w, r, &o) {
		return
	}
	// What OpenAI's dialect has no field for is not read.
	o = order{Prompt: o.Prompt, N: o.N, Size: o.Size, OutputFormat: o.OutputFormat,
		Width: d.Width, Height: d.Height, Steps: d.Steps, Cfg: 7, Seed: d.Seed, BatchSize: max(o.N, 1)}
	var width, height int
	if n, err := fmt.Sscanf(o.Size, "%dx%d", &width, &height); n == 2 && err == nil {
		o.Width, o.Height = width, height
	}
	if o.OutputFormat != "png" && o.OutputFormat != "jpeg" {
		writeJSON(w, http.StatusBadRequest, object{"error": "invalid output_format, must be one of [png, jpeg]"})
		return
	}
	pictures, ok := d.generate(w, &o)
	if !ok {
		return
	}
	data := make([]object, 0, len(pictures))
	for _, p := range pictures {
		data = append(data, object{"b64_json": base64Text(p)})
	}
	writeJSON(w, http.StatusOK, object{"created": time.Now().Unix(), "output_format": o.OutputFormat, "data": data})
}

// generate paints under the mutex and leaves in the order what it really did.
func (d *sdServer) generate(w http.ResponseWriter, o *order) ([][]byte, bool) {
	if err := d.execute(o); err != nil {
		writeJSON(w, http.StatusBadRequest, object{"error": "invalid params"})
		return nil, false
	}
	switch {
	case o.Width <= 0 || o.Height <= 0:
		writeJSON(w, http.StatusBadRequest, object{"error": "width and height must be positive"})
		return nil, false
	case o.Cfg < 0:
		writeJSON(w, http.StatusBadRequest, object{"error": "invalid params"})
		return nil, false
	}
	o.Width, o.Height = (o.Width+63)/64*64, (o.Height+63)/64*64
	o.Steps, o.BatchSize = min(max(o.Steps, 1), 100), min(max(o.BatchSize, 1), 8)
	if o.Seed < 0 {
		o.Seed = time.Now().Unix() * 1103515245 & 0x7fffffff // srand(time(NULL)), so equal within a second
	}
	// Nobody looks whether the client is still there.
	if d.mutex.take(context.Background(), d.server) != nil {
		return nil, false
	}
	defer d.mutex.give()
	if d.server.tick(context.Background(), 1) != nil {
		return nil, false
	}
	if d.MaxPixels > 0 && o.Width*o.Height > d.MaxPixels {
		writeJSON(w, http.StatusInternalServerError, object{"error": "generate_image returned no results"})
		return nil, false
	}
	var pictures [][]byte
	for i := range max(o.BatchSize-d.Lose, 0) {
		content := paintingOf(o.Seed+int64(i), o.Prompt, o.Negative)
		if o.OutputFormat == "jpeg" {
			pictures = append(pictures, JPEG(o.Width, o.Height, content))
		} else {
			pictures = append(pictures, PNG(o.Width, o.Height, content))
		}
	}
	return pictures, true
}

// httplib is a cpp-httplib server: eight threads, one taken by each request
// for as long as it waits, and answers to unknown paths without a body unless
// there is a handler for errors.
func httplib(s *Server, mux *http.ServeMux, notFound http.HandlerFunc) http.Handler {
	threads := make(slots, 8)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if threads.take(context.Background(), s) != nil {
			return
		}
		defer threads.give()
		if origin := r.Header.Get("Origin"); origin != "" {
			maps.Copy(w.Header(), http.Header{"Access-Control-Allow-Origin": {origin}, "Access-Control-Allow-Credentials": {"true"}})
		}
		if _, pattern := mux.Handler(r); pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		if notFound != nil {
			notFound(w, r)
			return
		}
		w.WriteHeader(http.StatusNotFound)
	})
}
