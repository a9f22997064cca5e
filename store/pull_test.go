package store_test

import (
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/store"
)

// aPull is the pull number n, each a second younger than the one before.
func aPull(n int) jeantrail.Pull {
	return jeantrail.Pull{
		ID: fmt.Sprintf("01942000-0000-7000-9000-%012d", n), Status: jeantrail.PullResolving, Starts: 1,
		PullRequest: jeantrail.PullRequest{Source: "hf:Qwen/Qwen3-8B-GGUF", Name: "mine"},
		StartedAt:   time.UnixMilli(1_700_000_000_000 + int64(n)*1000).UTC(),
	}
}

// endOf is the pull with an end a minute after its beginning.
func endOf(p jeantrail.Pull, status jeantrail.PullStatus) jeantrail.Pull {
	p.Status, p.EndedAt = status, p.StartedAt.Add(time.Minute)
	switch status {
	case jeantrail.PullDone:
		p.Files = []jeantrail.PullFile{{Path: "/m/mine.gguf", Bytes: 5, SHA256: "aa"}, {Path: "/m/mine.mmproj", Bytes: 6, SHA256: "bb", Projector: true}}
		p.Model, p.ModelSHA256, p.Done, p.Total, p.Fetched, p.Revision = "mine", "aa", 11, 11, 7, "main"
	case jeantrail.PullFailed:
		p.Err = jeantrail.Errorf(jeantrail.CodeStorageFull, "there is no room").WithHint("Make some.").
			WithNumber("needed_bytes", 3).WithName("repository", "Qwen/X")
		p.Err.RetryAfter = time.Second
	}
	return p
}

func samePull(t *testing.T, s *store.Store, want jeantrail.Pull) {
	t.Helper()
	got, err := s.Pull(t.Context(), want.ID)
	must(t, err)
	if !reflect.DeepEqual(*got, want) {
		t.Errorf("read\n%+v, want\n%+v", *got, want)
	}
}

func TestPullIsKeptAndEndsOnce(t *testing.T) {
	for _, status := range []jeantrail.PullStatus{jeantrail.PullDone, jeantrail.PullFailed, jeantrail.PullCancelled} {
		t.Run(string(status), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.db")
			s := reopen(t, path, store.Options{})
			p := aPull(1)
			must(t, s.AddPull(t.Context(), p))
			samePull(t, s, p)
			wantCode(t, s.AddPull(t.Context(), p), jeantrail.CodeConflict)
			p.Status, p.Done, p.Total, p.Note, p.Starts = jeantrail.PullDownloading, 4, 11, "tried again", 2
			must(t, s.SavePull(t.Context(), p))
			samePull(t, s, p)
			end := endOf(p, status)
			must(t, s.SavePull(t.Context(), end))
			samePull(t, s, end)
			wantCode(t, s.SavePull(t.Context(), p), jeantrail.CodeConflict)
			wantCode(t, s.SavePull(t.Context(), endOf(p, jeantrail.PullCancelled)), jeantrail.CodeConflict)
			must(t, s.Close())
			samePull(t, reopen(t, path, store.Options{}), end)
		})
	}
}

// The signature of an address is there while it is needed, and not after.
func TestPullForgetsSecrets(t *testing.T) {
	s := open(t)
	p := aPull(1)
	p.Source, p.MMProj = "https://me:secret@models.example/x.gguf?signature=secret#secret", "HTTPS://models.example/x.mmproj?secret"
	must(t, s.AddPull(t.Context(), p))
	p.Status = jeantrail.PullDownloading
	must(t, s.SavePull(t.Context(), p))
	samePull(t, s, p)
	must(t, s.SavePull(t.Context(), endOf(p, jeantrail.PullCancelled)))
	got, err := s.Pull(t.Context(), p.ID)
	must(t, err)
	if got.Source != "https://models.example/x.gguf" || got.MMProj != "https://models.example/x.mmproj" {
		t.Errorf("kept %q and %q", got.Source, got.MMProj)
	}
	var all string
	must(t, s.Readers().QueryRow("SELECT group_concat(source || wanted_mmproj || note || coalesce(error, '')) FROM model_pulls").Scan(&all))
	if strings.Contains(all, "secret") {
		t.Errorf("the table holds %s", all)
	}
}

func TestPullsAreListedAndForgotten(t *testing.T) {
	s := open(t)
	ids := func(list []jeantrail.Pull, err error) (ids []string) {
		must(t, err)
		for _, p := range list {
			ids = append(ids, strings.TrimLeft(p.ID[24:], "0"))
		}
		return ids
	}
	for n := 1; n <= store.MaxEndedPulls+4; n++ {
		must(t, s.AddPull(t.Context(), aPull(n)))
	}
	if got := ids(s.Pulls(t.Context(), 3)); !slices.Equal(got, []string{"104", "103", "102"}) {
		t.Errorf("the newest are %v", got)
	}
	// 1 and 3 stay open; 2 ends last, 4 first.
	for n := 4; n <= store.MaxEndedPulls+4; n++ {
		must(t, s.SavePull(t.Context(), endOf(aPull(n), jeantrail.PullDone)))
	}
	late := endOf(aPull(2), jeantrail.PullCancelled)
	late.EndedAt = late.EndedAt.Add(time.Hour)
	must(t, s.SavePull(t.Context(), late))
	if got := ids(s.OpenPulls(t.Context())); !slices.Equal(got, []string{"1", "3"}) {
		t.Errorf("open are %v", got)
	}
	got := ids(s.Pulls(t.Context(), 1000))
	if len(got) != store.MaxEndedPulls+2 || !slices.Equal(got[len(got)-4:], []string{"6", "3", "2", "1"}) {
		t.Errorf("kept are %v", got)
	}
	_, err := s.Pull(t.Context(), aPull(4).ID)
	wantCode(t, err, jeantrail.CodeNotFound)
	wantCode(t, s.SavePull(t.Context(), aPull(4)), jeantrail.CodeNotFound)
}

func TestPullRefusesWhatCannotBe(t *testing.T) {
	s := open(t)
	without := aPull(1)
	without.Source = ""
	wantCode(t, s.AddPull(t.Context(), without), jeantrail.CodeInternal)
	wantCode(t, s.AddPull(t.Context(), endOf(aPull(1), jeantrail.PullDone)), jeantrail.CodeInternal)
	must(t, s.AddPull(t.Context(), aPull(1)))
	early := aPull(1)
	early.EndedAt = early.StartedAt
	wantCode(t, s.SavePull(t.Context(), early), jeantrail.CodeInternal)
	endless := aPull(1)
	endless.Status = jeantrail.PullCancelled
	wantCode(t, s.SavePull(t.Context(), endless), jeantrail.CodeInternal)
	groundless := endOf(aPull(1), jeantrail.PullCancelled)
	groundless.Status = jeantrail.PullFailed
	wantCode(t, s.SavePull(t.Context(), groundless), jeantrail.CodeConflict)
	samePull(t, s, aPull(1))
}

// The list of the statuses is the one of the words.
func TestSchemaHasThePullStatuses(t *testing.T) {
	if got, want := list(t, open(t), "model_pulls", "status"), names(jeantrail.PullStatuses()...); !slices.Equal(got, want) {
		t.Errorf("status is one of %v, the words are %v", got, want)
	}
}
