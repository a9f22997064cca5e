package server

import (
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/jeantrail/jeantrail-ai"
)

// A client hears of its user's alerts without having asked for a job, until
// the socket ends; nobody watches after that.
func TestSocketAlerts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		money := newFakeMoney()
		l, _, stop := serve(t, newTestServer(t, Options{Money: money, Token: "secret"}))
		defer stop()
		p := dialSocket(t, l, http.Header{"Authorization": {"Bearer secret"}})
		defer p.conn.Close()
		raised := <-money.watched
		if who := money.watchers[raised]; who.UserID != "local" || who.KeyID != "token" {
			t.Errorf("watched for %+v", who)
		}
		raised <- someAlert()
		raised <- jeantrail.Alert{BudgetID: "b2", Percent: 100, Limit: 5, Spent: 5, At: epoch()}
		m := p.receive()
		if _, numbered := m["seq"]; numbered || m["job_id"] != nil || m["type"] != "alert" || m["budget_id"] != "b1" || m["user_id"] != "user123" ||
			m["percent"] != 80.0 || m["limit_micros"] != 10_000_000.0 || m["spent_micros"] != 8_000_001.0 || m["window_start"] != "2026-01-02T00:00:00.000Z" {
			t.Errorf("alert %v", m)
		}
		if m = p.receive(); m["budget_id"] != "b2" || m["user_id"] != nil || m["window_start"] != nil {
			t.Errorf("alert of everybody's %v", m)
		}
		close(raised) // the road may end before the socket does
		p.send(`{"type":"ping"}`)
		p.until("pong")
		p.conn.Close()
		synctest.Wait()
		if n := money.watching(); n != 0 {
			t.Errorf("%d watch when the socket is gone", n)
		}
	})
}

// A client that does not read holds up its own socket only, and a stop ends the
// wait for it.
func TestSocketAlertsUnread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		money := newFakeMoney()
		l, _, stop := serve(t, newTestServer(t, Options{Money: money}))
		p := dialSocket(t, l, nil)
		raised := <-money.watched
		for range 5 {
			raised <- someAlert()
		}
		synctest.Wait()
		p.conn.Close()
		stop()
		if n := money.watching(); n != 0 {
			t.Errorf("%d watch after the stop", n)
		}
	})
}
