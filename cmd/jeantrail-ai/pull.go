package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/registry"
	"github.com/jeantrail/jeantrail-ai/registry/catalogue"
	"github.com/jeantrail/jeantrail-ai/registry/hub"
)

func newModelPullCommand(o *options) *cobra.Command {
	var req jeantrail.PullRequest
	var blind bool
	var cancel string
	cmd := &cobra.Command{
		Use:   "pull NAME|hf:OWNER/REPO[:QUANT][@REVISION]|URL",
		Short: "Download a model into the home's models folder",
		Long: "Downloads a model: one of the catalogue by its name, a repository of a Hugging Face style hub\n" +
			"(quantisation Q4_K_M unless another is named), or a GGUF file by its address. Files come in parts,\n" +
			"several at a time; a pull that was stopped goes on where it was. A file gets its name when its\n" +
			"SHA-256 is right and its content is sound.\n\n" +
			"If an instance of the home runs, it does the work: Ctrl-C ends only the watching, and the pull goes\n" +
			"on after a restart of the instance, until --cancel stops it for good. \"model pulls\" lists them.\n" +
			"Without an instance this command pulls by itself, and Ctrl-C stops it.\n\n" +
			"HF_ENDPOINT names another hub, HF_TOKEN is sent to it and to nobody else. An instance has its own;\n" +
			"where they are set here, and not the same there, this command pulls by itself.",
		Args: func(cmd *cobra.Command, a []string) error {
			switch {
			case cancel == "":
				return args(cobra.ExactArgs(1))(cmd, a)
			case len(a) > 0:
				return errUsage{errors.New("--cancel names the pull by its id; leave the model out")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, a []string) error {
			if cancel != "" {
				return cancelPull(cmd, o, cancel)
			}
			if blind {
				req.MMProj = "none"
			}
			req.Source, req.SHA256 = a[0], strings.ToLower(req.SHA256)
			return pull(cmd, o, req)
		},
	}
	f := cmd.Flags()
	f.StringVar(&req.Name, "name", "", "name of the model here (default: the file's)")
	f.StringVar(&req.SHA256, "sha256", "", "the hash that the file must have")
	f.StringVar(&req.MMProj, "mmproj", "", "the projector to pull along (default: the one that the repository has)")
	f.BoolVar(&blind, "no-mmproj", false, "leave the projector of a vision model")
	f.StringVar(&cancel, "cancel", "", "stop the pull with this id for good")
	cmd.MarkFlagsMutuallyExclusive("mmproj", "no-mmproj")
	for _, other := range []string{"name", "sha256", "mmproj", "no-mmproj"} {
		cmd.MarkFlagsMutuallyExclusive("cancel", other)
	}
	return o.jsonFlag(cmd)
}

// pull has the running instance pull, or pulls in this process if there is none.
func pull(cmd *cobra.Command, o *options, wanted jeantrail.PullRequest) error {
	req, err := hubRequest(wanted)
	if err != nil {
		return err
	}
	home, err := homeDir(o.home)
	if err != nil {
		return err
	}
	running, there, err := runningInstance(home)
	if err != nil {
		return err
	}
	show := &pullProgress{out: cmd.OutOrStdout(), notes: cmd.ErrOrStderr(), json: o.json}
	var got hub.Result
	switch own := hubEnvironment(); {
	case there && (own == "" || own == running.Hub):
		got, err = pullThere(cmd.Context(), newClient(running.BaseURL, running.Token), wanted, show)
	default:
		if there {
			fmt.Fprintln(show.notes, "HF_ENDPOINT or HF_TOKEN is not the same in the running instance: this command pulls by itself")
		}
		got, err = pullHere(cmd.Context(), filepath.Join(home, "models"), req, show)
	}
	if err != nil {
		return err
	}
	if o.json {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(pulledLine(got))
	}
	return printPulled(cmd.OutOrStdout(), got)
}

// pullHere pulls in this process. A lock keeps it apart from other processes that
// pull the same model: it waits for them.
func pullHere(ctx context.Context, folder string, req hub.Request, show *pullProgress) (hub.Result, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return hub.Result{}, err
	}
	client, err := newHub(folder)
	if err != nil {
		return hub.Result{}, err
	}
	defer client.Close()
	got, err := client.Pull(ctx, req, show.event)
	show.end()
	return got, err
}

// hubEnvironment tells one environment's HF_ENDPOINT and HF_TOKEN from another's;
// "" is neither.
func hubEnvironment() string {
	endpoint, token := hub.Environment()
	if endpoint == "" && token == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(endpoint + "\x00" + token))
	return hex.EncodeToString(sum[:])
}

