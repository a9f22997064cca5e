package testkit

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"net/http"
	"strings"
	"testing"
	"time"
)

// pictures returns the pictures of an sdapi answer and what info says.
func pictures(t *testing.T, r reply) (sizes []image.Point, raw []string, info map[string]any) {
	t.Helper()
	var v struct {
		Images []string
		Info   string
	}
	if err := json.Unmarshal(r.body, &v); err != nil || r.status != http.StatusOK {
		t.Fatalf("answer %d: %v\n%.300s", r.status, err, r.body)
	}
	for _, text := range v.Images {
		sizes = append(sizes, size(t, text))
	}
	if err := json.Unmarshal([]byte(v.Info), &info); err != nil {
		t.Fatalf("info is no text of JSON: %v", err)
	}
	return sizes, v.Images, info
}

func size(t *testing.T, text string) image.Point {
	t.Helper()
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	picture, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return picture.Bounds().Size()
}

func TestSDServerRoundsUpAndTellsTheSeed(t *testing.T) {
	srv := Serve(t, SDServer{})
	txt2img := func(body string) reply { return post(t, srv.URL+"/sdapi/v1/txt2img", body) }
	sizes, first, info := pictures(t, txt2img(`{"prompt":"a red lighthouse","width":65,"height":128,"seed":17,"steps":500,"batch_size":2,"sampler_name":"no such"}`))
	check(t, "pictures", fmt.Sprint(sizes), "[(128,128) (128,128)]")
	check(t, "info", fmt.Sprint(info["seed"], info["all_seeds"], info["steps"], info["width"]), "17 [17 18] 100 128")
	_, again, _ := pictures(t, txt2img(`{"prompt":"a red lighthouse","width":128,"height":128,"seed":17}`))
	_, other, _ := pictures(t, txt2img(`{"prompt":"a red lighthouse","width":128,"height":128,"seed":18}`))
	check(t, "equal seeds give equal pictures", again[0], first[0])
	check(t, "and so does the batch", other[0], first[1])
	check(t, "other seeds give others", again[0] == other[0], false)
}

func TestSDServerErrors(t *testing.T) {
	srv := Serve(t, SDServer{MaxPixels: 512 * 512})
	for _, test := range []struct {
		body, want string
		status     int
	}{
		{``, `{"error":"empty body"}`, 400},
		{`{"prompt":""}`, `{"error":"prompt required"}`, 400},
		{`{"prompt":"a","width":-1}`, `{"error":"width and height must be positive"}`, 400},
		{`{"prompt":"a","cfg_scale":-1}`, `{"error":"invalid params"}`, 400},
		{`{"prompt":`, `"error":"server_error"`, 500},
		{`{"prompt":"a","width":1024,"height":1024}`, `{"error":"generate_image returned no results"}`, 500},
	} {
		r := post(t, srv.URL+"/sdapi/v1/txt2img", test.body)
		check(t, test.body, r.status, test.status)
		contains(t, r, test.want)
	}
	for _, path := range []string{"/health", "/sdapi/v1/progress"} {
		check(t, path, get(t, srv.URL+path).status, http.StatusNotFound)
	}
	check(t, "/", get(t, srv.URL+"/").contentType(), "text/html")
	contains(t, get(t, srv.URL+"/sdapi/v1/options"), `{"samples_format":"png","sd_model_checkpoint":"sd_xl_base_1.0"}`)
	contains(t, get(t, srv.URL+"/v1/models"), `{"data":[{"id":"sd-cpp-local","object":"model","owned_by":"local"}]}`)
	contains(t, get(t, srv.URL+"/sdcpp/v1/capabilities"), `"cancel_generating":false`)
}

func TestSDServerExecutesWhatAPromptSays(t *testing.T) {
	srv := Serve(t, SDServer{})
	sizes, _, info := pictures(t, post(t, srv.URL+"/sdapi/v1/txt2img",
		`{"prompt":"a cat<sd_cpp_extra_args>{\"width\":192,\"steps\":3}</sd_cpp_extra_args>","width":64,"height":64}`))
	check(t, "pictures", fmt.Sprint(sizes), "[(192,64)]")
	check(t, "info", fmt.Sprintln(info["prompt"], info["steps"]), "a cat 3\n")
	check(t, "notes", fmt.Sprint(srv.Notes()), `[executed sd_cpp_extra_args {"width":192,"steps":3}]`)
}

