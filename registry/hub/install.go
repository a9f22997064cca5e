package hub

import (
	"errors"
	"os"
	"slices"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/registry"
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
	if err := p.validate(fresh); err != nil {
		return err
	}
	for _, it := range slices.Backward(fresh) {
		if err := it.partial.file.Sync(); err != nil {
			return diskError(err, "write "+it.name.text)
		}
		it.partial.close()
		if it == p.items[0] && len(fresh) > 1 { // a power cut must not leave this name without the others
			if err := syncFolder(p.c.opts.Folder); err != nil {
				return diskError(err, "write "+p.c.opts.Folder)
			}
		}
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

// validate checks each file that is new, and the parts of a split model together,
// also with those that are there already. Of what is refused nothing is kept:
// nothing of it could be used.
func (p *pull) validate(fresh []*item) error {
	var parts []string
	var ofModel []*item // the new ones
	for _, it := range p.items {
		if it.kind != splitPart {
			continue
		}
		if it.partial == nil {
			parts = append(parts, it.file.Path)
			continue
		}
		parts, ofModel = append(parts, it.partial.base+partialEnding), append(ofModel, it)
	}
	if len(ofModel) > 0 {
		var bytes int64
		for _, it := range ofModel {
			bytes += it.partial.m.Bytes
		}
		p.meter.begin(PhaseValidating, "", bytes, bytes)
		if err := p.c.opts.ValidateSplit(parts); err != nil {
			return refusedFiles(err, ofModel)
		}
	}
	for _, it := range fresh {
		check := map[kind]func(string) error{wholeModel: p.c.opts.Validate, projector: p.c.opts.ValidateProjector}[it.kind]
		if check == nil {
			continue // a part, which was checked with the others
		}
		p.meter.begin(PhaseValidating, it.name.text, it.partial.m.Bytes, it.partial.m.Bytes)
		if err := check(it.partial.base + partialEnding); err != nil {
			return refusedFiles(err, []*item{it})
		}
	}
	return nil
}

// refusedFiles removes files that a check did not accept.
func refusedFiles(err error, items []*item) error {
	for _, it := range items {
		it.partial.close()
		err = errors.Join(err, discard(it.partial.base))
	}
	return err
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
	sums := make([]string, len(r.Files))
	for i, f := range r.Files {
		sums[i] = f.SHA256
	}
	r.SHA256 = registry.SumOf(sums)
	p.meter.begin(PhaseDone, "", bytes, bytes)
	return r
}
