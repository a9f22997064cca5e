package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

const pricesSQL = `SELECT kind, model, valid_from, prompt_token_micros, cached_token_micros, completion_token_micros, image_micros,
	audio_in_second_micros, audio_out_second_micros
FROM ai_prices AS p
WHERE valid_from = (SELECT max(q.valid_from) FROM ai_prices AS q WHERE q.kind = p.kind AND q.model = p.model AND q.valid_from <= ?)
ORDER BY kind, model`

const setPriceSQL = `INSERT INTO ai_prices (kind, model, valid_from, prompt_token_micros, cached_token_micros, completion_token_micros,
	image_micros, audio_in_second_micros, audio_out_second_micros)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
	prompt_token_micros = excluded.prompt_token_micros,
	cached_token_micros = excluded.cached_token_micros,
	completion_token_micros = excluded.completion_token_micros,
	image_micros = excluded.image_micros,
	audio_in_second_micros = excluded.audio_in_second_micros,
	audio_out_second_micros = excluded.audio_out_second_micros`

// Prices returns the row of each kind and model that is in force at a time, in
// the order of the kind's and the model's name. A zero ValidFrom is since ever.
func (s *Store) Prices(ctx context.Context, at time.Time) ([]jeantrail.PriceEntry, error) {
	const op = "read prices"
	rows, err := s.readers.QueryContext(ctx, pricesSQL, millis(at))
	if err != nil {
		return nil, failedIn(ctx, op, err)
	}
	defer rows.Close()
	var entries []jeantrail.PriceEntry
	for rows.Next() {
		var e jeantrail.PriceEntry
		var from int64
		err := rows.Scan(&e.Kind, &e.Model, &from, &e.PromptToken, &e.CachedToken, &e.CompletionToken, &e.Image,
			&e.AudioInSecond, &e.AudioOutSecond)
		if err != nil {
			return nil, failedIn(ctx, op, err)
		}
		e.ValidFrom = optionalInstant(from)
		entries = append(entries, e)
	}
	return entries, failedIn(ctx, op, rows.Err())
}

// SetPrice adds a row to the price table, or replaces that of the same kind,
// model and instant (in milliseconds). Jobs keep the price that they were
// admitted under. What PriceEntry.Validate refuses is invalid.
func (s *Store) SetPrice(ctx context.Context, e jeantrail.PriceEntry) error {
	if err := e.Validate(); err != nil {
		return err
	}
	return s.write(ctx, "set price", func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, setPriceSQL, string(e.Kind), e.Model, optionalMillis(e.ValidFrom),
			int64(e.PromptToken), int64(e.CachedToken), int64(e.CompletionToken), int64(e.Image),
			int64(e.AudioInSecond), int64(e.AudioOutSecond))
		return err
	})
}
