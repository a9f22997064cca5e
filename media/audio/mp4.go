package audio

import (
	"encoding/binary"
	"math"
)

// maxTracks is how many tracks a file may have.
const maxTracks = 64

// mp4 is a file of boxes: each has its size, four letters, and what it holds.
type mp4 struct {
	*source
	tracks []mp4Track
	units  int64 // of the movie in a second
	// defaults are the durations of packets in fragments, by the track.
	defaults map[uint32]uint32
	pieces   map[uint32]pieces
	fragment struct{ track, duration uint32 } // that is being read
}

// pieces is what the fragments of a track hold.
type pieces struct{ packets, duration int64 }

type mp4Track struct {
	id       uint32
	sound    bool
	codec    string
	channels int
	rate     int
	units    int64 // in a second
	packets  int64
	timed    int64 // packets in the table of times
	duration int64 // in units
	played   int64 // of the movie's units, by the edit list; 0 if there is none
}

// measureMP4 adds up the tables of packets, and takes off what the edit list
// does not play: what the encoder had to put before the sound.
func measureMP4(s *source) (Info, error) {
	m := &mp4{source: s, defaults: make(map[uint32]uint32), pieces: make(map[uint32]pieces)}
	if err := m.boxes(0, s.size, ""); err != nil {
		return Info{}, err
	}
	var best Info
	for _, t := range m.tracks {
		if !t.sound || t.codec == "" {
			continue
		}
		info, err := m.measure(t)
		if err != nil {
			return Info{}, err
		}
		if info.Duration > best.Duration {
			best = info
		}
	}
	if best.Format == "" {
		return Info{}, refuse("the MP4 file holds no sound")
	}
	return best, nil
}

func (m *mp4) measure(t mp4Track) (Info, error) {
	if t.units < 1 || t.packets != t.timed {
		return Info{}, refuse("the MP4 file contradicts itself about the times of its sound")
	}
	more := m.pieces[t.id]
	packets, length := t.packets+more.packets, float64(t.duration+more.duration)/float64(t.units)
	if packets > m.size {
		return Info{}, refuse("the MP4 file says that it has more packets than bytes")
	}
	if t.rate == 0 {
		t.rate = int(min(t.units, maxRate+1))
	}
	// A packet of AAC has 960 samples at least, whatever the table says of it.
	if t.codec == "aac" && float64(packets)*960/float64(t.rate) > length*1.02+1 {
		return Info{}, refuse("the MP4 file contradicts itself about the times of its sound")
	}
	if t.played > 0 && m.units > 0 && more.packets == 0 {
		length = min(length, float64(t.played)/float64(m.units))
	}
	length = min(length, MaxDuration.Seconds()) // which is refused
	info := Info{Format: M4A, Codec: t.codec, SampleRate: t.rate, Channels: t.channels}
	return described(info, int64(math.Round(length*float64(t.rate))))
}

// boxes reads the boxes between two offsets.
func (m *mp4) boxes(at, end int64, within string) error {
	for end-at >= 8 {
		b, err := m.exactly(at, 8)
		if err != nil {
			return err
		}
		size, name, head := int64(binary.BigEndian.Uint32(b)), string(b[4:8]), int64(8)
		switch size {
		case 0: // to the end
			size = end - at
		case 1:
			if b, err = m.exactly(at, 16); err != nil {
				return err
			}
			size, head = int64(binary.BigEndian.Uint64(b[8:])), 16
		}
		if size < head || size > end-at {
			if within == "" && name == "mdat" { // the sound was cut off, the tables were not
				return nil
			}
			return refuse("the MP4 file is damaged or incomplete")
		}
		if err := m.box(name, at+head, at+size, within); err != nil {
			return err
		}
		at += size
	}
	return nil
}

// mp4Parents are the boxes that hold boxes, and where they are looked for.
var mp4Parents = map[string]string{
	"moov": "", "trak": "moov", "mdia": "trak", "minf": "mdia", "stbl": "minf", "edts": "trak", "mvex": "moov", "moof": "", "traf": "moof",
}

