package hub

import (
	"context"
	"fmt"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// lockPause is how long a pull waits before it looks again whether the other one
// is over.
const lockPause = 250 * time.Millisecond

// lock takes the model's lock. If another pull has it and the client waits for
// such, that one brings the files, and this one finds them or what came of them.
func (p *pull) lock(ctx context.Context, incoming string) (unlock func(), err error) {
	for said := false; ; said = true {
		unlock, err = lock(incoming, p.model)
		if err == nil || !p.c.opts.Wait || jeantrail.CodeOf(err) != jeantrail.CodeConflict {
			return unlock, err
		}
		if !said {
			p.meter.note(fmt.Sprintf("%s is being pulled already, by another process or from another source; waiting for that pull", p.model))
		}
		if err := sleep(ctx, lockPause); err != nil {
			return nil, err
		}
	}
}
