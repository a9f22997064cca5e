package hub

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/jeantrail/jeantrail-ai/registry/hub/hubtest"
)

func mountSmall(folder string) error {
	return syscall.Mount("none", folder, "tmpfs", 0, "size=2m")
}

// TestAReallyFullDisk runs a pull on a file system of 2 MiB.
func TestAReallyFullDisk(t *testing.T) {
	h := hubtest.New(t)
	h.Put(repo, "m-Q4_K_M.gguf", hubtest.Content(3<<20, 1))
	cmd, output := child(t, errand{Folder: t.TempDir(), Endpoint: h.URL, Source: "hf:" + repo, PartBytes: minPartBytes, Mount: true})
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	err := cmd.Run()
	if _, ran := err.(*exec.ExitError); err != nil && !ran || strings.Contains(output.String(), "cannot mount") {
		t.Skip("this system lets nobody mount in a namespace:", err, output)
	}
	if !strings.HasPrefix(output.String(), "storage_full ") || !strings.Contains(output.String(), "2 MiB free") {
		t.Errorf("the child says %q", output)
	}
	if sent, _ := h.Sent(repo, "m-Q4_K_M.gguf"); sent > 0 {
		t.Errorf("%d bytes were fetched for a disk that cannot hold them", sent)
	}
}
