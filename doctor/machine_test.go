package doctor

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

const v3 = "avx,avx2,bmi,bmi2,f16c,fma,sse,sse2,sse3,sse4_1,sse4_2,ssse3"

func TestProgram(t *testing.T) {
	p := Program{
		Version: "1.2", Llama: "v0.5.0", Level: "x86-64-v3", Features: v3, Backends: "cpu", Arch: "amd64",
		CPU: "Some CPU", Has: []string{"SSE42", "AVX", "F16C", "FMA3", "AVX2"},
	}
	found := CheckProgram(p)
	want(t, found, OK, "1.2", "v0.5.0", "x86-64-v3", "backends cpu")
	wantNone(t, found, Note, Warning, Problem)

	for name, tt := range map[string]struct {
		more []string
		line string
	}{
		"AVX-512":         {[]string{"AVX512F"}, "make build CPU=x86-64-v4"},
		"all of Zen 4":    {[]string{"AVX512F", "AVX512VBMI", "AVX512VNNI", "AVX512BF16"}, "make build CPU=zen4"},
		"part of Zen 4":   {[]string{"AVX512F", "AVX512VNNI"}, "make build"},
		"more than Zen 4": {[]string{"AVX512F", "AVX512VBMI", "AVX512VNNI", "AVX512BF16", "AVXVNNI"}, "make build"},
		"AVX-VNNI alone":  {[]string{"AVXVNNI"}, "make build"},
	} {
		q := p
		q.Has = append(slices.Clone(p.Has), tt.more...)
		f := want(t, CheckProgram(q), Note, "Some CPU", strings.ToLower(tt.more[0]))
		if !slices.Equal(f.Mend, []string{tt.line}) {
			t.Errorf("%s: %q, want %q", name, f.Mend, tt.line)
		}
	}
	v4 := p
	v4.Level, v4.Features = "x86-64-v4", v3+",avx512f"
	v4.Has = append(slices.Clone(p.Has), "AVX512F", "AVX512VBMI", "AVX512VNNI", "AVX512BF16")
	want(t, CheckProgram(v4), Note, "make build CPU=zen4")

	lacking := p
	lacking.Level = "zen4"
	lacking.Refuse = errors.New("this program was built for another CPU (zen4): Some CPU lacks avx512f; use the build for x86-64-v3")
	found = CheckProgram(lacking)
	f := want(t, found, Problem, "lacks avx512f.", "make build CPU=x86-64-v3", "illegal instruction")
	if strings.Contains(f.Found, "use the build") {
		t.Errorf("the remedy is among what was found: %s", f.Found)
	}
	wrong := p
	wrong.Linked = errors.New("llama.cpp is not what this program was built for")
	want(t, CheckProgram(wrong), Problem, "make llama build")
}

