package hub

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// freeBytes is what may still be written to the file system of a folder.
func freeBytes(folder string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(folder, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * int64(st.Frsize), nil
}

// reserveBytes takes the room for a file, so that nobody else can. The error is
// errors.ErrUnsupported where the file system cannot do so.
func reserveBytes(f *os.File, size int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), 0, 0, size)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			return errors.ErrUnsupported
		}
		return err
	}
}

// allocated is how many bytes of the disk a file has taken.
func allocated(path string) int64 {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return 0
	}
	return st.Blocks * 512
}

// syncData brings a file's bytes to the disk, but not its times.
func syncData(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }

// bootID tells one start of the machine from the next.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}
