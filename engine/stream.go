package engine

import (
	"sync"
	"sync/atomic"

	"github.com/jeantrail/jeantrail-ai"
)

// stream carries a job's text from the loop to the goroutine that called Run.
// Writing never blocks and never allocates once the buffers have grown; deltas
// that the reader has not fetched yet are joined. The loop stops planning the
// job when full, so that the buffer is bounded by MaxUnread and one step.
type stream struct {
	limit  int64
	unread atomic.Int64 // tokens that the sink has not taken yet
	paused atomic.Bool  // the loop waits for the reader; it must be woken
	wake   func()

	ready chan struct{} // capacity 1: there is something to fetch

	mu       sync.Mutex
	text     []byte
	marks    []mark
	started  *startedAt
	progress jeantrail.Progress
	final    *final
}

// mark ends a delta in a chunk's text.
type mark struct {
	end       int
	reasoning bool
	tokens    int
}

// startedAt is how a job left the queue.
type startedAt struct{ prompt, cached int }

// final is how a job ended.
type final struct {
	reason  jeantrail.FinishReason
	err     error
	usage   jeantrail.Usage
	timings jeantrail.Timings
}

// chunk is what a reader fetched. Its buffers change hands with the stream's.
type chunk struct {
	text     []byte
	marks    []mark
	started  *startedAt
	progress jeantrail.Progress
	final    *final
}

func newStream(limit int, wake func()) *stream {
	return &stream{limit: int64(limit), wake: wake, ready: make(chan struct{}, 1)}
}

// push implements deltas.
func (s *stream) push(text []byte, reasoning bool, tokens int) {
	s.mu.Lock()
	s.text = append(s.text, text...)
	if n := len(s.marks); n > 0 && s.marks[n-1].reasoning == reasoning {
		s.marks[n-1].end = len(s.text)
		s.marks[n-1].tokens += tokens
	} else {
		s.marks = append(s.marks, mark{end: len(s.text), reasoning: reasoning, tokens: tokens})
	}
	s.mu.Unlock()
	s.unread.Add(int64(tokens))
	s.signal()
}

func (s *stream) start(at startedAt) {
	s.mu.Lock()
	s.started = &at
	s.mu.Unlock()
	s.signal()
}

func (s *stream) report(p jeantrail.Progress) {
	s.mu.Lock()
	s.progress = p
	s.mu.Unlock()
	s.signal()
}

func (s *stream) finish(f final) {
	s.mu.Lock()
	s.final = &f
	s.mu.Unlock()
	s.signal()
}

func (s *stream) signal() {
	select {
	case s.ready <- struct{}{}:
	default: // the reader has not seen the last signal; it will find this too
	}
}

// full reports whether the reader is so far behind that its job must pause.
func (s *stream) full() bool { return s.unread.Load() >= s.limit }

// fetch waits for something and swaps it into c. The loop always ends a job,
// so that it always returns; after a chunk with final set nothing follows.
func (s *stream) fetch(c *chunk) {
	<-s.ready
	s.mu.Lock()
	s.text, c.text = c.text[:0], s.text
	s.marks, c.marks = c.marks[:0], s.marks
	c.started, s.started = s.started, nil
	c.progress, s.progress = s.progress, jeantrail.Progress{}
	c.final, s.final = s.final, nil
	s.mu.Unlock()
}

// delivered says that the reader has passed on a chunk.
func (s *stream) delivered(c *chunk) {
	tokens := 0
	for _, m := range c.marks {
		tokens += m.tokens
	}
	s.unread.Add(-int64(tokens))
	// The loop sets paused before it looks at unread again, so that one of the
	// two always sees the other.
	if s.paused.Load() {
		s.wake()
	}
}
