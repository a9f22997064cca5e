package workflow

import (
	"context"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway/ledger"
)

// What stands for what a stage will give.
const (
	// wordsPerSecond is how fast somebody may speak.
	wordsPerSecond = 4
	// word is about one token of any model.
	word = " the"
	// imageTokens is what an image that does not exist yet counts as in a prompt.
	// Models that see make a few hundred to about four thousand tokens of one.
	imageTokens = 4096
	// smallest is how often the words are halved at most until a request can be.
	smallest = 24
)

// Estimate implements gateway.Estimator. It asks the road stage by stage, and
// runs nothing. The figures of a stage are for its dearest outcome: an attempt
// that fails may cost as much as one that does not, so that every retry counts in
// full, and the fallback on top. Bounds are those of one attempt.
//
// Where a stage reads what an earlier one gives, the longest that this may be
// stands for it: max_tokens words for a text, four words a second for a
// transcription. A later request that would be refused for its length with that
// is made shorter until it is not: what is too long will not run, and so costs
// nothing. An image is charged as imageTokens tokens; audio that is heard again as
// long as it may become, at the dearest price of its kind. Exact is then false.
//
// A condition that only reads inputs is decided; a stage that will not run costs
// nothing. Any other condition counts as if it held, marked Conditional.
//
// Least is what the stages need that must succeed: those that run in any case and
// whose failure is the pipeline's.
func (w *work) Estimate(ctx context.Context, p jeantrail.Principal) (*jeantrail.Estimate, error) {
	e := &estimator{work: w, principal: p, stages: make(map[string]*foreseen)}
	total := &jeantrail.Estimate{Kind: jeantrail.KindPipeline, Model: w.workflow.Name, Exact: true}
	for _, s := range w.workflow.stages {
		one, err := e.stage(ctx, s)
		if err != nil {
			return nil, ofStage(s.name, err)
		}
		total.Amount, total.Least = total.Amount.Add(one.Amount), total.Least.Add(one.Least)
		total.Exact = total.Exact && one.Exact && !one.Conditional
		total.Stages = append(total.Stages, *one)
	}
	return total, nil
}

// estimator goes through a pipeline without running it.
type estimator struct {
	*work
	principal jeantrail.Principal
	stages    map[string]*foreseen
	prices    []jeantrail.PriceEntry // nil until they are asked for
}

// foreseen is the most that a stage may give.
type foreseen struct {
	skipped bool // for certain
	words   int
	text    string // if it may be longer than the words: the text of a fallback
	images  int
	audio   time.Duration // that it makes
	heard   time.Duration // that it transcribes
}

func (e *estimator) stage(ctx context.Context, s *stage) (*jeantrail.Estimate, error) {
	one := &jeantrail.Estimate{Name: s.name, Kind: s.kind, Exact: true}
	sure, runs := e.condition(s)
	one.Conditional = !sure || !runs
	if sure && !runs {
		e.stages[s.name] = &foreseen{skipped: true}
		return one, nil
	}
	first, err := e.plan(ctx, s.plan)
	if err != nil && s.onError == onErrorFail {
		return nil, err
	}
	if err == nil {
		one.Model, one.Bounds, one.Exact = first.Model, first.Bounds, first.Exact
		one.Amount = first.Amount.Times(int64(s.retries + 1))
		if sure && s.onError == onErrorFail {
			one.Least = first.Least
		}
	}
	f := foresee(s, one.Bounds)
	e.stages[s.name] = f
	if s.onError != onErrorFallback {
		return one, nil
	}
	one.Exact = false
	if s.fallback == nil {
		v, err := s.fallbackText.eval(e.scope(0))
		if err == nil {
			f.text, _ = v.(string)
		}
		return one, err
	}
	second, err := e.plan(ctx, s.fallback)
	if err != nil {
		return nil, err
	}
	one.Amount = one.Amount.Add(second.Amount)
	f.most(foresee(s, second.Bounds))
	return one, nil
}

// condition reports whether a stage's condition can be decided now, and what it
// says. One that fails to be evaluated is left to the run.
func (e *estimator) condition(s *stage) (sure, runs bool) {
	if s.condition == nil {
		return true, true
	}
	for _, name := range s.condition.uses {
		if !e.stages[name].skipped {
			return false, true
		}
	}
	runs, err := s.holds(e.scope(0))
	return err == nil, runs
}

// foresee is the most that a stage may give within its bounds.
func foresee(s *stage, b jeantrail.Bounds) *foreseen {
	f := &foreseen{images: b.Images, audio: b.AudioOut, heard: b.AudioIn}
	switch s.kind {
	case jeantrail.KindText:
		f.words = b.CompletionTokens
	case jeantrail.KindTranscribe:
		f.words = int(min(int64(b.AudioIn.Seconds()*wordsPerSecond)+1, math.MaxInt32))
	}
	return f
}

func (f *foreseen) most(g *foreseen) {
	f.words, f.images = max(f.words, g.words), max(f.images, g.images)
	f.audio, f.heard = max(f.audio, g.audio), max(f.heard, g.heard)
}

