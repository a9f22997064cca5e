package llama

// FlashAttn says when flash attention is used.
type FlashAttn int32

// The values of llama_flash_attn_type.
const (
	FlashAttnAuto FlashAttn = -1
	FlashAttnOff  FlashAttn = 0
	FlashAttnOn   FlashAttn = 1
)

// KVType is the type of the K or V cache, a ggml_type.
type KVType int32

// Types for the KV cache. On a CPU anything but F16 and F32 misses the fast
// attention kernels.
const (
	KVF32  KVType = 0
	KVF16  KVType = 1
	KVQ8_0 KVType = 8
)

// LoadMode says how the weights get into memory, a llama_load_mode.
type LoadMode int32

// Ways to load. LoadAuto is mmap unless a device in use cannot.
const (
	LoadAuto LoadMode = -1
	LoadCopy LoadMode = 0
	LoadMmap LoadMode = 1
)

// FType is a quantisation of a whole file, a llama_ftype.
type FType int32

// File types that [Quantize] is used with.
const (
	FTypeF16  FType = 1
	FTypeQ8_0 FType = 7
	FTypeQ4KM FType = 15
)

// ModelParams says what to load and where to. Either Path or Data is set.
type ModelParams struct {
	Path string // a GGUF file, or the first part of a split one, beside which the others lie
	Data string // a GGUF file's bytes; copied, so that they need not stay

	GPULayers    int      // layers to put on GPUs, the output layer counts; -1: as many as fit
	MainGPU      int      // for a model on one GPU
	Load         LoadMode // 0 is LoadCopy; most want LoadAuto
	NoRepack     bool     // keep the weights as they are in the file: faster load, slower prefill
	CheckTensors bool     // validate the weights: reads the whole file
	VocabOnly    bool     // no weights; the model only tokenises

	// Fit is the context that is to fit beside the layers on the GPUs, used with
	// GPULayers -1.
	Fit ContextParams
}

// ContextParams sizes a context. Zero values mean llama.cpp's defaults, but for
// NThreads: [DefaultThreads].
type ContextParams struct {
	NCtx          int // KV cells in all; 0: what the model was trained with
	NBatch        int // most tokens in one step; 0: 2048
	NUBatch       int // most tokens evaluated at once; 0: 512
	NSeqMax       int // sequences; 0: 1
	NThreads      int // for a step of one token
	NThreadsBatch int // for every other step; 0: NThreads
	Unified       bool
	FlashAttn     FlashAttn // 0 is FlashAttnOff; most want FlashAttnAuto
	TypeK, TypeV  KVType    // 0 is F32; most want KVF16
}

func (p ContextParams) withDefaults() ContextParams {
	set := func(v *int, def int) {
		if *v == 0 {
			*v = def
		}
	}
	set(&p.NBatch, 2048)
	set(&p.NUBatch, 512)
	set(&p.NSeqMax, 1)
	if p.NThreads == 0 {
		p.NThreads = DefaultThreads()
	}
	set(&p.NThreadsBatch, p.NThreads)
	return p
}

// ModelInfo describes a model.
type ModelInfo struct {
	Architecture string // for example "qwen3"
	Name         string // from the metadata
	Description  string // llama.cpp's, for example "qwen3 0.6B Q4_K - Medium"
	Device       string // that holds offloaded layers; "" if none are
	NVocab       int
	NCtxTrain    int
	NEmbd        int
	NLayer       int
	NHead        int
	NHeadKV      int
	FType        FType
	Offloaded    int // layers on a device, the output layer counts
	NParams      int64
	Bytes        int64 // weights
}

// ContextInfo tells the sizes that llama.cpp chose.
type ContextInfo struct {
	NCtx, NCtxSeq, NBatch, NUBatch, NSeqMax int
	NThreads, NThreadsBatch                 int
	Unified                                 bool
	KVBytes, ComputeBytes                   int64
	CopiedBytes                             int64 // weights that the CPU has in another layout than the file
}

// DeviceKind is a ggml_backend_dev_type.
type DeviceKind int32

// Kinds of devices.
const (
	DeviceCPU   DeviceKind = 0
	DeviceGPU   DeviceKind = 1
	DeviceIGPU  DeviceKind = 2
	DeviceAccel DeviceKind = 3
)

// Device is something that can compute.
type Device struct {
	Name, Description     string
	Kind                  DeviceKind
	SharesMemory          bool // with the machine, or is the CPU
	FreeBytes, TotalBytes int64
}

// SamplerParams describes a sampler chain. The zero value is greedy. The order
// is llama.cpp's: bias, penalties, DRY, top-k, typical-p, top-p, min-p,
// temperature, and the seeded draw; a grammar is checked against the draw.
type SamplerParams struct {
	Temperature      float32 // <= 0 is greedy
	TopK             int32   // <= 0 is off
	TopP             float32 // 0 or >= 1 is off
	MinP             float32 // 0 is off
	TypicalP         float32 // 0 or >= 1 is off
	RepeatPenalty    float32 // 0 or 1 is off
	FrequencyPenalty float32
	PresencePenalty  float32
	PenaltyLastN     int32 // window of the penalties, in tokens; 0 means 64
	DryMultiplier    float32
	DryBase          float32  // 0 means 1.75
	DryAllowedLength int32    // 0 means 2
	DryPenaltyLastN  int32    // 0 means the whole context
	DryBreakers      []string // nil means llama.cpp's: newline, colon, quote, star
	Seed             uint32   // 0xFFFFFFFF means a random one
	LogitBias        map[int32]float32
	Grammar          string // GBNF with a rule named root; "" is off

	forceGeneric bool // tests: never take a fast path
}

func (p SamplerParams) withDefaults() SamplerParams {
	if p.RepeatPenalty == 0 {
		p.RepeatPenalty = 1
	}
	if p.PenaltyLastN == 0 {
		p.PenaltyLastN = 64
	}
	if p.DryBase == 0 {
		p.DryBase = 1.75
	}
	if p.DryAllowedLength == 0 {
		p.DryAllowedLength = 2
	}
	if p.DryBreakers == nil {
		p.DryBreakers = []string{"\n", ":", "\"", "*"}
	}
	return p
}

// SamplerID is a handle from [Context.NewSampler].
type SamplerID int32

// Build tells what the linked archives were made from and for.
type Build struct {
	Version  string // llama.cpp's release
	Tree     string // git tree hash of its source
	Key      string // of source, compilers, flags and CPU together
	CPU      string // "native", "x86-64-v3", ...
	Features string // instruction-set extensions needed, comma-separated
	Backends string // "cpu", "cpu,cuda", ...
	Flags    string // cmake's
}
