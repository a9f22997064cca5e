package main

import (
	"context"
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/klauspost/cpuid/v2"
	"github.com/shirou/gopsutil/v4/disk"
	"github.com/shirou/gopsutil/v4/mem"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/doctor"
	"github.com/jeantrail/jeantrail-ai/engine/native"
	"github.com/jeantrail/jeantrail-ai/registry/fit"
	"github.com/jeantrail/jeantrail-ai/registry/hub"
)

func (l *looker) lookAtProgram(ctx context.Context) ([]doctor.Finding, error) {
	b := native.BuildInfo()
	p := doctor.Program{
		Version: version, Llama: b.Version, Level: b.CPU, Features: b.Features, Backends: b.Backends, Arch: runtime.GOARCH,
		CPU: cpuid.CPU.BrandName, Refuse: l.cpuErr,
	}
	if l.cpuErr == nil { // else llama.cpp must not be entered
		p.Linked = native.SelfTest()
	}
	m, err := fit.Probe(ctx, os.TempDir())
	p.Has = m.Features
	return doctor.CheckProgram(p), err
}

func (l *looker) lookAtGraphics(context.Context) ([]doctor.Finding, error) {
	root := os.DirFS("/")
	g := doctor.Graphics{
		Backends: native.BuildInfo().Backends, Asked: l.cpuErr == nil, GOOS: runtime.GOOS, User: userName(),
		Cards: doctor.ReadCards(root), Names: doctor.ReadNVIDIANames(root), Nodes: deviceNodes(),
	}
	if runtime.GOOS == "linux" {
		g.Library = doctor.FindLibrary(root, "libcuda.so.1", filepath.SplitList(os.Getenv("LD_LIBRARY_PATH")))
	}
	if g.Asked {
		for _, d := range devices() {
			g.Devices = append(g.Devices, doctor.Device{Name: d.Name, Free: d.VRAMFree, Total: d.VRAMTotal})
		}
	}
	return doctor.CheckGraphics(g), nil
}

func (l *looker) lookAtCores(ctx context.Context) ([]doctor.Finding, error) {
	config, _ := l.config() // the defaults are as good here; the check of the configuration says what is wrong
	m, err := fit.Probe(ctx, os.TempDir())
	if err != nil {
		return nil, err
	}
	c := doctor.Cores{
		Logical: m.CoresLogical, Physical: m.CoresPhysical, Allowed: runtime.NumCPU(), Default: native.DefaultThreads(),
		Governors: doctor.ReadGovernors(os.DirFS("/")),
	}
	for _, model := range config.Models {
		if model.NThreads > 0 {
			c.Threads = append(c.Threads, doctor.Threads{Model: model.Name, N: model.NThreads})
		}
	}
	return doctor.CheckCores(c), nil
}

func (l *looker) lookAtMemory(ctx context.Context) ([]doctor.Finding, error) {
	config, _ := l.config()
	machine, err := fit.Probe(ctx, os.TempDir())
	if err != nil {
		return nil, err
	}
	m := doctor.Memory{Total: machine.RAMTotal, Available: machine.RAMAvailable}
	if all, err := mem.VirtualMemoryWithContext(ctx); err == nil {
		m.Machine = int64(all.Total)
	}
	if swap, err := mem.SwapMemoryWithContext(ctx); err == nil {
		m.SwapTotal, m.SwapUsed = int64(swap.Total), int64(swap.Used)
	}
	if m.Limit, err = parseBytes(config.Memory.Limit); err != nil {
		return nil, err // the configuration is checked, or is the default one
	}
	if l.cpuErr == nil {
		machine.Devices = devices()
	}
	m.Devices = len(machine.Devices) > 0
	m.Plans, err = l.plans(ctx, config, machine)
	return doctor.CheckMemory(m), err
}

func (l *looker) lookAtDisk(ctx context.Context) ([]doctor.Finding, error) {
	config, _ := l.config()
	models := filepath.Join(l.home, "models")
	d := doctor.Disk{Now: now()}
	var errs []error
	for folder, into := range map[string]*doctor.Volume{l.home: &d.Home, models: &d.Models} {
		v, err := volume(ctx, folder)
		*into, errs = v, append(errs, err)
	}
	prefixes, _ := parseBytes(config.Engine.PrefixDisk) // checked with the rest
	d.Grows = max(prefixes-folderBytes(ctx, filepath.Join(l.home, "prefix")), 0) + config.Cache.MaxBytes
	left, err := hub.Leftovers(models)
	errs = append(errs, err)
	for _, f := range left {
		_, err := os.Lstat(filepath.Join(models, f.Name))
		d.Leftovers = append(d.Leftovers, doctor.Leftover{Name: f.Name, Bytes: f.Bytes, Fetched: f.Fetched, Touched: f.Touched, Own: err == nil})
	}
	return doctor.CheckDisk(d), errors.Join(errs...)
}

