package energy

import (
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// A probe reads one kind of source. Only the goroutine that reads calls it.
type probe interface {
	// name is how a result names the source.
	name() string
	// read returns what the source shows now: where counters stand, or a rate.
	read() ([]uint64, error)
	// drawn returns the microjoules that were drawn between two readings. An
	// error means that they are not known.
	drawn(before, after []uint64, elapsed time.Duration) (int64, error)
	close()
}

// maxWatts is more than a processor, a GPU or a battery gives. A counter that
// says more was set back and looks as if it had run over.
const maxWatts = 5000

// lag is how far a counter may be behind: RAPL's are renewed every millisecond,
// a GPU's about ten times a second.
const lag = 100 * time.Millisecond

// counter counts microjoules upwards.
type counter struct {
	label string // for a person
	// most is the largest value, after which it starts again at 0; 0 if it does
	// not in any machine's life.
	most uint64
	read func() (uint64, error)
}

// drawn returns by how much the counter has moved.
func (c *counter) drawn(before, after uint64, elapsed time.Duration) (int64, error) {
	moved := after - before
	if after < before {
		if before > c.most {
			return 0, setBack(c.label)
		}
		// The step from most to 0 is one unit of the counter, tens of
		// microjoules, which the kernel does not tell and which is left out.
		moved = c.most - before + after
	}
	// Watts times milliseconds are millijoules. No two readings are a day apart.
	held := min(max(elapsed, 0), 24*time.Hour) + lag
	if moved/1000 > maxWatts*uint64(held.Milliseconds()) {
		return 0, setBack(c.label)
	}
	return int64(moved), nil
}

func setBack(label string) error {
	return jeantrail.Errorf(jeantrail.CodeConflict, "the energy counter %s was set back while the job ran", label)
}

// counters is a probe of several counters that add up.
type counters struct {
	source string
	list   []counter
	done   func() // gives back what they hold; may be nil
}

func (c *counters) name() string { return c.source }

func (c *counters) read() ([]uint64, error) {
	values := make([]uint64, len(c.list))
	for i := range c.list {
		v, err := c.list[i].read()
		if err != nil {
			return nil, err
		}
		values[i] = v
	}
	return values, nil
}

func (c *counters) drawn(before, after []uint64, elapsed time.Duration) (int64, error) {
	var sum int64
	for i := range c.list {
		n, err := c.list[i].drawn(before[i], after[i], elapsed)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

func (c *counters) close() {
	if c.done != nil {
		c.done()
	}
}
