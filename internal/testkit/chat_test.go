package testkit

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

const streamed = `{"model":"qwen","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"two words"}]}`

// frames returns what the data lines of a stream hold, and its comments.
func frames(t *testing.T, r reply) (data []string, comments int) {
	t.Helper()
	if !strings.HasPrefix(r.contentType(), "text/event-stream") || r.err != nil {
		t.Fatalf("answer %d is %s: %v\n%s", r.status, r.contentType(), r.err, r.body)
	}
	for line := range strings.SplitSeq(string(r.body), "\n") {
		if text, ok := strings.CutPrefix(line, "data: "); ok {
			data = append(data, text)
		} else if strings.HasPrefix(line, ":") {
			comments++
		}
	}
	return data, comments
}

// said joins the contents of all frames.
func said(t *testing.T, data []string) string {
	t.Helper()
	var text strings.Builder
	for _, d := range data {
		var f struct {
			Choices []struct{ Delta struct{ Content string } }
		}
		if d == "[DONE]" {
			continue
		}
		if err := json.Unmarshal([]byte(d), &f); err != nil {
			t.Fatal(err)
		}
		for _, c := range f.Choices {
			text.WriteString(c.Delta.Content)
		}
	}
	return text.String()
}

func TestChatStreams(t *testing.T) {
	for name, test := range map[string]struct {
		double  Double
		timings bool
	}{"llama": {Llama{Pings: true}, true}, "vllm": {VLLM{}, false}} {
		t.Run(name, func(t *testing.T) {
			srv := Serve(t, test.double)
			data, comments := frames(t, post(t, srv.URL+chatPath, streamed))
			check(t, "text", said(t, data), "You said: two words")
			n := len(data)
			check(t, "role first", strings.Contains(data[0], `"role":"assistant"`), true)
			check(t, "finish reason", strings.Contains(data[n-3], `"finish_reason":"stop"`), true)
			check(t, "usage in a chunk without choices", strings.Contains(data[n-2], `"choices":[]`) && strings.Contains(data[n-2], `"completion_tokens":4`), true)
			check(t, "timings", strings.Contains(data[n-2], `"predicted_n":4`), test.timings)
			check(t, "end", data[n-1], "[DONE]")
			check(t, "pings", comments > 0, test.timings)
		})
	}
}

func TestChatBreaksOff(t *testing.T) {
	broken := Chat{ErrorAfter: 2}
	llama, _ := frames(t, post(t, Serve(t, Llama{Chat: broken}).URL+chatPath, streamed))
	check(t, "llama-server's last frame", llama[len(llama)-1], `{"error":{"code":500,"message":"the computation failed","type":"server_error"}}`)
	vllm, _ := frames(t, post(t, Serve(t, VLLM{broken}).URL+chatPath, streamed))
	check(t, "vLLM's last but one", strings.HasPrefix(vllm[len(vllm)-2], `{"error":{"code":500,`), true)
	check(t, "vLLM's last", vllm[len(vllm)-1], "[DONE]")
	cut, _ := frames(t, post(t, Serve(t, Llama{Chat: Chat{CutAfter: 2}}).URL+chatPath, streamed))
	check(t, "cut", said(t, cut), "You said: ")
	check(t, "neither end nor reason", slices.ContainsFunc(cut, func(f string) bool { return f == "[DONE]" || strings.Contains(f, `"stop"`) }), false)
	old, _ := frames(t, post(t, Serve(t, Llama{OldUsage: true}).URL+chatPath, streamed))
	last := old[len(old)-2]
	check(t, "usage beside the finish reason", strings.Contains(last, `"finish_reason":"stop"`) && strings.Contains(last, `"usage"`), true)
}

func TestLlamaIsStarting(t *testing.T) {
	srv := Serve(t, Llama{Starting: 2})
	for _, path := range []string{"/health", "/v1/models"} {
		r := get(t, srv.URL+path)
		check(t, path, told(r), `503 {"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}`)
	}
	check(t, "then", string(get(t, srv.URL+"/health").body), `{"status":"ok"}`)
	contains(t, get(t, srv.URL+"/v1/models"), `"owned_by":"llamacpp"`)
}

func TestChatErrors(t *testing.T) {
	llama := Serve(t, Llama{Chat: Chat{Context: 10, APIKey: "k"}})
	vllm := Serve(t, VLLM{Chat{Context: 10}})
	long := `{"model":"qwen","messages":[{"role":"user","content":"` + strings.Repeat("word ", 20) + `"}]}`
	check(t, "no key", post(t, llama.URL+chatPath, streamed).status, http.StatusUnauthorized)
	check(t, "health without one", get(t, llama.URL+"/health").status, http.StatusOK)
	for _, test := range []struct {
		body   string
		status int
		want   string
	}{
		{long, 400, `"type":"BadRequestError"`},
		{`{"model":"other","messages":[{"role":"user","content":"a"}]}`, 404, `"type":"NotFoundError"`},
		{`{"model":"qwen","stream_options":{},"messages":[]}`, 400, "stream=True"},
	} {
		r := post(t, vllm.URL+chatPath, test.body)
		check(t, test.body, r.status, test.status)
		contains(t, r, test.want)
	}
	health := get(t, vllm.URL+"/health")
	check(t, "vLLM's health", fmt.Sprint(health.status, len(health.body)), "200 0")
}

func TestChatSeesPictures(t *testing.T) {
	body := func(link string) string {
		return `{"model":"qwen","max_tokens":7,"messages":[{"role":"user","content":[{"type":"text","text":"what is it"},{"type":"image_url","image_url":{"url":"` + link + `"}}]}]}`
	}
	picture := "data:image/png;base64," + base64Text(PNG(40, 30, 1))
	srv := Serve(t, Llama{})
	r := post(t, srv.URL+chatPath, body(picture))
	contains(t, r, `"content":"A picture of 40 by 30 pixels. "`)
	contains(t, r, `"finish_reason":"length"`)
	check(t, "no picture", post(t, srv.URL+chatPath, body("data:image/png;base64,aGVsbG8=")).status, http.StatusBadRequest)
	check(t, "a link", post(t, srv.URL+chatPath, body("http://198.51.100.1/a.png")).status, http.StatusBadRequest)
	check(t, "notes", fmt.Sprint(srv.Notes()), "[fetched http://198.51.100.1/a.png]")
	blind := post(t, Serve(t, Llama{Chat: Chat{Blind: true}}).URL+chatPath, body(picture))
	contains(t, blind, "mmproj")
}
