package media

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/internal/testkit"
)

func chatWorker(t *testing.T, url string, change func(*Options)) *Worker {
	t.Helper()
	o := Options{Kind: jeantrail.KindText, URL: url}
	if change != nil {
		change(&o)
	}
	return newWorker(t, o)
}

// wantCounted checks that the sink was told of exactly what the result has.
func wantCounted(t *testing.T, res *jeantrail.Result, s *record, prompt, completion int) {
	t.Helper()
	if res.Usage.CompletionTokens != completion || s.tokens != completion || res.Usage.PromptTokens != prompt {
		t.Errorf("%d prompt and %d completion tokens, the sink was told of %d; want %d and %d",
			res.Usage.PromptTokens, res.Usage.CompletionTokens, s.tokens, prompt, completion)
	}
	if res.Text != s.text || res.Reasoning != s.reasoning {
		t.Errorf("the text is %q and %q, the sink was told %q and %q", res.Text, res.Reasoning, s.text, s.reasoning)
	}
}

func TestChatWithEveryServer(t *testing.T) {
	for name, d := range map[string]testkit.Double{
		"llama-server":           testkit.Llama{},
		"llama-server, old":      testkit.Llama{OldUsage: true},
		"llama-server with ping": testkit.Llama{Pings: true},
		"vLLM":                   testkit.VLLM{},
	} {
		t.Run(name, func(t *testing.T) {
			srv := testkit.Serve(t, d)
			w := chatWorker(t, srv.URL, nil)
			s := new(record)
			temperature, k := 0.5, 40
			res, err := run(t, w, textOf(jeantrail.TextRequest{Prompt: "one two three four", System: "be brief", Temperature: &temperature, TopK: &k}), s)
			if err != nil {
				t.Fatal(err)
			}
			if s.text != "You said: one two three four" || res.FinishReason != jeantrail.FinishStop || res.Truncated || res.Engine.FallbackReason != "" {
				t.Errorf("text is %q, result %+v", s.text, res)
			}
			wantCounted(t, res, s, 14, 6)
			var asked map[string]any
			if err := srv.RequestsTo(chatPath)[0].Decode(&asked); err != nil {
				t.Fatal(err)
			}
			if asked["model"] != "qwen" || asked["temperature"] != 0.5 || asked["top_k"] != 40.0 || asked["max_tokens"] != float64(DefaultMaxTokens) {
				t.Errorf("asked for %v", asked)
			}
			wantIdle(t, w)
		})
	}
}

func TestChatBounds(t *testing.T) {
	w := chatWorker(t, "http://127.0.0.1:1", func(o *Options) { o.NCtx, o.MaxTokens, o.Vision, o.Files = 5000, 300, true, drawer{} })
	limit := 100
	for _, tt := range []struct {
		req  jeantrail.TextRequest
		want jeantrail.Bounds
	}{
		{jeantrail.TextRequest{Prompt: "hello"}, jeantrail.Bounds{PromptTokens: 5 + 2*messageOverhead, CompletionTokens: 300, Open: true}},
		{jeantrail.TextRequest{Prompt: "hello", MaxTokens: &limit}, jeantrail.Bounds{PromptTokens: 5 + 2*messageOverhead, CompletionTokens: 100}},
		{jeantrail.TextRequest{Prompt: "hello", Images: make([]jeantrail.File, 2)}, jeantrail.Bounds{PromptTokens: 5000, CompletionTokens: 300, Open: true}},
	} {
		if got := prepared(t, w, textOf(tt.req)).Bounds(); got != tt.want {
			t.Errorf("bounds are %+v, want %+v", got, tt.want)
		}
	}
}

