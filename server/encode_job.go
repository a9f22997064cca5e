package server

import "github.com/jeantrail/jeantrail-ai"

type wireLinks struct {
	Self   string `json:"self"`
	Events string `json:"events"`
	Cancel string `json:"cancel" doc:"Send DELETE there."`
}

func linksOf(id string) wireLinks {
	self := "/job/" + id
	return wireLinks{Self: self, Events: self + "/events", Cancel: self}
}

// wireAccepted answers a job that goes on without its caller.
type wireAccepted struct {
	JobID  string    `json:"job_id" format:"uuid"`
	Status string    `json:"status"`
	Links  wireLinks `json:"links"`
}

// wireJob is a job as GET /job/{id} shows it; a listing leaves out the request
// and the result.
type wireJob struct {
	JobID          string        `json:"job_id" format:"uuid"`
	Kind           string        `json:"kind"`
	Status         string        `json:"status" enum:"queued,running,succeeded,failed,cancelled,interrupted"`
	UserID         string        `json:"user_id"`
	Model          string        `json:"model"`
	RequestedModel string        `json:"requested_model"`
	Priority       string        `json:"priority"`
	Async          bool          `json:"async"`
	TaskType       string        `json:"task_type,omitempty"`
	Workflow       string        `json:"workflow,omitempty" doc:"That the job runs, or is a stage of."`
	ParentID       string        `json:"parent_id,omitempty" format:"uuid" doc:"The pipeline's job, of a stage."`
	Stage          string        `json:"stage,omitempty" doc:"Its name, of a stage."`
	CreatedAt      string        `json:"created_at" format:"date-time"`
	StartedAt      string        `json:"started_at,omitempty" format:"date-time"`
	FinishedAt     string        `json:"finished_at,omitempty" format:"date-time"`
	LastSeq        int64         `json:"last_seq" doc:"Number of the newest stored event."`
	Cost           wireCost      `json:"cost" doc:"Of the job itself. The stages of a pipeline are jobs of their own; its result has what all of them cost."`
	Usage          *wireUsage    `json:"usage,omitempty"`
	Request        *shownRequest `json:"request,omitempty"`
	Result         *wireResult   `json:"result,omitempty"`
	Error          *problem      `json:"error,omitempty"`
	Links          wireLinks     `json:"links"`
}

// jobSummary is a job without request and result.
func jobSummary(j *jeantrail.Job) *wireJob {
	out := &wireJob{
		JobID: j.ID, Kind: string(j.Kind), Status: string(j.State), UserID: j.UserID,
		Model: j.Model, RequestedModel: j.RequestedModel, Priority: string(j.Priority), Async: j.Async,
		TaskType: j.Request.TaskType, CreatedAt: wireTime(j.CreatedAt), StartedAt: wireTime(j.StartedAt),
		FinishedAt: wireTime(j.FinishedAt), LastSeq: j.LastSeq, Links: linksOf(j.ID),
		Cost:     costOf(jeantrail.Cost{Reserved: j.Reserved}),
		Workflow: j.Request.Workflow, ParentID: j.Request.Parent, Stage: j.Request.Stage,
	}
	if j.Request.Pipeline != nil {
		out.Workflow = j.Request.Pipeline.Workflow
	}
	if j.Result != nil {
		usage := usageOf(j.Result.Usage)
		out.Cost, out.Usage = costOf(j.Result.Cost), &usage
	}
	if j.Err != nil {
		out.Error = newProblem(j.Err, j.ID)
	}
	return out
}

// jobDetail is all of a job.
func jobDetail(j *jeantrail.Job) *wireJob {
	out := jobSummary(j)
	out.Request = requestBody(&j.Request)
	if j.Result != nil {
		out.Result = resultOf(aboutOf(j), j.State, j.Result)
	}
	return out
}
