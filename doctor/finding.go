package doctor

import (
	"fmt"
	"slices"
)

// Status is how bad a finding is.
type Status string

// The statuses, the best first.
const (
	OK      Status = "ok"
	Note    Status = "note"    // worth knowing; nothing fails because of it
	Warning Status = "warning" // something works worse than it could, or will fail some day
	Problem Status = "problem" // something does not work
)

// Finding is what a check has to say about one thing.
type Finding struct {
	Name   string   `json:"name"` // what was looked at, such as disk
	Status Status   `json:"status"`
	Found  string   `json:"found"`          // one sentence, with the numbers
	Why    string   `json:"why,omitempty"`  // one sentence; there is one for each warning and problem
	Mend   []string `json:"mend,omitempty"` // commands and edits, the first to be tried first
	Fix    *Fix     `json:"fix,omitempty"`  // what can be done safely without a person
}

// FixKind is what a fix does.
type FixKind string

// The kinds.
const (
	FixInstanceFile FixKind = "instance_file" // remove what a process that is gone told about itself
	FixLeftover     FixKind = "leftover"      // discard what an unfinished download left
	FixMode         FixKind = "mode"          // make a folder or file its owner's alone
)

// Fix is a change that takes nothing from anybody.
type Fix struct {
	Kind FixKind `json:"kind"`
	Path string  `json:"path"` // of the file; of a leftover, its name in the models folder
	Mode uint32  `json:"mode,omitempty"`
	Does string  `json:"does"` // for a person, such as "remove /home/a/instance.json"

	Done  bool   `json:"done"`
	Error string `json:"error,omitempty"` // why it was not done
}

func good(name, format string, args ...any) Finding {
	return Finding{Name: name, Status: OK, Found: fmt.Sprintf(format, args...)}
}

func remark(name, format string, args ...any) Finding {
	return Finding{Name: name, Status: Note, Found: fmt.Sprintf(format, args...)}
}

func warning(name, format string, args ...any) Finding {
	return Finding{Name: name, Status: Warning, Found: fmt.Sprintf(format, args...)}
}

func problem(name, format string, args ...any) Finding {
	return Finding{Name: name, Status: Problem, Found: fmt.Sprintf(format, args...)}
}

func (f Finding) because(format string, args ...any) Finding {
	f.Why = fmt.Sprintf(format, args...)
	return f
}

// mend adds ways to mend; empty ones are left out.
func (f Finding) mend(lines ...string) Finding {
	for _, line := range lines {
		if line != "" {
			f.Mend = append(slices.Clip(f.Mend), line)
		}
	}
	return f
}

// Fixed reports whether what was found is mended by now.
func (f Finding) Fixed() bool { return f.Fix != nil && f.Fix.Done }

// Count counts the findings of a status that are not mended by now.
func Count(all []Finding, s Status) int {
	n := 0
	for _, f := range all {
		if f.Status == s && !f.Fixed() {
			n++
		}
	}
	return n
}

// Unseen is the finding of a check that could not look.
func Unseen(name string, err error) Finding {
	return remark(name, "This could not be looked at: %v.", err)
}

// orGood returns the findings, or the good one if there are none above a note.
func orGood(found []Finding, otherwise Finding) []Finding {
	for _, f := range found {
		if f.Status == Warning || f.Status == Problem {
			return found
		}
	}
	return append([]Finding{otherwise}, found...)
}

// plural writes a number with its noun.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
