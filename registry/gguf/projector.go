package gguf

import "strings"

// imageProjectors lists the forms of clip.projector_type that the pinned
// llama.cpp (v0.5.0, PROJECTOR_TYPE_NAMES of tools/mtmd/clip-impl.h) loads for
// images and whose rows do not depend on where in a prompt an image stands. Go
// over it whenever the pin moves.
const imageProjectors = `
adapter cogvlm deepseekocr deepseekocr2 dots3note_v dots_ocr exaone4_5 gemma3 gemma3nv gemma4uv gemma4v glm4v
granite4_vision idefics3 internvl janus_pro kimik25 kimivl ldp ldpv2 lfm2 lightonocr llama4 mimovl minicpmv4_6
minimax_m3 mlp muse-glimmer nemotron_v2_vl paddleocr phi4 pixtral qwen2.5o qwen2.5vl_merger qwen2vl_merger
qwen3vl_merger resampler step3vl yasa2 youtuvl
`

// placedProjectors are those whose rows do depend on it.
const placedProjectors = `deepseek4v hunyuanvl`

// lookedUpPositions are those that look rows up in their position embedding
// instead of adding it as it is.
const lookedUpPositions = `adapter ldp ldpv2 mlp resampler`

// Limits of ValidateProjector.
const (
	MaxImageSize   = 8192 // pixels of a side; libmtmd's own limit
	MaxPatchSize   = 512
	MaxMerge       = 64
	MaxTiles       = 256
	MaxImagePixels = 1 << 28
)

// Projector describes a file that encodes images for a text model.
type Projector struct {
	Type        string // of clip.projector_type, such as "qwen3vl_merger"
	Name        string // general.name
	Layers      int
	Width       int // of its own layers
	ImageSize   int // pixels of a side, for those that know one size; 0 for others
	PatchSize   int
	FileBytes   int64
	WeightBytes int64 // tensor data without padding
}

// ValidateProjector says whether f can be given to llama.cpp's libmtmd as a
// projector that reads images: nil, or an *Error with the first rule it breaks.
// It covers what would abort the process while an image is encoded. Other shapes
// are left to libmtmd, which looks at them while it loads, where a failed
// assertion is an error.
func ValidateProjector(f *File) error {
	for _, check := range []func(*File) *Error{
		checkIsProjector, checkHasData, checkOneFile, checkProjectorType, checkEncoder, checkImages, checkProjectorTypes,
		checkProjectorTensors,
	} {
		if err := check(f); err != nil {
			return err
		}
	}
	return nil
}

// InspectProjector opens the file at path, validates it as a projector and
// describes it.
func InspectProjector(path string) (*Projector, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	if err := ValidateProjector(f); err != nil {
		return nil, err
	}
	p := &Projector{Type: f.projectorType(), FileBytes: f.Size}
	p.Name, _ = Get[string](&f.Metadata, "general.name")
	for key, to := range map[string]*int{
		"block_count": &p.Layers, "embedding_length": &p.Width, "image_size": &p.ImageSize, "patch_size": &p.PatchSize,
	} {
		v, _ := Get[uint32](&f.Metadata, "clip.vision."+key)
		*to = int(v)
	}
	for i := range f.Tensors {
		p.WeightBytes += f.Tensors[i].Bytes
	}
	return p, nil
}

func checkIsProjector(f *File) *Error {
	arch, err := required[string](f, "general.architecture")
	if err != nil {
		return err
	}
	if arch != "clip" {
		return refuse(ReasonNotProjector, "architecture %s is not a projector (clip)", quoteShort(arch)).
			hint("Give the mmproj file that is offered beside the text model's file, and the text model itself as model_path.")
	}
	return nil
}

// checkOneFile refuses a part of a split projector: libmtmd opens one file.
func checkOneFile(f *File) *Error {
	s, err := readSplit(f)
	if err != nil || s.count == 1 {
		return err
	}
	return refuse(ReasonSplit, "the file is one of %d parts of a projector, which must be in one file", s.count).
		hint("Join the parts with \"llama-gguf-split --merge FIRST-PART OUTPUT\", then give the output.")
}

// projectorType is the form, from either of the keys that libmtmd reads.
func (f *File) projectorType() string {
	if t, _ := Get[string](&f.Metadata, "clip.projector_type"); t != "" {
		return t
	}
	t, _ := Get[string](&f.Metadata, "clip.vision.projector_type")
	return t
}

func checkProjectorType(f *File) *Error {
	sees, _, err := optional[bool](f, "clip.has_vision_encoder")
	if err != nil {
		return err
	}
	if !sees {
		return refuse(ReasonNotProjector, "the projector has no encoder for images").
			hint("Give the mmproj file of a model that reads images.")
	}
	for _, key := range []string{"clip.projector_type", "clip.vision.projector_type"} {
		if _, _, err := optional[string](f, key); err != nil {
			return err
		}
	}
	form := f.projectorType()
	switch {
	case form == "":
		return refuse(ReasonMissingKey, "metadata key clip.projector_type is missing")
	case contains(imageProjectors, form):
		return nil
	case contains(placedProjectors, form):
		return refuse(ReasonArchitecture, "projectors of the form %s are not supported: their images depend on what stands before them", form).
			hint("Use another model that reads images, such as Qwen3-VL.")
	}
	return refuse(ReasonArchitecture, "projectors of the form %s do not read images in this build of llama.cpp", quoteShort(form)).
		hint("Use a model whose projector is known, such as Qwen3-VL, or a newer release of this program.")
}

