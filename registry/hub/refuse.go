package hub

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// transient is an error that another try may mend.
type transient struct {
	err   *jeantrail.Error
	after time.Duration // that the server asked to wait; 0 if it did not say
}

func (t *transient) Error() string { return t.err.Error() }

func (t *transient) Unwrap() error { return t.err }

// connectionError says why there is no answer, or why it broke off. Addresses
// are left out of it: they may be signed.
func connectionError(ctx context.Context, u *url.URL, err error) error {
	if errors.Is(context.Cause(ctx), errStalled) {
		return &transient{err: jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "%s: %w", u.Host, errStalled)}
	}
	if ctx.Err() != nil {
		return stopped(ctx)
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	var unknown x509.UnknownAuthorityError
	var wrongHost x509.HostnameError
	var invalid x509.CertificateInvalidError
	var verify *tls.CertificateVerificationError
	if errors.As(err, &unknown) || errors.As(err, &wrongHost) || errors.As(err, &invalid) || errors.As(err, &verify) {
		return jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "the certificate of %s is not trusted: %w", u.Host, err).
			WithHint("Check the clock and the address. A company proxy that opens https needs its certificate in the system's store.")
	}
	e := jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "the connection to %s failed: %w", u.Host, err)
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		e = jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "there is no host %s", u.Hostname())
	}
	return &transient{err: e}
}

// refused says why a status that is not a success came. what is the thing that
// was asked for, for a person. The error is final or a *transient.
func (c *Client) refused(a *answer, what string, source Source) error {
	after := retryAfter(a.Header.Get("Retry-After"), c.clock())
	code := a.hub.Get("X-Error-Code")
	switch {
	case a.StatusCode == http.StatusTooManyRequests:
		e := jeantrail.Errorf(jeantrail.CodeRateLimited, "%s says: too many requests (429)", a.url.Host).
			WithHint("Wait and run the same again: it goes on where it stopped. With a token in HF_TOKEN the hub allows more.")
		e.RetryAfter = after
		return &transient{err: e, after: after}
	case a.StatusCode >= 500 || a.StatusCode == http.StatusRequestTimeout || a.StatusCode == http.StatusTooEarly:
		e := jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "%s answers %s", a.url.Host, a.Status)
		e.RetryAfter = after
		return &transient{err: e, after: after}
	case a.StatusCode == http.StatusUnauthorized || a.StatusCode == http.StatusForbidden:
		return c.denied(a, what, source)
	case a.StatusCode == http.StatusNotFound && code == "RevisionNotFound":
		return jeantrail.Errorf(jeantrail.CodeNotFound, "the repository %s has no revision %q", source.Repo, source.Revision).
			WithHint("Look at %s for its branches, or leave @%s out.", c.page(source), source.Revision)
	case a.StatusCode == http.StatusNotFound || a.StatusCode == http.StatusGone:
		e := jeantrail.Errorf(jeantrail.CodeNotFound, "there is no %s at %s", what, a.url.Host)
		if source.Repo != "" {
			return e.WithHint("Check the spelling of %s; its page would be %s", source.Repo, c.page(source))
		}
		return e.WithHint("Check the address in a browser: %s", source.shown())
	default:
		return jeantrail.Errorf(jeantrail.CodeUnsupported, "%s answers %s for %s", a.url.Host, a.Status, what).
			WithHint("Check the address, and HF_ENDPOINT if it is set.")
	}
}

// denied explains a 401 or 403: a licence to accept, a token to give.
func (c *Client) denied(a *answer, what string, source Source) error {
	if source.Repo == "" || !sameOrigin(a.url, c.endpoint) {
		return jeantrail.Errorf(jeantrail.CodeForbidden, "%s does not give %s to us (%d)", a.url.Host, what, a.StatusCode).
			WithHint("The address needs a login or has run out. Fetch the file by other means and use: jeantrail-ai model import FILE.gguf")
	}
	tokens := strings.TrimSuffix(c.endpoint.String(), "/") + "/settings/tokens"
	sent := c.opts.Token != "" && c.protected()
	gated := a.hub.Get("X-Error-Code") == "GatedRepo"
	e := jeantrail.Errorf(jeantrail.CodeForbidden, "the hub does not give %s to us (%d)", what, a.StatusCode)
	switch {
	case gated && sent:
		e = jeantrail.Errorf(jeantrail.CodeForbidden, "%s is gated, and the account of the token in HF_TOKEN has no access to it", source.Repo).
			WithHint("Accept its licence at %s with that account, wait until access is granted, and give the token the right to read gated repositories at %s", c.page(source), tokens)
	case gated:
		e = jeantrail.Errorf(jeantrail.CodeForbidden, "%s is gated: its licence must be accepted first, and a token given", source.Repo).
			WithHint("Accept the licence at %s, make a token that may read at %s, set HF_TOKEN to it, and pull again.", c.page(source), tokens)
	case sent:
		e.WithHint("Either %s does not exist, or it is private, or the token in HF_TOKEN is wrong or has run out. See %s and %s", source.Repo, c.page(source), tokens)
	default:
		e.WithHint("Either %s does not exist, or it is private or gated: then accept its licence at %s, make a token at %s, set HF_TOKEN to it, and pull again.", source.Repo, c.page(source), tokens)
	}
	return e.WithName("repository", source.Repo)
}

// page is the address of a repository's page, where its licence is.
func (c *Client) page(source Source) string { return c.endpoint.JoinPath(source.Repo).String() }

// retryAfter reads the header, in seconds or as a date; 0 if it says nothing.
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(strings.TrimSpace(value), 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// notAModel says what came instead of a model file. head is how it begins.
func notAModel(a *answer, head []byte, source Source) error {
	text := strings.ToLower(strings.TrimSpace(string(head)))
	e := jeantrail.Errorf(jeantrail.CodeInvalid, "what %s gives is not a GGUF model: it does not begin with GGUF", a.url.Host).
		WithHint("Give the address of a .gguf file. Models in other forms (safetensors, pickle) must be converted first.")
	switch {
	case strings.Contains(a.Header.Get("Content-Type"), "text/html") || strings.HasPrefix(text, "<"):
		e = jeantrail.Errorf(jeantrail.CodeInvalid, "what %s gives is a web page, not a model", a.url.Host).
			WithHint("Give the address of the file itself, that which the page's download button has. A login page or a captive portal on the network looks the same.")
	case strings.HasPrefix(text, "version https://git-lfs"):
		e = jeantrail.Errorf(jeantrail.CodeInvalid, "what %s gives is a Git LFS pointer, not the model", a.url.Host).
			WithHint("Use /resolve/ in place of /raw/ in the address, or hf:OWNER/REPO.")
	}
	return e.WithName("source", source.shown())
}
