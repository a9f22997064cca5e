package doctor

import (
	"fmt"
	"strings"

	"github.com/jeantrail/jeantrail-ai"
)

// Memory is what there is for models to be in. Sizes are in bytes; what is not
// known is 0.
type Memory struct {
	Total, Available    int64
	Machine             int64 // Total is less in a container with a limit
	Limit               int64 // memory.limit of the configuration
	SwapTotal, SwapUsed int64
	Plans               []Planned
	// Devices says that a GPU can be used.
	Devices bool
}

// Planned is whether a model fits.
type Planned struct {
	Name            string
	Default, Pinned bool
	Loaded          bool // by an instance that runs
	Need            int64
	Usable          int64
	RAM             int64  // of Need, in the machine's memory
	Refusal, Hint   string // why it would be refused; "" if it fits
	// Tight is what other programs leave too little of; Short says that it cannot
	// work with that.
	Tight  string
	Short  bool
	Layers int // n_gpu_layers as configured; -1 as many as fit
}

// heavySwap is how much must be swapped out to be called heavy.
const heavySwap = 512 << 20

// CheckMemory judges whether the memory is enough for what is configured.
func CheckMemory(m Memory) []Finding {
	const name = "memory"
	var found []Finding
	if m.Limit > m.Total && m.Total > 0 {
		found = append(found, warning(name, "memory.limit is %s, and there are %s of memory.", jeantrail.Size(m.Limit), jeantrail.Size(m.Total)).
			because("Models would be loaded until the system swaps or ends the process.").
			mend(fmt.Sprintf("Set memory.limit in config.yaml to %s or less, or leave it out: then it is 85 %% of the memory.", jeantrail.Size(m.Total/100*85))))
	}
	if m.SwapUsed > heavySwap && m.SwapUsed > m.SwapTotal/2 {
		found = append(found, warning(name, "%s of %s of swap are in use.", jeantrail.Size(m.SwapUsed), jeantrail.Size(m.SwapTotal)).
			because("Weights that are swapped out are read from the disk for each token.").
			mend("See who holds memory, and end what is not needed: ps aux --sort=-rss | head"))
	}
	if m.Total > 0 && m.Available < m.Total/20 {
		found = append(found, warning(name, "%s of %s of memory are available.", jeantrail.Size(m.Available), jeantrail.Size(m.Total)).
			because("The next model, or the next long conversation, may not fit.").
			mend("See who holds memory, and end what is not needed: ps aux --sort=-rss | head"))
	}
	text := fmt.Sprintf("%s of %s of memory are available", jeantrail.Size(m.Available), jeantrail.Size(m.Total))
	if m.Machine > m.Total {
		text += fmt.Sprintf(" in this container, of a machine with %s", jeantrail.Size(m.Machine))
	}
	if m.Limit > 0 {
		text += fmt.Sprintf("; models may hold %s", jeantrail.Size(m.Limit))
	}
	return append(orGood(found, good(name, "%s.", text)), checkPlans(m)...)
}

// checkPlans says which models fit, and whether those that stay in memory do so
// together.
func checkPlans(m Memory) []Finding {
	const name = "fit"
	var found []Finding
	var staying, usable int64
	stay := 0
	for _, p := range m.Plans {
		switch {
		case p.Loaded:
			found = append(found, good(name, "%s is loaded.", p.Name))
		case p.Refusal != "":
			found = append(found, m.tooLarge(p))
		case p.Tight != "":
			found = append(found, p.tight())
		default:
			found = append(found, good(name, "%s needs %s and fits.", p.Name, jeantrail.Size(p.Need)))
		}
		if !m.Devices && p.Layers > 0 {
			found = append(found, warning(name, "n_gpu_layers of %s is %d, and there is no card that this build can use.", p.Name, p.Layers).
				because("All layers run on the processor.").
				mend(fmt.Sprintf("Take n_gpu_layers out of the block of %s in config.yaml, or see what graphics says above.", p.Name)))
		}
		if (p.Default || p.Pinned) && !p.Loaded && p.Refusal == "" {
			staying, usable, stay = staying+p.RAM, p.Usable, stay+1
		}
	}
	if stay > 1 && staying > usable {
		found = append(found, warning(name, "The default and the pinned models need %s of memory together, and %s can be used.", jeantrail.Size(staying), jeantrail.Size(usable)).
			because("Each fits alone; the last of them to be loaded is refused.").
			mend("Take pinned: true from one of them in config.yaml, or give it a smaller n_ctx."))
	}
	return found
}

// tight says that a model fits the machine, but not beside what runs on it now.
func (p Planned) tight() Finding {
	f := warning("fit", "%s: %s.", p.Name, strings.TrimSuffix(p.Tight, ".")).
		because("Its weights would be read from the disk again and again, which is slow.")
	if p.Short {
		f.Why = "Requests for it are refused until other programs let go of memory."
		if p.Default || p.Pinned {
			f.Status = Problem
		}
	}
	return f.mend("See who holds memory, and end what is not needed: ps aux --sort=-rss | head",
		"Or give "+p.Name+" a smaller n_ctx in config.yaml.")
}

func (m Memory) tooLarge(p Planned) Finding {
	f := warning("fit", "%s.", p.Refusal).because("Requests for %s are refused.", p.Name)
	if p.Default || p.Pinned {
		f.Status = Problem
	}
	f = f.mend(p.Hint)
	if p.Default {
		f = f.mend("Find one that fits: jeantrail-ai model recommend; then set default_model in config.yaml.")
	}
	if m.Machine > m.Total {
		f = f.mend(fmt.Sprintf("Give the container more of the machine's %s: docker run --memory …", jeantrail.Size(m.Machine)))
	}
	return f
}