// sourceOf turns a name of the catalogue into where that model comes from;
// anything that is not a plain name is a source already.
func sourceOf(what string) (string, error) {
	if strings.ContainsAny(what, ":/") {
		return what, nil
	}
	return catalogue.Source(what)
}

func newHub(folder string) (*hub.Client, error) {
	endpoint, token := hub.Environment()
	return hub.New(hub.Options{
		Folder: folder, Endpoint: endpoint, Token: token, Wait: true,
		Validate:          func(path string) error { _, err := registry.Check(path); return err },
		ValidateSplit:     func(parts []string) error { _, err := registry.CheckParts(parts); return err },
		ValidateProjector: func(path string) error { _, err := registry.CheckProjector(path); return err },
	})
}

// pullProgress shows a pull: a bar on a terminal, a JSON object a line with
// --json. Notes are for people and go to standard error.
type pullProgress struct {
	out, notes io.Writer
	json       bool
	bar        *Progress
	file       string
	phase      hub.Phase
}

// pullLine is an event as --json writes it.
type pullLine struct {
	Phase          hub.Phase `json:"phase"`
	File           string    `json:"file,omitempty"`
	Done           int64     `json:"done_bytes"`
	Total          int64     `json:"total_bytes"`
	BytesPerSecond int64     `json:"bytes_per_second,omitempty"`
	SecondsLeft    float64   `json:"seconds_left,omitempty"`
	Note           string    `json:"note,omitempty"`
}

func (p *pullProgress) event(e hub.Event) {
	if p.json {
		line := pullLine{Phase: e.Phase, File: e.File, Done: e.Done, Total: e.Total, BytesPerSecond: e.BytesPerSecond, SecondsLeft: e.Left.Seconds(), Note: e.Note}
		_ = json.NewEncoder(p.out).Encode(line) // who stopped reading is no reason to stop
		return
	}
	if e.Note != "" {
		fmt.Fprintln(p.notes, e.Note)
	}
	if e.Phase != p.phase || e.File != p.file {
		p.end()
		p.phase, p.file = e.Phase, e.File
		p.bar = newProgress(strings.TrimSpace(string(e.Phase)+" "+e.File), true)
	}
	p.bar.Set(e.Done, e.Total)
}

// state is event for a pull of an instance, of which the note told was shown.
func (p *pullProgress) state(now *wirePull, told string) {
	status := jeantrail.PullStatus(now.Status)
	if p == nil || status == jeantrail.PullFailed || status == jeantrail.PullCancelled { // that is the error
		return
	}
	p.event(now.event(told))
}

func (p *pullProgress) end() {
	if p.bar != nil {
		p.bar.Done()
		p.bar = nil
	}
}

// pulledLine is the last line of --json.
func pulledLine(got hub.Result) map[string]any {
	file := func(f hub.File) map[string]any {
		return map[string]any{"path": f.Path, "bytes": f.Bytes, "sha256": f.SHA256}
	}
	files := make([]any, 0, len(got.Files))
	for _, f := range got.Files {
		files = append(files, file(f))
	}
	line := map[string]any{"phase": "installed", "name": got.Name, "source": got.Source, "sha256": got.SHA256, "files": files, "fetched_bytes": got.Fetched}
	if got.Commit != "" {
		line["commit"] = got.Commit
	}
	if got.Projector != nil {
		line["mmproj"] = file(*got.Projector)
	}
	return line
}

func printPulled(w io.Writer, got hub.Result) error {
	said := "pulled"
	if got.Fetched == 0 {
		said = "is there already:"
	}
	for _, f := range got.Files {
		if _, err := fmt.Fprintf(w, "%s %s, %s, sha256 %s\n", said, f.Path, humanBytes(f.Bytes), f.SHA256); err != nil {
			return err
		}
	}
	if got.Projector != nil {
		if _, err := fmt.Fprintf(w, "%s %s, %s, with which it reads images\n", said, got.Projector.Path, humanBytes(got.Projector.Bytes)); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "serve it with: jeantrail-ai serve --model %s\n", got.Name)
	return err
}

