package health

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

func TestFromStartToReadyToDownAndBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		p := ill("connection refused")
		m := New(Options{OnChange: d.OnChange, Recorder: &d})
		if err := m.Add(sdxl(), p, Settings{}); err != nil {
			t.Fatal(err)
		}
		wantStatus(t, m, jeantrail.WorkerUnknown)
		m.Start()
		m.Start() // once is enough
		synctest.Wait()
		wantStatus(t, m, jeantrail.WorkerStarting)
		time.Sleep(60 * time.Second)
		w := wantStatus(t, m, jeantrail.WorkerStarting)
		if w.ConsecutiveFailures != 0 || w.ErrorRate != 0 || !w.ReadyAt.IsZero() || w.Problem != "connection refused" {
			t.Errorf("while it starts: %+v", w)
		}

		p.is(func(p *patient) {
			p.answer = well().answer
			p.takes, p.speaks, p.queued = 30*time.Millisecond, "sdapi", 3
		})
		time.Sleep(13 * time.Second)
		w = wantStatus(t, m, jeantrail.WorkerReady)
		if w.Model != "sd_xl_base_1.0" || w.Version != "1.2" || w.Latency != 30*time.Millisecond || w.Speaks != "sdapi" ||
			w.Queued != 3 || w.Breaker != "closed" || w.Problem != "" || w.ReadyAt.IsZero() || w.Since.After(w.ReadyAt) || w.URL != sdxl().URL {
			t.Errorf("when it is ready: %+v", w)
		}

		p.is(func(p *patient) { p.answer = ill("connection refused").answer })
		time.Sleep(40 * time.Second)
		w = wantStatus(t, m, jeantrail.WorkerDown)
		if w.ConsecutiveFailures < 2 || w.ErrorRate == 0 || w.Model == "" || w.Latency != 30*time.Millisecond {
			t.Errorf("when it is down: %+v", w)
		}

		p.is(func(p *patient) { p.answer = well().answer })
		time.Sleep(13 * time.Second)
		w = wantStatus(t, m, jeantrail.WorkerReady)
		if w.ConsecutiveFailures != 0 || w.ErrorRate != 0 {
			t.Errorf("when it is back: %+v", w)
		}
		m.Stop()
		m.Stop()

		want := []jeantrail.WorkerStatus{jeantrail.WorkerStarting, jeantrail.WorkerReady, jeantrail.WorkerDown, jeantrail.WorkerReady}
		changed, recorded := d.statuses()
		if !slices.Equal(changed, want) || !slices.Equal(recorded, want) {
			t.Errorf("told %v, recorded %v, want %v", changed, recorded, want)
		}
		if r := d.records[2]; r.Latency != 0 || r.Worker != "sdxl" || r.Problem == "" || r.At.Location() != time.UTC {
			t.Errorf("the record of its being down: %+v", r)
		}
	})
}

func TestGraceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := watching(t, sdxl(), ill("connection refused"), Settings{Grace: time.Minute}, Options{})
		time.Sleep(59 * time.Second)
		wantStatus(t, m, jeantrail.WorkerStarting)
		time.Sleep(14 * time.Second)
		if w := wantStatus(t, m, jeantrail.WorkerDown); !Fault(w) {
			t.Error("a configured worker that never came is no fault")
		}
	})
}

// TestLoadingHasItsOwnGrace restarts a worker that says that it is loading, long
// after the monitor began.
func TestLoadingHasItsOwnGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := well()
		m := watching(t, sdxl(), p, Settings{}, Options{})
		time.Sleep(time.Hour)
		p.says(jeantrail.WorkerStarting, "Loading model")
		time.Sleep(time.Minute)
		wantStatus(t, m, jeantrail.WorkerStarting)
		time.Sleep(2 * time.Minute)
		wantStatus(t, m, jeantrail.WorkerDown)
	})
}

func TestOptionalWorkerThatIsNotThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		about := sdxl()
		about.Optional = true
		m := watching(t, about, ill("connection refused"), Settings{}, Options{})
		synctest.Wait()
		if w := wantStatus(t, m, jeantrail.WorkerDown); Fault(w) {
			t.Error("its absence is a fault")
		}
	})
}

func TestProbesAreSpreadAroundTheInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := well()
		watching(t, sdxl(), p, Settings{}, Options{})
		time.Sleep(time.Hour)
		times := p.times()
		var least, most, sum time.Duration = time.Hour, 0, 0
		for i := 1; i < len(times); i++ {
			gap := times[i].Sub(times[i-1])
			least, most, sum = min(least, gap), max(most, gap), sum+gap
		}
		if least < 8*time.Second || most > 12*time.Second {
			t.Errorf("the gaps are between %s and %s, want 8 s to 12 s", least, most)
		}
		if most-least < time.Second {
			t.Errorf("the gaps are between %s and %s: there is no jitter", least, most)
		}
		if mean := sum / time.Duration(len(times)-1); mean < 9500*time.Millisecond || mean > 10500*time.Millisecond {
			t.Errorf("the mean gap is %s, want about 10 s", mean)
		}
	})
}

func TestHangDuringWorkIsNotDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, byGate := range []bool{true, false} {
			p := well()
			m := watching(t, sdxl(), p, Settings{}, Options{})
			synctest.Wait()
			leave := func(error) {}
			if byGate {
				var err error
				if leave, err = m.Gate("sdxl").Enter(); err != nil {
					t.Fatal(err)
				}
			}
			p.is(func(p *patient) {
				p.hangs = true
				if !byGate {
					p.running = 1
				}
			})
			time.Sleep(5 * time.Minute)
			w := wantStatus(t, m, jeantrail.WorkerReady)
			if w.Running != 1 || w.ConsecutiveFailures != 0 || w.ErrorRate != 0 || w.Problem == "" {
				t.Errorf("at work: %+v", w)
			}
			p.is(func(p *patient) { p.running = 0 })
			leave(nil)
			leave(unavailable())         // a second time is nothing
			time.Sleep(23 * time.Second) // the rest of a probe, a pause, a probe
			if w := wantStatus(t, m, jeantrail.WorkerDown); w.Running != 0 {
				t.Errorf("it hangs without work: %+v", w)
			}
			m.Stop()
		}
	})
}

// TestWorkThatEndsDuringAProbe has it end in the middle of a probe that it kept
// from being answered.
func TestWorkThatEndsDuringAProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := well()
		m := watching(t, sdxl(), p, Settings{}, Options{})
		synctest.Wait()
		p.is(func(p *patient) { p.hangs, p.running = true, 1 })
		m.Check("sdxl")
		time.Sleep(time.Second)
		p.is(func(p *patient) { p.hangs, p.running = false, 0 })
		time.Sleep(5 * time.Second)
		wantStatus(t, m, jeantrail.WorkerReady)
	})
}

func TestSlowWorkerIsDegraded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := well()
		p.takes = 3 * time.Second
		m := watching(t, sdxl(), p, Settings{}, Options{})
		time.Sleep(4 * time.Second)
		if w := wantStatus(t, m, jeantrail.WorkerDegraded); !Fault(w) || w.Latency != 3*time.Second {
			t.Errorf("slow: %+v", w)
		}
	})
}

func TestSnapshotNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := well()
		p.hangs = true
		m := watching(t, sdxl(), p, Settings{}, Options{})
		synctest.Wait() // a probe hangs
		began := time.Now()
		if got := m.Snapshot(t.Context()); len(got) != 1 || got[0].Status != jeantrail.WorkerUnknown {
			t.Errorf("the snapshot is %+v", got)
		}
		if waited := time.Since(began); waited != 0 {
			t.Errorf("the snapshot took %s", waited)
		}
		if _, err := m.Worker("whisper"); jeantrail.CodeOf(err) != jeantrail.CodeNotFound {
			t.Errorf("an unknown worker: %v", err)
		}
	})
}

