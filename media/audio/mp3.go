package audio

import (
	"bytes"
	"encoding/binary"
)

// maxJunk is how much may stand before the first frame: padding after a tag.
const maxJunk = 16 << 10

// mp3Frame is the head of a frame of MPEG audio, layer III.
type mp3Frame struct {
	version  byte // 3: MPEG-1, 2: MPEG-2, 0: MPEG-2.5
	rate     int
	channels int
	samples  int64 // of each channel
	size     int64 // bytes of the frame
}

var (
	mp3Rates    = [3]int{44100, 48000, 32000} // of MPEG-1; half of it in MPEG-2
	mp3Bitrates = [2][15]int64{               // in kbit/s; 0 is one that the stream does not tell
		{0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320},
		{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160},
	}
)

func parseMP3Frame(b []byte) (mp3Frame, bool) {
	if len(b) < 4 || b[0] != 0xFF || b[1]&0xE0 != 0xE0 || b[1]>>1&3 != 1 {
		return mp3Frame{}, false
	}
	f := mp3Frame{version: b[1] >> 3 & 3, channels: 2}
	bitrate, rate, padding := b[2]>>4, b[2]>>2&3, int64(b[2]>>1&1)
	if f.version == 1 || bitrate == 0 || bitrate == 15 || rate == 3 || b[3]&3 == 2 {
		return mp3Frame{}, false
	}
	if b[3]>>6 == 3 {
		f.channels = 1
	}
	f.rate = mp3Rates[rate]
	if f.version == 3 {
		f.samples = 1152
		f.size = 144_000*mp3Bitrates[0][bitrate]/int64(f.rate) + padding
		return f, true
	}
	if f.rate /= 2; f.version == 0 {
		f.rate /= 2
	}
	f.samples = 576
	f.size = 72_000*mp3Bitrates[1][bitrate]/int64(f.rate) + padding
	return f, true
}

// like reports whether two frames can be of one stream.
func (f mp3Frame) like(g mp3Frame) bool { return f.version == g.version && f.rate == g.rate }

// measureMP3 counts the frames. The first one may hold no sound but numbers, of
// which those are used that say how much of the sound is padding.
func measureMP3(s *source, start int64) (Info, error) {
	at, first, err := findMP3(s, start, start+maxJunk, nil)
	if err != nil {
		return Info{}, err
	}
	if first == nil {
		return Info{}, refuse("the file is not of a kind of sound that is read")
	}
	info := Info{Format: MP3, Codec: "mp3", SampleRate: first.rate, Channels: first.channels}
	b, err := s.exactly(at, int(first.size))
	if err != nil {
		return Info{}, err
	}
	numbers, padding := mp3Numbers(b, first)
	if numbers {
		at += first.size
	}
	var samples int64
	for at < s.size {
		b, err := s.from(at, 4)
		if err != nil {
			return Info{}, err
		}
		if f, ok := parseMP3Frame(b); ok && f.like(*first) {
			if at += f.size; at <= s.size { // a frame that was cut does not sound
				samples += f.samples
			}
			continue
		}
		if at, err = resumeMP3(s, at, first); err != nil {
			return Info{}, err
		}
	}
	if padding < samples {
		samples -= padding
	}
	return described(info, samples)
}

// resumeMP3 returns where the stream goes on after what is no frame, the end of
// the file if it does not.
func resumeMP3(s *source, at int64, first *mp3Frame) (int64, error) {
	after, err := skipID3(s, at)
	if err != nil || after != at {
		return after, err
	}
	next, f, err := findMP3(s, at+1, s.size, first)
	if err != nil || f == nil {
		return s.size, err
	}
	return next, nil
}

// findMP3 looks for the first frame between two offsets that another one or the
// end of the file follows, and that is like one if that is given.
func findMP3(s *source, at, last int64, like *mp3Frame) (int64, *mp3Frame, error) {
	for at < last {
		b, err := s.from(at, 4)
		if err != nil || len(b) < 4 {
			return 0, nil, err
		}
		i := bytes.IndexByte(b[:len(b)-3], 0xFF)
		if i < 0 {
			at += int64(len(b)) - 3
			continue
		}
		if at += int64(i); at >= last {
			break
		}
		if f, ok := parseMP3Frame(b[i:]); ok && (like == nil || f.like(*like)) {
			then, err := s.from(at+f.size, 4)
			if err != nil {
				return 0, nil, err
			}
			g, ok := parseMP3Frame(then)
			if ok && g.like(f) || at+f.size == s.size || bytes.HasPrefix(then, []byte("TAG")) || bytes.HasPrefix(then, []byte("APET")) {
				return at, &f, nil
			}
		}
		at++
	}
	return 0, nil, nil
}

// mp3Numbers reports whether a frame holds numbers instead of sound, and how
// many samples the encoder has added to the sound.
func mp3Numbers(b []byte, f *mp3Frame) (numbers bool, padding int64) {
	if len(b) >= 40 && string(b[36:40]) == "VBRI" {
		return true, 0
	}
	side := 32 // what stands between the head and the first sound
	switch {
	case f.version == 3 && f.channels == 1, f.version != 3 && f.channels == 2:
		side = 17
	case f.version != 3:
		side = 9
	}
	if len(b) < 4+side+8 {
		return false, 0
	}
	b = b[4+side:]
	if kind := string(b[:4]); kind != "Xing" && kind != "Info" {
		return false, 0
	}
	flags := binary.BigEndian.Uint32(b[4:])
	at := 8
	for bit, size := range []int{4, 4, 100, 4} { // frames, bytes, table, quality
		if flags&(1<<bit) != 0 {
			at += size
		}
	}
	if len(b) < at+24 {
		return true, 0
	}
	// The encoder's name, and from byte 21 on twice 12 bits.
	switch string(b[at : at+4]) {
	case "LAME", "Lavf", "Lavc":
		packed := int64(b[at+21])<<16 | int64(b[at+22])<<8 | int64(b[at+23])
		return true, packed>>12 + packed&0xFFF
	}
	return true, 0
}
