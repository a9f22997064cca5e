package energy

import (
	"path/filepath"
	"strings"

	"github.com/jeantrail/jeantrail-ai"
)

// openRAPL finds the processors' counters. AMD's have the same names as Intel's.
// All packages must be readable, or the sum would leave some out; not_found says
// that there are none.
//
// Of the domains, core and uncore are parts of their package, psys contains the
// packages, and the zones of intel-rapl-mmio are the packages once more. dram
// lies beside its package wherever there is one.
func openRAPL(f files) (probe, error) {
	zones, err := f.folders("intel-rapl:", "sys", "class", "powercap")
	if err != nil {
		return nil, err
	}
	p := &counters{source: "rapl"}
	packages := 0
	for _, zone := range zones {
		name, err := f.text(filepath.Join(zone, "name"))
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(name, "package-") {
			packages++
		} else if name != "dram" {
			continue
		}
		c, err := raplCounter(f, zone, name)
		if err != nil {
			return nil, err
		}
		p.list = append(p.list, c)
	}
	if packages == 0 {
		return nil, jeantrail.Errorf(jeantrail.CodeNotFound, "no processor has RAPL counters in %s", f.path("sys", "class", "powercap"))
	}
	return p, nil
}

// raplCounter makes a counter of a zone and tries it.
func raplCounter(f files, zone, name string) (counter, error) {
	most, err := f.number(filepath.Join(zone, "max_energy_range_uj"))
	if err != nil {
		return counter{}, err
	}
	path := filepath.Join(zone, "energy_uj")
	c := counter{
		label: name,
		most:  uint64(max(most, 0)),
		read: func() (uint64, error) {
			n, err := f.number(path)
			if err != nil {
				return 0, raplRefused(f, err)
			}
			if n < 0 {
				return 0, jeantrail.Errorf(jeantrail.CodeUnsupported, "%s is negative", path)
			}
			return uint64(n), nil
		},
	}
	_, err = c.read()
	return c, err
}

// raplRefused says what to do about a counter that may not be read.
func raplRefused(f files, err error) error {
	e := jeantrail.AsError(err)
	if e.Code != jeantrail.CodeForbidden {
		return e
	}
	return e.WithHint("Run: sudo chmod a+r %s; a udev rule keeps it so after a restart.",
		f.path("sys", "class", "powercap", "intel-rapl:*", "energy_uj"))
}
