package energy

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// TestRAPLDomains adds up packages and memory, and nothing twice.
func TestRAPLDomains(t *testing.T) {
	f := newMachine(t)
	const most = 262_143_328_850
	synctest.Test(t, func(t *testing.T) {
		f.put(powercap+"intel-rapl/enabled", 1)
		f.zone("intel-rapl:0", "package-0", most, 100)
		f.zone("intel-rapl:0:0", "core", most, 100)
		f.zone("intel-rapl:0:1", "uncore", most, 100)
		f.zone("intel-rapl:0:2", "dram", most, 100)
		f.zone("intel-rapl:1", "package-1", most, 100)
		f.zone("intel-rapl:2", "psys", most, 100)
		f.zone("intel-rapl-mmio:0", "package-0", most, 100)
		f.bat("BAT0", "Discharging", 20_000_000) // has everything in it, and is left alone
		m := f.meter(Options{})
		defer m.Close()
		wantSource(t, m, "rapl")
		s := m.Begin()
		for i, zone := range []string{"intel-rapl:0", "intel-rapl:0:0", "intel-rapl:0:1", "intel-rapl:0:2", "intel-rapl:1", "intel-rapl:2", "intel-rapl-mmio:0"} {
			f.count(zone, 100+1000<<i)
		}
		wantEnergy(t, s.End(), "rapl", 1+8+16)
	})
}

// TestRAPLRunsOver also while several packages count, each with its own range.
func TestRAPLRunsOver(t *testing.T) {
	f := newMachine(t)
	synctest.Test(t, func(t *testing.T) {
		f.zone("intel-rapl:0", "package-0", 65_532_610_987, 65_532_600_000)
		f.zone("intel-rapl:1", "package-1", 262_143_328_850, 7)
		m := f.meter(Options{})
		defer m.Close()
		s := m.Begin()
		pass(time.Second)
		f.count("intel-rapl:0", 19_013) // 10,987 to the end, and again as much
		f.count("intel-rapl:1", 70_007)
		wantEnergy(t, s.End(), "rapl", 100)

		back := m.Begin()
		f.count("intel-rapl:1", 0) // it would have drawn its whole range at once
		wantReason(t, back.End(), "package-1 was set back")
	})
}

// TestRAPLSharesAddUp lets counters of a small range run over while jobs come
// and go.
func TestRAPLSharesAddUp(t *testing.T) {
	f := newMachine(t)
	synctest.Test(t, func(t *testing.T) {
		// Time in here is not real, so rapid must not ask for the test's deadline.
		rapid.Check(struct{ rapid.TB }{t}, func(rt *rapid.T) {
			const most = 90_000_000
			zones, counts := []string{"intel-rapl:0", "intel-rapl:1"}, []uint64{0, most - 1}
			f.zone(zones[0], "package-0", most, counts[0])
			f.zone(zones[1], "package-1", most, counts[1])
			m := f.meter(Options{})
			defer m.Close()
			var atWork, all []*Share
			var whole int64
			for range rapid.IntRange(1, 30).Draw(rt, "steps") {
				switch op := rapid.IntRange(0, 3).Draw(rt, "op"); {
				case op == 0:
					s := m.Begin()
					atWork, all = append(atWork, s), append(all, s)
				case op == 1 && len(atWork) > 0:
					i := rapid.IntRange(0, len(atWork)-1).Draw(rt, "which")
					atWork[i].End()
					atWork = slices.Delete(atWork, i, i+1)
				default:
					i := rapid.IntRange(0, 1).Draw(rt, "package")
					n := rapid.Uint64Range(0, most-1).Draw(rt, "microjoules")
					if counts[i] += n; counts[i] > most {
						counts[i] -= most
					}
					f.count(zones[i], counts[i])
					if len(atWork) > 0 {
						whole += int64(n)
					}
					pass(defaultInterval) // before it can run over twice
				}
			}
			for _, s := range atWork {
				s.End()
			}
			var sum int64
			for _, s := range all {
				if e := s.End(); !e.Measured {
					rt.Fatalf("a share has no figure: %s", e.Reason)
				}
				sum += s.microjoule
			}
			if sum != whole {
				rt.Errorf("the shares add up to %d uJ, %d were drawn", sum, whole)
			}
		})
	})
}

