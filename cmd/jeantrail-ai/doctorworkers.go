package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/build/compose"
	"github.com/jeantrail/jeantrail-ai/doctor"
	"github.com/jeantrail/jeantrail-ai/media"
)

func (l *looker) lookAtWorkers(ctx context.Context) ([]doctor.Finding, error) {
	config, _ := l.config()
	known := l.knownWorkers(ctx)
	list := config.workers()
	w := doctor.Workers{List: make([]doctor.Worker, len(list))}
	var group sync.WaitGroup
	for i, c := range list {
		group.Go(func() { w.List[i] = l.worker(ctx, c, config.AllowRemoteWorkers, known) })
	}
	group.Wait()
	w.Docker.Asked = slices.ContainsFunc(w.List, func(w doctor.Worker) bool { return w.Container && w.Status == string(jeantrail.WorkerDown) })
	if w.Docker.Asked {
		w.Docker = l.docker()
		states := map[string]string{}
		if w.Docker.Err == "" {
			states = containerStates(ctx)
		}
		for i := range w.List {
			if worker := &w.List[i]; worker.Container && worker.Status == string(jeantrail.WorkerDown) {
				worker.State = states[worker.Name]
			}
		}
	}
	return doctor.CheckWorkers(w), nil
}

// knownWorkers is what the instance of the home knows of its workers, by name; nil
// if none answers.
func (l *looker) knownWorkers(ctx context.Context) map[string]wireWorker {
	seen := l.instance()
	if !seen.answers() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	var registry struct {
		Workers []wireWorker `json:"workers"`
	}
	if newClient(seen.file.BaseURL, seen.file.Token).get(ctx, http.MethodGet, "/registry", &registry) != nil {
		return nil // it may want a key that is not ours; the workers are asked instead
	}
	known := make(map[string]wireWorker)
	for _, w := range registry.Workers {
		known[w.Name] = w
	}
	return known
}

// worker says how one worker is: as the instance has it, or by one probe.
func (l *looker) worker(ctx context.Context, c WorkerConfig, remote bool, known map[string]wireWorker) doctor.Worker {
	w := doctor.Worker{Name: c.Name, Kind: c.Kind, URL: c.URL, Optional: c.Optional}
	for _, g := range guideWorkers() {
		if g.Name == c.Name {
			w.Variable = g.variable
		}
	}
	for _, s := range compose.Services() {
		if s.Name == c.Name && isAt(c.URL, s.Port) {
			w.Container = true
			for _, f := range (&containers{home: l.home}).missing([]compose.Service{s}) {
				w.Missing = append(w.Missing, fmt.Sprintf("%s (about %s; from %s)", f.Path(l.home, os.Getenv), f.Size, f.Source))
			}
		}
	}
	client, err := media.New(media.Options{
		Name: c.Name, Kind: jeantrail.Kind(c.Kind), URL: c.URL, Dialect: c.Dialect, Model: c.Model, Vision: c.Vision, APIKey: c.APIKey,
		AllowRemote: remote, Files: noFiles{},
	})
	if err != nil {
		w.Bad, w.Hint = words(err)
		return w
	}
	defer client.Close()
	if seen, ok := known[c.Name]; ok && seen.URL == c.URL && seen.Status != string(jeantrail.WorkerUnknown) {
		w.Status, w.Problem = seen.Status, seen.Problem
		return w
	}
	limited, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	p := client.Probe(limited)
	w.Status, w.Problem = string(p.Status), oneLine(p.Problem)
	return w
}

// isAt reports whether an URL is a port of this machine.
func isAt(raw string, port int) bool {
	u, err := url.Parse(raw)
	return err == nil && u.Port() == strconv.Itoa(port) && slices.Contains([]string{"127.0.0.1", "localhost", "::1"}, u.Hostname())
}

// noFiles has no files: who only probes needs none.
type noFiles struct{}

func (noFiles) Put(context.Context, io.Reader, int64) (jeantrail.File, error) {
	return jeantrail.File{}, jeantrail.Errorf(jeantrail.CodeUnsupported, "there is no place for files here")
}

func (noFiles) Open(jeantrail.File) (io.ReadSeekCloser, error) {
	return nil, jeantrail.Errorf(jeantrail.CodeNotFound, "there are no files here")
}

// lookAtDocker says whether containers could be started. Nothing is.
func (l *looker) lookAtDocker() doctor.Docker {
	ctx, cancel := context.WithTimeout(context.Background(), askLimit)
	defer cancel()
	d := doctor.Docker{Asked: true}
	_, err := findDocker(ctx, l.home, io.Discard, io.Discard)
	d.Err, d.Hint = words(err)
	return d
}

// containerStates says how the containers of this program's compose file are, by
// service.
func containerStates(ctx context.Context) map[string]string {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, "docker", "ps", "--all", "--filter", "label=com.docker.compose.project="+compose.Project,
		"--format", `{{.Label "com.docker.compose.service"}}`+"\t{{.Status}}").Output()
	states := make(map[string]string)
	if err != nil {
		return states // that docker does not answer is said by itself
	}
	for line := range strings.Lines(string(out)) {
		service, state, ok := strings.Cut(strings.TrimSpace(line), "\t")
		if ok {
			states[strings.TrimSuffix(service, "-gpu")] = strings.ToLower(state)
		}
	}
	return states
}