// outcome is what stands for a stage, its words halved so many times. Its files
// have no content.
func (f *foreseen) outcome(halved int) *outcome {
	if f.skipped {
		return &outcome{status: jeantrail.StageSkipped, reason: "its condition does not hold"}
	}
	o := &outcome{status: jeantrail.StageSucceeded, seconds: f.heard.Seconds()}
	words := min(f.words, jeantrail.MaxPromptBytes/len(word)) >> halved
	if o.text = strings.Repeat(word, max(words, 1)); f.words == 0 {
		o.text = ""
	}
	if text := strings.ToValidUTF8(f.text[:len(f.text)>>halved], ""); len(text) > len(o.text) {
		o.text = text
	}
	for i := range f.images {
		o.artifacts = append(o.artifacts, &attachment{MediaType: "image/png", jobID: "-", index: i})
	}
	if f.audio > 0 {
		o.artifacts = append(o.artifacts, &attachment{MediaType: "audio/wav", jobID: "-", Seconds: f.audio.Seconds()})
	}
	return o
}

func (e *estimator) scope(halved int) map[string]any {
	stages := make(map[string]any, len(e.stages))
	for name, f := range e.stages {
		stages[name] = f.outcome(halved).seen()
	}
	return map[string]any{"inputs": e.inputs, "stages": stages}
}

// plan estimates one attempt.
func (e *estimator) plan(ctx context.Context, p *plan) (*jeantrail.Estimate, error) {
	exact := true
	for _, name := range p.uses() {
		exact = exact && e.stages[name].skipped
	}
	for halved := 0; ; halved++ {
		est, err := e.attempt(ctx, p, e.scope(halved))
		if err == nil {
			est.Exact = est.Exact && exact
			return est, nil
		}
		if exact || halved == smallest || !tooLong(err) {
			return nil, err
		}
	}
}

// tooLong reports whether a request may be refused for its length. A template has
// limits of its own, and says invalid.
func tooLong(err error) bool {
	return slices.Contains([]jeantrail.Code{jeantrail.CodeInvalid, jeantrail.CodeContextLength, jeantrail.CodeTooLarge}, jeantrail.CodeOf(err))
}

func (e *estimator) attempt(ctx context.Context, p *plan, scope map[string]any) (*jeantrail.Estimate, error) {
	req, err := p.request(scope)
	if err != nil {
		return nil, err
	}
	req.UserID, req.Priority, req.TaskType = e.request.UserID, e.request.Priority, e.request.TaskType
	// What is in the result cache now may be gone when the stage runs.
	uncached := false
	req.Cache = &uncached
	req.Metadata, req.Workflow = e.request.Metadata, e.workflow.Name
	if p.kind == jeantrail.KindTranscribe && req.Transcribe.Audio.SHA256 == "" {
		return e.heardAgain(ctx, p, scope)
	}
	if req.Text == nil {
		return e.road.Estimate(ctx, e.principal, req)
	}
	images := len(req.Text.Images)
	req.Text.Images = slices.DeleteFunc(req.Text.Images, func(f jeantrail.File) bool { return f.SHA256 == "" })
	est, err := e.road.Estimate(ctx, e.principal, req)
	if err != nil || images == len(req.Text.Images) {
		return est, err
	}
	return e.seeing(ctx, est, images-len(req.Text.Images))
}

// seeing adds images that do not exist yet to an estimate.
func (e *estimator) seeing(ctx context.Context, est *jeantrail.Estimate, images int) (*jeantrail.Estimate, error) {
	if err := e.askPrices(ctx); err != nil {
		return nil, err
	}
	var price jeantrail.Price
	for _, entry := range e.prices {
		if entry.Kind == jeantrail.KindText && (entry.Model == est.Model || entry.Model == jeantrail.AnyModel && price.Model != est.Model) {
			price = entry.Price
		}
	}
	tokens := jeantrail.Bounds{PromptTokens: images * imageTokens}
	cost := ledger.Estimate(price, tokens)
	est.Bounds.PromptTokens += tokens.PromptTokens
	est.Amount, est.Least = est.Amount.Add(cost), est.Least.Add(cost)
	return est, nil
}

// heardAgain estimates a transcription of audio that does not exist yet.
func (e *estimator) heardAgain(ctx context.Context, p *plan, scope map[string]any) (*jeantrail.Estimate, error) {
	if err := e.askPrices(ctx); err != nil {
		return nil, err
	}
	v, err := p.parameters["audio"].eval(scope)
	if err != nil {
		return nil, err
	}
	est := &jeantrail.Estimate{Kind: p.kind}
	audio, ok := v.(*attachment)
	if !ok {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "audio: it has no value")
	}
	est.Bounds.AudioIn = time.Duration(audio.Seconds * float64(time.Second))
	for _, entry := range e.prices {
		if entry.Kind == p.kind {
			est.Amount = max(est.Amount, ledger.Estimate(entry.Price, est.Bounds))
		}
	}
	est.Least = est.Amount
	return est, nil
}

func (e *estimator) askPrices(ctx context.Context) (err error) {
	if e.prices == nil {
		e.prices, err = e.road.Prices(ctx, e.principal)
	}
	return err
}
