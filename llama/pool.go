//go:build cgo

package llama

// #include "shim.h"
import "C"

// ReleaseThreads ends the compute threads that OpenMP keeps for the calling OS
// thread; its next computation starts them again. Without it they end with the
// OS thread, but the first one of a process never does: Go parks it.
//
// It matters because OpenMP counts the threads of all pools: as soon as there are
// more than CPUs, they sleep at every barrier instead of spinning, those of idle
// pools counted too. With two CPUs a decode then has half its speed or less.
func ReleaseThreads() { C.lx_release_threads() }
