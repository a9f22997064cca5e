package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway/prompt"
)

// loadTemplates reads the prompt templates of a home folder, over the built-in
// ones. A file that cannot be read, or holds no template, is an error: a
// template that somebody wrote must not be passed over.
func loadTemplates(folder string) (*prompt.Library, error) {
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "read templates: %w", err)
	}
	var files []prompt.File
	for _, e := range entries {
		ext := strings.ToLower(filepath.Ext(e.Name()))
		if e.IsDir() || strings.HasPrefix(e.Name(), ".") || ext != ".yaml" && ext != ".yml" {
			continue
		}
		path := filepath.Join(folder, e.Name())
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "read template: %w", err)
		}
		files = append(files, prompt.File{Path: path, Data: data})
	}
	return prompt.New(files)
}
