package bench

import (
	"math"
	"slices"
)

// exactUpTo is how many values the exact test takes; beyond it the normal
// distribution is close enough.
const exactUpTo = 60

// rankSum returns the two-sided p value of the Mann-Whitney U test: how likely
// two samples of one distribution would lie at least as far apart as these do.
// Up to exactUpTo values in all it is exact, ties included: every way to deal
// the values out to the two samples is counted. It is 1 if a sample is empty.
func rankSum(a, b []float64) float64 {
	if len(a) == 0 || len(b) == 0 {
		return 1
	}
	ranks := doubledRanks(a, b)
	sum := 0 // of a's doubled ranks
	for _, r := range ranks[:len(a)] {
		sum += r
	}
	if len(ranks) <= exactUpTo {
		return exactP(ranks, len(a), sum)
	}
	return normalP(ranks, len(a), sum)
}

// doubledRanks returns twice the rank of each of a's values, then of b's, among
// all of them. Equal ones share the mean of their ranks, which may end in a half.
func doubledRanks(a, b []float64) []int {
	all := slices.Concat(a, b)
	sorted := slices.Sorted(slices.Values(all))
	ranks := make([]int, len(all))
	for i, x := range all {
		first, _ := slices.BinarySearch(sorted, x)
		last := first
		for last < len(sorted) && sorted[last] == x {
			last++
		}
		ranks[i] = first + 1 + last // first+1 and last are the ends of the shared ranks
	}
	return ranks
}

// exactP counts, for each sum of ranks, the choices of n values that have it.
func exactP(ranks []int, n, sum int) float64 {
	total := 0
	for _, r := range ranks {
		total += r
	}
	ways := make([][]float64, n+1) // number chosen -> sum -> choices
	for i := range ways {
		ways[i] = make([]float64, total+1)
	}
	ways[0][0] = 1
	reached := 0 // the largest sum so far
	for i, r := range ranks {
		reached += r
		for chosen := min(n, i+1); chosen > 0; chosen-- {
			for s := reached; s >= r; s-- {
				ways[chosen][s] += ways[chosen-1][s-r]
			}
		}
	}
	// Far apart is measured from the mean of the sums, n/len(ranks) of total.
	distance := func(s int) int { return absolute(s*len(ranks) - n*total) }
	far, every := 0.0, 0.0
	for s, w := range ways[n] {
		every += w
		if distance(s) >= distance(sum) {
			far += w
		}
	}
	return far / every
}

func absolute(n int) int { return max(n, -n) }

// normalP approximates by the normal distribution, corrected for ties and for
// continuity.
func normalP(ranks []int, n, sum int) float64 {
	n1, n2 := float64(n), float64(len(ranks)-n)
	all := n1 + n2
	ties, same := 0.0, make(map[int]float64)
	for _, r := range ranks {
		same[r]++
	}
	for _, t := range same {
		ties += t*t*t - t
	}
	variance := n1 * n2 / 12 * (all + 1 - ties/(all*(all-1)))
	if variance <= 0 {
		return 1 // all are equal
	}
	off := math.Abs(float64(sum)/2-n1*(all+1)/2) - 0.5
	return min(1, math.Erfc(max(off, 0)/math.Sqrt(2*variance)))
}
