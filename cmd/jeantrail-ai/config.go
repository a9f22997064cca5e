package main

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/providers/structs"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway"
)

// Config is everything that can be set. Each field's koanf name is its key in
// config.yaml; the environment variable is JEANTRAIL_ and the key in capitals,
// with two underscores for a dot (JEANTRAIL_ENGINE__SLOTS).
type Config struct {
	Listen         string        `koanf:"listen"`
	AllowedHosts   []string      `koanf:"allowed_hosts"`
	AllowedOrigins []string      `koanf:"allowed_origins"`
	DefaultModel   string        `koanf:"default_model"`
	DatabaseURL    string        `koanf:"database_url"`
	LogLevel       string        `koanf:"log_level"`
	ResumeWindow   time.Duration `koanf:"resume_window"`
	StopTimeout    time.Duration `koanf:"stop_timeout"`
	Engine         EngineConfig  `koanf:"engine"`
	Cache          CacheConfig   `koanf:"cache"`
	Alerts         AlertsConfig  `koanf:"alerts"`
	Energy         EnergyConfig  `koanf:"energy"`
	Memory         MemoryConfig  `koanf:"memory"`
	MaxUpload      string        `koanf:"max_upload"` // the largest file that a request may bring, such as 256MiB

	// AllowRemoteWorkers lets workers be outside this machine and its private
	// networks: what they are given then leaves the machine.
	AllowRemoteWorkers bool           `koanf:"allow_remote_workers"`
	Models             []ModelConfig  `koanf:"models"`
	Workers            []WorkerConfig `koanf:"workers"`
}

// EngineConfig holds what is the same for every model in process.
type EngineConfig struct {
	Slots       int           `koanf:"slots"`        // generations at once
	Queue       int           `koanf:"queue"`        // jobs that may wait
	StepTarget  time.Duration `koanf:"step_target"`  // the longest a decode step may be held up by prefill
	KV          string        `koanf:"kv"`           // auto, unified or streams
	BatchTokens int           `koanf:"batch_tokens"` // the most rows in one step

	// What left the KV cache and may be asked for again: beginnings of
	// conversations in memory, and in files under the home's prefix folder. Sizes
	// such as 512MiB; 0 keeps none.
	PrefixRAM  string `koanf:"prefix_ram"`
	PrefixDisk string `koanf:"prefix_disk"`
}

// CacheConfig is about results that answer the same request again.
type CacheConfig struct {
	Enabled  bool          `koanf:"enabled"`
	MaxBytes int64         `koanf:"max_bytes"` // of the texts that are kept
	MaxAge   time.Duration `koanf:"max_age"`
}

// AlertsConfig says who is told when a budget reaches a threshold, besides the
// streams of its user.
type AlertsConfig struct {
	Webhook string `koanf:"webhook"` // an http address on this machine or in a private network; "" is nobody
}

// EnergyConfig is about what jobs draw, where the machine can tell.
type EnergyConfig struct {
	Enabled     bool   `koanf:"enabled"`
	PricePerKWh string `koanf:"price_per_kwh"` // in dollars, for example "0.30"; "" or "0" is none
}

// ModelConfig is one text model: the integration guide's block under a name.
type ModelConfig struct {
	Name        string   `koanf:"name"`
	Aliases     []string `koanf:"aliases"`
	ModelPath   string   `koanf:"model_path"`
	MMProjPath  string   `koanf:"mmproj_path"`  // the projector of a model that reads images
	ImageTokens int      `koanf:"image_tokens"` // the most that one image takes; unset: 1024, or less if the projector makes less
	NCtx        int      `koanf:"n_ctx"`        // longest conversation; unset: 4096, or less if the model was trained with less
	NThreads    int      `koanf:"n_threads"`    // unset: the cores that this process may use
	NGPULayers  *int     `koanf:"n_gpu_layers"` // unset or -1: as many as fit
	Temperature *float64 `koanf:"temperature"`  // unset: 0.7; 0 always picks the likeliest token
	MaxTokens   int      `koanf:"max_tokens"`   // unset: 2048
	Pinned      bool     `koanf:"pinned"`       // stays in memory when others need room
}

// builtInName is what the model inside the binary is called everywhere.
const builtInName = "builtin"

