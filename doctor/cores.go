package doctor

import (
	"fmt"
	"strings"
)

// Cores is what there is to compute with besides cards.
type Cores struct {
	Logical, Physical int // of the machine
	Allowed           int // that this process may run on
	Default           int // threads that a model takes if nothing is set
	Governors         []Governor
	Threads           []Threads // that are configured
}

// Threads is n_threads of a model.
type Threads struct {
	Model string
	N     int
}

// Governor is how a core's clock is governed.
type Governor struct{ Name, Driver, Preference string }

// saves reports whether the clock stays low under load. The drivers that govern
// in hardware call their usual state powersave too.
func (g Governor) saves() bool {
	if g.Driver == "intel_pstate" || strings.HasPrefix(g.Driver, "amd-pstate") {
		return g.Preference == "power"
	}
	return g.Name == "powersave"
}

// CheckCores judges the threads that are configured, and how fast the cores may
// run.
func CheckCores(c Cores) []Finding {
	const name = "cores"
	var found []Finding
	for _, t := range c.Threads {
		switch {
		case t.N > c.Allowed:
			found = append(found, warning(name, "n_threads of %s is %d, and this process may run on %s.", t.Model, t.N, plural(c.Allowed, "core", "cores")).
				because("Threads of a step wait for each other, so that each step is as slow as the slowest of them.").
				mend(fmt.Sprintf("Set n_threads of %s in config.yaml to %d, or leave it out.", t.Model, c.Default)))
		case t.N > c.Default:
			found = append(found, remark(name, "n_threads of %s is %d; there are free cores for %d.", t.Model, t.N, c.Default).
				because("Two threads on one core, or more than the CPU quota allows, are rarely faster.").
				mend(fmt.Sprintf("Measure it: jeantrail-ai bench raw, with n_threads %d and %d.", c.Default, t.N)))
		}
	}
	for _, g := range c.Governors {
		if g.saves() {
			found = append(found, remark(name, "The cores' clock is governed to save power (%s, driver %s).", g.Name, g.Driver).
				because("They stay slow under load.").mend("sudo cpupower frequency-set -g performance"))
			break
		}
	}
	text := fmt.Sprintf("%d logical cores, %d physical", c.Logical, c.Physical)
	if c.Allowed < c.Logical {
		text += fmt.Sprintf("; this process may run on %d", c.Allowed)
	}
	return orGood(found, good(name, "%s; a model takes %s.", text, plural(c.Default, "thread", "threads")))
}
