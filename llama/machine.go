//go:build cgo

package llama

// #include "shim.h"
import "C"

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/klauspost/cpuid/v2"
)

// BuildInfo tells what the linked archives were made from and for.
func BuildInfo() Build {
	return Build{
		Version: pinVersion, Tree: pinTree, Key: buildKey, CPU: buildCPU,
		Features: buildCPUFeatures, Backends: buildBackends, Flags: buildFlags,
	}
}

// CheckCPU reports in one line what this CPU lacks of what the archives were
// compiled for. It executes none of their code: call it before anything else.
func CheckCPU() error {
	return checkCPU(buildCPUFeatures, buildCPU, cpuid.CPU.BrandName, func(f cpuid.FeatureID) bool { return cpuid.CPU.Has(f) })
}

// SystemInfo is llama.cpp's line about the features it uses.
func SystemInfo() string { return strings.TrimSpace(C.GoString(C.lx_system_info())) }

// Devices lists what can compute, with its memory.
func Devices() []Device {
	list := make([]C.lx_device, 64)
	n := min(int(C.lx_devices(&list[0], C.int32_t(len(list)))), len(list))
	devices := make([]Device, 0, n)
	for i := range list[:n] {
		d := &list[i]
		devices = append(devices, Device{
			Name: C.GoString(&d.name[0]), Description: C.GoString(&d.description[0]), Kind: DeviceKind(d.kind),
			SharesMemory: sharesMemory(DeviceKind(d.kind), runtime.GOOS, runtime.GOARCH),
			FreeBytes:    int64(d.free_bytes), TotalBytes: int64(d.total_bytes),
		})
	}
	return devices
}

// sharesMemory reports whether a device computes in the machine's memory. Metal
// calls the GPUs of Apple's own processors discrete.
func sharesMemory(kind DeviceKind, system, processor string) bool {
	return kind != DeviceGPU || system == "darwin" && processor == "arm64"
}

// SelfTest compares the linked archives with what this package was written for:
// version, formats, constants, struct sizes, and fields of default parameters,
// which shift when archive and header disagree. It needs no model.
func SelfTest() error {
	var l C.lx_layout
	C.lx_get_layout(&l)
	var wrong []string
	check := func(what string, got, want int) {
		if got != want {
			wrong = append(wrong, fmt.Sprintf("%s is %d, not %d", what, got, want))
		}
	}
	if v := C.GoString(C.lx_version()); v != strings.TrimPrefix(pinVersion, "v") {
		wrong = append(wrong, fmt.Sprintf("version is %q, not %q", v, pinVersion))
	}
	check("sequence state format", int(l.state_seq_version), 3)
	check("session format", int(l.session_version), 10)
	check("the most sequences", int(l.max_seq), 256)
	check("file type Q4_K_M", int(l.ftype_q4_k_m), int(FTypeQ4KM))
	check("tensor type F16", int(l.type_f16), int(KVF16))
	check("tensor type Q8_0", int(l.type_q8_0), int(KVQ8_0))
	check("default n_batch", int(l.def_n_batch), 2048)
	check("default n_ubatch", int(l.def_n_ubatch), 512)
	check("default n_seq_max", int(l.def_n_seq_max), 1)
	check("default type_k", int(l.def_type_k), int(KVF16))
	check("default swa_full", int(l.def_swa_full), 1)
	check("default n_gpu_layers", int(l.def_n_gpu_layers), -1)
	check("default load_mode", int(l.def_load_mode), int(LoadAuto))
	check("size of lx_span", int(l.sizeof_lx_span), C.sizeof_lx_span)
	check("size of lx_result", int(l.sizeof_lx_result), C.sizeof_lx_result)
	check("size of lx_mem_op", int(l.sizeof_lx_mem_op), C.sizeof_lx_mem_op)
	check("size of lx_step_info", int(l.sizeof_lx_step_info), C.sizeof_lx_step_info)
	if missing := missingFromBuild(uint64(C.lx_cpu_built_for())); len(missing) > 0 {
		wrong = append(wrong, "the archives use "+strings.Join(missing, ", ")+", which their build did not record")
	}
	if len(wrong) > 0 {
		return &Error{Op: "self-test", Kind: ErrFailed, Msg: "llama.cpp is not what this program was built for: " + strings.Join(wrong, "; ")}
	}
	return nil
}

// missingFromBuild lists features that the archives report and the record of
// their build lacks: then CheckCPU would not protect.
func missingFromBuild(bits uint64) []string {
	reported := map[C.lx_cpu_feature]string{
		C.LX_CPU_AVX: "avx", C.LX_CPU_AVX2: "avx2", C.LX_CPU_AVX_VNNI: "avxvnni", C.LX_CPU_BMI2: "bmi2",
		C.LX_CPU_F16C: "f16c", C.LX_CPU_FMA: "fma", C.LX_CPU_AVX512: "avx512f",
		C.LX_CPU_AVX512_VBMI: "avx512vbmi", C.LX_CPU_AVX512_VNNI: "avx512vnni", C.LX_CPU_AVX512_BF16: "avx512bf16",
	}
	recorded := map[string]bool{}
	for name := range strings.SplitSeq(buildCPUFeatures, ",") {
		recorded[name] = true
	}
	var missing []string
	for bit, name := range reported {
		if bits&(1<<bit) != 0 && !recorded[name] {
			missing = append(missing, name)
		}
	}
	return missing
}
