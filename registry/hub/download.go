package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/jeantrail/jeantrail-ai"
)

// saveInterval is how much work a power cut can undo. A killed process loses
// next to nothing, see partial.
const saveInterval = 5 * time.Second

// Both mean that the file must be looked at again before anything more is
// fetched.
var (
	errChanged  = errors.New("the file changed at the source")
	errNoRanges = errors.New("the server stopped to send parts of the file")
)

// download fetches what a partial file lacks.
type download struct {
	c       *Client
	pace    *pacer
	meter   *meter
	source  Source
	from    *url.URL // of the source; redirects lead on from here
	remote  remote
	partial *partial

	mu     sync.Mutex
	direct *url.URL // where the last redirect led to; nil to ask again
	next   int      // the part that the next free worker takes
}

// run fetches all parts and returns the SHA-256 of the whole file. When it
// fails, what was fetched is safe on the disk. The error may be errChanged or
// errNoRanges.
func (d *download) run(ctx context.Context) (string, error) {
	d.direct = d.remote.direct
	var sum string
	g, ctx := errgroup.WithContext(ctx)
	fetching, fetched := context.WithCancel(ctx)
	g.Go(func() error { return d.saveNowAndThen(fetching) })
	g.Go(func() (err error) {
		sum, err = d.c.follower(d.partial, d.meter).run(ctx)
		return err
	})
	g.Go(func() error {
		defer fetched()
		workers, ctx := errgroup.WithContext(ctx)
		for range d.streams() {
			workers.Go(func() error { return d.work(ctx) })
		}
		return workers.Wait()
	})
	err := g.Wait()
	return sum, err
}

func (d *download) streams() int {
	if !d.remote.ranges {
		return 1
	}
	return min(d.c.opts.Streams, d.partial.m.parts())
}

// saveNowAndThen makes the map follow until the parts are there, or fetching
// ended otherwise, and once more then.
func (d *download) saveNowAndThen(ctx context.Context) error {
	save := time.NewTicker(saveInterval)
	defer save.Stop()
	for {
		select {
		case <-ctx.Done():
			return d.save()
		case <-save.C:
			if err := d.save(); err != nil {
				return err
			}
		}
	}
}

func (d *download) save() error {
	if err := d.partial.save(); err != nil {
		return diskError(err, "write "+d.partial.base)
	}
	return nil
}

// take returns a part that nobody has taken yet and that is not whole.
func (d *download) take() (part int, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.next < d.partial.m.parts() {
		part := d.next
		d.next++
		if from, to := d.partial.missing(part); from <= to {
			return part, true
		}
	}
	return 0, false
}

// work fetches parts until none is left.
func (d *download) work(ctx context.Context) error {
	var t tries
	for {
		part, ok := d.take()
		if !ok {
			return nil
		}
		for {
			if err := d.pace.gate(ctx); err != nil {
				return err
			}
			before := d.pace.fetched.Load()
			err := d.fetch(ctx, part, &t)
			if err == nil {
				break
			}
			if !d.remote.ranges && d.pace.fetched.Load() > before {
				return errNoRanges // all of it must come again
			}
			if err := d.pace.failure(ctx, &t, err); err != nil {
				return err
			}
		}
	}
}

// fetch asks for what a part lacks and writes it.
func (d *download) fetch(ctx context.Context, part int, t *tries) error {
	from, to := d.partial.missing(part)
	header := make(http.Header)
	if d.remote.ranges {
		header.Set("Range", fmt.Sprintf("bytes=%d-%d", from, to))
		if v := d.remote.validator(); v != "" {
			header.Set("If-Range", v)
		}
	}
	ctx, touch, stop := d.c.watch(ctx)
	defer stop()
	u, redirected := d.address()
	a, err := d.c.get(ctx, u, header)
	if err != nil {
		d.forget(u)
		return err
	}
	defer func() { _ = a.Body.Close() }()
	touch()
	if err := d.accept(a, from, to); err != nil {
		var final *jeantrail.Error
		if redirected && errors.As(err, &final) && a.StatusCode >= 400 && a.StatusCode < 500 {
			// The address that we were sent to has run out: ask the source anew.
			err = &transient{err: final}
		}
		d.forget(u)
		return err
	}
	d.remember(a.url)
	err = d.copy(ctx, a, part, to-from+1, touch, t)
	if flushed := d.partial.flush(part); err == nil && flushed != nil {
		err = diskError(flushed, "write "+d.partial.base)
	}
	return err
}

// address is where to ask: where the last redirect led to, if that is known.
func (d *download) address() (u *url.URL, redirected bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.direct != nil {
		return d.direct, d.direct.String() != d.from.String()
	}
	return d.from, false
}

func (d *download) remember(u *url.URL) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.direct = u
}

// forget drops an address that failed, so that the next try asks the source.
func (d *download) forget(u *url.URL) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.direct == u {
		d.direct = nil
	}
}

// accept looks at an answer before a byte of it is used.
func (d *download) accept(a *answer, from, to int64) error {
	tag := a.Header.Get("ETag")
	sameTag := tag == "" || d.remote.etag == "" || tag == d.remote.etag
	switch {
	case a.StatusCode == http.StatusOK && !d.remote.ranges:
		if a.ContentLength >= 0 && a.ContentLength != d.remote.bytes || !sameTag {
			return errChanged
		}
		return nil
	case a.StatusCode == http.StatusOK && sameTag && a.ContentLength == d.remote.bytes && a.Header.Get("Last-Modified") == d.remote.modified:
		return errNoRanges
	case a.StatusCode == http.StatusOK, a.StatusCode == http.StatusRequestedRangeNotSatisfiable, a.StatusCode == http.StatusPreconditionFailed:
		return errChanged
	case a.StatusCode != http.StatusPartialContent:
		return d.c.refused(a, "file "+d.partial.name(), d.source)
	}
	first, last, total, ok := contentRange(a.Header.Get("Content-Range"))
	switch {
	case !ok || first != from || last > to:
		return jeantrail.Errorf(jeantrail.CodeUnsupported, "%s sends another part of the file than it was asked for", a.url.Host).
			WithHint("A broken proxy does this. Try without it, or use another source.")
	case total != d.remote.bytes || !sameTag:
		return errChanged
	}
	return nil
}

// copy writes the body to its place. What arrived before an error is kept.
func (d *download) copy(ctx context.Context, a *answer, part int, want int64, touch func(), t *tries) error {
	buffer := d.c.buffers.Get().(*[]byte)
	defer d.c.buffers.Put(buffer)
	for want > 0 {
		n, err := a.Body.Read((*buffer)[:min(want, bufferBytes)])
		if n > 0 {
			touch()
			if err := d.partial.write(part, (*buffer)[:n]); err != nil {
				return diskError(err, "write "+d.partial.base)
			}
			want -= int64(n)
			t.failed, t.streak = 0, 0
			d.pace.fetched.Add(int64(n))
			d.meter.count(int64(n))
		}
		if err != nil && want > 0 {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return connectionError(ctx, a.url, err)
		}
	}
	return nil
}
