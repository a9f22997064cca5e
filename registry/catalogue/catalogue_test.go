package catalogue_test

import (
	"encoding/hex"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/build/benchmodel/qwen3"
	"github.com/jeantrail/jeantrail-ai/registry/catalogue"
	"github.com/jeantrail/jeantrail-ai/registry/hub"
)

func find(t *testing.T, name string) catalogue.Model {
	t.Helper()
	m, err := catalogue.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestShapesCountThePublishedParameters holds the shapes against the numbers of
// weights that llama.cpp and transformers report for the published files.
func TestShapesCountThePublishedParameters(t *testing.T) {
	for name, want := range map[string]int64{
		"qwen3-0.6b": 596_049_920, "qwen3-8b": 8_190_735_360, "qwen3-30b-a3b": 30_532_122_624,
	} {
		if got := find(t, name).Shape.Parameters(); got != want {
			t.Errorf("%s has %d parameters, want %d", name, got, want)
		}
	}
	for name, billions := range map[string][2]float64{ // in all and for one token, by the model cards
		"qwen3-1.7b": {1.7, 1.7}, "qwen3-4b": {4.0, 4.0}, "qwen3-14b": {14.8, 14.8}, "qwen3-32b": {32.8, 32.8},
		"qwen3-30b-a3b": {30.5, 3.3}, "qwen3-235b-a22b": {235, 22},
	} {
		s := find(t, name).Shape
		for i, n := range []int64{s.Parameters(), s.ActiveParameters()} {
			if got := float64(n) / 1e9; got < billions[i]*0.98 || got > billions[i]*1.02 {
				t.Errorf("%s: %.2f billion parameters, the card says %v", name, got, billions[i])
			}
		}
	}
}

// TestShapesAreThoseOfTheBenchmarkModels compares with a list written apart.
func TestShapesAreThoseOfTheBenchmarkModels(t *testing.T) {
	for _, size := range []string{"0.6b", "1.7b", "4b", "8b", "14b", "32b"} {
		want, err := qwen3.ShapeByName(size)
		if err != nil {
			t.Fatal(err)
		}
		s := find(t, "qwen3-"+size).Shape
		got := qwen3.Shape{
			Name: want.Name, Layers: s.Layers, Embedding: s.Embedding, FeedForward: s.FeedForward,
			Heads: s.Heads, KVHeads: s.KVHeads, HeadLength: s.HeadLength, Context: s.Context, Tied: s.Tied,
		}
		if got != want {
			t.Errorf("shape %+v, want %+v", got, want)
		}
		if got, want := s.Parameters(), want.Parameters(int(s.Vocabulary)); got != want {
			t.Errorf("%s: %d parameters, want %d", size, got, want)
		}
	}
}

func TestKVBytesPerToken(t *testing.T) {
	for name, want := range map[string]int64{
		"qwen3-0.6b": 114_688, "qwen3-8b": 147_456, "qwen3-32b": 262_144,
		"qwen3-30b-a3b": 98_304, "qwen3-235b-a22b": 192_512, "qwen3-vl-4b": 147_456,
	} {
		if got := find(t, name).Shape.KVBytesPerToken(); got != want {
			t.Errorf("%s takes %d bytes for a token, want %d", name, got, want)
		}
	}
}

func TestEntriesAreWhole(t *testing.T) {
	seen := make(map[string]string)
	for _, m := range catalogue.List() {
		for _, name := range append([]string{m.Name}, m.Aliases...) {
			if other := seen[name]; other != "" || name != strings.ToLower(name) {
				t.Errorf("the name %q of %s is taken by %q, or not in small letters", name, m.Name, other)
			}
			seen[name] = m.Name
			if got := find(t, strings.ToUpper(name)); got.Name != m.Name {
				t.Errorf("%s is %s, want %s", name, got.Name, m.Name)
			}
		}
		if m.License != "Apache-2.0" || m.GoodFor == "" || len(m.Files) == 0 {
			t.Errorf("%s has licence %q, is good for %q and has %d files", m.Name, m.License, m.GoodFor, len(m.Files))
		}
		files := m.Files
		if (m.Kind == catalogue.KindVision) != (m.Projector.Path != "") {
			t.Errorf("%s is of kind %s and has the projector %q", m.Name, m.Kind, m.Projector.Path)
		} else if m.Projector.Path != "" {
			files = append(files, m.Projector)
		}
		for _, f := range files {
			if sum, err := hex.DecodeString(f.SHA256); err != nil || len(sum) != 32 || path.Ext(f.Path) != ".gguf" || f.Bytes <= 0 {
				t.Errorf("%s: file %+v", m.Name, f)
			}
			if f != m.Projector && !strings.Contains(f.Path, m.Quantization) {
				t.Errorf("%s: %s is not of %s", m.Name, f.Path, m.Quantization)
			}
		}
		// A file in Q4_K_M takes 4.5 to 5.5 bits for a weight, one in Q8_0 about 8.5.
		bits := float64(m.Bytes()) * 8 / float64(m.Shape.Parameters())
		if low, high := 4.5, 5.5; m.Quantization == "Q8_0" && (bits < 8.4 || bits > 8.7) || m.Quantization == "Q4_K_M" && (bits < low || bits > high) {
			t.Errorf("%s has %.2f bits for a weight", m.Name, bits)
		}
		for _, d := range m.Unverified {
			if d.Fact == "" || d.Why == "" {
				t.Errorf("%s doubts %+v", m.Name, d)
			}
		}
		if m.Verified() != (len(m.Unverified) == 0) {
			t.Errorf("%s: verified is %v with %d doubts", m.Name, m.Verified(), len(m.Unverified))
		}
	}
}

func TestSourcesAreWhatTheHubTakes(t *testing.T) {
	for _, m := range catalogue.List() {
		text, err := catalogue.Source(m.Name)
		if err != nil {
			t.Fatal(err)
		}
		s, err := hub.ParseSource(text)
		if err != nil || s.Repo != m.Repository || s.Quant != m.Quantization || s.String() != text {
			t.Errorf("%s is read as %+v, %v", text, s, err)
		}
	}
	if _, err := catalogue.Source("gpt-2"); jeantrail.CodeOf(err) != jeantrail.CodeNotFound {
		t.Errorf("a model that is not there: %v", err)
	}
}

func TestNamesThatAreNotThere(t *testing.T) {
	for name, hint := range map[string]string{
		"qwen-3-72b": "no Qwen3 of 72B", "qwen3:72B": "no Qwen3 of 72B",
		"qwen3-8": "Did you mean qwen3-8b", "qwen3_14b": "Did you mean qwen3-14b", "llama-3": "hf:OWNER/REPO",
	} {
		_, err := catalogue.Find(name)
		if e := jeantrail.AsError(err); e.Code != jeantrail.CodeNotFound || !strings.Contains(e.Hint, hint) {
			t.Errorf("%s: %s, hint %q", name, e.Code, e.Hint)
		}
	}
}

func TestTheListIsACopy(t *testing.T) {
	list := catalogue.List()
	list[0].Name, list[0].Files[0].Path, list[0].Aliases[0] = "x", "x", "x"
	again := catalogue.List()
	if again[0].Name == "x" || again[0].Files[0].Path == "x" || again[0].Aliases[0] == "x" {
		t.Error("the catalogue was changed from outside")
	}
	var names []string
	for _, m := range again {
		names = append(names, m.Name)
	}
	if !slices.Equal(names, catalogue.Names()) {
		t.Errorf("Names gives %v", catalogue.Names())
	}
}
