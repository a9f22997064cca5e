package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/internal/golden"
)

// someDays are January, with days without a job and one that was free.
func someDays() *costReport {
	report := &costReport{GroupBy: jeantrail.GroupDay}
	for d := 1; d <= 31; d++ {
		if d%7 == 4 {
			continue
		}
		row := costRow{
			Key: fmt.Sprintf("2026-01-%02d", d), Requests: int64(10 + d*d%17), Failures: int64(d % 3), PromptTokens: int64(900 + 31*d),
			CompletionTokens: int64(2500 - 40*d), Amount: jeantrail.Money(40_000 + d*d*d%97*9_500),
		}
		if d == 12 {
			row.Amount = 0
		}
		report.Rows = append(report.Rows, row)
		report.Total.Requests += row.Requests
		report.Total.PromptTokens += row.PromptTokens
		report.Total.CompletionTokens += row.CompletionTokens
		report.Total.Amount = report.Total.Amount.Add(row.Amount)
	}
	return report
}

func TestCostTable(t *testing.T) {
	report := someDays()
	report.Rows = report.Rows[:6]
	report.Rows[1].Amount = 1
	var wide, narrow bytes.Buffer
	printCosts(&wide, report, 100)
	golden.Check(t, "cost-table.golden", wide.Bytes())
	printCosts(&narrow, report, 20)
	for line := range strings.Lines(wide.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 100 {
			t.Errorf("a line has %d columns: %s", n, line)
		}
	}
	if strings.Contains(narrow.String(), "█") || !strings.Contains(narrow.String(), "$0.000001") {
		t.Errorf("where there is no room:\n%s", narrow.String())
	}
	report = &costReport{GroupBy: jeantrail.GroupUser, Rows: []costRow{{Key: "a\x1b[2Jb"}, {Key: ""}}, Total: costRow{Images: 1, AudioIn: 2.25}}
	var users bytes.Buffer
	printCosts(&users, report, 80)
	if out := users.String(); strings.Contains(out, "\x1b") || !strings.Contains(out, `"a\x1b[2Jb"`) || !strings.Contains(out, "IMAGES") || !strings.Contains(out, "2.2s") {
		t.Errorf("users:\n%s", out)
	}
}

func TestCostCSV(t *testing.T) {
	var out bytes.Buffer
	report := &costReport{GroupBy: jeantrail.GroupUser, Rows: []costRow{
		{Key: `a,"b"`, Requests: 3, Failures: 1, Cancellations: 2, Interruptions: 4, CacheHits: 5, PromptTokens: 6, CachedTokens: 7,
			CompletionTokens: 8, Images: 9, AudioIn: 1.5, AudioOut: 0.125, Amount: 1_000_001},
	}}
	if err := writeCostCSV(&out, report); err != nil {
		t.Fatal(err)
	}
	want := "user,requests,failures,cancellations,interruptions,cache_hits,prompt_tokens,cached_tokens,completion_tokens,images,audio_input_seconds,audio_output_seconds,amount_micros,usd\n" +
		`"a,""b""",3,1,2,4,5,6,7,8,9,1.5,0.125,1000001,1.000001` + "\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
	if err := writeCostCSV(failingWriter{}, report); err == nil {
		t.Error("a full disk is not noticed")
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errors.New("no room") }

func TestFillDays(t *testing.T) {
	rows := []costRow{{Key: "2024-02-27", Amount: 1}, {Key: "2024-03-02", Amount: 2}}
	filled, err := fillDays(rows, 5)
	if err != nil || len(filled) != 5 {
		t.Fatalf("%v, %v", filled, err)
	}
	var keys []string
	sum := jeantrail.Money(0)
	for _, row := range filled {
		keys, sum = append(keys, row.Key), sum+row.Amount
	}
	if fmt.Sprint(keys) != "[2024-02-27 2024-02-28 2024-02-29 2024-03-01 2024-03-02]" || sum != 3 {
		t.Errorf("%v, sum %d", keys, sum)
	}
	if _, err := fillDays(rows, 4); jeantrail.CodeOf(err) != jeantrail.CodeInvalid {
		t.Errorf("too many days: %v", err)
	}
	if _, err := fillDays([]costRow{{Key: "today"}}, 4); err == nil {
		t.Error("a key that is no day is taken")
	}
	if filled, err := fillDays(nil, 4); filled != nil || err != nil {
		t.Errorf("no days: %v, %v", filled, err)
	}
}

// A bar is as long as its amount says, within its room, and never nothing for
// something.
func TestBar(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := jeantrail.Money(rapid.Int64Range(1, math.MaxInt64).Draw(t, "most"))
		one := jeantrail.Money(rapid.Int64Range(0, int64(most)).Draw(t, "one"))
		other := jeantrail.Money(rapid.Int64Range(0, int64(one)).Draw(t, "other"))
		room := rapid.IntRange(-5, 200).Draw(t, "room")
		length := func(m jeantrail.Money) int { return utf8.RuneCountInString(bar(m, most, room)) }
		if n := length(one); n > max(0, room-2) || n < length(other) || room >= 6 && (n == 0) != (one == 0) {
			t.Fatalf("%d of %d in %d columns has %d, %d has %d", one, most, room, n, other, length(other))
		}
		if n := length(most); room >= 6 && n != room-2 {
			t.Fatalf("the largest has %d columns of %d", n, room)
		}
	})
}

