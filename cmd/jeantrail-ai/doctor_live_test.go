//go:build unix

package main

import (
	"fmt"
	"os/exec"
	"syscall"
	"testing"

	"github.com/jeantrail/jeantrail-ai/doctor"
)

func TestDoctorOfAnInstanceThatRunsHangsAndIsGone(t *testing.T) {
	home := t.TempDir()
	in := startSidecar(t, home)
	in.modelReady()
	pid := in.cmd.Process.Pid
	closed := []string{"JEANTRAIL_LISTEN=127.0.0.1:0", "SDXL_URL=", "WHISPER_URL=", "COQUI_URL="}
	e := examine(t, home, closed...)
	e.wants(t, "instance", doctor.OK, fmt.Sprintf("(pid %d) answers at %s", pid, in.url("")))
	e.wants(t, "database", doctor.OK, "and a log of", "all pages are sound")
	if e.code != exitOK {
		t.Errorf("exit code %d: %+v", e.code, e.Checks)
	}

	// Stopped, it holds the home and answers nobody.
	if err := in.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	e = examine(t, home, closed...)
	e.wants(t, "instance", doctor.Problem, fmt.Sprintf("(pid %d) holds the home and does not answer", pid), fmt.Sprintf("kill %d", pid))
	if e.code != exitFailed {
		t.Errorf("exit code %d", e.code)
	}
	if err := in.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}

	// Killed, it leaves its file, which is no problem and can be removed.
	in.kill()
	e = examine(t, home, closed...)
	e.wants(t, "instance", doctor.Warning, fmt.Sprintf("process %d, which is gone", pid))
	if e.code != exitOK {
		t.Errorf("exit code %d: %+v", e.code, e.Checks)
	}
	if out, err := exec.Command("jeantrail-ai", "--home", home, "doctor", "--fix").CombinedOutput(); err != nil {
		t.Logf("%s", out) // another program may have the port
	}
	examine(t, home, closed...).wants(t, "instance", doctor.OK, "No instance runs")
}

// A sidecar whose app is gone is told of, whatever home is looked at. It holds on
// here because it is stopped, as one that hangs would.
func TestDoctorFindsAnOrphan(t *testing.T) {
	parent := exec.Command("holder")
	stdin, err := parent.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	in := startSidecar(t, home, "--parent-pid", fmt.Sprint(parent.Process.Pid))
	if err := in.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	stdin.Close()
	if err := parent.Wait(); err != nil {
		t.Fatal(err)
	}
	e := examine(t, t.TempDir(), "JEANTRAIL_LISTEN=127.0.0.1:0")
	e.wants(t, "instance", doctor.Warning, fmt.Sprintf("Process %d on %s", in.cmd.Process.Pid, home), "an app that is gone", fmt.Sprintf("kill %d", in.cmd.Process.Pid))
	in.kill()
}