// volume looks at the file system of a folder, or of the nearest one above it
// that exists.
func volume(ctx context.Context, folder string) (doctor.Volume, error) {
	folder = nearestFolder(folder)
	use, err := disk.UsageWithContext(ctx, folder)
	if err != nil {
		return doctor.Volume{Folder: folder}, err
	}
	v := doctor.Volume{Folder: folder, Type: use.Fstype, Free: int64(use.Free), Total: int64(use.Total), FreeFiles: -1}
	if use.InodesTotal > 0 {
		v.FreeFiles = int64(use.InodesFree)
	}
	return v, nil
}

func nearestFolder(folder string) string {
	for {
		up := filepath.Dir(folder)
		if _, err := os.Stat(folder); err == nil || up == folder {
			return folder
		}
		folder = up
	}
}

// folderBytes is what the files of a folder take; what cannot be seen takes
// nothing.
func folderBytes(ctx context.Context, folder string) (n int64) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return 0
	}
	for _, e := range entries {
		if ctx.Err() != nil {
			return n
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			n += info.Size()
		}
	}
	return n
}

func (l *looker) lookAtLimits(context.Context) ([]doctor.Finding, error) {
	limits := processLimits()
	limits.Umask, limits.UmaskKnown = doctor.ReadUmask(os.DirFS("/"))
	if l.homeErr == nil {
		files, err := filepath.Glob(filepath.Join(l.home, "models", "*.gguf"))
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			if info, err := os.Stat(f); err == nil {
				limits.LargestModel = max(limits.LargestModel, info.Size())
			}
		}
		if builtIn := builtInPath(filepath.Join(l.home, "models")); fileThere(builtIn) {
			limits.MapErr = mappable(builtIn)
		}
	}
	return doctor.CheckLimits(limits), nil
}

func (l *looker) lookAtProxies(context.Context) ([]doctor.Finding, error) {
	p := doctor.Proxies{NoProxy: os.Getenv("NO_PROXY") + "," + os.Getenv("no_proxy")}
	p.NoProxy = strings.Trim(p.NoProxy, ",")
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"} {
		if value := os.Getenv(name); value != "" {
			p.Set = append(p.Set, doctor.Proxy{Variable: name, Value: value})
		}
	}
	return doctor.CheckProxies(p), nil
}

// userName is who runs this.
func userName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "$USER"
}

// plans says of each configured model whether it fits, and of the default one. It
// is laid out as a load would lay it out.
func (l *looker) plans(ctx context.Context, config *LoadedConfig, machine fit.Machine) ([]doctor.Planned, error) {
	known, _ := l.models(config) // what is wrong with names is the business of the check of models
	room, err := newRoom(config, machine)
	if err != nil {
		return nil, err
	}
	c := newCapacity(room, func(context.Context) fit.Machine { return machine })
	seen := l.instance()
	var out []doctor.Planned
	for _, e := range known.entries {
		if ctx.Err() != nil || e.BuiltIn {
			continue
		}
		settings := modelSettings(config, e)
		lay, err := c.layout(ctx, askedOf(e, settings, config.Engine), 0)
		if err != nil {
			continue // the check of models says what is wrong with the file
		}
		p := doctor.Planned{
			Name: e.Name, Default: e.Name == known.fallback, Pinned: settings.Pinned, Layers: *settings.NGPULayers,
			Loaded: seen.answers() && seen.health.Models[e.Name].Status == string(jeantrail.ModelReady),
			Need:   lay.plan.Need.Total, Usable: lay.plan.UsableRAM,
		}
		p.RAM, _ = lay.takes()
		if lay.refusal != nil {
			p.Refusal, p.Hint = words(lay.refusal)
		} else if !seen.answers() { // what an instance holds it would let go of
			p.Tight, p.Short = c.spare(ctx, lay)
		}
		out = append(out, p)
	}
	return out, ctx.Err()
}
