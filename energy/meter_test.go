package energy

import (
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/jeantrail/jeantrail-ai"
)

func TestOverlappingJobsShareEqually(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &tap{}
		m := open(Options{PerKWh: 300_000}, p.probes)
		defer m.Close()
		p.draw(9_000_000) // nobody's

		a := m.Begin()
		p.draw(12_000_000)
		b := m.Begin()
		p.draw(2_000_000)
		wantEnergy(t, b.End(), "tap", 1_000)
		p.draw(5_000_000)
		got := a.End()
		wantEnergy(t, got, "tap", 18_000)
		if got.Price != 2 { // 18 J at 30 cents is 1.5 micro-dollars
			t.Errorf("the price is %d, want 2", got.Price)
		}

		p.draw(7_000_000) // nobody's
		if again := a.End(); again != got {
			t.Errorf("a second End: %+v, want %+v", again, got)
		}
		c := m.Begin()
		p.draw(400)
		wantEnergy(t, c.End(), "tap", 0)
		d := m.Begin()
		p.draw(500)
		wantEnergy(t, d.End(), "tap", 1)
	})
}

// TestSharesAddUp draws what it likes while jobs come and go: to the microjoule,
// the shares are what was drawn while at least one was at work, and each is what
// the convention says.
func TestSharesAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Time in here is not real, so rapid must not ask for the test's deadline.
		rapid.Check(struct{ rapid.TB }{t}, func(rt *rapid.T) {
			p := &tap{}
			m := open(Options{}, p.probes)
			defer m.Close()
			fair := make(map[*Share]float64)
			var atWork, all []*Share
			var whole int64
			for range rapid.IntRange(1, 60).Draw(rt, "steps") {
				switch op := rapid.IntRange(0, 3).Draw(rt, "op"); {
				case op == 0:
					s := m.Begin()
					atWork, all = append(atWork, s), append(all, s)
				case op == 1 && len(atWork) > 0:
					i := rapid.IntRange(0, len(atWork)-1).Draw(rt, "which")
					atWork[i].End()
					atWork = slices.Delete(atWork, i, i+1)
				case op == 2:
					pass(time.Duration(rapid.IntRange(0, 300).Draw(rt, "ms")) * time.Millisecond)
				default:
					n := rapid.Uint64Range(0, 5_000_000).Draw(rt, "microjoules")
					p.draw(n)
					for _, s := range atWork {
						fair[s] += float64(n) / float64(len(atWork))
					}
					if len(atWork) > 0 {
						whole += int64(n)
					}
				}
			}
			for _, s := range atWork {
				s.End()
			}
			var sum, told int64
			for _, s := range all {
				e := s.End()
				if !e.Measured {
					rt.Fatalf("a share has no figure: %s", e.Reason)
				}
				sum += s.microjoule
				told += e.Millijoule
				// Each reading may move one microjoule between jobs.
				if off := float64(s.microjoule) - fair[s]; off > 200 || off < -200 {
					rt.Errorf("a share is %d uJ, want %.1f", s.microjoule, fair[s])
				}
			}
			if sum != whole {
				rt.Errorf("the shares add up to %d uJ, %d were drawn", sum, whole)
			}
			if off := told*1000 - whole; off > 500*int64(len(all)) || off < -500*int64(len(all)) {
				rt.Errorf("the results add up to %d mJ, %d uJ were drawn", told, whole)
			}
		})
	})
}

func TestManyJobsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &tap{}
		m := open(Options{}, p.probes)
		var mu sync.Mutex
		var sum int64
		add := func(s *Share) {
			if e := s.End(); !e.Measured {
				t.Errorf("a share has no figure: %s", e.Reason)
			}
			mu.Lock()
			sum += s.microjoule
			mu.Unlock()
		}
		first := m.Begin()
		var jobs sync.WaitGroup
		for range 32 {
			jobs.Go(func() {
				for range 20 {
					s := m.Begin()
					p.draw(1_000)
					add(s)
				}
			})
		}
		jobs.Wait()
		add(first)
		m.Close()
		if sum != 32*20*1_000 {
			t.Errorf("the shares add up to %d uJ, %d were drawn", sum, 32*20*1_000)
		}
		if reads(m) || p.timesClosed() != 1 {
			t.Errorf("after Close: it reads: %v, closed %d times", reads(m), p.timesClosed())
		}
	})
}

// TestReadsOnlyWhileJobsAreAtWork counts readings.
func TestReadsOnlyWhileJobsAreAtWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &tap{}
		m := open(Options{Interval: 100 * time.Millisecond}, p.probes)
		defer m.Close()
		count := func(what string, want int) {
			t.Helper()
			synctest.Wait()
			if got := p.taken(); got != want {
				t.Errorf("%s: %d readings, want %d", what, got, want)
			}
		}
		count("open", 1)
		pass(time.Hour)
		count("idle", 0)
		a := m.Begin()
		count("the first job begins", 1)
		pass(1050 * time.Millisecond)
		count("at work", 10)
		b := m.Begin()
		count("a second job begins", 1)
		a.End()
		count("the first ends", 1)
		b.End()
		count("the last ends", 1)
		if reads(m) {
			t.Error("the goroutine stays when nobody is at work")
		}
		pass(time.Hour)
		count("idle again", 0)
	})
}

