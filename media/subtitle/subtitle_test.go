package subtitle

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

func segment(start, end time.Duration, text string) jeantrail.TranscriptSegment {
	return jeantrail.TranscriptSegment{Start: start, End: end, Text: text}
}

var cases = map[string][]jeantrail.TranscriptSegment{
	"empty": nil,
	"plain": {
		segment(0, 3200*time.Millisecond, " The lighthouse stands at the end of the pier."),
		segment(3200*time.Millisecond, 5*time.Second, " Its light turns all night.\n"),
	},
	"awkward": {
		segment(-time.Second, 1500*time.Millisecond, "begins before the beginning"),
		segment(2*time.Second, 3*time.Second, "  \r\n\t "),
		segment(2*time.Second, 3*time.Second, "1\r\n\r\n00:00:09,000 --> 00:00:10,000\r\nin <b>bold</b> & plain\x00"),
		segment(4*time.Second, 4*time.Second, "no time at all"),
		segment(9*time.Second, 8*time.Second, "ends before it begins"),
	},
	"overlapping": {
		segment(2500*time.Millisecond, 6*time.Second, "third"),
		segment(0, 3*time.Second, "first"),
		segment(2*time.Second, 4*time.Second, "second\nof two lines"),
		segment(2500*time.Millisecond, 5*time.Second, "together with the third"),
	},
	"long": {
		segment(time.Hour-400*time.Microsecond, time.Hour+61*time.Second+5*time.Millisecond, "après une heure: ça va"),
		segment(100*time.Hour, 101*time.Hour, "最後"),
	},
}

func TestGolden(t *testing.T) {
	for name, segments := range cases {
		for ending, got := range map[string][]byte{".srt": SRT(segments), ".vtt": VTT(segments), ".txt": []byte(Text(segments))} {
			want, err := os.ReadFile(filepath.Join("testdata", name+ending))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s%s is\n%s\nwant\n%s", name, ending, got, want)
			}
		}
	}
}

// Whatever the text is, there are as many captions as segments that have some.
func TestTextMakesNoCaptions(t *testing.T) {
	for _, text := range []string{"a\n\nb", "a\r\rb", "a\u2028\u2028b", "a\n \n\t\nb", "-->", "a\x0b\x0cb", "00:00:00.000 --> 00:00:01.000", "a\xff\n\n\xff"} {
		segments := []jeantrail.TranscriptSegment{segment(0, time.Second, text), segment(time.Second, 2*time.Second, "end")}
		for name, out := range map[string]string{"SRT": string(SRT(segments)), "VTT": string(VTT(segments))} {
			if n := strings.Count(out, " --> "); n != 2 {
				t.Errorf("%s of %q has %d times, want 2:\n%s", name, text, n, out)
			}
			body := strings.TrimPrefix(strings.TrimSpace(out), "WEBVTT\n\n")
			if n := len(strings.Split(body, "\n\n")); n != 2 {
				t.Errorf("%s of %q has %d captions, want 2:\n%s", name, text, n, out)
			}
		}
	}
}
