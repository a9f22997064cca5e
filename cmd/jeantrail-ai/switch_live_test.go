package main

import (
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// A rule that sends short requests to another loaded model does so under load: no
// request fails or goes to the wrong model, every answer names the rule, and the
// metrics have both models' figures, in the numbers that were asked for.
func TestRuleSwitchesUnderLoad(t *testing.T) {
	home := t.TempDir()
	var config strings.Builder
	config.WriteString("default_model: large\nengine: {slots: 4}\ncache: {enabled: false}\nmodels:\n")
	for i, name := range []string{"large", "small"} {
		path := filepath.Join(home, name+".gguf")
		writeModel(t, path, uint64(i+1), "")
		fmt.Fprintf(&config, "  - {name: %s, model_path: %q, n_ctx: 512}\n", name, path)
	}
	configure(t, home, config.String())
	in := startSidecar(t, home)
	in.modelReady()
	status, rule := in.call(http.MethodPost, "/rules", map[string]any{
		"user_id": nil, "rule_name": "short", "rule_type": "model_selection",
		"conditions": map[string]any{"input_length": "<20"}, "actions": map[string]any{"model": "small"},
	})
	if status != http.StatusCreated {
		t.Fatalf("%d %v", status, rule)
	}
	const clients, each, maxTokens = 16, 10, 6
	var group sync.WaitGroup
	for client := range clients {
		group.Go(func() {
			for n := range each {
				want, prompt := "large", fmt.Sprintf("a request of client %d that is not short, number %d", client, n)
				if n%2 == 0 {
					want, prompt = "small", fmt.Sprintf("client %d, %d", client, n)
				}
				status, answer, err := in.tryCall(t.Context(), http.MethodPost, "/generate", map[string]any{
					"prompt": prompt, "max_tokens": maxTokens, "ignore_eos": true,
				})
				if err != nil || status != http.StatusOK || answer["model"] != want {
					t.Errorf("client %d, request %d: %d %v %v, want %s", client, n, status, answer, err, want)
					continue
				}
				if applied := fmt.Sprint(answer["rules_applied"]); (applied == "[short]") != (want == "small") {
					t.Errorf("client %d, request %d of %s: rules %s", client, n, want, applied)
				}
			}
		})
	}
	group.Wait()
	in.settled()
	text, _ := in.fetch("/metrics")
	for _, name := range []string{"large", "small"} {
		jobs := sample(t, string(text), `jeantrail_jobs_total{kind="text",model="`+name+`",state="succeeded"}`)
		tokens := sample(t, string(text), `jeantrail_tokens_total{model="`+name+`",type="completion"}`)
		sampled := sample(t, string(text), `jeantrail_engine_completion_tokens_total{model="`+name+`"}`)
		if want := float64(clients * each / 2); jobs != want || tokens != want*maxTokens || sampled < tokens {
			t.Errorf("%s: %v jobs, %v tokens charged, %v sampled, want %v jobs of %d tokens", name, jobs, tokens, sampled, want, maxTokens)
		}
	}
	hits := sample(t, string(text), `jeantrail_rule_hits_total{kind="text",model="small",outcome="applied"}`)
	if hits != clients*each/2 {
		t.Errorf("%v hits of the rule", hits)
	}
	_, registry := in.call(http.MethodGet, "/registry", nil)
	if recent := fmt.Sprint(registry["memory"].(map[string]any)["recent"]); strings.Contains(recent, "unloaded") {
		t.Errorf("both fit, and one was unloaded: %s", recent)
	}
}

// sample finds the value of a metric in Prometheus's text format.
func sample(t *testing.T, text, series string) float64 {
	t.Helper()
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(series) + ` (\S+)$`).FindStringSubmatch(text)
	if m == nil {
		t.Errorf("the metrics have no %s", series)
		return 0
	}
	v, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Errorf("%s: %v", series, err)
	}
	return v
}
