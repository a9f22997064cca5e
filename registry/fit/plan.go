package fit

import (
	"fmt"
	"strconv"

	"github.com/jeantrail/jeantrail-ai/registry/catalogue"
	"github.com/jeantrail/jeantrail-ai/registry/gguf"
)

// Plan is how a model would run on a machine.
type Plan struct {
	Model   string
	Setting Setting // as asked, with the context rounded and the layers chosen
	Need    Need    // at that setting
	Fits    bool
	// UsableRAM and UsableVRAM are what the need was held against.
	UsableRAM, UsableVRAM int64
	// LargestContext is the most KV cells with which the model fits, with as many
	// layers on the GPU as then have room; 0 if it fits with none.
	LargestContext int
	// TokensPerSecond is estimated; 0 if it is not known. It is what one stream
	// would get if the model were loaded as planned, whether it fits or not.
	TokensPerSecond float64
	// SpeedIsBound says that it can only be less: how fast a GPU is nobody knows.
	SpeedIsBound bool
	// Nearest are changes that would make it fit, the smallest change first. There
	// are none if it fits, or if nothing would help.
	Nearest []Change

	layers int // of the model, the output included
}

// ChangeKind is what a change changes.
type ChangeKind string

// The kinds, in the order in which Plan gives them.
const (
	ChangeLayers  ChangeKind = "layers"  // fewer layers on the GPU
	ChangeSlots   ChangeKind = "slots"   // fewer sequences, each with the context it had
	ChangeContext ChangeKind = "context" // a shorter context
	ChangeModel   ChangeKind = "model"   // another model of the catalogue
)

// Change is a setting that would fit.
type Change struct {
	Kind    ChangeKind
	Model   string // the one asked for, unless Kind is ChangeModel
	Setting Setting
	Need    Need
	// Key and Value are the change as the configuration has it: n_gpu_layers and
	// n_ctx of the model, or engine.slots. For another model they are "model" and its
	// name.
	Key, Value string
	Text       string // for a person, such as "n_ctx: 8192 for the model m"
}

// Make plans a model on a machine. want.GPULayers of -1 chooses as many layers as
// fit; any other number is kept. others are what a smaller model may be chosen
// from; nil is the catalogue.
func Make(machine Machine, m Model, want Setting, others []Model) Plan {
	want = m.complete(want)
	want.Kernels, want.Devices = machine.Kernels, len(machine.inUse())
	p := Plan{Model: m.Name, UsableRAM: machine.UsableRAM(), UsableVRAM: machine.UsableVRAM(), layers: m.layersOn(-1)}
	p.Setting, p.Need, p.Fits = place(machine, m, want)
	p.LargestContext = largestContext(machine, m, want)
	p.TokensPerSecond, p.SpeedIsBound = TokensPerSecond(machine, m, p.Setting)
	if !p.Fits {
		p.Nearest = nearest(machine, m, want, p.LargestContext, others)
	}
	return p
}

// mostSlots is llama.cpp's bound on the sequences of a context (LLAMA_MAX_SEQ).
const mostSlots = 256

// complete puts the defaults in place of zeros. A context beyond what the model
// was trained with stays: it is for the caller to refuse or to allow.
func (m Model) complete(s Setting) Setting {
	if s.NCtx <= 0 {
		s.NCtx = m.ContextTrain
	}
	s.NCtx = roundContext(min(s.NCtx, gguf.MaxContextLength))
	s.Slots, s.GPULayers = min(max(s.Slots, 1), mostSlots), max(s.GPULayers, -1)
	return s
}

// place finds the setting with the most layers on the GPU that fits. If none
// does, it is the one that falls short of the least memory.
func place(machine Machine, m Model, want Setting) (Setting, Need, bool) {
	from, to := want.GPULayers, want.GPULayers
	if want.GPULayers < 0 {
		from, to = 0, 0
		if len(machine.Devices) > 0 {
			from = len(m.layers) + 1
		}
	}
	var together [2]Need // without a GPU, and with one
	if to == 0 {
		together[0] = m.together(want, false)
	}
	if from > 0 {
		together[1] = m.together(want, true)
	}
	var closest Need
	var least int64 = -1
	for on := from; on >= to; on-- {
		need := m.divide(together[min(on, 1)], m.layersOn(on), want.Devices)
		short := shortfall(machine, need)
		if least < 0 || short < least {
			least, closest, want.GPULayers = short, need, on
		}
		if short == 0 {
			break
		}
	}
	return want, closest, least == 0
}

