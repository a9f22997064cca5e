package testkit

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// Llama is llama.cpp's llama-server with its chat completions.
type Llama struct {
	Chat
	Starting int  // so many requests, to whatever path, are answered 503
	Pings    bool // a comment comes before each chunk
	OldUsage bool // the usage stands in the chunk with the finish reason
}

// VLLM is vLLM's OpenAI server with its chat completions.
type VLLM struct{ Chat }

// Chat is what both chat servers are told. The zero value repeats what the
// last message says and tells the size of each picture.
type Chat struct {
	Model   string // "qwen" unless told
	Slots   int    // requests computed at once, 1 for Llama and 8 for VLLM unless told
	APIKey  string
	Context int  // tokens that fit, 0 for no limit
	Blind   bool // pictures are refused
	// Reply makes the answer's text from the last message's.
	Reply func(text string, pictures []Picture) string
	// ErrorAfter breaks a stream with an error frame after so many tokens, and
	// CutAfter with the end of the connection; 0 for never.
	ErrorAfter int
	CutAfter   int
}

// Picture is one that came with a chat message.
type Picture struct {
	Data          []byte
	Width, Height int // in pixels
}

const chatPath = "/v1/chat/completions"

// Work implements Double.
func (Chat) Work() []string { return []string{chatPath} }

// Handler implements Double.
func (d Llama) Handler(s *Server) http.Handler {
	c := newChat(d.Chat, s, 1)
	c.pings, c.oldUsage, c.llama = d.Pings, d.OldUsage, true
	mux := http.NewServeMux()
	ok := func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, object{"status": "ok"}) }
	mux.HandleFunc("GET /health", ok)
	mux.HandleFunc("GET /v1/health", ok)
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, object{"object": "list", "data": []object{{"id": c.Model, "object": "model", "created": time.Now().Unix(),
			"owned_by": "llamacpp", "meta": object{"n_ctx_train": 40960, "n_params": 596049920, "size": 639446688}}}})
	})
	mux.HandleFunc("POST "+chatPath, c.complete)
	var asked atomic.Int64
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, pattern := mux.Handler(r)
		switch open := r.Method == http.MethodGet; {
		case asked.Add(1) <= int64(d.Starting):
			c.fail(w, http.StatusServiceUnavailable, "unavailable_error", "Loading model")
		case !open && !c.allowed(r):
			c.fail(w, http.StatusUnauthorized, "authentication_error", "Invalid API Key")
		case pattern == "":
			c.fail(w, http.StatusNotFound, "not_found_error", "File Not Found")
		default:
			mux.ServeHTTP(w, r)
		}
	})
}

// Handler implements Double.
func (d VLLM) Handler(s *Server) http.Handler {
	c := newChat(d.Chat, s, 8)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, object{"version": "0.11.0"}) })
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, object{"object": "list", "data": []object{{"id": c.Model, "object": "model", "created": time.Now().Unix(),
			"owned_by": "vllm", "root": c.Model, "parent": nil, "max_model_len": or(c.Context, 8192)}}})
	})
	mux.HandleFunc("POST "+chatPath, c.complete)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/") && !c.allowed(r) {
			writeJSON(w, http.StatusUnauthorized, object{"error": "Unauthorized"})
			return
		}
		fastAPI(mux).ServeHTTP(w, r)
	})
}

type chat struct {
	Chat
	server          *Server
	slots           slots
	llama           bool
	pings, oldUsage bool
	count           atomic.Int64
}

func newChat(d Chat, s *Server, parallel int) *chat {
	d.Model = or(d.Model, "qwen")
	if d.Reply == nil {
		d.Reply = repeat
	}
	return &chat{Chat: d, server: s, slots: make(slots, or(d.Slots, parallel))}
}

// repeat is the answer unless the test has another.
func repeat(text string, pictures []Picture) string {
	var b strings.Builder
	for _, p := range pictures {
		fmt.Fprintf(&b, "A picture of %d by %d pixels. ", p.Width, p.Height)
	}
	b.WriteString("You said: " + text)
	return b.String()
}

func (c *chat) allowed(r *http.Request) bool {
	return c.APIKey == "" || r.Header.Get("Authorization") == "Bearer "+c.APIKey
}

// problem returns an error as the server writes it.
func (c *chat) problem(status int, kind, message string) object {
	if c.llama {
		return object{"error": object{"code": status, "message": message, "type": kind}}
	}
	types := map[int]string{http.StatusBadRequest: "BadRequestError", http.StatusNotFound: "NotFoundError"}
	return object{"error": object{"message": message, "type": or(types[status], "InternalServerError"), "param": nil, "code": status}}
}

func (c *chat) fail(w http.ResponseWriter, status int, kind, message string) {
	writeJSON(w, status, c.problem(status, kind, message))
}

type chatOrder struct {
	Model         string        `json:"model"`
	Messages      []chatMessage `json:"messages"`
	Stream        bool          `json:"stream"`
	StreamOptions *struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	MaxTokens           int `json:"max_tokens"`
	MaxCompletionTokens int `json:"max_completion_tokens"`
}

// A completion is the answer to one order.
type completion struct {
	id      string
	model   string
	prompt  int      // tokens
	tokens  []string // each with the space before it
	finish  string
	usage   bool // asked for
	started time.Time
}

