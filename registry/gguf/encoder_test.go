package gguf

import "testing"

// TestEncoderAgainstLlama holds the scratch space against the compute buffer that
// libmtmd of llama.cpp v0.5.0 reports when it warms up with 46 by 46 tokens, in MiB.
func TestEncoderAgainstLlama(t *testing.T) {
	qwen3vl := func(width, feedForward, side int64, layers int) encoder {
		e := encoder{
			patches: 4 * 46 * 46, width: width, feedForward: feedForward, text: 256, merged: 4, pixels: side * side, frames: 2,
			layers: layers, tapped: make([]bool, layers),
		}
		e.tapped[0] = true
		return e
	}
	for _, tt := range []struct {
		e    encoder
		want float64
	}{
		{qwen3vl(64, 160, 14, 2), 30.67}, {qwen3vl(512, 2048, 16, 4), 124.11}, {qwen3vl(768, 1536, 16, 3), 186.11},
	} {
		if got := float64(tt.e.scratch()) / (1 << 20); got < tt.want-0.02 || got > tt.want+0.02 {
			t.Errorf("%+v: %.3f MiB, llama.cpp takes %.2f", tt.e, got, tt.want)
		}
	}
}

func TestEncoderOfAFile(t *testing.T) {
	var w Writer
	set := func(key string, v Value) {
		t.Helper()
		if err := w.Set(key, v); err != nil {
			t.Fatal(err)
		}
	}
	set("clip.projector_type", ValueOf("qwen3vl_merger"))
	for key, n := range map[string]uint32{
		"image_size": 768, "patch_size": 16, "embedding_length": 1152, "feed_forward_length": 4304, "block_count": 27, "projection_dim": 4096,
	} {
		set("clip.vision."+key, ValueOf(n))
	}
	f := w.Head()
	e := readEncoder(f, 1024)
	if e.patches != 4096 || e.merged != 4 || e.width != 1152 || e.feedForward != 4304 || e.text != 4096 || e.pixels != 256 || e.layers != 27 {
		t.Errorf("read as %+v", e)
	}
	if whole := readEncoder(f, 0); whole.patches != 4*mostImageTokens {
		t.Errorf("the largest image has %d patches", whole.patches)
	}
	if small, large := EncoderBytes(f, 64), EncoderBytes(f, 1024); small < 1<<20 || large < 10*small {
		t.Errorf("64 tokens take %d bytes, 1024 take %d", small, large)
	}
	// One that knows one size makes the same of every image.
	var other Writer
	for key, v := range map[string]Value{
		"clip.projector_type": ValueOf("mlp"), "clip.vision.image_size": ValueOf(uint32(336)), "clip.vision.patch_size": ValueOf(uint32(14)),
		"clip.vision.embedding_length": ValueOf(uint32(1024)),
	} {
		if err := other.Set(key, v); err != nil {
			t.Fatal(err)
		}
	}
	if e := readEncoder(other.Head(), 10); e.patches != 24*24 || e.feedForward != 4096 {
		t.Errorf("read as %+v", e)
	}
}
