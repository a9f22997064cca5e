package server

import (
	"context"
	"math"
	"net/http"
	"regexp"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/jeantrail/jeantrail-ai"
)

// What a source may have, in bytes: a name with all that may follow it, and a URL
// with a signature.
const (
	maxSourceName = 512
	maxAddress    = 4096
)

// pullRequest is the body of POST /models/pull.
type pullRequest struct {
	Name   string `json:"name,omitempty" maxLength:"512" doc:"A name of the catalogue, or hf:OWNER/REPO with :QUANT or :FILE and @REVISION after it."`
	URL    string `json:"url,omitempty" maxLength:"4096" pattern:"^[hH][tT][tT][pP][sS]?://" patternDescription:"an http or https address" doc:"The address of a GGUF file."`
	As     string `json:"as,omitempty" maxLength:"256" doc:"What the model is to be called here; chosen from its source if left out."`
	SHA256 string `json:"sha256,omitempty" pattern:"^[0-9a-fA-F]{64}$" doc:"That the model's file must have; what its source says if left out."`
	MMProj string `json:"mmproj,omitempty" maxLength:"4096" doc:"The projector to pull along: a file of the same repository, or an address if url is one; none for none. The one that the repository has if left out."`
	Stream *bool  `json:"stream,omitempty" doc:"Answer with Server-Sent Events."`
}

// TransformSchema implements huma.SchemaTransformer: one source, and one only.
func (pullRequest) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	s.OneOf = []*huma.Schema{{Required: []string{"name"}}, {Required: []string{"url"}}}
	return s
}

