package audio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

func sample(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func identified(t *testing.T, b []byte) Info {
	t.Helper()
	info, err := Identify(bytes.NewReader(b))
	if err != nil {
		t.Fatalf("Identify: %v", err)
	}
	return info
}

func refused(t *testing.T, err error) *jeantrail.Error {
	t.Helper()
	var e *jeantrail.Error
	if !errors.As(err, &e) || e.Code != jeantrail.CodeUnsupportedMedia || !strings.Contains(e.Hint, "ffmpeg") {
		t.Fatalf("error is %v, want unsupported_media with a hint", err)
	}
	return e
}

// near allows for rounding to a sample.
func near(a, b time.Duration) bool { return (a - b).Abs() <= 50*time.Microsecond }

// What a decoder plays of each file. The last packet of fragmented.m4a is said
// to be shorter than it plays.
var played = map[string]Info{
	"tone.flac":      {FLAC, "flac", 16000, 1, 1250 * time.Millisecond},
	"streamed.flac":  {FLAC, "flac", 24000, 2, 900 * time.Millisecond},
	"constant.mp3":   {MP3, "mp3", 24000, 1, 1560 * time.Millisecond},
	"xing.mp3":       {MP3, "mp3", 44100, 1, 1500 * time.Millisecond},
	"tone.ogg":       {Ogg, "vorbis", 16000, 1, 1350 * time.Millisecond},
	"tone.opus":      {Ogg, "opus", 48000, 1, 1300 * time.Millisecond},
	"stereo.opus":    {Ogg, "opus", 48000, 2, 2300 * time.Millisecond},
	"tone.m4a":       {M4A, "aac", 44100, 1, 1400 * time.Millisecond},
	"faststart.m4a":  {M4A, "aac", 16000, 1, 1100 * time.Millisecond},
	"fragmented.m4a": {M4A, "aac", 24000, 2, 1442667 * time.Microsecond},
	"lossless.m4a":   {M4A, "alac", 8000, 1, 800 * time.Millisecond},
	"piped.wav":      {WAV, "pcm", 8000, 1, 700 * time.Millisecond},
}

func TestIdentifyFilesOfOtherPrograms(t *testing.T) {
	for name, want := range played {
		t.Run(name, func(t *testing.T) {
			got := identified(t, sample(t, name))
			if !near(got.Duration, want.Duration) {
				t.Errorf("lasts %v, want %v", got.Duration, want.Duration)
			}
			if f, err := FormatOf(bytes.NewReader(sample(t, name))); f != want.Format || err != nil {
				t.Errorf("FormatOf says %q (%v), want %q", f, err, want.Format)
			}
			if got.Duration = want.Duration; got != want {
				t.Errorf("is %+v, want %+v", got, want)
			}
			if !slices.Contains(Formats(), got.Format) || !strings.HasPrefix(got.Format.MediaType(), "audio/") {
				t.Errorf("the format %q has the media type %q", got.Format, got.Format.MediaType())
			}
		})
	}
}

// wave builds a WAV file: what the fmt chunk holds, chunks before the samples,
// the size that the data chunk says it has, and the samples.
func wave(format []byte, before string, size uint32, data []byte) []byte {
	le := binary.LittleEndian
	b := le.AppendUint32([]byte("RIFF"), uint32(20+len(format)+len(before)+len(data)))
	b = append(le.AppendUint32(append(b, "WAVEfmt "...), uint32(len(format))), format...)
	b = append(b, before...)
	return append(le.AppendUint32(append(b, "data"...), size), data...)
}

// waveFormat builds a fmt chunk whose bytes in a second are wrong.
func waveFormat(code, channels uint16, rate uint32, bits uint16, length int) []byte {
	le := binary.LittleEndian
	b := le.AppendUint16(nil, code)
	b = le.AppendUint16(b, channels)
	b = le.AppendUint32(b, rate)
	b = le.AppendUint32(b, 7)
	b = le.AppendUint16(b, channels*bits/8)
	b = le.AppendUint16(b, bits)
	b = append(b, make([]byte, length-len(b))...)
	if length == 40 {
		le.PutUint16(b[16:], 22)
		le.PutUint16(b, waveExtensible)
		le.PutUint16(b[24:], code)
	}
	return b
}

func TestIdentifyWAV(t *testing.T) {
	second := make([]byte, 32000)
	pcm := waveFormat(wavePCM, 1, 16000, 16, 16)
	list := "LIST\x05\x00\x00\x00INFO!\x00"
	for _, tt := range []struct {
		name  string
		file  []byte
		codec string
		want  time.Duration
	}{
		{"plain", wave(pcm, "", 32000, second), "pcm", time.Second},
		{"fmt of 18", wave(waveFormat(wavePCM, 1, 16000, 16, 18), "", 32000, second), "pcm", time.Second},
		{"extensible", wave(waveFormat(wavePCM, 2, 16000, 24, 40), "", 32000, second), "pcm", 5333 * time.Second / 16000},
		{"chunk of odd size before", wave(pcm, list, 32000, second), "pcm", time.Second},
		{"chunk after", append(wave(pcm, "", 32000, second), list...), "pcm", time.Second},
		{"size 0", wave(pcm, list, 0, second), "pcm", time.Second},
		{"size 0xFFFFFFFF", wave(pcm, list, 0xFFFFFFFF, second), "pcm", time.Second},
		{"size 0x7FFFFFFF", wave(pcm, "", 0x7FFFFFFF, second), "pcm", time.Second},
		{"size larger than the file", wave(pcm, "", 40000, second), "pcm", time.Second},
		{"half a sample at the end", wave(pcm, "", 40000, append(second, 1)), "pcm", time.Second},
		{"float", wave(waveFormat(waveFloat, 2, 8000, 32, 18), "", 32000, second), "float", 500 * time.Millisecond},
		{"A-law", wave(waveFormat(waveALaw, 1, 8000, 8, 18), "", 32000, second), "alaw", 4 * time.Second},
		{"mu-law", wave(waveFormat(waveMuLaw, 2, 8000, 8, 18), "", 32000, second), "mulaw", 2 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := identified(t, tt.file); got.Duration != tt.want || got.Codec != tt.codec || got.Format != WAV {
				t.Errorf("is %+v, want %s of %v", got, tt.codec, tt.want)
			}
		})
	}
}

