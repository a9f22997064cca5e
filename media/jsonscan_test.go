package media

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestScanReadsWhatJSONReads(t *testing.T) {
	const text = ` {"a" : [1, "x\"y", {"b":[]}, null], "images":["YWJj","\u0041\/\ud83d\ude00\n"] , "n": -1.5e3,"last":true } `
	for name, r := range map[string]io.Reader{"whole": strings.NewReader(text), "byte by byte": iotest.OneByteReader(strings.NewReader(text))} {
		s := newScan(r)
		var images []string
		var n float64
		var keys []string
		err := s.object(func(key string) error {
			keys = append(keys, key)
			switch key {
			case "images":
				return s.array(func() error {
					one, err := s.text(100)
					images = append(images, one)
					return err
				})
			case "n":
				return s.value(&n, 10)
			}
			return s.skip()
		})
		if err != nil || s.end() != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if strings.Join(images, "|") != "YWJj|A/😀\n" || n != -1500 || strings.Join(keys, " ") != "a images n last" {
			t.Errorf("%s: read %q, %v, %q", name, images, n, keys)
		}
	}
}

func TestScanRefuses(t *testing.T) {
	for text, want := range map[string]error{
		``: io.ErrUnexpectedEOF, `{`: io.ErrUnexpectedEOF, `{"a":1`: io.ErrUnexpectedEOF, `{"a":"x`: io.ErrUnexpectedEOF, `{"a":"\u00`: io.ErrUnexpectedEOF,
		`[`: errSyntax, `{1:2}`: errSyntax, `{"a" 1}`: errSyntax, `{"a":"x" "b":1}`: errSyntax, `{"s":"\x"}`: errSyntax, `{"s":"` + "\n" + `"}`: errSyntax,
		`{"s":"\uzzzz"}`: errSyntax, `{"s":"` + strings.Repeat("x", 101) + `"}`: errSyntax, `{"v":"` + strings.Repeat("x", 101) + `"}`: errSyntax,
	} {
		s := newScan(strings.NewReader(text))
		err := s.object(func(key string) error {
			switch key {
			case "s":
				_, err := s.text(100)
				return err
			case "v":
				var v any
				return s.value(&v, 100)
			}
			return s.skip()
		})
		if !errors.Is(err, want) {
			t.Errorf("%q: error is %v, want %v", text, err, want)
		}
	}
	s := newScan(strings.NewReader(`{} x`))
	if err := s.object(func(string) error { return nil }); err != nil || !errors.Is(s.end(), errSyntax) {
		t.Errorf("what follows the end was not seen: %v", err)
	}
	var nest func(s *scan) error
	nest = func(s *scan) error { return s.array(func() error { return nest(s) }) }
	if err := nest(newScan(strings.NewReader(strings.Repeat("[", 1000)))); !errors.Is(err, errSyntax) {
		t.Errorf("error is %v, want one about the depth", err)
	}
}

// What encoding/json reads, a scan reads the same.
func FuzzScan(f *testing.F) {
	for _, seed := range []string{`{"images":["YQ==","\u00e9"],"info":"{}"}`, `{"a":{"b":[1,2,{"c":null}]},"images":[]}`, `{"images":[1]}`, `{"images":"\ud800"}`, `[]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var got []string
		s := newScan(bytes.NewReader(data))
		err := s.object(func(string) error {
			if c, err := s.next(); err != nil || c != '"' {
				return s.skip()
			}
			one, err := s.text(len(data))
			got = append(got, one)
			return err
		})
		if err == nil {
			err = s.end()
		}
		if !json.Valid(data) {
			return // a scan does not check what it skips
		}
		var want map[string]json.RawMessage
		if json.Unmarshal(data, &want) != nil || want == nil {
			if err == nil {
				t.Fatalf("%q is no object, and was read as one", data)
			}
			return
		}
		if err != nil {
			if errors.Is(err, errSyntax) && len(data) > 1<<10 {
				return // a key that is too long
			}
			t.Fatalf("%q: %v", data, err)
		}
		dec := json.NewDecoder(bytes.NewReader(data))
		_, _ = dec.Token()
		i := 0
		for dec.More() {
			_, _ = dec.Token()
			var v any
			if err := dec.Decode(&v); err != nil {
				t.Fatal(err)
			}
			if text, ok := v.(string); ok {
				if i >= len(got) || strings.ToValidUTF8(got[i], "\uFFFD") != text && got[i] != text {
					if !strings.ContainsRune(text, '\uFFFD') { // bytes that are not UTF-8 are replaced one by one there
						t.Fatalf("%q: string %d is %q, want %q", data, i, got, text)
					}
				}
				i++
			}
		}
	})
}
