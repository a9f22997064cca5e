package health

import "time"

// buckets is how many parts a window is kept in; it moves by one of them at a
// time.
const buckets = 30

// window counts what went well and what failed in the last while. Its size does
// not depend on how much happens.
type window struct {
	counts [buckets]struct{ all, failed int }
	newest time.Time // when the newest bucket began
	at     int       // the newest bucket
}

// add counts one outcome.
func (w *window) add(now time.Time, span time.Duration, failed bool) {
	w.move(now, span)
	w.counts[w.at].all++
	if failed {
		w.counts[w.at].failed++
	}
}

// rate returns the share that failed, 0 to 1, and of how many.
func (w *window) rate(now time.Time, span time.Duration) (rate float64, of int) {
	w.move(now, span)
	failed := 0
	for _, c := range w.counts {
		of += c.all
		failed += c.failed
	}
	if of == 0 {
		return 0, 0
	}
	return float64(failed) / float64(of), of
}

// move drops the buckets that have become too old.
func (w *window) move(now time.Time, span time.Duration) {
	width := span / buckets
	if w.newest.IsZero() || now.Sub(w.newest) >= span {
		*w = window{newest: now}
		return
	}
	for now.Sub(w.newest) >= width {
		w.newest = w.newest.Add(width)
		w.at = (w.at + 1) % buckets
		w.counts[w.at].all, w.counts[w.at].failed = 0, 0
	}
}
