package fit

import (
	"context"
	"runtime"
	"sync"
	"time"
	"unsafe"

	"github.com/klauspost/cpuid/v2"
)

const (
	leastBuffer   = 256 << 20
	mostBuffer    = 2 << 30
	cacheMultiple = 4 // how many times the last cache the buffer is at least
	passes        = 5
	passBudget    = 400 * time.Millisecond // for all passes; the first is always made
)

// MeasureBandwidth measures how fast the memory can be read, in bytes per second.
//
// A buffer four times as large as the last level of cache, of 256 MiB at least
// and 2 GiB at most, is written once so that its pages exist, and then read
// front to back by one goroutine for each core that Go may use, each its own
// part. The best of five passes counts: anything else that runs can only make it
// slower. No new pass begins after 400 ms. That is how generating a token reads
// the weights, so the figure stands for that and not for the memory's data sheet.
//
// maxBytes, if not 0, bounds the buffer, for a machine that is short of memory; a
// buffer below four caches measures the cache in part. The only error is ctx's.
func MeasureBandwidth(ctx context.Context, maxBytes int64) (float64, error) {
	n := bufferSize(int64(cpuid.CPU.Cache.L3), maxBytes)
	buffer := make([]uint64, n/8)
	parts := split(buffer, runtime.GOMAXPROCS(0))
	readAll(parts, func(part []uint64) uint64 {
		for i := range part {
			part[i] = uint64(i)
		}
		return 0
	})
	var best time.Duration
	start := time.Now()
	for range passes {
		if err := context.Cause(ctx); err != nil {
			return 0, err
		}
		if best > 0 && time.Since(start) > passBudget {
			break
		}
		began := time.Now()
		readAll(parts, sum)
		if took := max(time.Since(began), 1); best == 0 || took < best {
			best = took
		}
	}
	return float64(len(buffer)) * float64(unsafe.Sizeof(uint64(0))) / best.Seconds(), nil
}

// bufferSize is how much is read, for a last cache of so many bytes (0 or less if
// it is not known).
func bufferSize(cache, most int64) int64 {
	n := min(max(cacheMultiple*cache, leastBuffer), mostBuffer)
	if most > 0 {
		n = min(n, max(most, 1<<20))
	}
	return n
}

// split cuts a buffer into n parts of about the same length.
func split(buffer []uint64, n int) [][]uint64 {
	parts := make([][]uint64, n)
	for i := range parts {
		parts[i] = buffer[i*len(buffer)/n : (i+1)*len(buffer)/n]
	}
	return parts
}

// readAll works on all parts at once, and gives something that depends on all
// that was read, so that the compiler cannot leave the reading out.
func readAll(parts [][]uint64, work func([]uint64) uint64) uint64 {
	results := make([]uint64, len(parts))
	var group sync.WaitGroup
	for i, part := range parts {
		group.Go(func() { results[i] = work(part) })
	}
	group.Wait()
	var all uint64
	for _, r := range results {
		all ^= r
	}
	return all
}

// sum adds in four chains, so that additions wait for the memory and not for
// each other.
func sum(part []uint64) uint64 {
	var a, b, c, d uint64
	i := 0
	for ; i+8 <= len(part); i += 8 {
		p := part[i : i+8 : i+8]
		a += p[0] + p[4]
		b += p[1] + p[5]
		c += p[2] + p[6]
		d += p[3] + p[7]
	}
	for ; i < len(part); i++ {
		a += part[i]
	}
	return a + b + c + d
}
