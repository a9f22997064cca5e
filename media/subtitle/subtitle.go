package subtitle

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// The media types of what SRT and VTT return.
const (
	TypeSRT = "application/x-subrip"
	TypeVTT = "text/vtt"
)

// shortest is how long a caption is shown at least: a player drops one that
// ends when it begins.
const shortest = time.Millisecond

// caption is a segment as it can be shown.
type caption struct {
	start, end time.Duration // in whole milliseconds
	text       string        // lines, none of them empty
}

// captions returns the segments that have text, in the order of their times.
func captions(segments []jeantrail.TranscriptSegment) []caption {
	var all []caption
	for _, s := range segments {
		c := caption{start: max(s.Start, 0).Round(time.Millisecond), text: lines(s.Text)}
		if c.end = max(s.End.Round(time.Millisecond), c.start+shortest); c.text != "" {
			all = append(all, c)
		}
	}
	slices.SortStableFunc(all, func(a, b caption) int { return int((a.start - b.start).Milliseconds()) })
	return all
}

// lines returns the text without empty lines, which would end a caption, and
// without control characters.
func lines(text string) string {
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u2028", "\n", "\u2029", "\n", "\v", "\n", "\f", "\n").Replace(strings.ToValidUTF8(text, "\uFFFD"))
	var kept []string
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.Map(func(r rune) rune {
			if r < ' ' && r != '\t' || r == 0x7F {
				return -1
			}
			return r
		}, line)
		if line = strings.TrimSpace(line); line != "" {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

// clock returns a time with its milliseconds after the separator.
func clock(d time.Duration, separator byte) string {
	ms := d.Milliseconds()
	return fmt.Sprintf("%02d:%02d:%02d%c%03d", ms/3_600_000, ms/60_000%60, ms/1000%60, separator, ms%1000)
}

// SRT returns the segments as SubRip. Captions must not overlap there: one ends
// at the latest when the next begins, unless both begin at once. SubRip has no
// way to write an arrow "-->" within the text, so it becomes "-- >".
func SRT(segments []jeantrail.TranscriptSegment) []byte {
	var b bytes.Buffer
	all := captions(segments)
	for i, c := range all {
		if i+1 < len(all) && all[i+1].start > c.start {
			c.end = min(c.end, all[i+1].start)
		}
		fmt.Fprintf(&b, "%d\n%s --> %s\n%s\n\n", i+1, clock(c.start, ','), clock(c.end, ','), strings.ReplaceAll(c.text, "-->", "-- >"))
	}
	return b.Bytes()
}

// escaped writes text as WebVTT reads it.
var escaped = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// VTT returns the segments as WebVTT.
func VTT(segments []jeantrail.TranscriptSegment) []byte {
	b := bytes.NewBufferString("WEBVTT\n")
	for _, c := range captions(segments) {
		fmt.Fprintf(b, "\n%s --> %s\n%s\n", clock(c.start, '.'), clock(c.end, '.'), escaped.Replace(c.text))
	}
	return b.Bytes()
}

// Text returns what the segments say, each on lines of its own, in the order in
// which they stand.
func Text(segments []jeantrail.TranscriptSegment) string {
	var all []string
	for _, s := range segments {
		if text := lines(s.Text); text != "" {
			all = append(all, text)
		}
	}
	return strings.Join(all, "\n")
}
