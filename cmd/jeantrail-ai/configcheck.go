package main

import (
	"net"
	"slices"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// check reports the first setting whose value makes no sense.
func (lc *LoadedConfig) check() error {
	switch {
	case lc.StopTimeout < closeGrace:
		return lc.bad("stop_timeout", lc.StopTimeout, "it must be at least "+closeGrace.String())
	case lc.Cache.MaxBytes < 1:
		return lc.bad("cache.max_bytes", lc.Cache.MaxBytes, "it must be at least 1; cache.enabled: false turns the cache off")
	case lc.Cache.MaxAge < time.Second:
		return lc.bad("cache.max_age", lc.Cache.MaxAge, "it must be at least a second; cache.enabled: false turns the cache off")
	case !slices.Contains([]string{"debug", "info", "warn", "error"}, lc.LogLevel):
		return lc.bad("log_level", lc.LogLevel, "use debug, info, warn or error")
	}
	if _, err := parseBytes(lc.Memory.Limit); err != nil {
		return lc.bad("memory.limit", lc.Memory.Limit, "use a size such as 12GiB")
	}
	if n, err := parseBytes(lc.MaxUpload); err != nil || n < 1 {
		return lc.bad("max_upload", lc.MaxUpload, "use a size such as 256MiB")
	}
	if _, err := lc.energyPrice(); err != nil {
		return lc.bad("energy.price_per_kwh", lc.Energy.PricePerKWh, `use dollars, for example "0.30"`)
	}
	if err := checkWebhook(lc.Alerts.Webhook); err != nil {
		return lc.bad("alerts.webhook", lc.Alerts.Webhook, err.Error())
	}
	if _, _, err := net.SplitHostPort(lc.Listen); err != nil {
		return lc.bad("listen", lc.Listen, "use HOST:PORT, for example 127.0.0.1:3001")
	}
	for _, check := range []func() error{lc.checkEngine, lc.checkModels, lc.checkWorkers} {
		if err := check(); err != nil {
			return err
		}
	}
	_, err := lc.databasePath()
	return err
}

// bad says what is wrong with a setting, and where it came from.
func (lc *LoadedConfig) bad(key string, value any, want string) error {
	return jeantrail.Errorf(jeantrail.CodeInvalid, "setting %s is %v (from %s): %s", key, value, lc.Sources[key], want)
}

func (lc *LoadedConfig) checkEngine() error {
	e := lc.Engine
	switch {
	case e.Slots < 1 || e.Slots > 256:
		return lc.bad("engine.slots", e.Slots, "it must be between 1 and 256")
	case e.Queue < 1:
		return lc.bad("engine.queue", e.Queue, "it must be at least 1")
	case e.BatchTokens < 64 || e.BatchTokens > 8192:
		return lc.bad("engine.batch_tokens", e.BatchTokens, "it must be between 64 and 8192")
	case e.StepTarget <= 0:
		return lc.bad("engine.step_target", e.StepTarget, "it must be longer than nothing")
	case !slices.Contains([]string{"auto", "unified", "streams"}, e.KV):
		return lc.bad("engine.kv", e.KV, "use auto, unified or streams")
	}
	if _, err := parseBytes(e.PrefixRAM); err != nil {
		return lc.bad("engine.prefix_ram", e.PrefixRAM, "use a size such as 512MiB, or 0 for none")
	}
	if _, err := parseBytes(e.PrefixDisk); err != nil {
		return lc.bad("engine.prefix_disk", e.PrefixDisk, "use a size such as 2GiB, or 0 for none")
	}
	return nil
}

func (lc *LoadedConfig) checkModels() error {
	for i, m := range lc.Models {
		badLayers := m.NGPULayers != nil && *m.NGPULayers < -1
		badTemperature := m.Temperature != nil && (*m.Temperature < 0 || *m.Temperature > 10)
		if m.ModelPath == "" || m.NCtx < 0 || m.ImageTokens < 0 || m.NThreads < 0 || m.MaxTokens < 0 || badLayers || badTemperature {
			return jeantrail.Errorf(jeantrail.CodeInvalid, "models[%d] (%s): model_path is needed; n_ctx, image_tokens, n_threads, max_tokens and temperature must not be negative, n_gpu_layers not below -1, temperature not above 10", i, m.Name)
		}
	}
	return nil
}
