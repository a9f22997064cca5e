package main

import (
	"fmt"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/media"
)

// WorkerConfig is a server of its own that does one kind of work.
type WorkerConfig struct {
	Name        string        `koanf:"name"`
	Aliases     []string      `koanf:"aliases"`
	Kind        string        `koanf:"kind"` // image, transcribe, speak or text
	URL         string        `koanf:"url"`
	Dialect     string        `koanf:"dialect"`     // unset: a probe finds out
	Model       string        `koanf:"model"`       // asked of the worker; unset: its own
	APIKey      string        `koanf:"api_key"`     // if the worker wants one
	Concurrency int           `koanf:"concurrency"` // requests at once; unset: 1
	Timeout     time.Duration `koanf:"timeout"`     // of one job; unset: 30m
	Memory      string        `koanf:"memory"`      // what it holds, such as 8GiB; counts against memory.limit
	Default     bool          `koanf:"default"`     // of its kind; unset: the first one is
	Vision      bool          `koanf:"vision"`      // a text worker that reads images
	NCtx        int           `koanf:"n_ctx"`       // of a text worker
	MaxTokens   int           `koanf:"max_tokens"`  // of a text worker
	Width       int           `koanf:"width"`       // of an image worker, if the request says nothing
	Height      int           `koanf:"height"`
	Steps       int           `koanf:"steps"`
	Price       WorkerPrice   `koanf:"price"`
	Optional    bool          `koanf:"-"` // from the defaults: nobody asked for it
}

// WorkerPrice is what a worker's work costs, in dollars for a unit; what is
// unset keeps the price of its kind.
type WorkerPrice struct {
	PromptToken     string `koanf:"prompt_token"`
	CompletionToken string `koanf:"completion_token"`
	Image           string `koanf:"image"`
	AudioInSecond   string `koanf:"audio_in_second"`
	AudioOutSecond  string `koanf:"audio_out_second"`
}

// MemoryConfig is about what models and workers may hold together.
type MemoryConfig struct {
	Limit string `koanf:"limit"` // such as 12GiB; unset: 85 % of this machine's memory
}

// guideWorkers are the integration guide's containers: where they listen, and
// the environment variable that says otherwise.
func guideWorkers() []guideWorker {
	return []guideWorker{
		{WorkerConfig{Name: "sdxl", Kind: string(jeantrail.KindImage), URL: "http://127.0.0.1:8002"}, "SDXL_URL"},
		{WorkerConfig{Name: "whisper", Kind: string(jeantrail.KindTranscribe), URL: "http://127.0.0.1:8004"}, "WHISPER_URL"},
		{WorkerConfig{Name: "coqui", Kind: string(jeantrail.KindSpeak), URL: "http://127.0.0.1:8005"}, "COQUI_URL"},
	}
}

type guideWorker struct {
	WorkerConfig
	variable string
}

// qwenWorker is the name of the text worker of QWEN_URL.
const qwenWorker = "qwen"

// effectiveWorkers are the workers of config.yaml, those of the guide's
// environment variables over them, and the guide's own for each kind that has
// none.
func effectiveWorkers(configured []WorkerConfig, getenv func(string) string) []WorkerConfig {
	workers := slices.Clone(configured)
	set := func(w WorkerConfig, address string) {
		i := slices.IndexFunc(workers, func(c WorkerConfig) bool { return c.Name == w.Name })
		if i < 0 {
			workers = append(workers, w)
			i = len(workers) - 1
		}
		workers[i].URL, workers[i].Default = address, true
	}
	for _, g := range guideWorkers() {
		if address := getenv(g.variable); address != "" {
			set(g.WorkerConfig, address)
		}
		if !slices.ContainsFunc(workers, func(c WorkerConfig) bool { return c.Kind == g.Kind }) {
			w := g.WorkerConfig
			w.Optional = true
			workers = append(workers, w)
		}
	}
	if address := getenv("QWEN_URL"); address != "" {
		set(WorkerConfig{Name: qwenWorker, Kind: string(jeantrail.KindText)}, address)
	}
	return workers
}

// workers is what the configuration makes of the environment, too.
func (lc *LoadedConfig) workers() []WorkerConfig { return effectiveWorkers(lc.Workers, os.Getenv) }

