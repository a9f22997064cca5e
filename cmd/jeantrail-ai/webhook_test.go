package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

func TestWebhookDeliversAndTriesAgain(t *testing.T) {
	bodies := make(chan webhookAlert, 4)
	calls := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++ // one goroutine delivers, one call after the other
		if calls == 1 {
			http.Error(w, "not now", http.StatusServiceUnavailable)
			return
		}
		var a webhookAlert
		if err := json.NewDecoder(r.Body).Decode(&a); err != nil {
			t.Error(err)
		}
		bodies <- a
	}))
	defer srv.Close()
	h := newWebhook(srv.URL, slog.New(slog.DiscardHandler))
	h.pause = time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); h.Run(ctx) }()
	h.Tell(jeantrail.Alert{BudgetID: "b", UserID: "ann", Percent: 80, Limit: 1000, Spent: 801, At: time.Unix(0, 0)})
	got := <-bodies
	cancel()
	<-ended
	want := webhookAlert{Type: "alert", BudgetID: "b", UserID: "ann", Percent: 80, LimitMicros: 1000, SpentMicros: 801, At: "1970-01-01T00:00:00Z"}
	if got != want || calls != 2 {
		t.Errorf("after %d calls %+v, want %+v", calls, got, want)
	}
}

func TestWebhookStaysInside(t *testing.T) {
	for address, ok := range map[string]bool{
		"": true, "http://127.0.0.1:9/x": true, "http://localhost:9": true, "https://192.168.1.5/hook": true, "http://[::1]:9": true,
		"ftp://127.0.0.1/": false, "127.0.0.1:9": false, "http://8.8.8.8/": false, "http://[2001:db8::1]/": false,
	} {
		if err := checkWebhook(address); (err == nil) != ok {
			t.Errorf("%q: %v", address, err)
		}
	}
	// A name that points outside is refused when it is dialled.
	h := newWebhook("http://example.invalid/", slog.New(slog.DiscardHandler))
	conn, err := h.client.Transport.(*http.Transport).DialContext(t.Context(), "tcp", "203.0.113.7:80")
	if err == nil {
		conn.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "private") {
		t.Errorf("dialling a public address: %v", err)
	}
}

func TestWebhookThatIsStuckHoldsNobodyUp(t *testing.T) {
	var log strings.Builder
	h := newWebhook("http://127.0.0.1:1/", slog.New(slog.NewTextHandler(io.Writer(&log), nil)))
	for range webhookQueue + 1 { // nobody delivers
		h.Tell(jeantrail.Alert{BudgetID: "b"})
	}
	if !strings.Contains(log.String(), "was not sent") {
		t.Error("an alert was dropped without a word")
	}
}
