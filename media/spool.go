package media

import (
	"errors"
	"io"
	"os"
	"syscall"

	"github.com/jeantrail/jeantrail-ai"
)

// spoolMemory is up to which size what is being received stays in memory. Most
// pictures do, and making a file for each costs more than decoding it.
const spoolMemory = 1 << 20

// spool is a file that is being received: beyond the first of it on the disk, so
// that memory stays as it is, and out of sight, so that nothing is left if the
// process ends.
type spool struct {
	folder string
	size   int64
	offset int64    // where the next Read or Write is
	memory []byte   // all of it, until there is a file
	file   *os.File // nil until it is too large for memory
	gone   bool     // the file has no name any more
}

// newSpool makes an empty one, which must be closed.
func (w *Worker) newSpool() (*spool, error) { return &spool{folder: w.opts.Spool}, nil }

// spill goes on on the disk.
func (s *spool) spill() error {
	f, err := os.CreateTemp(s.folder, "receiving-*")
	if err != nil {
		return full(err)
	}
	s.file, s.gone = f, os.Remove(f.Name()) == nil
	_, err = f.WriteAt(s.memory, 0)
	s.memory = nil
	return full(err)
}

// full tells a disk without room from other errors.
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return jeantrail.Errorf(jeantrail.CodeStorageFull, "there is no room to receive a file: %w", err).WithHint("Free some space on the disk.")
	}
	return err
}

func (s *spool) Write(p []byte) (n int, err error) {
	if s.file == nil && s.offset+int64(len(p)) > spoolMemory {
		if err := s.spill(); err != nil {
			return 0, err
		}
	}
	if s.file != nil {
		n, err = s.file.WriteAt(p, s.offset)
	} else {
		if end := s.offset + int64(len(p)); end > int64(len(s.memory)) {
			s.memory = append(s.memory, make([]byte, end-int64(len(s.memory)))...)
		}
		n = copy(s.memory[s.offset:], p)
	}
	s.offset += int64(n)
	s.size = max(s.size, s.offset)
	return n, full(err)
}

// ReadAt implements io.ReaderAt.
func (s *spool) ReadAt(p []byte, at int64) (int, error) {
	if s.file != nil {
		return s.file.ReadAt(p, at)
	}
	if at < 0 || at >= int64(len(s.memory)) {
		return 0, io.EOF
	}
	n := copy(p, s.memory[at:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (s *spool) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := s.ReadAt(p, s.offset)
	s.offset += int64(n)
	if n > 0 {
		err = nil // the end is for the next call
	}
	return n, err
}

// Seek implements io.Seeker. A place beyond the end is none: nobody leaves holes.
func (s *spool) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += s.offset
	case io.SeekEnd:
		offset += s.size
	}
	if offset < 0 || offset > s.size {
		return s.offset, errors.New("seek: there is no such place in the file")
	}
	s.offset = offset
	return offset, nil
}

// rewind goes to the beginning, to read what was written.
func (s *spool) rewind() error {
	s.offset = 0
	return nil
}

// Close ends the file and what it took on the disk.
func (s *spool) Close() error {
	s.memory = nil
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	if !s.gone {
		err = errors.Join(err, os.Remove(s.file.Name()))
	}
	return err
}