// guideNames are the names of the integration guide; unless the configuration
// gives them to a model, the default one answers to them, and every answer says
// which model it really was.
var guideNames = []string{"qwen-3-72b", "qwen-3-32b"}

func defaultConfig() Config {
	return Config{
		Listen:       "127.0.0.1:3001",
		DefaultModel: builtInName,
		LogLevel:     "info",
		ResumeWindow: 30 * time.Second,
		StopTimeout:  5 * time.Second,
		Engine: EngineConfig{
			Slots: 8, Queue: 256, StepTarget: 100 * time.Millisecond, KV: "auto", BatchTokens: 2048,
			PrefixRAM: "512MiB", PrefixDisk: "2GiB",
		},
		Cache:  CacheConfig{Enabled: true, MaxBytes: gateway.DefaultCacheBytes, MaxAge: gateway.DefaultCacheAge},
		Energy: EnergyConfig{Enabled: true},

		MaxUpload: "256MiB",
	}
}

// LoadedConfig is a Config with the source of each value.
type LoadedConfig struct {
	Config
	Home    string
	Sources map[string]string // key -> default, file, environment or flag
	values  *koanf.Koanf
	Notes   []string // what the user should know about the environment
}

// homeDir returns the folder that holds everything this program keeps.
func homeDir(flag string) (string, error) {
	if flag != "" {
		return filepath.Abs(flag)
	}
	if env := os.Getenv("JEANTRAIL_HOME"); env != "" {
		return filepath.Abs(env)
	}
	base, err := userDataDir()
	if err != nil {
		return "", jeantrail.Errorf(jeantrail.CodeInvalid, "find a home folder: %w", err).
			WithHint("Set JEANTRAIL_HOME to a folder that this program may use.")
	}
	return filepath.Join(base, "jeantrail-ai"), nil
}

// userDataDir is where the platform wants programs to keep their data.
func userDataDir() (string, error) {
	switch runtime.GOOS {
	case "windows", "darwin":
		return os.UserConfigDir()
	}
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return dir, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, ".local", "share"), nil
}

// loadConfig reads defaults, config.yaml, the environment and the flags, each
// over the one before.
func loadConfig(home string, flags *pflag.FlagSet) (*LoadedConfig, error) {
	lc := &LoadedConfig{Home: home, Sources: make(map[string]string), values: koanf.New(".")}
	layers := []struct {
		source string
		load   func(*koanf.Koanf) error
	}{
		{"default", func(k *koanf.Koanf) error { return k.Load(structs.Provider(defaultConfig(), "koanf"), nil) }},
		{"file", func(k *koanf.Koanf) error { return loadFile(k, filepath.Join(home, "config.yaml")) }},
		{"environment", loadEnv},
		{"flag", func(k *koanf.Koanf) error { return loadFlags(k, flags) }},
	}
	for _, layer := range layers {
		k := koanf.New(".")
		if err := layer.load(k); err != nil {
			return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "read configuration: %w", err)
		}
		for _, key := range k.Keys() {
			lc.Sources[key] = layer.source
		}
		if err := lc.values.Merge(k); err != nil {
			return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "read configuration: %w", err)
		}
	}
	if err := lc.refuseUnknown(); err != nil {
		return nil, err
	}
	if err := lc.values.Unmarshal("", &lc.Config); err != nil {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "read configuration: %w", err)
	}
	lc.Notes = environmentNotes()
	return lc, lc.check()
}

