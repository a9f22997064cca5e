package testkit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Forge is AUTOMATIC1111's or Forge's web UI with its API. It tells progress,
// and can be interrupted, which hits whatever runs at the moment; that a client
// has left it does not notice.
type Forge struct {
	Automatic   bool     // A1111 before it told and took task ids
	NoWebUI     bool     // --nowebui: there is no /internal/ping
	Auth        string   // "user:password" asked for with HTTP Basic
	Checkpoints []string // titles; the first is loaded at the start
	MaxPixels   int      // a larger picture runs out of memory, 0 for no limit
	Extras      int      // so many pictures by extensions are added to an answer
}

// Work implements Double.
func (Forge) Work() []string { return []string{"/sdapi/v1/txt2img"} }

// Handler implements Double.
func (d Forge) Handler(s *Server) http.Handler {
	if len(d.Checkpoints) == 0 {
		d.Checkpoints = []string{"sd_xl_base_1.0.safetensors [31e35c80fc]"}
	}
	f := &forge{Forge: d, server: s, fifo: make(slots, 1), checkpoint: d.Checkpoints[0], loaded: true}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /sdapi/v1/txt2img", f.txt2img)
	mux.HandleFunc("GET /sdapi/v1/progress", f.progress)
	mux.HandleFunc("POST /sdapi/v1/interrupt", f.interrupt)
	mux.HandleFunc("POST /sdapi/v1/skip", f.interrupt)
	mux.HandleFunc("GET /sdapi/v1/options", f.options)
	mux.HandleFunc("POST /sdapi/v1/options", f.setOptions)
	mux.HandleFunc("GET /sdapi/v1/memory", f.memory)
	mux.HandleFunc("POST /sdapi/v1/unload-checkpoint", func(w http.ResponseWriter, _ *http.Request) { f.load(w, false) })
	mux.HandleFunc("POST /sdapi/v1/reload-checkpoint", func(w http.ResponseWriter, _ *http.Request) { f.load(w, true) })
	mux.HandleFunc("GET /sdapi/v1/sd-models", f.models)
	mux.HandleFunc("GET /sdapi/v1/samplers", func(w http.ResponseWriter, _ *http.Request) {
		all := make([]object, 0, len(forgeSamplers))
		for _, name := range forgeSamplers {
			all = append(all, object{"name": name, "aliases": []string{}, "options": object{}})
		}
		writeJSON(w, http.StatusOK, all)
	})
	if !d.NoWebUI {
		mux.HandleFunc("GET /internal/ping", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, object{}) })
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if d.Auth != "" && strings.HasPrefix(r.URL.Path, "/sdapi/") && user+":"+password != d.Auth {
			w.Header().Set("WWW-Authenticate", "Basic")
			detail(w, http.StatusUnauthorized, "Incorrect username or password")
			return
		}
		fastAPI(mux).ServeHTTP(w, r)
	})
}

var forgeSamplers = []string{"DPM++ 2M", "DPM++ SDE", "Euler a", "Euler", "UniPC"}

type forge struct {
	Forge
	server *Server
	fifo   slots

	mu          sync.Mutex
	checkpoint  string
	loaded      bool
	job         *forgeJob // what runs now
	interrupted bool
}

// A forgeJob is the generation under way.
type forgeJob struct {
	task        string
	step, steps int
	picture     int
	pictures    int
	began       time.Time
}

type forgeOrder struct {
	Prompt     string  `json:"prompt"`
	Negative   string  `json:"negative_prompt"`
	Width      int     `json:"width"`
	Height     int     `json:"height"`
	Steps      int     `json:"steps"`
	Cfg        float64 `json:"cfg_scale"`
	Seed       int64   `json:"seed"`
	BatchSize  int     `json:"batch_size"`
	Iterations int     `json:"n_iter"`
	Sampler    *string `json:"sampler_name"`
	Script     *string `json:"script_name"`
	Task       *string `json:"force_task_id"`
	SendImages bool    `json:"send_images"`
	SaveImages bool    `json:"save_images"`
	Override   struct {
		Checkpoint string `json:"sd_model_checkpoint"`
	} `json:"override_settings"`
}

