package audio

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
)

// maxFmt is the longest "fmt " chunk that has a meaning.
const maxFmt = 40

// Sizes from here on, and 0, stand for "not known" in files that are streamed:
// 0x7FFFF000 and the like, 0x7FFFFFFF and 0xFFFFFFFF are in use.
const placeholder = 0x7FFF0000

// The codes of the formats that have one fixed size of a sample.
const (
	wavePCM        = 1
	waveFloat      = 3
	waveALaw       = 6
	waveMuLaw      = 7
	waveExtensible = 0xFFFE
)

func isRIFF(head []byte) bool {
	kind := string(head[:4])
	return (kind == "RIFF" || kind == "RF64" || kind == "BW64") && string(head[8:12]) == "WAVE"
}

// waveHead is what stands before the samples of a WAV file.
type waveHead struct {
	Info
	fmt   []byte // the chunk's body
	frame int64  // bytes of one sample of every channel
	data  uint64 // bytes of samples, as the file says
	size  int64  // bytes of the head itself
}

// unsized reports whether the file does not say how many samples it has.
func (h *waveHead) unsized() bool { return h.data == 0 || h.data >= placeholder }

// measureWAV counts the samples that are there. A data chunk that says more, or
// nothing, holds the rest of the file.
func measureWAV(s *source) (Info, error) {
	if _, err := s.r.Seek(0, io.SeekStart); err != nil {
		return Info{}, err
	}
	h, err := readWaveHead(bufio.NewReader(io.LimitReader(s.r, s.size)))
	if err != nil {
		return Info{}, err
	}
	there := s.size - h.size
	if h.data != 0 && h.data < uint64(there) {
		there = int64(h.data)
	}
	return described(h.Info, there/h.frame)
}

// readWaveHead reads up to the first sample.
func readWaveHead(r io.Reader) (*waveHead, error) {
	var b [maxFmt]byte
	h := &waveHead{}
	if err := h.read(r, b[:12]); err != nil {
		return nil, err
	}
	if !isRIFF(b[:12]) {
		return nil, refuse("the sound is no WAV file")
	}
	var long uint64 // the size of the samples in a file for more than 4 GiB
	for {
		if err := h.read(r, b[:8]); err != nil {
			return nil, err
		}
		name, size := string(b[:4]), binary.LittleEndian.Uint32(b[4:8])
		used := uint32(0)
		switch {
		case name == "data":
			if h.fmt == nil {
				return nil, refuse("the WAV file does not say what its samples are")
			}
			if h.data = uint64(size); size == 0xFFFFFFFF && long != 0 {
				h.data = long
			}
			return h, nil
		case name == "fmt " && h.fmt == nil:
			used = min(size, maxFmt)
			if err := h.read(r, b[:used]); err != nil {
				return nil, err
			}
			if err := h.parse(append([]byte(nil), b[:used]...)); err != nil {
				return nil, err
			}
		case name == "ds64" && size >= 16:
			used = 16
			if err := h.read(r, b[:used]); err != nil {
				return nil, err
			}
			long = binary.LittleEndian.Uint64(b[8:16])
		}
		if err := h.skip(r, int64(size)+int64(size%2)-int64(used)); err != nil {
			return nil, err
		}
	}
}

// read fills b. The end of the file is errShort.
func (h *waveHead) read(r io.Reader, b []byte) error {
	n, err := io.ReadFull(r, b)
	h.size += int64(n)
	return early(err)
}

func (h *waveHead) skip(r io.Reader, n int64) error {
	n, err := io.CopyN(io.Discard, r, n)
	h.size += n
	return early(err)
}

// early tells the end of a file from an error of reading it.
func early(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errShort
	}
	return err
}

// parse reads the body of the "fmt " chunk. What it says of bytes in a second
// is not believed.
func (h *waveHead) parse(b []byte) error {
	le := binary.LittleEndian
	if len(b) < 16 {
		return refuse("the WAV file does not say what its samples are")
	}
	code, channels, rate, bits := le.Uint16(b), le.Uint16(b[2:]), le.Uint32(b[4:]), le.Uint16(b[14:])
	if code == waveExtensible && len(b) >= 26 {
		code = le.Uint16(b[24:]) // the first two bytes of a GUID
	}
	h.Info = Info{Format: WAV, SampleRate: int(min(rate, maxRate+1)), Channels: int(channels)}
	switch code {
	case wavePCM:
		h.Codec = "pcm"
	case waveFloat:
		h.Codec = "float"
	case waveALaw:
		h.Codec, bits = "alaw", 8
	case waveMuLaw:
		h.Codec, bits = "mulaw", 8
	default:
		return refuse("the WAV file is packed (format %d), which is not read", code)
	}
	if bits < 8 || bits > 64 || channels == 0 {
		return refuse("the WAV file has %d channels of %d bits, which nothing plays", channels, bits)
	}
	h.frame = int64(channels) * int64((bits+7)/8)
	h.fmt = b
	return nil
}
