package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// The model's own row goes before that of all models, whatever their dates.
const priceSQL = `SELECT prompt_token_micros, cached_token_micros, completion_token_micros, image_micros,
	audio_in_second_micros, audio_out_second_micros
FROM ai_prices WHERE kind = ? AND model IN (?, '*') AND valid_from <= ?
ORDER BY model = '*', valid_from DESC LIMIT 1`

// Price returns what a model's units cost at a time: its own row of the price
// table, or else that of all models of the kind. If there is neither it is
// not_found, because a missing price must not mean free.
func (s *Store) Price(ctx context.Context, model string, kind jeantrail.Kind, at time.Time) (jeantrail.Price, error) {
	p := jeantrail.Price{Model: model}
	err := s.stmt.price.QueryRowContext(ctx, string(kind), model, millis(at)).
		Scan(&p.PromptToken, &p.CachedToken, &p.CompletionToken, &p.Image, &p.AudioInSecond, &p.AudioOutSecond)
	if err == sql.ErrNoRows {
		return jeantrail.Price{}, jeantrail.Errorf(jeantrail.CodeNotFound, "there is no price for %s model %q", kind, model).
			WithHint("Set one: jeantrail-ai price set %s, or PUT /prices/{model}.", jeantrail.AnyModel)
	}
	if err != nil {
		return jeantrail.Price{}, failedIn(ctx, "read price", err)
	}
	return p, nil
}
