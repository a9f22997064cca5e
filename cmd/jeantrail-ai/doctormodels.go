package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/doctor"
	"github.com/jeantrail/jeantrail-ai/registry"
	"github.com/jeantrail/jeantrail-ai/registry/catalogue"
	"github.com/jeantrail/jeantrail-ai/registry/hub"
	"github.com/jeantrail/jeantrail-ai/store"
)

// knownModels is the registry of a configuration, made without writing anything.
type knownModels struct {
	*registry.Registry
	entries    []registry.Entry // the configured ones, and the default one if it is none of them
	configured map[string]bool
	fallback   string
}

// models makes the registry. With an error it is that of the built-in model alone.
func (l *looker) models(config *LoadedConfig) (knownModels, error) {
	folder := filepath.Join(l.home, "models")
	builtIn := registry.Entry{Name: builtInName, Path: builtInPath(folder), BuiltIn: true, NCtx: builtInContext}
	k := knownModels{configured: map[string]bool{builtInName: true}}
	for _, m := range config.Models {
		k.entries = append(k.entries, registry.Entry{Name: m.Name, Aliases: m.Aliases, Path: m.ModelPath, NCtx: m.NCtx})
		k.configured[m.Name] = true
	}
	k.entries = append(k.entries, builtIn)
	var err error
	if k.Registry, err = registry.New(folder, config.DefaultModel, k.entries); err != nil {
		k.entries = []registry.Entry{builtIn}
		var second error
		if k.Registry, second = registry.New(folder, builtInName, k.entries); second != nil {
			return k, errors.Join(err, second)
		}
		k.fallback = builtInName
		return k, err
	}
	k.fallback = k.Registry.Default()
	if e, err := k.Resolve(""); err == nil && !k.configured[e.Name] {
		k.entries = append(k.entries, e)
	}
	return k, nil
}

func (l *looker) lookAtModels(ctx context.Context) ([]doctor.Finding, error) {
	config, _ := l.config()
	known, err := l.models(config)
	m := doctor.Models{Folder: filepath.Join(l.home, "models"), Hub: l.hub(ctx, config)}
	m.Err, m.Hint = words(err)
	for _, info := range known.List(ctx) {
		model := doctor.Model{
			Name: info.Name, Path: info.Path, Configured: known.configured[info.Name], Default: info.Default, BuiltIn: info.BuiltIn, Bytes: info.Bytes,
		}
		_, err := os.Stat(info.Path)
		if model.Missing = errors.Is(err, fs.ErrNotExist); model.Missing && info.BuiltIn {
			continue // the next start writes it
		}
		if info.Status == jeantrail.ModelMissing && !model.Missing {
			model.Problem = info.Problem
		}
		_, err = catalogue.Find(info.Name)
		model.Known = err == nil
		if i := slices.IndexFunc(config.Models, func(c ModelConfig) bool { return c.Name == info.Name }); i >= 0 {
			model.Pinned = config.Models[i].Pinned
			if model.Projector = config.Models[i].MMProjPath; model.Projector != "" {
				_, err := registry.CheckProjector(model.Projector)
				model.ProjectorProblem, _ = words(err)
			}
		}
		m.List = append(m.List, model)
	}
	m.Part = ctx.Err() != nil
	return doctor.CheckModels(m), nil
}

// hub says whether pulls could begin, and which one lacked a token.
func (l *looker) hub(ctx context.Context, config *LoadedConfig) (h doctor.Hub) {
	endpoint, token := hub.Environment()
	h.Token = token != ""
	client, err := hub.New(hub.Options{
		Folder: filepath.Join(l.home, "models"), Endpoint: endpoint, Token: token, Validate: func(string) error { return nil },
	})
	if h.Err, h.Hint = words(err); err == nil {
		client.Close()
	}
	path, err := config.databasePath()
	if err != nil || h.Token {
		return h
	}
	seen, err := store.Peek(ctx, path)
	if err == nil { // what is wrong with the database is said elsewhere
		h.Refused = seen.Refused
	}
	return h
}

// words takes an error apart for a person; nil is nothing.
func words(err error) (message, hint string) {
	if err == nil {
		return "", ""
	}
	var e *jeantrail.Error
	if errors.As(err, &e) {
		return err.Error(), e.Hint
	}
	return err.Error(), ""
}
