package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
	"github.com/tmaxmax/go-sse"

	"github.com/jeantrail/jeantrail-ai"
)

func newModelLoadCommand(o *options) *cobra.Command {
	var noWait bool
	cmd := &cobra.Command{
		Use: "load NAME", Short: "Have the running instance load a model", Args: args(cobra.ExactArgs(1)),
		Long: "Has the running instance load a model and waits until it is ready. What is idle makes room for it. A\n" +
			"model that would not fit is refused with the numbers and what would fit. It stays until others need\n" +
			"its memory, or for good with pinned: true in config.yaml.",
		RunE: func(cmd *cobra.Command, a []string) error {
			client, err := runningClient(o, "loaded")
			if err != nil {
				return err
			}
			var raw json.RawMessage
			if err := client.get(cmd.Context(), http.MethodPost, "/models/"+url.PathEscape(a[0])+"/load", &raw); err != nil {
				return err
			}
			var m wireModel
			if err := json.Unmarshal(raw, &m); err != nil {
				return fmt.Errorf("read model: %w", err)
			}
			if !noWait {
				if err := waitLoaded(cmd.Context(), client, m.Name); err != nil {
					return err
				}
				if err := client.get(cmd.Context(), http.MethodGet, "/models/"+url.PathEscape(m.Name), &raw); err != nil {
					return err
				}
			}
			return printChanged(cmd, o, raw)
		},
	}
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "do not wait until the model is ready")
	return o.jsonFlag(cmd)
}

func newModelUnloadCommand(o *options) *cobra.Command {
	return o.jsonFlag(&cobra.Command{
		Use: "unload NAME", Short: "Have the running instance free a model that no job uses", Args: args(cobra.ExactArgs(1)),
		Long: "Has the running instance free a model that no job uses, also a pinned one. The next job for it loads it\n" +
			"again.",
		RunE: func(cmd *cobra.Command, a []string) error {
			client, err := runningClient(o, "unloaded")
			if err != nil {
				return err
			}
			var raw json.RawMessage
			if err := client.get(cmd.Context(), http.MethodPost, "/models/"+url.PathEscape(a[0])+"/unload", &raw); err != nil {
				return err
			}
			return printChanged(cmd, o, raw)
		},
	})
}

// runningClient is the way to the running instance. A model that is loaded by any
// other is gone with it.
func runningClient(o *options, what string) (*Client, error) {
	home, err := homeDir(o.home)
	if err != nil {
		return nil, err
	}
	running, there, err := runningInstance(home)
	if err != nil {
		return nil, err
	}
	if !there {
		return nil, jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "no instance runs on %s, so that no model can be %s: nothing would keep it in memory", home, what).
			WithHint("Start one with: jeantrail-ai serve")
	}
	return newClient(running.BaseURL, running.Token), nil
}

// waitLoaded waits, with a bar, until a model is ready or failed.
func waitLoaded(ctx context.Context, client *Client, name string) error {
	bar := newProgress("loading "+name, false)
	defer bar.Done()
	return client.WatchModels(ctx, func(s wireModelState) (done bool, err error) {
		if s.Name != name {
			return false, nil
		}
		switch jeantrail.ModelStatus(s.Status) {
		case jeantrail.ModelReady:
			return true, nil
		case jeantrail.ModelLoading:
			bar.Set(int64(s.Progress*100), 100)
			return false, nil
		case jeantrail.ModelFailed, jeantrail.ModelMissing:
			return true, jeantrail.Errorf(jeantrail.CodeUnsupported, "the model %s was not loaded: %s", name, s.Problem).
				WithHint("See: jeantrail-ai model show %s", name)
		default:
			return true, jeantrail.Errorf(jeantrail.CodeConflict, "the model %s was unloaded again", name)
		}
	})
}

// wireModelState is how a model is, as /models/events tells.
type wireModelState struct {
	Name     string  `json:"name"`
	Status   string  `json:"status"`
	Progress float64 `json:"progress"`
	Problem  string  `json:"problem"`
}

// WatchModels reads how the models are, until on says that it is done.
func (c *Client) WatchModels(ctx context.Context, on func(wireModelState) (done bool, err error)) error {
	resp, err := c.do(ctx, http.MethodGet, "/models/events", nil, "text/event-stream")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	for ev, err := range sse.Read(resp.Body, nil) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "read events: %w", err)
		}
		var s wireModelState
		if err := json.Unmarshal([]byte(ev.Data), &s); err != nil {
			return fmt.Errorf("read event: %w", err)
		}
		if done, err := on(s); done || err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "the instance ended before the model was loaded")
}

func printChanged(cmd *cobra.Command, o *options, raw json.RawMessage) error {
	if o.json {
		return printJSON(cmd.OutOrStdout(), raw)
	}
	var m wireModel
	if err := json.Unmarshal(raw, &m); err != nil {
		return fmt.Errorf("read model: %w", err)
	}
	size := ""
	if m.LoadedBytes > 0 {
		size = ", " + humanBytes(m.LoadedBytes) + " of memory"
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s is %s%s\n", m.Name, m.Status, size)
	return err
}
