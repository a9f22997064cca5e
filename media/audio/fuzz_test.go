package audio

import (
	"bytes"
	"errors"
	"testing"

	"github.com/jeantrail/jeantrail-ai"
)

func addSeeds(f *testing.F) {
	for name := range played {
		b := sample(f, name)
		f.Add(b[:1500]) // small seeds mutate faster
		if len(b) < 5500 {
			f.Add(b)
		}
	}
	pcm := waveFormat(wavePCM, 1, 16000, 16, 16)
	f.Add(wave(pcm, "", 0xFFFFFFFF, make([]byte, 100)))
	f.Add(wave(waveFormat(wavePCM, 2, 48000, 24, 40), "LIST\x04\x00\x00\x00INFO", 60, make([]byte, 100)))
	f.Add(wave(waveFormat(waveMuLaw, 1, 8000, 8, 18), "", 0, make([]byte, 100)))
	f.Add([]byte("<html>"))
}

// FuzzIdentify holds Identify to its promises on any bytes: no panic, and
// either an error with a hint or a duration that something can play.
func FuzzIdentify(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		info, err := Identify(bytes.NewReader(b))
		if err != nil {
			var e *jeantrail.Error
			if !errors.As(err, &e) || e.Code != jeantrail.CodeUnsupportedMedia || e.Message == "" || e.Hint == "" {
				t.Fatalf("incomplete error %#v", err)
			}
			if info != (Info{}) {
				t.Fatalf("%+v beside an error", info)
			}
			return
		}
		if info.Duration <= 0 || info.Duration > MaxDuration || info.Channels < 1 || info.SampleRate < minRate || info.Codec == "" || info.Format.MediaType() == "" {
			t.Fatalf("accepted with %+v", info)
		}
	})
}

// FuzzRewrite holds what Rewrite accepts to being a WAV file that lasts as long
// as Rewrite says, and that it leaves as it is.
func FuzzRewrite(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		var once file
		info, err := Rewrite(&once, bytes.NewReader(b))
		if err != nil {
			return
		}
		if again, err := Identify(bytes.NewReader(once.b)); err != nil || again != info {
			t.Fatalf("Rewrite says %+v, Identify %+v (%v)", info, again, err)
		}
		var twice file
		if _, err := Rewrite(&twice, bytes.NewReader(once.b)); err != nil || !bytes.Equal(once.b, twice.b) {
			t.Fatalf("a second pass changed the file: %v", err)
		}
	})
}
