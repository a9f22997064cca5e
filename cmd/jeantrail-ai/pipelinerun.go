package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/jeantrail/jeantrail-ai"
)

// inputs are what a workflow is told.
type inputs struct {
	values []string // NAME=VALUE
	files  []string // NAME=PATH
}

func (in *inputs) flags(cmd *cobra.Command) {
	cmd.Flags().StringArrayVarP(&in.values, "input", "i", nil, "NAME=VALUE: an input of the workflow; may be repeated")
	cmd.Flags().StringArrayVarP(&in.files, "file", "f", nil, "NAME=PATH: an input that is a file, a sound or an image; may be repeated")
}

// data reads the values. One that reads as a number, true or false is sent as
// that.
func (in *inputs) data() (map[string]any, error) {
	data := make(map[string]any)
	for _, pair := range in.values {
		name, text, err := namedInput("--input", pair)
		if err != nil {
			return nil, err
		}
		if _, twice := data[name]; twice {
			return nil, errUsage{fmt.Errorf("the input %s is given twice", name)}
		}
		if data[name], err = variableValue(text); err != nil {
			return nil, errUsage{fmt.Errorf("--input %s: %w", name, err)}
		}
	}
	return data, nil
}

// open opens the files, which the caller closes with close in any case.
func (in *inputs) open(stdin io.Reader) (files []formFile, close func(), err error) {
	var opened []io.Closer
	close = func() {
		for _, c := range opened {
			c.Close()
		}
	}
	for _, pair := range in.files {
		name, path, err := namedInput("--file", pair)
		if err != nil {
			return nil, close, err
		}
		if slices.ContainsFunc(files, func(f formFile) bool { return f.field == name }) {
			return nil, close, errUsage{fmt.Errorf("the input %s is given twice", name)}
		}
		content, _, err := openInput(stdin, path)
		if err != nil {
			return nil, close, err
		}
		opened = append(opened, content)
		files = append(files, formFile{field: name, content: content})
	}
	return files, close, nil
}

// namedInput takes a flag's value apart.
func namedInput(flag, pair string) (name, text string, err error) {
	name, text, found := strings.Cut(pair, "=")
	if !found || name == "" {
		return "", "", errUsage{fmt.Errorf("%s %q is not NAME=VALUE", flag, pair)}
	}
	return name, text, nil
}

// wireStage is a stage as results and events show it.
type wireStage struct {
	Name     string `json:"name"`
	Kind     string `json:"kind"`
	Model    string `json:"model"`
	JobID    string `json:"job_id"`
	Status   string `json:"status"`
	Attempts int    `json:"attempts"`
	Reason   string `json:"reason"`
	Fallback bool   `json:"fallback"`
	Cost     *struct {
		USD string `json:"usd"`
	} `json:"cost"`
}

// line says in one line where the stage stands.
func (s *wireStage) line() string {
	parts := []string{fmt.Sprintf("%-9s", s.Status), s.Name, "(" + s.Kind + ")"}
	if s.Model != "" {
		parts = append(parts, s.Model)
	}
	if s.Cost != nil && s.Status != string(jeantrail.StageRunning) {
		parts = append(parts, "$"+s.Cost.USD)
	}
	if note := s.note(); note != "" {
		parts = append(parts, printable(note))
	}
	return strings.Join(parts, "  ")
}

// note says what is out of the ordinary about the stage.
func (s *wireStage) note() string {
	var parts []string
	if s.Attempts > 1 {
		parts = append(parts, fmt.Sprintf("%d attempts", s.Attempts))
	}
	if s.Fallback {
		parts = append(parts, "by its fallback")
	}
	if s.Reason != "" {
		parts = append(parts, s.Reason)
	}
	return strings.Join(parts, ", ")
}

func printStages(w io.Writer, stages []wireStage) {
	t := newTable(w, "STAGE", "KIND", "STATUS", "MODEL", "JOB", "COST", "NOTE")
	for i := range stages {
		s := &stages[i]
		cost := "-"
		if s.Cost != nil {
			cost = "$" + s.Cost.USD
		}
		t.AppendRow(table.Row{s.Name, s.Kind, s.Status, orDash(&s.Model), orDash(&s.JobID), cost, printable(s.note())})
	}
	t.Render()
}

// running are the flags of the commands that give a workflow its inputs.
type running struct {
	asking
	inputs inputs
}

// post sends the workflow with its inputs: as JSON, or as a form if there are
// files, so that none is held in memory.
func (r *running) post(cmd *cobra.Command, s *Session, path, workflow, accept string) (*http.Response, error) {
	data, err := r.inputs.data()
	if err != nil {
		return nil, err
	}
	body := map[string]any{"workflow": workflow, "input_data": data}
	if r.async {
		body["async"] = true
	}
	r.into(body)
	files, close, err := r.inputs.open(cmd.InOrStdin())
	defer close()
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return s.do(cmd.Context(), http.MethodPost, path, body, accept)
	}
	text, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	return s.upload(cmd.Context(), path, form{fields: [][2]string{{"request", string(text)}}, files: files}, accept)
}

