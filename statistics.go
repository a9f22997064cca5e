package jeantrail

import "time"

// CostGroup names what costs are grouped by.
type CostGroup string

// The groups.
const (
	GroupDay      CostGroup = "day" // UTC, YYYY-MM-DD
	GroupModel    CostGroup = "model"
	GroupUser     CostGroup = "user"
	GroupKind     CostGroup = "kind"
	GroupWorkflow CostGroup = "workflow"
)

// CostGroups lists every group.
func CostGroups() []CostGroup {
	return []CostGroup{GroupDay, GroupModel, GroupUser, GroupKind, GroupWorkflow}
}

// StatisticsFilter selects what costs and usage are summed up over. Zero fields
// do not restrict.
type StatisticsFilter struct {
	UserID string
	Model  string
	Kind   Kind
	From   time.Time // ended at or after
	To     time.Time // ended before
}

// Tally sums up finished jobs.
type Tally struct {
	Requests      int64
	Failures      int64
	Cancellations int64
	Interruptions int64
	CacheHits     int64

	PromptTokens     int64
	CachedTokens     int64
	CompletionTokens int64
	Images           int64
	AudioIn          time.Duration
	AudioOut         time.Duration

	Cost Money
}

// CostRow is the sum over one group.
type CostRow struct {
	Key string // the day, model, user, kind or workflow; "" is no workflow
	Tally
}

// UsageRow is the sum over the jobs of one user, model and kind that ended
// within an hour.
type UsageRow struct {
	Hour   time.Time
	UserID string
	Model  string
	Kind   Kind
	Tally
	Latency Histogram // from admission to the end
	Queue   Histogram // from admission to the start
}

// HistogramBounds are the upper bounds of a Histogram's buckets, each included;
// the last bucket has none.
func HistogramBounds() []time.Duration {
	return []time.Duration{
		10 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond,
		time.Second, 5 * time.Second, 10 * time.Second, time.Minute, 5 * time.Minute,
	}
}

// HistogramBuckets is how many buckets a Histogram has.
const HistogramBuckets = 10

// Histogram counts durations by size. Buckets are not cumulative.
type Histogram struct {
	Buckets [HistogramBuckets]int64
	Sum     time.Duration
	Max     time.Duration
}

// HistogramBucket returns the number of the bucket that counts a duration.
func HistogramBucket(d time.Duration) int {
	for i, bound := range HistogramBounds() {
		if d <= bound {
			return i
		}
	}
	return HistogramBuckets - 1
}

// Quantile estimates the duration that a share q of all does not exceed: the
// upper bound of the bucket it lies in, at most Max. 0 if nothing was counted.
func (h *Histogram) Quantile(q float64) time.Duration {
	total := int64(0)
	for _, n := range h.Buckets {
		total += n
	}
	if total == 0 {
		return 0
	}
	rank, seen := int64(q*float64(total-1))+1, int64(0)
	for i, bound := range HistogramBounds() {
		if seen += h.Buckets[i]; seen >= rank {
			return min(bound, h.Max)
		}
	}
	return h.Max
}
