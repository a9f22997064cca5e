package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/jeantrail/jeantrail-ai/bench"
)

// ours is how this program is called in the tables.
const ours = "ours"

// contender is one program with one set of options.
type contender struct {
	name    string
	command func(home string, port int) (*exec.Cmd, error)
	// read takes the figures out of what the command printed; of servers it is nil.
	read  func(out []byte) ([]figure, error)
	ready string // of a server: the path that answers 200 when the model is loaded
}

// contenders are those of a part, ours first.
func (s *settings) contenders(part string) []contender {
	threads := strconv.Itoa(s.threads)
	prompt, gen, repeat := strconv.Itoa(s.prompt), strconv.Itoa(s.gen), strconv.Itoa(s.repeat)
	switch part {
	case "raw":
		return []contender{
			{name: ours, read: readOurs, command: s.our("bench", "raw", s.model, "-p", prompt, "-n", gen, "-r", repeat,
				"--threads", threads, "-o", "json", "--no-keep")},
			{name: "llama-bench", read: readLlamaBench, command: s.peer("llama-bench", "-m", s.model, "-p", prompt, "-n", gen,
				"-r", repeat, "-t", threads, "-o", "json")},
		}
	case "batched":
		list := strings.Trim(strings.ReplaceAll(fmt.Sprint(s.streams), " ", ","), "[]")
		most := strconv.Itoa(slices.Max(s.streams) * (batchedPrompt + batchedGen))
		return []contender{
			{name: ours, read: readOurs, command: s.our("bench", "batched", s.model, "-p", strconv.Itoa(batchedPrompt), "-n", strconv.Itoa(batchedGen),
				"--sequences", list, "-r", "1", "--threads", threads, "-o", "json", "--no-keep")},
			{name: "llama-batched-bench", read: readBatchedBench, command: s.peer("llama-batched-bench", "-m", s.model, "-c", most, "-kvu",
				"-npp", strconv.Itoa(batchedPrompt), "-ntg", strconv.Itoa(batchedGen), "-npl", list, "-t", threads, "--output-format", "jsonl")},
		}
	}
	return []contender{
		{name: ours, command: s.serve, ready: "/ready"},
		{name: "llama-server", command: s.server(), ready: "/health"},
		{name: fmt.Sprintf("llama-server -np %d", s.slots), command: s.server("-np", strconv.Itoa(s.slots)), ready: "/health"},
	}
}

// Of batched: short, as 16 prompts of 512 tokens take minutes.
const batchedPrompt, batchedGen = 128, 32

func (s *settings) our(args ...string) func(string, int) (*exec.Cmd, error) {
	return func(home string, _ int) (*exec.Cmd, error) {
		cmd := exec.Command(s.ours, args...)
		cmd.Env = append(os.Environ(), "JEANTRAIL_HOME="+home)
		return cmd, nil
	}
}

func (s *settings) peer(name string, args ...string) func(string, int) (*exec.Cmd, error) {
	return func(string, int) (*exec.Cmd, error) {
		return exec.Command(filepath.Join(s.peers, name), args...), nil
	}
}

// serve is our server, with a home that knows one model.
func (s *settings) serve(home string, port int) (*exec.Cmd, error) {
	model, err := filepath.Abs(s.model)
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf("default_model: bench\nengine:\n  slots: %d\nmodels:\n  - name: bench\n    model_path: %q\n    n_ctx: %d\n    n_threads: %d\n",
		s.slots, model, s.nCtx, s.threads)
	if err := os.WriteFile(filepath.Join(home, "config.yaml"), []byte(config), 0o600); err != nil {
		return nil, err
	}
	return exec.Command(s.ours, "serve", "--home", home, "--port", strconv.Itoa(port)), nil
}

// server is llama-server with as many KV cells as ours; left alone it takes the
// model's whole context, which is tens of gigabytes.
func (s *settings) server(more ...string) func(string, int) (*exec.Cmd, error) {
	return func(_ string, port int) (*exec.Cmd, error) {
		args := []string{"-m", s.model, "--host", "127.0.0.1", "--port", strconv.Itoa(port), "-t", strconv.Itoa(s.threads),
			"-c", strconv.Itoa(s.slots * s.nCtx), "--no-webui"}
		return exec.Command(filepath.Join(s.peers, "llama-server"), append(args, more...)...), nil
	}
}

// program runs a contender that prints its figures and ends.
func (t *table) program(ctx context.Context, c contender) error {
	home, err := os.MkdirTemp("", "compare")
	if err != nil {
		return err
	}
	defer os.RemoveAll(home)
	cmd, err := c.command(home, 0)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(cmd.Path), err)
	}
	figures, err := c.read(out)
	if err != nil {
		return fmt.Errorf("read what %s printed: %w", filepath.Base(cmd.Path), err)
	}
	for _, f := range figures {
		t.add(f, c.name)
	}
	return nil
}

func readOurs(out []byte) ([]figure, error) {
	report, err := bench.Read(bytes.NewReader(out))
	if err != nil {
		return nil, err
	}
	var figures []figure
	for i := range report.Rows {
		row := &report.Rows[i]
		figures = append(figures, speedOf(string(report.Kind), row.Test, row.Streams, row.Speed.Mean))
	}
	return figures, nil
}

// speedOf names a speed of raw or batched.
func speedOf(kind, test string, streams int, value float64) figure {
	name := kind + " " + test
	if kind == string(bench.KindBatched) {
		name += ", sequences: " + strconv.Itoa(streams)
	}
	return figure{name: name, unit: "t/s", value: value}
}

func readLlamaBench(out []byte) ([]figure, error) {
	var tests []struct {
		NPrompt int     `json:"n_prompt"`
		NGen    int     `json:"n_gen"`
		AvgTS   float64 `json:"avg_ts"`
	}
	if err := json.Unmarshal(out, &tests); err != nil {
		return nil, err
	}
	var figures []figure
	for _, test := range tests {
		name := fmt.Sprintf("pp%d", test.NPrompt)
		if test.NGen > 0 {
			name = fmt.Sprintf("tg%d", test.NGen)
		}
		figures = append(figures, speedOf(string(bench.KindRaw), name, 1, test.AvgTS))
	}
	return figures, nil
}

// readBatchedBench reads a JSON object of each line that is one.
func readBatchedBench(out []byte) ([]figure, error) {
	var figures []figure
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		line := bytes.TrimSpace(lines.Bytes())
		if !bytes.HasPrefix(line, []byte("{")) {
			continue
		}
		var test struct {
			PP      int     `json:"pp"`
			TG      int     `json:"tg"`
			PL      int     `json:"pl"`
			SpeedPP float64 `json:"speed_pp"`
			SpeedTG float64 `json:"speed_tg"`
		}
		if err := json.Unmarshal(line, &test); err != nil {
			return nil, err
		}
		figures = append(figures,
			speedOf(string(bench.KindBatched), fmt.Sprintf("pp%d", test.PP), test.PL, test.SpeedPP),
			speedOf(string(bench.KindBatched), fmt.Sprintf("tg%d", test.TG), test.PL, test.SpeedTG))
	}
	return figures, lines.Err()
}
