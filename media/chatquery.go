package media

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"

	"github.com/jeantrail/jeantrail-ai"
)

// maxSeen is the most bytes of a picture that a chat server is shown.
const maxSeen = 32 << 20

// chatQuery is a query whose body may hold open files.
type chatQuery struct {
	query
	files []io.Closer
}

func (q *chatQuery) close() {
	for _, f := range q.files {
		_ = f.Close()
	}
}

// parameters returns what a request asks beside its messages, in the words of the
// server's flavour. What a server would ignore is refused.
func (w *Worker) parameters(t *jeantrail.TextRequest, flavour string) (map[string]any, error) {
	p := make(map[string]any)
	unknown := ""
	set := func(there bool, name string, value any, known bool) {
		switch {
		case !there:
		case known:
			p[name] = value
		case unknown == "":
			unknown = name
		}
	}
	llama, vllm := flavour == flavourLlama, flavour == flavourVLLM
	set(t.Temperature != nil, "temperature", t.Temperature, true)
	set(t.TopP != nil, "top_p", t.TopP, true)
	set(t.Seed != nil, "seed", t.Seed, true)
	set(len(t.Stop) > 0, "stop", t.Stop, true)
	set(t.FrequencyPenalty != nil, "frequency_penalty", t.FrequencyPenalty, true)
	set(t.PresencePenalty != nil, "presence_penalty", t.PresencePenalty, true)
	set(t.TopK != nil, "top_k", t.TopK, llama || vllm)
	set(t.MinP != nil, "min_p", t.MinP, llama || vllm)
	set(t.IgnoreEOS, "ignore_eos", true, llama || vllm)
	set(t.TypicalP != nil, "typical_p", t.TypicalP, llama)
	set(t.DryMultiplier != nil, "dry_multiplier", t.DryMultiplier, llama)
	set(t.Grammar != "", "grammar", t.Grammar, llama)
	if vllm {
		set(t.RepeatPenalty != nil, "repetition_penalty", t.RepeatPenalty, true)
	} else {
		set(t.RepeatPenalty != nil, "repeat_penalty", t.RepeatPenalty, llama)
	}
	if llama || vllm {
		p["chat_template_kwargs"] = map[string]any{"enable_thinking": t.Thinking}
	} else {
		set(t.Thinking, "thinking", true, false)
	}
	if len(t.LogitBias) > 0 {
		bias := make(map[string]float64, len(t.LogitBias))
		for token, b := range t.LogitBias {
			bias[strconv.Itoa(int(token))] = b
		}
		p["logit_bias"] = bias
	}
	if t.JSONSchema != "" {
		p["response_format"] = map[string]any{"type": "json_schema", "json_schema": map[string]any{
			"name": "answer", "strict": true, "schema": json.RawMessage(t.JSONSchema)}}
	}
	if unknown != "" {
		return nil, jeantrail.Errorf(jeantrail.CodeUnsupported, "the worker %s has no parameter for %s", w.opts.Name, unknown).
			WithHint("Leave it out, or ask a model that runs in this process.")
	}
	return p, nil
}

// chatQuery makes the request for an answer of at most so many tokens.
func (c *call) chatQuery(ctx context.Context, limit int) (*chatQuery, error) {
	t := c.req.Text
	p, err := c.worker.parameters(t, c.known.flavour)
	if err != nil {
		return nil, err
	}
	p["model"], p["stream"], p["max_tokens"] = c.model(), true, limit
	options := map[string]any{"include_usage": true}
	switch c.known.flavour { // so that a job that is cut short is counted, too
	case flavourLlama:
		p["timings_per_token"] = true
	case flavourVLLM:
		options["continuous_usage_stats"] = true
	}
	p["stream_options"] = options
	marks := make([]string, len(t.Images))
	for i := range marks {
		marks[i] = "image-" + rand.Text() // nobody can have written it into a prompt
	}
	p["messages"] = chatMessages(t, marks)
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(p); err != nil {
		return nil, err
	}
	q := &chatQuery{query: query{method: http.MethodPost, path: chatPath, contentType: "application/json", accept: "text/event-stream", limit: maxStream}}
	if err := q.fill(ctx, c.worker.opts.Files, body.Bytes(), t.Images, marks); err != nil {
		q.close()
		return nil, err
	}
	return q, nil
}

