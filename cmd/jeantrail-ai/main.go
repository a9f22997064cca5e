package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/jeantrail/jeantrail-ai/engine/native"
)

// version is set by the build (-ldflags "-X main.version=…").
var version = "dev"

// errInterrupted is the cause of a context that a signal ended.
var errInterrupted = errors.New("interrupted")

func main() {
	os.Exit(run(os.Args[1:]))
}

// run is main without the exit, so that everything deferred happens.
func run(args []string) int {
	o := &options{}
	root := newRootCommand(o)
	// Before anything else: a processor without what the archives were compiled
	// for would end the process with an illegal instruction. doctor enters none of
	// them then, and explains.
	if err := native.CheckCPU(); err != nil && !explains(root, args) {
		printError(os.Stderr, err)
		return exitUnavailable
	}
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), leastProcs))
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	go o.interrupts.watch(ctx, signals, func() { cancel(errInterrupted) })
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	printError(os.Stderr, err)
	return exitCode(err)
}

// leastProcs is how many goroutines may run at once at the least. The engine's
// thread gives its place up during each step and must get one back at once; on a
// machine with two cores it would wait behind two requests.
const leastProcs = 4

// options are what all commands share.
type options struct {
	home       string
	json       bool
	interrupts interrupts
}

// interrupts decides what Ctrl-C stops: the whole command, unless a part of it
// has asked to be stopped instead.
type interrupts struct {
	mu     sync.Mutex
	part   context.CancelCauseFunc
	hangup func() // what SIGHUP does instead of stopping the whole; nil: nothing else
}

// watch stops the part or the whole at each signal until ctx ends. Only Ctrl-C
// is for a part; a request to terminate is always for the whole.
func (i *interrupts) watch(ctx context.Context, signals <-chan os.Signal, whole func()) {
	for {
		select {
		case s := <-signals:
			i.mu.Lock()
			part, hangup := i.part, i.hangup
			i.mu.Unlock()
			if hangup != nil && s == syscall.SIGHUP {
				hangup()
				continue
			}
			if part != nil && s == os.Interrupt {
				part(errInterrupted)
				continue
			}
			whole()
		case <-ctx.Done():
			return
		}
	}
}

// onHangup lets SIGHUP do something else than stop the command.
func (i *interrupts) onHangup(do func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.hangup = do
}

// catch returns a context that Ctrl-C ends instead of the command, until
// release is called.
func (i *interrupts) catch(ctx context.Context) (part context.Context, release func()) {
	part, cancel := context.WithCancelCause(ctx)
	i.mu.Lock()
	i.part = cancel
	i.mu.Unlock()
	return part, func() {
		i.mu.Lock()
		i.part = nil
		i.mu.Unlock()
		cancel(nil)
	}
}

func newRootCommand(o *options) *cobra.Command {
	root := &cobra.Command{
		Use:   "jeantrail-ai",
		Short: "Every local AI model on this machine, for one desktop app",
		Long: "jeantrail-ai loads Qwen3 models (GGUF) in its own process and serves them to a desktop app\n" +
			"over HTTP, SSE and WebSocket on this machine only, with every job and its cost on record.\n\n" +
			"Begin with:  jeantrail-ai serve",
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       version,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return errUsage{err} })
	root.PersistentFlags().StringVar(&o.home, "home", "", "folder for models, jobs and settings (JEANTRAIL_HOME)")
	root.AddCommand(
		newServeCommand(o), newGenerateCommand(o), newChatCommand(o), newImageCommand(o), newTranscribeCommand(o), newSpeakCommand(o),
		newPipelineCommand(o), newWorkerCommand(o), newModelCommand(o), newBenchCommand(o),
		newJobCommand(o), newCostCommand(o), newBudgetCommand(o), newAlertCommand(o), newRuleCommand(o), newPriceCommand(o),
		newTemplateCommand(o), newConfigCommand(o), newDoctorCommand(o), newOpenAPICommand(), newVersionCommand(),
	)
	return root
}

// args wraps a cobra argument check so that its error counts as wrong usage.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, a []string) error {
		if err := check(cmd, a); err != nil {
			return errUsage{err}
		}
		return nil
	}
}

// exclusive refuses a command line that gives more than one of the flags.
func exclusive(cmd *cobra.Command, flags ...string) error {
	var given []string
	for _, name := range flags {
		if cmd.Flags().Changed(name) {
			given = append(given, "--"+name)
		}
	}
	if len(given) > 1 {
		return errUsage{fmt.Errorf("%s exclude each other", strings.Join(given, " and "))}
	}
	return nil
}

// jsonFlag adds --json to a command.
func (o *options) jsonFlag(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVar(&o.json, "json", false, "print JSON instead of text")
	return cmd
}
