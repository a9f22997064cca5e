//go:build cgo

package llama

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const (
	crashKindEnv = "LLAMA_TEST_CRASH_KIND"
	crashFileEnv = "LLAMA_TEST_CRASH_FILE"
)

// TestCrashChild is the process that TestCrashLeavesWords looks at.
func TestCrashChild(t *testing.T) {
	kind, err := strconv.Atoi(os.Getenv(crashKindEnv))
	if err != nil {
		return // not the child
	}
	if err := SetCrashFile(os.Getenv(crashFileEnv)); err != nil {
		t.Fatal(err)
	}
	crashForTest(kind)
	t.Fatal("still alive")
}

func TestCrashLeavesWords(t *testing.T) {
	for kind, want := range []string{"crashed on purpose", "uncaught C++ exception"} {
		file := filepath.Join(t.TempDir(), "crash")
		cmd := exec.Command(os.Args[0], "-test.run=^TestCrashChild$")
		cmd.Env = append(os.Environ(), crashKindEnv+"="+strconv.Itoa(kind), crashFileEnv+"="+file)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Run(); err == nil {
			t.Fatal("the child lives")
		}
		words, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for where, text := range map[string]string{"crash file": string(words), "stderr": stderr.String()} {
			if !strings.Contains(text, want) || !strings.Contains(text, "llama.cpp stopped the process") {
				t.Errorf("%s says %q", where, text)
			}
		}
	}
	if err := SetCrashFile(strings.Repeat("x", 5000)); err == nil {
		t.Error("a path of 5000 bytes was taken")
	}
}
