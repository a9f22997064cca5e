package compose

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

// load reads the file as docker compose does: schema, variables, profiles.
func load(t *testing.T, env map[string]string, profiles ...string) (*types.Project, error) {
	t.Helper()
	details := types.ConfigDetails{
		WorkingDir: t.TempDir(), Environment: env,
		ConfigFiles: []types.ConfigFile{{Filename: FileName, Content: File()}},
	}
	return loader.LoadWithContext(context.Background(), details, func(o *loader.Options) {
		o.Profiles = profiles
		o.SetProjectName(Project, true)
	})
}

func mustLoad(t *testing.T, profiles ...string) (home string, p *types.Project) {
	t.Helper()
	home = t.TempDir()
	p, err := load(t, map[string]string{HomeVariable: home}, profiles...)
	if err != nil {
		t.Fatal(err)
	}
	return home, p
}

func TestServices(t *testing.T) {
	_, cpu := mustLoad(t)
	if got, want := cpu.ServiceNames(), []string{"coqui", "sdxl", "whisper"}; !slices.Equal(got, want) {
		t.Errorf("without a profile there are %v, want %v", got, want)
	}
	_, all := mustLoad(t, ProfileGPU)
	for _, s := range Services() {
		for _, name := range []string{s.Name, s.GPU} {
			if name == "" {
				continue
			}
			service, err := all.GetService(name)
			if err != nil {
				t.Fatal(err)
			}
			if len(service.Ports) != 1 || service.Ports[0].Published != strconv.Itoa(s.Port) || service.Ports[0].HostIP != "127.0.0.1" {
				t.Errorf("%s is published as %+v, want 127.0.0.1:%d", name, service.Ports, s.Port)
			}
			if card := hasCard(service); card != (name == s.GPU) {
				t.Errorf("%s has a card: %v", name, card)
			}
		}
		if s.Service(true) == s.Service(false) && s.GPU != "" {
			t.Errorf("%s starts the same service with a card", s.Name)
		}
	}
	if want := 5; len(all.Services) != want {
		t.Errorf("the profile gpu makes %d services, want %d", len(all.Services), want)
	}
}

func hasCard(s types.ServiceConfig) bool {
	return s.Deploy != nil && s.Deploy.Resources.Reservations != nil && len(s.Deploy.Resources.Reservations.Devices) > 0
}

// pinned are a digest, or a tag that names a release.
var pinned = regexp.MustCompile(`@sha256:[0-9a-f]{64}$|:v[0-9]+\.[0-9]+\.[0-9]+$`)

// What holds for every worker, whoever adds one.
func TestServicesAreConfined(t *testing.T) {
	home, all := mustLoad(t, ProfileGPU)
	for name, s := range all.Services {
		if !pinned.MatchString(s.Image) {
			t.Errorf("%s: the image %s is not pinned", name, s.Image)
		}
		if s.HealthCheck == nil || len(s.HealthCheck.Test) < 2 || s.HealthCheck.StartPeriod == nil {
			t.Errorf("%s has no health check", name)
		}
		if !slices.Equal(s.CapDrop, []string{"ALL"}) || len(s.CapAdd) > 0 || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") || s.Privileged {
			t.Errorf("%s has privileges", name)
		}
		if s.NetworkMode != "" || s.Pid != "" || s.Ipc != "" {
			t.Errorf("%s shares something of the machine", name)
		}
		if s.Restart != "on-failure:5" {
			t.Errorf("%s restarts %q: it would start with the machine", name, s.Restart)
		}
		if s.Init == nil || !*s.Init || len(s.Tmpfs) != 1 || s.Logging == nil || s.Logging.Options["max-size"] == "" {
			t.Errorf("%s has no init, tmpfs or limit on its log", name)
		}
		for _, v := range s.Volumes {
			inHome := v.Type == types.VolumeTypeBind && strings.HasPrefix(v.Source, filepath.Join(home, "workers")+string(filepath.Separator))
			if inHome && (!v.ReadOnly || v.Bind == nil || bool(v.Bind.CreateHostPath)) {
				t.Errorf("%s can write to %s, or makes it", name, v.Source)
			}
			if !inHome && v.Type != types.VolumeTypeVolume {
				t.Errorf("%s has %s of the machine", name, v.Source)
			}
		}
		if name != "coqui" && (s.User != "65534:65534" || !s.ReadOnly) {
			t.Errorf("%s runs as %q, read-only %v", name, s.User, s.ReadOnly)
		}
		if strings.Contains(strings.Join(s.Command, " "), "xtts") {
			t.Errorf("%s has a voice that may not be sold with", name)
		}
	}
}

