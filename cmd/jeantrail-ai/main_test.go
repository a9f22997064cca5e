package main

import (
	"os"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the test binary be the program: under the name jeantrail-ai it
// runs main. So the tests see what a user sees, and the race detector too.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"jeantrail-ai": main,
		"holder":       hold,
		"launcher":     launch,
	})
}

// TestScripts runs the command line as a user types it; see testdata/script.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("JEANTRAIL_HOME", e.WorkDir+"/home")
			e.Setenv("HOME", e.WorkDir)
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"capture": capture,
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("JEANTRAIL_TEST_UPDATE") != "",
	})
}

// capture keeps what the last command printed, without the end of the line, in a
// variable: capture NAME.
func capture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: capture NAME")
	}
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
}