// ask is post for an answer that is JSON.
func (r *running) ask(cmd *cobra.Command, s *Session, path, workflow string) (json.RawMessage, error) {
	resp, err := r.post(cmd, s, path, workflow, "application/json")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var raw json.RawMessage
	if err := json.NewDecoder(resp.Body).Decode(&raw); err != nil {
		return nil, fmt.Errorf("read the answer to %s: %w", path, err)
	}
	return raw, nil
}

// inputHelp is how the inputs are read, in the words of both commands.
const inputHelp = "Each --input NAME=VALUE is an input of the workflow; a value that reads as a number,\n" +
	"true or false is sent as that: quote it for text, as in --input 'code=\"42\"'. Each --file NAME=PATH is a sound\n" +
	"or an image, - is standard input."

func newPipelineRunCommand(o *options) *cobra.Command {
	r := &running{}
	cmd := &cobra.Command{
		Use: "run WORKFLOW", Short: "Run a workflow, showing its stages as they go",
		Long: "Runs a workflow. " + inputHelp + " What it gives is printed; files that its stages made are\n" +
			"written to the folder that -o names.",
		Example: "  jeantrail-ai pipeline run text_to_image --input prompt=\"a futuristic city\" -o pictures/\n" +
			"  jeantrail-ai pipeline run speech_to_text_to_analysis --file audio=call.mp3",
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, a []string) error {
			if _, err := r.inputs.data(); err != nil {
				return err
			}
			if r.output.path != "" && !r.async {
				if !r.output.folder() {
					r.output.path += "/"
				}
				if err := r.output.check(1); err != nil {
					return err
				}
			}
			return withSession(cmd.Context(), o, func(s *Session) error {
				if r.async {
					return r.submit(cmd, o, s, func() (json.RawMessage, error) { return r.ask(cmd, s, "/pipeline/process", a[0]) })
				}
				return r.run(cmd, o, s, a[0])
			})
		},
	}
	r.asking.flags(cmd, "")
	r.outputFlags(cmd, "", "folder to write the files to that the stages make")
	r.asyncFlag(cmd)
	r.inputs.flags(cmd)
	return o.jsonFlag(cmd)
}

// run runs the workflow and prints what it gave.
func (r *running) run(cmd *cobra.Command, o *options, s *Session, workflow string) error {
	f := newFollower(cmd, "running")
	show := func(e wireEvent) error {
		if stage, ok := e.stage(); ok {
			fmt.Fprintln(cmd.ErrOrStderr(), stage.line())
		}
		return f.event(e)
	}
	resp, err := r.post(cmd, s, "/pipeline/process", workflow, "text/event-stream")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := readEvents(cmd.Context(), resp.Body, show); err != nil {
		return err
	}
	paths := []string{}
	if r.output.path != "" {
		var err error
		if paths, err = r.fetchStages(cmd, s, f.answer.Stages); err != nil {
			return err
		}
	}
	if o.json {
		whole, err := f.withFiles(paths)
		if err != nil {
			return err
		}
		return printJSON(cmd.OutOrStdout(), whole)
	}
	printOutput(cmd.OutOrStdout(), f.answer.Output)
	for _, path := range paths {
		fmt.Fprintln(cmd.OutOrStdout(), path)
	}
	f.summary(fmt.Sprintf("%d stages", len(f.answer.Stages)), fmt.Sprintf("job %s", f.answer.JobID))
	return nil
}

// fetchStages writes the files of every stage, which are with the stage's job.
func (r *running) fetchStages(cmd *cobra.Command, s *Session, stages []wireStage) ([]string, error) {
	paths := []string{}
	for i := range stages {
		stage := &stages[i]
		if stage.JobID == "" || stage.Status != string(jeantrail.StageSucceeded) {
			continue
		}
		var job wireJob
		if err := s.get(cmd.Context(), http.MethodGet, "/job/"+url.PathEscape(stage.JobID), &job); err != nil {
			return paths, err
		}
		if job.Result == nil {
			continue
		}
		of := r.asking
		of.output.stem = stage.Name
		job.Result.JobID = stage.JobID
		written, err := of.fetchAll(cmd.Context(), s, job.Result)
		paths = append(paths, written...)
		if err != nil {
			return paths, err
		}
	}
	return paths, nil
}

// printOutput writes what a workflow gave: a single text as it is, else each
// value under its name. What is empty is left out.
func printOutput(w io.Writer, output map[string]any) {
	texts := make(map[string]string, len(output))
	for name, v := range output {
		if text := outputText(v); text != "" {
			texts[name] = text
		}
	}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		text := texts[name]
		switch {
		case len(texts) == 1:
			fmt.Fprintln(w, text)
		case strings.Contains(text, "\n"):
			fmt.Fprintf(w, "%s:\n%s\n", name, text)
		default:
			fmt.Fprintf(w, "%s: %s\n", name, text)
		}
	}
}

// outputText writes one value of an output; a file as the command that gets it.
func outputText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return strings.TrimSpace(v)
	case []any:
		var lines []string
		for _, element := range v {
			lines = append(lines, outputText(element))
		}
		return strings.Join(lines, "\n")
	case map[string]any:
		job, _ := v["job_id"].(string)
		if index, isFile := v["index"].(float64); isFile && job != "" {
			return fmt.Sprintf("jeantrail-ai job artifact %s %d -o FILE", job, int(index))
		}
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(text)
}