// The files that are asked for are those that the servers open.
func TestModelFiles(t *testing.T) {
	home, all := mustLoad(t, ProfileGPU)
	none := func(string) string { return "" }
	for _, s := range Services() {
		for _, f := range s.Files {
			if f.Service != s.Name || f.Source == "" || f.Size == "" {
				t.Errorf("the file %+v of %s is not described", f, s.Name)
			}
			if got, want := f.Path(home, none), filepath.Join(home, "workers", s.Name, f.Name); got != want {
				t.Errorf("%s has to be at %s, want %s", f.Name, got, want)
			}
			for _, name := range []string{s.Name, s.GPU} {
				service := all.Services[name]
				if !slices.Contains(service.Command, "/models/"+f.Name) {
					t.Errorf("%s does not open %s: %v", name, f.Name, service.Command)
				}
				if len(service.Volumes) != 1 || service.Volumes[0].Source != Folder(home, s.Name) || service.Volumes[0].Target != "/models" {
					t.Errorf("%s does not read %s: %+v", name, Folder(home, s.Name), service.Volumes)
				}
			}
		}
	}
	env := map[string]string{HomeVariable: home, UserVariable: "1000:1000"}
	for _, s := range Services() {
		for _, f := range s.Files {
			env[f.Variable] = "other-" + f.Name
		}
	}
	changed, err := load(t, env)
	if err != nil {
		t.Fatal(err)
	}
	getenv := func(name string) string { return env[name] }
	for _, s := range Services() {
		for _, f := range s.Files {
			if !slices.Contains(changed.Services[s.Name].Command, "/models/other-"+f.Name) {
				t.Errorf("%s does not change the file of %s", f.Variable, s.Name)
			}
			if want := filepath.Join(home, "workers", s.Name, "other-"+f.Name); f.Path(home, getenv) != want {
				t.Errorf("with %s the file is asked for at %s", f.Variable, f.Path(home, getenv))
			}
			if changed.Services[s.Name].User != "1000:1000" {
				t.Errorf("%s does not change as whom %s runs", UserVariable, s.Name)
			}
		}
	}
}

func TestHomeIsNeeded(t *testing.T) {
	if _, err := load(t, nil); err == nil || !strings.Contains(err.Error(), HomeVariable) {
		t.Errorf("without a home: %v", err)
	}
}

// Docker's own reading, where it is installed; it needs no daemon.
func TestDockerReadsIt(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "docker", "compose", "version").CombinedOutput(); err != nil {
		t.Skipf("docker compose is not there: %v %s", err, bytes.TrimSpace(out))
	}
	path := filepath.Join(t.TempDir(), FileName)
	if err := os.WriteFile(path, File(), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, profile := range []string{"", ProfileGPU} {
		cmd := exec.CommandContext(ctx, "docker", "compose", "--file", path, "config", "--quiet")
		cmd.Env = append(os.Environ(), HomeVariable+"="+t.TempDir(), "COMPOSE_PROFILES="+profile)
		if out, err := cmd.CombinedOutput(); err != nil || len(bytes.TrimSpace(out)) > 0 {
			t.Errorf("profile %q: %v\n%s", profile, err, out)
		}
	}
}
