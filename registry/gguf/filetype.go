package gguf

// fileTypes names the values of general.file_type (llama.h's llama_ftype). A
// gap is a type that was removed.
var fileTypes = [...]string{
	0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1",
	10: "Q2_K", 11: "Q3_K_S", 12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M",
	16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S",
	22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M",
	28: "IQ2_S", 29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0",
	37: "TQ2_0", 38: "MXFP4_MOE", 39: "NVFP4", 40: "Q1_0", 41: "Q2_0",
}

// FileType returns the number of a quantisation as general.file_type has it.
func FileType(name string) (uint32, bool) {
	for i, n := range fileTypes {
		if n != "" && n == name {
			return uint32(i), true
		}
	}
	return 0, false
}

// Quantization returns the name of the file's quantisation, such as "Q4_K_M".
// A file that does not state it is named by the tensor type that most of its
// bytes have; stated tells the two apart.
func (f *File) Quantization() (name string, stated bool) {
	if n, ok := Get[uint32](&f.Metadata, "general.file_type"); ok && int64(n) < int64(len(fileTypes)) && fileTypes[n] != "" {
		return fileTypes[n], true
	}
	var most TypeUse
	for _, u := range f.typeUse() {
		if u.Bytes > most.Bytes {
			most = u
		}
	}
	if most.Tensors == 0 {
		return "", false
	}
	return most.Type.String(), false
}
