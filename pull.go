package jeantrail

import (
	"net/url"
	"strings"
	"time"
)

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

// PullStatuses lists every status.
func PullStatuses() []PullStatus {
	return []PullStatus{PullResolving, PullDownloading, PullVerifying, PullValidating, PullDone, PullFailed, PullCancelled}
}

// Terminal reports whether nothing more will happen to the pull.
func (s PullStatus) Terminal() bool {
	return s == PullDone || s == PullFailed || s == PullCancelled
}

// PullRequest is what is asked for. Requests that are equal are the same pull.
type PullRequest struct {
	Source string // a name of the catalogue, hf:OWNER/REPO with what may follow, or the address of a GGUF file
	Name   string // what to call it here; "" to have one chosen
	SHA256 string // that the model's file must have, in small letters; "" for what its source says
	// MMProj is the projector to pull along: a file of the same repository, or an
	// address if Source is one. "" is the one that the repository has, "none" is
	// none.
	MMProj string
}

// Pull is the download of a model as it stands. It outlives the process: what was
// begun and has not ended goes on at the next start, under the same id.
type Pull struct {
	ID string // UUIDv7
	// PullRequest is as it was asked for while the pull is open, since going on may
	// need the signature of an address. Of an ended one, addresses are without what
	// WithoutSecrets takes off.
	PullRequest
	Model       string // the name that it has here, once it is known
	Status      PullStatus
	File        string // that is worked at; "" for all
	Done        int64  // bytes
	Total       int64  // bytes; 0 while it is not known
	Speed       int64  // bytes per second over the last few seconds; 0 if not known
	Left        time.Duration
	Note        string     // the newest sentence for a person, such as why a connection is tried again
	Files       []PullFile // of the model, when it is done: the one to load first, the projector last
	ModelSHA256 string     // when it is done: that of its file, or of a split one over its parts
	Revision    string     // of the repository, when it is done; "" if not known
	Fetched     int64      // bytes that came over the network to the process that ended it
	Starts      int        // processes in a row that took it up, and brought neither a byte of it nor an orderly stop
	StartedAt   time.Time
	EndedAt     time.Time // zero until then
	Err         *Error    // why it failed
}

// PullFile is a file that a pull installed or found installed.
type PullFile struct {
	Path      string
	Bytes     int64
	SHA256    string // in hexadecimal
	Projector bool
}

// ModelFile returns the file to load, nil until the pull is done.
func (p *Pull) ModelFile() *PullFile {
	if len(p.Files) == 0 {
		return nil
	}
	return &p.Files[0]
}

// Projector returns the projector's file, nil if there is none.
func (p *Pull) Projector() *PullFile {
	for i := range p.Files {
		if p.Files[i].Projector {
			return &p.Files[i]
		}
	}
	return nil
}

// WithoutSecrets returns the request with its addresses bare.
func (r PullRequest) WithoutSecrets() PullRequest {
	r.Source, r.MMProj = bareAddress(r.Source), bareAddress(r.MMProj)
	return r
}

// bareAddress leaves out of an address what may open a door: a password, and the
// query, in which signed addresses have their signature. What is no address, such
// as a name, stays as it is.
func bareAddress(source string) string {
	scheme, _, _ := strings.Cut(source, "://")
	if !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
		return source
	}
	u, err := url.Parse(source)
	if err != nil {
		return scheme + "://"
	}
	u.User, u.RawQuery, u.ForceQuery, u.Fragment, u.RawFragment = nil, "", false, "", ""
	return u.String()
}
