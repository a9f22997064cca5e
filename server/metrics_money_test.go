package server

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

func TestMoneyMetrics(t *testing.T) {
	m, money := NewMetrics(), newFakeMoney()
	money.budgets = append(standings(), standings()[0])
	money.budgets[3].Spent = 12_000_000
	s := newTestServer(t, Options{Metrics: m, Money: money, Clock: epoch, Vitals: func(context.Context) Vitals { return Vitals{Holds: 2} }})
	m.JobFinished(&jeantrail.Job{Kind: jeantrail.KindText, Model: "builtin", UserID: "user123", State: jeantrail.StateSucceeded, Result: &jeantrail.Result{
		Cache: jeantrail.CacheHit, RulesApplied: []string{"a", "b"}, RulesSkipped: []string{"c: no"},
		Energy: jeantrail.Energy{Measured: true, Source: "rapl", Millijoule: 2500},
	}})
	m.JobFinished(&jeantrail.Job{Kind: jeantrail.KindPipeline, Model: "w", UserID: "user123", State: jeantrail.StateSucceeded, Result: &jeantrail.Result{
		Pipeline: &jeantrail.Pipeline{Stages: []jeantrail.Stage{{Status: "succeeded"}, {Status: "succeeded"}, {Status: "skipped"}}, Usage: jeantrail.Usage{Images: 9}},
	}})
	m.JobFinished(&jeantrail.Job{Kind: jeantrail.KindImage, Model: "p", UserID: "user123", State: jeantrail.StateSucceeded, Result: &jeantrail.Result{
		Usage: jeantrail.Usage{Images: 2, AudioIn: 1500 * time.Millisecond, AudioOut: 2 * time.Second},
	}})
	m.AlertRaised(jeantrail.Alert{UserID: "user123", Percent: 80})
	m.AlertRaised(jeantrail.Alert{UserID: "user123", Percent: 100})
	body := call(s, "GET", "/metrics", "").Body.String()
	for _, line := range []string{
		`jeantrail_reservations_open 2`,
		`jeantrail_rule_hits_total{kind="text",model="builtin",outcome="applied"} 2`,
		`jeantrail_rule_hits_total{kind="text",model="builtin",outcome="skipped"} 1`,
		`jeantrail_cache_results_total{kind="text",model="builtin",result="hit"} 1`,
		`jeantrail_cache_results_total{kind="pipeline",model="w",result="off"} 1`,
		`jeantrail_pipeline_stages_total{status="succeeded",workflow="w"} 2`,
		`jeantrail_pipeline_stages_total{status="skipped",workflow="w"} 1`,
		`jeantrail_images_total{kind="image",model="p"} 2`,
		`jeantrail_audio_seconds_total{direction="in",kind="image",model="p"} 1.5`,
		`jeantrail_audio_seconds_total{direction="out",kind="image",model="p"} 2`,
		`jeantrail_worker_up{kind="image",worker="sdxl"} 1`,
		`jeantrail_worker_up{kind="transcribe",worker="whisper"} 0`,
		`jeantrail_worker_latency_seconds{kind="image",worker="sdxl"} 0.0015`,
		`jeantrail_worker_queue{kind="image",worker="sdxl"} 2`,
		`jeantrail_worker_running{kind="image",worker="sdxl"} 1`,
		`jeantrail_worker_breaker_state{kind="transcribe",state="open",worker="whisper"} 1`,
		`jeantrail_worker_breaker_state{kind="transcribe",state="closed",worker="whisper"} 0`,
		`jeantrail_worker_error_ratio{kind="image",worker="sdxl"} 0.25`,
		`jeantrail_energy_joules_total{kind="text",model="builtin"} 2.5`,
		`jeantrail_budget_alerts_total{level="threshold"} 1`,
		`jeantrail_budget_alerts_total{level="exhausted"} 1`,
		`jeantrail_budget_used_ratio{budget_type="daily",scope="user"} 1.225`,
		`jeantrail_budget_used_ratio{budget_type="total",scope="everybody"} 1`,
	} {
		if !strings.Contains(body, line) {
			t.Errorf("no line %s", line)
		}
	}
	if strings.Contains(body, "user123") || strings.Contains(body, `budget_type="period"`) {
		t.Error("the metrics tell of a user, or of a budget that is not in force")
	}
	money.err = errors.New("the disk is gone")
	if w := call(s, "GET", "/metrics", ""); w.Code != 200 || strings.Contains(w.Body.String(), "budget_used_ratio") {
		t.Errorf("without budgets: %d", w.Code)
	}
}
