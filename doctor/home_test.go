package doctor

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestHome(t *testing.T) {
	h := Home{Path: "/h/my home", Source: "JEANTRAIL_HOME", There: true, Folder: true, Mode: 0o700, Owner: "ann", User: "ann", Writable: true, Modes: true}
	change := func(do func(*Home)) []Finding {
		c := h
		do(&c)
		return CheckHome(c)
	}
	found := CheckHome(h)
	want(t, found, OK, "/h/my home", "from JEANTRAIL_HOME")
	wantNone(t, found, Note, Warning, Problem)
	want(t, CheckHome(Home{Path: "/x", Err: "no folder can be found", Hint: "Set JEANTRAIL_HOME."}), Problem, "no folder", "Set JEANTRAIL_HOME")
	want(t, change(func(h *Home) { h.There, h.Above = false, "/h" }), Problem, "/h may not be written to by ann", "install -d -m 0700 -o ann '/h/my home'")
	wantNone(t, change(func(h *Home) { h.There, h.AboveOK = false, true }), Note, Warning, Problem)
	want(t, change(func(h *Home) { h.Folder = false }), Problem, "not a folder", "mv '/h/my home'")
	want(t, change(func(h *Home) { h.ReadOnly, h.Writable = true, false }), Problem, "for reading only")
	want(t, change(func(h *Home) { h.Foreign, h.Writable, h.Owner = true, false, "root" }), Problem, "belongs to root", "chown -R ann")
	want(t, change(func(h *Home) { h.Foreign, h.Owner = true, "bob" }), Warning, "belongs to bob")
	want(t, change(func(h *Home) { h.Writable, h.Mode = false, 0o500 }), Problem, "mode 0500", "chmod 0700")
	want(t, change(func(h *Home) {
		h.Alien = []Entry{{Path: "/h/my home/jeantrail.db", Owner: "root"}, {Path: "/h/my home/models/a.gguf", Owner: "root"}}
	}), Problem, "jeantrail.db and 1 more", "the owner is root, and that of the home ann", "sudo chown -R ann")
	f := want(t, change(func(h *Home) { h.Mode = 0o755 }), Warning, "mode 0755", "chmod 0700")
	if f.Fix == nil || f.Fix.Kind != FixMode || f.Fix.Mode != 0o700 || f.Fix.Path != h.Path {
		t.Errorf("the fix is %+v", f.Fix)
	}
	f = want(t, change(func(h *Home) { h.Open = []Entry{{Path: "/h/instance.json", Mode: 0o644, Want: 0o600}} }), Warning, "mode 0644", "chmod 0600")
	if f.Fix == nil || f.Fix.Mode != 0o600 {
		t.Errorf("the fix is %+v", f.Fix)
	}
	wantNone(t, change(func(h *Home) { h.Modes, h.Mode = false, 0o777 }), Warning, Problem)
}

func TestDisk(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	v := Volume{Folder: "/h", Type: "ext2/ext3", Free: 100 << 30, Total: 200 << 30, FreeFiles: 1000}
	d := Disk{Home: v, Models: v, Grows: 2 << 30, Now: now}
	found := CheckDisk(d)
	want(t, found, OK, "100.0 GiB free of 200.0 GiB")
	wantNone(t, found, Note, Warning, Problem)
	if len(found) != 1 {
		t.Errorf("one disk is told of %d times", len(found))
	}
	change := func(do func(*Disk)) []Finding {
		c := d
		do(&c)
		return CheckDisk(c)
	}
	want(t, change(func(d *Disk) { d.Home.Free = 1 << 20 }), Problem, "1 MiB free", "du -sh")
	want(t, change(func(d *Disk) { d.Home.Free = 1 << 30 }), Warning, "may grow by 2.0 GiB", "engine.prefix_disk")
	want(t, change(func(d *Disk) { d.Home.FreeFiles = 0 }), Problem, "no more files")
	want(t, change(func(d *Disk) { d.Home.Type = "nfs" }), Warning, "network file system (nfs)", "SQLite")
	want(t, change(func(d *Disk) { d.Home.Type = "tmpfs" }), Warning, "in memory (tmpfs)")
	want(t, change(func(d *Disk) { d.Models = Volume{Folder: "/m", Free: 1 << 20, Total: 1 << 30, FreeFiles: -1} }), Problem, "The models folder has 1 MiB")

	left := change(func(d *Disk) {
		d.Home.Free = 1 << 20
		d.Leftovers = []Leftover{
			{Name: "old.gguf", Bytes: 4 << 30, Fetched: 1 << 30, Touched: now.Add(-8 * 24 * time.Hour)},
			{Name: "new.gguf", Bytes: 4 << 30, Fetched: 3 << 30, Touched: now.Add(-6 * 24 * time.Hour)},
			{Name: "now.gguf", Bytes: 4 << 30, Touched: now.Add(-time.Second)},
			{Name: "a-00002-of-00003.gguf", Bytes: 1 << 30, Fetched: 1 << 30, Touched: now.Add(-90 * 24 * time.Hour), Own: true},
		}
	})
	f := want(t, left, Warning, "1.0 GiB of 4.0 GiB of old.gguf", "for 8 days")
	if f.Fix == nil || f.Fix.Kind != FixLeftover || f.Fix.Path != "old.gguf" {
		t.Errorf("the fix is %+v", f.Fix)
	}
	want(t, left, Note, "3.0 GiB of 4.0 GiB of new.gguf", "it can go on", "model prune")
	want(t, left, OK, "now.gguf", "being fetched")
	want(t, left, Note, "a-00002-of-00003.gguf", "first part is not there")
	want(t, left, Problem, "jeantrail-ai model prune")
	fixes := 0
	for _, f := range left {
		if f.Fix != nil {
			fixes++
		}
	}
	if fixes != 1 {
		t.Errorf("%d leftovers are discarded, want the old one alone", fixes)
	}
}

