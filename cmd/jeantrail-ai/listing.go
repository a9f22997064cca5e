package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"
)

// listing prints the list that a path answers under a name: as it is with
// --json, else as print writes it.
func listing[T any](cmd *cobra.Command, o *options, path, name string, print func(io.Writer, []T)) error {
	return withRecords(cmd.Context(), o, func(s *Session) error {
		var whole map[string]json.RawMessage
		if err := s.get(cmd.Context(), http.MethodGet, path, &whole); err != nil {
			return err
		}
		if o.json {
			return printJSON(cmd.OutOrStdout(), whole[name])
		}
		var list []T
		if err := json.Unmarshal(whole[name], &list); err != nil {
			return fmt.Errorf("read the answer to %s: %w", path, err)
		}
		print(cmd.OutOrStdout(), list)
		return nil
	})
}

// showing prints the one thing that a path answers.
func showing[T any](cmd *cobra.Command, o *options, path string, print func(io.Writer, T)) error {
	return withRecords(cmd.Context(), o, func(s *Session) error {
		var raw json.RawMessage
		if err := s.get(cmd.Context(), http.MethodGet, path, &raw); err != nil {
			return err
		}
		if o.json {
			return printJSON(cmd.OutOrStdout(), raw)
		}
		var one T
		if err := json.Unmarshal(raw, &one); err != nil {
			return fmt.Errorf("read the answer to %s: %w", path, err)
		}
		print(cmd.OutOrStdout(), one)
		return nil
	})
}