func contains(words, word string) bool {
	for _, w := range strings.Fields(words) {
		if w == word {
			return true
		}
	}
	return false
}

// checkEncoder checks the numbers by which the encoder's graph divides and by
// which it makes its buffers.
func checkEncoder(f *File) *Error {
	var width, heads, headLength, ignored int64
	for _, k := range []struct {
		suffix    string
		low, high int64
		dst       *int64
		needed    bool
	}{
		{"embedding_length", 1, MaxWidth, &width, true},
		{"feed_forward_length", 0, MaxWidth, &ignored, true}, // 0 in old files of Qwen2-VL
		{"block_count", 0, MaxLayers, &ignored, true},
		{"projection_dim", 0, MaxWidth, &ignored, true},
		{"attention.head_count", 1, MaxWidth, &heads, true},
		{"attention.head_count_kv", 1, MaxWidth, &ignored, false},
		{"attention.head_dim", 1, MaxWidth, &headLength, false},
		{"image_size", 0, MaxImageSize, &ignored, true},
		{"patch_size", 1, MaxPatchSize, &ignored, true},
		{"spatial_merge_size", 1, MaxMerge, &ignored, false},
		{"projector.scale_factor", 1, MaxMerge, &ignored, false},
		{"preproc_min_tiles", 0, MaxTiles, &ignored, false},
		{"preproc_max_tiles", 0, MaxTiles, &ignored, false},
		{"preproc_image_size", 0, MaxImageSize, &ignored, false},
		{"image_min_pixels", 0, MaxImagePixels, &ignored, false},
		{"image_max_pixels", 0, MaxImagePixels, &ignored, false},
		{"n_wa_pattern", 0, MaxLayers, &ignored, false},
		{"window_size", 0, 4096, &ignored, false},
	} {
		key := "clip.vision." + k.suffix
		if err := projectorNumber(f, key, k.low, k.high, k.dst, k.needed); err != nil {
			return err
		}
	}
	if headLength == 0 && width%heads != 0 {
		return refuse(ReasonBadValue, "clip.vision.embedding_length %d is not a multiple of the %d attention heads", width, heads)
	}
	eps, err := required[float32](f, "clip.vision.attention.layer_norm_epsilon")
	if err == nil && !(eps >= 0 && eps < 1) {
		err = refuse(ReasonBadValue, "clip.vision.attention.layer_norm_epsilon is %v, must be from 0 to 1", eps)
	}
	return err
}

func projectorNumber(f *File, key string, low, high int64, dst *int64, needed bool) *Error {
	v, found, err := optional[uint32](f, key)
	switch {
	case err != nil:
		return err
	case !found && needed:
		return refuse(ReasonMissingKey, "metadata key %s is missing", key)
	case !found:
		return nil
	case int64(v) < low || int64(v) > high:
		return refuse(ReasonBadValue, "%s is %d, must be from %d to %d", key, v, low, high)
	}
	*dst = int64(v)
	return nil
}

// checkImages checks what images are normalised and cut by.
func checkImages(f *File) *Error {
	for _, key := range []string{"clip.vision.image_mean", "clip.vision.image_std"} {
		v, err := required[[]float32](f, key)
		if err != nil {
			return err
		}
		if len(v) < 3 {
			return refuse(ReasonBadValue, "%s has %d numbers, one for each colour is needed", key, len(v))
		}
		for _, x := range v {
			if !(x >= 0 && x < 1e6) || x == 0 && strings.HasSuffix(key, "_std") {
				return refuse(ReasonBadValue, "%s holds %v, which images cannot be normalised with", key, x)
			}
		}
	}
	points, _, err := optional[[]int32](f, "clip.vision.image_grid_pinpoints")
	if err != nil {
		return err
	}
	if len(points)%2 != 0 || len(points) > 2*MaxTiles {
		return refuse(ReasonBadValue, "clip.vision.image_grid_pinpoints has %d numbers, must be pairs, at most %d", len(points), MaxTiles)
	}
	for _, p := range points {
		if p < 1 || p > MaxImageSize {
			return refuse(ReasonBadValue, "clip.vision.image_grid_pinpoints holds %d, must be from 1 to %d", p, MaxImageSize)
		}
	}
	return nil
}

// checkProjectorTypes wants what is added to activations and multiplied with
// them element by element in F32, and convolution kernels in F16 or F32: ggml
// aborts on anything else. llama.cpp's converter writes nothing else.
func checkProjectorTypes(f *File) *Error {
	for i := range f.Tensors {
		t := &f.Tensors[i]
		switch {
		case !t.Type.traits().weight:
			return refuse(ReasonTensorType, "tensor %q is %s, which cannot be computed with", t.Name, t.Type)
		case t.Type == TypeF32:
		case isVector(t.Dims):
			return refuse(ReasonNormType, "tensor %q is %s; norms and biases must be F32", t.Name, t.Type)
		case strings.Contains(t.Name, "position_embd") && !(t.Type == TypeF16 && contains(lookedUpPositions, f.projectorType())):
			return refuse(ReasonTensorType, "tensor %q is %s, must be F32", t.Name, t.Type)
		case t.Type == TypeF16:
		case strings.Contains(t.Name, "patch_embd"), strings.Contains(t.Name, "conv"):
			return refuse(ReasonTensorType, "tensor %q is %s, must be F16 or F32", t.Name, t.Type)
		}
	}
	return nil
}

func isVector(dims []int64) bool {
	for _, d := range dims[min(1, len(dims)):] {
		if d != 1 {
			return false
		}
	}
	return true
}
