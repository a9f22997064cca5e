package bench

import (
	"bytes"
	"testing"

	"github.com/jeantrail/jeantrail-ai"
)

func one(each ...float64) *Report {
	r := rawReport()
	r.Rows = []Row{{Test: "tg128", Streams: 1, GenTokens: 128, Speed: figureOfEach(each)}}
	return r
}

func TestVerdicts(t *testing.T) {
	for _, tt := range []struct {
		name string
		a, b *Report
		want Verdict
	}{
		{"faster", one(50, 51, 50, 52, 51), one(60, 61, 60, 62, 61), Better},
		{"slower", one(60, 61, 60, 62, 61), one(50, 51, 50, 52, 51), Worse},
		{"the same", one(50, 51, 50, 52, 51), one(50, 51, 50, 52, 51), Noise},
		{"further apart within than between", one(50, 60, 40, 55, 45), one(52, 62, 42, 57, 47), Noise},
		{"apart, but by nothing that matters", one(50, 50.1, 50, 50.1, 50), one(50.5, 50.6, 50.5, 50.6, 50.5), Noise},
		{"just enough repetitions", one(50, 51, 50, 52), one(60, 61, 60, 62), Better},
		{"too few repetitions", one(50, 51, 50), one(60, 61, 60), TooFew},
	} {
		c, err := Compare(tt.a, tt.b)
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Changes) != 1 || c.Changes[0].Verdict != tt.want {
			t.Errorf("%s: %+v", tt.name, c.Changes)
		}
	}
	c, err := Compare(one(50, 51, 50, 52, 51), one(102, 102, 102, 102, 102))
	if err != nil {
		t.Fatal(err)
	}
	if change := c.Changes[0]; change.Ratio != 2 || change.A.Median != 51 || change.A.N != 5 || !near(change.A.Spread, 0.5/51) || change.B.Spread != 0 {
		t.Errorf("%+v", change)
	}
}

// TestLessTimeIsBetter holds a slower server against a faster one.
func TestLessTimeIsBetter(t *testing.T) {
	c, err := Compare(loadReport(1.5), loadReport(1))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Changes) != 4*5+1 || len(c.Differs) != 0 {
		t.Fatalf("%d changes, differs %v", len(c.Changes), c.Differs)
	}
	for _, change := range c.Changes {
		want := Better
		if change.Figure == "failed" {
			want = Noise
		}
		if change.Verdict != want {
			t.Errorf("%+v", change)
		}
	}
}

func TestFailuresAreCompared(t *testing.T) {
	a, b := loadReport(1), loadReport(1)
	b.Rows[0].Failures = []Failure{{Kind: "timeout", Count: 5, Example: "late"}}
	c, err := Compare(a, b)
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range c.Changes {
		if change.Test == testLoad && change.Figure == "failed" {
			if change.Verdict != Worse || change.A.Median != 0 || change.B.Median != 1 || change.Ratio != 0 {
				t.Errorf("%+v", change)
			}
			return
		}
	}
	t.Errorf("nothing is said of the requests that failed: %+v", c.Changes)
}

func TestCompareGolden(t *testing.T) {
	a, b := loadReport(1), loadReport(1.08)
	b.ID, b.Kind, b.Settings = "0195d7a2-0000-7000-8000-000000000003", KindEngine, Settings{Backend: "CPU", Threads: 2}
	b.Machine.GPU = "a new one"
	a.Rows, b.Rows[0].Test = a.Rows[:3], testCold
	c, err := Compare(a, b)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []Format{FormatTable, FormatMD, FormatJSON} {
		var out bytes.Buffer
		if err := c.Write(&out, f); err != nil {
			t.Fatal(err)
		}
		golden(t, "compare."+string(f), out.Bytes())
	}
	if err := c.Write(&bytes.Buffer{}, FormatSQL); jeantrail.CodeOf(err) != jeantrail.CodeInvalid {
		t.Errorf("as SQL: %v", err)
	}
}

func TestNothingInCommon(t *testing.T) {
	_, err := Compare(rawReport(), loadReport(1))
	if e := jeantrail.AsError(err); e.Code != jeantrail.CodeInvalid || e.Hint == "" {
		t.Errorf("%+v", e)
	}
}
