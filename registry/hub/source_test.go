package hub

import (
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/jeantrail/jeantrail-ai"
)

func TestParseSource(t *testing.T) {
	for text, want := range map[string]Source{
		"hf:Qwen/Qwen3-8B-GGUF":                          {Repo: "Qwen/Qwen3-8B-GGUF", Revision: "main"},
		" hf:Qwen/Qwen3-8B-GGUF:q8_0\n":                  {Repo: "Qwen/Qwen3-8B-GGUF", Revision: "main", Quant: "Q8_0"},
		"hf:a/b:UD-Q4_K_XL@v1.0":                         {Repo: "a/b", Revision: "v1.0", Quant: "UD-Q4_K_XL"},
		"hf:a/b:sub/m-00001-of-00002.gguf":               {Repo: "a/b", Revision: "main", File: "sub/m-00001-of-00002.gguf"},
		"hf:a/b@refs/pr/1":                               {Repo: "a/b", Revision: "refs/pr/1"},
		"https://example.org/a/m.gguf?token=x#part":      {URL: "https://example.org/a/m.gguf?token=x"},
		"http://127.0.0.1:8080/m.gguf":                   {URL: "http://127.0.0.1:8080/m.gguf"},
		"https://huggingface.co/a/b/resolve/main/m.gguf": {URL: "https://huggingface.co/a/b/resolve/main/m.gguf"},
	} {
		got, err := ParseSource(text)
		if err != nil || got != want {
			t.Errorf("ParseSource(%q) = %+v, %v", text, got, err)
		}
		if again, err := ParseSource(got.String()); err != nil || again != got {
			t.Errorf("%q is written as %q, which is read as %+v, %v", text, got, again, err)
		}
	}
	for _, text := range []string{
		"", "qwen3-8b", "hf:", "hf:a", "hf:a/", "hf:/b", "hf:a/b/c", "hf:../b", "hf:a/..", "hf:a/b:", "hf:a/b@", "hf:a/b:../x.gguf", "hf:a/b:x/y",
		"hf:a/b@../../x", "hf:a/b?x=1", "hf:a/b:%2e%2e.gguf", "hf:a/b:\x00.gguf", "ftp://a/m.gguf", "file:///m.gguf", "https:///m.gguf", "/models/m.gguf", "://",
	} {
		_, err := ParseSource(text)
		if e := jeantrail.AsError(err); e.Code != jeantrail.CodeInvalid || !strings.Contains(e.Hint, "hf:OWNER/REPO") {
			t.Errorf("ParseSource(%q): %v, hint %q", text, err, e.Hint)
		}
	}
}

func TestAnAddressOfTheHubIsARepository(t *testing.T) {
	for text, want := range map[string]string{
		"https://hub.example/m/a/b":                                "hf:a/b",
		"https://hub.example/m/a/b/resolve/v1/x/y.gguf?download=1": "hf:a/b:x/y.gguf@v1",
		"https://hub.example/m/a/b/blob/main/y.gguf":               "hf:a/b:y.gguf",
		"https://hub.example/m/a/b/tree/main":                      "https://hub.example/m/a/b/tree/main",
		"https://hub.example/a/b":                                  "https://hub.example/a/b",
		"https://hub.example/m/a":                                  "https://hub.example/m/a",
		"http://hub.example/m/a/b":                                 "http://hub.example/m/a/b",
	} {
		s, err := ParseSource(text)
		if err != nil {
			t.Fatal(err)
		}
		endpoint, err := url.Parse("https://hub.example/m/")
		if err != nil {
			t.Fatal(err)
		}
		if got := s.ofHub(endpoint).String(); got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
	}
}

// TestNoNameLeavesTheFolder tries whatever a hub, a URL or a caller may say.
func TestNoNameLeavesTheFolder(t *testing.T) {
	for _, bad := range []string{"", ".", "..", "../m", "a/b", `a\b`, ".m", "-m", "m:x", "m.", "con", "COM1.x", "nul", "m\x00", "m n", "m-00001-of-00002", strings.Repeat("m", 129)} {
		if n, err := newFileName(bad, wholeModel, 1, 1); jeantrail.CodeOf(err) != jeantrail.CodeInvalid {
			t.Errorf("newFileName(%q) = %q, %v", bad, n, err)
		}
	}
	for _, part := range [][2]int{{0, 2}, {3, 2}, {1, maxParts + 1}} {
		if n, err := newFileName("m", splitPart, part[0], part[1]); err == nil {
			t.Errorf("part %d of %d is called %q", part[0], part[1], n)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		model := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-zA-Z0-9./\\:-]{1,20}`)).Draw(t, "model")
		n, err := newFileName(model, kind(rapid.IntRange(0, 2).Draw(t, "kind")), 1, 2)
		if err != nil {
			return
		}
		folder := filepath.FromSlash("/models")
		if dir := filepath.Dir(n.in(folder)); dir != folder {
			t.Fatalf("%q lies in %q", n, dir)
		}
		if again, err := parseFileName(n.text); err != nil || again != n {
			t.Fatalf("%+v is read as %+v, %v", n, again, err)
		}
	})
}

func TestContentRange(t *testing.T) {
	for text, want := range map[string][3]int64{"bytes 0-63/64": {0, 63, 64}, " bytes 5-5/10": {5, 5, 10}} {
		first, last, total, ok := contentRange(text)
		if !ok || [3]int64{first, last, total} != want {
			t.Errorf("%q: %d %d %d %v", text, first, last, total, ok)
		}
	}
	for _, text := range []string{"", "bytes", "bytes */10", "bytes 0-9/*", "bytes 9-0/10", "bytes 0-10/10", "bytes -1-3/10", "lines 0-1/2", "bytes 0-99999999999999999999/5"} {
		if _, _, _, ok := contentRange(text); ok {
			t.Errorf("%q is a range", text)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, " 0 ": 0, "-1": 0, "soon": 0, "Sun, 01 Mar 2026 12:00:30 GMT": 30 * time.Second, "Sun, 01 Mar 2026 11:00:00 GMT": 0,
	} {
		if got := retryAfter(text, now); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}
