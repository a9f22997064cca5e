package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// How alerts are delivered.
const (
	webhookQueue   = 64
	webhookTries   = 3
	webhookTimeout = 5 * time.Second
	webhookPause   = time.Second // before the second try; twice as long before the third
)

// Webhook tells an address on this machine, or in a private network, of alerts.
// Telling never waits; one goroutine delivers.
type Webhook struct {
	url    string
	client *http.Client
	logger *slog.Logger
	queue  chan jeantrail.Alert
	pause  time.Duration
}

// checkWebhook refuses an address that can never be told; "" is none.
func checkWebhook(address string) error {
	if address == "" {
		return nil
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return errors.New("use an address like http://127.0.0.1:9000/alerts")
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && !private(ip) {
		return errors.New("only loopback and private addresses are told; nothing leaves the machine's network")
	}
	return nil
}

// private reports whether an address is this machine's or a private network's.
func private(ip netip.Addr) bool {
	ip = ip.Unmap()
	return ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast()
}

// newWebhook makes the road to an address; nil for "".
func newWebhook(address string, logger *slog.Logger) *Webhook {
	if address == "" {
		return nil
	}
	dialer := &net.Dialer{
		Timeout: webhookTimeout,
		// After the name was resolved, so that a name cannot point outside.
		Control: func(_, address string, _ syscall.RawConn) error {
			target, err := netip.ParseAddrPort(address)
			if err != nil {
				return err
			}
			if !private(target.Addr()) {
				return fmt.Errorf("%s is neither a loopback nor a private address", target.Addr())
			}
			return nil
		},
	}
	return &Webhook{
		url: address, logger: logger, queue: make(chan jeantrail.Alert, webhookQueue), pause: webhookPause,
		client: &http.Client{
			Timeout:       webhookTimeout,
			Transport:     &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true}, // and no proxy
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Tell queues an alert. If too many wait the alert is only kept in the database.
func (h *Webhook) Tell(a jeantrail.Alert) {
	if h == nil {
		return
	}
	select {
	case h.queue <- a:
	default:
		h.logger.Warn("the alert webhook is too slow; an alert was not sent", "budget", a.BudgetID, "percent", a.Percent)
	}
}

// Run delivers until ctx ends.
func (h *Webhook) Run(ctx context.Context) {
	if h == nil {
		return
	}
	for {
		select {
		case a := <-h.queue:
			h.deliver(ctx, a)
		case <-ctx.Done():
			return
		}
	}
}

// webhookAlert is the body of a call.
type webhookAlert struct {
	Type        string `json:"type"` // alert
	BudgetID    string `json:"budget_id"`
	UserID      string `json:"user_id,omitempty"` // "" is everybody's
	Percent     int    `json:"percent"`
	LimitMicros int64  `json:"limit_micros"`
	SpentMicros int64  `json:"spent_micros"`
	WindowStart string `json:"window_start,omitempty"`
	WindowEnd   string `json:"window_end,omitempty"`
	At          string `json:"at"`
}

func webhookBody(a *jeantrail.Alert) ([]byte, error) {
	stamp := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format(time.RFC3339)
	}
	return json.Marshal(webhookAlert{
		Type: "alert", BudgetID: a.BudgetID, UserID: a.UserID, Percent: a.Percent, LimitMicros: int64(a.Limit),
		SpentMicros: int64(a.Spent), WindowStart: stamp(a.Window.Start), WindowEnd: stamp(a.Window.End), At: stamp(a.At),
	})
}

func (h *Webhook) deliver(ctx context.Context, a jeantrail.Alert) {
	body, err := webhookBody(&a)
	for try, pause := 1, h.pause; err == nil; try, pause = try+1, 2*pause {
		err = h.post(ctx, body)
		if err == nil {
			return
		}
		if try == webhookTries || ctx.Err() != nil {
			break
		}
		wait := time.NewTimer(pause)
		select {
		case <-wait.C:
			err = nil
		case <-ctx.Done():
			wait.Stop()
		}
	}
	h.logger.Warn("the alert webhook did not take an alert", "budget", a.BudgetID, "percent", a.Percent, "error", err)
}

func (h *Webhook) post(ctx context.Context, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := h.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("it answered %s", resp.Status)
	}
	return nil
}
