package main

import (
	"context"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"

	psnet "github.com/shirou/gopsutil/v4/net"
	"github.com/shirou/gopsutil/v4/process"

	"github.com/jeantrail/jeantrail-ai/doctor"
)

func (l *looker) lookAtPort(ctx context.Context) ([]doctor.Finding, error) {
	config, _ := l.config()
	seen := l.instance()
	p := doctor.Port{
		Listen: config.Listen, Source: config.Sources["listen"], Token: os.Getenv("JEANTRAIL_TOKEN") != "",
		Root: os.Geteuid() == 0, Lowest: doctor.ReadLowestPort(os.DirFS("/")), Windows: runtime.GOOS == "windows",
	}
	if seen.answers() {
		p.Instance = strings.TrimPrefix(seen.file.BaseURL, "http://")
	}
	host, port, err := net.SplitHostPort(config.Listen)
	if err != nil {
		return doctor.CheckPort(p), nil
	}
	p.Local = isLocal(host)
	connections, err := psnet.ConnectionsWithContext(ctx, "tcp")
	if err != nil {
		return nil, err
	}
	for _, c := range connections {
		if c.Status != "LISTEN" || strconv.Itoa(int(c.Laddr.Port)) != port || !doctor.SameAddress(host, c.Laddr.IP) {
			continue
		}
		p.Taken = true
		if p.PID = int(c.Pid); p.PID > 0 {
			p.Ours = seen.there && p.PID == seen.file.PID
			if holder, err := process.NewProcessWithContext(ctx, c.Pid); err == nil {
				p.Process, _ = holder.NameWithContext(ctx) // "" if it cannot be seen
			}
		}
		p.Ours = p.Ours || p.Instance == config.Listen
	}
	if p.Taken && !p.Ours {
		p.Speaks = whoAnswers(ctx, config.Listen)
	}
	return doctor.CheckPort(p), nil
}

// isLocal reports whether a host stands for this machine.
func isLocal(host string) bool {
	if host == "" {
		return true
	}
	ips, err := net.LookupIP(host)
	if err != nil {
		return false
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return true // whether it is cannot be told; the start will
	}
	for _, ip := range ips {
		if ip.IsUnspecified() || ip.IsLoopback() {
			return true
		}
		for _, a := range own {
			if n, ok := a.(*net.IPNet); ok && n.IP.Equal(ip) {
				return true
			}
		}
	}
	return false
}

// whoAnswers is what a server at an address says that it is, "" if it does not.
func whoAnswers(ctx context.Context, address string) string {
	ctx, cancel := context.WithTimeout(ctx, portAnswer)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/", nil)
	if err != nil {
		return ""
	}
	resp, err := http.DefaultTransport.RoundTrip(req) // no redirect is followed
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	var start [256]byte
	n, _ := resp.Body.Read(start[:]) // what it begins with is enough
	if strings.Contains(string(start[:n]), "Ollama is running") {
		return "Ollama"
	}
	return firstLine(printable(resp.Header.Get("Server")))
}