func (f *forge) txt2img(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	o := forgeOrder{Seed: -1, Steps: 50, Cfg: 7, Width: 512, Height: 512, BatchSize: 1, Iterations: 1, SendImages: true}
	if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
		f.unreadable(w, err)
		return
	}
	if o.Sampler != nil && !slices.Contains(forgeSamplers, *o.Sampler) {
		detail(w, pick(f.Automatic, http.StatusNotFound, http.StatusBadRequest), "Sampler not found")
		return
	}
	if o.Script != nil && *o.Script != "" {
		detail(w, http.StatusUnprocessableEntity, fmt.Sprintf("Script '%s' not found", *o.Script))
		return
	}
	if f.fifo.take(context.Background(), f.server) != nil {
		return
	}
	defer f.fifo.give()
	f.paint(w, o, began)
}

// unreadable answers a body that is no JSON or has a field of another type.
func (f *forge) unreadable(w http.ResponseWriter, err error) {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		invalid(w, "int_parsing", "Input should be a valid "+wrong.Type.String(), "body", wrong.Field)
		return
	}
	invalid(w, "json_invalid", "JSON decode error", "body", 0)
}

// fail answers with an exception of the generation.
func (f *forge) fail(w http.ResponseWriter, exception, text string) {
	e := object{"error": exception, "detail": "", "body": ""}
	e[pick(f.Automatic, "errors", "message")] = text
	writeJSON(w, http.StatusInternalServerError, e)
}

func (f *forge) paint(w http.ResponseWriter, o forgeOrder, began time.Time) {
	if name := o.Override.Checkpoint; name != "" && !slices.Contains(f.Checkpoints, name) {
		f.fail(w, "RuntimeError", "Unknown checkpoint: "+name)
		return
	}
	o.Width, o.Height = o.Width/8*8, o.Height/8*8
	if o.Seed < 0 {
		o.Seed = time.Now().UnixNano() & 0xffffffff
	}
	count := o.BatchSize * o.Iterations
	if !f.compute(&o, count) {
		return
	}
	if f.MaxPixels > 0 && o.Width*o.Height > f.MaxPixels {
		f.fail(w, "OutOfMemoryError", "CUDA out of memory. Tried to allocate 2.50 GiB.")
		return
	}
	seeds := make([]int64, count)
	var images [][]byte
	if o.SaveImages && count > 1 {
		images = append(images, PNG(o.Width*2, o.Height*2, paintingOf(o.Seed, "grid of "+o.Prompt, "")))
	}
	first := len(images)
	for i := range count {
		seeds[i] = o.Seed + int64(i)
		images = append(images, PNG(o.Width, o.Height, paintingOf(seeds[i], o.Prompt, o.Negative)))
	}
	for i := range f.Extras {
		images = append(images, PNG(o.Width, o.Height, paintingOf(int64(i), "map of "+o.Prompt, "")))
	}
	if !o.SendImages {
		images = [][]byte{}
	}
	info := jsonText(object{
		"prompt": o.Prompt, "negative_prompt": o.Negative, "seed": o.Seed, "all_seeds": seeds, "width": o.Width, "height": o.Height,
		"steps": o.Steps, "cfg_scale": o.Cfg, "sampler_name": pick(o.Sampler == nil, forgeSamplers[0], deref(o.Sampler)), "batch_size": o.BatchSize,
		"sd_model_name": strings.Fields(f.checkpoint)[0], "sd_model_hash": "31e35c80fc", "index_of_first_image": first,
		"infotexts": slices.Repeat([]string{o.Prompt}, count), "job_timestamp": began.Format("20060102150405"),
	})
	if f.Automatic {
		w.Header().Set("X-Process-Time", fmt.Sprintf("%.4f", time.Since(began).Seconds()))
	}
	write(w, http.StatusOK, "application/json", []byte(jsonText(struct {
		Images     [][]byte   `json:"images"` // base64, as encoding/json writes bytes
		Parameters forgeOrder `json:"parameters"`
		Info       string     `json:"info"`
	}{images, o, info})))
}

