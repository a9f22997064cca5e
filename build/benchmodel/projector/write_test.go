package projector

import (
	"bytes"
	"testing"

	"github.com/jeantrail/jeantrail-ai/registry/gguf"
)

func write(t *testing.T, opt Options) []byte {
	t.Helper()
	var out bytes.Buffer
	n, err := Write(&out, opt)
	if err != nil {
		t.Fatal(err)
	}
	if n != int64(out.Len()) {
		t.Fatalf("Write says %d bytes and wrote %d", n, out.Len())
	}
	return out.Bytes()
}

func TestWriteMakesASoundProjector(t *testing.T) {
	for _, kind := range []Kind{MLP, Gemma3, Qwen3VL} {
		b := write(t, Options{Kind: kind, TextWidth: 256, Seed: 1})
		f, err := gguf.Read(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		if err := gguf.ValidateProjector(f); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestWriteDependsOnTheSeedAlone(t *testing.T) {
	opt := Options{Kind: MLP, TextWidth: 256, Seed: 1}
	first := write(t, opt)
	if !bytes.Equal(first, write(t, opt)) {
		t.Error("the same options gave other bytes")
	}
	opt.Seed = 2
	if bytes.Equal(first, write(t, opt)) {
		t.Error("another seed gave the same bytes")
	}
}

func TestWriteRefusesAnUnknownKind(t *testing.T) {
	if _, err := Write(&bytes.Buffer{}, Options{Kind: "glasses", TextWidth: 256}); err == nil {
		t.Error("no error")
	}
}
