package doctor

import (
	"fmt"
	"strings"
)

// Workers is every server for images and speech, and docker, which some of them
// run in.
type Workers struct {
	List   []Worker
	Docker Docker
}

// Worker is one of them and how it is.
type Worker struct {
	Name, Kind, URL string
	Optional        bool   // nobody asked for it
	Status          string // ready, degraded, starting, down or unknown
	Problem         string
	Bad, Hint       string   // its settings can never work
	Container       bool     // there is a container of it in this program, at this address
	State           string   // of that container, as docker has it; "" none
	Variable        string   // the environment variable that gave its address; "" none
	Missing         []string // model files that the container needs
}

// Docker is whether containers can be started.
type Docker struct {
	Asked     bool // a worker that is not there could run in it
	Err, Hint string
}

// CheckWorkers judges the workers.
func CheckWorkers(w Workers) []Finding {
	var found []Finding
	absent := false
	for _, worker := range w.List {
		f := worker.finding()
		found = append(found, f)
		absent = absent || worker.Container && worker.Status == "down" && !worker.Optional
	}
	if w.Docker.Asked && w.Docker.Err != "" {
		f := remark("docker", "%s.", strings.TrimSuffix(w.Docker.Err, ".")).
			because("Workers of this program's compose file cannot be started.").mend(strings.Split(w.Docker.Hint, "\n")...)
		if absent {
			f.Status = Warning
		}
		found = append(found, f)
	}
	return found
}

func (w Worker) finding() Finding {
	name := "worker " + w.Name
	if w.Bad != "" {
		return problem(name, "%s.", strings.TrimSuffix(w.Bad, ".")).because("Requests of kind %s are refused.", w.Kind).mend(w.Hint)
	}
	where := fmt.Sprintf("kind %s, %s", w.Kind, w.URL)
	said := ""
	if w.Problem != "" {
		said = ": " + strings.TrimSuffix(w.Problem, ".")
	}
	switch w.Status {
	case "ready":
		return good(name, "It is ready (%s).", where)
	case "degraded":
		return warning(name, "It answers, but not as it should (%s)%s.", where, said).
			because("Requests of kind %s are slow or fail.", w.Kind).mend(w.logs(), "jeantrail-ai worker probe "+w.Name)
	case "starting", "unknown":
		return remark(name, "It is %s (%s)%s.", w.Status, where, said).mend("Look again in a minute: jeantrail-ai worker status")
	}
	if w.Optional {
		return remark(name, "Nothing answers at %s, where requests of kind %s would go; nobody asked for it.", w.URL, w.Kind).mend(w.up(), w.elsewhere())
	}
	if w.State != "" {
		said += "; its container is " + w.State
	}
	return problem(name, "It is down (%s)%s.", where, said).because("Requests of kind %s are refused.", w.Kind).mend(w.down()...)
}

// down is what to do about a worker that should be there.
func (w Worker) down() []string {
	if !w.Container {
		list := []string{"Start the server at " + w.URL + ", or correct its url under workers in config.yaml."}
		if w.Variable != "" {
			list = []string{"Start the server at " + w.URL + ", or set " + w.Variable + " to where it is."}
		}
		return append(list, "Then: jeantrail-ai worker probe "+w.Name)
	}
	var list []string
	for _, f := range w.Missing {
		list = append(list, "Its model file is missing: "+f)
	}
	return append(list, w.up(), w.logs())
}

func (w Worker) up() string {
	if !w.Container {
		return ""
	}
	return "jeantrail-ai worker up " + w.Name
}

// elsewhere is how to have an optional worker that is not in a container.
func (w Worker) elsewhere() string {
	if w.Variable == "" {
		return ""
	}
	return "Or say where it is: export " + w.Variable + "=http://127.0.0.1:PORT"
}

func (w Worker) logs() string {
	if w.State == "" {
		return ""
	}
	return "See what it says: docker ps --all --filter label=com.docker.compose.service=" + w.Name + "; docker logs …"
}
