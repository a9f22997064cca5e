package media

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestWordsOfAWorker(t *testing.T) {
	for body, want := range map[string]string{
		`{"error":"prompt required"}`:                                              "prompt required",
		`{"error":"server_error","message":"parse error"}`:                         "server_error: parse error",
		`{"error":{"code":500,"message":"no model","type":""}}`:                    "no model",
		`{"detail":"Not Found"}`:                                                   "Not Found",
		`{"detail":[{"loc":["body","seed"],"msg":"not a number","type":"x"}]}`:     "seed: not a number",
		`{"detail":{"error":"invalid_model","message":"no such","type":"x"}}`:      "invalid_model: no such",
		`{"error":"OutOfMemoryError","detail":"","body":"","errors":"CUDA"}`:       "OutOfMemoryError: CUDA",
		"File Not Found (/health)":                                                 "File Not Found (/health)",
		"two\n lines\x00\x1b[31m and\u202e more ":                                  "two lines [31m and more",
		"<!doctype html><title>500 Oops</title><h1>Oops</h1><p>It &amp; all</p>":   "500 Oops Oops It & all",
		"<html><head><style>x{}</style></head><script>alert(1)</script>bad</html>": "bad",
		"":         "",
		"\xff\xfe": "\uFFFD",
	} {
		if got := words([]byte(body)); got != want {
			t.Errorf("words of %q are %q, want %q", body, got, want)
		}
	}
	for _, long := range []string{strings.Repeat("é", 5000), strings.Repeat("x", 5000)} {
		got := words([]byte(long))
		if len(got) > maxWords || !utf8.ValidString(got) || !strings.HasSuffix(got, "…") {
			t.Errorf("%d bytes of words, valid %v", len(got), utf8.ValidString(got))
		}
	}
}
