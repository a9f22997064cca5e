package bench

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestStatistics(t *testing.T) {
	// The values that Wikipedia's article on the nearest-rank method takes.
	five := []float64{50, 15, 40, 20, 35}
	for p, want := range map[float64]float64{0: 15, 5: 15, 30: 20, 40: 20, 50: 35, 95: 50, 100: 50} {
		if got := Percentile(five, p); got != want {
			t.Errorf("percentile %v is %v, want %v", p, got, want)
		}
	}
	if !slices.Equal(five, []float64{50, 15, 40, 20, 35}) {
		t.Error("the values were put in another order")
	}
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(i + 1)
	}
	for _, p := range []float64{1, 7, 14, 28, 29, 55, 56, 57, 95, 99} { // some of p/100*100 are not whole
		if got := Percentile(hundred, p); got != p {
			t.Errorf("percentile %v of 1 to 100 is %v", p, got)
		}
	}
	eight := []float64{2, 4, 4, 4, 5, 5, 7, 9}
	if got := Mean(eight); got != 5 {
		t.Errorf("mean %v", got)
	}
	if got := StdDev(eight); math.Abs(got-2.138089935299395) > 1e-12 {
		t.Errorf("standard deviation %v", got)
	}
	if Median(eight) != 4.5 || Median(five) != 35 {
		t.Errorf("medians %v, %v", Median(eight), Median(five))
	}
	if Mean(nil) != 0 || StdDev([]float64{3}) != 0 || Percentile(nil, 50) != 0 || Median(nil) != 0 {
		t.Error("nothing has statistics")
	}
}

func TestHistogram(t *testing.T) {
	buckets := Histogram([]float64{0, 1, 1.5, 2, 2.1, 99}, []float64{1, 2, 5})
	var counts []int
	for _, b := range buckets {
		counts = append(counts, b.Count)
	}
	if !slices.Equal(counts, []int{2, 2, 1, 1}) || *buckets[1].UpTo != 2 || buckets[3].UpTo != nil {
		t.Errorf("%v", counts)
	}
}

func TestFigure(t *testing.T) {
	f := figureOf([][]float64{{1, 2, 9}, nil, {4, 6}})
	if f.N != 5 || f.Mean != 4.4 || f.Min != 1 || f.P50 != 4 || f.P95 != 9 || f.Max != 9 || !slices.Equal(f.Each, []float64{2, 5}) {
		t.Errorf("%+v", f)
	}
	if figureOf(nil) != nil || figureOf([][]float64{nil}) != nil {
		t.Error("what was not measured has a figure")
	}
}

func TestRankSum(t *testing.T) {
	for _, tt := range []struct {
		a, b []float64
		want float64
	}{
		{[]float64{1, 2, 3}, []float64{4, 5, 6}, 2.0 / 20},
		{[]float64{1, 2, 3, 4}, []float64{5, 6, 7, 8}, 2.0 / 70},
		{[]float64{5, 6, 7, 8, 9}, []float64{0, 1, 2, 3, 4}, 2.0 / 252},
		{[]float64{1, 2, 3, 5}, []float64{4, 6, 7, 8}, 4.0 / 70}, // U = 1
		{[]float64{1, 3}, []float64{2, 4}, 4.0 / 6},
		{[]float64{7, 7, 7, 7}, []float64{7, 7, 7, 7}, 1},
		{[]float64{1, 1}, []float64{1, 2, 2}, 4.0 / 10}, // with ties, ranks 2 2 2 4.5 4.5: sums 4 (three ways), 6.5 (six), 9
		{nil, []float64{1}, 1},
	} {
		if got := rankSum(tt.a, tt.b); math.Abs(got-tt.want) > 1e-12 {
			t.Errorf("p of %v and %v is %v, want %v", tt.a, tt.b, got, tt.want)
		}
	}
}

// TestRankSumApproximates holds the normal distribution against the count.
func TestRankSumApproximates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.Map(rapid.IntRange(0, 40), func(n int) float64 { return float64(n) })
		a := rapid.SliceOfN(value, 20, 29).Draw(t, "a")
		b := rapid.SliceOfN(value, 20, 29).Draw(t, "b")
		ranks, sum := doubledRanks(a, b), 0
		for _, r := range ranks[:len(a)] {
			sum += r
		}
		exact, about := exactP(ranks, len(a), sum), normalP(ranks, len(a), sum)
		if math.Abs(exact-about) > 0.01 {
			t.Fatalf("exactly %v, about %v", exact, about)
		}
		if back := rankSum(b, a); math.Abs(back-exact) > 1e-9 {
			t.Fatalf("%v one way, %v the other", exact, back)
		}
	})
}
