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
	Engine       EngineInfo
	CheckedAt    time.Time
}
