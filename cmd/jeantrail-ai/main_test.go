package main

import (
	"os"
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
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("JEANTRAIL_TEST_UPDATE") != "",
	})
}
