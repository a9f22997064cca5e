package llama

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/klauspost/cpuid/v2"
)

// x86Names translates the compiler's names of instruction-set extensions where
// they differ from cpuid's.
var x86Names = map[string]cpuid.FeatureID{
	"bmi":      cpuid.BMI1,
	"fma":      cpuid.FMA3,
	"sse4_1":   cpuid.SSE4,
	"sse4_2":   cpuid.SSE42,
	"pclmul":   cpuid.CLMUL,
	"aes":      cpuid.AESNI,
	"rdrnd":    cpuid.RDRAND,
	"sha":      cpuid.SHA,
	"amx_tile": cpuid.AMXTILE,
	"amx_int8": cpuid.AMXINT8,
	"amx_bf16": cpuid.AMXBF16,
}

// armNames are the extensions of ARM that can be asked for, by the names of the
// Arm C Language Extensions without ARM_FEATURE_. Some others have a name that
// means another thing on x86, such as fma.
var armNames = map[string]cpuid.FeatureID{
	"neon":                   cpuid.ASIMD,
	"dotprod":                cpuid.ASIMDDP,
	"fp16_vector_arithmetic": cpuid.ASIMDHP,
	"qrdmx":                  cpuid.ASIMDRDM,
	"matmul_int8":            cpuid.I8MM,
	"sve":                    cpuid.SVE,
	"aes":                    cpuid.AESARM,
	"sha2":                   cpuid.SHA2,
	"crc32":                  cpuid.CRC32,
	"atomics":                cpuid.ATOMICS,
}

// featureOf finds what cpuid calls a feature of GOARCH; UNKNOWN if it cannot be
// asked for.
func featureOf(arch, name string) cpuid.FeatureID {
	if arch == "arm64" {
		if id, ok := armNames[name]; ok {
			return id
		}
		return cpuid.UNKNOWN
	}
	if id, ok := x86Names[name]; ok {
		return id
	}
	return cpuid.ParseFeature(strings.ToUpper(name))
}

// missingFeatures lists the features, comma-separated as in [Build], that has
// says are absent. A name that is not known cannot be asked for and is passed
// over: compilers imply such features by others in the list.
func missingFeatures(arch, needed string, has func(cpuid.FeatureID) bool) []string {
	var missing []string
	for name := range strings.SplitSeq(needed, ",") {
		if id := featureOf(arch, name); id != cpuid.UNKNOWN && !has(id) {
			missing = append(missing, name)
		}
	}
	return missing
}

func checkCPU(needed, builtFor, cpuName string, has func(cpuid.FeatureID) bool) error {
	missing := missingFeatures(runtime.GOARCH, needed, has)
	if len(missing) == 0 {
		return nil
	}
	hint := "build it on this machine with: make build"
	if builtFor != "x86-64-v3" && runtime.GOARCH == "amd64" {
		hint = "use the build for x86-64-v3, or " + hint
	}
	return fmt.Errorf("this program was built for another CPU (%s): %s lacks %s; %s",
		builtFor, cpuName, strings.Join(missing, ", "), hint)
}
