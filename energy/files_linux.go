package energy

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/jeantrail/jeantrail-ai"
)

// files reads sys and proc. Tests put other functions in.
type files struct {
	root string
	read func(path string) ([]byte, error)
}

func filesAt(root string) files { return files{root: root, read: os.ReadFile} }

func (f files) path(parts ...string) string {
	return filepath.Join(append([]string{f.root}, parts...)...)
}

// folders returns the paths of what lies in a folder under names with a prefix,
// sorted by name. No folder is no error: it then has nothing.
func (f files) folders(prefix string, parts ...string) ([]string, error) {
	folder := f.path(parts...)
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, jeantrail.Errorf(jeantrail.CodeUnsupported, "%w", err)
	}
	var found []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			found = append(found, filepath.Join(folder, e.Name()))
		}
	}
	return found, nil
}

// text returns a file's content without the line's end. The error's code says
// whether it is not there (not_found), may not be read (forbidden), or did not
// answer (unsupported).
func (f files) text(path string) (string, error) {
	content, err := f.read(path)
	switch {
	case err == nil:
		return strings.TrimSpace(string(content)), nil
	case errors.Is(err, fs.ErrNotExist):
		return "", jeantrail.Errorf(jeantrail.CodeNotFound, "%s is not there", path)
	case errors.Is(err, fs.ErrPermission):
		return "", jeantrail.Errorf(jeantrail.CodeForbidden, "%s may not be read", path)
	default:
		return "", jeantrail.Errorf(jeantrail.CodeUnsupported, "%w", err)
	}
}

// number returns the integer that a file holds.
func (f files) number(path string) (int64, error) {
	text, err := f.text(path)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, jeantrail.Errorf(jeantrail.CodeUnsupported, "%s holds %q, which is not an integer", path, text)
	}
	return n, nil
}