// The axis reaches the amount in few steps that people count in.
func TestAmountScale(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := jeantrail.Money(rapid.Int64Range(1, math.MaxInt64).Draw(t, "most"))
		step, ticks := amountScale(most)
		digits := strings.TrimRight(fmt.Sprint(step), "0")
		if digits != "1" && digits != "2" && digits != "5" || ticks < 1 || ticks > chartTicks ||
			step*uint64(ticks) < uint64(most) || step*uint64(ticks-1) >= uint64(most) {
			t.Fatalf("%d is reached in %d steps of %d", most, ticks, step)
		}
	})
	for _, tt := range []struct {
		amount, step uint64
		want         string
	}{
		{0, 1_000_000, "$0"}, {3_000_000, 1_000_000, "$3"}, {500_000, 500_000, "$0.50"}, {10_000, 10_000, "$0.01"}, {6, 2, "$0.000006"},
		{1_500_000, 500_000, "$1.50"}, {2_000, 500, "$0.0020"},
	} {
		if got := tickText(tt.amount, tt.step); got != tt.want {
			t.Errorf("%d in steps of %d is %s, want %s", tt.amount, tt.step, got, tt.want)
		}
	}
}

func TestDayChart(t *testing.T) {
	report := someDays()
	days, err := fillDays(report.Rows, maxPlottedDays)
	if err != nil {
		t.Fatal(err)
	}
	chart, err := dayChart(days, &report.Total, `user <&"x`)
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "cost-chart.svg", chart)
	charts := map[string][]byte{"january": chart}
	for name, rows := range map[string][]costRow{
		"one day": {{Key: "2026-01-01", Requests: 1, Amount: 5}}, "a free day": {{Key: "2026-01-01"}}, "all that can be": {{Key: "2026-01-01", Amount: jeantrail.MaxMoney}},
		"a year": make([]costRow, maxPlottedDays),
	} {
		for i := range rows {
			if rows[i].Key == "" {
				rows[i] = costRow{Key: time.Date(2026, 1, 1+i, 0, 0, 0, 0, time.UTC).Format(time.DateOnly), Amount: jeantrail.Money(i)}
			}
		}
		if charts[name], err = dayChart(rows, &rows[0], ""); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	for name, chart := range charts {
		bars, dec := 0, xml.NewDecoder(bytes.NewReader(chart))
		for {
			token, err := dec.Token()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%s is not XML: %v", name, err)
			}
			if e, ok := token.(xml.StartElement); ok && e.Name.Local == "path" && strings.HasSuffix(attribute(e, "d"), "Z") {
				bars++
			}
		}
		if strings.Contains(string(chart), "NaN") || strings.Contains(string(chart), "Inf") || strings.Contains(string(chart), "%!") {
			t.Errorf("%s has a figure that is none:\n%s", name, chart)
		}
		if want := map[string]int{"january": 26, "one day": 1, "a free day": 0, "all that can be": 1, "a year": maxPlottedDays - 1}[name]; bars != want {
			t.Errorf("%s has %d bars, want %d", name, bars, want)
		}
	}
	if _, err := dayChart(nil, &costRow{}, ""); jeantrail.CodeOf(err) != jeantrail.CodeNotFound {
		t.Errorf("nothing to draw: %v", err)
	}
}

func attribute(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

func TestAmount(t *testing.T) {
	for m, want := range map[jeantrail.Money]string{
		0: "$0.00", 10_000_000: "$10.00", 1: "$0.000001", 36_000: "$0.036", 1_500_000: "$1.50", jeantrail.MaxMoney: "$9223372036854.775807",
	} {
		if got := amount(m); got != want {
			t.Errorf("%d is %s, want %s", m, got, want)
		}
	}
}

func TestWholeCents(t *testing.T) {
	for text, want := range map[string]int64{"10.00": 1000, "$10": 1000, "0": 0, "0.01": 1, " 2.5 ": 250, "12.340000": 1234} {
		if got, err := wholeCents(text); err != nil || got != want {
			t.Errorf("%q is %d cents, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "x", "-1", "0.001", "1,5", "1e3", "99999999999999"} {
		if got, err := wholeCents(text); exitCode(err) != exitUsage {
			t.Errorf("%q is %d cents, %v", text, got, err)
		}
	}
}