func TestRAPLThatMayNotBeRead(t *testing.T) {
	f := newMachine(t)
	synctest.Test(t, func(t *testing.T) {
		f.zone("intel-rapl:0", "package-0", 1_000_000, 5)
		f.zone("intel-rapl:1", "package-1", 1_000_000, 5)
		f.hide("intel-rapl:1/energy_uj") // one is enough: the sum would leave it out
		m := f.meter(Options{})
		defer m.Close()
		refused := []string{"intel-rapl:1/energy_uj may not be read", "sudo chmod a+r ", "intel-rapl:*/energy_uj", "udev rule", "no battery"}
		wantSource(t, m, "", refused...)
		wantReason(t, m.Begin().End(), refused[:4]...)

		f.bat("BAT1", "Discharging", 10_000_000)
		pass(lookAgain)
		s := m.Begin()
		pass(2 * time.Second)
		wantEnergy(t, s.End(), "battery", 20_000)
		wantSource(t, m, "battery", refused[:4]...) // it still says what would be better

		f.hide()
		other := f.meter(Options{})
		defer other.Close()
		wantSource(t, other, "rapl")
	})
}

func TestRAPLThatComesAndGoes(t *testing.T) {
	f := newMachine(t)
	synctest.Test(t, func(t *testing.T) {
		m := f.meter(Options{})
		defer m.Close()
		wantSource(t, m, "", "no processor has RAPL counters in "+f.root)
		f.zone("intel-rapl:0", "package-0", 1_000_000, 5)
		f.zone("intel-rapl:1", "package-1", 1_000_000, 5)
		pass(lookAgain)
		s := m.Begin()
		f.count("intel-rapl:1", 1_005)
		wantEnergy(t, s.End(), "rapl", 1)

		gone := m.Begin()
		f.remove(powercap + "intel-rapl:1")
		pass(time.Second)
		lost := m.Begin()
		wantReason(t, gone.End(), "intel-rapl:1/energy_uj is not there")
		wantSource(t, m, "", "intel-rapl:1/energy_uj is not there")
		pass(lookAgain) // found anew under a job that has no figure any more
		s = m.Begin()
		f.count("intel-rapl:0", 4_005)
		wantReason(t, lost.End(), "intel-rapl:1/energy_uj is not there")
		wantEnergy(t, s.End(), "rapl", 2)
		wantSource(t, m, "rapl")
	})
}

func TestRAPLThatMakesNoSense(t *testing.T) {
	for _, c := range []struct{ file, content, want string }{
		{"energy_uj", "many", `energy_uj holds "many", which is not an integer`},
		{"energy_uj", "", `energy_uj holds "", which is not an integer`},
		{"energy_uj", "-4", "energy_uj is negative"},
		{"max_energy_range_uj", "1e9", `max_energy_range_uj holds "1e9"`},
	} {
		f := newMachine(t)
		f.zone("intel-rapl:0", "package-0", 1_000_000, 5)
		f.put(powercap+"intel-rapl:0/"+c.file, c.content)
		m := f.meter(Options{})
		wantSource(t, m, "", c.want)
		wantReason(t, m.Begin().End(), c.want)
		m.Close()
	}
}