func TestIdentifyRF64(t *testing.T) {
	le := binary.LittleEndian
	ds64 := le.AppendUint32([]byte("ds64"), 28)
	ds64 = le.AppendUint64(ds64, 0)
	ds64 = le.AppendUint64(ds64, 16000) // half of what is there
	ds64 = append(ds64, make([]byte, 12)...)
	file := wave(waveFormat(wavePCM, 1, 16000, 16, 16), string(ds64), 0xFFFFFFFF, make([]byte, 32000))
	copy(file, "RF64")
	if got := identified(t, file); got.Duration != 500*time.Millisecond {
		t.Errorf("lasts %v, want the 500ms of its ds64 chunk", got.Duration)
	}
}

func TestIdentifyCountsInsteadOfBelieving(t *testing.T) {
	flac := sample(t, "tone.flac")
	binary.BigEndian.PutUint32(flac[8+14:], 1) // the lower bits of the total
	if got := identified(t, flac); !near(got.Duration, 1250*time.Millisecond) {
		t.Errorf("FLAC with a wrong total lasts %v, want 1.25s", got.Duration)
	}
	xing := sample(t, "xing.mp3")
	at := bytes.Index(xing, []byte("Xing"))
	binary.BigEndian.PutUint32(xing[at+8:], 3)
	if got := identified(t, xing); !near(got.Duration, 1500*time.Millisecond) {
		t.Errorf("MP3 with a wrong number of frames lasts %v, want 1.5s", got.Duration)
	}
	for _, position := range []int64{1, math.MaxInt64} {
		for _, name := range []string{"tone.ogg", "tone.opus"} {
			b := sample(t, name)
			binary.LittleEndian.PutUint64(b[bytes.LastIndex(b, []byte(oggMagic))+6:], uint64(position))
			got, want := identified(t, b).Duration, played[name].Duration
			if got < want/8 || got > want*8 {
				t.Errorf("%s with the last position %d lasts %v, want about %v", name, position, got, want)
			}
		}
	}
	m4a := sample(t, "tone.m4a")
	at = bytes.Index(m4a, []byte("stts"))
	binary.BigEndian.PutUint32(m4a[at+12+4:], 1) // units that a packet lasts
	_, err := Identify(bytes.NewReader(m4a))
	refused(t, err)
}

func TestIdentifyDamagedFiles(t *testing.T) {
	for name, want := range played {
		whole := sample(t, name)
		for _, keep := range []int{len(whole) / 2, len(whole) * 9 / 10, len(whole) - 1} {
			got, err := Identify(bytes.NewReader(whole[:keep]))
			if err != nil {
				refused(t, err)
				continue
			}
			if got.Duration > want.Duration+50*time.Millisecond {
				t.Errorf("%d of %d bytes of %s last %v, the whole %v", keep, len(whole), name, got.Duration, want.Duration)
			}
			// The tables of an M4A file may stand before its sound.
			if want.Format != M4A && keep == len(whole)/2 && got.Duration > want.Duration*3/4 {
				t.Errorf("half of %s lasts %v of %v", name, got.Duration, want.Duration)
			}
		}
	}
}

