package bench

import (
	"math"
	"slices"
)

// Mean returns the arithmetic mean, 0 of nothing.
func Mean(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}

// StdDev returns the sample standard deviation (over n-1, as llama-bench's), 0 of
// fewer than two.
func StdDev(v []float64) float64 {
	if len(v) < 2 {
		return 0
	}
	mean, sum := Mean(v), 0.0
	for _, x := range v {
		sum += (x - mean) * (x - mean)
	}
	return math.Sqrt(sum / float64(len(v)-1))
}

// Percentile returns the nearest-rank percentile: the smallest of the values that
// at least p percent of them do not exceed. It is always one of the values. p is
// held between 0, which gives the least, and 100, which gives the greatest. It
// is 0 of nothing. The order of v does not matter, and stays.
func Percentile(v []float64, p float64) float64 {
	return nearestRank(slices.Sorted(slices.Values(v)), p)
}

// nearestRank is Percentile of values that are sorted.
func nearestRank(sorted []float64, p float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	// p/100 is not exact, and n of it may come out a hair above a whole number.
	rank := math.Ceil(p*float64(len(sorted))/100 - 1e-9)
	return sorted[min(max(int(rank), 1), len(sorted))-1]
}

// Median returns the middle value, or the mean of the middle two; 0 of nothing.
func Median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(v))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// Bucket is one bar of a histogram: how many values are at most UpTo and more
// than the UpTo of the one before. The last has no UpTo; it holds the rest.
type Bucket struct {
	UpTo  *float64 `json:"up_to"`
	Count int      `json:"count"`
}

// Histogram counts values in len(bounds)+1 buckets. The bounds ascend.
func Histogram(v, bounds []float64) []Bucket {
	buckets := make([]Bucket, len(bounds)+1)
	for i := range bounds {
		buckets[i].UpTo = &bounds[i]
	}
	for _, x := range v {
		i, _ := slices.BinarySearch(bounds, x) // the first bound that is not below x
		buckets[i].Count++
	}
	return buckets
}

// Figure sums up what was measured of one thing, in the unit of the field that
// holds it. A thing that was not measured has no Figure, not one of zeros.
type Figure struct {
	N    int     `json:"n"` // single measurements
	Mean float64 `json:"mean"`
	SD   float64 `json:"sd"` // sample standard deviation
	Min  float64 `json:"min"`
	P50  float64 `json:"p50"` // nearest rank, as the others
	P95  float64 `json:"p95"`
	P99  float64 `json:"p99"`
	Max  float64 `json:"max"`
	// Each has one value for each repetition: the measurement itself if there is
	// one, else the median of those that were taken in it. Requests of one
	// repetition wait for each other, so only repetitions can be told apart from
	// chance; Compare looks at these.
	Each []float64 `json:"each"`
}

// figureOf sums up the measurements of each repetition; nil if there are none.
func figureOf(repetitions [][]float64) *Figure {
	var all, each []float64
	for _, r := range repetitions {
		if len(r) > 0 {
			all, each = append(all, r...), append(each, Median(r))
		}
	}
	if len(all) == 0 {
		return nil
	}
	slices.Sort(all)
	return &Figure{
		N: len(all), Mean: Mean(all), SD: StdDev(all), Min: all[0],
		P50: nearestRank(all, 50), P95: nearestRank(all, 95), P99: nearestRank(all, 99), Max: all[len(all)-1],
		Each: each,
	}
}

// figureOfEach is figureOf with one measurement in each repetition.
func figureOfEach(v []float64) *Figure {
	repetitions := make([][]float64, len(v))
	for i := range v {
		repetitions[i] = v[i : i+1]
	}
	return figureOf(repetitions)
}