func TestSDServerHasNoThreadForAProbe(t *testing.T) {
	gate := make(chan struct{})
	srv := Serve(t, SDServer{}, Gate(gate))
	done := make(chan reply)
	for range 8 {
		go func() { done <- post(t, srv.URL+"/sdapi/v1/txt2img", `{"prompt":"a","width":64,"height":64}`) }()
	}
	srv.AwaitWorking(8)
	srv.await("probe that is left hanging", func() bool {
		ctx, leave := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer leave()
		return send(t, ctx, http.MethodGet, srv.URL+"/v1/models", "", "").err != nil
	})
	close(gate)
	for range 8 {
		check(t, "picture", (<-done).status, http.StatusOK)
	}
	check(t, "most at once", srv.MaxConcurrent(), 8)
}

func TestSDServerOpenAIDialect(t *testing.T) {
	srv := Serve(t, SDServer{Width: 64, Height: 64, Lose: 1})
	r := post(t, srv.URL+"/v1/images/generations", `{"model":"any","prompt":"a","n":3,"size":"large","seed":5,"response_format":"url"}`)
	data := r.object(t)["data"].([]any)
	check(t, "pictures, one of them lost", len(data), 2)
	check(t, "size when it can not be read", size(t, data[0].(map[string]any)["b64_json"].(string)), image.Pt(64, 64))
	again := post(t, srv.URL+"/v1/images/generations", `{"prompt":"a","n":3,"output_format":"png","seed":6}`)
	check(t, "the seed is always 42", fmt.Sprint(again.object(t)["data"]), fmt.Sprint(data))
	bad := post(t, srv.URL+"/v1/images/generations", `{"prompt":"a","output_format":"bmp"}`)
	check(t, "unknown format", bad.status, http.StatusBadRequest)
}

func TestForgeAddsPicturesThatAreNotBillable(t *testing.T) {
	srv := Serve(t, Forge{Extras: 1})
	sizes, _, info := pictures(t, post(t, srv.URL+"/sdapi/v1/txt2img",
		`{"prompt":"a","width":70,"height":64,"steps":2,"batch_size":2,"seed":9,"save_images":true}`))
	check(t, "a grid, two pictures, a map", fmt.Sprint(sizes), "[(128,128) (64,64) (64,64) (64,64)]")
	check(t, "info", fmt.Sprint(info["all_seeds"], info["index_of_first_image"]), "[9 10] 1")
}

func TestForgeProgressAndInterrupt(t *testing.T) {
	gate := make(chan struct{})
	srv := Serve(t, Forge{}, Gate(gate))
	state := func() map[string]any { return get(t, srv.URL+"/sdapi/v1/progress?skip_current_image=true").object(t) }
	check(t, "idle", fmt.Sprint(state()["progress"], state()["current_task"]), "0 <nil>")
	done := make(chan reply, 1)
	go func() {
		done <- post(t, srv.URL+"/sdapi/v1/txt2img", `{"prompt":"a","width":64,"height":64,"steps":4,"force_task_id":"mine"}`)
	}()
	gate <- struct{}{}
	gate <- struct{}{} // received only when the first step is over
	p := state()
	check(t, "task", p["current_task"], any("mine"))
	if got := p["progress"].(float64); got != 0.25 && got != 0.5 {
		t.Errorf("progress after one or two of four steps is %v", got)
	}
	check(t, "interrupt", post(t, srv.URL+"/sdapi/v1/interrupt", "").status, http.StatusOK)
	close(gate)
	sizes, _, _ := pictures(t, <-done)
	check(t, "pictures all the same", len(sizes), 1)
	check(t, "notes", fmt.Sprint(srv.Notes()), "[/sdapi/v1/interrupt mine]")
}