func TestIdentifyTagsAndRubbish(t *testing.T) {
	tag := append([]byte("ID3\x04\x00\x00\x00\x00\x01\x05"), make([]byte, 133)...)
	old := append([]byte("TAG"), make([]byte, 125)...)
	mp3 := sample(t, "constant.mp3")
	middle := 96 * 30 // a frame of 32 kbit/s at 24 kHz has 96 bytes
	for name, tt := range map[string]struct {
		file []byte
		want time.Duration
	}{
		"FLAC after a tag":         {slices.Concat(tag, sample(t, "tone.flac")), 1250 * time.Millisecond},
		"FLAC before an old tag":   {slices.Concat(sample(t, "tone.flac"), old), 1250 * time.Millisecond},
		"MP3 between tags":         {slices.Concat(tag, tag, mp3, old), 1560 * time.Millisecond},
		"MP3 after padding":        {slices.Concat(tag, make([]byte, 1000), mp3), 1560 * time.Millisecond},
		"MP3 with a tag within":    {slices.Concat(mp3[:45+middle], tag, mp3[45+middle:]), 1560 * time.Millisecond},
		"MP3 with rubbish within":  {slices.Concat(mp3[:45+middle], []byte("\xff\xf3rubbish\xff"), mp3[45+middle:]), 1560 * time.Millisecond},
		"Ogg after another":        {slices.Concat(sample(t, "tone.opus"), sample(t, "tone.ogg")), 2650 * time.Millisecond},
		"Ogg with rubbish between": {slices.Concat(sample(t, "tone.ogg"), []byte("OggS and so on"), sample(t, "tone.ogg")), 2700 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			if got := identified(t, tt.file); (got.Duration - tt.want).Abs() > time.Millisecond {
				t.Errorf("lasts %v, want %v", got.Duration, tt.want)
			}
		})
	}
}

func TestIdentifyOggThatWasCutOutOfAStream(t *testing.T) {
	for _, name := range []string{"tone.ogg", "tone.opus"} {
		b := sample(t, name)
		for at := 0; at >= 0; {
			granule := b[at+6 : at+14]
			if n := int64(binary.LittleEndian.Uint64(granule)); n > 0 {
				binary.LittleEndian.PutUint64(granule, uint64(n+1<<40))
			}
			next := bytes.Index(b[at+4:], []byte(oggMagic))
			if next < 0 {
				break
			}
			at += 4 + next
		}
		got, want := identified(t, b).Duration, played[name].Duration
		if got < want || got > want+300*time.Millisecond {
			t.Errorf("%s lasts %v, want %v or a little more", name, got, want)
		}
	}
}

func TestIdentifyRefuses(t *testing.T) {
	pcm := waveFormat(wavePCM, 1, 16000, 16, 16)
	for name, file := range map[string]string{
		"nothing":            "",
		"few bytes":          "RIFF",
		"text":               strings.Repeat("this is no sound ", 100),
		"HTML":               "<!DOCTYPE html><html><body>hello hello</body></html>",
		"WebM":               "\x1a\x45\xdf\xa3" + strings.Repeat("\x00", 100),
		"AIFF":               "FORM\x00\x00\x00\x10AIFFCOMM",
		"bare AAC":           "\xff\xf1\x50\x80" + strings.Repeat("\x00", 100),
		"WAV without sound":  string(wave(pcm, "", 0, nil)),
		"WAV without fmt":    "RIFF\x00\x00\x00\x00WAVEdata\x04\x00\x00\x00abcd",
		"WAV with short fmt": string(wave(pcm[:14], "", 2, []byte{1, 2})),
		"packed WAV":         string(wave(waveFormat(0x11, 1, 16000, 4, 20), "", 4, []byte{1, 2, 3, 4})),
		"WAV at 3 Hz":        string(wave(waveFormat(wavePCM, 1, 3, 8, 16), "", 4, []byte{1, 2, 3, 4})),
		"WAV of no channel":  string(wave(waveFormat(wavePCM, 0, 8000, 8, 16), "", 4, []byte{1, 2, 3, 4})),
		"one FLAC head":      string(sample(t, "tone.flac")[:42]),
		"Ogg of text":        "OggS\x00\x02" + strings.Repeat("\x00", 20) + "\x01\x08Speex   ",
		"MP4 without sound":  "\x00\x00\x00\x10ftypisom\x00\x00\x00\x00\x00\x00\x00\x08moov",
		"MP4 too large":      "\x00\x00\x00\x10ftypisom\x00\x00\x00\x00\x00\x01\x00\x08moov",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Identify(strings.NewReader(file))
			refused(t, err)
		})
	}
}

// broken is a file that cannot be read from some offset on.
type broken struct {
	*bytes.Reader
	at int64
}

var errDisk = errors.New("the disk is broken")

func (b broken) Read(p []byte) (int, error) {
	if at, _ := b.Seek(0, io.SeekCurrent); at >= b.at {
		return 0, errDisk
	}
	return b.Reader.Read(p[:min(len(p), 512)])
}

func TestIdentifyReturnsTheReadersErrors(t *testing.T) {
	for name := range played {
		b := sample(t, name)
		if _, err := Identify(broken{bytes.NewReader(b), 0}); !errors.Is(err, errDisk) {
			t.Errorf("%s that breaks: %v, want the reader's own error", name, err)
		}
		// Not every format is read to its end.
		if _, err := Identify(broken{bytes.NewReader(b), 600}); err != nil && !errors.Is(err, errDisk) {
			t.Errorf("%s that breaks later: %v, want the reader's own error", name, err)
		}
	}
}
