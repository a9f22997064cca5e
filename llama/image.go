package llama

// VisionParams says how to open a projector.
type VisionParams struct {
	Path     string // a GGUF file of the architecture clip
	GPU      bool   // compute on a GPU, if there is one
	NThreads int    // 0: DefaultThreads
	// MinTokens and MaxTokens bound what one image becomes, for projectors that
	// scale images to a number of tokens; 0 is what the file says.
	MinTokens, MaxTokens int
	// NoWarmUp leaves it to the first image to reserve memory.
	NoWarmUp bool
}

// VisionInfo describes a projector and the model it belongs to.
type VisionInfo struct {
	NEmbd     int  // numbers in a row of an image
	MRoPE     bool // an image takes up fewer positions than it has rows
	NonCausal bool // every row of an image part sees every other one
}

// ImagePart is a piece of an image in a prompt: text tokens that go around it,
// or rows that the encoder makes.
type ImagePart struct {
	Tokens []int32 // of a text part; nil for rows
	NRows  int     // cells of the KV cache
	NPos   int     // positions; NRows, but for images with M-RoPE
}

// ImageRows are the encoded rows of one image part. It is plain data; who holds
// it owns it.
type ImageRows struct {
	NRows, NPos int
	NonCausal   bool
	Embd        []float32 // NRows times VisionInfo.NEmbd
	Rel         []int32   // with M-RoPE: time, y, x and z of each row, from the part's position on; else nil
}