func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sd, wh := well(), well()
		m := watching(t, sdxl(), sd, Settings{}, Options{})
		whisper := jeantrail.Worker{Name: "whisper", Kind: jeantrail.KindTranscribe, URL: "http://127.0.0.1:8004"}
		if err := m.Add(whisper, wh, Settings{}); err != nil {
			t.Fatal(err)
		}
		if err := m.Add(whisper, wh, Settings{}); jeantrail.CodeOf(err) != jeantrail.CodeConflict {
			t.Errorf("the same name twice: %v", err)
		}
		if err := m.Add(jeantrail.Worker{}, wh, Settings{}); jeantrail.CodeOf(err) != jeantrail.CodeInvalid {
			t.Errorf("no name: %v", err)
		}
		synctest.Wait()
		before := worker(t, m, "sdxl")
		leave, err := m.Gate("sdxl").Enter()
		if err != nil {
			t.Fatal(err)
		}

		// Another alias: the worker is the same, and so is what is known of it.
		about := sdxl()
		about.Aliases = []string{"pictures"}
		if err := m.Replace(about, sd, Settings{Interval: time.Minute}); err != nil {
			t.Fatal(err)
		}
		w := worker(t, m, "sdxl")
		if w.Status != jeantrail.WorkerReady || !w.Since.Equal(before.Since) || w.Model != before.Model || w.Running != 1 || len(w.Aliases) != 1 {
			t.Errorf("with another alias: %+v", w)
		}
		// Another address: it is another worker, in the same place.
		about.URL = "http://127.0.0.1:9002"
		if err := m.Replace(about, ill("connection refused"), Settings{}); err != nil {
			t.Fatal(err)
		}
		if w := worker(t, m, "sdxl"); w.Status != jeantrail.WorkerUnknown || w.Model != "" || w.Running != 0 {
			t.Errorf("with another address: %+v", w)
		}
		leave(unavailable()) // that was the worker before
		synctest.Wait()
		if w := wantStatus(t, m, jeantrail.WorkerStarting); w.ConsecutiveFailures != 0 {
			t.Errorf("a request to the worker before counts: %+v", w)
		}
		if got := m.Snapshot(t.Context()); len(got) != 2 || got[0].Name != "sdxl" || got[1].Name != "whisper" {
			t.Errorf("the snapshot is %+v", got)
		}
		old := len(sd.times())

		if !m.Remove("sdxl") || m.Remove("sdxl") {
			t.Error("it was not removed once")
		}
		leave, err = m.Gate("sdxl").Enter() // queued work ends in any case
		if err != nil {
			t.Fatal(err)
		}
		leave(nil)
		time.Sleep(2 * time.Minute)
		if len(sd.times()) != old {
			t.Error("a removed worker is probed")
		}
		if n := len(wh.times()); n < 10 || n > 16 {
			t.Errorf("the other worker was probed %d times in two minutes", n)
		}
		m.Stop()
		if err := m.Add(sdxl(), sd, Settings{}); jeantrail.CodeOf(err) != jeantrail.CodeShuttingDown {
			t.Errorf("added after Stop: %v", err)
		}
	})
}

func TestStopEndsAProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		p := well()
		m := watching(t, sdxl(), p, Settings{}, Options{OnChange: d.OnChange})
		synctest.Wait()
		p.is(func(p *patient) { p.hangs = true })
		m.Check("sdxl")
		m.Check("nobody")
		synctest.Wait()
		began := time.Now()
		m.Stop()
		if waited := time.Since(began); waited != 0 {
			t.Errorf("Stop took %s", waited)
		}
		if changed, _ := d.statuses(); len(changed) != 1 {
			t.Errorf("a probe that was ended by Stop counted: %v", changed)
		}
		m.Start()
		wantStatus(t, m, jeantrail.WorkerReady)

		never := New(Options{Recorder: &d})
		never.Stop()
		never.Start()
	})
}

func TestHistoryAtLeastEveryFiveMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		m := watching(t, sdxl(), well(), Settings{}, Options{Recorder: &d})
		time.Sleep(time.Hour)
		m.Stop()
		if n := len(d.records); n < 12 || n > 15 {
			t.Errorf("%d records of an hour", n)
		}
		for i := 1; i < len(d.records); i++ {
			if gap := d.records[i].At.Sub(d.records[i-1].At); gap > keepEvery {
				t.Errorf("nothing was recorded for %s", gap)
			}
		}
	})
}

// TestHistoryHoldsUpNobody has a store that does not write, and one that fails.
func TestHistoryHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := diary{stuck: true}
		p := well()
		m := watching(t, sdxl(), p, Settings{}, Options{Recorder: &d})
		for i := range 2 * maxPending {
			m.history.add(jeantrail.Probe{Worker: fmt.Sprint(i)})
		}
		time.Sleep(10 * time.Minute)
		if n := len(p.times()); n < 50 {
			t.Errorf("only %d probes in ten minutes", n)
		}
		m.history.mu.Lock()
		n := len(m.history.pending)
		m.history.mu.Unlock()
		if n > maxPending {
			t.Errorf("%d records are pending", n)
		}
		d.mu.Lock()
		d.stuck, d.fail = false, errors.New("the disk is full")
		d.mu.Unlock()
		time.Sleep(writeLimit)
		p.says(jeantrail.WorkerDown, "")
		time.Sleep(15 * time.Second)
		p.says(jeantrail.WorkerReady, "")
		time.Sleep(15 * time.Second)
		m.Stop()
		if _, recorded := d.statuses(); len(recorded) < 2 { // the next is tried though one failed
			t.Errorf("recorded %v", recorded)
		}
	})
}

func TestSnapshotEndsWithItsContext(t *testing.T) {
	m := New(Options{})
	if err := m.Add(sdxl(), well(), Settings{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := m.Snapshot(ctx); len(got) != 0 {
		t.Errorf("after its context: %+v", got)
	}
}
