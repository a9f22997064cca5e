package main

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/jeantrail/jeantrail-ai/build/compose"
)

// Without docker, compose or a daemon, a command ends as it does for anything
// that is not available.
func TestDockerThatIsNotThere(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the double of docker is a shell script")
	}
	for name, script := range map[string]string{
		"no docker":  "",
		"no compose": "[ \"$1\" != compose ]",
		"no daemon":  "[ \"$1\" != info ]",
	} {
		t.Run(name, func(t *testing.T) {
			bin, home := t.TempDir(), t.TempDir()
			if script != "" {
				if err := os.WriteFile(filepath.Join(bin, "docker"), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			t.Setenv("PATH", bin)
			var out bytes.Buffer
			_, err := openContainers(t.Context(), home, &out, &out)
			if exitCode(err) != exitUnavailable {
				t.Errorf("exit code %d for %v, want %d", exitCode(err), err, exitUnavailable)
			}
			if entries, _ := os.ReadDir(home); len(entries) > 0 {
				t.Errorf("it wrote %v into the home all the same", entries)
			}
		})
	}
}

func TestWhoRunsTheServers(t *testing.T) {
	c := &containers{home: "/the/home"}
	t.Setenv(compose.UserVariable, "7:8")
	env := c.environ()
	if got := env[len(env)-1]; got != compose.HomeVariable+"=/the/home" {
		t.Errorf("a user who was named is replaced: %s", got)
	}
}
