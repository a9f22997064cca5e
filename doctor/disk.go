package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// Disk is what the home and the models folder lie on.
type Disk struct {
	Home, Models Volume
	Grows        int64 // bytes that the home may still grow by: kept prefixes, results and jobs
	Leftovers    []Leftover
	Now          time.Time
}

// Volume is the file system of a folder. Sizes are in bytes.
type Volume struct {
	Folder      string // that it was asked about, or the nearest one above that exists
	Type        string // such as ext4 or nfs; "" if it is not known
	Free, Total int64
	FreeFiles   int64 // how many more files there may be; -1 if it is not known
}

// Leftover is a file of a download that did not end.
type Leftover struct {
	Name           string
	Bytes, Fetched int64
	Touched        time.Time
	Own            bool // it has its own name: a part of a split model whose first part is not there
}

const (
	// leastFree is what the database needs to go on.
	leastFree = 64 << 20
	// staleAfter is how old a leftover is that nobody goes on with.
	staleAfter = 7 * 24 * time.Hour
)

// networked are file systems whose locks and shared memory SQLite cannot rely on.
var networked = []string{"nfs", "nfs4", "cifs", "smb", "smb2", "smbfs", "afs", "afpfs", "ceph", "fuse.sshfs", "sshfs", "v9fs", "9p", "vboxsf", "webdav", "ncp", "coda"}

// CheckDisk judges whether there is room, and whether the file systems are fit
// for a database and for mapped models.
func CheckDisk(d Disk) []Finding {
	found := d.room(d.Home, "The home")
	if d.Models.Folder != d.Home.Folder && (d.Models.Total != d.Home.Total || d.Models.Type != d.Home.Type) {
		found = append(found, d.room(d.Models, "The models folder")...)
	}
	switch {
	case slices.Contains(networked, d.Home.Type):
		found = append(found, warning("disk", "The home lies on a network file system (%s).", d.Home.Type).
			because("SQLite needs locks and shared memory that such file systems do not always keep; jobs and costs can be lost.").
			mend("Put the home on a disk of this machine: JEANTRAIL_HOME=/path/on/a/local/disk"))
	case d.Home.Type == "tmpfs" || d.Home.Type == "ramfs":
		found = append(found, warning("disk", "The home lies in memory (%s).", d.Home.Type).
			because("Jobs, costs and models are gone when the machine restarts, and take memory from models until then.").
			mend("Put the home on a disk: JEANTRAIL_HOME=/path/on/a/disk"))
	}
	return append(found, d.leftovers()...)
}

func (d Disk) room(v Volume, what string) []Finding {
	const name = "disk"
	text := fmt.Sprintf("%s has %s free of %s", what, jeantrail.Size(v.Free), jeantrail.Size(v.Total))
	if v.Type != "" {
		text += " (" + v.Type + ")"
	}
	mend := []string{"See what takes room: du -sh " + v.Folder + "/*"}
	if len(d.Leftovers) > 0 {
		mend = append([]string{"jeantrail-ai model prune"}, mend...)
	}
	switch {
	case v.Free < leastFree:
		return []Finding{problem(name, "%s.", text).because("Jobs cannot be recorded, so they are refused.").mend(mend...)}
	case v.FreeFiles == 0:
		return []Finding{problem(name, "%s, and no more files can be made there.", text).because("Jobs cannot be recorded, so they are refused.").mend(mend...)}
	case v.Free < d.Grows+leastFree:
		return []Finding{warning(name, "%s, and what is kept may grow by %s.", text, jeantrail.Size(d.Grows)).
			because("When the disk is full, jobs are refused.").
			mend(append(mend, "Or set engine.prefix_disk and cache.max_bytes in config.yaml to less.")...)}
	}
	return []Finding{good(name, "%s in %s.", text, v.Folder)}
}

