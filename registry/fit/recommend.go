package fit

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/registry/catalogue"
)

// Verdict is what a recommendation says of a model.
type Verdict string

// The verdicts.
const (
	VerdictBest     Verdict = "best"      // the largest of its kind that fits and is quick enough
	VerdictNext     Verdict = "next"      // the next larger one, with what it would need
	VerdictFits     Verdict = "fits"      // smaller than the best
	VerdictSlow     Verdict = "slow"      // it fits, and would be slower than reading
	VerdictNoDisk   Verdict = "no_disk"   // it would run, but there is no room for its files
	VerdictTooLarge Verdict = "too_large" // it does not fit
)

// comfortable is the speed, in tokens per second, at which an answer comes about
// as fast as a person reads.
const comfortable = 5

// defaultContext is what a model is recommended for unless the caller wants
// another: a long conversation, or a document of twenty pages.
const defaultContext = 8192

// Recommendation is one model of the catalogue on a machine.
type Recommendation struct {
	Model   catalogue.Model
	Plan    Plan
	Verdict Verdict
	Reason  string // one sentence for a person
}

// Recommend says of each model of the catalogue whether it is for this machine:
// of those that chat first the best, then the next larger, then what is smaller
// and the largest last; after them the other kinds in the same way. want.NCtx of 0
// means 8192 tokens, or the trained context where that is shorter; layers are
// chosen.
func Recommend(machine Machine, list []catalogue.Model, want Setting) ([]Recommendation, error) {
	if want.NCtx <= 0 {
		want.NCtx = defaultContext
	}
	want.GPULayers = -1
	sized := make([]Model, len(list))
	for i, c := range list {
		var err error
		if sized[i], err = FromCatalogue(c); err != nil {
			return nil, err
		}
	}
	var out []Recommendation
	for _, kind := range []catalogue.Kind{catalogue.KindChat, catalogue.KindVision, catalogue.KindEmbedding} {
		var group []Recommendation
		for i, c := range list {
			if c.Kind != kind {
				continue
			}
			s := want
			s.NCtx = min(s.NCtx, sized[i].ContextTrain)
			p := Make(machine, sized[i], s, sized[:0])
			if speed := machine.Measured[c.Name]; speed > 0 {
				p.TokensPerSecond, p.SpeedIsBound = speed, false
			}
			group = append(group, judge(machine, c, p))
		}
		out = append(out, order(group)...)
	}
	return out, nil
}

// judge looks at one model by itself.
func judge(machine Machine, c catalogue.Model, p Plan) Recommendation {
	r := Recommendation{Model: c, Plan: p}
	speed := "its speed is not known"
	if p.TokensPerSecond > 0 {
		about, source := "about", "estimated"
		if p.SpeedIsBound {
			about = "at most"
		}
		if machine.Measured[c.Name] > 0 {
			source = "measured"
		}
		speed = fmt.Sprintf("%s %.1f tokens a second (%s)", about, p.TokensPerSecond, source)
	}
	switch {
	case !p.Fits:
		r.Verdict, r.Reason = VerdictTooLarge, tooLarge(p)
	case machine.DiskFree > 0 && machine.DiskFree < c.DownloadBytes():
		r.Verdict = VerdictNoDisk
		r.Reason = fmt.Sprintf("It fits in memory, but its files take %s and the disk has %s free.", jeantrail.Size(c.DownloadBytes()), jeantrail.Size(machine.DiskFree))
	case p.TokensPerSecond > 0 && p.TokensPerSecond < comfortable:
		r.Verdict, r.Reason = VerdictSlow, fmt.Sprintf("It fits, and takes %s, but makes %s.", jeantrail.Size(p.Need.Total), speed)
	default:
		r.Verdict = VerdictFits
		r.Reason = fmt.Sprintf("It takes %s with a context of %d tokens, %s; %s.", jeantrail.Size(p.Need.Total), p.Setting.NCtx, where(machine, p), speed)
	}
	return r
}

// where says what would compute.
func where(machine Machine, p Plan) string {
	n, device := p.Setting.GPULayers, "the GPUs"
	if len(machine.Devices) == 1 {
		device = machine.Devices[0].Name
	}
	switch {
	case n == 0:
		return "on the CPU"
	case n == p.layers:
		return "all on " + device
	default:
		return fmt.Sprintf("%d of %d layers on %s", n, p.layers, device)
	}
}

// tooLarge says what a model lacks.
func tooLarge(p Plan) string {
	text := fmt.Sprintf("It needs %s; %s.", jeantrail.Size(p.Need.Total), p.room())
	if p.LargestContext > 0 {
		text += fmt.Sprintf(" With a context of %d tokens it would fit.", p.LargestContext)
	}
	return text
}

// order finds the best of a kind and the next larger, and puts them first. Of
// several that are all slow the quickest, which is the smallest, is the best.
func order(group []Recommendation) []Recommendation {
	slices.SortStableFunc(group, func(a, b Recommendation) int {
		return cmp.Compare(a.Model.Shape.Parameters(), b.Model.Shape.Parameters())
	})
	best := -1
	for i, r := range group {
		if r.Verdict == VerdictFits {
			best = i
		}
	}
	if best < 0 {
		best = slices.IndexFunc(group, func(r Recommendation) bool { return r.Verdict == VerdictSlow })
	}
	if best < 0 { // none fits: the smallest is the one to make room for
		if len(group) > 0 {
			group[0].Verdict = VerdictNext
		}
		return group
	}
	group[best].Verdict = VerdictBest
	sorted := []Recommendation{group[best]}
	if best+1 < len(group) {
		group[best+1].Verdict = VerdictNext
		sorted = append(sorted, group[best+1])
	}
	smaller := slices.Clone(group[:best])
	slices.Reverse(smaller)
	return append(append(sorted, smaller...), group[min(best+2, len(group)):]...)
}
