package store

import (
	"context"
	"database/sql"
)

// moneyStatements are the prepared statements of what an admission or a
// settlement asks about money.
type moneyStatements struct {
	writer, readers standingStatements
	raise, file     *sql.Stmt // of the writer
	rules, cached   *sql.Stmt // of the readers
}

// standingStatements are prepared for the writer, which asks how budgets stand
// within its transactions, and for the readers.
type standingStatements struct {
	budgets, spent, reservedOf, reserved *sql.Stmt
}

func (st *moneyStatements) prepare(ctx context.Context, writer, readers *sql.DB) error {
	if err := st.writer.prepare(ctx, writer); err != nil {
		return err
	}
	if err := st.readers.prepare(ctx, readers); err != nil {
		return err
	}
	for _, p := range []struct {
		db    *sql.DB
		dst   **sql.Stmt
		query string
	}{
		{writer, &st.raise, raiseSQL},
		{writer, &st.file, fileSQL},
		{readers, &st.rules, rulesOfSQL},
		{readers, &st.cached, cachedSQL},
	} {
		stmt, err := p.db.PrepareContext(ctx, p.query)
		if err != nil {
			return err
		}
		*p.dst = stmt
	}
	return nil
}

func (st *standingStatements) prepare(ctx context.Context, db *sql.DB) error {
	for _, p := range []struct {
		dst   **sql.Stmt
		query string
	}{
		{&st.budgets, budgetsOfSQL},
		{&st.spent, spentSQL},
		{&st.reservedOf, reservedOfSQL},
		{&st.reserved, reservedSQL},
	} {
		stmt, err := db.PrepareContext(ctx, p.query)
		if err != nil {
			return err
		}
		*p.dst = stmt
	}
	return nil
}