// compute goes through the steps until all are done or someone interrupts. It
// reports false when the server goes down meanwhile.
func (f *forge) compute(o *forgeOrder, pictures int) bool {
	task := fmt.Sprintf("task(txt2img-%d)", time.Now().UnixNano())
	if o.Task != nil && !f.Automatic {
		task = *o.Task
	}
	f.mu.Lock()
	f.loaded = true
	f.interrupted = false
	if o.Override.Checkpoint != "" {
		f.checkpoint = o.Override.Checkpoint
	}
	f.job = &forgeJob{task: task, steps: o.Steps, pictures: pictures, began: time.Now()}
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.job = nil
		f.mu.Unlock()
	}()
	for picture := range pictures {
		for step := range o.Steps {
			if f.server.tick(context.Background(), pictures*o.Steps) != nil {
				return false
			}
			f.mu.Lock()
			f.job.picture, f.job.step = picture, step+1
			stop := f.interrupted
			f.mu.Unlock()
			if stop {
				// What was there by then is returned as if it were finished.
				o.Prompt = "blurred " + o.Prompt
				return true
			}
		}
	}
	return true
}

// interrupt stops whatever runs, also another client's job.
func (f *forge) interrupt(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	task := ""
	if f.job != nil {
		f.interrupted, task = true, f.job.task
	}
	f.mu.Unlock()
	f.server.Note("%s %s", r.URL.Path, task)
	writeJSON(w, http.StatusOK, object{})
}

func (f *forge) progress(w http.ResponseWriter, _ *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	state := object{"skipped": false, "interrupted": f.interrupted, "stopping_generation": false, "job": "", "job_count": 0, "job_no": 0,
		"job_timestamp": "0", "sampling_step": 0, "sampling_steps": 0}
	p := object{"progress": 0.0, "eta_relative": 0.0, "state": state, "current_image": nil, "textinfo": nil}
	if !f.Automatic {
		p["current_task"] = nil
	}
	if j := f.job; j != nil {
		done := (float64(j.picture) + float64(j.step)/float64(j.steps)) / float64(j.pictures)
		p["progress"] = min(done, 1)
		if done > 0 {
			p["eta_relative"] = time.Since(j.began).Seconds() * (1 - done) / done
		}
		state["job"], state["job_count"], state["job_no"] = "scripts_txt2img", j.pictures, j.picture
		state["job_timestamp"], state["sampling_step"], state["sampling_steps"] = j.began.Format("20060102150405"), j.step, j.steps
		if !f.Automatic {
			p["current_task"] = j.task
		}
	}
	writeJSON(w, http.StatusOK, p)
}

func (f *forge) models(w http.ResponseWriter, _ *http.Request) {
	all := make([]object, 0, len(f.Checkpoints))
	for _, title := range f.Checkpoints {
		file := strings.Fields(title)[0]
		all = append(all, object{"title": title, "model_name": strings.TrimSuffix(file, ".safetensors"), "hash": "31e35c80fc",
			"sha256": nil, "filename": "/models/Stable-diffusion/" + file, "config": nil})
	}
	writeJSON(w, http.StatusOK, all)
}

func (f *forge) options(w http.ResponseWriter, _ *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	writeJSON(w, http.StatusOK, object{"samples_format": "png", "grid_save": true, "sd_model_checkpoint": f.checkpoint})
}

func (f *forge) setOptions(w http.ResponseWriter, r *http.Request) {
	f.server.Note("%s %s", r.Method, r.URL.Path)
	writeJSON(w, http.StatusOK, nil)
}

func (f *forge) load(w http.ResponseWriter, loaded bool) {
	f.mu.Lock()
	f.loaded = loaded
	f.mu.Unlock()
	writeJSON(w, http.StatusOK, object{})
}

// memory tells of a card with 24 GiB, of which a loaded checkpoint takes 7.
func (f *forge) memory(w http.ResponseWriter, _ *http.Request) {
	const gib = int64(1) << 30
	f.mu.Lock()
	used := pick(f.loaded, 8*gib, gib)
	f.mu.Unlock()
	peak := object{"current": used - gib, "peak": 7 * gib}
	writeJSON(w, http.StatusOK, object{
		"ram": object{"free": 20 * gib, "used": 12 * gib, "total": 32 * gib},
		"cuda": object{"system": object{"free": 24*gib - used, "used": used, "total": 24 * gib},
			"active": peak, "allocated": peak, "reserved": peak, "inactive": object{"current": 0, "peak": 0}, "events": object{"retries": 0, "oom": 0}},
	})
}

func pick[T any](first bool, a, b T) T {
	if first {
		return a
	}
	return b
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
