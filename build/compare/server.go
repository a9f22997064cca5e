package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/shirou/gopsutil/v4/process"
)

// contender is one server with one set of options.
type contender struct {
	name    string
	command func(port int, home string) (*exec.Cmd, error)
	ready   string // path that answers 200 when the model is loaded
	body    func(prompt string, n int) (path string, body map[string]any)
}

func contenders(s settings) []contender {
	return []contender{
		{"ours", s.ourCommand, "/ready", ourBody},
		{"llama-server", s.peerCommand(), "/health", peerBody},
		{fmt.Sprintf("llama-server -np %d", s.slots), s.peerCommand("-np", strconv.Itoa(s.slots), "-c", strconv.Itoa(s.slots*s.nCtx)), "/health", peerBody},
	}
}

func (s settings) ourCommand(port int, home string) (*exec.Cmd, error) {
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

func (s settings) peerCommand(more ...string) func(int, string) (*exec.Cmd, error) {
	return func(port int, _ string) (*exec.Cmd, error) {
		args := []string{"-m", s.model, "--host", "127.0.0.1", "--port", strconv.Itoa(port), "-t", strconv.Itoa(s.threads), "--no-webui"}
		return exec.Command(filepath.Join(s.peers, "llama-server"), append(args, more...)...), nil
	}
}

func ourBody(prompt string, n int) (string, map[string]any) {
	return "/generate", map[string]any{
		"prompt": prompt, "raw": true, "ignore_eos": true, "max_tokens": n, "temperature": 0, "stream": true, "cache": false,
	}
}

func peerBody(prompt string, n int) (string, map[string]any) {
	return "/completion", map[string]any{"prompt": prompt, "ignore_eos": true, "n_predict": n, "temperature": 0, "stream": true}
}

// server is a contender that runs.
type server struct {
	contender
	cmd   *exec.Cmd
	base  string
	start time.Time
	ready time.Duration // from exec to the first 200
	log   bytes.Buffer
}

func (c contender) launch(ctx context.Context) (*server, error) {
	home, err := os.MkdirTemp("", "compare")
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	port := ln.Addr().(*net.TCPAddr).Port
	if err := ln.Close(); err != nil {
		return nil, err
	}
	cmd, err := c.command(port, home)
	if err != nil {
		return nil, err
	}
	s := &server{contender: c, cmd: cmd, base: fmt.Sprintf("http://127.0.0.1:%d", port), start: time.Now()}
	cmd.Stdout, cmd.Stderr = &s.log, &s.log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if err := s.waitReady(ctx); err != nil {
		s.stop()
		return nil, fmt.Errorf("%w\n%s", err, s.log.String())
	}
	return s, nil
}

func (s *server) waitReady(ctx context.Context) error {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for time.Since(s.start) < 3*time.Minute {
		resp, err := http.Get(s.base + s.contender.ready)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				s.ready = time.Since(s.start)
				return nil
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return errors.New("the server does not become ready")
}

// resident is the memory that the server holds, in MiB.
func (s *server) resident() (float64, error) {
	p, err := process.NewProcess(int32(s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	info, err := p.MemoryInfo()
	if err != nil {
		return 0, err
	}
	return float64(info.RSS) / (1 << 20), nil
}

func (s *server) stop() {
	_ = s.cmd.Process.Signal(os.Interrupt)
	done := make(chan struct{})
	go func() { _ = s.cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(15 * time.Second):
		_ = s.cmd.Process.Kill()
		<-done
	}
}
