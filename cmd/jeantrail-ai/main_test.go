package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"image/png"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/jeantrail/jeantrail-ai/internal/testkit"
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
			program, err := exec.LookPath("jeantrail-ai")
			e.Setenv("PROGRAM", filepath.Dir(program)) // a PATH with nothing else
			return err
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"capture": capture, "double": double(t), "pick": pick, "media": makeMedia, "holds": holds,
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

// pick keeps a text of the JSON object that the last command printed in a
// variable: pick NAME KEY.
func pick(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: pick NAME KEY")
	}
	var object map[string]any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &object))
	text, ok := object[args[1]].(string)
	if !ok {
		ts.Fatalf("%s is %v", args[1], object[args[1]])
	}
	ts.Setenv(args[0], text)
}

// doubles are the servers that scripts can have, each behind the variable that
// tells where the worker is.
var doubles = map[string]struct {
	variable string
	server   testkit.Double
}{
	"sdxl": {"SDXL_URL", testkit.SDServer{}}, "whisper": {"WHISPER_URL", testkit.Whisper{}}, "coqui": {"COQUI_URL", testkit.Coqui{}},
}

// double starts the double of a worker and says where it is, in the environment:
// double WORKER.
func double(t *testing.T) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) != 1 || doubles[args[0]].variable == "" {
			ts.Fatalf("usage: double %s", strings.Join(slices.Sorted(maps.Keys(doubles)), "|"))
		}
		d := doubles[args[0]]
		ts.Setenv(d.variable, testkit.Serve(t, d.server).URL)
	}
}

// makeMedia writes a file of the kind that its name says: media FILE.wav SECONDS, or
// media FILE.png WIDTH HEIGHT.
func makeMedia(ts *testscript.TestScript, neg bool, args []string) {
	var content []byte
	switch {
	case !neg && len(args) == 2 && filepath.Ext(args[0]) == ".wav":
		length, err := time.ParseDuration(args[1] + "s")
		ts.Check(err)
		content = testkit.Tone{Length: length}.Bytes()
	case !neg && len(args) == 3 && filepath.Ext(args[0]) == ".png":
		width, err := strconv.Atoi(args[1])
		ts.Check(err)
		height, err := strconv.Atoi(args[2])
		ts.Check(err)
		content = testkit.PNG(width, height, 1)
	default:
		ts.Fatalf("usage: media FILE.wav SECONDS | FILE.png WIDTH HEIGHT")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), content, 0o600))
}

// holds says what a file of sound or a picture holds, and fails if that is
// another thing: holds FILE.wav SECONDS, or holds FILE.png WIDTHxHEIGHT. The last
// of several files of a pattern is looked at.
func holds(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: holds FILE.wav SECONDS | FILE.png WIDTHxHEIGHT")
	}
	paths, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(paths) == 0 {
		ts.Fatalf("there is no %s", args[0])
	}
	data, err := os.ReadFile(paths[len(paths)-1])
	ts.Check(err)
	var got string
	switch {
	case bytes.HasPrefix(data, []byte("RIFF")) && len(data) > 44:
		bytesPerSecond := binary.LittleEndian.Uint32(data[28:])
		got = strconv.FormatFloat(float64(len(data)-44)/float64(bytesPerSecond), 'f', 2, 64)
	default:
		picture, err := png.DecodeConfig(bytes.NewReader(data))
		ts.Check(err)
		got = fmt.Sprintf("%dx%d", picture.Width, picture.Height)
	}
	if got != args[1] {
		ts.Fatalf("%s holds %s, want %s", args[0], got, args[1])
	}
}
