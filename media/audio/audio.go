package audio

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// MaxDuration is the longest sound that is measured. Longer ones are data that
// only looks like sound.
const MaxDuration = 100 * time.Hour

// The limits of what is taken for sound.
const (
	minRate     = 1000    // in Hz
	maxRate     = 768_000 // in Hz
	maxChannels = 64
)

// Format is the kind of a file. "audio." and a format make a file name.
type Format string

// The formats that are read.
const (
	WAV  Format = "wav"
	FLAC Format = "flac"
	MP3  Format = "mp3"
	Ogg  Format = "ogg"
	M4A  Format = "m4a"
)

// Formats lists every format.
func Formats() []Format { return []Format{WAV, FLAC, MP3, Ogg, M4A} }

// MediaType returns the format's media type, "" for one that is not read.
func (f Format) MediaType() string {
	switch f {
	case WAV:
		return "audio/wav"
	case FLAC:
		return "audio/flac"
	case MP3:
		return "audio/mpeg"
	case Ogg:
		return "audio/ogg"
	case M4A:
		return "audio/mp4"
	default:
		return ""
	}
}

// Info says what a file holds.
type Info struct {
	Format     Format
	Codec      string // pcm, float, alaw, mulaw, flac, mp3, vorbis, opus, aac, or the four letters that M4A has
	SampleRate int    // in Hz
	Channels   int
	Duration   time.Duration // above 0, at most MaxDuration
}

// Identify finds out what the whole of r is, from its beginning on, and measures
// it. Where r stands afterwards is not said. Its errors are unsupported_media,
// or those of r.
func Identify(r io.ReadSeeker) (Info, error) {
	var info Info
	s, err := newSource(r)
	if err == nil {
		info, err = identify(s)
	}
	if err != nil {
		return Info{}, ended(err)
	}
	return info, nil
}

// FormatOf looks at the beginning of a file only: what it returns for a file
// that Identify takes is the file's format.
func FormatOf(r io.ReadSeeker) (Format, error) {
	s, err := newSource(r)
	if err != nil {
		return "", err
	}
	f, _, err := sniff(s)
	return f, ended(err)
}

// ended makes an error for people of the end of a file.
func ended(err error) error {
	if errors.Is(err, errShort) {
		return refuse("the file ends before it says what sound it holds")
	}
	return err
}

func identify(s *source) (Info, error) {
	format, start, err := sniff(s)
	if err != nil {
		return Info{}, err
	}
	switch format {
	case WAV:
		return measureWAV(s)
	case Ogg:
		return measureOgg(s)
	case M4A:
		return measureMP4(s)
	case FLAC:
		return measureFLAC(s, start)
	}
	return measureMP3(s, start)
}

// sniff returns what a file seems to be and where that begins. MP3 is what may
// be anything.
func sniff(s *source) (f Format, start int64, err error) {
	head, err := s.from(0, 12)
	switch {
	case err != nil:
		return "", 0, err
	case len(head) < 12:
		return "", 0, refuse("the file has %d bytes, too few to hold sound", len(head))
	case isRIFF(head):
		return WAV, 0, nil
	case bytes.HasPrefix(head, []byte(oggMagic)):
		return Ogg, 0, nil
	case string(head[4:8]) == "ftyp":
		return M4A, 0, nil
	}
	for _, other := range strangers {
		if bytes.HasPrefix(head, []byte(other.magic)) {
			return "", 0, refuse("the file is %s, which is not read", other.name)
		}
	}
	if start, err = skipID3(s, 0); err != nil {
		return "", 0, err
	}
	if head, err = s.from(start, 4); err != nil {
		return "", 0, err
	}
	if bytes.HasPrefix(head, []byte("fLaC")) {
		return FLAC, start, nil
	}
	return MP3, start, nil
}

