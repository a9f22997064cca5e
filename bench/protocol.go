package bench

import (
	"encoding/json"
	"strings"

	"github.com/jeantrail/jeantrail-ai"
)

// API is how a server is spoken to.
type API string

const (
	APIAuto        API = "auto"               // found out by asking the server
	APIJeantrail   API = "jeantrail"          // POST /generate, events
	APIOpenAI      API = "openai"             // POST /v1/chat/completions, events
	APICompletions API = "openai-completions" // POST /v1/completions, events
	APILlamaServer API = "llama-server"       // POST /completion, events
	APIOllama      API = "ollama"             // POST /api/generate, a JSON object on each line
)

// APIs lists the values that HTTPOptions.API takes.
func APIs() []API {
	return []API{APIAuto, APIJeantrail, APIOpenAI, APICompletions, APILlamaServer, APIOllama}
}

// A protocol is what is particular to an API.
type protocol struct {
	path  string
	lines bool // a JSON object on each line, not events
	body  func(r Request) map[string]any
	read  func(data []byte, p *piece) error
	// optional are fields of the body that some servers refuse. One that is
	// refused by name is left out from then on, and the report says so.
	optional []string
}

// piece is what one message of a stream says.
type piece struct {
	text   string
	tokens int  // of the text; 0 if it does not say
	whole  bool // the text is; what is left are figures, if the server has any
	end    bool
	answer Answer // what is not known is left as it was
}

func protocolOf(api API) protocol {
	switch api {
	case APIJeantrail:
		return protocol{path: "/generate", body: jeantrailBody, read: readJeantrail}
	case APILlamaServer:
		return protocol{path: "/completion", body: llamaBody, read: readLlama}
	case APIOllama:
		return protocol{path: "/api/generate", body: ollamaBody, read: readOllama, lines: true}
	}
	p := protocol{path: "/v1/chat/completions", body: chatBody, read: readOpenAI, optional: []string{"ignore_eos", "stream_options", "temperature"}}
	if api == APICompletions {
		p.path, p.body = "/v1/completions", completionBody
	}
	return p
}

func jeantrailBody(r Request) map[string]any {
	return map[string]any{
		"prompt": r.Prompt, "raw": true, "ignore_eos": true, "max_tokens": r.MaxTokens, "temperature": 0, "stream": true, "cache": false,
	}
}

func llamaBody(r Request) map[string]any {
	return map[string]any{"prompt": r.Prompt, "ignore_eos": true, "n_predict": r.MaxTokens, "temperature": 0, "stream": true}
}

func ollamaBody(r Request) map[string]any {
	return map[string]any{
		"prompt": r.Prompt, "raw": true, "stream": true,
		"options": map[string]any{"num_predict": r.MaxTokens, "temperature": 0},
	}
}

func completionBody(r Request) map[string]any {
	return map[string]any{
		"prompt": r.Prompt, "ignore_eos": true, "max_tokens": r.MaxTokens, "temperature": 0,
		"stream": true, "stream_options": map[string]any{"include_usage": true},
	}
}

func chatBody(r Request) map[string]any {
	body := completionBody(r)
	delete(body, "prompt")
	body["messages"] = []map[string]any{{"role": "user", "content": r.Prompt}}
	return body
}

// openUsage is the usage of OpenAI's form; ours has the same names, but for
// where the cached tokens are.
type openUsage struct {
	Prompt     int  `json:"prompt_tokens"`
	Completion int  `json:"completion_tokens"`
	Cached     *int `json:"cached_tokens"`
	Details    *struct {
		Cached *int `json:"cached_tokens"`
	} `json:"prompt_tokens_details"`
}

func (u *openUsage) answer(cached *int) Answer {
	return Answer{Tokens: u.Completion, PromptTokens: u.Prompt, CachedTokens: cached}
}

func readJeantrail(data []byte, p *piece) error {
	var e struct {
		Type   string          `json:"type"`
		Text   string          `json:"text"`
		Tokens int             `json:"tokens"`
		Error  json.RawMessage `json:"error"`
		Result *struct {
			Usage openUsage `json:"usage"`
		} `json:"result"`
	}
	if err := json.Unmarshal(data, &e); err != nil {
		return malformed(data)
	}
	switch e.Type {
	case "token":
		p.text, p.tokens = e.Text, e.Tokens
	case "done":
		p.end = true
		if e.Result != nil {
			p.answer = e.Result.Usage.answer(e.Result.Usage.Cached)
		}
	case "failed", "cancelled", "interrupted":
		if text := errorText(e.Error); text != "" {
			return inStream(text)
		}
		return inStream("the job was " + e.Type)
	}
	return nil
}

