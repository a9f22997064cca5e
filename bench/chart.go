package bench

import (
	"bytes"
	"fmt"
	"html"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/jeantrail/jeantrail-ai"
)

// The chart's measures, in SVG's pixels.
const (
	chartWidth  = 960
	chartHeight = 440
	chartTop    = 116 // of the plots: room for title, legend and captions
	chartBottom = 372
	chartEdge   = 24 // at the left and the right
	axisRoom    = 60 // left of a plot, for its numbers
	panelGap    = 32
	chartTicks  = 5  // at most, above zero
	legendRoom  = 56 // runes of a name
)

// chartStyle has the colours, for light and dark surroundings. The two reports
// also differ in the shape of their marks and the dashes of their lines, so that
// they can be told apart without colours.
const chartStyle = `<style>
.back{fill:#fff}.ink{fill:#1f2430}.faint{fill:#5b6472}.grid{stroke:#e5e7eb}.axis{stroke:#6b7280}
.a{fill:#2f6fde}.b{fill:#b4540a}.la{stroke:#2f6fde}.lb{stroke:#b4540a;stroke-dasharray:6 4}.wa{stroke:#2f6fde}.wb{stroke:#b4540a}
.la,.lb{fill:none;stroke-width:2}.wa,.wb{stroke-width:1.2;opacity:.6}
@media (prefers-color-scheme:dark){
.back{fill:#14171d}.ink{fill:#e6e9ef}.faint{fill:#a2abba}.grid{stroke:#2b313c}.axis{stroke:#7d8797}
.a{fill:#7aa7f7}.b{fill:#f0a35e}.la,.wa{stroke:#7aa7f7}.lb,.wb{stroke:#f0a35e}
}
</style>
`

const chartFont = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

// point is one measurement of a line.
type point struct {
	streams int
	value   float64
	high    float64 // 95th percentile, where there is one
}

// panel is one of the plots side by side.
type panel struct {
	caption string
	unit    string
	lines   [][]point // one for each report
	left    float64   // of the plot, and its width
	width   float64
}

// Chart draws the speed of all streams together, and the time to the first
// token, over the number of streams: SVG of 960 by 440, for one report or for
// two. The error is not_found if they have no test of streams side by side.
func Chart(reports ...*Report) ([]byte, error) {
	if len(reports) < 1 || len(reports) > 2 {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "bench: a chart is of one or two reports, not %d", len(reports))
	}
	speeds := panel{caption: "All streams together, tokens per second", unit: "tokens/s"}
	firsts := panel{caption: "Time to the first token, ms (median, and up to the 95th percentile)", unit: "ms"}
	for _, r := range reports {
		speeds.lines = append(speeds.lines, r.line(speed, func(f *Figure) point { return point{value: f.Mean} }))
		firsts.lines = append(firsts.lines, r.line(first, func(f *Figure) point { return point{value: f.P50, high: f.P95} }))
	}
	panels := slices.DeleteFunc([]panel{speeds, firsts}, func(p panel) bool { return len(slices.Concat(p.lines...)) == 0 })
	if len(panels) == 0 {
		return nil, jeantrail.Errorf(jeantrail.CodeNotFound, "bench: nothing was measured of streams side by side, so there is nothing to draw").
			WithHint("Measure some with: jeantrail-ai bench engine, or bench http.")
	}
	streams := streamsOf(panels)
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" role="img" font-family="%s" font-size="12">`+"\n",
		chartWidth, chartHeight, chartFont)
	b.WriteString("<title>Throughput and time to the first token over streams</title>\n" + chartStyle)
	fmt.Fprintf(&b, `<rect class="back" width="%d" height="%d"/>`+"\n", chartWidth, chartHeight)
	drawHead(&b, reports)
	each := float64(chartWidth-2*chartEdge-panelGap*(len(panels)-1)) / float64(len(panels))
	for i := range panels {
		panels[i].left = chartEdge + float64(i)*(each+panelGap) + axisRoom
		panels[i].width = each - axisRoom
		panels[i].draw(&b, streams)
	}
	b.WriteString("</svg>\n")
	return b.Bytes(), nil
}

// line is a figure of the tests that are run with several numbers of streams,
// in their order.
func (r *Report) line(of func(*Row) *Figure, pointOf func(*Figure) point) []point {
	var line []point
	for i := range r.Rows {
		row := &r.Rows[i]
		side := row.Test == testLoad || r.Kind == KindBatched && row.GenTokens > 0
		if f := of(row); side && f != nil && row.Streams > 0 {
			p := pointOf(f)
			p.streams = row.Streams
			line = append(line, p)
		}
	}
	slices.SortStableFunc(line, func(a, b point) int { return a.streams - b.streams })
	return line
}

// streamsOf lists the numbers of streams that any line has.
func streamsOf(panels []panel) []int {
	var streams []int
	for _, p := range panels {
		for _, line := range p.lines {
			for _, pt := range line {
				streams = append(streams, pt.streams)
			}
		}
	}
	slices.Sort(streams)
	return slices.Compact(streams)
}

