package server

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"

	"github.com/gorilla/websocket"

	"github.com/jeantrail/jeantrail-ai"
)

// subprotocol is what a WebSocket client offers; a browser, which cannot set
// headers, offers bearerProtocol+token beside it.
const (
	subprotocol    = "jeantrail.v1"
	bearerProtocol = "bearer."
)

// auth knows the one secret of this process, by its hash.
type auth struct {
	keyless bool
	hash    [sha256.Size]byte
}

func newAuth(token string) *auth {
	return &auth{keyless: token == "", hash: sha256.Sum256([]byte(token))}
}

// principal finds out who calls. In keyless mode that is the local user,
// whatever the request carries.
func (a *auth) principal(r *http.Request) (jeantrail.Principal, error) {
	local := jeantrail.Principal{UserID: "local", Role: jeantrail.RoleAdmin, ActForOthers: true}
	if a.keyless {
		return local, nil
	}
	token := bearerToken(r)
	if token == "" {
		return jeantrail.Principal{}, jeantrail.Errorf(jeantrail.CodeUnauthorized, "the request carries no token").
			WithHint("Send it as Authorization: Bearer <token>; on a WebSocket also as the subprotocols %s, %s<token>.", subprotocol, bearerProtocol)
	}
	if !a.matches(token) {
		return jeantrail.Principal{}, jeantrail.Errorf(jeantrail.CodeUnauthorized, "the token is not the right one").
			WithHint("Each start of a sidecar has a token of its own; take it from the handshake line.")
	}
	local.KeyID = "token"
	return local, nil
}

// matches compares hashes, so that neither the content nor the length of the
// secret shows in the time it takes.
func (a *auth) matches(token string) bool {
	sum := sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(sum[:], a.hash[:]) == 1
}

func bearerToken(r *http.Request) string {
	scheme, token, found := strings.Cut(r.Header.Get("Authorization"), " ")
	if found && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(token)
	}
	if !websocket.IsWebSocketUpgrade(r) {
		return ""
	}
	offered, token := false, ""
	for _, p := range websocket.Subprotocols(r) {
		offered = offered || p == subprotocol
		if rest, ok := strings.CutPrefix(p, bearerProtocol); ok {
			token = rest
		}
	}
	if !offered {
		return "" // the answer could name no subprotocol, and the browser would hang up
	}
	return token
}

type contextKey int

const (
	principalKey contextKey = iota
	requestInfoKey
)

func withPrincipal(ctx context.Context, p jeantrail.Principal) context.Context {
	return context.WithValue(ctx, principalKey, p)
}

// principalOf returns who calls; the zero Principal on an open route that was
// called without a token.
func principalOf(ctx context.Context) (jeantrail.Principal, bool) {
	p, ok := ctx.Value(principalKey).(jeantrail.Principal)
	return p, ok
}

// caller returns the principal of a route that is not open.
func caller(r *http.Request) jeantrail.Principal {
	p, _ := principalOf(r.Context())
	return p
}
