package testkit

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

// Tone is a WAV file, PCM of 16 bits, that sounds at 440 Hz. Its zero value
// is empty, mono, 16000 Hz.
type Tone struct {
	Length      time.Duration
	Rate        int // in Hz
	Channels    int
	List        bool // a LIST chunk stands before the data, as ffmpeg writes it
	Placeholder bool // the sizes are 0xFFFFFFFF, as in a WAV that was streamed
}

func (t Tone) withDefaults() Tone {
	if t.Rate == 0 {
		t.Rate = 16000
	}
	if t.Channels == 0 {
		t.Channels = 1
	}
	return t
}

// frames returns the number of samples in each channel.
func (t Tone) frames() int64 { return int64(t.Length) * int64(t.Rate) / int64(time.Second) }

// Size returns the length of the file in bytes.
func (t Tone) Size() int64 {
	t = t.withDefaults()
	return int64(len(t.head())) + t.frames()*int64(t.Channels)*2
}

// Bytes returns the file.
func (t Tone) Bytes() []byte {
	var out bytes.Buffer
	_, _ = t.WriteTo(&out) // a Buffer takes everything
	return out.Bytes()
}

// WriteTo writes the file as it makes it, without holding it in memory.
func (t Tone) WriteTo(w io.Writer) (int64, error) {
	t = t.withDefaults()
	n, err := w.Write(t.head())
	if err != nil {
		return int64(n), err
	}
	more, err := t.writeSamples(w)
	return int64(n) + more, err
}

// head returns all that stands before the samples.
func (t Tone) head() []byte {
	le := binary.LittleEndian
	var list []byte
	if t.List {
		list = append(le.AppendUint32([]byte("LIST"), 26), "INFOISFT\x0e\x00\x00\x00Lavf61.7.100\x00\x00"...)
	}
	data := uint32(t.frames() * int64(t.Channels) * 2)
	riff := 36 + uint32(len(list)) + data
	if t.Placeholder {
		data, riff = math.MaxUint32, math.MaxUint32
	}
	block := t.Channels * 2
	head := append(le.AppendUint32([]byte("RIFF"), riff), "WAVEfmt \x10\x00\x00\x00\x01\x00"...)
	head = le.AppendUint16(head, uint16(t.Channels))
	head = le.AppendUint32(head, uint32(t.Rate))
	head = le.AppendUint32(head, uint32(t.Rate*block))
	head = le.AppendUint16(head, uint16(block))
	head = le.AppendUint16(head, 16)
	head = append(head, list...)
	return le.AppendUint32(append(head, "data"...), data)
}

// writeSamples writes the samples alone.
func (t Tone) writeSamples(w io.Writer) (int64, error) {
	// A second holds 440 whole waves, so it can be repeated.
	second := make([]byte, 0, t.Rate*t.Channels*2)
	for i := range t.Rate {
		v := int16(8000 * math.Sin(2*math.Pi*440*float64(i)/float64(t.Rate)))
		for range t.Channels {
			second = binary.LittleEndian.AppendUint16(second, uint16(v))
		}
	}
	var done int64
	for rest := t.frames() * int64(t.Channels) * 2; rest > done; {
		n, err := w.Write(second[:min(rest-done, int64(len(second)))])
		done += int64(n)
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// SpeechLength returns how long the doubles speak at that text: 60 ms for each
// character.
func SpeechLength(text string) time.Duration {
	return time.Duration(utf8.RuneCountInString(strings.TrimSpace(text))) * 60 * time.Millisecond
}

// MP3 returns an MPEG-2 layer III stream of silence, 24000 Hz, mono, constant
// 128 kbit/s, of at least that length. A frame holds 24 ms.
func MP3(length time.Duration) []byte {
	const frameBytes, frameTime = 384, 24 * time.Millisecond
	frame := make([]byte, frameBytes)
	copy(frame, "\xff\xf3\xc4\xc4")
	return bytes.Repeat(frame, int((length+frameTime-1)/frameTime))
}

var errNotAudio = errors.New("not a WAV file of PCM samples")

// wavLength measures a WAV file by walking its chunks. A data chunk that says
// more than there is holds what there is.
func wavLength(file []byte) (time.Duration, error) {
	le := binary.LittleEndian
	if len(file) < 12 || string(file[:4]) != "RIFF" || string(file[8:12]) != "WAVE" {
		return 0, errNotAudio
	}
	var bytesPerSecond int64
	for rest := file[12:]; len(rest) >= 8; {
		name, size := string(rest[:4]), int64(le.Uint32(rest[4:8]))
		rest = rest[8:]
		body := rest[:min(size, int64(len(rest)))]
		switch {
		case name == "fmt " && len(body) >= 16:
			bytesPerSecond = int64(le.Uint32(body[4:8])) * int64(le.Uint16(body[2:4])) * int64(le.Uint16(body[14:16])) / 8
		case name == "data":
			if bytesPerSecond == 0 {
				return 0, errNotAudio
			}
			return rawLength(len(body), bytesPerSecond), nil
		}
		rest = rest[min(size+size%2, int64(len(rest))):]
	}
	return 0, errNotAudio
}

// rawLength returns the time that so many bytes of samples last.
func rawLength(n int, bytesPerSecond int64) time.Duration {
	return time.Duration(float64(n) / float64(bytesPerSecond) * float64(time.Second))
}

// speechLengthAt returns how long the text takes at that speed.
func speechLengthAt(text string, speed float64) time.Duration {
	return time.Duration(float64(SpeechLength(text)) / speed)
}
