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
	"time"

	"github.com/shirou/gopsutil/v4/process"

	"github.com/jeantrail/jeantrail-ai/bench"
)

// server is a contender that runs.
type server struct {
	cmd   *exec.Cmd
	home  string
	base  string
	start time.Time
	ready time.Duration // from exec to the first 200
	log   bytes.Buffer
}

// Of http: prompts, and the longer ones that have a beginning in common.
const httpPrompt, httpShared, httpGen = 128, 512, 64

// serve starts a contender, measures it over HTTP, and stops it.
func (t *table) serve(ctx context.Context, c contender) error {
	srv, err := c.launch(ctx)
	if err != nil {
		return err
	}
	defer srv.stop()
	t.add(figure{name: "http exec to ready", unit: "ms", value: float64(srv.ready.Milliseconds())}, c.name)
	options := bench.HTTPOptions{URL: srv.base, Streams: t.streams, Requests: 1, PromptTokens: httpPrompt, MaxTokens: httpGen}
	if err := t.http(ctx, c, options); err != nil {
		return err
	}
	options.Streams, options.PromptTokens, options.SharedPrefix = []int{t.slots}, httpShared, true
	if err := t.http(ctx, c, options); err != nil {
		return err
	}
	rss, err := srv.resident()
	if err != nil {
		return err
	}
	t.add(figure{name: "http resident after all", unit: "MiB", value: rss}, c.name)
	return nil
}

// http takes the figures of a report. A request that failed makes them unfit for a
// comparison.
func (t *table) http(ctx context.Context, c contender, o bench.HTTPOptions) error {
	report, err := bench.HTTP(ctx, o)
	if err != nil {
		return err
	}
	for i := range report.Rows {
		row := &report.Rows[i]
		if len(row.Failures) > 0 {
			return fmt.Errorf("%d of %d requests failed: %s", row.Failures[0].Count, row.Requests, row.Failures[0].Example)
		}
		name := fmt.Sprintf("http streams: %d", row.Streams)
		if row.Shared {
			name += ", shared beginning"
		}
		for _, f := range []struct {
			of   *bench.Figure
			what string
			unit string
		}{{row.Speed, "", "t/s"}, {row.StreamSpeed, " each", "t/s"}, {row.First, " first token", "ms"}} {
			if f.of != nil {
				t.add(figure{name: name + f.what, unit: f.unit, value: f.of.P50}, c.name)
			}
		}
	}
	return nil
}

func (c *contender) launch(ctx context.Context) (*server, error) {
	home, err := os.MkdirTemp("", "compare")
	if err != nil {
		return nil, err
	}
	s := &server{home: home}
	if err := s.begin(ctx, c); err != nil {
		s.stop()
		return nil, fmt.Errorf("%w\n%s", err, s.log.String())
	}
	return s, nil
}

func (s *server) begin(ctx context.Context, c *contender) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	cmd, err := c.command(s.home, port)
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = &s.log, &s.log
	s.base, s.start = fmt.Sprintf("http://127.0.0.1:%d", port), time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	s.cmd = cmd
	return s.waitReady(ctx, c.ready)
}

func freePort() (int, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return ln.Addr().(*net.TCPAddr).Port, ln.Close()
}

func (s *server) waitReady(ctx context.Context, path string) error {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for time.Since(s.start) < 3*time.Minute {
		resp, err := http.Get(s.base + path)
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
	defer os.RemoveAll(s.home)
	if s.cmd == nil {
		return
	}
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
