package main

import (
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progressDelay is how long something may take before a bar is worth a look.
const progressDelay = time.Second

// Progress shows how far something is, on a terminal only, and only when it
// takes longer than a second. Elsewhere it is silent.
type Progress struct {
	out     io.Writer
	label   string
	bytes   bool
	started time.Time
	bar     *progressbar.ProgressBar
}

// newProgress makes a bar on standard error. With bytes the figures are sizes
// and the speed is shown; otherwise they are percents.
func newProgress(label string, bytes bool) *Progress {
	p := &Progress{label: label, bytes: bytes, started: time.Now()}
	if term.IsTerminal(int(os.Stderr.Fd())) {
		p.out = os.Stderr
	}
	return p
}

// Set moves the bar.
func (p *Progress) Set(done, total int64) {
	if p.out == nil || total <= 0 {
		return
	}
	if p.bar == nil {
		if time.Since(p.started) < progressDelay {
			return
		}
		p.bar = progressbar.NewOptions64(total,
			progressbar.OptionSetWriter(p.out),
			progressbar.OptionSetDescription(p.label),
			progressbar.OptionShowBytes(p.bytes),
			progressbar.OptionSetWidth(30),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionClearOnFinish(),
		)
	}
	_ = p.bar.Set64(min(done, total)) // a bar that cannot be drawn is no reason to stop
}

// Done removes the bar.
func (p *Progress) Done() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