// strangers are what people send that is near to sound that is read.
var strangers = []struct{ magic, name string }{
	{"\x1a\x45\xdf\xa3", "WebM or Matroska"},
	{"FORM", "AIFF"},
	{"#!AMR", "AMR"},
	{"\x30\x26\xb2\x75", "WMA"},
	{"\xff\xf1", "a bare AAC stream"},
	{"\xff\xf9", "a bare AAC stream"},
	{"MThd", "MIDI"},
}

// refuse makes the error of a file that cannot be measured.
func refuse(format string, args ...any) *jeantrail.Error {
	return jeantrail.Errorf(jeantrail.CodeUnsupportedMedia, format, args...).
		WithHint("Send WAV, FLAC, MP3, Ogg (Vorbis or Opus) or M4A. ffmpeg makes WAV of most others: ffmpeg -i FILE sound.wav")
}

// described checks what a file says of itself and adds how long so many samples
// of each channel last.
func described(i Info, samples int64) (Info, error) {
	switch {
	case i.SampleRate < minRate || i.SampleRate > maxRate:
		return Info{}, refuse("the sound has %d samples in a second, which nothing plays", i.SampleRate)
	case i.Channels < 1 || i.Channels > maxChannels:
		return Info{}, refuse("the sound has %d channels, which nothing plays", i.Channels)
	case samples < 1:
		return Info{}, refuse("the file holds no sound")
	}
	rate := int64(i.SampleRate)
	if samples/rate >= int64(MaxDuration/time.Second) {
		return Info{}, refuse("the sound lasts longer than %s, which is not measured", MaxDuration)
	}
	i.Duration = max(time.Duration(samples/rate)*time.Second+time.Duration(samples%rate)*time.Second/time.Duration(rate), 1)
	return i, nil
}

// window is how much of a file is held at a time.
const window = 64 << 10

// errShort says that a file ends where more of it was needed.
var errShort = errors.New("the file ends too early")

// source reads anywhere in a file and holds one window of it.
type source struct {
	r    io.ReadSeeker
	size int64
	buf  []byte // its capacity is the window
	at   int64  // where buf begins
}

func newSource(r io.ReadSeeker) (*source, error) {
	size, err := r.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, fmt.Errorf("measure audio: %w", err)
	}
	return &source{r: r, size: size, buf: make([]byte, 0, window)}, nil
}

// from returns what stands at an offset: at least so many bytes, fewer only at
// the end of the file, or more. They are good until the next call.
func (s *source) from(at int64, least int) ([]byte, error) {
	if at < 0 || at >= s.size {
		return nil, nil
	}
	least = int(min(int64(least), window, s.size-at))
	if at >= s.at && at+int64(least) <= s.at+int64(len(s.buf)) {
		return s.buf[at-s.at:], nil
	}
	s.buf, s.at = s.buf[:0], at
	if _, err := s.r.Seek(at, io.SeekStart); err != nil {
		return nil, fmt.Errorf("measure audio: %w", err)
	}
	n, err := io.ReadAtLeast(s.r, s.buf[:min(window, s.size-at)], least)
	if err != nil {
		return nil, fmt.Errorf("measure audio: %w", err)
	}
	s.buf = s.buf[:n]
	return s.buf, nil
}

// exactly returns n bytes, at most a window, at an offset, or errShort.
func (s *source) exactly(at int64, n int) ([]byte, error) {
	b, err := s.from(at, n)
	if err != nil {
		return nil, err
	}
	if len(b) < n {
		return nil, errShort
	}
	return b[:n], nil
}

// skipID3 returns where what follows the tags at an offset begins.
func skipID3(s *source, at int64) (int64, error) {
	for {
		head, err := s.from(at, 10)
		if err != nil {
			return 0, err
		}
		if len(head) < 10 || string(head[:3]) != "ID3" {
			return at, nil
		}
		size := int64(0)
		for _, b := range head[6:10] {
			size = size<<7 | int64(b&0x7F)
		}
		at += 10 + size
		if head[5]&0x10 != 0 { // a footer
			at += 10
		}
	}
}