func (m *mp4) box(name string, at, end int64, within string) error {
	if where, ok := mp4Parents[name]; ok && where == within {
		switch name {
		case "trak":
			if m.tracks = append(m.tracks, mp4Track{}); len(m.tracks) > maxTracks {
				return refuse("the MP4 file has more than %d tracks", maxTracks)
			}
		case "traf":
			m.fragment.track, m.fragment.duration = 0, 0
		}
		return m.boxes(at, end, name)
	}
	switch within + "/" + name {
	case "moov/mvhd":
		units, err := m.timescale(at, end)
		m.units = units
		return err
	case "mvex/trex":
		b, err := m.fields(at, end, 16)
		if err == nil && len(m.defaults) < maxTracks {
			m.defaults[binary.BigEndian.Uint32(b[4:])] = binary.BigEndian.Uint32(b[12:])
		}
		return err
	case "traf/tfhd":
		return m.fragmentHead(at, end)
	case "traf/trun":
		return m.run(at, end)
	}
	if len(m.tracks) == 0 {
		return nil
	}
	return m.tracks[len(m.tracks)-1].box(m, within+"/"+name, at, end)
}

// fields returns the first n bytes of a box.
func (m *mp4) fields(at, end int64, n int) ([]byte, error) {
	if end-at < int64(n) {
		return nil, refuse("the MP4 file is damaged or incomplete")
	}
	return m.exactly(at, n)
}

// timescale reads the units of a second out of a head of a movie or a medium.
func (m *mp4) timescale(at, end int64) (int64, error) {
	b, err := m.fields(at, end, 24)
	if err != nil {
		return 0, err
	}
	if b[0] == 1 { // with times of 64 bits
		return int64(binary.BigEndian.Uint32(b[20:])), nil
	}
	return int64(binary.BigEndian.Uint32(b[12:])), nil
}

// box reads what tells of a track.
func (t *mp4Track) box(m *mp4, name string, at, end int64) (err error) {
	switch name {
	case "trak/tkhd":
		b, err := m.fields(at, end, 24)
		if err != nil {
			return err
		}
		t.id = binary.BigEndian.Uint32(b[12:])
		if b[0] == 1 {
			t.id = binary.BigEndian.Uint32(b[20:])
		}
	case "mdia/mdhd":
		t.units, err = m.timescale(at, end)
	case "mdia/hdlr":
		b, err := m.fields(at, end, 12)
		t.sound = err == nil && string(b[8:12]) == "soun"
		return err
	case "edts/elst":
		return t.edits(m, at, end)
	case "stbl/stsd":
		return t.description(m, at, end)
	case "stbl/stts":
		return t.times(m, at, end)
	case "stbl/stsz":
		return t.sizes(m, at, end)
	}
	return err
}

// description reads what packs the sound.
func (t *mp4Track) description(m *mp4, at, end int64) error {
	b, err := m.fields(at, end, 8+36)
	if err != nil || !t.sound {
		return err
	}
	b = b[8:]
	if t.codec = string(b[4:8]); t.codec == "mp4a" {
		t.codec = "aac"
	}
	for _, c := range []byte(t.codec) {
		if c < '!' || c > '~' {
			return refuse("the MP4 file is damaged or incomplete")
		}
	}
	t.channels, t.rate = int(binary.BigEndian.Uint16(b[24:])), int(binary.BigEndian.Uint16(b[32:]))
	return nil
}

// table calls each for the entries of a box: so many bytes each, after a head
// that ends with their number.
func (m *mp4) table(at, end, head, size int64, each func(entry []byte) error) error {
	b, err := m.fields(at, end, int(head))
	if err != nil {
		return err
	}
	count := int64(binary.BigEndian.Uint32(b[head-4:]))
	if at += head; count*size > end-at {
		return refuse("the MP4 file is damaged or incomplete")
	}
	for range count {
		b, err := m.exactly(at, int(size))
		if err != nil {
			return err
		}
		if err := each(b); err != nil {
			return err
		}
		at += size
	}
	return nil
}

