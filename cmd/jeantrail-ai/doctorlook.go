package main

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/knadh/koanf/v2"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/doctor"
	"github.com/jeantrail/jeantrail-ai/engine/native"
)

// What a check may take. A worker or an instance that hangs is given up before.
const (
	lookLimit  = 3 * time.Second
	slowLimit  = 6 * time.Second // for what asks several others in turn
	askLimit   = 2 * time.Second // for one answer of an instance or a worker
	portAnswer = 500 * time.Millisecond
)

// looker gathers the facts that doctor judges. What several checks need is looked
// up once, when the first of them asks; none of it is changed.
type looker struct {
	home    string
	source  string // what says where the home is
	homeErr error

	config   func() (*LoadedConfig, error) // never nil: the defaults if there is an error
	instance func() seenInstance
	docker   func() doctor.Docker
	cpuErr   error
}

// seenInstance is what the instance of the home says about itself.
type seenInstance struct {
	file    Instance
	there   bool
	fileErr error
	err     error // it was asked and did not answer as itself
	took    time.Duration
	health  wireDoctorHealth
}

// wireDoctorHealth is what /health says.
type wireDoctorHealth struct {
	Status     string `json:"status"`
	Version    string `json:"version"`
	InstanceID string `json:"instance_id"`
	Models     map[string]struct {
		Status string `json:"status"`
	} `json:"models"`
}

// answers reports whether the instance of the file answered.
func (s seenInstance) answers() bool { return s.there && s.fileErr == nil && s.err == nil }

func newLooker(o *options) *looker {
	l := &looker{cpuErr: native.CheckCPU()}
	l.home, l.homeErr = homeDir(o.home)
	switch {
	case o.home != "":
		l.source = "--home"
	case os.Getenv("JEANTRAIL_HOME") != "":
		l.source = "JEANTRAIL_HOME"
	case filepath.IsAbs(os.Getenv("XDG_DATA_HOME")):
		l.source = "XDG_DATA_HOME"
	}
	l.config = sync.OnceValues(l.loadConfig)
	l.instance = sync.OnceValue(l.askInstance)
	l.docker = sync.OnceValue(l.lookAtDocker)
	return l
}

// checks are all there are, in the order in which a person reads them.
func (l *looker) checks() []doctor.Check {
	disk := []string{"See whether the disk answers: timeout 5 ls " + l.home}
	all := []doctor.Check{
		{Name: "program", Limit: lookLimit, Look: l.lookAtProgram},
		{Name: "graphics", Limit: slowLimit, Look: l.lookAtGraphics, Hung: []string{"See whether the card's driver answers: timeout 5 nvidia-smi"}},
		{Name: "cores", Limit: lookLimit, Look: l.lookAtCores},
		{Name: "memory", Limit: slowLimit, Look: l.lookAtMemory, Hung: disk},
		{Name: "home", Limit: lookLimit, Look: l.lookAtHome, Hung: disk},
	}
	if l.homeErr == nil {
		all = append(all,
			doctor.Check{Name: "disk", Limit: lookLimit, Look: l.lookAtDisk, Hung: disk},
			doctor.Check{Name: "database", Limit: slowLimit, Look: l.lookAtDatabase, Hung: disk},
			doctor.Check{Name: "config", Limit: lookLimit, Look: l.lookAtConfig, Hung: disk},
			doctor.Check{Name: "instance", Limit: slowLimit, Look: l.lookAtInstance, Hung: disk},
			doctor.Check{Name: "port", Limit: slowLimit, Look: l.lookAtPort},
			doctor.Check{Name: "models", Limit: slowLimit, Look: l.lookAtModels, Hung: disk},
			doctor.Check{Name: "workers", Limit: slowLimit + askLimit, Look: l.lookAtWorkers, Hung: []string{"See each of them: jeantrail-ai worker status"}},
			doctor.Check{Name: "clock", Limit: slowLimit, Look: l.lookAtClock, Hung: disk},
		)
	}
	return append(all,
		doctor.Check{Name: "limits", Limit: lookLimit, Look: l.lookAtLimits, Hung: disk},
		doctor.Check{Name: "proxy", Limit: lookLimit, Look: l.lookAtProxies},
	)
}

// loadConfig reads the configuration, or takes the defaults with the error.
func (l *looker) loadConfig() (*LoadedConfig, error) {
	config, err := loadConfig(l.home, nil)
	if l.homeErr == nil && err == nil {
		return config, nil
	}
	fallback := &LoadedConfig{Config: defaultConfig(), Home: l.home, Sources: map[string]string{}, values: koanf.New("."), Notes: environmentNotes()}
	if listen := os.Getenv("JEANTRAIL_LISTEN"); listen != "" { // it would hold whatever the file says
		fallback.Listen, fallback.Sources["listen"] = listen, "environment"
	}
	return fallback, cmp.Or(l.homeErr, err)
}

// askInstance reads the instance's file and asks who is there. It takes no lock:
// an instance that starts at this moment would find it held.
func (l *looker) askInstance() (s seenInstance) {
	if l.homeErr != nil {
		return s
	}
	_, err := os.Lstat(filepath.Join(l.home, instanceFile))
	if err != nil {
		return s
	}
	s.there = true
	if s.file, s.fileErr = readInstance(l.home); s.fileErr != nil {
		return s
	}
	ctx, cancel := context.WithTimeout(context.Background(), askLimit)
	defer cancel()
	began := time.Now()
	s.err = newClient(s.file.BaseURL, s.file.Token).get(ctx, "GET", "/health", &s.health)
	s.took = time.Since(began)
	switch {
	case s.err == nil && s.health.InstanceID != "" && s.health.InstanceID != s.file.InstanceID:
		s.err = jeantrail.Errorf(jeantrail.CodeConflict, "another instance answers there")
	case ctx.Err() != nil:
		s.err = jeantrail.Errorf(jeantrail.CodeDeadline, "it took too long")
	}
	return s
}
