package doctor

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// Instance is who holds the home, as far as can be seen without asking for its
// lock.
type Instance struct {
	Home    string
	File    string // path of the file that tells how to reach it
	There   bool   // the file is
	FileErr error  // it cannot be read
	Half    string // path of a half-written one, "" none
	PID     int    // that the file names
	URL     string
	Version string // that the file says
	Alive   bool   // the process that it names is there, and is this program

	Holders     []int // processes that hold the lock
	HoldersSeen bool  // the system tells
	HolderAge   time.Duration

	Answered bool   // as the instance of the file
	Status   string // that it answered
	Took     time.Duration
	Err      error // why it did not

	Own     string // version of this program
	Others  []Process
	Windows bool
}

// Process is a running instance of this program.
type Process struct {
	PID    int
	Home   string // "" if it cannot be seen
	Orphan bool   // the app that launched it is gone
	Holds  bool   // it is the one that holds this home
}

// starting is how long an instance may take until it tells how to reach it.
const starting = 15 * time.Second

// CheckInstance judges the instance of this home, and finds those that their app
// left behind.
func CheckInstance(i Instance) []Finding {
	found := i.own()
	if i.Half != "" && len(i.Holders) == 0 && !i.Alive {
		f := remark("instance", "%s was left by a start that was cut off.", filepath.Base(i.Half))
		f.Fix = &Fix{Kind: FixInstanceFile, Path: i.Half, Does: "remove " + i.Half}
		found = append(found, f.mend("rm "+quoted(i.Half)))
	}
	for _, p := range i.Others {
		home := "an unknown home"
		if p.Home != "" {
			home = p.Home
		}
		switch {
		case p.Orphan:
			found = append(found, warning("instance", "Process %d on %s was launched by an app that is gone.", p.PID, home).
				because("It should have ended with the app; it holds memory, and its home.").mend(i.end(p.PID)...))
		case !p.Holds && p.Home != i.Home:
			found = append(found, remark("instance", "Another instance runs as process %d on %s.", p.PID, home))
		}
	}
	return found
}

// own judges the instance that the home's files and lock tell of.
func (i Instance) own() []Finding {
	const name = "instance"
	holder := i.holder()
	switch {
	case i.Answered:
		return i.answers()
	case holder < 0 && !i.There:
		return []Finding{good(name, "No instance runs on this home.")}
	case holder < 0:
		what := fmt.Sprintf("%s tells of process %d, which is gone", filepath.Base(i.File), i.PID)
		if i.FileErr != nil {
			what = fmt.Sprintf("%s cannot be read (%v), and nobody holds the home", filepath.Base(i.File), i.FileErr)
		}
		f := warning(name, "%s.", what).
			because("It was left by an instance that could not end in an orderly way; commands look past it, other programs may not.").
			mend("rm " + quoted(i.File))
		f.Fix = &Fix{Kind: FixInstanceFile, Path: i.File, Does: "remove " + i.File}
		return []Finding{f}
	case !i.There && i.HolderAge < starting:
		return []Finding{remark(name, "An instance (pid %d) is just starting.", holder)}
	}
	why := "says nothing of where it listens"
	if i.URL != "" {
		why = fmt.Sprintf("does not answer at %s within %s", i.URL, i.Took.Round(100*time.Millisecond))
		if i.Err != nil {
			why += ": " + i.Err.Error()
		}
	}
	return []Finding{problem(name, "The instance (pid %d) holds the home and %s.", holder, why).
		because("Every command waits for it in vain, and no other instance can start on this home.").
		mend(i.end(holder)...)}
}

// holder is the process that has the home, -1 if nobody has.
func (i Instance) holder() int {
	switch {
	case i.HoldersSeen && len(i.Holders) == 0:
		return -1
	case i.HoldersSeen:
		return i.Holders[0]
	case i.There && i.Alive:
		return i.PID
	}
	return -1
}

// answers judges an instance that does.
func (i Instance) answers() []Finding {
	const name = "instance"
	text := fmt.Sprintf("An instance (pid %d) answers at %s in %s", i.PID, i.URL, i.Took.Round(time.Millisecond))
	var found []Finding
	if i.Version != i.Own && i.Version != "" {
		found = append(found, remark(name, "It is of version %s, and this is %s.", i.Version, i.Own).
			mend(fmt.Sprintf("Stop it, and start this one: kill %d; jeantrail-ai serve", i.PID)))
	}
	if i.Status == "degraded" {
		return append(found, warning(name, "%s: %s.", text, i.Status).
			because("A model, a worker or the database is not as it should be.").
			mend("The checks below say which; its own words: curl "+strings.TrimSuffix(i.URL, "/")+"/health"))
	}
	if i.Status != "" && i.Status != "ok" {
		text += ": " + i.Status
	}
	return append([]Finding{good(name, "%s.", text)}, found...)
}

// end is how a process is ended.
func (i Instance) end(pid int) []string {
	if i.Windows {
		return []string{fmt.Sprintf("taskkill /PID %d", pid), fmt.Sprintf("After 10 seconds: taskkill /F /PID %d (the next start recovers its jobs)", pid)}
	}
	return []string{fmt.Sprintf("kill %d", pid), fmt.Sprintf("After 10 seconds: kill -9 %d (the next start recovers its jobs)", pid)}
}
