package main

import "testing"

func TestPlanKV(t *testing.T) {
	const gib = 1 << 30
	for _, c := range []struct {
		name                 string
		layout               string
		slots, nCtx, trained int
		perToken, memory     int64
		want                 kvPlan
	}{
		{"streams fit", "auto", 8, 0, 40960, 112 << 10, 24 * gib, kvPlan{8, 4096, 32768, false}},
		{"a short-lived model keeps its own length", "auto", 8, 0, 1024, 6 << 10, 24 * gib, kvPlan{8, 1024, 8192, false}},
		{"too long for streams", "auto", 8, 32768, 40960, 112 << 10, 24 * gib, kvPlan{8, 32768, 37376, true}},
		{"one conversation is always whole", "auto", 8, 32768, 40960, 144 << 10, 4 * gib, kvPlan{8, 32768, 32768, true}},
		{"unified because asked for", "unified", 4, 1000, 40960, 1 << 10, 24 * gib, kvPlan{4, 1024, 4096, true}},
		{"streams because asked for", "streams", 8, 32768, 40960, 112 << 10, 24 * gib, kvPlan{8, 32768, 262144, false}},
	} {
		if got := planKV(c.layout, c.slots, c.nCtx, c.trained, c.perToken, c.memory); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
}
