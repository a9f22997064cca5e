package main

import (
	"bytes"
	"fmt"
	"html"
	"strings"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// The chart's measures, in SVG's pixels.
const (
	chartWidth     = 960
	chartHeight    = 420
	chartLeft      = 84 // of the plot: room for amounts
	chartRight     = 936
	chartTop       = 84 // room for the title
	chartBottom    = 364
	chartTicks     = 5  // at most, above zero
	chartDays      = 12 // at most, that are named
	widestBar      = 56.0
	roundestBar    = 3.0
	barShare       = 0.72 // of a day's width
	chartInk       = "#1f2430"
	chartFaint     = "#6b7280"
	chartGrid      = "#e5e7eb"
	chartFill      = "#2f6fde"
	chartBack      = "#ffffff"
	chartFont      = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
	maxPlottedDays = 400
)

// dayChart draws what each day cost as an SVG bar chart. about says what the
// days are restricted to.
func dayChart(days []costRow, total *costRow, about string) ([]byte, error) {
	if len(days) == 0 {
		return nil, jeantrail.Errorf(jeantrail.CodeNotFound, "no job ended in that time, so there is nothing to draw").
			WithHint("See which days have jobs: jeantrail-ai cost")
	}
	most := jeantrail.Money(0)
	for i := range days {
		most = max(most, days[i].Amount)
	}
	step, ticks := amountScale(most)
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" role="img" font-family="%s" font-size="12">`+"\n",
		chartWidth, chartHeight, chartFont)
	drawTitle(&b, days, total, about)
	drawAmounts(&b, step, ticks)
	drawDays(&b, days, float64(step)*float64(ticks))
	b.WriteString("</svg>\n")
	return b.Bytes(), nil
}

func drawTitle(b *bytes.Buffer, days []costRow, total *costRow, about string) {
	span := days[0].Key
	if last := days[len(days)-1].Key; last != span {
		span += " to " + last
	}
	title := "Cost per day"
	if about != "" {
		title += ", " + about
	}
	jobs := fmt.Sprintf("%d jobs", total.Requests)
	if total.Requests == 1 {
		jobs = "1 job"
	}
	fmt.Fprintf(b, "<title>%s, %s</title>\n", html.EscapeString(title), span)
	fmt.Fprintf(b, `<rect width="%d" height="%d" fill="%s"/>`+"\n", chartWidth, chartHeight, chartBack)
	fmt.Fprintf(b, `<text x="24" y="36" font-size="18" font-weight="600" fill="%s">%s</text>`+"\n", chartInk, html.EscapeString(title))
	fmt.Fprintf(b, `<text x="24" y="58" font-size="13" fill="%s">%s (UTC) · %s in %s</text>`+"\n", chartFaint, span, amount(total.Amount), jobs)
}

// amountScale divides the axis: the smallest 1, 2 or 5 times a power of ten with
// which at most chartTicks steps reach the amount. It counts beyond what Money
// can, because the last step may.
func amountScale(most jeantrail.Money) (step uint64, ticks int) {
	if most <= 0 {
		return jeantrail.MicrosPerUSD / 100, 1 // all was free; the axis ends at a cent
	}
	amount := uint64(most)
	for power := uint64(1); ; power *= 10 {
		for _, step := range []uint64{power, 2 * power, 5 * power} {
			if n := (amount + step - 1) / step; n <= chartTicks {
				return step, int(n)
			}
		}
	}
}

// tickText writes an amount of the axis in dollars, with as many decimals as a
// step of it needs, and at least two where it has any.
func tickText(amount, step uint64) string {
	whole, fraction := amount/jeantrail.MicrosPerUSD, fmt.Sprintf("%06d", amount%jeantrail.MicrosPerUSD)
	decimals := len(strings.TrimRight(fmt.Sprintf("%06d", step%jeantrail.MicrosPerUSD), "0"))
	if decimals == 0 {
		return fmt.Sprintf("$%d", whole)
	}
	return fmt.Sprintf("$%d.%s", whole, fraction[:max(2, decimals)])
}

func drawAmounts(b *bytes.Buffer, step uint64, ticks int) {
	for i := range ticks + 1 {
		y := chartBottom - float64(chartBottom-chartTop)*float64(i)/float64(ticks)
		colour := chartGrid
		if i == 0 {
			colour = chartFaint
		}
		fmt.Fprintf(b, `<path d="M%d %.1fH%d" stroke="%s"/>`+"\n", chartLeft, y, chartRight, colour)
		fmt.Fprintf(b, `<text x="%d" y="%.1f" text-anchor="end" fill="%s">%s</text>`+"\n", chartLeft-10, y+4, chartFaint, tickText(step*uint64(i), step))
	}
}

// drawDays draws the bars, each with its figures for who points at it, and names
// some of the days.
func drawDays(b *bytes.Buffer, days []costRow, top float64) {
	width := float64(chartRight-chartLeft) / float64(len(days))
	thick := min(widestBar, width*barShare)
	every := (len(days) + chartDays - 1) / chartDays
	for i := range days {
		day := &days[i]
		middle := chartLeft + width*(float64(i)+0.5)
		if high := float64(day.Amount) / top * (chartBottom - chartTop); day.Amount > 0 {
			high = max(high, 1) // what is more than nothing shows
			fmt.Fprintf(b, `<path d="%s" fill="%s"><title>%s: %s in %d jobs</title></path>`+"\n",
				barPath(middle-thick/2, chartBottom-high, thick, high), chartFill, day.Key, amount(day.Amount), day.Requests)
		}
		if i%every == 0 {
			fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle" fill="%s">%s</text>`+"\n", middle, chartBottom+22, chartFaint, dayName(day.Key))
		}
	}
}

// barPath is a bar that stands on the axis, with its upper corners rounded.
func barPath(x, y, width, height float64) string {
	r := min(roundestBar, width/2, height)
	return fmt.Sprintf("M%.2f %.2fV%.2fQ%.2f %.2f %.2f %.2fH%.2fQ%.2f %.2f %.2f %.2fV%.2fZ",
		x, y+height, y+r, // up the left side
		x, y, x+r, y, x+width-r, // round the corner, along the top
		x+width, y, x+width, y+r, y+height) // round the other corner, and down
}

// dayName writes a day as short as an axis has room for.
func dayName(key string) string {
	t, err := time.Parse(time.DateOnly, key)
	if err != nil {
		return key
	}
	return t.Format("2 Jan")
}