func TestGraphics(t *testing.T) {
	card := Card{Address: "0000:01:00.0", Vendor: "nvidia", ID: "10de:2684", Driver: "nvidia"}
	ready := Graphics{
		Backends: "cpu,cuda", Asked: true, Cards: []Card{card}, Names: []string{"NVIDIA RTX"}, Library: "/usr/lib/libcuda.so.1",
		Nodes: []Node{{Path: "/dev/nvidia0", Group: "root", Usable: true}}, GOOS: "linux", User: "ann",
		Devices: []Device{{Name: "NVIDIA RTX", Free: 20 << 30, Total: 24 << 30}},
	}
	change := func(do func(*Graphics)) []Finding {
		g := ready
		do(&g)
		return CheckGraphics(g)
	}
	found := CheckGraphics(ready)
	want(t, found, OK, "NVIDIA RTX", "20.0 GiB", "24.0 GiB")
	wantNone(t, found, Note, Warning, Problem)

	want(t, change(func(g *Graphics) { g.Backends, g.Devices = "cpu", nil }), Warning, "NVIDIA RTX", "no CUDA", "make build CUDA=1")
	want(t, change(func(g *Graphics) { g.Devices, g.Library = nil, "" }), Problem, "libcuda.so.1", "nvidia-driver")
	nouveau := card
	nouveau.Driver = "nouveau"
	want(t, change(func(g *Graphics) { g.Devices, g.Cards, g.Names = nil, []Card{nouveau, nouveau}, nil }), Problem, "2 NVIDIA cards", "10de:2684", "nouveau")
	bare := card
	bare.Driver = ""
	want(t, change(func(g *Graphics) { g.Devices, g.Cards, g.Backends = nil, []Card{bare}, "cpu" }), Warning, "no driver has it")
	want(t, change(func(g *Graphics) { g.Devices = nil }), Problem, "CUDA sees none", "nvidia-smi", "docker run --gpus all")
	found = change(func(g *Graphics) {
		g.Devices, g.Nodes = nil, []Node{{Path: "/dev/nvidia0", Group: "video"}}
	})
	want(t, found, Problem, "this user may not use /dev/nvidia0")
	want(t, found, Warning, "/dev/nvidia0", "sudo usermod -aG video ann")
	want(t, change(func(g *Graphics) { g.Cards, g.Devices = nil, nil }), Warning, "none on this machine")
	wantNone(t, change(func(g *Graphics) { g.Cards, g.Devices, g.Asked = nil, nil, false }), Warning, Problem)

	amd := Card{Vendor: "amd", ID: "1002:744c", Driver: "amdgpu"}
	found = CheckGraphics(Graphics{
		Backends: "cpu", Asked: true, Cards: []Card{amd}, GOOS: "linux", User: "ann",
		Nodes: []Node{{Path: "/dev/dri/renderD128", Group: "render"}},
	})
	want(t, found, Note, "amd", "1002:744c")
	want(t, found, Note, "/dev/dri/renderD128", "sudo usermod -aG render ann")
	wantNone(t, found, Warning, Problem)
	want(t, CheckGraphics(Graphics{Backends: "cpu", GOOS: "darwin"}), Warning, "Metal")
	want(t, CheckGraphics(Graphics{Backends: "cpu", Asked: true, GOOS: "linux"}), OK, "no card")
}

func file(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }

