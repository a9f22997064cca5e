package bench

import (
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"github.com/jeantrail/jeantrail-ai"
)

// Run returns the report as it is kept: all of it as JSON, and its figures row by
// row. The error is invalid if it has no results, or an id that is not a UUID in
// small letters.
func (r *Report) Run() (jeantrail.BenchRun, error) {
	if id, err := uuid.Parse(r.ID); err != nil || id.String() != r.ID {
		return jeantrail.BenchRun{}, jeantrail.Errorf(jeantrail.CodeInvalid, "this is no report: its id %.80q is not a UUID", r.ID).
			WithHint("Write one with: jeantrail-ai bench … -o json")
	}
	if len(r.Rows) == 0 {
		return jeantrail.BenchRun{}, jeantrail.Errorf(jeantrail.CodeInvalid, "the report has no results, so there is nothing to keep")
	}
	report, err := json.Marshal(r)
	if err != nil {
		return jeantrail.BenchRun{}, fmt.Errorf("keep report: %w", err)
	}
	return jeantrail.BenchRun{
		ID: r.ID, Kind: jeantrail.BenchKind(r.Kind), CreatedAt: r.CreatedAt, Report: report, Columns: Columns(), Rows: r.Values(),
	}, nil
}
