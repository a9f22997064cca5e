package server

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/jeantrail/jeantrail-ai"
)

// Tally sums up finished jobs on the wire. Its name is exported because the
// schemas are made without embedded types whose name is not.
type Tally struct {
	Requests           int64   `json:"requests"`
	Failures           int64   `json:"failures"`
	Cancellations      int64   `json:"cancellations"`
	Interruptions      int64   `json:"interruptions"`
	CacheHits          int64   `json:"cache_hits"`
	PromptTokens       int64   `json:"prompt_tokens"`
	CachedTokens       int64   `json:"cached_tokens"`
	CompletionTokens   int64   `json:"completion_tokens"`
	Images             int64   `json:"images"`
	AudioInputSeconds  float64 `json:"audio_input_seconds"`
	AudioOutputSeconds float64 `json:"audio_output_seconds"`
	AmountMicros       int64   `json:"amount_micros"`
	USD                string  `json:"usd"`
}

func tallyOf(t jeantrail.Tally) Tally {
	return Tally{
		Requests: t.Requests, Failures: t.Failures, Cancellations: t.Cancellations, Interruptions: t.Interruptions, CacheHits: t.CacheHits,
		PromptTokens: t.PromptTokens, CachedTokens: t.CachedTokens, CompletionTokens: t.CompletionTokens, Images: t.Images,
		AudioInputSeconds: t.AudioIn.Seconds(), AudioOutputSeconds: t.AudioOut.Seconds(),
		AmountMicros: int64(t.Cost), USD: t.Cost.USD(),
	}
}

// addTally adds more to a sum.
func addTally(sum *jeantrail.Tally, more jeantrail.Tally) {
	sum.Requests += more.Requests
	sum.Failures += more.Failures
	sum.Cancellations += more.Cancellations
	sum.Interruptions += more.Interruptions
	sum.CacheHits += more.CacheHits
	sum.PromptTokens += more.PromptTokens
	sum.CachedTokens += more.CachedTokens
	sum.CompletionTokens += more.CompletionTokens
	sum.Images += more.Images
	sum.AudioIn += more.AudioIn
	sum.AudioOut += more.AudioOut
	sum.Cost = sum.Cost.Add(more.Cost)
}

type wireCostRow struct {
	Key string `json:"key" doc:"The day (UTC), model, user, kind or workflow; empty is no workflow."`
	Tally
}

// wireCosts answers GET /costs.
type wireCosts struct {
	GroupBy string         `json:"group_by" enum:"day,model,user,kind,workflow"`
	Rows    []*wireCostRow `json:"rows" nullable:"false" doc:"In the order of the key."`
	Total   Tally          `json:"total"`
}

// listCosts serves GET /costs.
func (s *Server) listCosts(w http.ResponseWriter, r *http.Request) error {
	query, err := readQuery(r, "group_by", "from", "to", "user_id", "model", "kind")
	if err != nil {
		return err
	}
	by := jeantrail.CostGroup(query.Get("group_by"))
	if by == "" {
		by = jeantrail.GroupDay
	}
	if !slices.Contains(jeantrail.CostGroups(), by) {
		return jeantrail.Errorf(jeantrail.CodeInvalid, "group_by %q is not known", by).
			WithHint("Use day, model, user, kind or workflow.")
	}
	filter, err := statisticsFilter(query)
	if err != nil {
		return err
	}
	rows, err := s.opt.Money.Costs(r.Context(), caller(r), by, filter)
	if err != nil {
		return err
	}
	out := wireCosts{GroupBy: string(by), Rows: make([]*wireCostRow, 0, len(rows))}
	var total jeantrail.Tally
	for _, row := range rows {
		addTally(&total, row.Tally)
		out.Rows = append(out.Rows, &wireCostRow{Key: row.Key, Tally: tallyOf(row.Tally)})
	}
	out.Total = tallyOf(total)
	return writeJSON(w, http.StatusOK, &out)
}

func statisticsFilter(query url.Values) (f jeantrail.StatisticsFilter, err error) {
	f.UserID, f.Model = query.Get("user_id"), query.Get("model")
	if f.Kind, err = queryKind(query); err != nil {
		return f, err
	}
	if f.From, err = queryTime(query, "from"); err != nil {
		return f, err
	}
	if f.To, err = queryTime(query, "to"); err != nil {
		return f, err
	}
	if !f.From.IsZero() && !f.To.IsZero() && !f.From.Before(f.To) {
		return f, jeantrail.Errorf(jeantrail.CodeInvalid, "to must be after from").WithHint("to is not included; a day begins at midnight UTC.")
	}
	return f, nil
}

