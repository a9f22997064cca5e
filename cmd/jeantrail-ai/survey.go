package main

import (
	"context"
	"slices"

	"github.com/jeantrail/jeantrail-ai"
)

// List implements server.Models and gateway.Models: from what is known already.
func (m *models) List(ctx context.Context) []jeantrail.Model {
	list := m.Registry.List(ctx)
	m.mu.Lock()
	config, texts := m.config, m.texts
	for i := range list {
		one := &list[i]
		one.Pinned = one.BuiltIn || slices.ContainsFunc(config.Models, func(c ModelConfig) bool { return c.Name == one.Name && c.Pinned })
		if t := texts[one.Name]; t != nil {
			one.LoadedBytes = t.bytes()
		}
	}
	m.mu.Unlock()
	return list
}

// Survey implements server.Models.
func (m *models) Survey(ctx context.Context) []jeantrail.Model {
	list := m.List(ctx)
	for i := range list {
		if ctx.Err() != nil {
			break
		}
		m.fit(ctx, &list[i])
	}
	return list
}

// Show implements server.Models.
func (m *models) Show(ctx context.Context, name string) (*jeantrail.Model, error) {
	entry, err := m.Resolve(name)
	if err != nil {
		return nil, err
	}
	if err := m.capacity.gauge(ctx); err != nil {
		return nil, err
	}
	for _, one := range m.List(ctx) {
		if one.Name == entry.Name {
			m.fit(ctx, &one)
			return &one, nil
		}
	}
	return nil, jeantrail.Errorf(jeantrail.CodeNotFound, "there is no model %q", name)
}

// fit says of a model how it fits. Of one whose file is not sound that is not
// known; the model's problem says why.
func (m *models) fit(ctx context.Context, one *jeantrail.Model) {
	entry, err := m.Resolve(one.Name)
	if err != nil {
		return
	}
	m.mu.Lock()
	config := m.config
	m.mu.Unlock()
	lay, err := m.capacity.layout(ctx, askedOf(entry, modelSettings(config, entry), config.Engine), 0)
	if err != nil {
		return
	}
	one.Fit = lay.told()
	one.MemoryBytes = one.Fit.Total
	if one.LoadedBytes == 0 {
		one.Fit.Note, _ = m.capacity.spare(ctx, lay)
	}
	if entry.BuiltIn { // it is always loaded
		one.Fit.Fits, one.Fit.Reason, one.Fit.Hint = true, "", ""
	}
}
