package fit

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestProbe(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "not", "there")
	m, err := Probe(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	if m.RAMTotal < 256<<20 || m.RAMAvailable <= 0 || m.RAMAvailable > m.RAMTotal || m.DiskFree <= 0 || m.Folder != folder {
		t.Errorf("the machine is %+v", m)
	}
	if m.CoresPhysical < 1 || m.CoresLogical < m.CoresPhysical {
		t.Errorf("%d cores, %d logical", m.CoresPhysical, m.CoresLogical)
	}
	if m.UsableRAM() > m.RAMAvailable || m.UsableVRAM() != 0 {
		t.Errorf("usable are %d and %d", m.UsableRAM(), m.UsableVRAM())
	}
}

func TestAContainersMemory(t *testing.T) {
	write := func(files map[string]string) string {
		folder := t.TempDir()
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return folder
	}
	stat := "anon 400\ninactive_file 200\nactive_file 50\n"
	for name, tt := range map[string]struct {
		files map[string]string
		want  container
		ok    bool
	}{
		"limited":        {map[string]string{"memory.max": "1000\n", "memory.current": "700\n", "memory.stat": stat}, container{1000, 500}, true},
		"without a stat": {map[string]string{"memory.max": "1000\n", "memory.current": "700\n"}, container{1000, 700}, true},
		"more cached":    {map[string]string{"memory.max": "1000\n", "memory.current": "100\n", "memory.stat": stat}, container{1000, 0}, true},
		"no limit":       {map[string]string{"memory.max": "max\n", "memory.current": "700\n"}, container{}, false},
		"no use":         {map[string]string{"memory.max": "1000\n"}, container{}, false},
		"no cgroup":      {nil, container{}, false},
	} {
		if got, ok := readContainer(write(tt.files)); got != tt.want || ok != tt.ok {
			t.Errorf("%s: %+v, %v", name, got, ok)
		}
	}
}

func TestBandwidth(t *testing.T) {
	got, err := MeasureBandwidth(t.Context(), 8<<20)
	if err != nil || got < 1e8 || got > 1e13 {
		t.Errorf("%.0f bytes a second, %v", got, err)
	}
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if _, err := MeasureBandwidth(ctx, 8<<20); !errors.Is(err, cause) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestAllIsRead(t *testing.T) {
	buffer := make([]uint64, 1003)
	var want uint64
	for i := range buffer {
		buffer[i] = uint64(i * i)
		want += buffer[i]
	}
	if got := sum(buffer); got != want {
		t.Errorf("the sum is %d, want %d", got, want)
	}
	for _, n := range []int{1, 3, 7} {
		parts := split(buffer, n)
		if whole := slices.Concat(parts...); len(parts) != n || !slices.Equal(whole, buffer) {
			t.Errorf("%d parts have %d numbers in all", len(parts), len(whole))
		}
	}
	if one := readAll([][]uint64{buffer}, sum); one != want {
		t.Errorf("read by one: %d, want %d", one, want)
	}
}

func TestTheBufferIsLargerThanTheCaches(t *testing.T) {
	for _, tt := range []struct{ cache, most, want int64 }{
		{32 << 20, 0, 256 << 20}, {-1, 0, 256 << 20}, {100 << 20, 0, 400 << 20},
		{1 << 30, 0, 2 << 30}, {32 << 20, 64 << 20, 64 << 20}, {32 << 20, 5, 1 << 20},
	} {
		if got := bufferSize(tt.cache, tt.most); got != tt.want {
			t.Errorf("for a cache of %d, at most %d: %d, want %d", tt.cache, tt.most, got, tt.want)
		}
	}
}
