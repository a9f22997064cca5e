//go:build unix

package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/jeantrail/jeantrail-ai/doctor"
)

// writable reports whether files can be made in a folder, and whether its file
// system is there for reading only.
func writable(folder string) (ok, readOnly bool) {
	err := unix.Access(folder, unix.W_OK|unix.X_OK)
	return err == nil, errors.Is(err, unix.EROFS)
}

// ownerOf is the user id of a file's owner.
func ownerOf(info fs.FileInfo) (int, bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(st.Uid), true
}

// lockHolders lists the processes that hold a lock on a file; known is false where
// the system does not tell.
func lockHolders(info fs.FileInfo, likely int) (pids []int, known bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil, false
	}
	return doctor.ReadLockHolders(os.DirFS("/"), uint64(st.Dev), st.Ino, likely)
}

// deviceNodes lists the device files of cards.
func deviceNodes() []doctor.Node {
	var nodes []doctor.Node
	for _, pattern := range []string{"/dev/nvidia[0-9]*", "/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/dri/renderD*"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			continue // no pattern here is malformed
		}
		for _, path := range paths {
			n := doctor.Node{Path: path, Usable: unix.Access(path, unix.R_OK|unix.W_OK) == nil}
			if info, err := os.Stat(path); err == nil {
				if st, ok := info.Sys().(*syscall.Stat_t); ok {
					n.Group = nameOfGroup(int(st.Gid))
				}
			}
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// processLimits are the limits of this process. Go has taken all the open files
// that it may by now.
func processLimits() doctor.Limits {
	var l doctor.Limits
	var r unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &r) == nil {
		l.OpenFiles = uint64(r.Max)
	}
	if unix.Getrlimit(unix.RLIMIT_AS, &r) == nil && r.Cur < 1<<62 { // else there is none
		l.AddressSpace = uint64(r.Cur)
	}
	return l
}

// mappable maps the beginning of a file into memory, as models are, and says why
// that fails.
func mappable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	page, err := unix.Mmap(int(f.Fd()), 0, os.Getpagesize(), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	return unix.Munmap(page)
}