func readLlama(data []byte, p *piece) error {
	var e struct {
		Content   string          `json:"content"`
		Tokens    []int           `json:"tokens"`
		Stop      bool            `json:"stop"`
		Predicted int             `json:"tokens_predicted"`
		Evaluated int             `json:"tokens_evaluated"`
		Error     json.RawMessage `json:"error"`
		Timings   struct {
			Cached *int `json:"cache_n"`
		} `json:"timings"`
	}
	if err := json.Unmarshal(data, &e); err != nil {
		return malformed(data)
	}
	if text := errorText(e.Error); text != "" {
		return inStream(text)
	}
	p.text, p.tokens, p.end = e.Content, len(e.Tokens), e.Stop
	if e.Stop {
		p.answer = Answer{Tokens: e.Predicted, PromptTokens: e.Evaluated, CachedTokens: e.Timings.Cached}
	}
	return nil
}

func readOllama(data []byte, p *piece) error {
	var e struct {
		Response string          `json:"response"`
		Thinking string          `json:"thinking"`
		Done     bool            `json:"done"`
		Count    int             `json:"eval_count"`
		Prompt   int             `json:"prompt_eval_count"`
		Error    json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal(data, &e); err != nil {
		return malformed(data)
	}
	if text := errorText(e.Error); text != "" {
		return inStream(text)
	}
	p.text, p.end = e.Thinking+e.Response, e.Done
	if e.Done {
		p.answer = Answer{Tokens: e.Count, PromptTokens: e.Prompt}
	}
	return nil
}

// readOpenAI reads both forms: a chat's text is in a delta, a completion's in
// text, and what a model thinks has one of two names.
func readOpenAI(data []byte, p *piece) error {
	if string(data) == "[DONE]" {
		p.end = true
		return nil
	}
	var e struct {
		Choices []struct {
			Text   string  `json:"text"`
			Finish *string `json:"finish_reason"`
			Delta  struct {
				Content   string `json:"content"`
				Reasoning string `json:"reasoning"`
				Thought   string `json:"reasoning_content"`
			} `json:"delta"`
		} `json:"choices"`
		Usage *openUsage      `json:"usage"`
		Error json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal(data, &e); err != nil {
		return malformed(data)
	}
	if text := errorText(e.Error); text != "" {
		return inStream(text)
	}
	for _, c := range e.Choices {
		p.text += c.Delta.Thought + c.Delta.Reasoning + c.Delta.Content + c.Text
		p.whole = p.whole || c.Finish != nil && *c.Finish != ""
	}
	if e.Usage != nil {
		cached := e.Usage.Cached
		if cached == nil && e.Usage.Details != nil {
			cached = e.Usage.Details.Cached
		}
		p.answer = e.Usage.answer(cached)
	}
	return nil
}

// errorText finds what an error says: a text, or an object that has it under one
// of the names in use. It is empty if there is no error.
func errorText(raw json.RawMessage) string {
	text := strings.TrimSpace(string(raw))
	if text == "" || text == "null" {
		return ""
	}
	var plain string
	if json.Unmarshal(raw, &plain) == nil {
		return plain
	}
	var e struct {
		Message string          `json:"message"`
		Detail  string          `json:"detail"`
		Title   string          `json:"title"`
		Error   json.RawMessage `json:"error"`
	}
	if json.Unmarshal(raw, &e) == nil {
		for _, said := range []string{e.Detail, e.Message, errorText(e.Error), e.Title} {
			if said != "" {
				return said
			}
		}
	}
	return text
}

func inStream(text string) error {
	return failure("error in the stream", jeantrail.CodeWorkerUnavailable, "the server broke off: %s", shorten(text))
}

func malformed(data []byte) error {
	return failure("malformed", jeantrail.CodeUnsupported, "the server sent what is not JSON: %q", shorten(string(data))).
		WithHint("Name the API that the server speaks.")
}

// shorten keeps a server's words to a length for one line.
func shorten(s string) string {
	const most = 200
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
