package jeantrail

import "time"

// PullStatus is where the download of a model stands.
type PullStatus string

// The statuses. The last three are the end.
const (
	PullResolving   PullStatus = "resolving"
	PullDownloading PullStatus = "downloading"
	PullVerifying   PullStatus = "verifying"
	PullValidating  PullStatus = "validating"
	PullDone        PullStatus = "done"
	PullFailed      PullStatus = "failed"
	PullCancelled   PullStatus = "cancelled"
)

// Terminal reports whether nothing more will happen to the pull.
func (s PullStatus) Terminal() bool {
	return s == PullDone || s == PullFailed || s == PullCancelled
}

// Pull is the download of a model as it stands. It lives as long as the process;
// what came is on the disk, and asking for the same again goes on from there.
type Pull struct {
	ID        string // UUIDv7
	Source    string // what was asked for
	Model     string // the name that it has here, once it is known
	Status    PullStatus
	File      string // that is worked at; "" for all
	Done      int64  // bytes
	Total     int64  // bytes; 0 while it is not known
	Speed     int64  // bytes per second over the last few seconds; 0 if not known
	Left      time.Duration
	Note      string // the newest sentence for a person, such as why a connection is tried again
	Path      string // of the model's file, when it is done
	MMProj    string // of its projector, if it has one
	SHA256    string // of the model's file, when it is done
	StartedAt time.Time
	EndedAt   time.Time // zero until then
	Err       *Error    // why it failed
}
