package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway"
	"github.com/jeantrail/jeantrail-ai/gateway/workflow"
)

// backends finds who does a job: a model in this process, a worker, or a
// workflow. It is the gateway's Models.
type backends struct {
	*models
	fleet     *fleet
	workflows *workflow.Library
}

// Resolve implements gateway.Models.
func (b *backends) Resolve(kind jeantrail.Kind, name string) (string, gateway.Backend, error) {
	switch kind {
	case jeantrail.KindText:
		return b.text(name)
	case jeantrail.KindPipeline:
		return b.workflows.Resolve(name)
	}
	s := b.fleet.find(kind, name)
	if s == nil && name != "" {
		return "", nil, jeantrail.Errorf(jeantrail.CodeNotFound, "there is no worker %q for requests of kind %s", name, kind).
			WithHint("Workers of this kind: %s. Add one under workers: in config.yaml.", b.fleet.names(kind))
	}
	if s == nil {
		return "", nil, jeantrail.Errorf(jeantrail.CodeUnsupported, "no worker does requests of kind %s", kind).
			WithHint("Add one under workers: in config.yaml.")
	}
	return s.config.Name, workerBackend{s.worker}, nil
}

// text looks among the models in process and the text workers. A name that a
// model has goes to it; a worker that is the default one answers to "" and to
// the guide's names.
func (b *backends) text(name string) (string, gateway.Backend, error) {
	if name == gateway.VisionModel {
		return b.vision()
	}
	s := b.fleet.find(jeantrail.KindText, name)
	if s == nil && slices.Contains(guideNames, name) {
		if _, err := b.models.Registry.Resolve(name); err != nil {
			s = b.fleet.find(jeantrail.KindText, "")
		}
	}
	if s != nil {
		return s.config.Name, workerBackend{s.worker}, nil
	}
	m, err := b.models.find(name)
	if err != nil {
		return "", nil, err
	}
	return m.entry.Name, m, nil
}

// vision finds what reads images: the model in process that can, or else a
// worker.
func (b *backends) vision() (string, gateway.Backend, error) {
	if name := b.models.sees(); name != "" {
		m, err := b.models.find(name)
		if err != nil {
			return "", nil, err
		}
		return name, m, nil
	}
	if s := b.fleet.sees(); s != nil {
		return s.config.Name, workerBackend{s.worker}, nil
	}
	return "", nil, jeantrail.Errorf(jeantrail.CodeUnsupported, "nothing here reads images").
		WithHint("Put a vision model such as Qwen3-VL 4B (GGUF) and its mmproj file into the models folder and name them in config.yaml as model_path and mmproj_path of a model, or add a worker of kind text with vision: true.")
}

// Load begins to load a model, or says why it cannot be.
func (b *backends) Load(ctx context.Context, name string) error {
	m, err := b.models.find(name)
	if err != nil {
		return err
	}
	if m.Engine() == nil {
		if err := m.opener.check(ctx); err != nil {
			m.fail(err)
			return err
		}
	}
	m.Load()
	return nil
}

// Unload frees an idle model.
func (b *backends) Unload(ctx context.Context, name string) error {
	m, err := b.models.find(name)
	if err != nil {
		return err
	}
	return m.Unload(ctx)
}

// Start loads the pinned models and the default one, unless a worker takes its
// place.
func (b *backends) Start() error {
	if err := b.models.Load(b.fleet.find(jeantrail.KindText, "") == nil); err != nil {
		return fmt.Errorf("load the models of the start: %w", err)
	}
	return nil
}