func (c *chat) complete(w http.ResponseWriter, r *http.Request) {
	var o chatOrder
	if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
		c.fail(w, http.StatusBadRequest, "invalid_request_error", err.Error())
		return
	}
	if !c.llama && o.StreamOptions != nil && !o.Stream {
		c.fail(w, http.StatusBadRequest, "", "Stream options can only be defined when `stream=True`.")
		return
	}
	if !c.llama && o.Model != c.Model {
		c.fail(w, http.StatusNotFound, "", fmt.Sprintf("The model `%s` does not exist.", o.Model))
		return
	}
	a, status, err := c.think(o)
	if err != nil {
		c.fail(w, status, pick(status == http.StatusBadRequest, "invalid_request_error", "server_error"), err.Error())
		return
	}
	if c.Context > 0 && a.prompt > c.Context {
		c.fail(w, http.StatusBadRequest, "exceed_context_size_error", fmt.Sprintf("the request exceeds the available context size (%d tokens)", c.Context))
		return
	}
	// A client that leaves gives its place away, waiting or not.
	if c.slots.take(r.Context(), c.server) != nil {
		return
	}
	defer c.slots.give()
	if o.Stream {
		c.stream(w, r.Context(), a)
		return
	}
	for range a.tokens {
		if c.server.tick(r.Context(), len(a.tokens)) != nil {
			return
		}
	}
	writeJSON(w, http.StatusOK, object{"id": a.id, "object": "chat.completion", "created": time.Now().Unix(), "model": a.model,
		"choices": []object{{"index": 0, "message": object{"role": "assistant", "content": strings.Join(a.tokens, "")}, "finish_reason": a.finish}},
		"usage":   a.used()})
}

// think makes the whole answer.
func (c *chat) think(o chatOrder) (completion, int, error) {
	a := completion{id: fmt.Sprintf("chatcmpl-%d", c.count.Add(1)), model: or(o.Model, c.Model), finish: "stop", started: time.Now()}
	a.usage = o.StreamOptions != nil && o.StreamOptions.IncludeUsage
	if len(o.Messages) == 0 {
		return a, http.StatusBadRequest, fmt.Errorf("'messages' is required")
	}
	var last string
	var all []Picture
	for _, m := range o.Messages {
		text, pictures, err := m.read(c.server)
		if err != nil {
			return a, http.StatusBadRequest, err
		}
		if len(pictures) > 0 && c.Blind {
			return a, pick(c.llama, http.StatusInternalServerError, http.StatusBadRequest),
				fmt.Errorf("image input is not supported - hint: if this is unexpected, you may need to provide the mmproj")
		}
		a.prompt += len(strings.Fields(text)) + 256*len(pictures) + 4
		last, all = text, append(all, pictures...)
	}
	a.tokens = strings.SplitAfter(c.Reply(last, all), " ")
	if limit := or(o.MaxTokens, o.MaxCompletionTokens); limit > 0 && limit < len(a.tokens) {
		a.tokens, a.finish = a.tokens[:limit], "length"
	}
	return a, http.StatusOK, nil
}

func (a completion) used() object {
	return object{"prompt_tokens": a.prompt, "completion_tokens": len(a.tokens), "total_tokens": a.prompt + len(a.tokens),
		"prompt_tokens_details": object{"cached_tokens": 0}}
}

// chunk returns one frame's object.
func (a completion) chunk(choices []object) object {
	return object{"id": a.id, "object": "chat.completion.chunk", "created": a.started.Unix(), "model": a.model, "choices": choices}
}

func (a completion) delta(delta object, finish any) object {
	return a.chunk([]object{{"index": 0, "delta": delta, "finish_reason": finish}})
}

// stream sends the answer as events, one token in each.
func (c *chat) stream(w http.ResponseWriter, ctx context.Context, a completion) {
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	frame := func(v any) {
		if c.pings {
			_, _ = fmt.Fprint(w, ":\n\n")
		}
		_, _ = fmt.Fprintf(w, "data: %s\n\n", jsonText(v))
		flush(w)
	}
	for i, token := range a.tokens {
		if c.server.tick(ctx, len(a.tokens)) != nil {
			return
		}
		if i == 0 { // nothing is sent before the first token is there
			frame(a.delta(object{"role": "assistant", "content": ""}, nil))
		}
		if c.CutAfter > 0 && i == c.CutAfter {
			return
		}
		if c.ErrorAfter > 0 && i == c.ErrorAfter {
			worked(w)
			frame(c.problem(http.StatusInternalServerError, "server_error", "the computation failed"))
			if !c.llama {
				_, _ = fmt.Fprint(w, "data: [DONE]\n\n")
			}
			return
		}
		frame(a.delta(object{"content": token}, nil))
	}
	last := a.delta(object{}, a.finish)
	if c.llama && c.oldUsage {
		last["usage"] = a.used()
	} else if a.usage {
		worked(w)
		frame(last)
		last = a.chunk([]object{})
		last["usage"] = a.used()
	}
	if c.llama {
		ms := float64(time.Since(a.started).Microseconds()) / 1000
		last["timings"] = object{"prompt_n": a.prompt, "prompt_ms": ms / 2, "predicted_n": len(a.tokens), "predicted_ms": ms / 2}
	}
	worked(w)
	frame(last)
	_, _ = fmt.Fprint(w, "data: [DONE]\n\n")
}
