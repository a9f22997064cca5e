package main

import (
	"io/fs"

	"github.com/jeantrail/jeantrail-ai/doctor"
)

// Windows has no modes and no owners' ids; whether a folder can be written to is
// said by the first file that is made there.

func writable(string) (ok, readOnly bool) { return true, false }

func ownerOf(fs.FileInfo) (int, bool) { return 0, false }

func lockHolders(fs.FileInfo, int) (pids []int, known bool) { return nil, false }

func deviceNodes() []doctor.Node { return nil }

func processLimits() doctor.Limits { return doctor.Limits{} }

func mappable(string) error { return nil }
