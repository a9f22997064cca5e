package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/build/compose"
)

// overrideName is a second compose file that is used too if it lies beside the
// first; the first is this program's.
const overrideName = "docker-compose.override.yml"

// containers runs docker compose on the file that is inside this program, with
// the workers of one home.
type containers struct {
	home     string
	docker   string // path of the program
	out, err io.Writer
}

// openContainers finds docker and puts the compose file into the home.
func openContainers(ctx context.Context, home string, out, errs io.Writer) (*containers, error) {
	c, err := findDocker(ctx, home, out, errs)
	if err != nil {
		return nil, err
	}
	return c, c.place()
}

// findDocker finds docker with compose and a daemon that answers. What is missing
// is said, with what to do.
func findDocker(ctx context.Context, home string, out, errs io.Writer) (*containers, error) {
	path, err := exec.LookPath("docker")
	if err != nil {
		return nil, jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "docker is not installed").
			WithHint("Install Docker Engine with its compose plugin, or Docker Desktop: https://docs.docker.com/get-started/get-docker/\n%s", withoutDocker)
	}
	c := &containers{home: home, docker: path, out: out, err: errs}
	if said, err := c.ask(ctx, "compose", "version", "--short"); err != nil {
		return nil, jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "docker has no compose plugin: %s", said).
			WithHint("Install the compose plugin (package docker-compose-plugin or docker-compose-v2): https://docs.docker.com/compose/install/linux/\n%s", withoutDocker)
	}
	if said, err := c.ask(ctx, "info", "--format", "{{.ServerVersion}}"); err != nil {
		hint := "Start it: sudo systemctl start docker, or open Docker Desktop."
		if strings.Contains(said, "permission denied") {
			hint = "Let your user use it: sudo usermod -aG docker $USER, then log in again."
		}
		return nil, jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "the docker daemon does not answer: %s", said).WithHint("%s", hint)
	}
	return c, nil
}

// withoutDocker is the other way to have workers.
const withoutDocker = "Or run the servers without docker and say where they are: SDXL_URL, WHISPER_URL, COQUI_URL, or workers in config.yaml."

// dockerAnswers is how long docker may take to say whether it is there.
const dockerAnswers = 20 * time.Second

// ask runs docker and returns the last line that it printed.
func (c *containers) ask(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, dockerAnswers)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.docker, args...)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return "it took too long", ctx.Err()
	}
	lines := strings.Split(string(bytes.TrimSpace(out)), "\n")
	for _, line := range lines { // the first line that says what is wrong is more use than the last
		for _, wrong := range []string{"unknown command", "unknown flag", "is not a docker command", "annot connect", "permission denied"} {
			if err != nil && strings.Contains(line, wrong) {
				return strings.TrimSpace(line), err
			}
		}
	}
	return strings.TrimSpace(lines[len(lines)-1]), err
}

func (c *containers) file() string { return filepath.Join(c.home, "compose", compose.FileName) }

// place writes the compose file into the home. Another version of it is
// replaced, which is said.
func (c *containers) place() error {
	path := c.file()
	there, err := os.ReadFile(path)
	switch {
	case err == nil && bytes.Equal(there, compose.File()):
		return nil
	case err == nil:
		fmt.Fprintf(c.err, "note: %s is of another version, or was changed; it is written anew. What is yours belongs into %s beside it.\n", path, overrideName)
	case !errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("read %s: %w", path, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("place the compose file: %w", err)
	}
	_, err = keep(path, true, bytes.NewReader(compose.File()))
	return err
}

// missing names the model files that the services need and that are not there.
func (c *containers) missing(services []compose.Service) []compose.ModelFile {
	var out []compose.ModelFile
	for _, s := range services {
		for _, f := range s.Files {
			info, err := os.Stat(f.Path(c.home, os.Getenv))
			if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
				out = append(out, f)
			}
		}
	}
	return out
}

// errMissing says which files to get, and what to call them.
func (c *containers) errMissing(files []compose.ModelFile) error {
	var hint strings.Builder
	names := make([]string, len(files))
	for i, f := range files {
		path := f.Path(c.home, os.Getenv)
		names[i] = filepath.Base(path)
		fmt.Fprintf(&hint, "Put it at %s (about %s; from %s), or name another file of that folder with %s.\n", path, f.Size, f.Source, f.Variable)
	}
	is := "is"
	if len(files) > 1 {
		is = "are"
	}
	return jeantrail.Errorf(jeantrail.CodeNotFound, "%s %s not there", strings.Join(names, " and "), is).WithHint("%s", strings.TrimSpace(hint.String()))
}

// up starts the services, in place of those that use the other processor.
func (c *containers) up(ctx context.Context, services []compose.Service, gpu, wait bool) error {
	var start, stop []string
	for _, s := range services {
		if len(s.Files) > 0 { // so that there is somewhere to put them
			if err := os.MkdirAll(compose.Folder(c.home, s.Name), 0o755); err != nil {
				return fmt.Errorf("make the folder of %s: %w", s.Name, err)
			}
		}
		start = append(start, s.Service(gpu))
		if other := s.Service(!gpu); other != s.Service(gpu) {
			stop = append(stop, other)
		}
	}
	if files := c.missing(services); len(files) > 0 {
		return c.errMissing(files)
	}
	if len(stop) > 0 { // they have the same ports
		if err := c.compose(ctx, append([]string{"rm", "--stop", "--force"}, stop...)...); err != nil {
			return err
		}
	}
	args := []string{"up", "--detach"}
	if wait {
		args = append(args, "--wait")
	}
	err := c.compose(ctx, append(args, start...)...)
	if e := (*jeantrail.Error)(nil); gpu && errors.As(err, &e) {
		return e.WithHint("An NVIDIA card needs the NVIDIA Container Toolkit; see: https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/install-guide.html\nWithout --gpu the workers use the processor.")
	}
	return err
}

// down removes the containers of the services, all of the project if there are
// none. What they keep on disk stays.
func (c *containers) down(ctx context.Context, services []compose.Service) error {
	if len(services) == 0 {
		return c.compose(ctx, "down")
	}
	args := []string{"rm", "--stop", "--force"}
	for _, s := range services {
		args = append(args, s.Name)
		if s.GPU != "" {
			args = append(args, s.GPU)
		}
	}
	return c.compose(ctx, args...)
}

// compose runs docker compose, whose words go to the terminal.
func (c *containers) compose(ctx context.Context, args ...string) error {
	all := []string{"compose", "--project-name", compose.Project, "--file", c.file()}
	if override := filepath.Join(filepath.Dir(c.file()), overrideName); fileThere(override) {
		all = append(all, "--file", override)
	}
	all = append(append(all, "--profile", compose.ProfileGPU), args...)
	cmd := exec.CommandContext(ctx, c.docker, all...)
	cmd.Env = c.environ()
	cmd.Stdout, cmd.Stderr = c.out, c.err
	// Interrupted it leaves what runs as it is; killed it could not say so.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 15 * time.Second
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "docker compose %s failed: %w", args[0], err).
			WithHint("What docker said is above.")
	}
	return nil
}

// environ is the environment of docker compose: ours, the home, and as whom the
// servers may read the model files.
func (c *containers) environ() []string {
	env := append(os.Environ(), compose.HomeVariable+"="+c.home)
	if uid := os.Getuid(); uid > 0 && os.Getenv(compose.UserVariable) == "" {
		env = append(env, fmt.Sprintf("%s=%d:%d", compose.UserVariable, uid, os.Getgid()))
	}
	return env
}

func fileThere(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
