package jeantrail_test

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/jeantrail/jeantrail-ai"

// listed is what `go list` tells of a package.
type listed struct {
	ImportPath string
	Name       string
	Dir        string
	Doc        string
	GoFiles    []string
	CgoFiles   []string
	Imports    []string
	Deps       []string
}

// own returns the path within the module, "." for its root.
func (p listed) own() string {
	if p.ImportPath == module {
		return "."
	}
	return strings.TrimPrefix(p.ImportPath, module+"/")
}

func packages(t *testing.T) []listed {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("the go command is not there to list the packages")
	}
	var stderr bytes.Buffer
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Name,Dir,Doc,GoFiles,CgoFiles,Imports,Deps", "./...")
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("list packages: %v\n%s", err, stderr.Bytes())
	}
	var all []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("read package list: %v", err)
		}
		if len(p.GoFiles)+len(p.CgoFiles) > 0 {
			all = append(all, p)
		}
	}
	if len(all) < 5 {
		t.Fatalf("only %d packages were listed", len(all))
	}
	return all
}

// under reports whether a path within the module is one of the folders or
// below one of them.
func under(own string, folders ...string) bool {
	return slices.ContainsFunc(folders, func(f string) bool {
		return own == f || strings.HasPrefix(own, f+"/")
	})
}

// An arrow forbids packages to reach others, directly or through what they
// import. Paths of the module are relative; any other is a whole import path.
type arrow struct {
	from   func(own string) bool
	to     []string
	direct bool // only the imports themselves: fmt reaches os by itself
	why    string
}

func arrows() []arrow {
	folder := func(folders ...string) func(string) bool {
		return func(own string) bool { return under(own, folders...) }
	}
	exactly := func(names ...string) func(string) bool {
		return func(own string) bool { return slices.Contains(names, own) }
	}
	except := func(folders ...string) func(string) bool {
		return func(own string) bool { return !under(own, folders...) }
	}
	inEngine := func(own string) bool { return under(own, "engine") && !under(own, "engine/native") }
	return []arrow{
		{from: exactly("."), to: []string{"cmd", "server", "gateway", "engine", "llama", "energy", "media", "registry", "store", "net/http", "database/sql"},
			why: "the words know nobody"},
		{from: inEngine, to: []string{"llama", "net/http", "database/sql"},
			why: "the engine decides about slots and batches, behind the Decoder interface"},
		{from: except("engine/native", "llama", "cmd", "build"), to: []string{"llama"},
			why: "engine/native is the one road to C"},
		{from: except("store", "cmd", "build"), to: []string{"github.com/mattn/go-sqlite3", "github.com/pressly/goose/v3"},
			why: "only the store speaks to the database"},
		{from: folder("gateway/policy", "gateway/ledger", "gateway/prompt"), direct: true,
			to:  []string{"os", "io", "net", "net/http", "context", "database/sql", "time", "log", "log/slog", "sync", "math/rand", "math/rand/v2"},
			why: "these packages decide and count: no I/O, no clock, no goroutine"},
		{from: folder("gateway"), to: []string{"server", "energy", "engine", "llama", "media", "registry", "store", "cmd", "net/http", "database/sql"},
			why: "the gateway declares the interfaces that the plugs satisfy"},
		{from: folder("engine"), to: []string{"gateway", "server", "store", "energy", "media", "cmd"}, why: "plugs import only words"},
		{from: folder("media"), to: []string{"energy", "gateway", "server", "store", "engine", "registry", "cmd"}, why: "plugs import only words"},
		{from: folder("registry"), to: []string{"energy", "gateway", "server", "store", "engine", "media", "cmd"}, why: "plugs import only words"},
		{from: folder("store"), to: []string{"energy", "gateway", "server", "engine", "media", "registry", "cmd"}, why: "plugs import only words"},
		{from: folder("server"), to: []string{"energy", "store", "engine", "llama", "media", "registry", "cmd"},
			why: "the front decodes, calls the road and encodes"},
		{from: folder("server"), to: []string{"database/sql"}, direct: true, // the metrics client brings it along
			why: "the front decodes, calls the road and encodes"},
		{from: folder("energy"), to: []string{"gateway", "server", "store", "engine", "llama", "media", "registry", "cmd", "net/http", "database/sql"},
			why: "plugs import only words"},
		{from: folder("bench"), to: []string{"energy", "gateway", "server", "store", "engine", "llama", "media", "registry", "cmd", "database/sql"},
			why: "plugs import only words"},
		{from: folder("doctor"), to: []string{"bench", "energy", "gateway", "server", "store", "engine", "llama", "media", "registry", "cmd", "net/http", "database/sql"},
			why: "it judges what others looked up"},
		{from: folder("llama"), to: []string{"engine", "gateway", "server", "store", "media", "registry", "cmd", "net/http", "database/sql"},
			why: "the wall to C is thin"},
		{from: except("internal/testkit"), to: []string{"internal/testkit"}, why: "doubles are for tests"},
		{from: except("internal/golden"), to: []string{"internal/golden"}, why: "golden files are for tests"},
		{from: except("cmd"), to: []string{"cmd"}, why: "the wiring is on top"},
	}
}

// forbids reports whether the dependency is one of the arrow's targets.
func (a arrow) forbids(dep string) bool {
	own, inside := strings.CutPrefix(dep, module+"/")
	return slices.ContainsFunc(a.to, func(target string) bool {
		return inside && under(own, target) || dep == target
	})
}

func TestArrowsPointDown(t *testing.T) {
	used := make(map[int]bool)
	for _, p := range packages(t) {
		for i, a := range arrows() {
			if !a.from(p.own()) {
				continue
			}
			used[i] = true
			deps := p.Deps
			if a.direct {
				deps = p.Imports
			}
			for _, dep := range deps {
				if a.forbids(dep) {
					t.Errorf("%s reaches %s: %s", p.own(), strings.TrimPrefix(dep, module+"/"), a.why)
				}
			}
		}
	}
	for i, a := range arrows() {
		if !used[i] {
			t.Logf("no package is held by the arrow %q", a.why)
		}
	}
}

func TestPackagesSayWhatTheyAre(t *testing.T) {
	for _, p := range packages(t) {
		if slices.Contains([]string{"util", "utils", "common", "types", "helper", "helpers", "misc", "shared"}, p.Name) {
			t.Errorf("package %s is named for nothing that it does", p.own())
		}
		if base := path.Base(p.ImportPath); p.Name != "main" && p.own() != "." && p.Name != strings.ReplaceAll(base, "-", "") {
			t.Errorf("package %s lies in a folder %s", p.Name, base)
		}
		if p.Name == "main" && strings.HasPrefix(p.own(), "build/") {
			if p.Doc == "" {
				t.Errorf("the tool %s does not say what it does", p.own())
			}
			continue
		}
		text, err := os.ReadFile(filepath.Join(p.Dir, "doc.go"))
		if err != nil {
			t.Errorf("package %s has no doc.go that says what it is and what must never happen there", p.own())
			continue
		}
		if !bytes.Contains(text, []byte("// Package "+p.Name+" ")) && p.Name != "main" {
			t.Errorf("doc.go of %s does not begin with \"Package %s\"", p.own(), p.Name)
		}
	}
}
