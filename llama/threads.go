package llama

import (
	"io/fs"
	"math"
	"os"
	"path"
	"runtime"
	"strconv"
	"strings"
)

// DefaultThreads returns how many compute threads to use: the physical cores
// that this process may run on, but no more than its cgroup's CPU quota allows,
// and at least 1. Compute threads wait for each other by spinning, so one more
// than there are free cores makes every step as slow as the slowest of them.
func DefaultThreads() int {
	n := physicalCores(os.DirFS("/"), allowedCPUs())
	if q := cgroupQuota(os.DirFS("/")); q > 0 {
		n = min(n, int(math.Ceil(q)))
	}
	return max(n, 1)
}

// physicalCores counts the distinct cores among the logical CPUs in allowed, by
// their thread_siblings_list. Where the system does not tell, each counts.
func physicalCores(root fs.FS, allowed []int) int {
	cores := map[string]bool{}
	for _, cpu := range allowed {
		name := path.Join("sys/devices/system/cpu", "cpu"+strconv.Itoa(cpu), "topology/thread_siblings_list")
		text, err := fs.ReadFile(root, name)
		if err != nil {
			text = []byte("only " + strconv.Itoa(cpu))
		}
		cores[strings.TrimSpace(string(text))] = true
	}
	if len(cores) == 0 {
		return runtime.NumCPU()
	}
	return len(cores)
}

// cgroupQuota returns the CPUs that the process's cgroups allow, 0 if they set
// no limit. The tightest limit on the way to the root counts.
func cgroupQuota(root fs.FS) float64 {
	text, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0
	}
	quota := 0.0
	tighten := func(q float64) {
		if q > 0 && (quota == 0 || q < quota) {
			quota = q
		}
	}
	for line := range strings.Lines(string(text)) {
		// hierarchy-ID:controller-list:cgroup-path, see cgroups(7)
		part := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(part) != 3 {
			continue
		}
		for dir := path.Clean("/" + part[2]); ; dir = path.Dir(dir) {
			if part[1] == "" {
				tighten(quotaV2(root, path.Join("sys/fs/cgroup", dir)))
			} else if hasController(part[1], "cpu") {
				tighten(quotaV1(root, path.Join("sys/fs/cgroup/cpu", dir)))
			}
			if dir == "/" {
				break
			}
		}
	}
	return quota
}

func hasController(list, name string) bool {
	for c := range strings.SplitSeq(list, ",") {
		if c == name {
			return true
		}
	}
	return false
}

// quotaV2 reads cpu.max: "$MAX $PERIOD" in microseconds, or "max $PERIOD".
func quotaV2(root fs.FS, dir string) float64 {
	text, err := fs.ReadFile(root, path.Join(dir, "cpu.max"))
	if err != nil {
		return 0
	}
	field := strings.Fields(string(text))
	if len(field) != 2 || field[0] == "max" {
		return 0
	}
	return ratio(field[0], field[1])
}

func quotaV1(root fs.FS, dir string) float64 {
	quota, err1 := fs.ReadFile(root, path.Join(dir, "cpu.cfs_quota_us"))
	period, err2 := fs.ReadFile(root, path.Join(dir, "cpu.cfs_period_us"))
	if err1 != nil || err2 != nil {
		return 0
	}
	return ratio(strings.TrimSpace(string(quota)), strings.TrimSpace(string(period)))
}

// ratio returns a/b, 0 if either is not a positive number.
func ratio(a, b string) float64 {
	x, err1 := strconv.ParseFloat(a, 64)
	y, err2 := strconv.ParseFloat(b, 64)
	if err1 != nil || err2 != nil || x <= 0 || y <= 0 {
		return 0
	}
	return x / y
}