// drawHead draws the title and the names of the reports.
func drawHead(b *bytes.Buffer, reports []*Report) {
	fmt.Fprintf(b, `<text class="ink" x="%d" y="36" font-size="18" font-weight="600">Throughput and first token over streams</text>`+"\n", chartEdge)
	for i, r := range reports {
		y := 58 + 18*i
		letter := string(rune('a' + i))
		mark(b, letter, chartEdge+14, float64(y)-4, "")
		fmt.Fprintf(b, `<path class="l%s" d="M%d %dh28"/>`+"\n", letter, chartEdge, y-4)
		fmt.Fprintf(b, `<text class="ink" x="%d" y="%d" font-size="13">%s</text>`+"\n", chartEdge+38, y, html.EscapeString(legend(r)))
	}
}

// legend names a report: its kind, model, server and day.
func legend(r *Report) string {
	name := nameOf(r)
	about := name.About
	if about == "" {
		about = "an unnamed model"
	}
	if runes := []rune(about); len(runes) > legendRoom {
		about = string(runes[:legendRoom-1]) + "…"
	}
	return fmt.Sprintf("%s, bench %s of %s", about, name.Kind, r.CreatedAt.UTC().Format("2 Jan 2006 15:04"))
}

// mark draws a report's sign: a disc for the first, a square for the second.
func mark(b *bytes.Buffer, letter string, x, y float64, title string) {
	if title != "" {
		title = "<title>" + html.EscapeString(title) + "</title>"
	}
	if letter == "a" {
		fmt.Fprintf(b, `<circle class="a" cx="%.1f" cy="%.1f" r="4">%s</circle>`+"\n", x, y, title)
		return
	}
	fmt.Fprintf(b, `<rect class="b" x="%.1f" y="%.1f" width="8" height="8">%s</rect>`+"\n", x-4, y-4, title)
}

func (p *panel) draw(b *bytes.Buffer, streams []int) {
	most := 0.0
	for _, line := range p.lines {
		for _, pt := range line {
			most = max(most, pt.value, pt.high)
		}
	}
	step, ticks := scale(most)
	fmt.Fprintf(b, `<text class="ink" x="%.1f" y="%d" font-size="13">%s</text>`+"\n", p.left-axisRoom, chartTop-14, p.caption)
	for i := range ticks + 1 {
		class, y := "grid", chartBottom-float64(chartBottom-chartTop)*float64(i)/float64(ticks)
		if i == 0 {
			class = "axis"
		}
		fmt.Fprintf(b, `<path class="%s" d="M%.1f %.1fh%.1f"/>`+"\n", class, p.left, y, p.width)
		fmt.Fprintf(b, `<text class="faint" x="%.1f" y="%.1f" text-anchor="end">%s</text>`+"\n", p.left-8, y+4, tick(step*float64(i)))
	}
	for _, n := range streams {
		fmt.Fprintf(b, `<text class="faint" x="%.1f" y="%d" text-anchor="middle">%d</text>`+"\n", p.x(n, streams), chartBottom+20, n)
	}
	fmt.Fprintf(b, `<text class="faint" x="%.1f" y="%d" text-anchor="middle">streams at once</text>`+"\n", p.left+p.width/2, chartBottom+42)
	for i, line := range p.lines {
		p.drawLine(b, string(rune('a'+i)), line, streams, step*float64(ticks))
	}
}

func (p *panel) drawLine(b *bytes.Buffer, letter string, line []point, streams []int, top float64) {
	y := func(v float64) float64 { return chartBottom - (chartBottom-chartTop)*v/top }
	var path strings.Builder
	for i, pt := range line {
		command := "L"
		if i == 0 {
			command = "M"
		}
		x := p.x(pt.streams, streams)
		fmt.Fprintf(&path, "%s%.1f %.1f", command, x, y(pt.value))
		if pt.high > pt.value {
			fmt.Fprintf(b, `<path class="w%s" d="M%.1f %.1fV%.1fm-4 0h8"/>`+"\n", letter, x, y(pt.value), y(pt.high))
		}
	}
	if len(line) > 1 {
		fmt.Fprintf(b, `<path class="l%s" d="%s"/>`+"\n", letter, path.String())
	}
	for _, pt := range line {
		title := fmt.Sprintf("%d streams: %s %s", pt.streams, short(pt.value), p.unit)
		if pt.high > 0 {
			title += fmt.Sprintf(", 95th percentile %s", short(pt.high))
		}
		mark(b, letter, p.x(pt.streams, streams), y(pt.value), title)
	}
}

// x is where a number of streams stands: doubling it goes equally far each time.
func (p *panel) x(n int, streams []int) float64 {
	low, high := math.Log2(float64(streams[0])), math.Log2(float64(streams[len(streams)-1]))
	const margin = 20 // at both ends, for the marks
	if low == high {
		return p.left + p.width/2
	}
	return p.left + margin + (p.width-2*margin)*(math.Log2(float64(n))-low)/(high-low)
}

// scale divides the axis: the smallest 1, 2 or 5 times a power of ten with which
// at most chartTicks steps reach the value.
func scale(most float64) (step float64, ticks int) {
	if most <= 0 {
		return 1, 1
	}
	for power := math.Pow(10, math.Floor(math.Log10(most))-1); ; power *= 10 {
		for _, factor := range []float64{1, 2, 5} {
			if n := math.Ceil(most/(factor*power) - 1e-9); n <= chartTicks {
				return factor * power, int(n)
			}
		}
	}
}

// tick writes a number of the axis without what adding up left over.
func tick(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }
