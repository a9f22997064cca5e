package bench

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/jeantrail/jeantrail-ai"
)

func chart(t *testing.T, reports ...*Report) string {
	t.Helper()
	svg, err := Chart(reports...)
	if err != nil {
		t.Fatal(err)
	}
	for d := xml.NewDecoder(strings.NewReader(string(svg))); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return string(svg)
		} else if err != nil {
			t.Fatalf("this is not XML: %v\n%s", err, svg)
		}
	}
}

func TestChart(t *testing.T) {
	a, b := loadReport(1), loadReport(1.3)
	b.Settings = Settings{URL: "http://127.0.0.1:11434", API: APIOllama}
	golden(t, "chart-one.svg", []byte(chart(t, a)))
	golden(t, "chart-two.svg", []byte(chart(t, a, b)))
}

func TestChartOfWhatThereIs(t *testing.T) {
	a := loadReport(1)
	a.Rows = a.Rows[2:3] // one point: no line, in the middle
	if svg := chart(t, a); strings.Count(svg, "<circle") != 3 || strings.Contains(svg, `d="M0`) || !strings.Contains(svg, "8 streams: ") {
		t.Errorf("one point:\n%s", svg)
	}
	batched := rawReport()
	batched.Kind = KindBatched
	batched.Rows = append(batched.Rows, Row{Test: "tg128", Streams: 4, GenTokens: 128, Speed: figureOfEach([]float64{0})})
	if svg := chart(t, batched); strings.Contains(svg, "first token, ms") || strings.Count(svg, "<circle") != 3 {
		t.Errorf("without times to the first token:\n%s", svg)
	}
	if _, err := Chart(rawReport()); jeantrail.CodeOf(err) != jeantrail.CodeNotFound {
		t.Errorf("nothing to draw: %v", err)
	}
	for _, reports := range [][]*Report{nil, {a, a, a}} {
		if _, err := Chart(reports...); jeantrail.CodeOf(err) != jeantrail.CodeInvalid {
			t.Errorf("%d reports: %v", len(reports), err)
		}
	}
}

func TestScale(t *testing.T) {
	for most, want := range map[float64]struct {
		step  float64
		ticks int
	}{
		0: {1, 1}, 0.4: {0.1, 4}, 1: {0.2, 5}, 7: {2, 4}, 100: {20, 5}, 101: {50, 3}, 1234: {500, 3},
	} {
		if step, ticks := scale(most); !near(step, want.step) || ticks != want.ticks {
			t.Errorf("up to %v: %d steps of %v", most, ticks, step)
		}
	}
}
