package audio

import (
	"bytes"
	"encoding/binary"
)

const (
	oggMagic   = "OggS"
	maxStreams = 32 // at once, in one file
	opusRate   = 48000
	maxOpus    = 5760 // samples in a packet
)

// oggPage is the head of a page.
type oggPage struct {
	continued, first bool
	granule          int64 // samples up to the last packet that ends here; -1: none does
	serial           uint32
	lacing           []byte // the sizes of pieces of packets; less than 255 ends one
	body             int64  // where the pieces begin
	end              int64
}

// readPage reads the head of the page at an offset, or of the first after it.
// nil is the end of the file. A page that was cut is not there.
func readPage(s *source, at int64) (*oggPage, error) {
	for {
		b, err := s.from(at, 27+255)
		if err != nil || len(b) < 27 {
			return nil, err
		}
		if i := bytes.Index(b, []byte(oggMagic)); i != 0 {
			if i < 0 {
				i = len(b) - len(oggMagic) + 1
			}
			at += int64(i)
			continue
		}
		count := int(b[26])
		if b[4] != 0 || len(b) < 27+count {
			at++
			continue
		}
		p := &oggPage{
			continued: b[5]&1 != 0, first: b[5]&2 != 0,
			granule: int64(binary.LittleEndian.Uint64(b[6:])), serial: binary.LittleEndian.Uint32(b[14:]),
			body: at + 27 + int64(count),
		}
		p.end = p.body
		for _, n := range b[27 : 27+count] {
			p.end += int64(n)
		}
		if p.end > s.size {
			at++
			continue
		}
		p.lacing = append(p.lacing, b[27:27+count]...)
		return p, nil
	}
}

// oggFile is what the pages of a file add up to. It may have streams side by
// side, of which the longest counts, and one such link after another, which are
// added.
type oggFile struct {
	Info            // of the first stream that is sound
	seconds float64 // of the links that have ended: each may have its own rate
	link    []*oggStream
	body    bool // the link's first pages, one for each stream, are over
}

func measureOgg(s *source) (Info, error) {
	var f oggFile
	for at := int64(0); ; {
		p, err := readPage(s, at)
		if err != nil {
			return Info{}, err
		}
		if p == nil {
			break
		}
		at = p.end
		if err := f.page(s, p); err != nil {
			return Info{}, err
		}
	}
	f.endLink()
	if f.Format == "" {
		return Info{}, refuse("the Ogg file holds neither Vorbis nor Opus")
	}
	total := min(f.seconds, MaxDuration.Seconds()) // which is refused
	return described(f.Info, int64(total*float64(f.SampleRate)+0.5))
}

func (f *oggFile) page(s *source, p *oggPage) error {
	if p.first {
		if f.body {
			f.endLink()
		}
		o, err := beginOgg(s, p)
		if err != nil {
			return err
		}
		if f.link = append(f.link, o); len(f.link) > maxStreams {
			return refuse("the Ogg file has more than %d streams at once", maxStreams)
		}
		return nil
	}
	f.body = true
	for _, o := range f.link {
		if o.serial != p.serial || o.Codec == "" {
			continue
		}
		if err := o.page(s, p); err != nil {
			return err
		}
	}
	return nil
}

// endLink adds what plays longest of the streams side by side.
func (f *oggFile) endLink() {
	longest := 0.0
	for _, o := range f.link {
		if o.Codec == "" {
			continue
		}
		if f.Format == "" {
			f.Info = o.Info
		}
		longest = max(longest, float64(o.samples())/float64(o.SampleRate))
	}
	f.seconds += longest
	f.link, f.body = nil, false
}

// oggStream is one stream of packets.
type oggStream struct {
	Info
	serial  uint32
	headers int      // packets to come that hold no sound
	blocks  [2]int64 // Vorbis: samples of a small and a large block
	skip    int64    // Opus: samples at the beginning that are not played

	open     int64 // samples of the packet that has begun and not ended, as far as is known
	packets  int64 // that ended
	counted  int64 // samples in them: exact for Opus, the most that they can hold for Vorbis
	start    int64 // granule position before the first packet
	position int64 // the last granule position, 0 if there is none yet
	last     int64 // samples of the packets that ended on the last page
	begun    bool
}

