package hub

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/jeantrail/jeantrail-ai"
)

// A choice is one model of a repository: its file, or the parts of it in order.
type choice struct {
	stem  string // path without -00001-of-00005 and .gguf
	parts []remoteFile
}

// label is how a choice is called in lists.
func (m choice) label() string {
	if len(m.parts) > 1 {
		return fmt.Sprintf("%s (%d parts)", m.parts[0].Path, len(m.parts))
	}
	return m.parts[0].Path
}

// isProjector reports whether a file's name says that it is a projector.
func isProjector(file string) bool {
	return strings.Contains(strings.ToLower(path.Base(file)), "mmproj")
}

// models sorts the files of a repository into its models and its projectors.
// Models of which parts are missing are left out of the first and named in the
// third.
func models(files []remoteFile) (whole []choice, projectors []remoteFile, torn []string) {
	split := make(map[string]*choice) // by stem and number of parts
	var order []string
	for _, f := range files {
		stem, ok := cutGGUF(f.Path)
		switch {
		case !ok:
			continue
		case isProjector(f.Path):
			projectors = append(projectors, f)
			continue
		}
		name, part, parts := splitStem(stem)
		if part < 1 || parts < 1 || part > parts || parts > maxParts {
			continue
		}
		key := fmt.Sprintf("%s/%d", name, parts)
		m := split[key]
		if m == nil {
			m = &choice{stem: name, parts: make([]remoteFile, parts)}
			split[key], order = m, append(order, key)
		}
		m.parts[part-1] = f
	}
	for _, key := range order {
		m := split[key]
		if slices.ContainsFunc(m.parts, func(f remoteFile) bool { return f.Path == "" }) {
			torn = append(torn, m.stem)
		} else {
			whole = append(whole, *m)
		}
	}
	return whole, projectors, torn
}

// choose finds the model that a source means among the files of its repository.
// note says what was taken if that is not what the source said.
func choose(s Source, files []remoteFile) (m choice, note string, err error) {
	all, _, torn := models(files)
	if len(all) == 0 {
		return choice{}, "", noModels(s, files, torn)
	}
	if s.File != "" {
		m, err = chooseFile(s, all)
		return m, "", err
	}
	quant := cmp.Or(s.Quant, DefaultQuant)
	var found []choice
	for _, m := range all {
		if hasQuant(m.stem, quant) {
			found = append(found, m)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], "", nil
	case len(found) > 1:
		return choice{}, "", jeantrail.Errorf(jeantrail.CodeInvalid, "%s has %d models in %s", s.Repo, len(found), quant).
			WithHint("Name one of them after the colon (hf:%s:FILE.gguf): %s", s.Repo, labels(found))
	case s.Quant == "" && len(all) == 1:
		return all[0], fmt.Sprintf("%s has no %s; taking the only model there is, %s", s.Repo, quant, all[0].label()), nil
	}
	return choice{}, "", jeantrail.Errorf(jeantrail.CodeNotFound, "%s has no model in %s", s.Repo, quant).
		WithHint("Name a quantisation or a file after the colon (hf:%s:…). There are: %s", s.Repo, labels(all))
}

func chooseFile(s Source, all []choice) (choice, error) {
	var found []choice
	for _, m := range all {
		for _, f := range m.parts {
			if f.Path == s.File {
				return m, nil
			}
			if path.Base(f.Path) == s.File {
				found = append(found, m)
			}
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return choice{}, jeantrail.Errorf(jeantrail.CodeNotFound, "%s has no file %s", s.Repo, s.File).
			WithHint("There are: %s", labels(all))
	}
	return choice{}, jeantrail.Errorf(jeantrail.CodeInvalid, "%s has %d files %s", s.Repo, len(found), s.File).
		WithHint("Give the whole path of one: %s", labels(found))
}

func noModels(s Source, files []remoteFile, torn []string) error {
	if len(torn) > 0 {
		return jeantrail.Errorf(jeantrail.CodeNotFound, "%s lacks parts of its split models: %s", s.Repo, strings.Join(torn, ", ")).
			WithHint("Somebody may be uploading it at this moment. Try again later, or take another repository.")
	}
	var names []string
	for _, f := range files {
		names = append(names, f.Path)
	}
	return jeantrail.Errorf(jeantrail.CodeNotFound, "%s has no GGUF file", s.Repo).
		WithHint("Look for a repository whose name ends with -GGUF. This one has: %s", firstOf(names))
}

func labels(all []choice) string {
	var names []string
	for _, m := range all {
		names = append(names, m.label())
	}
	return firstOf(names)
}

// firstOf lists names, but not hundreds of them.
func firstOf(names []string) string {
	const most = 30
	if len(names) == 0 {
		return "nothing"
	}
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

// hasQuant reports whether a file's path names the quantisation: as a word of
// its own, so that Q4_K is not found in Q4_K_M, nor Q4_0 in IQ4_0.
func hasQuant(stem, quant string) bool {
	word := regexp.MustCompile(`(?i)(^|[-._/])` + regexp.QuoteMeta(quant) + `($|[-./])`)
	return word.MatchString(stem)
}

// projectorOrder is which projector is taken if there are several: they are
// small, and lose more than a model does when they are quantised.
var projectorOrder = []string{"F16", "BF16", "Q8_0", "F32"}

// chooseProjector finds the projector that a request means; nil if it means none.
func chooseProjector(s Source, wanted string, files []remoteFile) (f *remoteFile, note string, err error) {
	_, all, _ := models(files)
	if wanted == "none" || wanted == "" && len(all) == 0 {
		return nil, "", nil
	}
	if wanted != "" {
		i := slices.IndexFunc(files, func(f remoteFile) bool { return f.Path == wanted })
		if i < 0 {
			i = slices.IndexFunc(files, func(f remoteFile) bool { return path.Base(f.Path) == wanted })
		}
		if i < 0 {
			var names []string
			for _, p := range all {
				names = append(names, p.Path)
			}
			return nil, "", jeantrail.Errorf(jeantrail.CodeNotFound, "%s has no projector %s", s.Repo, wanted).
				WithHint("Its projectors: %s", firstOf(names))
		}
		return &files[i], "", nil
	}
	rank := func(f remoteFile) int {
		stem, _ := cutGGUF(f.Path)
		if i := slices.IndexFunc(projectorOrder, func(q string) bool { return hasQuant(stem, q) }); i >= 0 {
			return i
		}
		return len(projectorOrder)
	}
	best := slices.MinFunc(all, func(a, b remoteFile) int { return cmp.Or(rank(a)-rank(b), strings.Compare(a.Path, b.Path)) })
	if len(all) > 1 {
		note = fmt.Sprintf("of %d projectors, %s is taken", len(all), best.Path)
	}
	return &best, note, nil
}
