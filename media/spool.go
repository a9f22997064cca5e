package media

import (
	"errors"
	"io"
	"os"
	"syscall"

	"github.com/jeantrail/jeantrail-ai"
)

// spool is a file that is being received: on the disk, so that memory stays as
// it is, and out of sight, so that nothing is left if the process ends.
type spool struct {
	*os.File
	size int64
	gone bool // it has no name any more
}

// newSpool makes an empty one, which must be closed.
func (w *Worker) newSpool() (*spool, error) {
	f, err := os.CreateTemp(w.opts.Spool, "receiving-*")
	if err != nil {
		return nil, full(err)
	}
	return &spool{File: f, gone: os.Remove(f.Name()) == nil}, nil
}

// full tells a disk without room from other errors.
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return jeantrail.Errorf(jeantrail.CodeStorageFull, "there is no room to receive a file: %w", err).WithHint("Free some space on the disk.")
	}
	return err
}

func (s *spool) Write(p []byte) (int, error) {
	n, err := s.File.Write(p)
	s.size += int64(n)
	if err != nil {
		err = full(err)
	}
	return n, err
}

// ReadFrom takes the place of the file's own, which would not count.
func (s *spool) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{s}, r)
}

// rewind goes to the beginning, to read what was written.
func (s *spool) rewind() error {
	_, err := s.Seek(0, io.SeekStart)
	return err
}

// Close ends the file and what it took on the disk.
func (s *spool) Close() error {
	err := s.File.Close()
	if !s.gone {
		err = errors.Join(err, os.Remove(s.Name()))
	}
	return err
}