func TestReadLinux(t *testing.T) {
	root := fstest.MapFS{
		"sys/bus/pci/devices/0000:00:02.0/uevent":              file("DRIVER=i915\nPCI_CLASS=30000\nPCI_ID=8086:A780\n"),
		"sys/bus/pci/devices/0000:01:00.0/uevent":              file("DRIVER=nvidia\nPCI_CLASS=30200\nPCI_ID=10DE:2330\n"),
		"sys/bus/pci/devices/0000:01:00.1/uevent":              file("DRIVER=snd_hda_intel\nPCI_CLASS=40300\nPCI_ID=10DE:22BA\n"),
		"sys/bus/pci/devices/0000:03:00.0/uevent":              file("PCI_CLASS=38000\nPCI_ID=1002:744C\n"),
		"sys/bus/pci/devices/0000:04:00.0/uevent":              file("DRIVER=virtio-pci\nPCI_CLASS=30000\nPCI_ID=1AF4:1050\n"),
		"proc/driver/nvidia/gpus/0000:01:00.0/information":     file("Model: \t\t NVIDIA H100\nIRQ: 5\n"),
		"etc/ld.so.cache":                                      file("\x00libcuda.so.1\x00/opt/gone/libcuda.so.1\x00libcuda.so.1\x00/opt/nv/libcuda.so.1\x00"),
		"opt/nv/libcuda.so.1":                                  file("x"),
		"mine/libcuda.so.1":                                    file("x"),
		"usr/lib64/libother.so":                                file("x"),
		"sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": file("powersave\n"),
		"sys/devices/system/cpu/cpu0/cpufreq/scaling_driver":   file("acpi-cpufreq\n"),
		"sys/devices/system/cpu/cpu1/cpufreq/scaling_governor": file("powersave\n"),
		"sys/devices/system/cpu/cpu1/cpufreq/scaling_driver":   file("acpi-cpufreq\n"),
		"proc/locks":       file("1: FLOCK  ADVISORY  WRITE 812 fe:01:131 0 EOF\n2: FLOCK  ADVISORY  WRITE 900 00:2a:131 0 EOF\n3: -> FLOCK  ADVISORY  WRITE 777 fe:01:131 0 EOF\n4: POSIX  ADVISORY  READ 5 fe:01:7 0 EOF\n"),
		"proc/self/status": file("Name:\tx\nUmask:\t0027\n"),
		"proc/sys/net/ipv4/ip_unprivileged_port_start":                             file("80\n"),
		"sys/bus/pci/devices/0000:05:00.0/without":                                 file(""),
		"sys/devices/system/cpu/cpu2/cpufreq/energy_performance_preference/folder": file(""),
	}
	cards := ReadCards(root)
	wantCards := []Card{
		{"0000:00:02.0", "intel", "8086:a780", "i915"}, {"0000:01:00.0", "nvidia", "10de:2330", "nvidia"}, {"0000:03:00.0", "amd", "1002:744c", ""},
	}
	if !slices.Equal(cards, wantCards) {
		t.Errorf("cards %+v", cards)
	}
	if names := ReadNVIDIANames(root); !slices.Equal(names, []string{"NVIDIA H100"}) {
		t.Errorf("names %q", names)
	}
	for _, tt := range []struct {
		name   string
		search []string
		want   string
	}{
		{"libcuda.so.1", nil, "/opt/nv/libcuda.so.1"}, {"libcuda.so.1", []string{"relative", "/mine"}, "/mine/libcuda.so.1"},
		{"libother.so", nil, "/usr/lib64/libother.so"}, {"libnone.so", nil, ""},
	} {
		if got := FindLibrary(root, tt.name, tt.search); got != tt.want {
			t.Errorf("%s with %q: %q, want %q", tt.name, tt.search, got, tt.want)
		}
	}
	if g := ReadGovernors(root); !slices.Equal(g, []Governor{{Name: "powersave", Driver: "acpi-cpufreq"}}) {
		t.Errorf("governors %+v", g)
	}
	device := uint64(0xfe<<8 | 0x01)
	for likely, want := range map[int][]int{0: {812}, 900: {812, 900}} {
		if pids, known := ReadLockHolders(root, device, 131, likely); !known || !slices.Equal(pids, want) {
			t.Errorf("holders, likely %d: %v %v, want %v", likely, pids, known, want)
		}
	}
	if umask, ok := ReadUmask(root); !ok || umask != 0o027 {
		t.Errorf("umask %o %v", umask, ok)
	}
	if n := ReadLowestPort(root); n != 80 {
		t.Errorf("lowest port %d", n)
	}
	none := fstest.MapFS{}
	_, locks := ReadLockHolders(none, device, 131, 0)
	_, umask := ReadUmask(none)
	if ReadCards(none) != nil || ReadNVIDIANames(none) != nil || ReadGovernors(none) != nil || locks || umask || ReadLowestPort(none) != 0 {
		t.Error("something is found where there is nothing")
	}
}

