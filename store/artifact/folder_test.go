package artifact_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/store/artifact"
)

func open(t *testing.T) (*artifact.Folder, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "artifacts")
	f, err := artifact.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return f, path
}

func put(t *testing.T, f *artifact.Folder, content string) jeantrail.File {
	t.Helper()
	file, err := f.Put(context.Background(), strings.NewReader(content), 100)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// names lists the files below a folder.
func names(t *testing.T, path string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(path, func(_ string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			found = append(found, d.Name())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestFilesComeBackByTheirContent(t *testing.T) {
	f, path := open(t)
	a, twice, b := put(t, f, "hello"), put(t, f, "hello"), put(t, f, "world")
	const sum = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" // sha256sum of hello
	if a.SHA256 != sum || a.Bytes != 5 || twice != a || b == a {
		t.Errorf("files %+v, %+v and %+v", a, twice, b)
	}
	r, err := f.Open(a)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || string(got) != "hello" {
		t.Errorf("read %q, %v", got, err)
	}
	if got := names(t, path); len(got) != 2 {
		t.Errorf("the folder holds %v, want two files", got)
	}
}

func TestWhatIsNotWholeIsNotKept(t *testing.T) {
	f, path := open(t)
	broken := errors.New("the line broke")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(broken)
	for name, c := range map[string]struct {
		ctx  context.Context
		r    io.Reader
		code jeantrail.Code
		is   error
	}{
		"too long":  {context.Background(), strings.NewReader(strings.Repeat("x", 101)), jeantrail.CodeTooLarge, nil},
		"broken":    {context.Background(), io.MultiReader(strings.NewReader("x"), iotest.ErrReader(broken)), "", broken},
		"cancelled": {ctx, strings.NewReader("x"), "", broken},
	} {
		_, err := f.Put(c.ctx, c.r, 100)
		if err == nil || c.code != "" && jeantrail.CodeOf(err) != c.code || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := names(t, path); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
	if _, err := f.Put(context.Background(), strings.NewReader(strings.Repeat("x", 100)), 100); err != nil {
		t.Errorf("exactly the limit: %v", err)
	}
}

func TestANameIsNeverAPath(t *testing.T) {
	f, path := open(t)
	if err := os.WriteFile(filepath.Join(path, "..", "secret"), []byte("s"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "../secret", "../../secret", strings.Repeat("../", 20) + "abcd", strings.Repeat("AB", 32), strings.Repeat("a", 63)} {
		if _, err := f.Open(jeantrail.File{SHA256: name}); jeantrail.CodeOf(err) != jeantrail.CodeInvalid {
			t.Errorf("open %q: %v", name, err)
		}
	}
	if _, err := f.Open(jeantrail.File{SHA256: strings.Repeat("a", 64)}); jeantrail.CodeOf(err) != jeantrail.CodeNotFound {
		t.Errorf("open a file that is not there: %v", err)
	}
}

func TestSweepLeavesWhatIsUsedOrYoung(t *testing.T) {
	f, path := open(t)
	used, young, old := put(t, f, "used"), put(t, f, "young"), put(t, f, "old")
	long := time.Now().Add(-2 * time.Hour)
	for _, file := range []jeantrail.File{used, old} {
		if err := os.Chtimes(filepath.Join(path, file.SHA256[:2], file.SHA256), long, long); err != nil {
			t.Fatal(err)
		}
	}
	n, size, err := f.Sweep(time.Hour, func() (map[string]bool, error) { return map[string]bool{used.SHA256: true}, nil })
	if err != nil || n != 1 || size != 3 {
		t.Fatalf("swept %d files of %d bytes, %v", n, size, err)
	}
	for _, file := range []jeantrail.File{used, young} {
		r, err := f.Open(file)
		if err != nil {
			t.Errorf("%+v: %v", file, err)
			continue
		}
		r.Close()
	}
	// A file that comes again counts as young.
	if err := os.Chtimes(filepath.Join(path, young.SHA256[:2], young.SHA256), long, long); err != nil {
		t.Fatal(err)
	}
	put(t, f, "young")
	if n, _, err := f.Sweep(time.Hour, func() (map[string]bool, error) { return nil, nil }); err != nil || n != 1 {
		t.Errorf("swept %d files, %v; want only the one that was used before", n, err)
	}
}

func TestOpenRemovesWhatIsHalfWritten(t *testing.T) {
	_, path := open(t)
	if err := os.WriteFile(filepath.Join(path, "incoming", "half"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := artifact.Open(path); err != nil {
		t.Fatal(err)
	}
	if got := names(t, path); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
}