func TestChatWithPictures(t *testing.T) {
	srv := testkit.Serve(t, testkit.Llama{})
	files := drawer{}
	var images []jeantrail.File
	for _, content := range [][]byte{testkit.PNG(40, 30, 1), testkit.JPEG(20, 10, 1)} {
		f, err := files.Put(t.Context(), bytes.NewReader(content), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		images = append(images, f)
	}
	w := chatWorker(t, srv.URL, func(o *Options) { o.Vision, o.Files = true, files })
	s := new(record)
	_, err := run(t, w, textOf(jeantrail.TextRequest{Images: images, Messages: []jeantrail.Message{
		{Role: "user", Content: "first"}, {Role: "assistant", Content: "yes"}, {Role: "user", Content: "what is it?"}}}), s)
	if err != nil {
		t.Fatal(err)
	}
	if want := "A picture of 40 by 30 pixels. A picture of 20 by 10 pixels. You said: what is it?"; s.text != want {
		t.Errorf("text is %q, want %q", s.text, want)
	}
	text, err := files.Put(t.Context(), strings.NewReader("no picture"), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	_, err = run(t, w, textOf(jeantrail.TextRequest{Prompt: "x", Images: []jeantrail.File{text}}), new(record))
	wantCode(t, err, jeantrail.CodeUnsupportedMedia)

	blind := chatWorker(t, srv.URL, nil)
	_, err = blind.Prepare(t.Context(), &jeantrail.Request{Kind: jeantrail.KindText, Text: &jeantrail.TextRequest{Prompt: "x", Images: images}})
	wantCode(t, err, jeantrail.CodeUnsupported)
	w = chatWorker(t, testkit.Serve(t, testkit.Llama{Chat: testkit.Chat{Blind: true}}).URL, func(o *Options) { o.Vision, o.Files = true, files })
	_, err = run(t, w, textOf(jeantrail.TextRequest{Prompt: "x", Images: images}), new(record))
	wantCode(t, err, jeantrail.CodeUnsupported)
}

func TestChatEndsAtItsLimits(t *testing.T) {
	srv := testkit.Serve(t, testkit.VLLM{})
	w := chatWorker(t, srv.URL, nil)
	limit := 3
	s := new(record)
	res, err := run(t, w, textOf(jeantrail.TextRequest{MaxTokens: &limit}), s)
	if err != nil || res.FinishReason != jeantrail.FinishLength || !res.Truncated {
		t.Errorf("result is %+v, %v, want length", res, err)
	}
	wantCounted(t, res, s, 8, 3)

	s = &record{allowance: 2}
	res, err = run(t, w, textOf(jeantrail.TextRequest{MaxTokens: &limit}), s)
	if err != nil || res.FinishReason != jeantrail.FinishBudget || !res.Truncated {
		t.Errorf("result is %+v, %v, want budget", res, err)
	}
	wantCounted(t, res, s, 8, 2)

	s = &record{allowance: -1}
	res, err = run(t, w, textOf(jeantrail.TextRequest{}), s)
	if err != nil || res.FinishReason != jeantrail.FinishBudget || s.tokens != 0 {
		t.Errorf("result is %+v, %v, want budget and nothing", res, err)
	}
	if n := len(srv.RequestsTo(chatPath)); n != 2 {
		t.Errorf("%d requests, want 2: none without an allowance", n)
	}
}

func TestChatThatIsCancelled(t *testing.T) {
	steps := make(chan struct{})
	srv := testkit.Serve(t, testkit.Llama{}, testkit.Gate(steps))
	w := chatWorker(t, srv.URL, nil)
	s := &record{piece: make(chan struct{})}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := jeantrail.Errorf(jeantrail.CodeCancelled, "the owner left")
	k := prepared(t, w, textOf(jeantrail.TextRequest{}))
	done := make(chan error)
	var res *jeantrail.Result
	go func() {
		var err error
		res, err = k.Run(ctx, &jeantrail.Job{}, s)
		done <- err
	}()
	for range 3 {
		steps <- struct{}{}
		<-s.piece
	}
	cancel(why)
	if err := <-done; !errors.Is(err, why) || res.FinishReason != jeantrail.FinishCancelled {
		t.Errorf("the end was %v, %+v", err, res)
	}
	if res.Text != "You said: one " || res.Usage.CompletionTokens != 3 || s.tokens != 3 || res.Usage.PromptTokens == 0 || res.Engine.FallbackReason == "" {
		t.Errorf("result is %+v, want three tokens and an estimated prompt", res)
	}
	srv.AwaitCancelled(1)
	wantIdle(t, w)
}

func TestFaultsOfAChatWorker(t *testing.T) {
	for _, tt := range []struct {
		name   string
		double testkit.Double
		fault  *testkit.Fault
		code   jeantrail.Code
		tokens int
	}{
		{"error frame without an end", testkit.Llama{Chat: testkit.Chat{ErrorAfter: 2}}, nil, jeantrail.CodeWorkerUnavailable, 2},
		{"error frame and an end", testkit.VLLM{Chat: testkit.Chat{ErrorAfter: 2}}, nil, jeantrail.CodeWorkerUnavailable, 2},
		{"cut off", testkit.VLLM{Chat: testkit.Chat{CutAfter: 2}}, nil, jeantrail.CodeWorkerUnavailable, 2},
		{"too long for the context", testkit.Llama{Chat: testkit.Chat{Context: 3}}, nil, jeantrail.CodeContextLength, 0},
		{"wants a key", testkit.Llama{Chat: testkit.Chat{APIKey: "k"}}, nil, jeantrail.CodeWorkerUnavailable, 0},
		{"loading", testkit.Llama{Starting: 100}, nil, jeantrail.CodeModelLoading, 0},
		{"HTML", testkit.Llama{}, ptr(testkit.HTML500()), jeantrail.CodeWorkerUnavailable, 0},
		{"not a stream", testkit.Llama{}, ptr(testkit.Answer(200, "application/json", `{"choices":[]}`)), jeantrail.CodeWorkerUnavailable, 0},
		{"not JSON", testkit.Llama{}, ptr(testkit.Answer(200, "text/event-stream", "data: hello\n\n")), jeantrail.CodeWorkerUnavailable, 0},
		{"reset", testkit.Llama{}, ptr(testkit.ResetAfterHeaders()), jeantrail.CodeWorkerUnavailable, 0},
		{"only an end", testkit.Llama{}, ptr(testkit.Answer(200, "text/event-stream", "data: [DONE]\n\n")), jeantrail.CodeWorkerUnavailable, 0},
		{"an endless line", testkit.Llama{}, ptr(testkit.Answer(200, "text/event-stream", "data: "+strings.Repeat("x", 2<<20))), jeantrail.CodeWorkerUnavailable, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := testkit.Serve(t, tt.double)
			if tt.fault != nil {
				srv.Fault(chatPath, *tt.fault)
			}
			w := chatWorker(t, srv.URL, nil)
			s := new(record)
			res, err := run(t, w, textOf(jeantrail.TextRequest{}), s)
			wantCode(t, err, tt.code)
			if res.FinishReason != jeantrail.FinishError || res.Usage.CompletionTokens != tt.tokens || s.tokens != tt.tokens {
				t.Errorf("result is %+v, the sink was told of %d tokens, want %d", res, s.tokens, tt.tokens)
			}
			wantIdle(t, w)
		})
	}
}

func ptr[T any](v T) *T { return &v }

// scripted is a chat server that sends these events.
func scripted(t *testing.T, owner string, events ...string) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/models":
			_, _ = io.WriteString(w, `{"data":[{"id":"m","owned_by":"`+owner+`"}]}`)
		case chatPath:
			w.Header().Set("Content-Type", "text/event-stream")
			for _, e := range events {
				_, _ = io.WriteString(w, "data: "+e+"\n\n")
			}
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	return srv
}

