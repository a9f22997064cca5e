package media

import (
	"context"
	"encoding/json"
	"errors"
	"html"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/jeantrail/jeantrail-ai"
)

const (
	maxWords    = 500      // bytes of a worker's own words in an error
	maxProblem  = 64 << 10 // bytes of an error's body that are read
	retryPause  = 10 * time.Second
	loadPause   = 5 * time.Second
	maxRetryAft = time.Hour
)

// fault says in our words why a request got no whole answer.
func (c *client) fault(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var own *jeantrail.Error
	if errors.As(err, &own) {
		return own
	}
	var name *net.DNSError
	var late net.Error
	var dial *net.OpError
	var e *jeantrail.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		e = jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "the worker %s is not running: nothing listens at %s", c.worker, c.base).
			WithHint("Start it (jeantrail-ai worker up starts the usual ones), or correct its url in config.yaml.")
	case errors.As(err, &name):
		e = jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "the worker %s is not found: %s has no address", c.worker, c.base.Hostname()).
			WithHint("Correct its url in config.yaml.")
	case errors.As(err, &late) && late.Timeout():
		e = jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "the worker %s cannot be reached at %s: no connection in time", c.worker, c.base).
			WithHint("See whether it runs there.")
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		e = jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "the worker %s broke the connection before its answer was complete", c.worker).
			WithHint("Its own log may say why; a server that runs out of memory does this.")
	case errors.As(err, &dial) && dial.Op == "dial":
		e = jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "the worker %s cannot be reached at %s", c.worker, c.base).
			WithHint("See whether it runs there.")
	default:
		e = jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "the worker %s cannot be asked", c.worker).
			WithHint("See what it says with: jeantrail-ai worker status")
	}
	e.Err = err
	e.RetryAfter = retryPause
	return e.WithName("worker", c.worker)
}

// unreadable is the error of an answer that came and makes no sense.
func (c *client) unreadable(what string, args ...any) *jeantrail.Error {
	e := jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "the worker "+c.worker+" "+what, args...).
		WithHint("See whether its dialect is right in config.yaml, and what its own log says.")
	return e.WithName("worker", c.worker)
}

// refusal makes an error of an answer that is not a success. It has the
// worker's own words.
func (c *client) refusal(status int, header http.Header, body []byte) *jeantrail.Error {
	said := words(body)
	if said == "" {
		said = http.StatusText(status)
	}
	var e *jeantrail.Error
	switch {
	case status >= 300 && status < 400:
		e = jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "the worker %s sends its requests elsewhere, which is not followed", c.worker).
			WithHint("Set its url to where it really is.")
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		e = jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "the worker %s does not let us in (%d): %s", c.worker, status, said).
			WithHint("Set its api_key in config.yaml.")
	case status == http.StatusNotFound, status == http.StatusMethodNotAllowed, status == http.StatusNotImplemented:
		e = jeantrail.Errorf(jeantrail.CodeUnsupported, "the worker %s cannot do this (%d): %s", c.worker, status, said).
			WithHint("See whether its dialect and model are right in config.yaml.")
	case status == http.StatusRequestEntityTooLarge:
		e = jeantrail.Errorf(jeantrail.CodeTooLarge, "the request is too large for the worker %s: %s", c.worker, said)
	case status == http.StatusUnsupportedMediaType:
		e = jeantrail.Errorf(jeantrail.CodeUnsupportedMedia, "the worker %s cannot read the file: %s", c.worker, said)
	case status == http.StatusTooManyRequests:
		e = jeantrail.Errorf(jeantrail.CodeQueueFull, "the worker %s takes no more requests: %s", c.worker, said)
		e.RetryAfter = retryAfter(header, retryPause)
	case status == http.StatusServiceUnavailable && loading(said):
		e = jeantrail.Errorf(jeantrail.CodeModelLoading, "the worker %s is loading its model: %s", c.worker, said)
		e.RetryAfter = retryAfter(header, loadPause)
	case status == http.StatusBadRequest, status == http.StatusUnprocessableEntity, status == http.StatusConflict:
		e = jeantrail.Errorf(jeantrail.CodeInvalid, "the worker %s refuses the request (%d): %s", c.worker, status, said)
	default:
		e = jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "the worker %s failed (%d): %s", c.worker, status, said).
			WithHint("Its own log may say more.")
		e.RetryAfter = retryAfter(header, retryPause)
	}
	return e.WithName("worker", c.worker).WithNumber("worker_status", int64(status))
}

// loading reports whether a server says that it has not begun yet.
func loading(said string) bool {
	said = strings.ToLower(said)
	return strings.Contains(said, "loading") || strings.Contains(said, "starting") || strings.Contains(said, "preload")
}

// retryAfter reads the header of that name, in seconds.
func retryAfter(h http.Header, otherwise time.Duration) time.Duration {
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || seconds < 1 {
		return otherwise
	}
	return min(time.Duration(seconds)*time.Second, maxRetryAft)
}

var (
	unshown = regexp.MustCompile(`(?is)<(script|style|head)\b.*?</(script|style|head)\s*>`)
	title   = regexp.MustCompile(`(?is)<title[^>]*>(.*?)</title`)
	tag     = regexp.MustCompile(`<[^>]*>`)
)

// words returns what an error's body says to a person: the message of the usual
// JSON forms, the text of an HTML page, or the text itself; on one line and of
// at most 500 bytes.
func words(body []byte) string {
	body = body[:min(len(body), maxProblem)]
	text := string(body)
	var v any
	if json.Unmarshal(body, &v) == nil {
		text = message(v)
	} else if trimmed := strings.TrimSpace(text); strings.HasPrefix(trimmed, "<") {
		head := ""
		if m := title.FindStringSubmatch(trimmed); m != nil {
			head = m[1]
		}
		rest := html.UnescapeString(tag.ReplaceAllString(unshown.ReplaceAllString(title.ReplaceAllString(trimmed, "<"), " "), " "))
		text = html.UnescapeString(head) + " " + rest
	}
	return plain(text, maxWords)
}

// plain puts text on one line, without control characters and at most so long.
func plain(text string, most int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	var b strings.Builder
	space := false
	for _, r := range text {
		if unicode.IsSpace(r) || !unicode.IsPrint(r) {
			space = b.Len() > 0
			continue
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(r)
		if b.Len() > most {
			break
		}
	}
	out := b.String()
	if len(out) <= most {
		return out
	}
	out = out[:most-len("…")]
	for !utf8.ValidString(out) {
		out = out[:len(out)-1]
	}
	return out + "…"
}

// message finds the text in the forms that errors have.
func message(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case []any: // FastAPI: [{"loc": [...], "msg": "..."}]
		var all []string
		for _, one := range v {
			if s := message(one); s != "" {
				all = append(all, s)
			}
		}
		return strings.Join(all, "; ")
	case map[string]any:
		var all []string
		for _, key := range []string{"error", "detail", "message", "msg", "errors", "reason"} {
			if s := message(v[key]); s != "" {
				all = append(all, s)
			}
		}
		if where, ok := v["loc"].([]any); ok && len(all) > 0 && len(where) > 0 {
			if field, ok := where[len(where)-1].(string); ok {
				return field + ": " + strings.Join(all, ": ")
			}
		}
		return strings.Join(all, ": ")
	}
	return ""
}
