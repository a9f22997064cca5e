package fit

import (
	"slices"
	"strings"
	"testing"

	"github.com/jeantrail/jeantrail-ai/registry/catalogue"
)

func recommend(t *testing.T, m Machine) []Recommendation {
	t.Helper()
	list, err := Recommend(m, catalogue.List(), Setting{})
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != len(catalogue.Names()) {
		t.Fatalf("%d of %d models are judged", len(list), len(catalogue.Names()))
	}
	return list
}

func TestTheBestAndTheNext(t *testing.T) {
	for name, want := range map[string][2]string{
		"laptop with 8 GB":     {"qwen3-4b", "qwen3-8b"},
		"PC with 16 GB and 8":  {"qwen3-14b", "qwen3-30b-a3b"},
		"PC with a 24 GB GPU":  {"qwen3-32b", "qwen3-235b-a22b"},
		"workstation of 64 GB": {"qwen3-30b-a3b", "qwen3-32b"},
		"server of 512 GB":     {"qwen3-235b-a22b", "qwen3-32b"},
	} {
		list := recommend(t, machines[name])
		if list[0].Model.Name != want[0] || list[0].Verdict != VerdictBest || list[1].Model.Name != want[1] {
			t.Errorf("%s: %s is %s, then %s", name, list[0].Model.Name, list[0].Verdict, list[1].Model.Name)
		}
		if next := list[1].Verdict == VerdictNext; next == (name == "server of 512 GB") {
			t.Errorf("%s: the second is %s", name, list[1].Verdict)
		}
		for _, r := range list {
			if !strings.HasSuffix(r.Reason, ".") || r.Plan.Model != r.Model.Name {
				t.Errorf("%s: %s because %q", name, r.Model.Name, r.Reason)
			}
		}
		kinds := []catalogue.Kind{list[len(list)-2].Model.Kind, list[len(list)-1].Model.Kind}
		if !slices.Equal(kinds, []catalogue.Kind{catalogue.KindVision, catalogue.KindEmbedding}) {
			t.Errorf("%s: the last are %v", name, kinds)
		}
	}
}

func verdicts(list []Recommendation) map[string]Verdict {
	all := make(map[string]Verdict)
	for _, r := range list {
		all[r.Model.Name] = r.Verdict
	}
	return all
}

func TestWhyAModelIsNotRecommended(t *testing.T) {
	slow := machines["server of 512 GB"]
	slow.RAMBandwidth = 3e9
	got := verdicts(recommend(t, slow))
	if got["qwen3-235b-a22b"] != VerdictSlow || got["qwen3-0.6b"] != VerdictBest || got["qwen3-1.7b"] != VerdictNext {
		t.Errorf("with slow memory: %v", got)
	}
	slow.RAMBandwidth = 1e8
	if list := recommend(t, slow); list[0].Model.Name != "qwen3-0.6b" || list[0].Verdict != VerdictBest {
		t.Errorf("where all are slow: %s is %s", list[0].Model.Name, list[0].Verdict)
	}
	full := machines["server of 512 GB"]
	full.DiskFree = 10 * gib
	if got := verdicts(recommend(t, full)); got["qwen3-235b-a22b"] != VerdictNoDisk || got["qwen3-14b"] != VerdictBest {
		t.Errorf("with a full disk: %v", got)
	}
	list := recommend(t, Machine{RAMAvailable: gib})
	if list[0].Model.Name != "qwen3-0.6b" || list[0].Verdict != VerdictNext || !strings.Contains(list[0].Reason, "It needs") {
		t.Errorf("where nothing fits: %s is %s: %s", list[0].Model.Name, list[0].Verdict, list[0].Reason)
	}
}

func TestReasonsHaveTheNumbers(t *testing.T) {
	for name, want := range map[string][]string{
		"laptop with 8 GB":    {"3.6 GiB", "8192 tokens", "on the CPU", "(estimated)"},
		"PC with 16 GB and 8": {"of 41 layers on GPU A"},
		"PC with a 24 GB GPU": {"all on GPU B"},
	} {
		reason := recommend(t, machines[name])[0].Reason
		for _, w := range want {
			if !strings.Contains(reason, w) {
				t.Errorf("%s: %q lacks %q", name, reason, w)
			}
		}
	}
	unknown := machines["PC with a 24 GB GPU"]
	unknown.Devices = []Device{{Name: "GPU C", VRAMFree: 24 * gib}}
	if reason := recommend(t, unknown)[0].Reason; !strings.Contains(reason, "its speed is not known") {
		t.Errorf("a GPU of unknown speed: %q", reason)
	}
}