// checkWorkers reports the first worker that cannot be used.
func (lc *LoadedConfig) checkWorkers() error {
	names := map[string]string{builtInName: "the model inside this program"}
	for _, m := range lc.Models {
		for _, name := range append([]string{m.Name}, m.Aliases...) {
			names[name] = "the model " + m.Name
		}
	}
	for i, w := range lc.workers() {
		bad := func(format string, args ...any) error {
			return jeantrail.Errorf(jeantrail.CodeInvalid, "workers[%d] (%s): %s", i, w.Name, fmt.Sprintf(format, args...))
		}
		u, err := url.Parse(w.URL)
		kinds := []jeantrail.Kind{jeantrail.KindImage, jeantrail.KindTranscribe, jeantrail.KindSpeak, jeantrail.KindText}
		switch {
		case w.Name == "":
			return bad("a name is needed")
		case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil:
			return bad("url is %q, use http://HOST:PORT", w.URL)
		case !slices.Contains(kinds, jeantrail.Kind(w.Kind)):
			return bad("kind is %q, use image, transcribe, speak or text", w.Kind)
		case w.Dialect != "" && !slices.Contains(media.Dialects(jeantrail.Kind(w.Kind)), w.Dialect):
			return bad("dialect is %q, use auto or one of %s", w.Dialect, strings.Join(media.Dialects(jeantrail.Kind(w.Kind)), ", "))
		case w.Concurrency < 0 || w.Timeout < 0 || w.NCtx < 0 || w.MaxTokens < 0 || w.Width < 0 || w.Height < 0 || w.Steps < 0:
			return bad("concurrency, timeout, n_ctx, max_tokens, width, height and steps must not be negative")
		}
		if _, err := w.memoryBytes(); err != nil {
			return bad("memory is %q, use a size such as 8GiB", w.Memory)
		}
		if _, err := w.Price.over(jeantrail.Price{}); err != nil {
			return bad("price: %v", err)
		}
		for _, name := range append([]string{w.Name}, w.Aliases...) {
			if other, taken := names[name]; taken {
				return bad("the name %q belongs to %s", name, other)
			}
			names[name] = "the worker " + w.Name
		}
	}
	return nil
}

func (w *WorkerConfig) memoryBytes() (int64, error) { return parseBytes(w.Memory) }

// parseBytes reads a size such as 8GiB; "" is 0.
func parseBytes(size string) (int64, error) {
	if size == "" {
		return 0, nil
	}
	n, err := humanize.ParseBytes(size)
	if err == nil && n > 1<<50 {
		err = jeantrail.Errorf(jeantrail.CodeInvalid, "%s is more than any machine has", size)
	}
	return int64(n), err
}

// over lays the configured prices over another one.
func (p WorkerPrice) over(price jeantrail.Price) (jeantrail.Price, error) {
	for _, unit := range []struct {
		dollars string
		money   *jeantrail.Money
	}{
		{p.PromptToken, &price.PromptToken}, {p.CompletionToken, &price.CompletionToken}, {p.Image, &price.Image},
		{p.AudioInSecond, &price.AudioInSecond}, {p.AudioOutSecond, &price.AudioOutSecond},
	} {
		if unit.dollars == "" {
			continue
		}
		amount, err := jeantrail.ParseUSD(unit.dollars)
		if err == nil && amount < 0 {
			err = jeantrail.Errorf(jeantrail.CodeInvalid, "%s is negative", unit.dollars)
		}
		if err != nil {
			return price, err
		}
		*unit.money = amount
	}
	return price, nil
}

// refuseUnknownIn names the first key of a list of blocks that no setting has.
func (lc *LoadedConfig) refuseUnknownIn(list string, block reflect.Type) error {
	blocks, _ := lc.values.Get(list).([]any)
	known := settingKeys(block, "")
	for i, b := range blocks {
		fields, ok := b.(map[string]any)
		if !ok {
			return jeantrail.Errorf(jeantrail.CodeInvalid, "%s[%d] is not a block of settings", list, i)
		}
		for _, key := range keysOf(fields, "") {
			if !slices.Contains(known, key) {
				return jeantrail.Errorf(jeantrail.CodeInvalid, "unknown setting %q in %s[%d]", key, list, i).
					WithHint("Known settings there: %s.", strings.Join(known, ", "))
			}
		}
	}
	return nil
}

// keysOf lists the keys of a block, those of a block inside it with a dot.
func keysOf(block map[string]any, prefix string) []string {
	var keys []string
	for key, value := range block {
		if inner, ok := value.(map[string]any); ok {
			keys = append(keys, keysOf(inner, prefix+key+".")...)
			continue
		}
		keys = append(keys, prefix+key)
	}
	slices.Sort(keys)
	return keys
}