func TestTokensAreCountedAsTheWorkerTells(t *testing.T) {
	delta := func(key, text, more string) string {
		return `{"choices":[{"delta":{"` + key + `":"` + text + `"}}]` + more + `}`
	}
	usage := func(prompt, completion string) string {
		return `,"usage":{"prompt_tokens":` + prompt + `,"completion_tokens":` + completion + `,"prompt_tokens_details":{"cached_tokens":4}}`
	}
	stop := `{"choices":[{"delta":{},"finish_reason":"stop"}]}`
	for _, tt := range []struct {
		name       string
		events     []string
		want       jeantrail.Usage
		text       string
		reasoning  string
		estimated  bool
		incomplete bool
	}{
		{name: "in each piece", events: []string{delta("reasoning", "hm", usage("9", "2")), delta("content", "a", usage("9", "3")), delta("content", "b", usage("9", "7"))},
			want: jeantrail.Usage{PromptTokens: 9, CachedTokens: 4, CompletionTokens: 7, ReasoningTokens: 2}, text: "ab", reasoning: "hm", incomplete: true},
		{name: "at the end", events: []string{delta("reasoning_content", "hm", ""), delta("content", "ab", ""), stop, `{"choices":[]` + usage("9", "6") + `}`, "[DONE]"},
			want: jeantrail.Usage{PromptTokens: 9, CachedTokens: 4, CompletionTokens: 6, ReasoningTokens: 1}, text: "ab", reasoning: "hm"},
		{name: "by llama-server's timings", events: []string{delta("content", "a", `,"timings":{"prompt_n":5,"cache_n":4,"predicted_n":1}`),
			delta("content", "b", `,"timings":{"prompt_n":5,"cache_n":4,"predicted_n":3}`)},
			want: jeantrail.Usage{PromptTokens: 9, CachedTokens: 4, CompletionTokens: 3}, text: "ab", incomplete: true},
		{name: "not at all", events: []string{delta("content", "a", ""), delta("content", "b", ""), stop},
			want: jeantrail.Usage{PromptTokens: guessPrompt(&jeantrail.TextRequest{Prompt: "one two three four"}), CompletionTokens: 2}, text: "ab", estimated: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := chatWorker(t, scripted(t, "somebody", tt.events...).URL, nil)
			s := new(record)
			res, err := run(t, w, textOf(jeantrail.TextRequest{}), s)
			if tt.incomplete {
				wantCode(t, err, jeantrail.CodeWorkerUnavailable)
			} else if err != nil {
				t.Fatal(err)
			}
			if res.Usage != tt.want || res.Text != tt.text || res.Reasoning != tt.reasoning || (res.Engine.FallbackReason != "") != tt.estimated {
				t.Errorf("result is %+v\nwant usage %+v", res, tt.want)
			}
			wantCounted(t, res, s, tt.want.PromptTokens, tt.want.CompletionTokens)
		})
	}
}

