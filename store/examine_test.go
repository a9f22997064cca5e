package store_test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/store"
)

// namesIn lists a folder.
func namesIn(t *testing.T, folder string) string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	must(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func TestExamine(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "a b?c.db")
	e, err := store.Examine(ctx, path)
	if err != nil || e.There || e.Newest < 7 {
		t.Errorf("no file: %+v, %v", e, err)
	}
	s, err := store.Open(ctx, path, store.Options{})
	must(t, err)
	later := epoch.Add(48 * time.Hour)
	admit(t, s, newJob(epoch))
	admit(t, s, newJob(later))
	must(t, s.AddPull(ctx, jeantrail.Pull{ID: newID(), PullRequest: jeantrail.PullRequest{Source: "hf:a/gated"}, Status: jeantrail.PullResolving, StartedAt: epoch}))
	for _, open := range []bool{true, false} {
		before := namesIn(t, filepath.Dir(path))
		e, err := store.Examine(ctx, path)
		if err != nil || !e.There || e.Bytes == 0 || e.Schema != e.Newest || !e.Checked || len(e.Complaints) > 0 || !e.Entry.Equal(later) || e.Refused != "" {
			t.Errorf("open %v: %+v, %v", open, e, err)
		}
		if after := namesIn(t, filepath.Dir(path)); after != before || (e.WAL > 0) != open {
			t.Errorf("open %v: a log of %d bytes; before there were %s, after %s", open, e.WAL, before, after)
		}
		if open {
			must(t, s.Close())
		}
	}
	over, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := store.Examine(over, path); jeantrail.CodeOf(err) != jeantrail.CodeCancelled {
		t.Errorf("cancelled: %v", err)
	}
}

func TestExamineFindsARefusedPull(t *testing.T) {
	s := open(t)
	p := jeantrail.Pull{ID: newID(), PullRequest: jeantrail.PullRequest{Source: "hf:a/gated"}, Status: jeantrail.PullResolving, StartedAt: epoch}
	must(t, s.AddPull(t.Context(), p))
	p.Status, p.EndedAt = jeantrail.PullFailed, epoch.Add(time.Second)
	p.Err = jeantrail.Errorf(jeantrail.CodeUnauthorized, "a/gated needs a token")
	must(t, s.SavePull(t.Context(), p))
	e, err := store.Examine(t.Context(), s.Path())
	if err != nil || e.Refused != "hf:a/gated" {
		t.Errorf("refused %q, %v", e.Refused, err)
	}
}

// damage opens the file of a new store with no safeguards.
func damage(t *testing.T, statements ...string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "jeantrail.db")
	s, err := store.Open(t.Context(), path, store.Options{})
	must(t, err)
	for range 50 {
		admit(t, s, newJob(epoch))
	}
	must(t, s.Close())
	db, err := sql.Open("sqlite3", path)
	must(t, err)
	defer db.Close()
	for _, text := range statements {
		_, err := db.Exec(text)
		must(t, err)
	}
	return path
}

func TestExamineRefusesWhatOpenRefuses(t *testing.T) {
	newer := damage(t, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)")
	foreign := damage(t, "PRAGMA application_id = 7")
	text := filepath.Join(t.TempDir(), "text.db")
	must(t, os.WriteFile(text, []byte(strings.Repeat("this is no database. ", 100)), 0o600))
	for name, tt := range map[string]struct {
		path string
		code jeantrail.Code
	}{
		"newer": {newer, jeantrail.CodeUnsupported}, "another program's": {foreign, jeantrail.CodeInvalid}, "no database": {text, jeantrail.CodeInternal},
	} {
		e, err := store.Examine(t.Context(), tt.path)
		if jeantrail.CodeOf(err) != tt.code || jeantrail.AsError(err).Hint == "" || !e.There || e.Checked {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
		if names := namesIn(t, filepath.Dir(tt.path)); names != filepath.Base(tt.path) {
			t.Errorf("%s: there are %s afterwards", name, names)
		}
	}
}

func TestExamineComplains(t *testing.T) {
	path := damage(t)
	data, err := os.ReadFile(path)
	must(t, err)
	// Pages in the middle are overwritten; the head and the schema stay.
	for i := len(data) / 2; i < len(data)-4096; i++ {
		data[i] = 0xA5
	}
	must(t, os.WriteFile(path, data, 0o600))
	e, err := store.Examine(t.Context(), path)
	if err == nil && len(e.Complaints) == 0 {
		t.Errorf("nothing is found: %+v", e)
	}
}
