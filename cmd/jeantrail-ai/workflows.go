package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway/prompt"
	"github.com/jeantrail/jeantrail-ai/gateway/workflow"
)

// loadWorkflows reads the workflows of a home folder, over the built-in ones.
func loadWorkflows(folder string, templates *prompt.Library) (*workflow.Library, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "read workflows: %w", err)
	}
	return workflow.New(workflow.Options{Files: os.DirFS(folder), Storage: workflowFolder(folder), Templates: templates})
}

// workflowFolder keeps the files of own workflows.
type workflowFolder string

// path refuses what is not the plain name of a file in the folder.
func (f workflowFolder) path(name string) (string, error) {
	if name != filepath.Base(name) || strings.HasPrefix(name, ".") {
		return "", jeantrail.Errorf(jeantrail.CodeInvalid, "%q is not the name of a workflow's file", name)
	}
	return filepath.Join(string(f), name), nil
}

// Write implements workflow.Storage: the file is whole on the disk before it has
// its name.
func (f workflowFolder) Write(name string, data []byte) error {
	path, err := f.path(name)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(string(f), ".incoming-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // fails once the file has its name
	_, err = tmp.Write(data)
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// Remove implements workflow.Storage.
func (f workflowFolder) Remove(name string) error {
	path, err := f.path(name)
	if err != nil {
		return err
	}
	return os.Remove(path)
}
