package gguf

// Hard limits of Read. They are far above every published model and far below
// what would trouble the process.
const (
	MaxMetadataPairs = 64 << 10
	MaxTensors       = 64 << 10
	MaxKeyBytes      = 65535     // the format's own limit
	MaxStringBytes   = 16 << 20  // one string value
	MaxArrayLength   = 16 << 20  // elements of one array
	MaxHeaderBytes   = 512 << 20 // header, metadata and tensor table together
	MaxTensorName    = 63        // llama.cpp keeps names in 64 bytes with a terminator
	MaxDims          = 4
	MinAlignment     = 8 // the format asks for a multiple of 8
	MaxAlignment     = 1 << 20
	DefaultAlignment = 32
)

// Limits of Validate. Those of layers and experts are the sizes of fixed
// arrays in llama.cpp (LLAMA_MAX_LAYERS, LLAMA_MAX_EXPERTS).
const (
	MaxVocabulary     = 1 << 20
	MaxTemplateBytes  = 1 << 20
	MaxLayers         = 512
	MaxExperts        = 1024
	MaxContextLength  = 1 << 27
	MaxWidth          = 1 << 20 // embedding, head and feed-forward lengths
	MaxAttentionWidth = 1 << 24 // heads times their length
)
