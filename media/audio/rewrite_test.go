package audio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// file is a WriteSeeker in memory.
type file struct {
	b  []byte
	at int
}

func (f *file) Write(p []byte) (int, error) {
	if need := f.at + len(p); need > len(f.b) {
		f.b = append(f.b, make([]byte, need-len(f.b))...)
	}
	f.at += copy(f.b[f.at:], p)
	return len(p), nil
}

func (f *file) Seek(offset int64, _ int) (int64, error) {
	f.at = int(offset)
	return offset, nil
}

func TestRewriteGivesRightSizes(t *testing.T) {
	second := bytes.Repeat([]byte{1, 2}, 16000)
	pcm, list := waveFormat(wavePCM, 1, 16000, 16, 16), "LIST\x04\x00\x00\x00INFO"
	for _, tt := range []struct {
		name   string
		stream []byte
		head   int // bytes before the samples afterwards
		data   []byte
		want   time.Duration
	}{
		{"right already", wave(pcm, list, 32000, second), 44, second, time.Second},
		{"placeholder", wave(pcm, list, 0xFFFFFFFF, second), 44, second, time.Second},
		{"zero", wave(pcm, "", 0, second), 44, second, time.Second},
		{"of espeak", wave(pcm, "", 0x7FFFF000, second), 44, second, time.Second},
		{"chunks after", append(wave(pcm, "", 32000, second), list...), 44, second, time.Second},
		{"long fmt of PCM", wave(waveFormat(wavePCM, 1, 16000, 16, 18), "", 0, second), 44, second, time.Second},
		{"extensible", wave(waveFormat(wavePCM, 1, 16000, 16, 40), "", 0, second), 80, second, time.Second},
		{"float", wave(waveFormat(waveFloat, 1, 8000, 32, 18), "fact\x04\x00\x00\x00\x00\x00\x00\x00", 0, second), 58, second, time.Second},
		{"odd", wave(waveFormat(wavePCM, 1, 8000, 8, 16), "", 0, second[:8001]), 44, second[:8001], 8001 * time.Second / 8000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var f file
			info, err := Rewrite(&f, iotest.HalfReader(bytes.NewReader(tt.stream)))
			if err != nil {
				t.Fatal(err)
			}
			le := binary.LittleEndian
			if riff := le.Uint32(f.b[4:]); int(riff)+8 != len(f.b) || len(f.b)%2 != 0 {
				t.Errorf("RIFF has the size %d in a file of %d bytes", riff, len(f.b))
			}
			if size := le.Uint32(f.b[tt.head-4:]); string(f.b[tt.head-8:tt.head-4]) != "data" || int(size) != len(tt.data) {
				t.Errorf("before %d stands %q, want data and %d", tt.head, f.b[tt.head-8:tt.head], len(tt.data))
			}
			if !bytes.Equal(f.b[tt.head:][:len(tt.data)], tt.data) {
				t.Error("the samples have changed")
			}
			again, err := Identify(bytes.NewReader(f.b))
			if err != nil || again != info || info.Duration != tt.want {
				t.Errorf("Rewrite says %+v, Identify %+v (%v), want %v", info, again, err, tt.want)
			}
			if rate := le.Uint32(f.b[28:]); rate != uint32(info.SampleRate*int(le.Uint16(f.b[32:]))) {
				t.Errorf("bytes in a second are %d", rate)
			}
		})
	}
}

func TestRewriteRefusesWhatIsNotWhole(t *testing.T) {
	second := make([]byte, 32000)
	pcm := waveFormat(wavePCM, 1, 16000, 16, 16)
	for name, stream := range map[string][]byte{
		"nothing":            nil,
		"HTML":               []byte("<!doctype html><title>500 Internal Server Error</title>"),
		"a head":             wave(pcm, "", 0xFFFFFFFF, nil),
		"half a head":        wave(pcm, "", 0xFFFFFFFF, nil)[:30],
		"cut":                wave(pcm, "", 32000, second[:20000]),
		"cut within samples": wave(pcm, "", 0xFFFFFFFF, second[:20001]),
		"more than it says":  append(wave(pcm, "", 20000, second[:20000]), bytes.Repeat([]byte{200, 3}, 100)...),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Rewrite(&file{}, bytes.NewReader(stream))
			refused(t, err)
		})
	}
}

// full is a disk without room after some bytes.
type full struct {
	file
	left int
}

var errFull = errors.New("no room")

func (f *full) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, errFull
	}
	return f.file.Write(p)
}

func TestRewriteReturnsErrorsAsTheyAre(t *testing.T) {
	stream := wave(waveFormat(wavePCM, 1, 16000, 16, 16), "", 0, make([]byte, 32000))
	broke := errors.New("the connection broke")
	for _, at := range []int64{5, 40, 5000} {
		src := io.MultiReader(io.LimitReader(bytes.NewReader(stream), at), iotest.ErrReader(broke))
		if _, err := Rewrite(&file{}, src); !errors.Is(err, broke) {
			t.Errorf("after %d bytes: %v, want the stream's own error", at, err)
		}
	}
	for _, room := range []int{10, 1000} {
		if _, err := Rewrite(&full{left: room}, bytes.NewReader(stream)); !errors.Is(err, errFull) {
			t.Errorf("with %d bytes of room: %v, want the disk's own error", room, err)
		}
	}
}

// sink is a file that nobody reads.
type sink struct{ at, most int64 }

func (s *sink) Write(p []byte) (int, error) {
	s.at += int64(len(p))
	s.most = max(s.most, s.at)
	return len(p), nil
}

func (s *sink) Seek(offset int64, _ int) (int64, error) { s.at = offset; return offset, nil }

type silence struct{}

func (silence) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestRewriteHoldsLittle(t *testing.T) {
	const size = 256 << 20
	head := wave(waveFormat(wavePCM, 2, 48000, 16, 16), "", math.MaxUint32, nil)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var s sink
	info, err := Rewrite(&s, io.MultiReader(bytes.NewReader(head), io.LimitReader(silence{}, size)))
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	if s.most != 44+size || info.Duration.Round(time.Second) != 1398*time.Second {
		t.Errorf("%d bytes came, lasting %v", s.most, info.Duration)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
		t.Errorf("%d bytes were allocated for a stream of %d", grown, size)
	}
}

func TestRewriteSaysWhatCame(t *testing.T) {
	_, err := Rewrite(&file{}, strings.NewReader("OggS and so on and so on"))
	if e := refused(t, err); e.Message != "the sound is no WAV file" {
		t.Errorf("message is %q", e.Message)
	}
}