// verifyRequest is the body of POST /costs/verify.
type verifyRequest struct {
	Rebuild bool `json:"rebuild,omitempty" doc:"Make the statistics anew from the costs."`
}

type wireVerification struct {
	Sound       bool     `json:"sound" doc:"There was no difference."`
	Differences []string `json:"differences" nullable:"false" doc:"What was found, before statistics were made anew."`
	Rebuilt     bool     `json:"rebuilt"`
}

// verifyCosts serves POST /costs/verify.
func (s *Server) verifyCosts(w http.ResponseWriter, r *http.Request) error {
	var body verifyRequest
	if _, err := s.readFields(w, r, &body); err != nil {
		return err
	}
	found, err := s.opt.Money.VerifyCosts(r.Context(), caller(r), body.Rebuild)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, &wireVerification{
		Sound: len(found) == 0, Differences: append([]string{}, found...), Rebuilt: body.Rebuild,
	})
}

// wireHistogram is how long jobs took. Quantiles are upper bounds of the bucket
// that they lie in.
type wireHistogram struct {
	Buckets []int64 `json:"buckets" nullable:"false" doc:"How many lie up to each of bounds_ms and above the one before; the last is for all longer ones."`
	SumMS   float64 `json:"sum_ms"`
	MaxMS   float64 `json:"max_ms"`
	P50MS   float64 `json:"p50_ms" doc:"An estimate: the upper bound of the bucket that it lies in."`
	P95MS   float64 `json:"p95_ms" doc:"As p50_ms."`
}

func histogramOf(h *jeantrail.Histogram) wireHistogram {
	return wireHistogram{
		Buckets: h.Buckets[:], SumMS: millis(h.Sum), MaxMS: millis(h.Max),
		P50MS: millis(h.Quantile(0.5)), P95MS: millis(h.Quantile(0.95)),
	}
}

func addHistogram(sum *jeantrail.Histogram, more *jeantrail.Histogram) {
	for i, n := range more.Buckets {
		sum.Buckets[i] += n
	}
	sum.Sum += more.Sum
	sum.Max = max(sum.Max, more.Max)
}

type wireUsageRow struct {
	Hour   string `json:"hour" format:"date-time" doc:"When the hour begins in which the jobs ended."`
	UserID string `json:"user_id"`
	Model  string `json:"model"`
	Kind   string `json:"kind"`
	Tally
	Latency wireHistogram `json:"latency" doc:"From admission to the end."`
	Queue   wireHistogram `json:"queue" doc:"From admission to the start."`
}

type wireUsageTotal struct {
	Tally
	Latency wireHistogram `json:"latency"`
	Queue   wireHistogram `json:"queue"`
}

// wireUsageStats answers GET /usage.
type wireUsageStats struct {
	BoundsMS []float64       `json:"bounds_ms" nullable:"false" doc:"Upper bounds of all buckets but the last."`
	Rows     []*wireUsageRow `json:"rows" nullable:"false" doc:"Oldest first."`
	Total    wireUsageTotal  `json:"total"`
}

// listUsage serves GET /usage.
func (s *Server) listUsage(w http.ResponseWriter, r *http.Request) error {
	query, err := readQuery(r, "from", "to", "user_id", "model", "kind")
	if err != nil {
		return err
	}
	filter, err := statisticsFilter(query)
	if err != nil {
		return err
	}
	rows, err := s.opt.Money.Usage(r.Context(), caller(r), filter)
	if err != nil {
		return err
	}
	out := wireUsageStats{Rows: make([]*wireUsageRow, 0, len(rows))}
	for _, bound := range jeantrail.HistogramBounds() {
		out.BoundsMS = append(out.BoundsMS, millis(bound))
	}
	var total jeantrail.UsageRow
	for i := range rows {
		row := &rows[i]
		addTally(&total.Tally, row.Tally)
		addHistogram(&total.Latency, &row.Latency)
		addHistogram(&total.Queue, &row.Queue)
		out.Rows = append(out.Rows, &wireUsageRow{
			Hour: wireTime(row.Hour), UserID: row.UserID, Model: row.Model, Kind: string(row.Kind),
			Tally: tallyOf(row.Tally), Latency: histogramOf(&row.Latency), Queue: histogramOf(&row.Queue),
		})
	}
	out.Total = wireUsageTotal{Tally: tallyOf(total.Tally), Latency: histogramOf(&total.Latency), Queue: histogramOf(&total.Queue)}
	return writeJSON(w, http.StatusOK, &out)
}
