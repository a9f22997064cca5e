package main

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/engine"
	"github.com/jeantrail/jeantrail-ai/engine/native"
	"github.com/jeantrail/jeantrail-ai/registry"
)

// loader opens one model.
type loader struct {
	models   *models
	entry    registry.Entry
	settings ModelConfig
	engine   EngineConfig
	prefixes engine.Prefixes        // keeps what leaves the KV cache; nil: it is gone
	checksum atomic.Pointer[string] // of the model's file, once it is known
	// of the projector's, too
	projector atomic.Pointer[string]
}

// say implements opener: it tells the registry, the launching app and those who
// watch how the model is.
func (l *loader) say(s registry.State) { l.models.say(l.entry.Name, s) }

// asked is what the configuration asks for the model.
func (l *loader) asked() asked { return askedOf(l.entry, l.settings, l.engine) }

func askedOf(entry registry.Entry, settings ModelConfig, engine EngineConfig) asked {
	return asked{
		name: entry.Name, path: entry.Path, projector: settings.MMProjPath, kv: engine.KV, slots: engine.Slots,
		nCtx: settings.NCtx, batchTokens: engine.BatchTokens, gpuLayers: *settings.NGPULayers, imageTokens: settings.ImageTokens,
	}
}

// check implements opener. It goes by what is known of the files.
func (l *loader) check(ctx context.Context) error {
	lay, err := l.models.capacity.layout(ctx, l.asked(), 0)
	if err != nil {
		return err
	}
	return l.fits(ctx, lay)
}

// fits is nil if a layout can be loaded. The built-in model always is.
func (l *loader) fits(ctx context.Context, lay layout) error {
	if l.entry.BuiltIn {
		return nil
	}
	if lay.refusal != nil {
		return lay.refusal
	}
	note, short := l.models.capacity.spare(ctx, lay)
	if !short {
		return nil
	}
	ram, _ := lay.takes()
	return jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "the model %s cannot be loaded now: %s", l.entry.Name, note).
		WithHint("End other programs, set a shorter n_ctx for the model in config.yaml, or choose a smaller model.").
		WithNumber("needed_bytes", ram)
}

// checkedFor is how long the check of a file holds for a load: as long as it takes
// to begin that. A later load checks the file again.
const checkedFor = 10 * time.Second

// need implements opener: what the model takes, as it will be laid out.
func (l *loader) need(ctx context.Context) (place, error) {
	lay, err := l.models.capacity.layout(ctx, l.asked(), checkedFor)
	if err == nil {
		err = l.fits(ctx, lay)
	}
	if err != nil && ctx.Err() == nil {
		l.models.opt.Logger.Warn("the model cannot be loaded", "model", l.entry.Name, "error", err, "hint", jeantrail.AsError(err).Hint)
	}
	return placeOf(lay), err
}

func placeOf(lay layout) place {
	ram, vram := lay.takes()
	return place{ram: ram, vram: vram}
}

// open implements opener: it opens the file and starts an engine on it.
func (l *loader) open(ctx context.Context, progress func(float64)) (o *opened, err error) {
	log := l.models.opt.Logger
	defer func() {
		if err != nil && ctx.Err() == nil {
			log.Error("loading the model failed", "model", l.entry.Name, "error", err)
		}
	}()
	lay, err := l.models.capacity.layout(ctx, l.asked(), checkedFor)
	if err == nil {
		err = l.fits(ctx, lay)
	}
	if err != nil {
		return nil, err
	}
	if note, _ := l.models.capacity.spare(ctx, lay); note != "" {
		log.Warn("memory is short; the weights may be read from the disk again and again", "model", l.entry.Name, "why", note,
			"largest", largestPrograms(ctx))
	}
	decoder, e, err := l.start(ctx, &lay, progress)
	if err != nil {
		return nil, err
	}
	info := decoder.Info()
	log.Info("model ready", "model", l.entry.Name, "device", info.Device, "layers_offloaded", info.LayersOffloaded,
		"n_ctx", e.Info().NCtx, "slots", info.NSeqMax, "kv_unified", info.Unified, "threads", info.Threads)
	need := lay.plan.Need
	log.Debug("memory of the model", "model", l.entry.Name, "kv_bytes", info.KVBytes, "kv_predicted", need.KV,
		"compute_bytes", info.ComputeBytes, "compute_predicted", need.Compute, "copied_bytes", info.CopiedBytes,
		"anonymous_predicted", need.Anonymous, "mapped_predicted", need.Mapped, "resident_at_most", need.Resident)
	l.models.background.Go(func() { l.identify(l.models.life) })
	return &opened{
		engine: e, info: e.Info(), place: placeOf(lay),
		close: func(ctx context.Context) error { return errors.Join(e.Stop(ctx), decoder.Close()) },
	}, nil
}

func (l *loader) start(ctx context.Context, lay *layout, progress func(float64)) (*native.Decoder, *engine.Engine, error) {
	plan, layers := lay.kv, *l.settings.NGPULayers
	if lay.gpus {
		layers = lay.plan.Setting.GPULayers
	}
	decoder, err := native.Open(ctx, native.Options{
		Path: l.entry.Path, NCtx: plan.Cells, NSeqMax: plan.Slots, NBatch: l.engine.BatchTokens, PerSequenceKV: !plan.Unified,
		NThreads: l.settings.NThreads, NGPULayers: layers, LayersChosen: layers != *l.settings.NGPULayers,
		Projector: l.settings.MMProjPath, ImageMaxTokens: l.settings.ImageTokens,
	}, progress)
	if err != nil {
		return nil, nil, err
	}
	e, err := engine.New(decoder, engine.Options{
		Model: l.entry.Name, DefaultMaxTokens: l.settings.MaxTokens, MaxContext: plan.CtxSeq,
		MaxQueue: l.engine.Queue, TargetStep: l.engine.StepTarget,
		Sampling: defaultSampling(l.settings), Identity: func() string { return l.identity(decoder.Info()) },
		Prefixes: l.prefixes, Files: l.models.files, Projector: func() string { return known(&l.projector) },
	})
	if err == nil {
		err = e.Start()
	}
	if err != nil {
		return nil, nil, errors.Join(err, decoder.Close())
	}
	return decoder, e, nil
}

// defaultSampling is what Qwen recommends for Qwen3 without thinking (top-p
// 0.8, top-k 20; model card of Qwen3-8B), at the model's configured
// temperature. A temperature of 0 is greedy.
func defaultSampling(settings ModelConfig) engine.SamplingParams {
	return engine.SamplingParams{Temperature: float32(*settings.Temperature), TopK: 20, TopP: 0.8}
}
