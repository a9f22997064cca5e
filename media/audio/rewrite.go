package audio

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"math"
)

// Rewrite copies a WAV stream to dst as a WAV file whose sizes are right, and
// says how long it lasts. Of the chunks it keeps the format and the samples. dst
// must be empty; where it stands afterwards is not said.
//
// A stream that is no WAV, has no samples, or ends before it has as many as it
// says, is unsupported_media; dst is then worth nothing. Errors of src and dst
// are returned as they are.
func Rewrite(dst io.WriteSeeker, src io.Reader) (Info, error) {
	src = bufio.NewReader(src)
	h, err := readWaveHead(src)
	if errors.Is(err, errShort) {
		err = refuse("the WAV stream ended before its first sample")
	}
	if err != nil {
		return Info{}, err
	}
	if h.frame*int64(h.SampleRate) > math.MaxUint32 {
		return Info{}, refuse("the WAV stream has more bytes in a second than a WAV file can have")
	}
	if err := h.write(dst, 0); err != nil {
		return Info{}, err
	}
	limit := int64(math.MaxInt64)
	if !h.unsized() {
		limit = int64(h.data)
	}
	n, err := io.Copy(dst, io.LimitReader(src, limit))
	if err != nil {
		return Info{}, err
	}
	if err := h.ended(src, n); err != nil {
		return Info{}, err
	}
	info, err := described(h.Info, n/h.frame)
	if err != nil {
		return Info{}, err
	}
	if n%2 != 0 {
		if _, err := dst.Write([]byte{0}); err != nil {
			return Info{}, err
		}
	}
	if _, err := dst.Seek(0, io.SeekStart); err != nil {
		return Info{}, err
	}
	return info, h.write(dst, n)
}

// ended checks that a stream of n bytes of samples is whole.
func (h *waveHead) ended(src io.Reader, n int64) error {
	switch {
	case n == 0:
		return refuse("the WAV stream holds no sound")
	case n%h.frame != 0:
		return refuse("the WAV stream ended within a sample, after %d bytes", n)
	case n > maxData:
		return refuse("the WAV stream has more than %d bytes, which a WAV file cannot hold", int64(maxData))
	case h.unsized():
		return nil
	case n < int64(h.data):
		return refuse("the WAV stream ended after %d of its %d bytes", n, h.data)
	}
	return afterData(src, int64(h.data))
}

// maxData leaves room for the head and the padding in the size of a WAV file.
const maxData = math.MaxUint32 - 4*maxFmt

// afterData reads what follows the samples to its end. Anything but chunks
// there is more sound than the stream said.
func afterData(src io.Reader, data int64) error {
	skip := data % 2
	for {
		if _, err := io.CopyN(io.Discard, src, skip); err != nil {
			return unlessEOF(err)
		}
		var head [8]byte
		if _, err := io.ReadFull(src, head[:]); err != nil {
			return unlessEOF(err)
		}
		for _, b := range head[:4] {
			if b < ' ' || b > '~' {
				return refuse("the WAV stream goes on after the %d bytes that it said it had", data)
			}
		}
		size := int64(binary.LittleEndian.Uint32(head[4:]))
		skip = size + size%2
	}
}

func unlessEOF(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// write writes the head of a file with so many bytes of samples.
func (h *waveHead) write(w io.Writer, data int64) error {
	le := binary.LittleEndian
	format := append([]byte(nil), h.fmt...)
	le.PutUint32(format[8:], uint32(h.frame*int64(h.SampleRate)))
	le.PutUint16(format[12:], uint16(h.frame))
	if le.Uint16(format) == wavePCM {
		format = format[:16]
	} else if len(format)%2 != 0 {
		format = format[:len(format)-1]
	}
	var fact []byte
	if le.Uint16(format) != wavePCM { // how many samples each channel has
		fact = le.AppendUint32(le.AppendUint32([]byte("fact"), 4), uint32(data/h.frame))
	}
	head := le.AppendUint32([]byte("RIFF"), uint32(4+8+int64(len(format))+int64(len(fact))+8+data+data%2))
	head = le.AppendUint32(append(head, "WAVEfmt "...), uint32(len(format)))
	head = append(append(head, format...), fact...)
	head = le.AppendUint32(append(head, "data"...), uint32(data))
	_, err := w.Write(head)
	return err
}
