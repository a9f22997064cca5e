package doctor

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/jeantrail/jeantrail-ai"
)

// Home is the folder that everything is kept in.
type Home struct {
	Path   string
	Source string // where the path is from, such as JEANTRAIL_HOME
	There  bool
	Folder bool
	Mode   fs.FileMode
	// Owner is a user, "" if it is not known or the system has none; Foreign says
	// that it is neither the one who runs this nor somebody root works for.
	Owner    string
	Foreign  bool
	Writable bool
	ReadOnly bool   // the file system is
	Above    string // the nearest folder above that exists, if the home does not
	AboveOK  bool   // and may be written to
	User     string
	Modes    bool // the system has modes

	Open  []Entry // files and folders within that others may read or write
	Alien []Entry // files and folders within whose owner is not the home's

	Err, Hint string // no folder can be found at all
}

// Entry is a file or folder of the home.
type Entry struct {
	Path  string
	Mode  fs.FileMode
	Owner string
	Want  fs.FileMode
}

// CheckHome judges whether the home can be used, and whether others can see into
// it.
func CheckHome(h Home) []Finding {
	const name = "home"
	elsewhere := "Or choose another folder: export JEANTRAIL_HOME=$HOME/jeantrail-ai"
	switch {
	case h.Err != "":
		return []Finding{problem(name, "%s.", strings.TrimSuffix(h.Err, ".")).
			because("There is no place for jobs, costs and models, so nothing starts.").mend(h.Hint)}
	case !h.There && !h.AboveOK:
		return []Finding{problem(name, "%s is not there, and %s may not be written to by %s.", h.Path, h.Above, h.User).
			because("There is no place for jobs, costs and models, so nothing starts.").
			mend(fmt.Sprintf("sudo install -d -m 0700 -o %s %s", h.User, quoted(h.Path)), elsewhere)}
	case !h.There:
		return []Finding{good(name, "%s is not there yet; the first start makes it.", h.Path)}
	case !h.Folder:
		return []Finding{problem(name, "%s is not a folder.", h.Path).
			because("There is no place for jobs, costs and models, so nothing starts.").
			mend(elsewhere, "Or move the file away: mv "+quoted(h.Path)+" "+quoted(h.Path+".old"))}
	case h.ReadOnly:
		return []Finding{problem(name, "%s lies on a file system that is mounted for reading only.", h.Path).
			because("Jobs cannot be recorded, so nothing starts.").
			mend("See why, the disk may be damaged: sudo dmesg | tail; then: sudo mount -o remount,rw …", elsewhere)}
	case h.Foreign && h.Writable:
		return []Finding{warning(name, "%s belongs to %s, not to %s.", h.Path, h.Owner, h.User).
			because("What is written there by %s, %s may not be able to read.", h.User, h.Owner).
			mend(fmt.Sprintf("Run it as %s, or: sudo chown -R %s %s", h.Owner, h.User, quoted(h.Path)), elsewhere)}
	case !h.Writable && h.Foreign:
		return []Finding{problem(name, "%s belongs to %s, and %s may not write to it.", h.Path, h.Owner, h.User).
			because("Jobs cannot be recorded, so nothing starts.").
			mend(fmt.Sprintf("sudo chown -R %s %s", h.User, quoted(h.Path)), elsewhere)}
	case !h.Writable:
		return []Finding{problem(name, "%s may not be written to (mode %04o).", h.Path, h.Mode.Perm()).
			because("Jobs cannot be recorded, so nothing starts.").
			mend("chmod 0700 "+quoted(h.Path), elsewhere)}
	}
	found := h.aliens()
	if h.Modes {
		found = append(found, h.openness()...)
	}
	text := fmt.Sprintf("%s is a folder of its owner's alone", h.Path)
	if !h.Modes {
		text = h.Path + " can be written to"
	}
	if h.Source != "" {
		text += ", from " + h.Source
	}
	return orGood(found, good(name, "%s.", text))
}

