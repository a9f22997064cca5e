package fit

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/jeantrail/jeantrail-ai"
)

// Refusal is why a model is not loaded: nil if the plan fits, otherwise a
// [jeantrail.Error] with code unsupported that has the numbers and the nearest
// settings that would fit, for a person in the hint and as fits_* for a program.
func (p Plan) Refusal() error {
	if p.Fits {
		return nil
	}
	n := p.Need
	e := jeantrail.Errorf(jeantrail.CodeUnsupported, "%s needs %s with %s: weights %s, KV cache %s, buffers %s; %s",
		p.Model, jeantrail.Size(n.Total), p.asked(), jeantrail.Size(n.Weights+n.Projector), jeantrail.Size(n.KV), jeantrail.Size(n.Compute+n.Output+n.Runtime), p.room())
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
		e = c.add(e)
		where := " in config.yaml"
		if c.Kind == ChangeModel {
			where = ""
		}
		texts = append(texts, c.Text+where+" ("+jeantrail.Size(c.Need.Total)+")")
	}
	return e.WithHint("What would fit: %s.", strings.Join(texts, "; or "))
}

// add gives an error the change as a program reads it.
func (c Change) add(e *jeantrail.Error) *jeantrail.Error {
	name := "fits_" + c.Key[strings.LastIndex(c.Key, ".")+1:]
	if value, err := strconv.ParseInt(c.Value, 10, 64); err == nil && c.Kind != ChangeModel {
		return e.WithNumber(name, value)
	}
	return e.WithName(name, c.Value)
}

// asked says with which setting a need is.
func (p Plan) asked() string {
	text := fmt.Sprintf("a context of %d tokens", p.Setting.NCtx)
	if p.Setting.Slots > 1 {
		text += fmt.Sprintf(" for %d conversations together", p.Setting.Slots)
	}
	return text
}

// room says what there is, and what would go where if there is more than one
// place.
func (p Plan) room() string {
	if p.Need.VRAM == 0 && p.UsableVRAM == 0 {
		return jeantrail.Size(p.UsableRAM) + " of memory can be used"
	}
	return jeantrail.Size(p.Need.RAM) + " of that is the machine's memory, of which " + jeantrail.Size(p.UsableRAM) + " can be used, and " +
		jeantrail.Size(p.Need.VRAM) + " graphics memory, of which " + jeantrail.Size(p.UsableVRAM) + " can be used"
}
