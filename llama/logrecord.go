package llama

import (
	"context"
	"log/slog"
	"strings"
	"time"
)

// LogRecord is a line that llama.cpp logged.
type LogRecord struct {
	Level slog.Level
	Text  string
}

// joinLines puts together lines that llama.cpp logged in parts, and drops empty
// ones.
func joinLines(parts []LogRecord) []LogRecord {
	var lines []LogRecord
	var open strings.Builder
	for i, p := range parts {
		open.WriteString(p.Text)
		if !strings.HasSuffix(p.Text, "\n") && i < len(parts)-1 {
			continue
		}
		if text := strings.TrimSpace(open.String()); text != "" {
			lines = append(lines, LogRecord{Level: p.Level, Text: text})
		}
		open.Reset()
	}
	return lines
}

// ForwardLog passes llama.cpp's log to logger every so often until ctx ends, and
// then once more. llama.cpp's information is about its inner life: it goes out as
// debug.
func ForwardLog(ctx context.Context, logger *slog.Logger, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			forwardOnce(logger)
			return
		case <-tick.C:
			forwardOnce(logger)
		}
	}
}

func forwardOnce(logger *slog.Logger) {
	records, dropped := DrainLog()
	for _, r := range records {
		level := r.Level
		if level == slog.LevelInfo {
			level = slog.LevelDebug
		}
		logger.Log(context.Background(), level, r.Text, "source", "llama.cpp")
	}
	if dropped > 0 {
		logger.Warn("records of llama.cpp's log were lost", "count", dropped)
	}
}
