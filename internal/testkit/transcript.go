package testkit

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"
)

// Script is what a double hears in audio. The zero value hears two sentences
// in any WAV file.
type Script struct {
	Text     string // whole sentences
	Language string // its code, "en" unless told
	// Measure returns the length of audio that is no WAV file, or an error when
	// it is no audio at all. Nil: only WAV can be decoded.
	Measure func(audio []byte) (time.Duration, error)
}

// A heard is a transcript of one file.
type heard struct {
	length   time.Duration
	language string
	text     string
	segments []segment
}

// A segment is a sentence and the time in which it is said.
type segment struct {
	text       string
	start, end time.Duration
}

func (s Script) language() string {
	if s.Language == "" {
		return "en"
	}
	return s.Language
}

// hear measures the audio and spreads the words over it.
func (s Script) hear(audio []byte) (heard, error) {
	length, err := wavLength(audio)
	if err != nil {
		if s.Measure == nil {
			return heard{}, err
		}
		if length, err = s.Measure(audio); err != nil {
			return heard{}, err
		}
	}
	return s.over(length), nil
}

// over spreads the sentences over that time, by their length.
func (s Script) over(length time.Duration) heard {
	text := s.Text
	if text == "" {
		text = "The lighthouse stands at the end of the pier. Its light turns all night."
	}
	h := heard{length: length, language: s.language(), text: text}
	total, done := utf8.RuneCountInString(strings.Join(sentences(text), "")), 0
	for _, sentence := range sentences(text) {
		start := length * time.Duration(done) / time.Duration(total)
		done += utf8.RuneCountInString(sentence)
		h.segments = append(h.segments, segment{sentence, start, length * time.Duration(done) / time.Duration(total)})
	}
	return h
}

// sentences cuts a text after each ". ", "! " or "? ".
func sentences(text string) []string {
	var all []string
	for _, part := range strings.SplitAfter(text, " ") {
		if n := len(all); n > 0 && !strings.ContainsAny(all[n-1][len(all[n-1])-1:], ".!?") {
			all[n-1] += " " + strings.TrimSpace(part)
			continue
		}
		if part = strings.TrimSpace(part); part != "" {
			all = append(all, part)
		}
	}
	return all
}

// A spoken is a word and the time in which it is said.
type spoken struct {
	word       string
	start, end time.Duration
}

// words spreads a segment's words evenly over its time.
func (s segment) words() []spoken {
	fields := strings.Fields(s.text)
	each := (s.end - s.start) / time.Duration(max(len(fields), 1))
	all := make([]spoken, 0, len(fields))
	for i, word := range fields {
		begin := s.start + time.Duration(i)*each
		all = append(all, spoken{word, begin, begin + each})
	}
	return all
}

// lines returns one segment a line.
func (h heard) lines() string {
	var out strings.Builder
	for _, s := range h.segments {
		out.WriteString(s.text + "\n")
	}
	return out.String()
}

func (h heard) srt() string {
	var out strings.Builder
	for i, s := range h.segments {
		fmt.Fprintf(&out, "%d\n%s --> %s\n%s\n\n", i+1, clock(s.start, ","), clock(s.end, ","), s.text)
	}
	return out.String()
}

func (h heard) vtt() string {
	var out strings.Builder
	out.WriteString("WEBVTT\n\n")
	for _, s := range h.segments {
		fmt.Fprintf(&out, "%s --> %s\n%s\n\n", clock(s.start, "."), clock(s.end, "."), s.text)
	}
	return out.String()
}

func clock(d time.Duration, point string) string {
	ms := d.Milliseconds()
	return fmt.Sprintf("%02d:%02d:%02d%s%03d", ms/3600000, ms/60000%60, ms/1000%60, point, ms%1000)
}

// openAISegments returns the segments as faster-whisper's servers write them.
func (h heard) openAISegments() []object {
	all := make([]object, 0, len(h.segments))
	for i, s := range h.segments {
		all = append(all, object{
			"id": i + 1, "seek": 0, "start": s.start.Seconds(), "end": s.end.Seconds(), "text": " " + s.text,
			"tokens": []int{50364, 50365 + i}, "temperature": 0.0, "avg_logprob": -0.21, "compression_ratio": 1.4, "no_speech_prob": 0.01,
		})
	}
	return all
}

// openAIWords returns all words in one list.
func (h heard) openAIWords() []object {
	var all []object
	for _, s := range h.segments {
		for _, w := range s.words() {
			all = append(all, object{"word": " " + w.word, "start": w.start.Seconds(), "end": w.end.Seconds()})
		}
	}
	return all
}

// upload returns the file part of that name, and the name and content type
// that the client gave it.
func upload(r *http.Request, field string) (data []byte, name, contentType string, err error) {
	file, head, err := r.FormFile(field)
	if err != nil {
		return nil, "", "", err
	}
	defer func() { _ = file.Close() }()
	data, err = io.ReadAll(file)
	return data, head.Filename, head.Header.Get("Content-Type"), err
}
