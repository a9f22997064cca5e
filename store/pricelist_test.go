package store_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

func TestPrices(t *testing.T) {
	ctx, s := context.Background(), open(t)
	entry := func(kind jeantrail.Kind, model string, from time.Time, p jeantrail.Price) jeantrail.PriceEntry {
		p.Model = model
		return jeantrail.PriceEntry{Kind: kind, ValidFrom: from, Price: p}
	}
	defaults := []jeantrail.PriceEntry{
		entry(jeantrail.KindImage, "*", time.Time{}, jeantrail.Price{Image: 50_000}),
		entry(jeantrail.KindPipeline, "*", time.Time{}, jeantrail.Price{}),
		entry(jeantrail.KindSpeak, "*", time.Time{}, jeantrail.Price{AudioOutSecond: 5_000}),
		entry(jeantrail.KindText, "*", time.Time{}, jeantrail.Price{PromptToken: 1000, CompletionToken: 1000}),
		entry(jeantrail.KindTranscribe, "*", time.Time{}, jeantrail.Price{AudioInSecond: 10_000}),
	}
	is := func(what string, at time.Time, want []jeantrail.PriceEntry) {
		t.Helper()
		got, err := s.Prices(ctx, at)
		must(t, err)
		if !slices.Equal(got, want) {
			t.Errorf("%s\n%+v\nwant\n%+v", what, got, want)
		}
	}
	is("the guide's prices", epoch, defaults)

	all := jeantrail.Price{PromptToken: 1, CachedToken: 2, CompletionToken: 3, Image: 4, AudioInSecond: 5, AudioOutSecond: jeantrail.MaxMoney}
	own, later := entry(jeantrail.KindText, "m", epoch, all), entry(jeantrail.KindText, "m", epoch.Add(time.Hour), jeantrail.Price{PromptToken: 9})
	must(t, s.SetPrice(ctx, later))
	must(t, s.SetPrice(ctx, own))
	with := func(e jeantrail.PriceEntry) []jeantrail.PriceEntry {
		return slices.Insert(slices.Clone(defaults), 4, e)
	}
	is("before", epoch.Add(-time.Millisecond), defaults)
	is("from the instant on", epoch, with(own))
	is("just before the next", later.ValidFrom.Add(-time.Millisecond), with(own))
	is("after the next", later.ValidFrom, with(later))

	own.PromptToken = 0 // free, which is not the same as no price
	must(t, s.SetPrice(ctx, own))
	is("replaced", epoch, with(own))
	if p, err := s.Price(ctx, "m", jeantrail.KindText, epoch); err != nil || p != own.Price {
		t.Errorf("price %+v, error %v", p, err)
	}
	text := entry(jeantrail.KindText, "*", time.Time{}, all)
	must(t, s.SetPrice(ctx, text))
	defaults[3] = text
	is("another price of all models, since ever", time.UnixMilli(0), defaults)

	for _, bad := range []jeantrail.PriceEntry{
		entry("tea", "m", epoch, all), entry(jeantrail.KindText, "", epoch, all),
		entry(jeantrail.KindText, "m", epoch, jeantrail.Price{Image: -1}),
	} {
		wantCode(t, s.SetPrice(ctx, bad), jeantrail.CodeInvalid)
	}
}
