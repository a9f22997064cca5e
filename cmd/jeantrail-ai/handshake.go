package main

import (
	"encoding/json"
	"io"
	"sync"

	"github.com/jeantrail/jeantrail-ai"
)

// handshakeProtocol is raised when a field of the handshake changes meaning.
const handshakeProtocol = 1

// Handshake writes what the launching app reads from standard output: one JSON
// object a line, nothing else. A nil Handshake writes nothing.
type Handshake struct {
	mu  sync.Mutex
	out io.Writer
}

type readyLine struct {
	Event      string `json:"event"`
	Protocol   int    `json:"protocol"`
	PID        int    `json:"pid"`
	Port       int    `json:"port"`
	BaseURL    string `json:"base_url"`
	WSURL      string `json:"ws_url"`
	InstanceID string `json:"instance_id"`
	Version    string `json:"version"`
	Token      string `json:"token,omitempty"`
}

type modelLine struct {
	Event    string  `json:"event"`
	Name     string  `json:"name"`
	Status   string  `json:"status"`
	Progress float64 `json:"progress,omitempty"`
	Problem  string  `json:"problem,omitempty"`
}

type fatalLine struct {
	Event   string `json:"event"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

func (h *Handshake) write(line any) {
	if h == nil {
		return
	}
	data, err := json.Marshal(line)
	if err != nil {
		return // the lines above hold nothing that cannot be encoded
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	// A reader that is gone is noticed by the watchers of the parent.
	_, _ = h.out.Write(append(data, '\n'))
}

// Ready says where the listener is.
func (h *Handshake) Ready(l readyLine) {
	l.Event, l.Protocol = "ready", handshakeProtocol
	h.write(l)
}

// Model says how the loading of a model goes.
func (h *Handshake) Model(name string, status jeantrail.ModelStatus, progress float64, problem string) {
	h.write(modelLine{Event: "model", Name: name, Status: string(status), Progress: progress, Problem: problem})
}

// Fatal says why the process is about to exit badly.
func (h *Handshake) Fatal(err error) {
	e := jeantrail.AsError(err)
	h.write(fatalLine{Event: "fatal", Code: string(e.Code), Message: e.Message, Hint: e.Hint})
}
