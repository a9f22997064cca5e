package doctor

import (
	"slices"
	"strings"
)

// Program is what this program was built from and for, and what the CPU is.
type Program struct {
	Version  string
	Llama    string // llama.cpp's release, and its tree
	Level    string // CPU level that it was built for, such as native or x86-64-v3
	Features string // that the code needs, comma-separated, as the compiler spells them
	Backends string // such as cpu,cuda
	Arch     string // as Go spells it

	CPU    string   // the processor's name
	Has    []string // features of the CPU for which llama.cpp has faster code, as cpuid spells them
	Refuse error    // the CPU lacks something; what it lacks
	Linked error    // llama.cpp is not the one that this program was written for
}

// compilerNames translates cpuid's names where the compiler's are others than
// their lower case.
var compilerNames = map[string]string{
	"SSE42": "sse4_2", "FMA3": "fma", "AMXTILE": "amx_tile", "AMXINT8": "amx_int8", "AMXBF16": "amx_bf16",
	"ASIMD": "neon", "ASIMDDP": "dotprod", "ASIMDHP": "fp16_vector_arithmetic", "SVE": "sve",
}

// levels are the CPU levels that can be built, the best first, with the features
// beyond the level below it.
var levels = []struct {
	name string
	adds []string
}{
	{"zen4", []string{"avx512f", "avx512vbmi", "avx512vnni", "avx512bf16"}},
	{"x86-64-v4", []string{"avx512f"}},
	{"x86-64-v3", []string{"avx", "f16c", "fma", "avx2"}},
}

// CheckProgram judges what was built for this CPU.
func CheckProgram(p Program) []Finding {
	const name = "program"
	found := []Finding{good(name, "jeantrail-ai %s with llama.cpp %s, built for CPU %s with backends %s.", p.Version, p.Llama, p.Level, p.Backends)}
	if p.Linked != nil {
		found = append(found, problem(name, "%s.", strings.TrimSuffix(p.Linked.Error(), ".")).
			because("A call into a llama.cpp of another shape ends the process.").
			mend("make llama build"))
	}
	if p.Refuse != nil {
		what, _, _ := strings.Cut(p.Refuse.Error(), "; ")
		f := problem("cpu", "%s.", what).because("The first step of a model would end the process with an illegal instruction, so nothing but doctor runs.")
		if p.Arch == "amd64" && p.Level != "x86-64-v3" {
			f = f.mend("make build CPU=x86-64-v3")
		}
		return append(found, f.mend("make build"))
	}
	built := strings.Split(p.Features, ",")
	var unused []string
	for _, has := range p.Has {
		if name := compilerName(has); !slices.Contains(built, name) {
			unused = append(unused, name)
		}
	}
	if len(unused) == 0 {
		return append(found, good("cpu", "%s has all that the build needs, and nothing faster that the build leaves out.", named(p.CPU)))
	}
	return append(found, remark("cpu", "%s also has %s, which this build does not use.", named(p.CPU), strings.Join(unused, ", ")).
		because("Prompts would be read faster with it.").mend(betterBuild(p.Arch, built, unused)))
}

func named(cpu string) string {
	if cpu == "" {
		return "The CPU"
	}
	return "The CPU " + cpu
}

func compilerName(cpuid string) string {
	if name, ok := compilerNames[cpuid]; ok {
		return name
	}
	return strings.ToLower(cpuid)
}

// betterBuild is the make line for a build that uses what is unused: the level
// that has all of it, else one for this machine alone.
func betterBuild(arch string, built, unused []string) string {
	if arch == "amd64" {
		for _, l := range levels {
			lacking := func(f string) bool { return !slices.Contains(built, f) && !slices.Contains(unused, f) }
			beyond := func(f string) bool { return !slices.Contains(l.adds, f) }
			if !slices.ContainsFunc(l.adds, lacking) && !slices.ContainsFunc(unused, beyond) {
				return "make build CPU=" + l.name
			}
		}
	}
	return "make build"
}
