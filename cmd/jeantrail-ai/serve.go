package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"golang.org/x/term"
)

// serveOptions are the flags of serve that are not settings.
type serveOptions struct {
	sidecar   bool
	parentPID int
	port      int
}

func newServeCommand(o *options) *cobra.Command {
	so := &serveOptions{}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the models of this machine on the loopback interface",
		Long: "Serves on 127.0.0.1:3001 until Ctrl-C. An app that launches this program as its sidecar uses\n" +
			"--sidecar --port 0 and reads the address and token from the first line of standard output; the\n" +
			"process then ends with the app.",
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return serve(cmd, o, so) },
	}
	f := cmd.Flags()
	f.BoolVar(&so.sidecar, "sidecar", false, "launched by an app: handshake on standard output, a token for every call, end with the app")
	f.IntVar(&so.parentPID, "parent-pid", 0, "end when the process with this id ends")
	f.IntVar(&so.port, "port", -1, "port to listen on, 0 for a free one (default: that of listen)")
	f.Lookup("port").DefValue = "" // the help would show -1
	setting(cmd, "listen", "listen", "", "address to listen on (default 127.0.0.1:3001)")
	setting(cmd, "model", "default_model", "", "the default model")
	setting(cmd, "log-level", "log_level", "", "debug, info, warn or error")
	return cmd
}

// setting adds a flag that sets a key of the configuration.
func setting(cmd *cobra.Command, flag, key, value, usage string) {
	cmd.Flags().String(flag, value, usage)
	if err := cmd.Flags().SetAnnotation(flag, settingAnnotation, []string{key}); err != nil {
		panic(err) // the flag was defined in the line above
	}
}

// serve runs an instance until something asks it to stop.
func serve(cmd *cobra.Command, o *options, so *serveOptions) error {
	var hands *Handshake
	if so.sidecar {
		hands = &Handshake{out: cmd.OutOrStdout()}
	}
	err := serveUntilStopped(cmd, o, so, hands)
	if err != nil && !errors.Is(err, errInterrupted) && !errors.Is(err, errParentGone) {
		hands.Fatal(err)
		return err
	}
	return nil
}

func serveUntilStopped(cmd *cobra.Command, o *options, so *serveOptions, hands *Handshake) error {
	parent := os.Getppid() // before anything that takes time, see watchDeathSignal
	home, err := homeDir(o.home)
	if err != nil {
		return err
	}
	config, err := loadConfig(home, cmd.Flags())
	if err != nil {
		return err
	}
	logger := newLogger(cmd.ErrOrStderr(), config.LogLevel)
	for _, note := range config.Notes {
		logger.Warn(note)
	}
	read := func() (*LoadedConfig, error) { return loadConfig(home, cmd.Flags()) }
	opts := AppOptions{Config: config, ReadConfig: read, Listen: listenAddress(config.Listen, so.port), Logger: logger, Handshake: hands}
	opts.Token = os.Getenv("JEANTRAIL_TOKEN")
	if so.sidecar && opts.Token == "" {
		if opts.Token, err = newToken(); err != nil {
			return err
		}
		opts.AnnounceToken = true
	}
	app, err := OpenApp(cmd.Context(), opts)
	if err != nil {
		return err
	}
	if !so.sidecar {
		welcome(cmd.ErrOrStderr(), app)
	}
	g, ctx := errgroup.WithContext(cmd.Context())
	if so.sidecar {
		g.Go(func() error { return watchStdin(ctx, cmd.InOrStdin()) })
		g.Go(func() error { return watchDeathSignal(ctx, parent) })
	}
	if so.parentPID > 0 {
		g.Go(func() error { return watchParent(ctx, so.parentPID) })
	}
	g.Go(func() error { return app.Failed(ctx) })
	g.Go(func() error { app.reloadOnHangup(ctx, &o.interrupts); return nil })
	g.Go(func() error { <-ctx.Done(); return context.Cause(ctx) })
	reason := g.Wait()
	logger.Info("stopping", "reason", reason)
	stop, cancel := context.WithTimeout(context.Background(), config.StopTimeout)
	defer cancel()
	return errors.Join(reason, app.Close(stop))
}

// listenAddress puts the port of --port into the configured address.
func listenAddress(listen string, port int) string {
	host, _, err := net.SplitHostPort(listen)
	if port < 0 || err != nil {
		return listen
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// newLogger writes text to a terminal and JSON elsewhere, always to standard
// error.
func newLogger(w io.Writer, level string) *slog.Logger {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		l = slog.LevelInfo // the configuration was checked; this is for tests that bypass it
	}
	opts := &slog.HandlerOptions{Level: l}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return slog.New(slog.NewTextHandler(w, opts))
	}
	return slog.New(slog.NewJSONHandler(w, opts))
}

// newToken makes a secret of 256 random bits.
func newToken() (string, error) {
	var b [32]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", fmt.Errorf("make a token: %w", err)
	}
	return hex.EncodeToString(b[:]), nil
}

// welcome tells a person what to try next.
func welcome(w io.Writer, app *App) {
	fmt.Fprintf(w, `
jeantrail-ai %s is serving the model %q on %s

Try, in another terminal:

  curl -X POST %s/generate \
    -H "Content-Type: application/json" \
    -d '{"prompt": "Hello! What can you do?", "user_id": "user123"}'

  %s chat                        talk with it
  %s model list                  see what is installed
  %s model import FILE.gguf      bring a model you have

Ctrl-C stops it.

`, version, app.DefaultModel(), app.BaseURL(), app.BaseURL(), os.Args[0], os.Args[0], os.Args[0])
}
