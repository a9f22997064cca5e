package engine

import (
	"sync/atomic"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// sequence is one job in the engine. The loop owns it, but for the fields that
// say otherwise.
type sequence struct {
	id    uint64 // in order of arrival
	class int    // 0 is the most urgent
	key   int64  // the queue's order: arrival, later by one AgeStep for each class

	history   // the prompt, then what was sampled
	nPrompt   int
	files     map[string]jeantrail.File // the prompt's images, by SHA-256
	encoded   []*ImageRows              // by image; nil before it is encoded, and when it is in the cache
	maxTokens int
	allowance func(prompt, cached int) int // asked when the sequence begins
	onBudget  bool                         // maxTokens is what the allowance left of it
	ignoreEOS bool
	sampler   SamplerID
	seed      bool // the sampler wants to see the prompt
	seeded    bool
	seedErr   error

	slot    *slot     // nil while waiting
	leader  *sequence // evaluates a prefix that this one waits for
	waitLen int       // how long that prefix is
	paused  bool      // the reader is behind
	load    *Prefix   // a kept state that the running step ends with
	fetch   *fetch    // a kept state that is being read
	arrived bool      // a state was loaded, or could not be
	tier    Tier      // where what is in its slot came from

	begun  bool // its first span was planned; cached is final
	cached int  // prompt tokens that the KV cache had at that moment
	from   Tier // where these were before
	done   int  // prompt tokens that were in the KV cache at the most

	completion int
	reasoning  int

	out    *output
	stream *stream

	arrivedAt time.Time
	begunAt   time.Time
	firstAt   time.Time
	lastAt    time.Time
	pausedAt  time.Time

	ended  bool                  // final was sent
	cause  atomic.Pointer[error] // why it was cancelled; set by any goroutine
	inStep uint64                // the step that it is part of; under Engine.mu
}

// pending is how many rows are not in the KV cache yet.
func (q *sequence) pending() int { return len(q.tokens) - len(q.slot.tokens) }

// next is the first row that is not.
func (q *sequence) next() int { return len(q.slot.tokens) }

// prompt is the text of the prompt, for samplers that look back.
func (q *sequence) prompt() []Token {
	text := make([]Token, 0, q.nPrompt)
	for _, t := range q.tokens[:q.nPrompt] {
		if t != imageToken {
			text = append(text, t)
		}
	}
	return text
}

// awaiting reports whether the next row is of an image that is not encoded yet.
func (q *sequence) awaiting() bool {
	i := q.imageAt(q.next())
	return i >= 0 && q.encoded[i] == nil
}

// decoding reports whether all that is left to evaluate is the token that was
// sampled last.
func (q *sequence) decoding() bool { return len(q.tokens) > q.nPrompt && q.pending() == 1 }

// growth is how many cells the sequence is given credit for when others are
// admitted. It is less than max_tokens, since most answers end sooner; when
// that goes wrong, preemption sets it right.
func (q *sequence) growth() int { return min(q.maxTokens-q.completion, growthCredit) }

// hold lowers the most tokens to what may be paid for. The first token is
// sampled with the prompt's last rows, which are under way by now.
func (q *sequence) hold() {
	if n := q.allowance(q.nPrompt, q.cached); n < q.maxTokens {
		q.maxTokens, q.onBudget = max(1, n), true
	}
}

// usage is what the job consumed so far.
func (q *sequence) usage() jeantrail.Usage {
	u := jeantrail.Usage{
		PromptTokens:     q.nPrompt,
		CachedTokens:     q.cached,
		CompletionTokens: q.completion,
		ReasoningTokens:  q.reasoning,
	}
	if q.completion == 0 {
		u.PromptTokens = q.done
	}
	return u
}

func (q *sequence) timings(now time.Time) jeantrail.Timings {
	t := jeantrail.Timings{Total: now.Sub(q.arrivedAt)}
	if !q.begun {
		t.Queue = t.Total
		return t
	}
	t.Queue = q.begunAt.Sub(q.arrivedAt)
	if q.cached > 0 {
		t.CachedFrom = q.from.String()
	}
	if q.completion == 0 {
		t.Prompt = now.Sub(q.begunAt)
		return t
	}
	t.Prompt = q.firstAt.Sub(q.begunAt)
	t.FirstToken = q.firstAt.Sub(q.arrivedAt)
	if d := q.lastAt.Sub(q.firstAt); d > 0 && q.completion > 1 {
		t.TokensPerSecond = float64(q.completion-1) / d.Seconds()
	}
	return t
}

// classOf ranks a priority; an empty one is interactive.
func classOf(p jeantrail.Priority) int {
	for i, known := range jeantrail.Priorities() {
		if p == known {
			return i
		}
	}
	return 0
}
