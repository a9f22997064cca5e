package hub

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/registry"
)

// maxRestarts is how often a file is looked at again in one pull because it
// changed, or cannot be had in parts.
const maxRestarts = 8

// pull is one pull under way.
type pull struct {
	c      *Client
	source Source
	req    Request
	pace   *pacer
	meter  *meter
	model  string
	items  []*item
}

// run brings a model into the folder.
func (c *Client) run(ctx context.Context, source Source, req Request, publish func(Event)) (Result, error) {
	m := newMeter(c.clock, publish)
	defer m.ticking()()
	p := &pull{c: c, source: source, req: req, meter: m}
	p.pace = &pacer{first: c.opts.Backoff, most: c.opts.Retries, note: m.note, clock: c.clock}
	m.begin(PhaseResolving, "", 0, 0)
	if c.opts.Token != "" && !c.protected() && source.Repo != "" {
		m.note("the token is not sent, since the hub's address is not https")
	}
	var err error
	if p.model, p.items, err = c.plan(ctx, p.pace, source, req); err != nil {
		return Result{}, err
	}
	incoming := filepath.Join(c.opts.Folder, incomingFolder)
	if err := os.MkdirAll(incoming, 0o700); err != nil {
		return Result{}, diskError(err, "make "+incoming)
	}
	unlock, err := p.lock(ctx, incoming)
	if err != nil {
		return Result{}, err
	}
	defer unlock()
	defer p.close()
	if err := p.prepare(ctx, incoming); err != nil {
		return Result{}, err
	}
	for _, it := range p.items {
		if it.partial == nil {
			continue
		}
		if err := p.fetch(ctx, incoming, it); err != nil {
			return Result{}, err
		}
	}
	if err := p.install(); err != nil {
		return Result{}, err
	}
	return p.result(), nil
}

// lock keeps other processes from pulling a model of that name at the same time.
func lock(incoming, model string) (unlock func(), err error) {
	path := filepath.Join(incoming, model+lockEnding)
	for {
		l := flock.New(path, flock.SetPermissions(0o600))
		got, err := l.TryLock()
		if err != nil {
			return nil, diskError(err, "lock "+path)
		}
		if !got {
			return nil, jeantrail.Errorf(jeantrail.CodeConflict, "the model %s is being pulled already, by another process or from another source", model).
				WithHint("Wait until it is there, or stop that pull first.")
		}
		// Who had the lock before may have removed the file since we opened it.
		held, err := l.Stat()
		if err != nil {
			_ = l.Close() // the first error says more
			return nil, diskError(err, "lock "+path)
		}
		if named, err := os.Stat(path); err == nil && os.SameFile(held, named) {
			return func() {
				_ = os.Remove(path) // one that stays locks nothing
				_ = l.Close()       // nobody else can have it, closed or not, until we end
			}, nil
		}
		_ = l.Close() // the file is gone, and its lock with it
	}
}

func (p *pull) close() {
	for _, it := range p.items {
		if it.partial != nil {
			it.partial.close()
		}
	}
}

// prepare looks at every file at its source and on the disk, and takes the room
// for all of them, before the first is fetched.
func (p *pull) prepare(ctx context.Context, incoming string) error {
	var total, have, needed int64
	if err := p.onlyForm(); err != nil {
		return err
	}
	for _, it := range p.items {
		there, err := p.installed(ctx, incoming, it)
		if err != nil {
			return err
		}
		if there {
			continue
		}
		if err := p.look(ctx, it); err != nil {
			return err
		}
		total += it.source.bytes
		needed += max(0, it.source.bytes-allocated(it.name.in(incoming)+partialEnding))
	}
	if err := p.room(needed); err != nil {
		return err
	}
	for _, it := range p.items {
		if it.source.bytes == 0 {
			continue
		}
		if err := p.open(incoming, it); err != nil {
			return err
		}
		have += it.partial.have()
	}
	p.meter.begin(PhaseDownloading, "", have, total)
	if have > 0 {
		p.meter.note(fmt.Sprintf("going on where the last pull stopped: %s of %s are there", jeantrail.Size(have), jeantrail.Size(total)))
	}
	return nil
}

