package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/doctor"
	"github.com/jeantrail/jeantrail-ai/internal/testkit"
)

// examined is what doctor says about a home, and its exit code.
type examined struct {
	Status doctor.Status
	Checks []doctor.Finding
	code   int
}

// examine runs doctor on a home, with more environment.
func examine(t *testing.T, home string, environ ...string) examined {
	t.Helper()
	cmd := exec.Command("jeantrail-ai", "doctor", "--json")
	cmd.Env = append(append(os.Environ(), "JEANTRAIL_HOME="+home), environ...)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	e := examined{code: cmd.ProcessState.ExitCode()}
	if err := json.Unmarshal(out, &e); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return e
}

// wants finds a finding of a check.
func (e examined) wants(t *testing.T, name string, s doctor.Status, parts ...string) {
	t.Helper()
	for _, f := range e.Checks {
		if f.Name != name || f.Status != s {
			continue
		}
		all := f.Found + f.Why + strings.Join(f.Mend, "\n")
		if !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(all, p) }) {
			return
		}
	}
	t.Errorf("%s has no %s with %q:\n%+v", name, s, parts, e.Checks)
}

func TestDoctorNamesWhoHasThePort(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	address := listener.Addr().String()
	e := examine(t, filepath.Join(t.TempDir(), "home"), "JEANTRAIL_LISTEN="+address)
	e.wants(t, "port", doctor.Problem, address+" is used by ", fmt.Sprintf("(pid %d)", os.Getpid()), "--port 0", fmt.Sprintf("kill %d", os.Getpid()))
	if e.code != exitFailed || e.Status != doctor.Problem {
		t.Errorf("exit code %d, status %s", e.code, e.Status)
	}
}

