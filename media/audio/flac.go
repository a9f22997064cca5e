package audio

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// maxFLACHead is the longest head of a frame: 4 bytes, a number of up to 7, two
// of up to 2, and a checksum.
const maxFLACHead = 16

// measureFLAC counts the samples of every frame. The total in the first metadata
// block is 0 in a file that was streamed, and wrong in one that was cut.
func measureFLAC(s *source, at int64) (Info, error) {
	b, err := s.exactly(at+4, 4+34)
	if err != nil {
		return Info{}, err
	}
	if b[0]&0x7F != 0 || b[1] != 0 || b[2] != 0 || b[3] != 34 {
		return Info{}, refuse("the FLAC file does not begin with what describes it")
	}
	// 20 bits of rate, 3 of channels less one, 5 of bits less one
	packed := binary.BigEndian.Uint32(b[4+10:])
	info := Info{Format: FLAC, Codec: "flac", SampleRate: int(packed >> 12), Channels: int(packed>>9&7) + 1}
	bits := int64(packed>>4&31) + 1
	if at, err = afterFLACBlocks(s, at+4); err != nil {
		return Info{}, err
	}
	samples, err := countFLAC(s, at, info, bits)
	if err != nil {
		return Info{}, err
	}
	return described(info, samples)
}

// afterFLACBlocks skips the metadata.
func afterFLACBlocks(s *source, at int64) (int64, error) {
	for {
		head, err := s.exactly(at, 4)
		if err != nil {
			return 0, err
		}
		at += 4 + int64(binary.BigEndian.Uint32(head)&0xFFFFFF)
		if head[0]&0x80 != 0 {
			return at, nil
		}
	}
}

// countFLAC goes from frame to frame. A frame does not say how long it is: it
// ends where the head of the next one in number stands.
func countFLAC(s *source, at int64, info Info, bits int64) (samples int64, err error) {
	b, err := s.from(at, maxFLACHead)
	if err != nil {
		return 0, err
	}
	f, ok := parseFLACFrame(b)
	for {
		if !ok {
			return 0, refuse("the FLAC file is damaged, or holds no sound")
		}
		if f.rate != 0 && f.rate != info.SampleRate {
			return 0, refuse("the FLAC file changes from %d to %d samples in a second", info.SampleRate, f.rate)
		}
		samples += f.samples
		// A frame that does not get smaller by packing is stored as it is.
		longest := int64(info.Channels)*(f.samples*(bits+1)/8+16) + 2*maxFLACHead
		next, followed, err := nextFLAC(s, at+f.head, at+longest, f)
		switch {
		case err != nil:
			return 0, err
		case followed == nil && s.size-at <= longest+128: // with an old tag after it
			return samples, nil
		case followed == nil:
			ok = false
			continue
		}
		at, f = next, *followed
	}
}

// nextFLAC looks for the head of the frame after f between two offsets.
func nextFLAC(s *source, at, last int64, f flacFrame) (int64, *flacFrame, error) {
	sync := []byte{0xFF, f.second}
	for at <= last {
		b, err := s.from(at, 4<<10)
		if err != nil || len(b) < 2 {
			return 0, nil, err
		}
		i := bytes.Index(b, sync)
		switch {
		case i < 0:
			at += int64(len(b)) - 1
			continue
		case i > 0 && len(b)-i < maxFLACHead:
			at += int64(i) // and read more
			continue
		}
		if at += int64(i); at > last {
			break
		}
		if next, ok := parseFLACFrame(b[i:]); ok && next.number == f.following() {
			return at, &next, nil
		}
		at++
	}
	return 0, nil, nil
}

// flacFrame is the head of a frame.
type flacFrame struct {
	second  byte   // of the stream's frames, after 0xFF
	number  uint64 // of the frame, or of its first sample if the sizes vary
	samples int64  // of each channel
	rate    int    // in Hz; 0: that of the stream
	head    int64  // bytes of the head
}

// following is the number of the next frame.
func (f flacFrame) following() uint64 {
	if f.second&1 == 0 {
		return f.number + 1
	}
	return f.number + uint64(f.samples)
}

// parseFLACFrame reads the head of a frame and reports whether it is one.
func parseFLACFrame(b []byte) (flacFrame, bool) {
	if len(b) < 6 || b[0] != 0xFF || b[1]&0xFE != 0xF8 || b[3]&1 != 0 {
		return flacFrame{}, false
	}
	f := flacFrame{second: b[1]}
	size, rate, channels, bits := b[2]>>4, b[2]&15, b[3]>>4, b[3]>>1&7
	if size == 0 || rate == 15 || channels > 10 || bits == 3 {
		return flacFrame{}, false
	}
	number, at, err := flacNumber(b[4:])
	if err != nil {
		return flacFrame{}, false
	}
	f.number, at = number, at+4
	if len(b) < at+flacExtra(size, 6)+flacExtra(rate, 12)+1 {
		return flacFrame{}, false
	}
	f.samples = flacBlock(size, b[at:])
	at += flacExtra(size, 6)
	f.rate = flacRate(rate, b[at:])
	at += flacExtra(rate, 12)
	f.head = int64(at) + 1
	return f, flacChecksum(b[:at]) == b[at]
}

// flacExtra returns how many bytes follow for a code: one for the code byte,
// two for those after it.
func flacExtra(code, byte byte) int {
	switch {
	case code < byte || code >= 8 && byte < 8:
		return 0
	case code == byte:
		return 1
	}
	return 2
}

// flacBlock returns the samples of a frame by their code and what follows it.
func flacBlock(code byte, extra []byte) int64 {
	switch {
	case code == 1:
		return 192
	case code <= 5:
		return 576 << (code - 2)
	case code == 6:
		return int64(extra[0]) + 1
	case code == 7:
		return int64(binary.BigEndian.Uint16(extra)) + 1
	}
	return 256 << (code - 8)
}

var flacRates = [12]int{0, 88200, 176400, 192000, 8000, 16000, 22050, 24000, 32000, 44100, 48000, 96000}

// flacRate returns the samples in a second by their code and what follows it.
func flacRate(code byte, extra []byte) int {
	switch code {
	case 12:
		return int(extra[0]) * 1000
	case 13:
		return int(binary.BigEndian.Uint16(extra))
	case 14:
		return int(binary.BigEndian.Uint16(extra)) * 10
	}
	return flacRates[code]
}

var errNumber = errors.New("no number")

// flacNumber reads a number in the way of UTF-8, but of up to 36 bits, and
// returns how many bytes it has.
func flacNumber(b []byte) (n uint64, size int, err error) {
	first := b[0]
	switch {
	case first < 0x80:
		return uint64(first), 1, nil
	case first < 0xC0 || first == 0xFF:
		return 0, 0, errNumber
	}
	size = 2
	for mask := byte(0x20); first&mask != 0 && size < 7; mask >>= 1 {
		size++
	}
	n = uint64(first & (0x7F >> size))
	if len(b) < size {
		return 0, 0, errNumber
	}
	for _, c := range b[1:size] {
		if c&0xC0 != 0x80 {
			return 0, 0, errNumber
		}
		n = n<<6 | uint64(c&0x3F)
	}
	return n, size, nil
}

// flacChecksum is CRC-8 with the polynomial 0x07.
func flacChecksum(b []byte) byte {
	var sum byte
	for _, c := range b {
		sum ^= c
		for range 8 {
			carry := sum&0x80 != 0
			sum <<= 1
			if carry {
				sum ^= 0x07
			}
		}
	}
	return sum
}