func TestForgeErrors(t *testing.T) {
	srv := Serve(t, Forge{MaxPixels: 64 * 64})
	txt2img := func(body string) reply { return post(t, srv.URL+"/sdapi/v1/txt2img", body) }
	r := txt2img(`{"width":"wide"}`)
	check(t, "validation", r.status, 422)
	contains(t, r, `{"detail":[{"loc":["body","width"],`)
	check(t, "no JSON", txt2img(`{`).status, 422)
	check(t, "sampler", txt2img(`{"sampler_name":"none"}`).status, 400)
	r = txt2img(`{"prompt":"a","steps":1}`)
	check(t, "memory", r.status, 500)
	contains(t, r, `"error":"OutOfMemoryError"`)
	contains(t, get(t, srv.URL+"/nothing"), `{"detail":"Not Found"}`)
	check(t, "ping", string(get(t, srv.URL+"/internal/ping").body), "{}")

	old := Serve(t, Forge{Automatic: true, NoWebUI: true, Auth: "me:secret"})
	check(t, "no password", get(t, old.URL+"/sdapi/v1/options").status, 401)
	signed := strings.Replace(old.URL, "//", "//me:secret@", 1)
	check(t, "sampler of A1111", post(t, signed+"/sdapi/v1/txt2img", `{"sampler_name":"none"}`).status, 404)
	check(t, "no ping", get(t, old.URL+"/internal/ping").status, 404)
	if _, ok := get(t, signed+"/sdapi/v1/progress").object(t)["current_task"]; ok {
		t.Error("an old A1111 tells the current task")
	}
}

func TestForgeFreesMemory(t *testing.T) {
	srv := Serve(t, Forge{})
	used := func() float64 {
		cuda := get(t, srv.URL+"/sdapi/v1/memory").object(t)["cuda"].(map[string]any)
		return cuda["system"].(map[string]any)["used"].(float64)
	}
	loaded := used()
	post(t, srv.URL+"/sdapi/v1/unload-checkpoint", "")
	if free := used(); free >= loaded {
		t.Errorf("unloading leaves %v of %v bytes in use", free, loaded)
	}
	post(t, srv.URL+"/sdapi/v1/txt2img", `{"prompt":"a","width":64,"height":64,"steps":1}`)
	check(t, "a picture loads it again", used(), loaded)
	contains(t, get(t, srv.URL+"/sdapi/v1/sd-models"), `"title":"sd_xl_base_1.0.safetensors [31e35c80fc]"`)
}

func TestLocalAIPictures(t *testing.T) {
	srv := Serve(t, LocalAI{Starting: 1})
	contains(t, get(t, srv.URL+"/readyz"), `{"reason":"startup preload in progress","status":"starting"}`)
	check(t, "alive", get(t, srv.URL+"/healthz").status, http.StatusOK)
	check(t, "ready without a body", len(get(t, srv.URL+"/readyz").body), 0)
	one := func(body string) map[string]any {
		return post(t, srv.URL+"/v1/images/generations", body).object(t)["data"].([]any)[0].(map[string]any)
	}
	inline := one(`{"model":"sdxl","prompt":"a|b","size":"64x96","response_format":"b64_json"}`)
	check(t, "picture", size(t, inline["b64_json"].(string)), image.Pt(64, 96))
	link := one(`{"model":"sdxl","prompt":"a","size":"big"}`)["url"].(string)
	check(t, "its host", strings.HasPrefix(link, srv.URL+"/generated-images/"), true)
	check(t, "size without an x", size(t, base64Text(get(t, link).body)), image.Pt(512, 512))
	bad := post(t, srv.URL+"/v1/images/generations", `{"model":"none","prompt":"a"}`)
	check(t, "unknown model", bad.status, http.StatusBadRequest)
	contains(t, bad, `"code":400`)
	one(`{"model":"sdxl","prompt":"a","size":"64x64","ref_images":["http://198.51.100.1/"]}`)
	check(t, "notes", fmt.Sprint(srv.Notes()), "[fetched http://198.51.100.1/]")
	opaque := Serve(t, LocalAI{Opaque: true})
	check(t, "opaque error", len(post(t, opaque.URL+"/v1/images/generations", `{}`).body), 0)
}