func TestDatabase(t *testing.T) {
	d := Database{Path: "/h/jeantrail.db", There: true, Bytes: 5 << 20, WAL: 1 << 20, Version: 7, Newest: 7, Checked: true}
	found := CheckDatabase(d)
	want(t, found, OK, "5 MiB and a log of 1 MiB, schema 7; all pages are sound")
	wantNone(t, found, Note, Warning, Problem)
	wantNone(t, CheckDatabase(Database{Path: "/h/jeantrail.db"}), Note, Warning, Problem)
	old := d
	old.Version, old.Checked = 5, false
	want(t, CheckDatabase(old), OK, "schema 5; the next start brings it to 7; the check of its pages was not ended")
	long := d
	long.WAL = 1 << 30
	want(t, CheckDatabase(long), Warning, "1.0 GiB")
	newer := d
	newer.Err, newer.Hint = "it was written by a newer version", "Start the newer version."
	want(t, CheckDatabase(newer), Problem, "newer version.", "Start the newer version.")
	bad := d
	bad.Path, bad.Unsound = "/h/it's.db", []string{"row 5 missing from index"}
	want(t, CheckDatabase(bad), Problem, "row 5 missing", `'/h/it'\''s.db'`)
}

func TestInstance(t *testing.T) {
	i := Instance{
		Home: "/h", File: "/h/instance.json", There: true, PID: 812, URL: "http://127.0.0.1:3001", Version: "1", Own: "1",
		Alive: true, Holders: []int{812}, HoldersSeen: true, Answered: true, Status: "ok", Took: 3 * time.Millisecond,
	}
	change := func(do func(*Instance)) []Finding {
		c := i
		do(&c)
		return CheckInstance(c)
	}
	found := CheckInstance(i)
	want(t, found, OK, "pid 812", "http://127.0.0.1:3001 in 3ms")
	wantNone(t, found, Note, Warning, Problem)
	want(t, change(func(i *Instance) { *i = Instance{Home: "/h", HoldersSeen: true} }), OK, "No instance runs")
	want(t, change(func(i *Instance) { i.Version = "0" }), Note, "version 0, and this is 1")
	want(t, change(func(i *Instance) { i.Status = "degraded" }), Warning, "degraded", "/health")
	want(t, change(func(i *Instance) { i.Status = "loading" }), OK, "loading")

	gone := func(i *Instance) { i.Alive, i.Holders, i.Answered, i.Err = false, nil, false, errors.New("refused") }
	f := want(t, change(gone), Warning, "process 812, which is gone", "rm /h/instance.json")
	if f.Fix == nil || f.Fix.Kind != FixInstanceFile || f.Fix.Path != "/h/instance.json" {
		t.Errorf("the fix is %+v", f.Fix)
	}
	// The number may be another program's by now, and is not told of as held.
	want(t, change(func(i *Instance) { gone(i); i.HoldersSeen = false }), Warning, "which is gone")
	want(t, change(func(i *Instance) { gone(i); i.FileErr = errors.New("not JSON") }), Warning, "cannot be read (not JSON)")
	want(t, change(func(i *Instance) { gone(i); i.There, i.Half = false, "/h/instance.json.tmp" }), Note, "instance.json.tmp", "cut off")

	hung := func(i *Instance) { i.Answered, i.Err, i.Took = false, errors.New("it took too long"), 2*time.Second }
	want(t, change(hung), Problem, "pid 812", "does not answer at http://127.0.0.1:3001 within 2s: it took too long", "kill 812", "kill -9 812")
	want(t, change(func(i *Instance) { hung(i); i.HoldersSeen, i.Holders = false, nil }), Problem, "pid 812")
	want(t, change(func(i *Instance) { hung(i); i.Windows = true }), Problem, "taskkill /PID 812")
	silent := func(i *Instance) { hung(i); i.There, i.Alive, i.PID, i.URL = false, false, 0, "" }
	want(t, change(func(i *Instance) { silent(i); i.HolderAge = time.Second }), Note, "just starting")
	want(t, change(func(i *Instance) { silent(i); i.HolderAge = time.Hour }), Problem, "pid 812", "says nothing")

	found = change(func(i *Instance) {
		i.Others = []Process{{PID: 812, Home: "/h", Holds: true}, {PID: 9, Home: "/other", Orphan: true}, {PID: 10, Home: "/third"}, {PID: 11}}
	})
	want(t, found, Warning, "Process 9 on /other", "kill 9")
	want(t, found, Note, "process 10 on /third")
	want(t, found, Note, "process 11 on an unknown home")
	if strings.Contains(text(found), "process 812 on") {
		t.Error("the instance itself is told of as another")
	}
}