func (d Disk) leftovers() []Finding {
	var found []Finding
	for _, l := range d.Leftovers {
		text := fmt.Sprintf("%s of %s of %s are there", jeantrail.Size(l.Fetched), jeantrail.Size(l.Bytes), l.Name)
		age := d.Now.Sub(l.Touched)
		switch {
		case l.Own:
			found = append(found, remark("downloads", "%s, %s, is a part of a model whose first part is not there.", l.Name, jeantrail.Size(l.Bytes)).
				mend("Pull the model again: jeantrail-ai model pull …", "Or remove all leftovers: jeantrail-ai model prune"))
		case age < time.Minute:
			found = append(found, good("downloads", "%s; it is being fetched, or was a minute ago.", text))
		case age < staleAfter:
			found = append(found, remark("downloads", "%s; it can go on.", text).
				mend("Pull it again by the same name: jeantrail-ai model pull …", "Or remove all leftovers: jeantrail-ai model prune"))
		default:
			f := warning("downloads", "%s; nobody has gone on with it for %d days.", text, int(age/(24*time.Hour))).
				because("It takes %s of the disk.", jeantrail.Size(l.Bytes)).
				mend("Pull it again by the same name: jeantrail-ai model pull …", "Or remove all leftovers: jeantrail-ai model prune")
			f.Fix = &Fix{Kind: FixLeftover, Path: l.Name, Does: "discard what had come of " + l.Name + ", " + jeantrail.Size(l.Bytes)}
			found = append(found, f)
		}
	}
	return found
}

// Database is the file that jobs and costs are in.
type Database struct {
	Path    string
	There   bool
	Bytes   int64
	WAL     int64 // bytes of the write-ahead log
	Version int64 // of its schema
	Newest  int64 // schema that this program knows
	// Err is why it cannot be read, with Hint what to do.
	Err, Hint string
	// Unsound are the first complaints of a check of all pages; Checked says that
	// the check came to its end.
	Unsound []string
	Checked bool
}

// largeWAL is more than a log grows to that is folded into the file as it should
// be.
const largeWAL = 256 << 20

// CheckDatabase judges the database file.
func CheckDatabase(d Database) []Finding {
	const name = "database"
	if !d.There {
		return []Finding{good(name, "There is none yet at %s; the first start makes it.", d.Path)}
	}
	if d.Err != "" {
		return []Finding{problem(name, "%s.", strings.TrimSuffix(d.Err, ".")).
			because("No instance starts on this home.").mend(d.Hint)}
	}
	if len(d.Unsound) > 0 {
		return []Finding{problem(name, "%s is damaged: %s.", d.Path, strings.Join(d.Unsound, "; ")).
			because("What is asked of the damaged part fails, and it can spread.").
			mend("Stop the instance, then keep what can be read: sqlite3 "+quoted(d.Path)+" .recover | sqlite3 "+quoted(d.Path+".new"),
				"Then put the new file in the place of the old one, without the -wal and -shm files beside it.")}
	}
	var found []Finding
	if d.WAL > largeWAL {
		found = append(found, warning(name, "Its write-ahead log has %s.", jeantrail.Size(d.WAL)).
			because("A log that is not folded into the file makes each reading slower; some program holds an old state open.").
			mend("Close other programs that have "+d.Path+" open, or start the instance anew."))
	}
	text := fmt.Sprintf("%s has %s", d.Path, jeantrail.Size(d.Bytes))
	if d.WAL > 0 {
		text += " and a log of " + jeantrail.Size(d.WAL)
	}
	text += fmt.Sprintf(", schema %d", d.Version)
	if d.Version < d.Newest {
		text += fmt.Sprintf("; the next start brings it to %d", d.Newest)
	}
	if d.Checked {
		text += "; all pages are sound"
	} else {
		text += "; the check of its pages was not ended in the time there was"
	}
	return append(found, good(name, "%s.", text))
}

// quoted writes a path for a shell.
func quoted(path string) string {
	if !strings.ContainsAny(path, " '\"\\$&|;<>()*?[]`~#!") {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