// onlyForm refuses a pull beside another model of the same name: a split one
// beside a whole one, or one of another number of parts.
func (p *pull) onlyForm() error {
	entries, err := os.ReadDir(p.c.opts.Folder)
	if err != nil {
		return diskError(err, "read "+p.c.opts.Folder)
	}
	own := make(map[string]bool)
	for _, it := range p.items {
		own[it.name.text] = true
	}
	for _, e := range entries {
		stem, ok := strings.CutSuffix(e.Name(), ".gguf")
		if model, _, _ := splitStem(stem); !ok || model != p.model || own[e.Name()] {
			continue
		}
		return jeantrail.Errorf(jeantrail.CodeConflict, "the models folder has another model %s, with the file %s", p.model, e.Name()).
			WithHint("Pull this one under another name with --name, or remove the other with: jeantrail-ai model remove %s; parts without their first go with: jeantrail-ai model prune", p.model)
	}
	return nil
}

// installed reports whether a file is in the models folder already. Another file
// of that name is a conflict.
func (p *pull) installed(ctx context.Context, incoming string, it *item) (bool, error) {
	path := it.name.in(p.c.opts.Folder)
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, diskError(err, "look at "+path)
	}
	other := jeantrail.Errorf(jeantrail.CodeConflict, "there is another file %s in the models folder already", it.name).
		WithHint("Remove it with: jeantrail-ai model remove %s, or pull this one under another name with --name.", p.model)
	if !info.Mode().IsRegular() || it.bytes > 0 && info.Size() != it.bytes {
		return false, other
	}
	p.meter.begin(PhaseVerifying, it.name.text, 0, info.Size())
	if it.sha256 == "" { // the source's headers may say it
		if err := p.look(ctx, it); err != nil {
			return false, err
		}
		if it.source.bytes != info.Size() {
			return false, other
		}
	}
	sum, err := registry.HashFile(ctx, path, func(read, _ int64) { p.meter.at(read) })
	if err != nil {
		if ctx.Err() != nil {
			return false, stopped(ctx)
		}
		return false, diskError(err, "read "+path)
	}
	if it.sha256 != "" && sum != it.sha256 {
		return false, other
	}
	note := fmt.Sprintf("%s is there already", it.name)
	if it.sha256 == "" {
		note += "; the source has no checksum, but its size is the same"
	}
	p.meter.note(note)
	if err := discard(it.name.in(incoming)); err != nil { // a crash may have left it when the file had just got its name
		return false, diskError(err, "tidy up after "+it.name.text)
	}
	it.source, it.file = remote{}, File{Path: path, Bytes: info.Size(), SHA256: sum}
	return true, nil
}

// look asks the source about a file, and holds its answer against the list.
func (p *pull) look(ctx context.Context, it *item) error {
	err := p.pace.retry(ctx, func() (err error) {
		it.source, err = p.c.probe(ctx, it.url, p.source)
		return err
	})
	if err != nil {
		return err
	}
	said := it.source.sha256
	if !it.pinned && said != "" && said != it.sha256 {
		if it.sha256 != "" {
			p.meter.note(fmt.Sprintf("%s changed at the source; the new one is taken", it.name))
		}
		it.sha256, it.bytes = said, it.source.bytes
	}
	if it.bytes > 0 && it.source.bytes != it.bytes || said != "" && it.sha256 != "" && said != it.sha256 {
		e := jeantrail.Errorf(jeantrail.CodeInvalid, "%s is not the file that was expected: the source has another now", it.name).
			WithHint("Pull again if the source was being changed at this moment. Otherwise its checksum is out of date.").
			WithNumber("expected_bytes", it.bytes).WithNumber("bytes", it.source.bytes)
		if said != "" && it.sha256 != "" {
			e = e.WithName("expected_sha256", it.sha256).WithName("sha256", said)
		}
		return e
	}
	it.commit = it.source.commit
	return nil
}

// room checks that the disk has space for what is still to come.
func (p *pull) room(needed int64) error {
	free, err := p.c.free(p.c.opts.Folder)
	if err != nil {
		return diskError(err, "look for the free space of "+p.c.opts.Folder)
	}
	if needed > free {
		return jeantrail.Errorf(jeantrail.CodeStorageFull, "the model needs %s more on the disk of %s, which has %s free", jeantrail.Size(needed), p.c.opts.Folder, jeantrail.Size(free)).
			WithHint("Make %s of room, choose a smaller quantisation, or move the home to a larger disk.", jeantrail.Size(needed-free)).
			WithNumber("needed_bytes", needed).WithNumber("free_bytes", free)
	}
	return nil
}

