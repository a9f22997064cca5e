package fit

import (
	"path/filepath"
	"testing"

	"github.com/jeantrail/jeantrail-ai/build/benchmodel/ggufsplit"
)

func TestASplitModelIsSizedLikeTheWholeOne(t *testing.T) {
	path, mmproj := writeTiny(t)
	parts, err := ggufsplit.Split(path, filepath.Join(t.TempDir(), "m"), 3)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := Read("m", path, mmproj)
	if err != nil {
		t.Fatal(err)
	}
	split, err := Read("m", parts[0], mmproj)
	if err != nil {
		t.Fatal(err)
	}
	for _, layers := range []int{0, 1, -1} {
		s := Setting{NCtx: 512, GPULayers: layers}
		if a, b := whole.Needs(s), split.Needs(s); a.VRAM != b.VRAM || a.Total < b.Total*99/100 || a.Total > b.Total*101/100 {
			t.Errorf("with %d layers on a GPU it needs %+v whole and %+v in parts", layers, a, b)
		}
	}
	if whole.WeightBytes() != split.WeightBytes() || whole.ActiveBytes() != split.ActiveBytes() || whole.Layers() != split.Layers() {
		t.Errorf("%d and %d bytes of weights", whole.WeightBytes(), split.WeightBytes())
	}
	if _, err := Read("m", parts[2], ""); err == nil {
		t.Error("the last part was read as a model")
	}
}