func TestPort(t *testing.T) {
	p := Port{Listen: "127.0.0.1:3001", Source: "default", Local: true}
	change := func(do func(*Port)) []Finding {
		c := p
		do(&c)
		return CheckPort(c)
	}
	found := CheckPort(p)
	want(t, found, OK, "127.0.0.1:3001 is free")
	wantNone(t, found, Note, Warning, Problem)
	taken := func(p *Port) { p.Taken, p.PID, p.Process = true, 77, "ollama" }
	want(t, change(func(p *Port) { taken(p); p.Speaks = "Ollama" }), Problem, "ollama (pid 77), which says that it is Ollama", "127.0.0.1:3002", "kill 77")
	want(t, change(func(p *Port) { p.Taken = true }), Problem, "cannot be seen from here", "ss -ltnp 'sport = :3001'")
	want(t, change(func(p *Port) { p.Taken, p.Windows = true, true }), Problem, "netstat")
	want(t, change(func(p *Port) { taken(p); p.Instance = "127.0.0.1:4000" }), Note, "127.0.0.1:4000")
	want(t, change(func(p *Port) { taken(p); p.Ours = true }), OK, "is the instance's")
	want(t, change(func(p *Port) { p.Listen = "127.0.0.1:0" }), OK, "free port")
	want(t, change(func(p *Port) { p.Listen = "127.0.0.1:x" }), Problem, "no address")
	want(t, change(func(p *Port) { p.Listen = "0.0.0.0:3001" }), Problem, "no token", "JEANTRAIL_TOKEN")
	want(t, change(func(p *Port) { p.Listen, p.Token = "0.0.0.0:3001", true }), Note, "other machines")
	want(t, change(func(p *Port) { p.Listen, p.Local = "10.1.2.3:3001", false }), Problem, "10.1.2.3 is not an address of this machine")
	want(t, change(func(p *Port) { p.Listen = "127.0.0.1:80" }), Problem, "below 1024")
	wantNone(t, change(func(p *Port) { p.Listen, p.Lowest = "127.0.0.1:80", 80 }), Problem)
	wantNone(t, change(func(p *Port) { p.Listen, p.Root = "[::1]:80", true }), Problem)

	for _, tt := range []struct {
		host, taken string
		same        bool
	}{
		{"127.0.0.1", "127.0.0.1", true}, {"localhost", "127.0.0.1", true}, {"127.0.0.1", "0.0.0.0", true}, {"127.0.0.1", "::", true},
		{"127.0.0.1", "*", true}, {"127.0.0.1", "10.0.0.1", false}, {"0.0.0.0", "10.0.0.1", true}, {"127.0.0.1", "::ffff:127.0.0.1", true}, {"", "10.0.0.1", true},
	} {
		if got := SameAddress(tt.host, tt.taken); got != tt.same {
			t.Errorf("%q and %q: %v", tt.host, tt.taken, got)
		}
	}
}
