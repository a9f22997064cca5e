package store

import (
	"context"
	"database/sql"
)

// statements are prepared once for each connection. Those of the writer run
// inside its transactions, by way of on.
type statements struct {
	insertJob, insertReservation, insertEvent, logHead *sql.Stmt
	startJob, finishJob, release                       *sql.Stmt
	insertResult, insertCost, addUsage, addSpending    *sql.Stmt
	insertArtifact, insertInput                        *sql.Stmt
	save, undo, unsave                                 *sql.Stmt

	job, unfinished, events, price *sql.Stmt // of the readers

	money moneyStatements
}

// on returns the statement as part of a transaction, without preparing it anew.
func on(ctx context.Context, tx *sql.Tx, stmt *sql.Stmt) *sql.Stmt { return tx.StmtContext(ctx, stmt) }

func (st *statements) prepare(ctx context.Context, writer, readers *sql.DB) error {
	for _, p := range []struct {
		db    *sql.DB
		dst   **sql.Stmt
		query string
	}{
		{writer, &st.insertJob, insertJobSQL},
		{writer, &st.insertReservation, insertReservationSQL},
		{writer, &st.insertEvent, insertEventSQL},
		{writer, &st.logHead, logHeadSQL},
		{writer, &st.startJob, startJobSQL},
		{writer, &st.finishJob, finishJobSQL},
		{writer, &st.release, releaseSQL},
		{writer, &st.insertResult, insertResultSQL},
		{writer, &st.insertCost, insertCostSQL},
		{writer, &st.addUsage, addUsageSQL},
		{writer, &st.addSpending, addSpendingSQL},
		{writer, &st.insertArtifact, insertArtifactSQL},
		{writer, &st.insertInput, insertInputSQL},
		{writer, &st.save, "SAVEPOINT one"},
		{writer, &st.undo, "ROLLBACK TO one"},
		{writer, &st.unsave, "RELEASE one"},
		{readers, &st.job, jobSQL},
		{readers, &st.unfinished, unfinishedSQL},
		{readers, &st.events, eventsSQL},
		{readers, &st.price, priceSQL},
	} {
		stmt, err := p.db.PrepareContext(ctx, p.query)
		if err != nil {
			return err
		}
		*p.dst = stmt
	}
	return st.money.prepare(ctx, writer, readers)
}