func loadFile(k *koanf.Koanf, path string) error {
	if _, err := os.Stat(path); err != nil {
		return nil // no file, no settings
	}
	if err := k.Load(file.Provider(path), yaml.Parser()); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// reservedEnv are JEANTRAIL_ variables that are not settings of the config.
var reservedEnv = []string{"JEANTRAIL_HOME", "JEANTRAIL_TOKEN", "JEANTRAIL_CACHE", "JEANTRAIL_BENCH_TOKEN"}

func loadEnv(k *koanf.Koanf) error {
	const prefix = "JEANTRAIL_"
	err := k.Load(env.Provider(".", env.Opt{
		Prefix: prefix,
		TransformFunc: func(key, value string) (string, any) {
			if slices.Contains(reservedEnv, key) || strings.HasPrefix(key, "JEANTRAIL_TEST_") {
				return "", nil
			}
			name := strings.ToLower(strings.TrimPrefix(key, prefix))
			name = strings.ReplaceAll(name, "__", ".")
			if name == "allowed_hosts" || name == "allowed_origins" {
				return name, strings.Split(value, ",")
			}
			return name, value
		},
	}), nil)
	if err != nil {
		return err
	}
	if url := os.Getenv("DATABASE_URL"); url != "" && !k.Exists("database_url") {
		return k.Set("database_url", url)
	}
	return nil
}

// loadFlags takes the flags that were given and are settings.
func loadFlags(k *koanf.Koanf, flags *pflag.FlagSet) error {
	if flags == nil {
		return nil
	}
	return k.Load(posflag.ProviderWithFlag(flags, ".", nil, func(f *pflag.Flag) (string, any) {
		key, isSetting := f.Annotations[settingAnnotation]
		if !f.Changed || !isSetting {
			return "", nil
		}
		return key[0], posflag.FlagVal(flags, f)
	}), nil)
}

// settingAnnotation marks a flag that sets a key of the configuration.
const settingAnnotation = "jeantrail_setting"

// refuseUnknown names the first key that no setting has: a misspelt one would
// otherwise be silently without effect.
func (lc *LoadedConfig) refuseUnknown() error {
	known := settingKeys(reflect.TypeFor[Config](), "")
	for _, key := range lc.values.Keys() {
		if !slices.Contains(known, key) {
			return jeantrail.Errorf(jeantrail.CodeInvalid, "unknown setting %q (from %s)", key, lc.Sources[key]).
				WithHint("Known settings: %s.", strings.Join(known, ", "))
		}
	}
	if err := lc.refuseUnknownIn("models", reflect.TypeFor[ModelConfig]()); err != nil {
		return err
	}
	return lc.refuseUnknownIn("workers", reflect.TypeFor[WorkerConfig]())
}

// settingKeys lists the keys of a settings struct.
func settingKeys(t reflect.Type, prefix string) []string {
	var keys []string
	for f := range fields(t) {
		key := prefix + f.Tag.Get("koanf")
		if strings.HasSuffix(key, "-") {
			continue // not a setting
		}
		if f.Type.Kind() == reflect.Struct {
			keys = append(keys, settingKeys(f.Type, key+".")...)
			continue
		}
		keys = append(keys, key)
	}
	return keys
}

func fields(t reflect.Type) func(yield func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			if !yield(t.Field(i)) {
				return
			}
		}
	}
}

// energyPrice is what a kilowatt-hour costs; 0 if nobody said.
func (lc *LoadedConfig) energyPrice() (jeantrail.Money, error) {
	if lc.Energy.PricePerKWh == "" {
		return 0, nil
	}
	price, err := jeantrail.ParseUSD(lc.Energy.PricePerKWh)
	if err == nil && price < 0 {
		err = jeantrail.Errorf(jeantrail.CodeInvalid, "a price must not be negative")
	}
	return price, err
}

// databasePath reads DATABASE_URL: nothing, a path, or sqlite:PATH.
func (lc *LoadedConfig) databasePath() (string, error) {
	raw := lc.DatabaseURL
	if raw == "" {
		return filepath.Join(lc.Home, "jeantrail.db"), nil
	}
	u, err := url.Parse(raw)
	if err == nil && u.Scheme != "" && u.Scheme != "sqlite" && u.Scheme != "sqlite3" && u.Scheme != "file" {
		return "", jeantrail.Errorf(jeantrail.CodeInvalid, "DATABASE_URL names a %s database; jobs and costs are kept in SQLite", u.Scheme).
			WithHint("Unset DATABASE_URL, or set it to sqlite:/path/to/jeantrail.db.")
	}
	path := raw
	if i := strings.Index(raw, ":"); err == nil && u.Scheme != "" && i > 0 {
		path = strings.TrimPrefix(raw[i+1:], "//")
	}
	return filepath.Abs(path)
}

// environmentNotes says what becomes of the guide's variables that have nothing
// to act on.
func environmentNotes() []string {
	var notes []string
	if os.Getenv("REDIS_URL") != "" {
		notes = append(notes, "REDIS_URL is set but not needed: the model registry is built in.")
	}
	return notes
}
