package llama

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/klauspost/cpuid/v2"
)

func files(m map[string]string) fstest.MapFS {
	fs := fstest.MapFS{}
	for name, text := range m {
		fs[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fs
}

func TestPhysicalCores(t *testing.T) {
	const dir = "sys/devices/system/cpu/cpu"
	smt := files(map[string]string{
		dir + "0/topology/thread_siblings_list": "0,2\n", dir + "2/topology/thread_siblings_list": "0,2\n",
		dir + "1/topology/thread_siblings_list": "1,3\n", dir + "3/topology/thread_siblings_list": "1,3\n",
	})
	for _, tc := range []struct {
		allowed []int
		want    int
	}{{[]int{0, 1, 2, 3}, 2}, {[]int{0, 2}, 1}, {[]int{2, 3}, 2}, {[]int{7}, 1}, {[]int{7, 8}, 2}} {
		if got := physicalCores(smt, tc.allowed); got != tc.want {
			t.Errorf("CPUs %v: %d cores, want %d", tc.allowed, got, tc.want)
		}
	}
	if physicalCores(smt, nil) < 1 {
		t.Error("no cores where nothing is known")
	}
}

func TestCgroupQuota(t *testing.T) {
	for name, tc := range map[string]struct {
		files map[string]string
		want  float64
	}{
		"none":      {map[string]string{}, 0},
		"v2":        {map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1.5},
		"v2 max":    {map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, 0},
		"v2 parent": {map[string]string{"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "200000 100000\n", "sys/fs/cgroup/a/b/cpu.max": "400000 100000\n"}, 2},
		"v1":        {map[string]string{"proc/self/cgroup": "3:cpu,cpuacct:/x\n", "sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "50000\n", "sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000\n"}, 0.5},
		"v1 off":    {map[string]string{"proc/self/cgroup": "3:cpu:/x\n", "sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "-1\n", "sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000\n"}, 0},
		"broken":    {map[string]string{"proc/self/cgroup": "nonsense\n0::/\n", "sys/fs/cgroup/cpu.max": "a b c\n"}, 0},
	} {
		if got := cgroupQuota(files(tc.files)); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
	if DefaultThreads() < 1 {
		t.Error("no threads")
	}
}

func TestCheckCPU(t *testing.T) {
	only := func(ids ...cpuid.FeatureID) func(cpuid.FeatureID) bool {
		return func(id cpuid.FeatureID) bool { return slices.Contains(ids, id) }
	}
	const needed = "avx2,bmi,fma,sse4_1,something_new"
	if err := checkCPU(needed, "native", "CPU", only(cpuid.AVX2, cpuid.BMI1, cpuid.FMA3, cpuid.SSE4)); err != nil {
		t.Errorf("a CPU that has all: %v", err)
	}
	err := checkCPU(needed, "native", "Old CPU", only(cpuid.SSE4, cpuid.BMI1))
	if err == nil {
		t.Fatal("a CPU that lacks some passed")
	}
	const want = "this program was built for another CPU (native): Old CPU lacks avx2, fma; "
	if !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%q", err)
	}
	if err := checkCPU(needed, "x86-64-v3", "Old CPU", only()); strings.Contains(err.Error(), "use the build for") {
		t.Errorf("the hint is the build that does not run: %v", err)
	}
	for _, name := range []string{"sse", "sse2", "sse3", "ssse3", "sse4_2", "popcnt", "avx", "f16c", "lzcnt", "movbe", "bmi2", "avx512f", "avx512bw",
		"avx512bf16", "avx512vnni", "avx512vbmi", "avx512vpopcntdq", "avx512bitalg", "avx512ifma", "avxvnni", "gfni", "vaes", "vpclmulqdq", "amx_int8"} {
		if len(missingFeatures("amd64", name, only())) != 1 {
			t.Errorf("%s is not known, so it is never checked", name)
		}
	}
	// Names such as compilers define for armv8.2-a with dotprod and fp16.
	const arm = "aes,atomics,clz,crc32,dotprod,fma,fp16_vector_arithmetic,idiv,neon,numeric_maxmin,qrdmx,sha2,unaligned"
	if missing := missingFeatures("arm64", arm, only(cpuid.AESARM, cpuid.ATOMICS, cpuid.CRC32, cpuid.ASIMDDP, cpuid.ASIMDHP, cpuid.ASIMD, cpuid.ASIMDRDM, cpuid.SHA2)); len(missing) > 0 {
		t.Errorf("an ARM that has all lacks %v", missing)
	}
	if missing := missingFeatures("arm64", arm, only(cpuid.ASIMD)); !slices.Contains(missing, "dotprod") {
		t.Errorf("an ARM without the dot product lacks only %v", missing)
	}
}

func TestJoinLines(t *testing.T) {
	got := joinLines([]LogRecord{{slog.LevelInfo, "a "}, {slog.LevelInfo, "b\n"}, {slog.LevelInfo, "\n"}, {slog.LevelWarn, "c"}})
	want := []LogRecord{{slog.LevelInfo, "a b"}, {slog.LevelWarn, "c"}}
	if !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}
