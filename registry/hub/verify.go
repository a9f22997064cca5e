package hub

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"github.com/jeantrail/jeantrail-ai"
)

// A follower hashes a file while it is being fetched: what it reads was written
// a moment ago and is still in memory, and when the last byte arrives, little is
// left to do. It reads from the file, so it hashes what was stored.
type follower struct {
	c     *Client
	p     *partial
	meter *meter
}

func (c *Client) follower(p *partial, m *meter) *follower { return &follower{c: c, p: p, meter: m} }

// run returns the SHA-256 of the whole file when it is there.
func (f *follower) run(ctx context.Context) (string, error) {
	buffer := f.c.buffers.Get().(*[]byte)
	defer f.c.buffers.Put(buffer)
	h := sha256.New()
	var done int64
	verifying := false
	for done < f.p.m.Bytes {
		if ctx.Err() != nil {
			return "", stopped(ctx)
		}
		there := f.p.unbroken(done)
		if !verifying && there == f.p.m.Bytes {
			verifying = true
			f.meter.begin(PhaseVerifying, f.p.name(), done, there)
		}
		if there == done {
			select {
			case <-f.p.grown:
			case <-ctx.Done():
			}
			continue
		}
		n, err := f.p.file.ReadAt((*buffer)[:min(there-done, bufferBytes)], done)
		if err != nil {
			return "", diskError(err, "read "+f.p.base)
		}
		h.Write((*buffer)[:n])
		done += int64(n)
		if verifying {
			f.meter.at(done)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// wrongHash is the error for a file that is whole but not the right one.
func wrongHash(name fileName, want, got string) error {
	return jeantrail.Errorf(jeantrail.CodeInvalid, "%s arrived whole, but is not the file that it should be: its SHA-256 is wrong; it was removed", name).
		WithHint("Pull it again. If that ends the same way, the source or something on the way to it changes the file: use another source.").
		WithName("expected_sha256", want).WithName("sha256", got)
}