func TestChatWorkerThatDoesNotStop(t *testing.T) {
	events := slices.Repeat([]string{`{"choices":[{"delta":{"content":"x"}}]}`}, 50)
	w := chatWorker(t, scripted(t, "somebody", events...).URL, nil)
	limit := 5
	s := new(record)
	res, err := run(t, w, textOf(jeantrail.TextRequest{MaxTokens: &limit}), s)
	if err != nil || res.FinishReason != jeantrail.FinishLength || s.text != "xxxxx" || s.tokens != 5 {
		t.Errorf("result is %+v, %v, the text %q", res, err, s.text)
	}
}

func TestWhatAChatWorkerCannotBeAsked(t *testing.T) {
	one, k := 1.0, 5
	for name, tt := range map[string]struct {
		req   jeantrail.TextRequest
		llama bool // llama-server can
	}{
		"raw":           {jeantrail.TextRequest{Prompt: "x", Raw: true}, false},
		"tools":         {jeantrail.TextRequest{Prompt: "x", Tools: []string{"{}"}}, false},
		"tool messages": {jeantrail.TextRequest{Messages: []jeantrail.Message{{Role: "tool", Content: "x"}}}, false},
		"top_k":         {jeantrail.TextRequest{Prompt: "x", TopK: &k}, true},
		"typical_p":     {jeantrail.TextRequest{Prompt: "x", TypicalP: &one}, true},
		"grammar":       {jeantrail.TextRequest{Prompt: "x", Grammar: "root ::= x"}, true},
		"thinking":      {jeantrail.TextRequest{Prompt: "x", Thinking: true}, true},
	} {
		for _, owner := range []string{"llamacpp", "somebody"} {
			w := chatWorker(t, scripted(t, owner).URL, nil)
			if p := w.Probe(t.Context()); p.Status != jeantrail.WorkerReady {
				t.Fatalf("probe is %+v", p)
			}
			req := textOf(tt.req)
			_, err := w.Prepare(t.Context(), &req)
			if can := tt.llama && owner == "llamacpp"; can != (err == nil) || err != nil && jeantrail.CodeOf(err) != jeantrail.CodeUnsupported {
				t.Errorf("%s of %s: error is %v", name, owner, err)
			}
		}
	}
}

func TestParametersInTheWordsOfTheServer(t *testing.T) {
	one, seed := 1.5, uint32(7)
	req := &jeantrail.TextRequest{Prompt: "x", RepeatPenalty: &one, Seed: &seed, JSONSchema: `{"type":"object"}`, LogitBias: map[int32]float64{3: -1}}
	w := chatWorker(t, "http://127.0.0.1:1", nil)
	for flavour, key := range map[string]string{flavourLlama: "repeat_penalty", flavourVLLM: "repetition_penalty"} {
		p, err := w.parameters(req, flavour)
		if err != nil {
			t.Fatal(err)
		}
		if p[key] != req.RepeatPenalty || p["seed"] != req.Seed || p["logit_bias"].(map[string]float64)["3"] != -1 || p["response_format"] == nil {
			t.Errorf("%s: parameters are %v", flavour, p)
		}
	}
}

func TestEncodedIsBase64(t *testing.T) {
	for size := range 40 {
		b, err := io.ReadAll(encoded(strings.NewReader(strings.Repeat("ab\x00", 1<<10) + strings.Repeat("x", size))))
		if err != nil || len(b) != (3<<10+size+2)/3*4 {
			t.Errorf("%d bytes more: %d characters, %v", size, len(b), err)
		}
	}
}