func (h Home) aliens() []Finding {
	if len(h.Alien) == 0 {
		return nil
	}
	what := filepath.Base(h.Alien[0].Path)
	if more := len(h.Alien) - 1; more > 0 {
		what += fmt.Sprintf(" and %d more", more)
	}
	return []Finding{problem("home", "%s in %s: the owner is %s, and that of the home %s.", what, h.Path, h.Alien[0].Owner, h.Owner).
		because("%s cannot write there; it happens when the program was once run with sudo.", h.Owner).
		mend(fmt.Sprintf("sudo chown -R %s %s", h.Owner, quoted(h.Path)))}
}

// openness says what others may see: the token of a running instance, keys in
// config.yaml, and what people asked.
func (h Home) openness() []Finding {
	var found []Finding
	if h.Mode.Perm()&0o077 != 0 {
		f := warning("home", "%s has mode %04o, so that other users of this machine can look into it.", h.Path, h.Mode.Perm()).
			because("Requests, answers and the token of a running instance lie there.").mend("chmod 0700 " + quoted(h.Path))
		f.Fix = &Fix{Kind: FixMode, Path: h.Path, Mode: 0o700, Does: "set the mode of " + h.Path + " to 0700"}
		found = append(found, f)
	}
	for _, e := range h.Open {
		f := warning("home", "%s has mode %04o.", e.Path, e.Mode.Perm()).
			because("It is to be its owner's alone.").mend(fmt.Sprintf("chmod %04o %s", e.Want, quoted(e.Path)))
		f.Fix = &Fix{Kind: FixMode, Path: e.Path, Mode: uint32(e.Want), Does: fmt.Sprintf("set the mode of %s to %04o", e.Path, e.Want)}
		found = append(found, f)
	}
	return found
}

// Limits is what the system allows a process.
type Limits struct {
	OpenFiles    uint64 // the most, which Go takes for itself; 0: not known
	AddressSpace uint64 // bytes; 0: no limit, or not known
	LargestModel int64  // bytes of the largest model file
	Umask        uint32
	UmaskKnown   bool
	MapErr       error // a file of the home cannot be mapped into memory
}

// leastFiles is enough for a hundred streams, the workers and the database.
const leastFiles = 1024

// CheckLimits judges what the system allows this program.
func CheckLimits(l Limits) []Finding {
	const name = "limits"
	var found []Finding
	if l.OpenFiles > 0 && l.OpenFiles < leastFiles {
		found = append(found, warning(name, "A process may have %d files open.", l.OpenFiles).
			because("Each stream of a client is one; the next one is refused.").
			mend("ulimit -Hn 65536 as root, or LimitNOFILE=65536 in the systemd unit, or nofile in /etc/security/limits.conf."))
	}
	if l.AddressSpace > 0 && l.AddressSpace < uint64(max(l.LargestModel, 0))+4<<30 {
		found = append(found, warning(name, "A process may map %s of memory.", jeantrail.Size(int64(l.AddressSpace))).
			because("Models are mapped from their files, and loading one of them would fail.").
			mend("ulimit -v unlimited, or LimitAS=infinity in the systemd unit."))
	}
	if l.UmaskKnown && l.Umask&0o700 != 0 {
		found = append(found, problem(name, "The umask is %04o, which takes rights from the owner of a new file.", l.Umask).
			because("This program could not read what it writes.").mend("umask 0077"))
	}
	if l.MapErr != nil {
		found = append(found, problem(name, "A file of the home cannot be mapped into memory: %s.", strings.TrimSuffix(l.MapErr.Error(), ".")).
			because("Models are mapped from their files.").
			mend("Put the home on another file system: JEANTRAIL_HOME=/path/on/a/local/disk"))
	}
	text := "Nothing here stands in the way"
	if l.OpenFiles > 0 {
		text = fmt.Sprintf("%d files may be open at once", l.OpenFiles)
	}
	return orGood(found, good(name, "%s.", text))
}
