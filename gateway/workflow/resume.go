package workflow

import (
	"context"
	"fmt"
	"slices"

	"github.com/jeantrail/jeantrail-ai"
)

// historyPage is how many jobs are listed at once.
const historyPage = 100

// restore takes what an earlier process did from the pipeline's log and from the
// jobs of its stages. The jobs count for more: the newest events may be lost.
func (r *run) restore(ctx context.Context, log []jeantrail.Event) error {
	reports := lastReports(log)
	jobs, err := r.children(ctx)
	if err != nil {
		return err
	}
	if changed := r.missing(reports, jobs); changed != "" {
		r.lost = reports
		return jeantrail.Errorf(jeantrail.CodeConflict, "the workflow %s has changed since the pipeline began: it has no stage %s", r.workflow.Name, shown(changed)).
			WithHint("Start it again.")
	}
	for _, s := range r.standings {
		i := slices.IndexFunc(reports, func(report jeantrail.Stage) bool { return report.Name == s.stage.name })
		var report jeantrail.Stage
		if i >= 0 {
			report = reports[i]
		}
		if err := r.restoreStage(ctx, s, report, jobs[s.stage.name]); err != nil {
			return err
		}
	}
	return nil
}

// lastReports returns the newest report of each stage.
func lastReports(log []jeantrail.Event) []jeantrail.Stage {
	var reports []jeantrail.Stage
	for i := range log {
		if log[i].Type != jeantrail.EventStage || log[i].Stage == nil {
			continue
		}
		report := *log[i].Stage
		at := slices.IndexFunc(reports, func(known jeantrail.Stage) bool { return known.Name == report.Name })
		if at < 0 {
			reports = append(reports, report)
			continue
		}
		reports[at] = report
	}
	return reports
}

// children returns the ids of the jobs of each stage, oldest first.
func (r *run) children(ctx context.Context) (map[string][]string, error) {
	jobs := make(map[string][]string)
	f := jeantrail.JobFilter{UserID: r.job.UserID, Parent: r.job.ID, Limit: historyPage}
	for {
		page, err := r.road.Jobs(ctx, r.principal, f)
		if err != nil {
			return nil, fmt.Errorf("list the jobs of the pipeline: %w", err)
		}
		for i := range page.Jobs {
			name := page.Jobs[i].Request.Stage
			jobs[name] = append(jobs[name], page.Jobs[i].ID)
		}
		if page.Next == "" {
			break
		}
		f.Cursor = page.Next
	}
	for _, ids := range jobs {
		slices.Reverse(ids) // they came newest first
	}
	return jobs, nil
}

// missing names a stage that was run and that the workflow no longer has.
func (r *run) missing(reports []jeantrail.Stage, jobs map[string][]string) string {
	known := func(name string, kind jeantrail.Kind) bool {
		return slices.ContainsFunc(r.standings, func(s *standing) bool {
			return s.stage.name == name && (kind == "" || kind == s.stage.kind)
		})
	}
	for _, report := range reports {
		if !known(report.Name, report.Kind) {
			return report.Name
		}
	}
	for _, name := range sortedKeys(jobs) {
		if !known(name, "") {
			return name
		}
	}
	return ""
}

// restoreStage puts a stage where it stood. One that has succeeded or was skipped
// stays so; the jobs of any other are its history.
func (r *run) restoreStage(ctx context.Context, s *standing, report jeantrail.Stage, ids []string) error {
	if report.Status == jeantrail.StageSkipped || report.Status == jeantrail.StageSucceeded {
		got := &outcome{status: report.Status, reason: report.Reason, text: report.Output}
		if report.Status == jeantrail.StageSucceeded && report.JobID != "" {
			job, err := r.road.Job(ctx, r.principal, report.JobID)
			if err != nil {
				return ofStage(s.stage.name, fmt.Errorf("read the job of the stage: %w", err))
			}
			// The text of a fallback is of no job; that of the last attempt failed.
			if job.State == jeantrail.StateSucceeded {
				got = outcomeOf(job)
				got.reason = report.Reason
			}
		}
		s.report, s.outcome = report, got
		r.done++
		return nil
	}
	for _, id := range ids {
		job, err := r.road.Job(ctx, r.principal, id)
		if err != nil {
			return ofStage(s.stage.name, fmt.Errorf("read the job of the stage: %w", err))
		}
		s.history = append(s.history, job)
	}
	// Attempts that were refused left no job.
	s.report.Attempts = max(0, report.Attempts-len(ids))
	return nil
}
