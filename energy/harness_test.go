package energy

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/jeantrail/jeantrail-ai"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tap is a source that the test turns on.
type tap struct {
	mu     sync.Mutex
	count  uint64
	err    error
	reads  int
	closed int
	stuck  chan struct{} // if set, a reading waits until it is closed
}

// probes returns the source as a meter looks for it.
func (p *tap) probes() ([]probe, error) {
	c := counter{label: "tap", read: p.value}
	return []probe{&counters{source: "tap", list: []counter{c}, done: func() {
		p.mu.Lock()
		p.closed++
		p.mu.Unlock()
	}}}, nil
}

func (p *tap) value() (uint64, error) {
	p.mu.Lock()
	stuck := p.stuck
	p.mu.Unlock()
	if stuck != nil {
		<-stuck
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reads++
	return p.count, p.err
}

func (p *tap) draw(microjoule uint64) {
	p.mu.Lock()
	p.count += microjoule
	p.mu.Unlock()
}

func (p *tap) fail(err error) {
	p.mu.Lock()
	p.err = err
	p.mu.Unlock()
}

// taken returns how many readings there were since it was last asked.
func (p *tap) taken() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.reads
	p.reads = 0
	return n
}

// timesClosed is how often the meter gave the source back.
func (p *tap) timesClosed() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// reads reports whether the meter has a goroutine, once it has done what is due.
func reads(m *Meter) bool {
	synctest.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.running
}

func (p *tap) hold(stuck chan struct{}) {
	p.mu.Lock()
	p.stuck = stuck
	p.mu.Unlock()
}

// pass lets time go by, and lets the meter take the readings that are due then.
func pass(d time.Duration) {
	time.Sleep(d) // in a bubble, so nobody waits
	synctest.Wait()
}

func wantEnergy(t *testing.T, got jeantrail.Energy, source string, millijoule int64) {
	t.Helper()
	if !got.Measured || got.Source != source || got.Millijoule != millijoule || got.Reason != "" {
		t.Errorf("got %+v, want %d mJ from %s", got, millijoule, source)
	}
}

func wantReason(t *testing.T, got jeantrail.Energy, parts ...string) {
	t.Helper()
	if got.Measured || got.Millijoule != 0 || got.Source != "" || got.Price != 0 {
		t.Errorf("got %+v, want nothing measured", got)
	}
	for _, part := range parts {
		if !strings.Contains(got.Reason, part) {
			t.Errorf("the reason is %q, want it to say %q", got.Reason, part)
		}
	}
}
