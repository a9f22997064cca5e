package store

import (
	"context"
	"fmt"
)

// Audit is Verify in sentences, one for each rule that does not hold.
func (s *Store) Audit(ctx context.Context) ([]string, error) {
	found, err := s.Verify(ctx)
	if err != nil {
		return nil, err
	}
	sentences := make([]string, len(found))
	for i, v := range found {
		sentences[i] = fmt.Sprintf("%d rows break the rule that %s", v.Rows, v.Rule)
	}
	return sentences, nil
}