var (
	webAddress = regexp.MustCompile(`^(?i:https?)://`)
	hexSHA256  = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// request returns what is asked for, or says what is wrong in the body.
func (p *pullRequest) request() (jeantrail.PullRequest, error) {
	if err := p.check(); err != nil {
		return jeantrail.PullRequest{}, err
	}
	return jeantrail.PullRequest{Source: p.Name + p.URL, Name: p.As, SHA256: strings.ToLower(p.SHA256), MMProj: p.MMProj}, nil
}

func (p *pullRequest) check() error {
	const choose = "Send name for a model of the catalogue or of a hub (hf:OWNER/REPO), or url for the address of a GGUF file."
	switch {
	case (p.Name == "") == (p.URL == ""):
		return jeantrail.Errorf(jeantrail.CodeInvalid, "exactly one of name and url is needed").WithHint(choose)
	case len(p.Name) > maxSourceName:
		return jeantrail.Errorf(jeantrail.CodeInvalid, "name must be at most %d bytes long", maxSourceName).WithHint(choose)
	case webAddress.MatchString(p.Name):
		return jeantrail.Errorf(jeantrail.CodeInvalid, "name is an address").WithHint("Send it as url.")
	case p.URL != "" && !webAddress.MatchString(p.URL):
		return jeantrail.Errorf(jeantrail.CodeInvalid, "url is not an http or https address").WithHint(choose)
	case len(p.URL) > maxAddress:
		return jeantrail.Errorf(jeantrail.CodeInvalid, "url must be at most %d bytes long", maxAddress)
	case len(p.As) > jeantrail.MaxModelBytes:
		return jeantrail.Errorf(jeantrail.CodeInvalid, "as must be at most %d bytes long", jeantrail.MaxModelBytes)
	case len(p.MMProj) > maxAddress:
		return jeantrail.Errorf(jeantrail.CodeInvalid, "mmproj must be at most %d bytes long", maxAddress)
	case p.SHA256 != "" && !hexSHA256.MatchString(strings.ToLower(p.SHA256)):
		return jeantrail.Errorf(jeantrail.CodeInvalid, "sha256 must have 64 hexadecimal digits").
			WithHint("Leave it out to hold the file to what its source says.")
	}
	return nil
}

// wirePull is the download of a model as it stands, and the data of a pull's
// events.
type wirePull struct {
	PullID         string         `json:"pull_id" format:"uuid"`
	Source         string         `json:"source" doc:"What was asked for. Of an address, only administrators see what follows a question mark."`
	Model          string         `json:"model" doc:"What it is called here; empty until that is known."`
	Status         string         `json:"status" enum:"resolving,downloading,verifying,validating,done,failed,cancelled"`
	File           string         `json:"file,omitempty" doc:"The file that is worked at; left out for all."`
	DoneBytes      int64          `json:"done_bytes"`
	TotalBytes     int64          `json:"total_bytes" doc:"0: not known yet."`
	BytesPerSecond int64          `json:"bytes_per_second,omitempty" doc:"Over the last few seconds; left out if not known."`
	SecondsLeft    int64          `json:"seconds_left,omitempty" doc:"Left out if not known."`
	Note           string         `json:"note,omitempty" doc:"The newest sentence for a person."`
	Path           string         `json:"path,omitempty" doc:"The model's file, when it is done; only administrators see it."`
	MMProjPath     string         `json:"mmproj_path,omitempty" doc:"Its projector, if it has one; only administrators see it."`
	SHA256         string         `json:"sha256,omitempty" doc:"Of the model, when it is done: that of its file, or of a split one over those of its parts."`
	Files          []wirePullFile `json:"files,omitempty" doc:"All files, when it is done: the one to load first, a projector last."`
	FetchedBytes   *int64         `json:"fetched_bytes,omitempty" doc:"That came over the network, when it is done; after a restart only those since then."`
	Revision       string         `json:"revision,omitempty" doc:"Of the repository, when it is done; left out if not known."`
	StartedAt      string         `json:"started_at" format:"date-time"`
	EndedAt        string         `json:"ended_at,omitempty" format:"date-time"`
	Error          *problem       `json:"error,omitempty" doc:"Why it failed."`
	Links          wireLinks      `json:"links"`
}

// wirePullFile is a file that a pull installed or found installed.
type wirePullFile struct {
	Path      string `json:"path,omitempty" doc:"Only administrators see it."`
	Bytes     int64  `json:"bytes"`
	SHA256    string `json:"sha256"`
	Projector bool   `json:"projector,omitempty" doc:"The part that reads images."`
}

type wirePulls struct {
	Pulls []*wirePull `json:"pulls" nullable:"false" doc:"Newest first."`
}

func pullOf(p *jeantrail.Pull, who jeantrail.Principal) *wirePull {
	self := "/models/pulls/" + p.ID
	out := &wirePull{
		PullID: p.ID, Source: p.Source, Model: p.Model, Status: string(p.Status), File: p.File, DoneBytes: p.Done, TotalBytes: p.Total,
		BytesPerSecond: p.Speed, SecondsLeft: int64(math.Ceil(p.Left.Seconds())), Note: p.Note, Revision: p.Revision,
		StartedAt: wireTime(p.StartedAt), EndedAt: wireTime(p.EndedAt), Links: wireLinks{Self: self, Events: self + "/events", Cancel: self},
	}
	if p.Err != nil {
		out.Error = newProblem(p.Err, "")
	}
	if who.Role != jeantrail.RoleAdmin {
		out.Source = p.WithoutSecrets().Source
	}
	out.setFiles(p, who.Role == jeantrail.RoleAdmin)
	return out
}

// setFiles tells what a pull that is done brought, and where it is to who may
// know.
func (w *wirePull) setFiles(p *jeantrail.Pull, paths bool) {
	model, projector := p.ModelFile(), p.Projector()
	if model == nil {
		return
	}
	w.SHA256, w.FetchedBytes = p.ModelSHA256, &p.Fetched
	for _, f := range p.Files {
		one := wirePullFile(f)
		if !paths {
			one.Path = ""
		}
		w.Files = append(w.Files, one)
	}
	if !paths {
		return
	}
	w.Path = model.Path
	if projector != nil {
		w.MMProjPath = projector.Path
	}
}

// startPull serves POST /models/pull: 202 with the pull, or its events. The pull
// goes on without the client.
func (s *Server) startPull(w http.ResponseWriter, r *http.Request) error {
	if err := needAdmin(r, "pull models"); err != nil {
		return err
	}
	var body pullRequest
	if err := s.readJSON(w, r, &body); err != nil {
		return err
	}
	request, err := body.request()
	if err != nil {
		return err
	}
	if s.stopping.Load() {
		return jeantrail.Errorf(jeantrail.CodeShuttingDown, "the server is shutting down")
	}
	pull, err := s.opt.Pulls.Start(r.Context(), request)
	if err != nil {
		return err
	}
	if body.Stream != nil && *body.Stream || acceptsEvents(r) {
		return s.streamPull(w, r, pull.ID)
	}
	out := pullOf(&pull, caller(r))
	w.Header().Set("Location", out.Links.Self)
	return writeJSON(w, http.StatusAccepted, out)
}

// listPulls serves GET /models/pulls.
func (s *Server) listPulls(w http.ResponseWriter, r *http.Request) error {
	if _, err := readQuery(r); err != nil {
		return err
	}
	list := s.opt.Pulls.List()
	out := wirePulls{Pulls: make([]*wirePull, 0, len(list))}
	for i := range list {
		out.Pulls = append(out.Pulls, pullOf(&list[i], caller(r)))
	}
	return writeJSON(w, http.StatusOK, &out)
}

// getPull serves GET /models/pulls/{id}.
func (s *Server) getPull(w http.ResponseWriter, r *http.Request) error {
	pull, err := s.opt.Pulls.Get(r.PathValue("id"))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, pullOf(&pull, caller(r)))
}