// open opens or begins the partial file of an item, and reserves its room.
func (p *pull) open(incoming string, it *item) error {
	m := partMap{
		Source: sourceKey(it.url.String()), Bytes: it.source.bytes, SHA256: it.sha256,
		ETag: it.source.etag, Modified: it.source.modified, PartBytes: min(p.c.opts.PartBytes, it.source.bytes),
	}
	if !it.source.ranges {
		m.PartBytes = m.Bytes
	}
	file, lost, err := openPartial(incoming, it.name, m)
	if err != nil {
		return err
	}
	it.partial = file
	if have := file.have(); !it.source.ranges && have < m.Bytes && (have > 0 || file.m.parts() > 1) {
		lost = "the server sends the file only from its beginning"
		file.close()
		if err := file.begin(m); err != nil {
			return diskError(err, "write "+file.base)
		}
	}
	if lost != "" {
		p.meter.note(fmt.Sprintf("%s is fetched from the beginning: %s", it.name, lost))
	}
	if !it.source.ranges {
		p.meter.note(fmt.Sprintf("%s sends no parts of files: %s comes in one stream, and from the beginning after an interruption", it.source.direct.Host, it.name))
	}
	switch err := p.c.reserve(file.file, m.Bytes); {
	case err == nil:
	case errors.Is(err, errors.ErrUnsupported):
		p.meter.note("the room for the file cannot be reserved on this file system")
	default:
		free, _ := p.c.free(incoming) // only for the message
		return storageFull(err, m.Bytes-file.have(), free)
	}
	return nil
}

// storageFull is a disk that refused a reservation although it seemed to have
// the room.
func storageFull(err error, needed, free int64) error {
	var e *jeantrail.Error
	if errors.As(diskError(err, "reserve room for the model"), &e); e.Code == jeantrail.CodeStorageFull {
		e = e.WithNumber("needed_bytes", needed).WithNumber("free_bytes", free)
	}
	return e
}

// fetch brings one file to the disk, whole and with the right hash. If the file
// changes meanwhile, it is looked at and begun again.
func (p *pull) fetch(ctx context.Context, incoming string, it *item) error {
	for restarts := 0; ; restarts++ {
		d := &download{c: p.c, pace: p.pace, meter: p.meter, source: p.source, from: it.url, remote: it.source, partial: it.partial}
		p.downloading(it)
		sum, err := d.run(ctx)
		switch {
		case err == nil:
			return p.verified(it, sum)
		case ctx.Err() != nil:
			return stopped(ctx)
		case !errors.Is(err, errChanged) && !errors.Is(err, errNoRanges):
			return err
		case restarts == maxRestarts:
			return jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "given up after %d starts: %w", restarts+1, err).
				WithHint("Try again later, or use another source.")
		}
		if err := sleep(ctx, p.pace.pause(restarts+1)); err != nil {
			return err
		}
		p.meter.note(fmt.Sprintf("%s: %s; looking at it again", it.name, err))
		if err := p.look(ctx, it); err != nil {
			return err
		}
		it.partial.close()
		if err := p.open(incoming, it); err != nil {
			return err
		}
	}
}

// downloading opens the phase with the bytes of all files.
func (p *pull) downloading(it *item) {
	var have, total int64
	for _, other := range p.items {
		if other.partial != nil {
			have, total = have+other.partial.have(), total+other.partial.m.Bytes
		}
	}
	p.meter.begin(PhaseDownloading, it.name.text, have, total)
}

// verified compares the hash of a whole file with the expected one. A wrong file
// is removed: nothing of it could be used.
func (p *pull) verified(it *item, sum string) error {
	if it.sha256 != "" && sum != it.sha256 {
		it.partial.close()
		return errors.Join(wrongHash(it.name, it.sha256, sum), discard(it.partial.base))
	}
	if it.sha256 == "" {
		p.meter.note(fmt.Sprintf("the source has no checksum for %s; its SHA-256 is %s", it.name, sum))
	}
	it.file = File{Path: it.name.in(p.c.opts.Folder), Bytes: it.partial.m.Bytes, SHA256: sum}
	return nil
}
