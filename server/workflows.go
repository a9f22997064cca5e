package server

import (
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/jeantrail/jeantrail-ai"
)

// maxSource bounds a workflow's YAML, far above what a person writes.
const maxSource = 1 << 20

type wireInput struct {
	Name        string `json:"name"`
	Type        string `json:"type" enum:"string,integer,number,boolean,audio,image"`
	Required    bool   `json:"required"`
	Default     any    `json:"default,omitempty" doc:"What it is if it is left out; of the type."`
	Description string `json:"description"`
}

type wireWorkflowStage struct {
	Name     string `json:"name"`
	Kind     string `json:"kind" enum:"text,image,transcribe,speak"`
	Model    string `json:"model" doc:"Empty for the default of its kind."`
	Parallel int    `json:"parallel,omitempty" doc:"Stages with the same number run at once; left out if it runs alone."`
	OnError  string `json:"on_error" enum:"fail,skip,fallback"`
}

// wireWorkflow is a pipeline that can be asked for; a listing leaves out its
// source.
type wireWorkflow struct {
	Name        string              `json:"name"`
	Description string              `json:"description"`
	BuiltIn     bool                `json:"built_in"`
	Inputs      []wireInput         `json:"inputs" nullable:"false"`
	Stages      []wireWorkflowStage `json:"stages" nullable:"false"`
	Source      string              `json:"source,omitempty" doc:"The YAML it is written in."`
}

type wireWorkflows struct {
	Workflows []*wireWorkflow `json:"workflows" nullable:"false"`
}

func workflowOf(w *jeantrail.Workflow) *wireWorkflow {
	out := &wireWorkflow{
		Name: w.Name, Description: w.Description, BuiltIn: w.BuiltIn,
		Inputs: make([]wireInput, 0, len(w.Inputs)), Stages: make([]wireWorkflowStage, 0, len(w.Stages)),
	}
	for _, in := range w.Inputs {
		out.Inputs = append(out.Inputs, wireInput{Name: in.Name, Type: in.Type, Required: in.Required, Default: in.Default, Description: in.Description})
	}
	for _, s := range w.Stages {
		stage := wireWorkflowStage{Name: s.Name, Kind: string(s.Kind), Model: s.Model, Parallel: s.Parallel, OnError: s.OnError}
		if stage.OnError == "" {
			stage.OnError = "fail"
		}
		out.Stages = append(out.Stages, stage)
	}
	return out
}

// listWorkflows serves GET /workflows.
func (s *Server) listWorkflows(w http.ResponseWriter, r *http.Request) error {
	if _, err := readQuery(r); err != nil {
		return err
	}
	list := s.opt.Workflows.List()
	out := wireWorkflows{Workflows: make([]*wireWorkflow, 0, len(list))}
	for i := range list {
		out.Workflows = append(out.Workflows, workflowOf(&list[i]))
	}
	return writeJSON(w, http.StatusOK, &out)
}

// getWorkflow serves GET /workflows/{name}.
func (s *Server) getWorkflow(w http.ResponseWriter, r *http.Request) error {
	workflow, err := s.opt.Workflows.Get(r.PathValue("name"))
	if err != nil {
		return err
	}
	out := workflowOf(workflow)
	out.Source = workflow.Source
	return writeJSON(w, http.StatusOK, out)
}

// workflowRequest is the body of PUT /workflows/{name} as JSON.
type workflowRequest struct {
	Source string `json:"source" minLength:"1" doc:"The YAML."`
}

// putWorkflow serves PUT /workflows/{name}: 201 for a name that is new.
func (s *Server) putWorkflow(w http.ResponseWriter, r *http.Request) error {
	name, err := ownWorkflow(r)
	if err != nil {
		return err
	}
	source, err := s.readSource(w, r)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if _, err := s.opt.Workflows.Get(name); jeantrail.CodeOf(err) == jeantrail.CodeNotFound {
		status = http.StatusCreated
		w.Header().Set("Location", "/workflows/"+name)
	}
	workflow, err := s.opt.Workflows.Put(name, source)
	if err != nil {
		w.Header().Del("Location")
		return err
	}
	out := workflowOf(workflow)
	out.Source = workflow.Source
	return writeJSON(w, status, out)
}

// deleteWorkflow serves DELETE /workflows/{name}.
func (s *Server) deleteWorkflow(w http.ResponseWriter, r *http.Request) error {
	name, err := ownWorkflow(r)
	if err != nil {
		return err
	}
	if err := s.opt.Workflows.Delete(name); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// ownWorkflow returns the name of a workflow that is to be changed. It becomes the
// name of a file, so that nothing that could be a path gets any further.
func ownWorkflow(r *http.Request) (string, error) {
	if err := needAdmin(r, "change workflows"); err != nil {
		return "", err
	}
	name := r.PathValue("name")
	if name == "" || len(name) > jeantrail.MaxNameBytes || strings.ContainsAny(name, "/\\\x00") || strings.HasPrefix(name, ".") {
		return "", jeantrail.Errorf(jeantrail.CodeInvalid, "%.80q is not a name for a workflow", name).
			WithHint("Use letters, digits, - and _.")
	}
	return name, nil
}

// needAdmin refuses everybody but administrators.
func needAdmin(r *http.Request, what string) error {
	if caller(r).Role != jeantrail.RoleAdmin {
		return jeantrail.Errorf(jeantrail.CodeForbidden, "the role %q may not %s", caller(r).Role, what).WithHint("Use an admin key.")
	}
	return nil
}

// yamlTypes are what YAML is called.
func yamlTypes() []string {
	return []string{"application/yaml", "text/yaml", "application/x-yaml", "text/x-yaml"}
}

// readSource reads a workflow as YAML, or within JSON.
func (s *Server) readSource(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	var source []byte
	if err == nil && slices.Contains(yamlTypes(), mediaType) {
		source, err = readBody(w, r, maxSource)
	} else {
		var body workflowRequest
		var data []byte
		if data, err = s.readBytes(w, r, 2*maxSource); err == nil {
			err = decodeStrict(data, &body)
		}
		source = []byte(body.Source)
	}
	switch {
	case err != nil:
		return nil, err
	case len(source) == 0:
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "there is no workflow in the body").
			WithHint("Send its YAML as Content-Type: text/yaml, or as {\"source\": \"…\"}.")
	case len(source) > maxSource:
		return nil, bodyTooLarge(maxSource)
	}
	return source, nil
}