// cancelPull serves DELETE /models/pulls/{id}: 200 with the pull if it is over,
// 202 if it was asked to stop and has not yet.
func (s *Server) cancelPull(w http.ResponseWriter, r *http.Request) error {
	if err := needAdmin(r, "cancel pulls"); err != nil {
		return err
	}
	id := r.PathValue("id")
	if err := s.opt.Pulls.Cancel(id); err != nil {
		return err
	}
	pull, err := s.opt.Pulls.Get(id)
	if err != nil {
		return err
	}
	status := http.StatusAccepted
	if pull.Status.Terminal() {
		status = http.StatusOK
	}
	return writeJSON(w, status, pullOf(&pull, caller(r)))
}

// pullEvents serves GET /models/pulls/{id}/events.
func (s *Server) pullEvents(w http.ResponseWriter, r *http.Request) error {
	if _, err := readQuery(r); err != nil {
		return err
	}
	pull, err := s.opt.Pulls.Get(r.PathValue("id"))
	if err != nil {
		return err
	}
	if pull.Status.Terminal() && r.Header.Get("Last-Event-ID") == string(pull.Status) {
		// The client has the end; 204 is what stops an EventSource from connecting
		// again for ever.
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return s.streamPull(w, r, pull.ID)
}

// streamPull writes a pull as Server-Sent Events, at once and whenever it changes,
// until it is terminal, the client leaves or the server stops. None of these ends
// the pull.
func (s *Server) streamPull(w http.ResponseWriter, r *http.Request, id string) error {
	watch := func(ctx context.Context) (<-chan jeantrail.Pull, error) { return s.opt.Pulls.Watch(ctx, id) }
	return streamStates(s, w, r, watch, func(out *sseWriter, pull jeantrail.Pull) (over bool, err error) {
		return pull.Status.Terminal(), out.pull(&pull, caller(r))
	})
}

// pull writes a pull as it stands. Only the terminal state has an id, the status:
// to any earlier one there is nothing to resume, since each says all.
func (o *sseWriter) pull(p *jeantrail.Pull, who jeantrail.Principal) error {
	id := ""
	if p.Status.Terminal() {
		id = string(p.Status)
	}
	return o.frame(id, string(p.Status), pullOf(p, who))
}