func TestMemory(t *testing.T) {
	m := Memory{Total: 16 << 30, Machine: 16 << 30, Available: 10 << 30, SwapTotal: 8 << 30}
	found := CheckMemory(m)
	want(t, found, OK, "10.0 GiB of 16.0 GiB")
	wantNone(t, found, Note, Warning, Problem)

	over := m
	over.Limit = 32 << 30
	want(t, CheckMemory(over), Warning, "memory.limit is 32.0 GiB", "13.6 GiB")
	swapped := m
	swapped.SwapUsed = 5 << 30
	want(t, CheckMemory(swapped), Warning, "5.0 GiB of 8.0 GiB of swap")
	short := m
	short.Available = 100 << 20
	want(t, CheckMemory(short), Warning, "100 MiB of 16.0 GiB")

	caged := m
	caged.Machine = 64 << 30
	caged.Plans = []Planned{
		{Name: "big", Default: true, Refusal: "big needs 20.0 GiB", Hint: "What would fit: a context of 2048 tokens"},
		{Name: "other", Refusal: "other needs 30.0 GiB", Hint: "Nothing"},
		{Name: "small", Need: 1 << 30, Layers: 20}, {Name: "there", Loaded: true, Refusal: "no room for a second one"},
	}
	found = CheckMemory(caged)
	want(t, found, OK, "in this container, of a machine with 64.0 GiB")
	want(t, found, Problem, "big needs 20.0 GiB.", "a context of 2048 tokens", "model recommend", "docker run --memory")
	want(t, found, Warning, "other needs 30.0 GiB.")
	want(t, found, OK, "small needs 1.0 GiB and fits")
	want(t, found, OK, "there is loaded")
	want(t, found, Warning, "n_gpu_layers of small is 20")
	caged.Devices = true
	if strings.Contains(text(CheckMemory(caged)), "n_gpu_layers of small") {
		t.Error("layers are refused although there is a card")
	}

	tight := m
	tight.Plans = []Planned{{Name: "a", Tight: "it needs 9.0 GiB of memory"}, {Name: "b", Tight: "it needs 12.0 GiB of memory", Short: true, Default: true}}
	want(t, CheckMemory(tight), Warning, "a: it needs 9.0 GiB", "which is slow")
	want(t, CheckMemory(tight), Problem, "b: it needs 12.0 GiB", "are refused until")

	pinned := m
	pinned.Plans = []Planned{{Name: "a", Default: true, RAM: 6 << 30, Usable: 9 << 30}, {Name: "b", Pinned: true, RAM: 4 << 30, Usable: 9 << 30}}
	want(t, CheckMemory(pinned), Warning, "10.0 GiB of memory together, and 9.0 GiB")
	pinned.Plans[1].RAM = 2 << 30
	wantNone(t, CheckMemory(pinned), Warning)
}

func TestCores(t *testing.T) {
	c := Cores{Logical: 16, Physical: 8, Allowed: 16, Default: 8}
	found := CheckCores(c)
	want(t, found, OK, "16 logical cores, 8 physical; a model takes 8 threads")
	wantNone(t, found, Note, Warning, Problem)
	c.Allowed, c.Default = 4, 2
	want(t, CheckCores(c), OK, "this process may run on 4")
	c.Threads = []Threads{{"a", 8}, {"b", 3}, {"c", 2}}
	found = CheckCores(c)
	want(t, found, Warning, "n_threads of a is 8", "4 cores", "to 2")
	want(t, found, Note, "n_threads of b is 3")
	for g, saves := range map[Governor]bool{
		{"powersave", "acpi-cpufreq", ""}: true, {"powersave", "intel_pstate", "balance_performance"}: false,
		{"powersave", "amd-pstate-epp", "power"}: true, {"schedutil", "acpi-cpufreq", ""}: false,
	} {
		found := CheckCores(Cores{Logical: 1, Physical: 1, Allowed: 1, Default: 1, Governors: []Governor{g}})
		if said := strings.Contains(text(found), "cpupower"); said != saves {
			t.Errorf("%+v: %v", g, said)
		}
	}
}

func TestLimits(t *testing.T) {
	found := CheckLimits(Limits{OpenFiles: 65536, Umask: 0o022, UmaskKnown: true})
	want(t, found, OK, "65536 files")
	wantNone(t, found, Warning, Problem)
	want(t, CheckLimits(Limits{OpenFiles: 256}), Warning, "256 files", "LimitNOFILE")
	want(t, CheckLimits(Limits{AddressSpace: 8 << 30, LargestModel: 6 << 30}), Warning, "8.0 GiB", "ulimit -v")
	wantNone(t, CheckLimits(Limits{AddressSpace: 64 << 30, LargestModel: 6 << 30}), Warning)
	want(t, CheckLimits(Limits{Umask: 0o777, UmaskKnown: true}), Problem, "0777", "umask 0077")
	want(t, CheckLimits(Limits{MapErr: errors.New("no such device")}), Problem, "no such device")
}
