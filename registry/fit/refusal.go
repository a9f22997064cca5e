package fit

import (
	"strings"

	"github.com/jeantrail/jeantrail-ai"
)

// Refusal is why a model is not loaded: nil if the plan fits, otherwise a
// [jeantrail.Error] with code unsupported that has the numbers and the nearest
// settings that would fit.
func (p Plan) Refusal() error {
	if p.Fits {
		return nil
	}
	n := p.Need
	e := jeantrail.Errorf(jeantrail.CodeUnsupported, "%s with a context of %d tokens needs %s (weights %s, KV cache %s, buffers %s); %s",
		p.Model, p.Setting.NCtx, size(n.Total), size(n.Weights+n.Projector), size(n.KV), size(n.Compute+n.Output+n.Runtime), p.room())
	e = e.WithNumber("needed_bytes", n.Total).WithNumber("ram_bytes", n.RAM).WithNumber("vram_bytes", n.VRAM).
		WithNumber("usable_ram_bytes", p.UsableRAM).WithNumber("usable_vram_bytes", p.UsableVRAM).
		WithNumber("weights_bytes", n.Weights).WithNumber("kv_bytes", n.KV).
		WithNumber("n_ctx", int64(p.Setting.NCtx)).WithNumber("largest_n_ctx", int64(p.LargestContext)).
		WithName("model", p.Model)
	if len(p.Nearest) == 0 {
		return e.WithHint("No smaller setting fits either. Unload other models or stop other programs, or use a machine with more memory.")
	}
	var texts []string
	for _, c := range p.Nearest {
		texts = append(texts, c.Text+" ("+size(c.Need.Total)+")")
	}
	return e.WithHint("What would fit: %s.", strings.Join(texts, "; or "))
}

// room says what there is, and what would go where if there is more than one
// place.
func (p Plan) room() string {
	if p.Need.VRAM == 0 && p.UsableVRAM == 0 {
		return size(p.UsableRAM) + " of memory can be used"
	}
	return size(p.Need.RAM) + " of memory, of which " + size(p.UsableRAM) + " can be used, and " +
		size(p.Need.VRAM) + " of graphics memory, of which " + size(p.UsableVRAM) + " can be used"
}
