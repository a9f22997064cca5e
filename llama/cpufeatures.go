package llama

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/klauspost/cpuid/v2"
)

// featureNames translates the compiler's names of instruction-set extensions
// where they differ from cpuid's.
var featureNames = map[string]cpuid.FeatureID{
	"bmi":                                cpuid.BMI1,
	"fma":                                cpuid.FMA3,
	"sse4_1":                             cpuid.SSE4,
	"sse4_2":                             cpuid.SSE42,
	"pclmul":                             cpuid.CLMUL,
	"aes":                                cpuid.AESNI,
	"rdrnd":                              cpuid.RDRAND,
	"sha":                                cpuid.SHA,
	"amx_tile":                           cpuid.AMXTILE,
	"amx_int8":                           cpuid.AMXINT8,
	"amx_bf16":                           cpuid.AMXBF16,
	"arm_feature_dotprod":                cpuid.ASIMDDP,
	"arm_feature_fp16_vector_arithmetic": cpuid.ASIMDHP,
	"arm_feature_sve":                    cpuid.SVE,
}

// missingFeatures lists the features, comma-separated as in [Build], that has
// says are absent. A name that is not known cannot be asked for and is passed
// over: compilers imply such features by others in the list.
func missingFeatures(needed string, has func(cpuid.FeatureID) bool) []string {
	var missing []string
	for name := range strings.SplitSeq(needed, ",") {
		id, ok := featureNames[name]
		if !ok {
			id = cpuid.ParseFeature(strings.ToUpper(name))
		}
		if id != cpuid.UNKNOWN && !has(id) {
			missing = append(missing, name)
		}
	}
	return missing
}

func checkCPU(needed, builtFor, cpuName string, has func(cpuid.FeatureID) bool) error {
	missing := missingFeatures(needed, has)
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
