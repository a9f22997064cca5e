package bench

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// shelf is an engine that can put away what it has seen: to fetch a prompt from a
// tier takes so long, whatever its length.
type shelf struct {
	model
	tiers   map[string]time.Duration // those that there are
	forgets bool                     // nothing is found again
	broken  error                    // of Demote
	away    map[string]string        // prompt -> tier
	demoted []string
}

func (s *shelf) Demote(_ context.Context, tier string) error {
	if s.broken != nil {
		return s.broken
	}
	if _, ok := s.tiers[tier]; !ok {
		return jeantrail.Errorf(jeantrail.CodeUnsupported, "nothing is kept on %s", tier)
	}
	s.demoted = append(s.demoted, tier)
	s.away = make(map[string]string)
	for _, prompt := range s.seen {
		s.away[prompt] = tier
	}
	s.seen = nil
	return nil
}

func (s *shelf) Run(ctx context.Context, r Request, token func(time.Time, int)) (Answer, error) {
	if tier, ok := s.away[r.Prompt]; ok && !s.forgets {
		time.Sleep(s.tiers[tier])
		s.seen = append(s.seen, r.Prompt)
		delete(s.away, r.Prompt)
	}
	return s.model.Run(ctx, r, token)
}

func TestEngineRestores(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{tiers: map[string]time.Duration{TierRAM: 20 * time.Millisecond, TierDisk: 50 * time.Millisecond}}
		report, err := Engine(t.Context(), s, EngineOptions{Streams: []int{1}, Repeat: 4, PromptTokens: 40, MaxTokens: 20, RestoreTokens: 600, Seed: 3})
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]float64{"cold": 610, testRAM: 30, testDisk: 60} {
			i := slices.IndexFunc(report.Rows, func(r Row) bool { return r.Test == name && r.PromptTokens == 600 })
			if i < 0 {
				t.Fatalf("there is no row %s of long prompts in %+v", name, report.Rows)
			}
			row := &report.Rows[i]
			if row.First.N != 4 || row.First.Mean > want+1e-6 || row.First.Mean < want-2 || row.GenTokens != warmUpTokens {
				t.Errorf("%s: %+v, want 4 measurements of %v", name, row.First, want)
			}
			if name != "cold" && *row.Cached != 600 {
				t.Errorf("%s: %v tokens were cached", name, *row.Cached)
			}
		}
		if want := strings.Repeat("ram ", 4) + strings.Repeat("disk ", 4); strings.Join(s.demoted, " ")+" " != want {
			t.Errorf("demoted to %v", s.demoted)
		}
		if len(report.Notes) > 0 || report.Rows[0].PromptTokens != 40 {
			t.Errorf("%+v", report)
		}
	})
}

func TestEngineThatCannotRestore(t *testing.T) {
	all := map[string]time.Duration{TierRAM: 0, TierDisk: 0}
	for name, tt := range map[string]struct {
		shelf *shelf
		rows  string // of the restored prompts
		note  string
	}{
		"no disk":    {&shelf{tiers: map[string]time.Duration{TierRAM: 0}}, testRAM, "from disk: not measured: nothing is kept on disk"},
		"neither":    {&shelf{}, "", "from RAM: not measured: nothing is kept on ram"},
		"forgetful":  {&shelf{tiers: all, forgets: true}, testRAM + " " + testDisk, "found nothing of the prompts that it had put away"},
		"no context": {&shelf{tiers: all, model: model{fails: longerThan(100)}}, "", "1 of 1 requests failed (context length exceeded)"},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := tt.shelf
			report, err := Engine(t.Context(), s, EngineOptions{Streams: []int{1}, Repeat: 4, PromptTokens: 40, MaxTokens: 4})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			var rows []string
			for _, r := range report.Rows {
				if r.Test == testRAM || r.Test == testDisk {
					rows = append(rows, r.Test)
				}
			}
			if strings.Join(rows, " ") != tt.rows || !strings.Contains(strings.Join(report.Notes, "\n"), tt.note) {
				t.Errorf("%s: rows %v, notes %q", name, rows, report.Notes)
			}
			if last := report.Rows[len(report.Rows)-1]; last.Test != testCancelPrefill {
				t.Errorf("%s: the last row is %s", name, last.Test)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		report, err := Engine(t.Context(), &shelf{broken: broken}, EngineOptions{Streams: []int{1}, PromptTokens: 40})
		if !errors.Is(err, broken) || len(report.Rows) != 3 {
			t.Errorf("%d rows, error %v", len(report.Rows), err)
		}
	})
	_, err := Engine(t.Context(), &model{}, EngineOptions{RestoreTokens: 2})
	if jeantrail.CodeOf(err) != jeantrail.CodeInvalid {
		t.Errorf("prompts of 2 tokens: %v", err)
	}
}

// longerThan refuses prompts of more words.
func longerThan(words int) func(string) error {
	return func(prompt string) error {
		if n := len(strings.Fields(prompt)); n > words {
			return jeantrail.Errorf(jeantrail.CodeContextLength, "%d tokens are more than the context has", n)
		}
		return nil
	}
}