func newModelRemoveCommand(o *options) *cobra.Command {
	return o.jsonFlag(&cobra.Command{
		Use: "remove NAME", Aliases: []string{"rm"}, Short: "Remove a model's file from the models folder", Args: args(cobra.ExactArgs(1)),
		Long: "Removes the file of a model that lies in the home's models folder. A model that jobs use is left alone,\n" +
			"and so is one that config.yaml names by another path: that file is yours.",
		RunE: func(cmd *cobra.Command, a []string) error {
			path, err := removable(o, a[0])
			if err != nil {
				return err
			}
			if err := unloadRunning(cmd.Context(), o, a[0]); err != nil {
				return err
			}
			freed, err := removeModel(path)
			if err != nil {
				return err
			}
			if o.json {
				return printJSON(cmd.OutOrStdout(), map[string]any{"path": path, "bytes": freed})
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "removed %s, %s\n", path, humanBytes(freed))
			return err
		},
	})
}

// removeModel deletes a model's files, and the projector that a pull put beside
// them, and returns their bytes.
func removeModel(path string) (freed int64, err error) {
	eyes := hub.ProjectorOf(path) // before the name that it goes with is gone
	if freed, err = registry.Remove(path); err != nil || eyes == "" {
		return freed, err
	}
	info, err := os.Stat(eyes)
	if err == nil {
		err = os.Remove(eyes)
	}
	if err != nil {
		return freed, fmt.Errorf("remove the model's projector: %w", err)
	}
	return freed + info.Size(), nil
}

// removable returns the path of a model's file if it is ours to remove.
func removable(o *options, name string) (string, error) {
	reg, err := homeRegistry(o)
	if err != nil {
		return "", err
	}
	entry, err := reg.Resolve(name)
	if err != nil {
		return "", err
	}
	home, err := homeDir(o.home)
	if err != nil {
		return "", err
	}
	switch {
	case entry.BuiltIn:
		return "", jeantrail.Errorf(jeantrail.CodeInvalid, "the model %s is inside this program", entry.Name)
	case entry.Name == reg.Default():
		return "", jeantrail.Errorf(jeantrail.CodeConflict, "the model %s is the default one", entry.Name).
			WithHint("Choose another default_model in config.yaml first.")
	case filepath.Dir(entry.Path) != filepath.Join(home, "models"):
		return "", jeantrail.Errorf(jeantrail.CodeInvalid, "%s does not lie in the models folder", entry.Path).
			WithHint("Take its block out of config.yaml, and remove the file yourself if you want to.")
	}
	return entry.Path, nil
}

// unloadRunning has an instance of the home, if one runs, let go of a model.
func unloadRunning(ctx context.Context, o *options, name string) error {
	home, err := homeDir(o.home)
	if err != nil {
		return err
	}
	running, there, err := runningInstance(home)
	if err != nil || !there {
		return err
	}
	return newClient(running.BaseURL, running.Token).get(ctx, "POST", "/models/"+name+"/unload", &struct{}{})
}

func newModelPruneCommand(o *options) *cobra.Command {
	return o.jsonFlag(&cobra.Command{
		Use: "prune", Short: "Remove what unfinished pulls left", Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			home, err := homeDir(o.home)
			if err != nil {
				return err
			}
			folder := filepath.Join(home, "models")
			left, err := hub.Leftovers(folder)
			if err != nil {
				return err
			}
			removed := make([]string, 0, len(left))
			for _, l := range left {
				if err := hub.Discard(folder, l.Name); err != nil {
					return err
				}
				removed = append(removed, l.Name)
				if !o.json {
					fmt.Fprintf(cmd.OutOrStdout(), "removed what had come of %s, %s\n", l.Name, humanBytes(l.Bytes))
				}
			}
			if o.json {
				return printJSON(cmd.OutOrStdout(), map[string]any{"removed": removed})
			}
			if len(left) == 0 {
				_, err = fmt.Fprintln(cmd.OutOrStdout(), "nothing is left of unfinished pulls")
			}
			return err
		},
	})
}
