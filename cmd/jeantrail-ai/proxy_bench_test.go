package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jeantrail/jeantrail-ai/internal/testkit"
)

// BenchmarkProxy compares a picture asked of a worker directly with one asked
// through the program, one after the other: what admission, queue, artifact,
// settlement and their commits add. It reports medians in milliseconds.
//
//	go test -run - -bench Proxy -benchtime 300x ./cmd/jeantrail-ai
func BenchmarkProxy(b *testing.B) {
	sdxl := testkit.Serve(b, testkit.SDServer{})
	b.Setenv("SDXL_URL", sdxl.URL)
	in := startBenchmarked(b)
	comparePairs(b, func(n int) (direct, through time.Duration) {
		body := fmt.Sprintf(`{"prompt": "a lighthouse %d", "width": 64, "height": 64, "seed": %d}`, n, n)
		return ask(b, sdxl.URL+"/sdapi/v1/txt2img", body), ask(b, in+"/generate-image", body)
	})
}

// BenchmarkProxyJSON is the same for an answer that is JSON and nothing else.
func BenchmarkProxyJSON(b *testing.B) {
	llama := testkit.Serve(b, testkit.Llama{})
	b.Setenv("QWEN_URL", llama.URL)
	in := startBenchmarked(b)
	comparePairs(b, func(n int) (direct, through time.Duration) {
		message := fmt.Sprintf("hello %d", n)
		return ask(b, llama.URL+"/v1/chat/completions", fmt.Sprintf(`{"messages": [{"role": "user", "content": %q}], "stream": true}`, message)),
			ask(b, in+"/generate", fmt.Sprintf(`{"prompt": %q}`, message))
	})
}

// ask sends a body and reads the answer to its end.
func ask(b *testing.B, url, body string) time.Duration {
	b.Helper()
	begin := time.Now()
	resp, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	if err != nil || resp.StatusCode != http.StatusOK {
		b.Fatalf("%s: %d %v", url, resp.StatusCode, err)
	}
	return time.Since(begin)
}

// comparePairs reports the medians of pairs.
func comparePairs(b *testing.B, pair func(n int) (direct, through time.Duration)) {
	b.Helper()
	var direct, through []time.Duration
	for n := range b.N + 20 {
		d, p := pair(n)
		if n >= 20 { // the first ones open connections
			direct, through = append(direct, d), append(through, p)
		}
	}
	b.ReportMetric(milliseconds(median(direct)), "direct-ms")
	b.ReportMetric(milliseconds(median(through)), "through-ms")
	b.ReportMetric(milliseconds(median(through)-median(direct)), "added-ms")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkLargeArtifact has 50 MB of speech made, kept and fetched, and reports
// by how much that raised the most memory the program ever held.
func BenchmarkLargeArtifact(b *testing.B) {
	coqui := testkit.Serve(b, testkit.Coqui{})
	b.Setenv("COQUI_URL", coqui.URL)
	in := startBenchmarked(b)
	text := strings.Repeat("word ", 200)
	speak := func(text string) int64 {
		body := []byte(fmt.Sprintf(`{"text": %q}`, text))
		req, err := http.NewRequest(http.MethodPost, in+"/speak", bytes.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Accept", "audio/wav")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		defer resp.Body.Close()
		n, err := io.Copy(io.Discard, resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			b.Fatalf("%d %v", resp.StatusCode, err)
		}
		return n
	}
	for range 3 {
		speak(text)
	}
	before := highWater(b)
	bytes := int64(0)
	for range b.N {
		bytes = speak(strings.Repeat("word ", 3600))
	}
	b.ReportMetric(float64(bytes)/1e6, "artifact-MB")
	b.ReportMetric(float64(highWater(b)-before)/1e6, "grown-MB")
	b.ReportMetric(0, "ns/op")
}

// benchmarked is the process of startBenchmarked.
var benchmarked int

// startBenchmarked starts the program without a token and returns its address,
// when the model is loaded: that takes memory, too.
func startBenchmarked(b *testing.B) string {
	b.Helper()
	in := startOpen(b)
	benchmarked = in.cmd.Process.Pid
	base := in.ready["base_url"].(string)
	for {
		resp, err := http.Get(base + "/ready")
		if err != nil {
			b.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return base
		}
	}
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// highWater is the most memory that the program held so far, in bytes.
func highWater(b *testing.B) int64 {
	b.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", benchmarked))
	if err != nil {
		b.Skip("the system does not tell what a process holds")
	}
	defer f.Close()
	for scan := bufio.NewScanner(f); scan.Scan(); {
		if value, ok := strings.CutPrefix(scan.Text(), "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			return kib << 10
		}
	}
	b.Fatal("no VmHWM")
	return 0
}
