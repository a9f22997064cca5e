package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"
)

// Session is a command's way to an instance: the one that runs on the home, or
// one of its own for as long as the command takes.
type Session struct {
	*Client
	own *App
}

// openSession finds the running instance of the home, else opens the home in
// this process behind a listener of its own. Either way the command speaks the
// same interface.
func openSession(ctx context.Context, o *options, need Need) (*Session, error) {
	home, err := homeDir(o.home)
	if err != nil {
		return nil, err
	}
	running, there, err := runningInstance(home)
	if err != nil {
		return nil, err
	}
	if there {
		return &Session{Client: newClient(running.BaseURL, running.Token)}, nil
	}
	config, err := loadConfig(home, nil)
	if err != nil {
		return nil, err
	}
	token, err := newToken()
	if err != nil {
		return nil, err
	}
	app, err := OpenApp(ctx, AppOptions{
		Config: config, Listen: "127.0.0.1:0", Token: token, Brief: true, Need: need,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return nil, err
	}
	return &Session{Client: newClient(app.BaseURL(), token), own: app}, nil
}

// Ready waits for the model, with a bar if that takes long.
func (s *Session) Ready(ctx context.Context) error {
	bar := newProgress("loading the model", false)
	defer bar.Done()
	return s.WaitReady(ctx, func(_ string, progress float64) { bar.Set(int64(progress*100), 100) })
}

// Close ends an instance of the session's own; jobs are settled first.
func (s *Session) Close() error {
	if s.own == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return s.own.Close(ctx)
}

// withSession runs what a command does between open and close.
func withSession(ctx context.Context, o *options, do func(*Session) error) error {
	return within(ctx, o, NeedAll, do)
}

// withRecords is withSession for a command that needs no model.
func withRecords(ctx context.Context, o *options, do func(*Session) error) error {
	return within(ctx, o, NeedRecords, do)
}

// withWorkers is withSession for a command that needs workers and no model: it
// does not wait for one.
func withWorkers(ctx context.Context, o *options, do func(*Session) error) error {
	return within(ctx, o, NeedWorkers, do)
}

func within(ctx context.Context, o *options, need Need, do func(*Session) error) error {
	s, err := openSession(ctx, o, need)
	if err != nil {
		return err
	}
	return errors.Join(do(s), s.Close())
}