func TestBattery(t *testing.T) {
	f := newMachine(t)
	synctest.Test(t, func(t *testing.T) {
		f.bat("BAT0", "Discharging", 10_000_000)
		f.bat("BAT1", "Not charging", 0)
		f.put("sys/class/power_supply/AC/online", 0)
		m := f.meter(Options{})
		defer m.Close()
		wantSource(t, m, "battery")
		a := m.Begin()
		pass(time.Second)
		b := m.Begin()
		pass(time.Second)
		f.bat("BAT0", "Discharging", -30_000_000) // as some drivers write it
		pass(time.Second)
		wantEnergy(t, b.End(), "battery", (10_000+28_000)/2) // the rise took one interval
		wantEnergy(t, a.End(), "battery", 10_000+(10_000+28_000)/2)

		f.bat("BAT1", "Discharging", 5_000_000)
		c := m.Begin()
		pass(2 * time.Second)
		wantEnergy(t, c.End(), "battery", 70_000)
	})
}

// TestBatteryOnMains plugs in while a job is at work, and out again.
func TestBatteryOnMains(t *testing.T) {
	f := newMachine(t)
	synctest.Test(t, func(t *testing.T) {
		f.bat("BAT0", "Charging", 10_000_000)
		m := f.meter(Options{})
		defer m.Close()
		wantSource(t, m, "", "does not run on its battery (charging)")
		wantReason(t, m.Begin().End(), "does not run on its battery (charging)")
		f.bat("BAT0", "Discharging", 10_000_000)
		s := m.Begin()
		pass(time.Second)
		wantEnergy(t, s.End(), "battery", 10_000)
		wantSource(t, m, "battery")
		s = m.Begin()
		pass(time.Second)
		f.bat("BAT0", "Full", 0)
		pass(time.Second)
		f.bat("BAT0", "Discharging", 10_000_000)
		pass(time.Second)
		wantReason(t, s.End(), "no battery discharges")
	})
}

func TestBatteryRate(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]any
		want  int64 // millijoules in a second
		why   string
	}{
		{name: "power", files: map[string]any{"power_now": 7_000_000, "current_now": 1, "voltage_now": 1}, want: 7_000},
		{name: "current and voltage", files: map[string]any{"current_now": -1_500_000, "voltage_now": 12_000_000}, want: 18_000},
		{name: "nothing", why: "current_now is not there"},
		{name: "no voltage", files: map[string]any{"current_now": 1_500_000}, why: "voltage_now is not there"},
		{name: "zero", files: map[string]any{"power_now": 0}, why: "does not tell its rate (0 microwatts)"},
		{name: "absurd", files: map[string]any{"power_now": int64(1) << 62}, why: "does not tell its rate"},
		{name: "absurd current", files: map[string]any{"current_now": int64(-1) << 63, "voltage_now": 12_000_000}, why: "does not tell its rate"},
		{name: "no number", files: map[string]any{"power_now": "low"}, why: `holds "low"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newMachine(t)
			f.put("sys/class/power_supply/BAT0/status", "Discharging")
			for name, content := range c.files {
				f.put("sys/class/power_supply/BAT0/"+name, content)
			}
			synctest.Test(t, func(t *testing.T) {
				m := f.meter(Options{})
				defer m.Close()
				s := m.Begin()
				pass(time.Second)
				if e := s.End(); c.why == "" {
					wantEnergy(t, e, "battery", c.want)
				} else {
					wantReason(t, e, c.why)
				}
			})
		})
	}
}

// TestBatteryGap leaves the rate unread for longer than it can be guessed.
func TestBatteryGap(t *testing.T) {
	f := newMachine(t)
	synctest.Test(t, func(t *testing.T) {
		f.bat("BAT0", "Discharging", 10_000_000)
		var mu sync.Mutex
		ahead := time.Duration(0)
		m := f.meter(Options{Clock: func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return time.Now().Add(ahead)
		}})
		defer m.Close()
		shift := func(d time.Duration) {
			mu.Lock()
			ahead += d
			mu.Unlock()
		}
		s := m.Begin()
		shift(maxGap)
		wantEnergy(t, s.End(), "battery", maxGap.Milliseconds()*10)
		s = m.Begin()
		shift(maxGap + time.Millisecond)
		wantReason(t, s.End(), "was not read for 30.001s")
		s = m.Begin()
		shift(-time.Second)
		wantReason(t, s.End(), "was not read for -1s")
	})
}
