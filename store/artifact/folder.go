package artifact

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// incoming is the subfolder of files that are not whole yet.
const incoming = "incoming"

// Folder is a folder of files by content. Its methods may be called from any
// goroutine, and by one process at a time.
type Folder struct{ path string }

// Open makes the folder if it is not there, and removes what an earlier process
// left half written.
func Open(path string) (*Folder, error) {
	half := filepath.Join(path, incoming)
	if err := os.RemoveAll(half); err != nil {
		return nil, fmt.Errorf("open artifacts: %w", err)
	}
	if err := os.MkdirAll(half, 0o700); err != nil {
		return nil, fmt.Errorf("open artifacts: %w", err)
	}
	return &Folder{path: path}, nil
}

// Put keeps what r gives and returns its checksum and size; the media type is
// not its business. More than limit bytes are too_large, and nothing is kept;
// a full disk is storage_full.
func (f *Folder) Put(ctx context.Context, r io.Reader, limit int64) (jeantrail.File, error) {
	tmp, err := os.CreateTemp(filepath.Join(f.path, incoming), "*")
	if err != nil {
		return jeantrail.File{}, failed("keep file", err)
	}
	defer os.Remove(tmp.Name()) // fails once the file has its name
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(tmp, sum), io.LimitReader(&untilDone{ctx, r}, limit+1))
	switch {
	case err != nil:
	case n > limit:
		err = jeantrail.Errorf(jeantrail.CodeTooLarge, "the file has more than %d bytes", limit).WithNumber("limit", limit)
	default:
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return jeantrail.File{}, failed("keep file", err)
	}
	file := jeantrail.File{SHA256: hex.EncodeToString(sum.Sum(nil)), Bytes: n}
	return file, failed("keep file", f.name(tmp.Name(), file))
}

// name gives a whole file its name. One that is there already has the same
// content; its time is set to now, so that it does not count as old.
func (f *Folder) name(tmp string, file jeantrail.File) error {
	path, err := f.pathOf(file)
	if err != nil {
		return err
	}
	if info, err := os.Stat(path); err == nil && info.Size() == file.Bytes {
		now := time.Now()
		return os.Chtimes(path, now, now)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// Open returns a file's content; one that is not there is not_found.
func (f *Folder) Open(file jeantrail.File) (io.ReadSeekCloser, error) {
	path, err := f.pathOf(file)
	if err != nil {
		return nil, err
	}
	opened, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, jeantrail.Errorf(jeantrail.CodeNotFound, "the file %s is not in the artifacts folder any more", file.SHA256[:12]).
			WithHint("Send it again.")
	}
	if err != nil {
		return nil, failed("open file", err)
	}
	return opened, nil
}

// Sweep removes the files that are not in use and older than age, and returns
// how many and how many bytes they had. What used returns is asked for after the
// files were listed, so that one that comes into use meanwhile stays: it is
// younger than age.
func (f *Folder) Sweep(age time.Duration, used func() (map[string]bool, error)) (files int, bytes int64, err error) {
	before := time.Now().Add(-age)
	old := make(map[string]fs.FileInfo)
	err = filepath.WalkDir(f.path, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !isSum(d.Name()) {
			return ignoreMissing(err)
		}
		info, err := d.Info()
		if err == nil && info.ModTime().Before(before) {
			old[path] = info
		}
		return ignoreMissing(err)
	})
	if err != nil || len(old) == 0 {
		return 0, 0, failed("sweep artifacts", err)
	}
	inUse, err := used()
	if err != nil {
		return 0, 0, err
	}
	for path, info := range old {
		if inUse[info.Name()] {
			continue
		}
		// It may have been put again since it was listed.
		if now, err := os.Stat(path); err != nil || !now.ModTime().Before(before) {
			continue
		}
		if err := os.Remove(path); err != nil {
			return files, bytes, failed("sweep artifacts", err)
		}
		files, bytes = files+1, bytes+info.Size()
	}
	return files, bytes, nil
}

func (f *Folder) pathOf(file jeantrail.File) (string, error) {
	if !isSum(file.SHA256) {
		return "", jeantrail.Errorf(jeantrail.CodeInvalid, "%.80q is not the checksum of a file", file.SHA256)
	}
	return filepath.Join(f.path, file.SHA256[:2], file.SHA256), nil
}

func isSum(s string) bool {
	return len(s) == 2*sha256.Size && strings.Trim(s, "0123456789abcdef") == ""
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// failed says what went wrong; an error that has a code already stays as it is.
func failed(op string, err error) error {
	var coded *jeantrail.Error
	switch {
	case err == nil || errors.As(err, &coded):
		return err
	case errors.Is(err, syscall.ENOSPC):
		return jeantrail.Errorf(jeantrail.CodeStorageFull, "%s: the disk is full", op).WithHint("Free some disk space and try again.")
	}
	return fmt.Errorf("%s: %w", op, err)
}

// untilDone reads until the context ends.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u *untilDone) Read(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	return u.r.Read(p)
}

// syncFolder makes a rename last; a system that cannot do that to a folder does
// it by itself.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	_ = d.Sync()
	return d.Close()
}
