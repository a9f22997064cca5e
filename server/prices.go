package server

import (
	"net/http"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// priceRequest is the body of PUT /prices/{model}.
type priceRequest struct {
	Kind           *string `json:"kind,omitempty" enum:"text,image,transcribe,speak,pipeline" doc:"text if left out."`
	PromptToken    *int64  `json:"prompt_token_micros,omitempty" minimum:"0" doc:"Micro-dollars. A unit that is left out costs nothing."`
	CachedToken    *int64  `json:"cached_token_micros,omitempty" minimum:"0" doc:"A prompt token that the KV cache had."`
	Completion     *int64  `json:"completion_token_micros,omitempty" minimum:"0"`
	Image          *int64  `json:"image_micros,omitempty" minimum:"0"`
	AudioInSecond  *int64  `json:"audio_in_second_micros,omitempty" minimum:"0" doc:"A second of audio that is heard."`
	AudioOutSecond *int64  `json:"audio_out_second_micros,omitempty" minimum:"0" doc:"A second of audio that is made."`
	ValidFrom      *string `json:"valid_from,omitempty" format:"date-time" doc:"From when on; now if left out. A job keeps the price that it was admitted under."`
}

// entry turns the body into a row of the price table. A body without any unit is
// refused, because it would make the model free by accident.
func (p *priceRequest) entry(model string) (jeantrail.PriceEntry, error) {
	e := jeantrail.PriceEntry{Kind: jeantrail.KindText, Price: jeantrail.Price{Model: model}}
	if p.Kind != nil {
		e.Kind = jeantrail.Kind(*p.Kind)
	}
	units := 0
	for _, unit := range []struct {
		from *int64
		to   *jeantrail.Money
	}{
		{p.PromptToken, &e.PromptToken}, {p.CachedToken, &e.CachedToken}, {p.Completion, &e.CompletionToken},
		{p.Image, &e.Image}, {p.AudioInSecond, &e.AudioInSecond}, {p.AudioOutSecond, &e.AudioOutSecond},
	} {
		if unit.from != nil {
			*unit.to = jeantrail.Money(*unit.from)
			units++
		}
	}
	if units == 0 {
		return e, jeantrail.Errorf(jeantrail.CodeInvalid, "the body prices no unit").
			WithHint(`For example {"prompt_token_micros": 1000, "completion_token_micros": 1000}; 0 makes a unit free.`)
	}
	if p.ValidFrom != nil {
		from, err := time.Parse(time.RFC3339Nano, *p.ValidFrom)
		if err != nil {
			return e, jeantrail.Errorf(jeantrail.CodeInvalid, "valid_from is %q, which is not a time", *p.ValidFrom).
				WithHint("Use RFC 3339, for example 2006-01-02T15:04:05Z.")
		}
		e.ValidFrom = from.UTC()
	}
	return e, e.Validate()
}

// wirePrice is a row of the price table that is in force.
type wirePrice struct {
	Model          string `json:"model" doc:"* is every model of the kind that has no price of its own."`
	Kind           string `json:"kind" enum:"text,image,transcribe,speak,pipeline"`
	ValidFrom      string `json:"valid_from,omitempty" format:"date-time" doc:"Left out: since ever."`
	PromptToken    int64  `json:"prompt_token_micros"`
	CachedToken    int64  `json:"cached_token_micros"`
	Completion     int64  `json:"completion_token_micros"`
	Image          int64  `json:"image_micros"`
	AudioInSecond  int64  `json:"audio_in_second_micros"`
	AudioOutSecond int64  `json:"audio_out_second_micros"`
}

type wirePrices struct {
	Prices []*wirePrice `json:"prices" nullable:"false"`
}

func priceOf(e *jeantrail.PriceEntry) *wirePrice {
	return &wirePrice{
		Model: e.Model, Kind: string(e.Kind), ValidFrom: wireTime(e.ValidFrom),
		PromptToken: int64(e.PromptToken), CachedToken: int64(e.CachedToken), Completion: int64(e.CompletionToken),
		Image: int64(e.Image), AudioInSecond: int64(e.AudioInSecond), AudioOutSecond: int64(e.AudioOutSecond),
	}
}

// listPrices serves GET /prices.
func (s *Server) listPrices(w http.ResponseWriter, r *http.Request) error {
	if _, err := readQuery(r); err != nil {
		return err
	}
	list, err := s.opt.Money.Prices(r.Context(), caller(r))
	if err != nil {
		return err
	}
	out := wirePrices{Prices: make([]*wirePrice, 0, len(list))}
	for i := range list {
		out.Prices = append(out.Prices, priceOf(&list[i]))
	}
	return writeJSON(w, http.StatusOK, &out)
}

// setPrice serves PUT /prices/{model}.
func (s *Server) setPrice(w http.ResponseWriter, r *http.Request) error {
	var body priceRequest
	if _, err := s.readFields(w, r, &body); err != nil {
		return err
	}
	entry, err := body.entry(r.PathValue("model"))
	if err != nil {
		return err
	}
	set, err := s.opt.Money.SetPrice(r.Context(), caller(r), entry)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, priceOf(set))
}
