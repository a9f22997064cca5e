package bench

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/jeantrail/jeantrail-ai"
)

// Verdict says what a difference is worth.
type Verdict string

const (
	Better Verdict = "better"       // B than A
	Worse  Verdict = "worse"        // B than A
	Noise  Verdict = "within noise" // chance explains it
	TooFew Verdict = "too few repetitions"
)

const (
	// significant is the p value below which a difference is not chance.
	significant = 0.05
	// least is the difference of medians that matters at all. Two runs on one
	// machine drift apart by about so much, and in that all repetitions of a run
	// agree, so no test of them sees it.
	least = 0.02
	// fewest is how many repetitions each side needs: of 3 and 3 even the furthest
	// apart have a p value of 0.1.
	fewest = 4
)

// Comparison sets two reports side by side.
type Comparison struct {
	A RunName `json:"a"`
	B RunName `json:"b"`
	// Differs are the facts in which the reports are not alike, so that what is
	// measured may have another reason than the one looked for.
	Differs []Difference `json:"differs"`
	Changes []Change     `json:"changes"`
	OnlyA   []string     `json:"only_a"` // tests that only one of them has
	OnlyB   []string     `json:"only_b"`
}

// RunName says which report is meant.
type RunName struct {
	ID        string `json:"id"`
	Kind      Kind   `json:"kind"`
	CreatedAt string `json:"created_at"` // RFC 3339
	About     string `json:"about"`      // the model, and the server if there is one
}

// Difference is one fact of both reports.
type Difference struct {
	Fact string `json:"fact"`
	A    string `json:"a"`
	B    string `json:"b"`
}

// Change is one figure of one test in both reports.
type Change struct {
	Test    string  `json:"test"`
	Figure  string  `json:"figure"`
	A       Side    `json:"a"`
	B       Side    `json:"b"`
	Ratio   float64 `json:"ratio"` // B's median by A's; 0 if A's is 0
	P       float64 `json:"p"`     // of the Mann-Whitney U test
	Verdict Verdict `json:"verdict"`
}

// Side is one report's part of a change.
type Side struct {
	Median float64 `json:"median"` // of the repetitions
	Spread float64 `json:"spread"` // half the interquartile range by the median
	N      int     `json:"n"`      // repetitions
}

// compared are the figures that Compare looks at; of times less is better.
var compared = []struct {
	name string
	of   func(*Row) *Figure
	less bool
}{
	{"t/s", speed, false},
	{"t/s each", streamSpeed, false},
	{"first ms", first, true},
	{"gap ms", gap, true},
	{"total ms", total, true},
	{"cancel ms", cancelled, true},
}

// Compare compares the tests that two reports have in common, figure by figure.
//
// B is better or worse than A if both hold: the Mann-Whitney U test over the
// repetitions (not over the requests within one, which wait for each other) has
// p < 0.05, and the medians are at least 2 % apart. Otherwise the difference is
// within noise. With fewer than 4 repetitions on a side the test could not tell,
// and the verdict says so. Of many figures that are alike, one in twenty comes
// below such a p value by chance: look at whether its neighbours agree. No test
// sees what changed between the two runs beside what was meant to: measure both
// in turn, on a quiet machine.
//
// The error is invalid if the reports have no test in common.
func Compare(a, b *Report) (*Comparison, error) {
	c := &Comparison{A: nameOf(a), B: nameOf(b), Differs: differences(a, b), Changes: []Change{}, OnlyA: []string{}, OnlyB: []string{}}
	met := make([]bool, len(b.Rows))
	for i := range a.Rows {
		row := &a.Rows[i]
		k := slices.IndexFunc(b.Rows, func(other Row) bool { return row.like(&other) })
		if k < 0 {
			c.OnlyA = append(c.OnlyA, row.full())
			continue
		}
		met[k] = true
		c.Changes = append(c.Changes, changes(row, &b.Rows[k])...)
	}
	for k := range b.Rows {
		if !met[k] {
			c.OnlyB = append(c.OnlyB, b.Rows[k].full())
		}
	}
	if len(c.Changes) == 0 {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "bench compare: the reports have no test in common: %s; %s",
			listed(c.OnlyA), listed(c.OnlyB)).WithHint("Measure both with the same streams and tokens.")
	}
	return c, nil
}