// maxUnits bounds sums of durations, far above any that are real.
const maxUnits = int64(1) << 52

func (t *mp4Track) times(m *mp4, at, end int64) error {
	return m.table(at, end, 8, 8, func(b []byte) error {
		count, each := int64(binary.BigEndian.Uint32(b)), int64(binary.BigEndian.Uint32(b[4:]))
		t.timed = min(t.timed+count, maxUnits)
		if each != 0 && count > maxUnits/each {
			return refuse("the MP4 file is damaged or incomplete")
		}
		t.duration = min(t.duration+count*each, maxUnits)
		return nil
	})
}

func (t *mp4Track) sizes(m *mp4, at, end int64) error {
	b, err := m.fields(at, end, 12)
	if err != nil {
		return err
	}
	size, count := int64(binary.BigEndian.Uint32(b[4:])), int64(binary.BigEndian.Uint32(b[8:]))
	if size == 0 && count*4 > end-at-12 || size > 0 && count > m.size/size {
		return refuse("the MP4 file is damaged or incomplete")
	}
	t.packets = count
	return nil
}

func (t *mp4Track) edits(m *mp4, at, end int64) error {
	b, err := m.fields(at, end, 8)
	if err != nil {
		return err
	}
	long, size := b[0] == 1, int64(12)
	if long {
		size = 20
	}
	return m.table(at, end, 8, size, func(b []byte) error {
		duration, begin := int64(binary.BigEndian.Uint32(b)), int64(int32(binary.BigEndian.Uint32(b[4:])))
		if long {
			duration, begin = int64(binary.BigEndian.Uint64(b)), int64(binary.BigEndian.Uint64(b[8:]))
		}
		if begin >= 0 && duration > 0 { // a negative one is silence before the sound
			t.played = min(t.played+min(duration, maxUnits), maxUnits)
		}
		return nil
	})
}

// fragmentHead reads whose packets a fragment has.
func (m *mp4) fragmentHead(at, end int64) error {
	b, err := m.fields(at, end, 8)
	if err != nil {
		return err
	}
	flags, track := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	m.fragment.track, m.fragment.duration = track, m.defaults[track]
	if flags&0x08 == 0 {
		return nil
	}
	skip := 8
	if flags&0x01 != 0 {
		skip += 8
	}
	if flags&0x02 != 0 {
		skip += 4
	}
	if b, err = m.fields(at, end, skip+4); err == nil {
		m.fragment.duration = binary.BigEndian.Uint32(b[skip:])
	}
	return err
}

// run adds the packets of one run of a fragment.
func (m *mp4) run(at, end int64) error {
	b, err := m.fields(at, end, 8)
	if err != nil {
		return err
	}
	flags, count := binary.BigEndian.Uint32(b), int64(binary.BigEndian.Uint32(b[4:]))
	at += 8
	for _, bit := range []uint32{0x01, 0x04} {
		if flags&bit != 0 {
			at += 4
		}
	}
	size := int64(0) // of an entry; its duration comes first
	for _, bit := range []uint32{0x100, 0x200, 0x400, 0x800} {
		if flags&bit != 0 {
			size += 4
		}
	}
	if count > m.size || count*size > end-at || len(m.pieces) > maxTracks {
		return refuse("the MP4 file is damaged or incomplete")
	}
	p := m.pieces[m.fragment.track]
	p.packets = min(p.packets+count, maxUnits)
	if each := int64(m.fragment.duration); flags&0x100 == 0 {
		if each > 0 && count > maxUnits/each {
			return refuse("the MP4 file is damaged or incomplete")
		}
		p.duration = min(p.duration+count*each, maxUnits)
	} else {
		for range count {
			b, err := m.exactly(at, 4)
			if err != nil {
				return err
			}
			p.duration = min(p.duration+int64(binary.BigEndian.Uint32(b)), maxUnits)
			at += size
		}
	}
	m.pieces[m.fragment.track] = p
	return nil
}
