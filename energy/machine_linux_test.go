package energy

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// machine is a fake root folder. A file of which the test says that it may not
// be read cannot be, whoever runs the test.
type machine struct {
	t    interface{ Fatal(...any) }
	root string

	mu     sync.Mutex
	secret []string
}

func newMachine(t *testing.T) *machine { return &machine{t: t, root: t.TempDir()} }

func (f *machine) meter(o Options) *Meter {
	return open(o, func() ([]probe, error) { return lookIn(files{root: f.root, read: f.read}) })
}

func (f *machine) read(path string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.secret {
		if strings.HasSuffix(path, s) {
			return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrPermission}
		}
	}
	return os.ReadFile(path)
}

// hide makes files unreadable, by the ends of their paths.
func (f *machine) hide(paths ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.secret = paths
}

func (f *machine) put(path string, content any) {
	path = filepath.Join(f.root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		f.t.Fatal(err)
	}
	// In one step: the meter must not read an empty file.
	if err := os.WriteFile(path+"~", fmt.Appendln(nil, content), 0o644); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Rename(path+"~", path); err != nil {
		f.t.Fatal(err)
	}
}

func (f *machine) remove(path string) {
	if err := os.RemoveAll(filepath.Join(f.root, path)); err != nil {
		f.t.Fatal(err)
	}
}

const powercap = "sys/class/powercap/"

func (f *machine) zone(zone, name string, most, count uint64) {
	f.put(powercap+zone+"/name", name)
	f.put(powercap+zone+"/max_energy_range_uj", most)
	f.count(zone, count)
}

func (f *machine) count(zone string, microjoule uint64) {
	f.put(powercap+zone+"/energy_uj", microjoule)
}

// bat sets a battery's status and rate in microwatts.
func (f *machine) bat(name, status string, rate int64) {
	f.put("sys/class/power_supply/"+name+"/status", status)
	f.put("sys/class/power_supply/"+name+"/power_now", rate)
}

func wantSource(t *testing.T, m *Meter, source string, reasons ...string) {
	t.Helper()
	if m.Source() != source {
		t.Errorf("the source is %q, want %q", m.Source(), source)
	}
	got := m.Reason()
	if len(reasons) == 0 && got != "" {
		t.Errorf("the reason is %q, want none", got)
	}
	for _, r := range reasons {
		if !strings.Contains(got, r) {
			t.Errorf("the reason is %q, want it to say %q", got, r)
		}
	}
}
