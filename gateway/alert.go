package gateway

import (
	"context"
	"log/slog"
	"sync"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway/ledger"
	"github.com/jeantrail/jeantrail-ai/gateway/policy"
)

// alertBacklog is how many alerts a watcher may be behind before it misses some.
const alertBacklog = 16

// alertWatchers are those who want to hear of alerts as they are raised.
type alertWatchers struct {
	mu   sync.Mutex
	next int
	all  map[int]alertWatcher
}

type alertWatcher struct {
	principal jeantrail.Principal
	alerts    chan jeantrail.Alert
}

// WatchAlerts returns the alerts of the principal's user, and of everybody, as
// they are raised, until stop is called; of every user for an administrator who
// may act for all. A reader that does not keep up misses some; Alerts has all.
func (g *Gateway) WatchAlerts(p jeantrail.Principal) (alerts <-chan jeantrail.Alert, stop func()) {
	w := &g.alerts
	watcher := alertWatcher{principal: p, alerts: make(chan jeantrail.Alert, alertBacklog)}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = make(map[int]alertWatcher)
	}
	id := w.next
	w.next++
	w.all[id] = watcher
	return watcher.alerts, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.all, id)
	}
}

func (w *alertWatchers) tell(a jeantrail.Alert) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, watcher := range w.all {
		if a.UserID != "" && !policy.CanSeeMoney(watcher.principal, a.UserID) {
			continue
		}
		select {
		case watcher.alerts <- a:
		default:
		}
	}
}

// raised spreads alerts that a settlement or a refusal has brought about: to
// the log of every unfinished job of the user, or of everybody, to those who
// watch, and to who is to be notified.
func (g *Gateway) raised(alerts []jeantrail.Alert) {
	for i := range alerts {
		a := &alerts[i]
		g.opts.Logger.Warn("a budget has reached a threshold", slog.String("budget", a.BudgetID),
			slog.Int("percent", a.Percent), slog.Int64("spent_micros", int64(a.Spent)), slog.Int64("limit_micros", int64(a.Limit)))
		for _, t := range g.tasksOf(a.UserID) {
			if t.feed.alert(g.now(), a) {
				g.commit.mark(t)
			}
		}
		g.alerts.tell(*a)
		g.opts.Observer.AlertRaised(*a)
		g.opts.Notify(*a)
	}
}

// tasksOf returns the unfinished jobs of a user; "" is everybody.
func (g *Gateway) tasksOf(user string) []*task {
	g.mu.Lock()
	defer g.mu.Unlock()
	var found []*task
	for _, t := range g.tasks {
		if user == "" || t.job.UserID == user {
			found = append(found, t)
		}
	}
	return found
}

// refusedFor raises the alerts of a budget that refused a request. That they
// cannot be kept must not hide the refusal.
func (g *Gateway) refusedFor(ctx context.Context, s *jeantrail.BudgetStanding) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.opts.StoreTimeout)
	defer cancel()
	for _, a := range ledger.Refused(s) {
		a.At = g.now()
		fresh, err := g.opts.Store.Raise(ctx, a)
		if err != nil {
			g.opts.Logger.Error("keeping an alert failed", slog.String("budget", s.ID), slog.Any("error", err))
			return
		}
		if fresh {
			g.raised([]jeantrail.Alert{a})
		}
	}
}
