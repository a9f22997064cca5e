package jeantrail

import "time"

// ModelStatus is where a model stands.
type ModelStatus string

// The statuses.
const (
	ModelAvailable ModelStatus = "available" // known and sound, not loaded
	ModelLoading   ModelStatus = "loading"
	ModelReady     ModelStatus = "ready"
	ModelFailed    ModelStatus = "failed"  // loading it failed; Problem says why
	ModelMissing   ModelStatus = "missing" // configured, but its file is not there or not sound
)

// Model describes one text model that the configuration names.
type Model struct {
	Name         string
	Aliases      []string
	Default      bool
	BuiltIn      bool
	Status       ModelStatus
	Progress     float64 // of loading, 0 to 1
	Problem      string  // why it is failed or missing
	Path         string
	Bytes        int64
	SHA256       string // "" until it was computed
	Architecture string
	Quantization string
	Parameters   int64
	Layers       int
	NCtxTrain    int
	NCtx         int
	MemoryBytes  int64 // weights, KV cache and compute buffers at NCtx
	LoadedBytes  int64 // that it is counted with in the memory budget; 0 if it is not loaded
	Pinned       bool  // it stays in memory when others need room
	Fit          *ModelFit
	Engine       EngineInfo
	CheckedAt    time.Time
}

// ModelFit is what a model takes with its settings, and whether this machine has
// that. Sizes are in bytes, in the machine's memory unless they say otherwise.
type ModelFit struct {
	Fits   bool
	Reason string // why it does not fit; "" if it does
	Hint   string // what would fit
	Note   string // what may be slow although it fits

	Weights   int64
	Projector int64 // the weights of what reads images
	KV        int64
	Compute   int64 // scratch space, logits, vocabulary
	Total     int64 // of the above
	RAM       int64
	VRAM      int64 // on GPUs, all together
	// UsableRAM and UsableVRAM are what it was held against: all that is not held by
	// what stays.
	UsableRAM  int64
	UsableVRAM int64

	NCtx        int // the longest conversation, in tokens
	Slots       int // conversations at once
	KVCells     int // tokens of all conversations together
	LargestNCtx int // the longest conversation that would fit; 0 if none does

	GPULayers int // of Layers; the output counts as one
	Layers    int
	// TokensPerSecond is estimated, for one conversation; 0 if it is not known.
	TokensPerSecond float64
	SpeedIsBound    bool // it can only be less: how fast a GPU is nobody knows
}

// ModelState is where a model stands, as it is told to those who watch.
type ModelState struct {
	Name     string
	Status   ModelStatus
	Progress float64 // of loading, 0 to 1
	Problem  string  // why it is failed or missing
}