// beginOgg reads a stream's first packet. Codec is "" for one that is no sound
// that is read.
func beginOgg(s *source, p *oggPage) (*oggStream, error) {
	o := &oggStream{serial: p.serial}
	b, err := s.from(p.body, 30)
	if err != nil {
		return nil, err
	}
	b = b[:min(int64(len(b)), p.end-p.body)]
	le := binary.LittleEndian
	switch {
	case bytes.HasPrefix(b, []byte("OpusHead")) && len(b) >= 19:
		o.Info = Info{Format: Ogg, Codec: "opus", SampleRate: opusRate, Channels: int(b[9])}
		o.skip, o.headers = int64(le.Uint16(b[10:])), 1
	case bytes.HasPrefix(b, []byte("\x01vorbis")) && len(b) >= 30:
		small, large := b[28]&15, b[28]>>4
		rate := le.Uint32(b[12:])
		if small < 6 || large > 13 || small > large || rate < minRate || rate > maxRate {
			return nil, refuse("the Ogg file has a Vorbis stream that nothing plays")
		}
		o.Info = Info{Format: Ogg, Codec: "vorbis", SampleRate: int(rate), Channels: int(b[11])}
		o.blocks, o.headers = [2]int64{1 << small, 1 << large}, 2
	}
	return o, nil
}

// page counts the packets that end on a page.
func (o *oggStream) page(s *source, p *oggPage) error {
	if !p.continued {
		o.open = 0
	}
	ended, samples := int64(0), int64(0)
	at, fresh := p.body, !p.continued
	for _, n := range p.lacing {
		if fresh && o.headers == 0 && o.Codec == "opus" && n > 0 {
			head, err := s.exactly(at, int(min(n, 2)))
			if err != nil {
				return err
			}
			o.open = opusSamples(head)
		}
		at += int64(n)
		fresh = n < 255
		if !fresh {
			continue
		}
		if o.headers > 0 {
			o.headers--
			continue
		}
		if o.Codec == "vorbis" && o.packets+ended > 0 { // the first one only begins
			o.open = o.blocks[1] / 2
		}
		ended, samples, o.open = ended+1, samples+o.open, 0
	}
	if ended == 0 {
		return nil
	}
	o.packets, o.counted = o.packets+ended, o.counted+samples
	if p.granule >= 0 {
		if !o.begun { // one that was cut out of a longer one does not begin at 0
			o.start, o.begun = max(p.granule-samples, 0), true
		}
		o.position, o.last = p.granule, samples
	}
	return nil
}

// samples returns how many samples of each channel are played. The position at
// the end says where in what came last the sound ends; more than that it is not
// believed.
func (o *oggStream) samples() int64 {
	most, least := o.counted, o.counted-o.last
	if o.Codec == "vorbis" {
		least = max(o.packets-2, 0) * o.blocks[0] / 2 // the last one may be cut
	}
	n := most
	if o.begun {
		n = min(max(o.position-o.start, least), most)
	}
	return max(n-o.skip, 0)
}

// opusSamples returns how many samples a packet has that begins with these
// bytes.
func opusSamples(b []byte) int64 {
	var frame int64
	switch config := b[0] >> 3; {
	case config < 12:
		frame = []int64{480, 960, 1920, 2880}[config&3]
	case config < 16:
		frame = []int64{480, 960}[config&1]
	default:
		frame = []int64{120, 240, 480, 960}[config&3]
	}
	count := int64(1)
	switch b[0] & 3 {
	case 1, 2:
		count = 2
	case 3:
		count = 0
		if len(b) > 1 {
			count = int64(b[1] & 0x3F)
		}
	}
	return min(frame*count, maxOpus)
}