func listed(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// like reports whether two rows are of the same test.
func (r *Row) like(other *Row) bool {
	return r.Test == other.Test && r.Streams == other.Streams && r.PromptTokens == other.PromptTokens &&
		r.GenTokens == other.GenTokens && r.Shared == other.Shared
}

// full names a row with all that like looks at.
func (r *Row) full() string {
	return fmt.Sprintf("%s (prompt %d, answer %d)", r.name(), r.PromptTokens, r.GenTokens)
}

func nameOf(r *Report) RunName {
	about := r.modelType()
	if r.Settings.URL != "" {
		about = strings.TrimSpace(about + " at " + printable(r.Settings.URL))
	}
	return RunName{ID: r.ID, Kind: r.Kind, CreatedAt: r.CreatedAt.UTC().Format("2006-01-02T15:04:05Z"), About: about}
}

func changes(a, b *Row) []Change {
	var all []Change
	for _, f := range compared {
		x, y := f.of(a), f.of(b)
		if x == nil || y == nil {
			continue
		}
		change := Change{Test: a.name(), Figure: f.name, A: sideOf(x), B: sideOf(y), P: rankSum(x.Each, y.Each)}
		if change.A.Median > 0 {
			change.Ratio = change.B.Median / change.A.Median
		}
		change.Verdict = change.judge(f.less)
		all = append(all, change)
	}
	return append(all, failedChange(a, b)...)
}

// failedChange is there if requests failed on a side: figures of those that did
// not fail are not the whole story.
func failedChange(a, b *Row) []Change {
	x, y := a.failed(), b.failed()
	if x+y == 0 {
		return nil
	}
	share := func(failed, requests int) float64 { return float64(failed) / float64(max(requests, 1)) }
	change := Change{
		Test: a.name(), Figure: "failed", Verdict: Noise, P: rankSum(outcomes(x, a.Requests), outcomes(y, b.Requests)),
		A: Side{Median: share(x, a.Requests), N: a.Requests}, B: Side{Median: share(y, b.Requests), N: b.Requests},
	}
	switch {
	case change.P < significant && change.B.Median < change.A.Median:
		change.Verdict = Better
	case change.P < significant:
		change.Verdict = Worse
	}
	if x > 0 {
		change.Ratio = change.B.Median / change.A.Median
	}
	return []Change{change}
}

// outcomes has a one for each request that failed and a zero for each other.
func outcomes(failed, requests int) []float64 {
	v := make([]float64, max(requests, failed))
	for i := range failed {
		v[i] = 1
	}
	return v
}

func sideOf(f *Figure) Side {
	s := Side{Median: Median(f.Each), N: len(f.Each)}
	if s.Median > 0 {
		s.Spread = (Percentile(f.Each, 75) - Percentile(f.Each, 25)) / 2 / s.Median
	}
	return s
}

// judge is the rule that Compare states.
func (c *Change) judge(less bool) Verdict {
	switch {
	case min(c.A.N, c.B.N) < fewest:
		return TooFew
	case c.P >= significant, math.Abs(c.B.Median-c.A.Median) < least*c.A.Median:
		return Noise
	case (c.B.Median < c.A.Median) == less:
		return Better
	}
	return Worse
}

// differences lists the facts that are not alike. What one report does not know
// is a difference if the other does.
func differences(a, b *Report) []Difference {
	all := []Difference{}
	fact := func(name, x, y string) {
		if x != y {
			all = append(all, Difference{name, printable(x), printable(y)})
		}
	}
	number := func(name string, x, y int) { fact(name, count(x), count(y)) }
	fact("kind", string(a.Kind), string(b.Kind))
	fact("model", a.Model.Name, b.Model.Name)
	fact("model sha256", a.Model.SHA256, b.Model.SHA256)
	fact("quantisation", a.Model.Quantization, b.Model.Quantization)
	number("context", a.Model.Context, b.Model.Context)
	fact("cpu", a.Machine.CPU, b.Machine.CPU)
	fact("cpu features", strings.Join(a.Machine.Features, " "), strings.Join(b.Machine.Features, " "))
	fact("gpu", a.Machine.GPU, b.Machine.GPU)
	number("cores", a.Machine.Cores, b.Machine.Cores)
	fact("backend", a.Settings.Backend, b.Settings.Backend)
	number("threads", a.Settings.Threads, b.Settings.Threads)
	number("gpu layers", a.Settings.GPULayers, b.Settings.GPULayers)
	number("batch", a.Settings.Batch, b.Settings.Batch)
	number("slots", a.Settings.Slots, b.Settings.Slots)
	fact("kv", a.Settings.KV, b.Settings.KV)
	fact("server", a.Settings.URL, b.Settings.URL)
	fact("api", string(a.Settings.API), string(b.Settings.API))
	fact("version", a.Build.Version, b.Build.Version)
	fact("llama.cpp", a.Build.LlamaCPP, b.Build.LlamaCPP)
	fact("build flags", a.Build.Flags, b.Build.Flags)
	return all
}

// percent writes a share with one digit after the point.
func percent(share float64) string { return strconv.FormatFloat(share*100, 'f', 1, 64) + " %" }