func TestFailureLeavesNoFigure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &tap{}
		m := open(Options{}, p.probes)
		defer m.Close()
		before := m.Begin()
		ended := m.Begin()
		p.draw(2_000)
		wantEnergy(t, ended.End(), "tap", 1)
		p.fail(jeantrail.Errorf(jeantrail.CodeUnsupported, "the tap dripped"))
		pass(time.Second)
		during := m.Begin()
		if m.Source() != "" || m.Reason() != "the tap dripped" {
			t.Errorf("source %q, reason %q", m.Source(), m.Reason())
		}
		p.fail(nil)
		pass(time.Second)
		after := m.Begin()
		p.draw(3_000)
		wantReason(t, before.End(), "the tap dripped")
		wantReason(t, during.End(), "the tap dripped")
		wantEnergy(t, after.End(), "tap", 1) // its part among three
		if m.Source() != "tap" || m.Reason() != "" {
			t.Errorf("source %q, reason %q", m.Source(), m.Reason())
		}
	})
}

func TestCounterThatIsSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &tap{count: 5_000_000}
		m := open(Options{}, p.probes)
		defer m.Close()
		back := m.Begin()
		p.draw(^uint64(999_999)) // less by a million
		wantReason(t, back.End(), "tap was set back")
		next := m.Begin()
		p.draw(1_000)
		wantEnergy(t, next.End(), "tap", 1)
		wild := m.Begin()
		pass(100 * time.Millisecond)
		p.draw(1_000_000_000_000)
		wantReason(t, wild.End(), "tap was set back")
	})
}

// TestNobodyWaitsForACounterThatHangs also closes the meter meanwhile.
func TestNobodyWaitsForACounterThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &tap{}
		m := open(Options{}, p.probes)
		whole := m.Begin()
		stuck := make(chan struct{})
		p.hold(stuck)
		start := time.Now()
		late := m.Begin()
		wantReason(t, whole.End(), "did not answer in time")
		if waited := time.Since(start); waited != 2*patience {
			t.Errorf("Begin and End waited %s, want %s", waited, 2*patience)
		}

		p.hold(nil)
		close(stuck)
		synctest.Wait()
		p.draw(4_000)
		next := m.Begin()
		p.draw(6_000)
		wantReason(t, late.End(), "did not answer in time") // its begin was missed
		wantEnergy(t, next.End(), "tap", 3)
		if reads(m) {
			t.Error("a job that did not wait stays at work")
		}

		open := m.Begin()
		stuck = make(chan struct{})
		p.hold(stuck)
		pass(time.Second)
		start = time.Now()
		m.Close()
		if waited := time.Since(start); waited != patience {
			t.Errorf("Close waited %s, want %s", waited, patience)
		}
		if p.timesClosed() != 0 {
			t.Error("the source was closed while it was read")
		}
		wantReason(t, open.End(), "was closed")
		close(stuck)
		synctest.Wait()
		if p.timesClosed() != 1 || reads(m) {
			t.Errorf("the source was closed %d times, it reads: %v", p.timesClosed(), reads(m))
		}
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &tap{}
		m := open(Options{}, p.probes)
		s := m.Begin()
		m.Close()
		m.Close()
		wantReason(t, s.End(), "was closed")
		wantReason(t, m.Begin().End(), "was closed")
		if p.timesClosed() != 1 || m.Source() != "" || !strings.Contains(m.Reason(), "closed") {
			t.Errorf("closed %d times, source %q, reason %q", p.timesClosed(), m.Source(), m.Reason())
		}
	})
}

// TestNoSource also finds one that appears later.
func TestNoSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, looks, there := &tap{}, 0, false
		m := open(Options{}, func() ([]probe, error) {
			looks++
			if !there {
				return nil, jeantrail.Errorf(jeantrail.CodeNotFound, "there is no tap")
			}
			return p.probes()
		})
		defer m.Close()
		if m.Source() != "" || m.Reason() != "there is no tap" {
			t.Errorf("source %q, reason %q", m.Source(), m.Reason())
		}
		s := m.Begin()
		wantReason(t, s.End(), "there is no tap")
		if n := testing.AllocsPerRun(100, func() { m.Begin().End() }); n > 2 {
			t.Errorf("Begin and End allocate %v times", n)
		}
		if looks != 1 || reads(m) {
			t.Errorf("%d looks for a source, it reads: %v", looks, reads(m))
		}

		pass(lookAgain)
		s = m.Begin()
		wantReason(t, s.End(), "there is no tap")
		if looks != 2 || reads(m) {
			t.Errorf("after a minute: %d looks, it reads: %v", looks, reads(m))
		}
		there = true
		wantReason(t, m.Begin().End(), "there is no tap")
		pass(lookAgain)
		s = m.Begin()
		p.draw(1_000)
		wantEnergy(t, s.End(), "tap", 1)
		if looks != 3 || m.Source() != "tap" || m.Reason() != "" {
			t.Errorf("%d looks, source %q, reason %q", looks, m.Source(), m.Reason())
		}
	})
}

func TestThisMachine(t *testing.T) {
	m := Open(Options{})
	defer m.Close()
	e := m.Begin().End()
	if runtime.GOOS != "linux" && !strings.HasPrefix(m.Reason(), "not on this system") {
		t.Errorf("the reason is %q", m.Reason())
	}
	if m.Source() == "" && m.Reason() == "" {
		t.Error("there is neither a source nor a reason")
	}
	if e.Measured == (e.Reason != "") || e.Measured != (e.Source != "") {
		t.Errorf("got %+v", e)
	}
	t.Logf("source %q, reason %q, %+v", m.Source(), m.Reason(), e)
}
