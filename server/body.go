package server

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// checkContentType lets scripts send JSON as carelessly as curl -d does, but
// holds browsers to application/json: the other types are those that a page of
// any origin may send without a preflight.
func checkContentType(r *http.Request) error {
	values := r.Header.Values("Content-Type")
	if len(values) > 1 {
		return jeantrail.Errorf(jeantrail.CodeInvalid, "the request has more than one Content-Type")
	}
	allowed := []string{"application/json", "application/x-www-form-urlencoded"}
	if fromBrowser(r) {
		allowed = allowed[:1]
	} else if len(values) == 0 || values[0] == "" {
		return nil
	}
	mediaType, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset := params["charset"]
	if err != nil || !slices.Contains(allowed, mediaType) || (charset != "" && !strings.EqualFold(charset, "utf-8")) {
		return jeantrail.Errorf(jeantrail.CodeUnsupportedMedia, "the content type is not JSON in UTF-8").
			WithHint("Send Content-Type: application/json.")
	}
	if enc := r.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		return jeantrail.Errorf(jeantrail.CodeUnsupportedMedia, "compressed bodies are not read").
			WithHint("Send the body without Content-Encoding.")
	}
	return nil
}

// errBodyTimeout is a body that was too slow; HTTP has a status of its own for it.
var errBodyTimeout = errors.New("the body did not arrive in time")

// readBody reads the whole body within the limits of size and time.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, bodyTooLarge(limit)
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	return data, bodyError(err)
}

func bodyTooLarge(limit int64) error {
	return jeantrail.Errorf(jeantrail.CodeTooLarge, "the body is longer than %d bytes", limit).WithNumber("limit", limit)
}

// bodyError says why a body cannot be read any further.
func bodyError(err error) error {
	var over *http.MaxBytesError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &over):
		return bodyTooLarge(over.Limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errBodyTimeout
	default:
		return jeantrail.Errorf(jeantrail.CodeInvalid, "the body did not arrive whole: %w", err)
	}
}

// limitBodyTime gives the body of a request its time: a long one may take as long
// as it makes progress. A body that is refused unread keeps the deadline, because
// net/http drains it before the next request.
func limitBodyTime(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength == 0 {
		return
	}
	body := &pacedBody{ReadCloser: r.Body, rc: http.NewResponseController(w)}
	body.moreTime()
	r.Body = body
}

// pacedBody puts the deadline of a body off with every bodyStep bytes that come.
type pacedBody struct {
	io.ReadCloser
	rc    *http.ResponseController
	since int // bytes since the deadline was set
}

func (b *pacedBody) moreTime() {
	b.since = 0
	_ = b.rc.SetReadDeadline(time.Now().Add(bodyTimeout))
}

func (b *pacedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch b.since += n; {
	case errors.Is(err, io.EOF):
		// The deadline was for the body: left in place it would end the request
		// itself later on, since net/http keeps reading to notice that a client goes.
		_ = b.rc.SetReadDeadline(time.Time{})
	case b.since >= bodyStep:
		b.moreTime()
	}
	return n, err
}