// tree is every file of a folder with its size, mode and time of change.
func tree(t *testing.T, folder string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			all[path] = fmt.Sprint(info.Size(), info.Mode(), info.ModTime().UnixNano())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestDoctorChangesNothing(t *testing.T) {
	home := t.TempDir()
	in := startSidecar(t, home)
	in.modelReady()
	if code := in.stop(); code != exitOK {
		t.Fatalf("exit code %d", code)
	}
	before := tree(t, home)
	e := examine(t, home, "JEANTRAIL_LISTEN=127.0.0.1:0")
	e.wants(t, "database", doctor.OK, "all pages are sound")
	e.wants(t, "models", doctor.OK, "1 model is sound")
	e.wants(t, "instance", doctor.OK, "No instance runs")
	if after := tree(t, home); !maps.Equal(before, after) {
		t.Errorf("the home was\n%v\nand is\n%v", before, after)
	}
}

func TestDoctorFindsOutWhatNobodyKnows(t *testing.T) {
	data := []byte("engine:\n  slot: 3\n  slots: 4\nmodels:\n  - name: a\n    contxt: 5\nworkers:\n  - name: w\n    price:\n      image: \"1\"\n      picture: \"2\"\nengines: 5\n")
	want := []doctor.Setting{
		{Key: "engine.slot", Line: 2, Near: "engine.slots"}, {Key: "models[0].contxt", Line: 6}, {Key: "workers[0].price.picture", Line: 11}, {Key: "engines", Line: 12},
	}
	got := wrongSettings(data)
	for i := range got {
		if i != 0 {
			got[i].Near = ""
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("settings %+v, want %+v", got, want)
	}
	if wrong := wrongSettings([]byte("a: [")); wrong != nil {
		t.Errorf("a file that is not YAML has %+v", wrong)
	}
	variables := wrongVariables([]string{"JEANTRAIL_HOME=x", "JEANTRAIL_ENGINE__SLOTS=3", "JEANTRAIL_ENGINE_SLOTS=3", "JEANTRAIL_TEST_X=1", "PATH=/bin"})
	if len(variables) != 1 || variables[0].Variable != "JEANTRAIL_ENGINE_SLOTS" || variables[0].Near != "engine.slots" {
		t.Errorf("variables %+v", variables)
	}
}

func TestDoctorFindsTheLine(t *testing.T) {
	lines := settingLines([]byte("listen: x\nengine:\n  slots: 0\nmodels:\n  - name: a\n    n_ctx: -1\n"))
	for message, want := range map[string]int{
		"setting engine.slots is 0 (from file): it must be": 3, "setting listen is x (from environment): use": 0,
		"yaml: line 7: did not find": 7, "models[0] (a): model_path is needed": 5, "something else": 0,
	} {
		if got := lineOf(message, lines); got != want {
			t.Errorf("%q: line %d, want %d", message, got, want)
		}
	}
}

func TestDoctorRunsOnAnyCPU(t *testing.T) {
	root := newRootCommand(&options{})
	for line, want := range map[string]bool{
		"doctor": true, "--home x doctor --fix": true, "doctor --json": true, "generate doctor": false, "serve": false, "": false, "nothing": false,
	} {
		if got := explains(root, strings.Fields(line)); got != want {
			t.Errorf("%q: %v, want %v", line, got, want)
		}
	}
}

// A processor that lacks something is explained, and llama.cpp is not entered.
func TestDoctorExplainsACPUThatLacksSomething(t *testing.T) {
	l := newLooker(&options{home: filepath.Join(t.TempDir(), "home")})
	l.cpuErr = errors.New("this program was built for another CPU (zen4): this one lacks avx512f; make another")
	found := doctor.Run(t.Context(), l.checks())
	examined{Checks: found}.wants(t, "cpu", doctor.Problem, "lacks avx512f", "illegal instruction", "make build")
	examined{Checks: found}.wants(t, "proxy", doctor.OK)
}

func TestDoctorWithoutAHome(t *testing.T) {
	l := &looker{homeErr: jeantrail.Errorf(jeantrail.CodeInvalid, "find a home folder").WithHint("Set JEANTRAIL_HOME.")}
	fresh := newLooker(&options{home: t.TempDir()})
	l.config, l.instance, l.docker = fresh.config, l.askInstance, fresh.docker
	found := doctor.Run(t.Context(), l.checks())
	examined{Checks: found}.wants(t, "home", doctor.Problem, "find a home folder", "Set JEANTRAIL_HOME.")
	if slices.ContainsFunc(found, func(f doctor.Finding) bool { return f.Name == "database" || f.Name == "models" }) {
		t.Errorf("what lies in a home is looked for without one: %+v", found)
	}
}

// What a process that is gone left stays while somebody holds the home: it may be
// that one's by now.
func TestDoctorLeavesTheFileOfALiveInstance(t *testing.T) {
	home := t.TempDir()
	own, err := ownHome(home)
	if err != nil {
		t.Fatal(err)
	}
	if err := own.Announce(Instance{PID: 1}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(home, instanceFile)
	if err := removeStale(home, path); jeantrail.CodeOf(err) != jeantrail.CodeConflict || !fileThere(path) {
		t.Errorf("with a holder: %v", err)
	}
	if err := own.lock.Unlock(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := removeStale(home, path); err != nil || fileThere(path) {
			t.Errorf("without a holder: %v", err)
		}
	}
}

func TestDoctorReadsCommandLines(t *testing.T) {
	words := strings.Fields("jeantrail-ai serve --home /h --parent-pid=12 --sidecar --last")
	for flag, want := range map[string]string{"--home": "/h", "--parent-pid": "12", "--port": "", "--last": ""} {
		if got := flagOf(words, flag); got != want {
			t.Errorf("%s is %q, want %q", flag, got, want)
		}
	}
	if got := wrap("one two-three  four /a/long/path", 9); !slices.Equal(got, []string{"one", "two-three", "four", "/a/long/path"}) {
		t.Errorf("wrapped to %q", got)
	}
}

func TestDoctorReadsTheDatabaseURL(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("DATABASE_URL", "sqlite:/x/y.db")
	for value, want := range map[string]doctor.DatabaseURL{
		"":                  {},
		"sqlite:/x/y.db":    {Path: "/x/y.db"},
		"sqlite:///x/y.db":  {Path: "/x/y.db"},
		"sqlite:y.db":       {Path: filepath.Join(here, "y.db"), Relative: true},
		"/x/y.db":           {Path: "/x/y.db"},
		"postgresql://h/db": {},
	} {
		want.Value, want.Variable = value, "sqlite:/x/y.db"
		config := &LoadedConfig{Config: Config{DatabaseURL: value}, Home: "/h"}
		if got := databaseURL(config); got != want {
			t.Errorf("%q: %+v, want %+v", value, got, want)
		}
	}
	t.Setenv("JEANTRAIL_DATABASE_URL", "sqlite:/z.db")
	if got := databaseURL(&LoadedConfig{}); got.Over != "JEANTRAIL_DATABASE_URL" {
		t.Errorf("over it is %q", got.Over)
	}
}

// A worker that takes the connection and never answers is given up.
func TestDoctorIsNotHeldUpByAWorker(t *testing.T) {
	server := testkit.Serve(t, testkit.Coqui{})
	server.Fault("", testkit.Hang())
	e := examine(t, filepath.Join(t.TempDir(), "home"), "JEANTRAIL_LISTEN=127.0.0.1:0", "COQUI_URL="+server.URL)
	e.wants(t, "worker coqui", doctor.Problem, "in time", "set COQUI_URL")
	e.wants(t, "proxy", doctor.OK)
}

func TestDoctorPlansTheModels(t *testing.T) {
	home := t.TempDir()
	model := filepath.Join(t.TempDir(), "a.gguf")
	writeModel(t, model, 1, "")
	configure(t, home, fmt.Sprintf("default_model: a\nmemory: {limit: 1KiB}\nmodels: [{name: a, model_path: %q}]\n", model))
	e := examine(t, home, "JEANTRAIL_LISTEN=127.0.0.1:0")
	e.wants(t, "fit", doctor.Problem, "a needs", "with a context of", "can be used", "Requests for a are refused")
	configure(t, home, fmt.Sprintf("default_model: a\nmodels: [{name: a, model_path: %q, pinned: true}]\n", model))
	e = examine(t, home, "JEANTRAIL_LISTEN=127.0.0.1:0")
	e.wants(t, "fit", doctor.OK, "a needs", "fits")
	e.wants(t, "models", doctor.OK, "1 model is sound")
}
