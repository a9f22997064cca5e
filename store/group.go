package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"sync"

	"github.com/jeantrail/jeantrail-ai"
)

// maxGroup is the most writes that share a transaction. It bounds how long the
// last of them waits for the first ones, and the write-ahead log's growth.
const maxGroup = 64

// writing is one write that waits for its transaction.
type writing struct {
	ctx  context.Context // without the caller's cancel
	op   string
	do   func(ctx context.Context, tx *sql.Tx) error
	err  error
	done chan struct{} // closed when err is set
	lead chan struct{} // closed when it is this one's turn to lead
}

// group lets writes that wait for the disk share a commit. There is no
// goroutine of its own: whoever finds nobody leading commits what has gathered,
// its own write first, and hands the lead to the next one that came meanwhile.
// So a lone write is not delayed, and with many writers there are as many
// commits as the disk has time for, not as many as writes.
type group struct {
	mu      sync.Mutex
	led     bool
	waiting []*writing
}

// join puts a write into the queue and reports whether it has to lead.
func (g *group) join(w *writing) (lead bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = append(g.waiting, w)
	lead = !g.led
	g.led = true
	return lead
}

// withdraw takes a write back that no transaction has begun with.
func (g *group) withdraw(w *writing) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.waiting, w)
	if i < 0 {
		return false
	}
	select {
	case <-w.lead: // the lead was passed to it in the same instant
		return false
	default:
	}
	g.waiting = slices.Delete(g.waiting, i, i+1)
	return true
}

// drop takes the leader's own write back.
func (g *group) drop(w *writing) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = slices.DeleteFunc(g.waiting, func(other *writing) bool { return other == w })
}

// take returns what goes into one transaction.
func (g *group) take() []*writing {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := min(len(g.waiting), maxGroup)
	batch := slices.Clone(g.waiting[:n])
	g.waiting = slices.Delete(g.waiting, 0, n)
	return batch
}

// pass gives the lead to the first that waits.
func (g *group) pass() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) == 0 {
		g.led = false
		return
	}
	close(g.waiting[0].lead)
}

// write runs fn in an immediate transaction on the writer, which it may share
// with other writes: each stands or falls alone, and all that stand are on the
// disk when it returns. The context governs the wait for the writer's turn; a
// transaction that has begun runs to its end, so that a caller who leaves never
// turns a commit into a guess. fn may be called again if the transaction that
// it shared failed.
func (s *Store) write(ctx context.Context, op string, fn func(ctx context.Context, tx *sql.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return failedIn(ctx, op, err)
	}
	w := &writing{
		ctx: context.WithoutCancel(ctx), op: op, do: fn,
		done: make(chan struct{}), lead: make(chan struct{}),
	}
	if s.group.join(w) {
		return s.leadGroup(ctx, w)
	}
	select {
	case <-w.done:
		return w.err
	case <-w.lead:
		return s.leadGroup(ctx, w)
	case <-ctx.Done():
		if s.group.withdraw(w) {
			return failedIn(ctx, op, ctx.Err())
		}
	}
	select {
	case <-w.done:
		return w.err
	case <-w.lead:
		return s.leadGroup(ctx, w)
	}
}

// leadGroup commits one batch, which the leader's own write is the first of,
// and returns what became of that one.
func (s *Store) leadGroup(ctx context.Context, own *writing) error {
	defer s.group.pass()
	conn, err := s.writer.Conn(ctx)
	if err != nil { // the caller has left; the next one leads
		s.group.drop(own)
		return failedIn(ctx, own.op, err)
	}
	defer conn.Close()
	batch := s.group.take()
	s.commits.Add(1)
	if err := s.commitTogether(conn, batch); err != nil {
		// Something other than one of our own refusals: SQLite may have rolled
		// everything back. Alone, each shows whether it was to blame.
		for _, w := range batch {
			s.commits.Add(1)
			w.err = commitAlone(conn, w)
		}
	}
	for _, w := range batch {
		close(w.done)
	}
	return own.err
}

// commitTogether runs a batch in one transaction. An error means that nothing
// was written and that the writes may be tried one by one.
func (s *Store) commitTogether(conn *sql.Conn, batch []*writing) error {
	if len(batch) == 1 {
		batch[0].err = commitAlone(conn, batch[0])
		return nil
	}
	ctx := context.Background()
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	for _, w := range batch {
		if err := s.runSaved(ctx, tx, w); err != nil {
			// SQLite has often rolled back by itself, which makes this fail.
			_ = tx.Rollback()
			return err
		}
	}
	return tx.Commit()
}

// runSaved runs one write of a batch behind a savepoint, so that one that is
// refused leaves no trace.
func (s *Store) runSaved(ctx context.Context, tx *sql.Tx, w *writing) error {
	if _, err := on(ctx, tx, s.stmt.save).ExecContext(ctx); err != nil {
		return err
	}
	w.err = w.do(w.ctx, tx)
	var refused *jeantrail.Error
	switch {
	case w.err == nil:
	case errors.As(w.err, &refused):
		if _, err := on(ctx, tx, s.stmt.undo).ExecContext(ctx); err != nil {
			return err
		}
	default:
		return w.err
	}
	_, err := on(ctx, tx, s.stmt.unsave).ExecContext(ctx)
	return err
}

// commitAlone runs one write in a transaction of its own.
func commitAlone(conn *sql.Conn, w *writing) error {
	tx, err := conn.BeginTx(w.ctx, nil)
	if err != nil {
		return failed(w.op, err)
	}
	if err := w.do(w.ctx, tx); err != nil {
		// The first error is the one to tell; SQLite has often rolled back by
		// itself, which makes this rollback fail.
		_ = tx.Rollback()
		return failed(w.op, err)
	}
	return failed(w.op, tx.Commit())
}

// Commits returns how many transactions were begun to write, each of which
// waits for the disk once.
func (s *Store) Commits() int64 { return s.commits.Load() }
