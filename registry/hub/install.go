package hub

import (
	"errors"
	"os"
	"slices"

	"github.com/jeantrail/jeantrail-ai"
)

// install validates the files and gives them their names: the first part of a
// split model last, since it is what makes the model seen.
func (p *pull) install() error {
	var fresh []*item
	for _, it := range p.items {
		if it.partial != nil {
			fresh = append(fresh, it)
		}
	}
	for _, it := range fresh {
		p.meter.begin(PhaseValidating, it.name.text, it.partial.m.Bytes, it.partial.m.Bytes)
		check := map[kind]func(string) error{
			wholeModel: p.c.opts.Validate, splitPart: p.c.opts.ValidatePart, projector: p.c.opts.ValidateProjector,
		}[it.kind]
		if err := check(it.partial.base + partialEnding); err != nil {
			it.partial.close()
			return errors.Join(err, discard(it.partial.base))
		}
	}
	for _, it := range slices.Backward(fresh) {
		if err := it.partial.file.Sync(); err != nil {
			return diskError(err, "write "+it.name.text)
		}
		it.partial.close()
		if err := rename(it.partial.base+partialEnding, it.name.in(p.c.opts.Folder)); err != nil {
			return err
		}
	}
	if err := syncFolder(p.c.opts.Folder); err != nil {
		return diskError(err, "write "+p.c.opts.Folder)
	}
	for _, it := range fresh { // only now: until the names are safe, the map says that the file is whole
		if err := discard(it.partial.base); err != nil {
			return diskError(err, "tidy up after "+it.name.text)
		}
	}
	return nil
}

// rename gives a file its final name, but never in the place of another that
// appeared in the meantime.
func rename(from, to string) error {
	if _, err := os.Lstat(to); !errors.Is(err, os.ErrNotExist) {
		return jeantrail.Errorf(jeantrail.CodeConflict, "%s appeared while it was being pulled", to).
			WithHint("Remove it, then run the same again: what was fetched is kept.")
	}
	if err := os.Rename(from, to); err != nil {
		return diskError(err, "install "+to)
	}
	return nil
}

func (p *pull) result() Result {
	r := Result{Name: p.model, Source: p.source.shown(), Fetched: p.pace.fetched.Load()}
	var bytes int64
	for _, it := range p.items {
		bytes += it.file.Bytes
		if r.Commit == "" {
			r.Commit = it.commit
		}
		if it.kind == projector {
			r.Projector = &it.file
		} else {
			r.Files = append(r.Files, it.file)
		}
	}
	if it := p.items[0]; it.kind == splitPart { // the name under which a split model is found
		r.Name, _ = cutGGUF(it.name.text)
	}
	p.meter.begin(PhaseDone, "", bytes, bytes)
	return r
}