type chatMessage struct {
	Role      string `json:"role"`
	Content   any    `json:"content"` // a string, or parts
	Reasoning string `json:"reasoning_content,omitempty"`
}

// chatMessages returns the conversation, with a mark where each image will be:
// before the prompt, or before the last message of the user.
func chatMessages(t *jeantrail.TextRequest, marks []string) []chatMessage {
	var all []chatMessage
	if t.System != "" {
		all = append(all, chatMessage{Role: "system", Content: t.System})
	}
	for _, m := range t.Messages {
		all = append(all, chatMessage{Role: m.Role, Content: m.Content, Reasoning: m.Reasoning})
	}
	if len(t.Messages) == 0 {
		all = append(all, chatMessage{Role: "user", Content: t.Prompt})
	}
	if len(marks) == 0 {
		return all
	}
	at := len(all) - 1
	for i := range all {
		if all[i].Role == "user" {
			at = i
		}
	}
	var parts []any
	for _, mark := range marks {
		parts = append(parts, map[string]any{"type": "image_url", "image_url": map[string]any{"url": mark}})
	}
	all[at].Content = append(parts, map[string]any{"type": "text", "text": all[at].Content})
	return all
}

// fill makes the body: the JSON, with each image in base64 in the place of its
// mark, read from its file as it is sent.
func (q *chatQuery) fill(ctx context.Context, files Files, text []byte, images []jeantrail.File, marks []string) error {
	if len(images) == 0 {
		q.body = bytes.NewReader(text)
		return nil
	}
	var parts []io.Reader
	add := func(b []byte) {
		parts = append(parts, bytes.NewReader(b))
		q.length += int64(len(b))
	}
	for i, image := range images {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if image.Bytes > maxSeen {
			return jeantrail.Errorf(jeantrail.CodeTooLarge, "an image has %d bytes, the most is %d", image.Bytes, int64(maxSeen)).WithNumber("limit", maxSeen)
		}
		file, err := files.Open(image)
		if err != nil {
			return err
		}
		q.files = append(q.files, file)
		kind, err := mediaTypeOf(file)
		if err != nil {
			return err
		}
		before, after, _ := bytes.Cut(text, []byte(marks[i]))
		add(before)
		add([]byte("data:" + kind + ";base64,"))
		parts = append(parts, encoded(io.LimitReader(file, image.Bytes)))
		q.length += int64(base64.StdEncoding.EncodedLen(int(image.Bytes)))
		text = after
	}
	add(text)
	q.body = io.MultiReader(parts...)
	return nil
}

// mediaTypeOf looks at a file's beginning.
func mediaTypeOf(f io.ReadSeeker) (string, error) {
	var head [512]byte
	n, err := io.ReadFull(f, head[:])
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return "", err
	}
	kind := http.DetectContentType(head[:n])
	if !slices.Contains([]string{"image/png", "image/jpeg", "image/webp", "image/gif", "image/bmp"}, kind) {
		return "", jeantrail.Errorf(jeantrail.CodeUnsupportedMedia, "a file that was sent as an image is %s", kind).WithHint("Send PNG, JPEG or WebP.")
	}
	_, err = f.Seek(0, io.SeekStart)
	return kind, err
}

// encoded reads r in base64.
func encoded(r io.Reader) io.Reader { return &encoder{from: r} }

type encoder struct {
	from io.Reader
	raw  [3 << 10]byte
	out  [4 << 10]byte
	rest []byte
}

func (e *encoder) Read(p []byte) (int, error) {
	if len(e.rest) == 0 {
		n, err := io.ReadFull(e.from, e.raw[:])
		if n == 0 {
			return 0, err
		}
		if err != nil && err != io.ErrUnexpectedEOF {
			return 0, err
		}
		base64.StdEncoding.Encode(e.out[:], e.raw[:n])
		e.rest = e.out[:base64.StdEncoding.EncodedLen(n)]
	}
	n := copy(p, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}
