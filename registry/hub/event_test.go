package hub

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

func TestSpeedAndTimeLeft(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var last Event
	m := newMeter(func() time.Time { return now }, func(e Event) { last = e })
	step := func(bytes int64) {
		now = now.Add(time.Second)
		m.count(bytes)
		m.tick()
	}
	m.begin(PhaseDownloading, "m.gguf", 1000, 21_000)
	for range 4 {
		step(1000)
	}
	if last.BytesPerSecond != 1000 || last.Left != 16*time.Second || last.Done != 5000 || last.Total != 21_000 || last.File != "m.gguf" {
		t.Errorf("at a steady pace: %+v", last)
	}
	for range 8 { // longer than the window: what was before no longer counts
		step(500)
	}
	if last.BytesPerSecond != 500 || last.Left != 24*time.Second {
		t.Errorf("at half of it: %+v", last)
	}
	for range 8 {
		step(0)
	}
	if last.BytesPerSecond != 0 || last.Left != 0 {
		t.Errorf("when nothing comes: %+v", last)
	}
	m.note("why")
	if last.Note != "why" || last.Done != 9000 {
		t.Errorf("a note: %+v", last)
	}
	m.tick()
	if last.Note != "" {
		t.Errorf("the note is told twice: %+v", last)
	}
}

// TestASlowCallerSeesWhatMatters gets the newest figures and every note.
func TestASlowCallerSeesWhatMatters(t *testing.T) {
	w := &watcher{wake: make(chan struct{}, 1)}
	for i := range 1000 {
		w.push(Event{Phase: PhaseDownloading, Done: int64(i)})
		if i == 500 {
			w.push(Event{Phase: PhaseDownloading, Done: 500, Note: "a note"})
		}
	}
	w.push(Event{Phase: PhaseDone})
	var got []Event
	w.drain(func(e Event) { got = append(got, e) })
	if len(got) != 4 || got[1].Note != "a note" || got[2].Done != 999 || got[3].Phase != PhaseDone {
		t.Errorf("events: %+v", got)
	}
}

func TestPauses(t *testing.T) {
	p := &pacer{first: 500 * time.Millisecond}
	for streak, most := range map[int]time.Duration{1: 500 * time.Millisecond, 2: time.Second, 4: 4 * time.Second, 9: maxPause, 1000: maxPause} {
		for range 100 {
			if d := p.pause(streak); d < most/2 || d > most {
				t.Fatalf("pause %d is %s", streak, d)
			}
		}
	}
}

// TestWhenTriesEnd counts failures only while nobody fetches anything.
func TestWhenTriesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pacer{first: time.Second, most: 3, note: func(string) {}, clock: time.Now}
		lost := &transient{err: jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "lost")}
		var mine tries
		for i := range 10 {
			p.fetched.Add(1) // by another worker
			if err := p.failure(t.Context(), &mine, lost); err != nil {
				t.Fatalf("failure %d while others fetch: %v", i, err)
			}
		}
		for range 2 { // with the last one above
			if err := p.failure(t.Context(), &mine, lost); err != nil {
				t.Fatal(err)
			}
		}
		err := p.failure(t.Context(), &mine, lost)
		if e := jeantrail.AsError(err); e.Code != jeantrail.CodeWorkerUnavailable || e.Hint == "" {
			t.Errorf("after the last try: %v", err)
		}

		// A server that asks for a pause is not asked by anybody meanwhile.
		busy := &transient{err: jeantrail.Errorf(jeantrail.CodeRateLimited, "busy"), after: 20 * time.Second}
		done := make(chan error)
		before := time.Now()
		go func() { done <- p.failure(t.Context(), new(tries), busy) }()
		synctest.Wait()
		if err := p.gate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(before); took < 20*time.Second || took > 21*time.Second {
			t.Errorf("the others waited %s", took)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