// shortfall is how many bytes are missing for a need.
func shortfall(machine Machine, n Need) int64 {
	ram := n.RAM
	if machine.shared() {
		ram += n.VRAM
	}
	return max(ram-machine.UsableRAM(), 0) + max(n.VRAM-machine.UsableVRAM(), 0)
}

// largestContext is the most KV cells with which the model fits, in steps of 256,
// up to the trained context for each slot.
func largestContext(machine Machine, m Model, want Setting) int {
	fits := func(steps int) bool {
		want.NCtx = steps * contextStep
		_, _, ok := place(machine, m, want)
		return ok
	}
	low, high := 0, roundContext(m.ContextTrain)/contextStep*want.Slots
	for low < high { // low fits, or is none; what is above high does not
		middle := (low + high + 1) / 2
		if fits(middle) {
			low = middle
		} else {
			high = middle - 1
		}
	}
	return low * contextStep
}

// nearest lists the changes that make a model fit.
func nearest(machine Machine, m Model, want Setting, largest int, others []Model) []Change {
	var list []Change
	add := func(c Change, m Model, s Setting) bool {
		s, need, ok := place(machine, m, s)
		if !ok {
			return false
		}
		c.Model, c.Setting, c.Need = m.Name, s, need
		switch c.Kind {
		case ChangeLayers:
			c.Value = strconv.Itoa(s.GPULayers)
			c.Text = fmt.Sprintf("n_gpu_layers: %s in place of %d for the model %s", c.Value, want.GPULayers, m.Name)
		case ChangeSlots:
			c.Value = strconv.Itoa(s.Slots)
			c.Text = fmt.Sprintf("engine.slots: %s in place of %d, with the same context each", c.Value, want.Slots)
		case ChangeContext:
			each := s.NCtx
			if s.Streams {
				each /= s.Slots
			}
			c.Value = strconv.Itoa(each)
			c.Text = fmt.Sprintf("n_ctx: %s for the model %s", c.Value, m.Name)
		case ChangeModel:
			c.Value = m.Name
			c.Text = "the model " + m.Name
		}
		list = append(list, c)
		return true
	}
	if want.GPULayers > 0 {
		fewer := want
		fewer.GPULayers = -1
		add(Change{Kind: ChangeLayers, Key: "n_gpu_layers"}, m, fewer)
	}
	each := want.NCtx / want.Slots
	for slots := want.Slots - 1; slots > 0; slots-- {
		fewer := want
		fewer.Slots, fewer.NCtx = slots, roundContext(each*slots)
		if add(Change{Kind: ChangeSlots, Key: "engine.slots"}, m, fewer) {
			break
		}
	}
	if largest > 0 && largest < want.NCtx {
		shorter := want
		shorter.NCtx = largest
		add(Change{Kind: ChangeContext, Key: "n_ctx"}, m, shorter)
	}
	if want.GPULayers > 0 { // another model has other layers
		want.GPULayers = -1
	}
	if smaller, ok := smallerModel(machine, m, want, others); ok {
		add(Change{Kind: ChangeModel, Key: "model"}, smaller, smaller.complete(want))
	}
	return list
}

// smallerModel is the largest of the others that is smaller and fits.
func smallerModel(machine Machine, m Model, want Setting, others []Model) (Model, bool) {
	if others == nil {
		others = chatModels()
	}
	var best Model
	for _, o := range others {
		if o.WeightBytes() >= m.WeightBytes() || o.Name == m.Name || o.ContextTrain*max(want.Slots, 1) < want.NCtx {
			continue
		}
		if _, _, ok := place(machine, o, o.complete(want)); ok && (best.header == nil || o.WeightBytes() > best.WeightBytes()) {
			best = o
		}
	}
	return best, best.header != nil
}

// chatModels are the models of the catalogue that chat. The catalogue's own tests
// see to it that each can be sized.
func chatModels() []Model {
	var list []Model
	for _, c := range catalogue.List() {
		if c.Kind != catalogue.KindChat {
			continue
		}
		if m, err := FromCatalogue(c); err == nil {
			list = append(list, m)
		}
	}
	return list
}
