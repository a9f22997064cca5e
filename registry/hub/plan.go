package hub

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"path"

	"github.com/jeantrail/jeantrail-ai"
)

// item is one file that a pull brings.
type item struct {
	url    *url.URL
	kind   kind
	name   fileName
	bytes  int64  // that the list says; 0 if there is none
	sha256 string // that is expected; "" if nobody says
	commit string
	pinned bool // the hash was given, or goes with those of other parts: the source may not replace it

	source  remote
	partial *partial // what was fetched; nil if the file is installed already
	file    File     // of the installed one
}

// plan finds out which files a request means.
func (c *Client) plan(ctx context.Context, p *pacer, s Source, req Request) (model string, items []*item, err error) {
	if s.Repo == "" {
		model, items, err = planURL(s, req)
	} else {
		model, items, err = c.planRepo(ctx, p, s, req)
	}
	if err != nil {
		return "", nil, err
	}
	for _, it := range items {
		if it.kind == splitPart && c.opts.ValidateSplit == nil {
			return "", nil, jeantrail.Errorf(jeantrail.CodeUnsupported, "%s is split into several files, which this program does not check", s.shown()).
				WithHint("Choose a model in one file.")
		}
		if it.kind == projector && c.opts.ValidateProjector == nil {
			return "", nil, jeantrail.Errorf(jeantrail.CodeUnsupported, "%s brings a projector, which this program does not check", s.shown()).
				WithHint("Pull the model without it.")
		}
	}
	if req.SHA256 != "" && items[0].kind == splitPart {
		return "", nil, jeantrail.Errorf(jeantrail.CodeInvalid, "one SHA-256 was given for a model of several files")
	}
	return model, items, nil
}

func (c *Client) planRepo(ctx context.Context, p *pacer, s Source, req Request) (string, []*item, error) {
	files, err := c.list(ctx, p, s)
	if err != nil {
		return "", nil, err
	}
	m, note, err := choose(s, files)
	if err != nil {
		return "", nil, err
	}
	eyes, eyesNote, err := chooseProjector(s, req.Projector, files)
	if err != nil {
		return "", nil, err
	}
	for _, n := range []string{note, eyesNote} {
		if n != "" {
			p.note(n)
		}
	}
	model := cmp.Or(req.Name, path.Base(m.stem))
	items, err := modelItems(model, len(m.parts), func(i int) (*item, error) {
		f := m.parts[i]
		sum, err := agree(f, req.SHA256)
		return &item{url: c.resolveURL(s, f.Path), bytes: f.Bytes, sha256: sum, pinned: req.SHA256 != ""}, err
	})
	if err != nil || eyes == nil {
		return model, items, err
	}
	sum, err := agree(*eyes, req.ProjectorSHA256)
	if err != nil {
		return "", nil, err
	}
	name, err := newFileName(model, projector, 1, 1)
	return model, append(items, &item{url: c.resolveURL(s, eyes.Path), kind: projector, name: name, bytes: eyes.Bytes, sha256: sum, pinned: req.ProjectorSHA256 != ""}), err
}

// agree returns the hash to expect: that of the hub, which must be the one that
// was given if one was.
func agree(f remoteFile, given string) (string, error) {
	if given != "" && f.SHA256 != "" && given != f.SHA256 {
		return "", jeantrail.Errorf(jeantrail.CodeInvalid, "the hub's %s is not the file that was expected: its SHA-256 is another", path.Base(f.Path)).
			WithHint("The repository was changed since its checksum was noted. Pull it by its hf: name if you trust the new file.").
			WithName("expected_sha256", given).WithName("sha256", f.SHA256)
	}
	return cmp.Or(given, f.SHA256), nil
}

// planURL needs no list: the parts of a split model follow from the first's name.
func planURL(s Source, req Request) (string, []*item, error) {
	u, err := url.Parse(s.URL)
	if err != nil {
		return "", nil, badSource("the address %s cannot be read", s.shown())
	}
	whole, isGGUF := cutGGUF(path.Base(u.Path))
	stem, part, parts := splitStem(whole)
	if part < 1 || part > parts || parts > maxParts {
		return "", nil, badSource("the name %s counts its parts wrongly", path.Base(u.Path))
	}
	model := cmp.Or(req.Name, stem)
	items, err := modelItems(model, parts, func(i int) (*item, error) {
		of := *u
		if parts > 1 {
			ending := path.Base(u.Path)[len(whole):] // in the case in which it was given
			of = *u.ResolveReference(&url.URL{Path: fmt.Sprintf("./%s-%05d-of-%05d%s", stem, i+1, parts, ending)})
			of.RawQuery = u.RawQuery
		}
		return &item{url: &of, sha256: req.SHA256, pinned: req.SHA256 != ""}, nil
	})
	if err != nil {
		if req.Name == "" && !isGGUF {
			return "", nil, badSource("the address %s does not end with the name of a .gguf file; say with --name what the model is to be called", s.shown())
		}
		return "", nil, err
	}
	if req.Projector == "" || req.Projector == "none" {
		return model, items, nil
	}
	eyes, err := parseURL(req.Projector)
	if err != nil {
		return "", nil, err
	}
	name, err := newFileName(model, projector, 1, 1)
	return model, append(items, &item{url: eyes, kind: projector, name: name, sha256: req.ProjectorSHA256, pinned: req.ProjectorSHA256 != ""}), err
}

// modelItems makes the items of a model of one or several parts.
func modelItems(model string, parts int, of func(i int) (*item, error)) ([]*item, error) {
	k := wholeModel
	if parts > 1 {
		k = splitPart
	}
	var items []*item
	for i := range parts {
		name, err := newFileName(model, k, i+1, parts)
		if err != nil {
			return nil, err
		}
		it, err := of(i)
		if err != nil {
			return nil, err
		}
		it.kind, it.name = k, name
		it.pinned = it.pinned || k == splitPart && it.sha256 != ""
		items = append(items, it)
	}
	return items, nil
}
