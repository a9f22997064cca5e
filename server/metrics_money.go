package server

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/jeantrail/jeantrail-ai"
)

// moneyMetrics count what is about money beyond tokens and costs. Their labels
// are models, kinds and fixed words: never a user, a budget or a rule, of which
// there may be any number.
type moneyMetrics struct {
	rules  *prometheus.CounterVec
	cache  *prometheus.CounterVec
	images *prometheus.CounterVec
	audio  *prometheus.CounterVec
	stages *prometheus.CounterVec
	alerts *prometheus.CounterVec
	joules *prometheus.CounterVec
}

func newMoneyMetrics() moneyMetrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "jeantrail", Name: name, Help: help}, labels)
	}
	return moneyMetrics{
		rules:  counter("rule_hits_total", "Optimisation rules that held for jobs that ended: applied, or skipped because they could not be.", "outcome", "kind", "model"),
		cache:  counter("cache_results_total", "What the result cache had to do with jobs that ended: hit, miss or off.", "result", "kind", "model"),
		images: counter("images_total", "Images that ended jobs made.", "kind", "model"),
		audio:  counter("audio_seconds_total", "Seconds of audio that ended jobs heard (in) or made (out).", "direction", "kind", "model"),
		stages: counter("pipeline_stages_total", "Stages of pipelines that ended, by how they ended.", "workflow", "status"),
		alerts: counter("budget_alerts_total", "Alerts that budgets raised: at their threshold, or exhausted.", "level"),
		joules: counter("energy_joules_total", "What the machine drew for jobs that ended, of those for which it could be measured.", "kind", "model"),
	}
}

func (m *moneyMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.rules, m.cache, m.images, m.audio, m.stages, m.alerts, m.joules}
}

// finished counts what a job's result says.
func (m *moneyMetrics) finished(j *jeantrail.Job) {
	kind, r := string(j.Kind), j.Result
	m.rules.WithLabelValues("applied", kind, j.Model).Add(float64(len(r.RulesApplied)))
	m.rules.WithLabelValues("skipped", kind, j.Model).Add(float64(len(r.RulesSkipped)))
	cache := r.Cache
	if cache == "" {
		cache = jeantrail.CacheOff
	}
	m.cache.WithLabelValues(string(cache), kind, j.Model).Inc()
	if r.Usage.Images > 0 {
		m.images.WithLabelValues(kind, j.Model).Add(float64(r.Usage.Images))
	}
	if r.Usage.AudioIn > 0 {
		m.audio.WithLabelValues("in", kind, j.Model).Add(r.Usage.AudioIn.Seconds())
	}
	if r.Usage.AudioOut > 0 {
		m.audio.WithLabelValues("out", kind, j.Model).Add(r.Usage.AudioOut.Seconds())
	}
	if r.Pipeline != nil {
		for i := range r.Pipeline.Stages {
			m.stages.WithLabelValues(j.Model, string(r.Pipeline.Stages[i].Status)).Inc()
		}
	}
	if r.Energy.Measured {
		m.joules.WithLabelValues(kind, j.Model).Add(float64(r.Energy.Millijoule) / 1e3)
	}
}

// AlertRaised counts an alert, once when it is new.
func (m *Metrics) AlertRaised(a jeantrail.Alert) {
	level := "threshold"
	if a.Percent >= 100 {
		level = "exhausted"
	}
	m.money.alerts.WithLabelValues(level).Inc()
}

func descHolds() *prometheus.Desc {
	return desc("reservations_open", "Reservations of jobs that have not ended.")
}

func descBudget() *prometheus.Desc {
	return desc("budget_used_ratio", "Share of the present window that is spent or reserved, of the budget of that type and scope with the highest.", "budget_type", "scope")
}

// budgetRatios are the highest used shares of the budgets that are in force, by
// type and by whether they are one user's or everybody's. If they cannot be read
// there are none; store_up tells why.
func (s *snapshot) budgetRatios(ctx context.Context, gauge func(*prometheus.Desc, float64, ...string)) {
	all, err := s.money.Budgets(ctx, jeantrail.Principal{UserID: "local", Role: jeantrail.RoleAdmin, ActForOthers: true}, "")
	if err != nil {
		return
	}
	type group struct{ budgetType, scope string }
	highest := map[group]float64{}
	for i := range all {
		b := &all[i]
		if _, inForce := b.Budget.Window(s.clock()); !inForce {
			continue
		}
		g := group{string(b.Type), "everybody"}
		if b.UserID != "" {
			g.scope = "user"
		}
		ratio := 1.0
		if limit := b.Limit(); limit > 0 {
			ratio = float64(b.Spent.Add(b.Reserved)) / float64(limit)
		}
		highest[g] = max(highest[g], ratio)
	}
	for g, ratio := range highest {
		gauge(descBudget(), ratio, g.budgetType, g.scope)
	}
}
