package main

import (
	"path/filepath"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/registry"
)

// newRegistry makes the registry of a home: the built-in model and what the
// configuration names.
func newRegistry(config *LoadedConfig) (*registry.Registry, error) {
	entries, err := registryEntries(config)
	if err != nil {
		return nil, err
	}
	return registry.New(filepath.Join(config.Home, "models"), config.DefaultModel, entries)
}

// registryEntries are the models of a configuration and the built-in one.
func registryEntries(config *LoadedConfig) ([]registry.Entry, error) {
	entries := make([]registry.Entry, 0, len(config.Models)+1)
	named := map[string]bool{}
	for _, m := range config.Models {
		entries = append(entries, registry.Entry{Name: m.Name, Aliases: m.Aliases, Path: m.ModelPath, NCtx: m.NCtx})
		named[m.Name] = true
	}
	if named[builtInName] {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "the name %q belongs to the model inside this program", builtInName).
			WithHint("Give the model in config.yaml another name.")
	}
	builtIn, err := placeBuiltIn(filepath.Join(config.Home, "models"))
	return append(entries, builtIn), err
}
