package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// table collects figures: name -> contender -> one value for each round.
type table struct {
	names  []string // in the order of the first round
	values map[string]map[string][]float64
}

func newTable() *table { return &table{values: make(map[string]map[string][]float64)} }

func (t *table) add(figure, contender string, value float64) {
	if t.values[figure] == nil {
		t.names = append(t.names, figure)
		t.values[figure] = make(map[string][]float64)
	}
	t.values[figure][contender] = append(t.values[figure][contender], value)
	fmt.Fprintf(os.Stderr, "  %-50s %-22s %.2f\n", figure, contender, value)
}

// The names of the figures; in those that end in "s" or "MiB" less is better.
const (
	figDecode  = "decode, 1 stream, tok/s"
	figPrefill = "prefill of 512, tok/s"
	figStart   = "exec to ready, s"
	figRSS     = "resident after all, MiB"
)

const genTokens = 64

// bench asks llama-bench for its pp512 and tg figures.
func (t *table) bench(ctx context.Context, s settings) error {
	out, err := exec.CommandContext(ctx, filepath.Join(s.peers, "llama-bench"), "-m", s.model, "-p", "512", "-n", strconv.Itoa(genTokens),
		"-r", "2", "-t", strconv.Itoa(s.threads), "-fa", "1", "-o", "json").Output()
	if err != nil {
		return fmt.Errorf("llama-bench: %w", err)
	}
	var tests []struct {
		NPrompt int     `json:"n_prompt"`
		NGen    int     `json:"n_gen"`
		AvgTS   float64 `json:"avg_ts"`
	}
	if err := json.Unmarshal(out, &tests); err != nil {
		return fmt.Errorf("read llama-bench: %w", err)
	}
	for _, test := range tests {
		if test.NGen > 0 {
			t.add(figDecode, "llama-bench", test.AvgTS)
		} else {
			t.add(figPrefill, "llama-bench", test.AvgTS)
		}
	}
	return nil
}

// serve starts a contender and takes its figures.
func (t *table) serve(ctx context.Context, s settings, c contender) error {
	srv, err := c.launch(ctx)
	if err != nil {
		return err
	}
	defer srv.stop()
	t.add(figStart, c.name, srv.ready.Seconds())
	if _, err := srv.stream(ctx, "warm up", 8); err != nil {
		return err
	}
	if err := t.single(ctx, srv); err != nil {
		return err
	}
	if s.quick {
		return nil
	}
	for _, clients := range []int{4, 8, 16} {
		if err := t.streams(ctx, srv, clients); err != nil {
			return err
		}
	}
	if err := t.shared(ctx, srv, s.slots); err != nil {
		return err
	}
	rss, err := srv.resident()
	if err != nil {
		return err
	}
	t.add(figRSS, c.name, rss)
	return nil
}

// single takes decode and prefill of one stream, the median of three. Decode
// counts from the first token to the last, prefill up to the first.
func (t *table) single(ctx context.Context, srv *server) error {
	var decode, prefill []float64
	for i := range 3 {
		a, err := srv.stream(ctx, fmt.Sprintf("%d: one stream alone", i), genTokens)
		if err != nil {
			return err
		}
		decode = append(decode, float64(a.count-1)/(a.last-a.first).Seconds())
		if a, err = srv.stream(ctx, words(fmt.Sprintf("prefill%d", i), 512), 1); err != nil {
			return err
		}
		prefill = append(prefill, 512/a.first.Seconds())
	}
	t.add(figDecode, srv.name, median(decode))
	t.add(figPrefill, srv.name, median(prefill))
	return nil
}

// streams takes the aggregate speed of several clients with short and with
// longer prompts, none of which share a beginning.
func (t *table) streams(ctx context.Context, srv *server, clients int) error {
	for _, length := range []int{8, 256} {
		prompts := make([]string, clients)
		for i := range prompts {
			prompts[i] = words(fmt.Sprintf("c%dl%dn%d", clients, length, i), length)
		}
		whole, answers, err := srv.many(ctx, prompts, genTokens)
		if err != nil {
			return err
		}
		kind := fmt.Sprintf("%d clients, %d-token prompts", clients, length)
		t.add(kind+", tok/s", srv.name, float64(clients*genTokens)/whole.Seconds())
		t.add(kind+", median first token, s", srv.name, medianFirst(answers).Seconds())
	}
	return nil
}

// shared takes the time to the first token when all share a long beginning that
// the server has not seen before.
func (t *table) shared(ctx context.Context, srv *server, clients int) error {
	system := words("shared", 500)
	prompts := make([]string, clients)
	for i := range prompts {
		prompts[i] = fmt.Sprintf("%s Question %d of %d:", system, i, clients)
	}
	whole, answers, err := srv.many(ctx, prompts, genTokens)
	if err != nil {
		return err
	}
	kind := fmt.Sprintf("%d clients, shared 500-token prefix", clients)
	t.add(kind+", median first token, s", srv.name, medianFirst(answers).Seconds())
	t.add(kind+", tok/s", srv.name, float64(clients*genTokens)/whole.Seconds())
	return nil
}

func medianFirst(answers []taken) time.Duration {
	var first []time.Duration
	for _, a := range answers {
		first = append(first, a.first)
	}
	slices.Sort(first)
	return first[len(first)/2]
}

// words makes a prompt of about n tokens that begins like no other: each of the
// common words is one token in Qwen's vocabulary.
func words(tag string, n int) string {
	common := []string{"time", "year", "people", "way", "day", "man", "thing", "woman", "life", "child", "world", "school", "state"}
	var b strings.Builder
	b.WriteString(tag)
	sum := 0
	for _, c := range []byte(tag) {
		sum = sum*31 + int(c)
	}
	for i := range n - 3 {
		b.WriteString(" " + common[(sum+i*7+i*i)%len(common)])
	}
	return b.String()
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// print writes each figure with our ratio against every other contender.
func (t *table) print(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, name := range t.names {
		ours := t.values[name]["ours"]
		var others []string
		for other := range t.values[name] {
			if other != "ours" {
				others = append(others, other)
			}
		}
		slices.Sort(others)
		for _, other := range others {
			theirs := t.values[name][other]
			if len(ours) == 0 || len(ours) != len(theirs) {
				continue
			}
			ratios := make([]float64, len(ours))
			for i := range ours {
				ratios[i] = ours[i] / theirs[i]
			}
			fmt.Fprintf(tw, "%s\tours %.2f\t%s %.2f\tratio %.2f\t(%.2f to %.2f)\n",
				name, median(ours), other, median(theirs), median(ratios), slices.Min(ratios), slices.Max(ratios))
		}
	}
	return tw.Flush()
}
