package memory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jeantrail/jeantrail-ai"
)

// refusal says why a waiter can never be served. The caller holds mu, here and
// below.
func (b *Budget) refusal(w *waiter) error {
	b.decided(w, "refused", fmt.Sprintf("of a budget of %s; %s", jeantrail.Size(b.limit), b.heldBy(w)))
	if w.want > b.limit {
		return b.figures(w, jeantrail.Errorf(jeantrail.CodeUnsupported, "%s needs %s of memory, and the memory budget is %s",
			w.holder.name, jeantrail.Size(w.want), jeantrail.Size(b.limit)).
			WithHint("Choose a smaller model, or raise the memory budget in config.yaml if the machine has more."))
	}
	e := jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "%s needs %s of memory; of the budget of %s there is too little left that can be freed: %s",
		w.holder.name, jeantrail.Size(w.want), jeantrail.Size(b.limit), b.heldBy(w)).
		WithHint("Stop or unload one of them, choose a smaller model, or raise the memory budget in config.yaml.")
	return b.figures(w, e)
}

// givenUp says why a waiter waits no longer.
func (b *Budget) givenUp(ctx context.Context, w *waiter) error {
	cause := context.Cause(ctx)
	if !errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	held := b.heldBy(w)
	if b.missing(w) > 0 {
		b.decided(w, "gave up", fmt.Sprintf("of a budget of %s; %s", jeantrail.Size(b.limit), held))
	}
	return b.figures(w, jeantrail.Errorf(jeantrail.CodeDeadline, "%s waited too long for %s of memory, of a budget of %s: %s",
		w.holder.name, jeantrail.Size(w.want), jeantrail.Size(b.limit), held).
		WithHint("Try again later, or raise the memory budget in config.yaml if the machine has more."))
}

// figures adds the numbers to an error.
func (b *Budget) figures(w *waiter, e *jeantrail.Error) *jeantrail.Error {
	return e.WithNumber("needed_bytes", w.want).WithNumber("limit_bytes", b.limit).WithNumber("used_bytes", b.used()).
		WithName("held_by", b.heldBy(w))
}

// heldBy lists who else holds memory, and why it stays there.
func (b *Budget) heldBy(w *waiter) string {
	var list []string
	for _, o := range b.holders {
		if o == w.holder || o.bytes == 0 {
			continue
		}
		why := "idle"
		switch {
		case o.pinned:
			why = "pinned"
		case o.unload == nil && !o.leaves:
			why = "cannot be unloaded"
		case o.users > 0:
			why = "busy"
		case slices.Contains(w.refused, o):
			why = "could not be unloaded"
		}
		list = append(list, fmt.Sprintf("%s %s (%s)", o.name, jeantrail.Size(o.bytes), why))
	}
	if len(list) == 0 {
		return "nobody else holds any"
	}
	return strings.Join(list, ", ")
}
