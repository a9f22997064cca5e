package store_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/store"
)

func cacheKey(n int) []byte { return bytes.Repeat([]byte{byte(n)}, sha256.Size) }

// file settles a job whose result is filed under a key.
func file(t rapid.TB, s *store.Store, user string, key []byte, text string, at time.Time) (id string) {
	t.Helper()
	job := newJob(at)
	job.UserID = user
	okay(t, tryAdmit(context.Background(), s, job, event(job.ID, 1, jeantrail.EventQueued)))
	okay(t, s.Start(context.Background(), job.ID, at, event(job.ID, 2, jeantrail.EventStarted)))
	st := settlement(job.ID, jeantrail.StateRunning, jeantrail.StateSucceeded, 2, 0)
	st.At, st.CacheKey, st.Result.Text = at, key, text
	okay(t, settle(context.Background(), s, st))
	return job.ID
}

// kept lists what the cache holds.
func kept(t rapid.TB, s *store.Store) []string {
	t.Helper()
	rows, err := s.Readers().Query("SELECT user_id, key, job_id, bytes FROM ai_result_cache")
	okay(t, err)
	defer rows.Close()
	var all []string
	for rows.Next() {
		var f filed
		var key []byte
		okay(t, rows.Scan(&f.user, &key, &f.job, &f.bytes))
		f.key = int(key[0])
		all = append(all, f.String())
	}
	okay(t, rows.Err())
	slices.Sort(all)
	return all
}

func TestCachedResult(t *testing.T) {
	ctx, s := context.Background(), open(t)
	id := file(t, s, "ann", cacheKey(1), "an answer", epoch)
	for name, c := range map[string]struct {
		user      string
		key       []byte
		notBefore time.Time
		hit       bool
	}{
		"it":           {"ann", cacheKey(1), epoch, true},
		"too old":      {"ann", cacheKey(1), epoch.Add(time.Millisecond), false},
		"another key":  {"ann", cacheKey(2), epoch, false},
		"another user": {"bob", cacheKey(1), epoch, false},
	} {
		job, err := s.Cached(ctx, c.user, c.key, c.notBefore)
		must(t, err)
		if (job != nil) != c.hit {
			t.Errorf("%s: %+v", name, job)
		}
		if job != nil && (job.ID != id || job.UserID != "ann" || job.Result == nil || job.Result.Text != "an answer" || job.Request.Text.Prompt != "Hello") {
			t.Errorf("%s: %+v", name, job)
		}
	}
	newer := file(t, s, "ann", cacheKey(1), "a newer answer", epoch.Add(time.Hour))
	if job, err := s.Cached(ctx, "ann", cacheKey(1), epoch.Add(time.Hour)); err != nil || job == nil || job.ID != newer {
		t.Errorf("after a newer answer: %+v, error %v", job, err)
	}
	must(t, s.TrimCache(ctx, 0, time.Time{}))
	if all := kept(t, s); len(all) != 0 {
		t.Errorf("a cache of no bytes keeps %v", all)
	}
	if job, err := s.Job(ctx, newer); err != nil || job.Result.Text != "a newer answer" {
		t.Errorf("the job lost its result with the cache: %+v, error %v", job, err)
	}
	wantCode(t, s.TrimCache(ctx, -1, epoch), jeantrail.CodeInvalid)
}

func TestResultIsFiledUnderASHA256(t *testing.T) {
	ctx, s := context.Background(), open(t)
	st := settlement(running(t, s).ID, jeantrail.StateRunning, jeantrail.StateSucceeded, 2, 0)
	st.CacheKey = []byte("short")
	wantCode(t, settle(ctx, s, st), jeantrail.CodeInternal)
	if job, err := s.Job(ctx, st.JobID); err != nil || job.State != jeantrail.StateRunning {
		t.Errorf("after the refusal: %+v, error %v", job, err)
	}
}

func TestTrimmingNothingDoesNotWrite(t *testing.T) {
	ctx, s := context.Background(), open(t)
	file(t, s, "ann", cacheKey(1), "four", epoch)
	before := s.Commits()
	must(t, s.TrimCache(ctx, 4, epoch))
	if _, err := s.Cached(ctx, "ann", cacheKey(1), epoch); err != nil {
		t.Error(err)
	}
	if n := s.Commits() - before; n != 0 {
		t.Errorf("%d commits", n)
	}
	must(t, s.TrimCache(ctx, 3, epoch))
	if n, all := s.Commits()-before, kept(t, s); n != 1 || len(all) != 0 {
		t.Errorf("%d commits, kept %v", n, all)
	}
}

// filed is one entry of the naive cache.
type filed struct {
	user  string
	key   int
	job   string
	bytes int64
	at    time.Time
}

func (f filed) String() string { return fmt.Sprint(f.user, f.key, f.job, f.bytes) }

// The cache keeps what a list does that is ordered by use.
func TestCacheKeepsTheMostRecentlyUsed(t *testing.T) {
	ctx, s := context.Background(), unsynced(t)
	users, keys := rapid.SampledFrom([]string{"ann", "bob"}), rapid.IntRange(1, 4)
	ages := rapid.Map(rapid.IntRange(0, 10), func(n int) time.Time { return epoch.Add(time.Duration(n) * time.Minute) })
	rapid.Check(t, func(t *rapid.T) {
		wipe(t, s)
		var list []filed // the most recently used last
		find := func(user string, key int) int {
			return slices.IndexFunc(list, func(f filed) bool { return f.user == user && f.key == key })
		}
		t.Repeat(map[string]func(*rapid.T){
			"file": func(t *rapid.T) {
				f := filed{user: users.Draw(t, "user"), key: keys.Draw(t, "key"), at: ages.Draw(t, "at"), bytes: rapid.Int64Range(0, 9).Draw(t, "bytes")}
				f.job = file(t, s, f.user, cacheKey(f.key), strings.Repeat("x", int(f.bytes)), f.at)
				if i := find(f.user, f.key); i >= 0 {
					list = slices.Delete(list, i, i+1)
				}
				list = append(list, f)
			},
			"use": func(t *rapid.T) {
				user, key, notBefore := users.Draw(t, "user"), keys.Draw(t, "key"), ages.Draw(t, "not before")
				job, err := s.Cached(ctx, user, cacheKey(key), notBefore)
				okay(t, err)
				i := find(user, key)
				if hit := i >= 0 && !list[i].at.Before(notBefore); hit != (job != nil) || hit && job.ID != list[i].job {
					t.Fatalf("asked for %s %d: %+v", user, key, job)
				}
				if job != nil {
					used := list[i]
					list = append(slices.Delete(list, i, i+1), used)
				}
			},
			"trim": func(t *rapid.T) {
				size, notBefore := rapid.Int64Range(0, 30).Draw(t, "bytes"), ages.Draw(t, "not before")
				okay(t, s.TrimCache(ctx, size, notBefore))
				list = slices.DeleteFunc(list, func(f filed) bool { return f.at.Before(notBefore) })
				sum := int64(0)
				for i := len(list) - 1; i >= 0; i-- {
					if sum += list[i].bytes; sum > size {
						list = slices.Delete(list, 0, i+1)
						break
					}
				}
			},
			"": func(t *rapid.T) {
				var want []string
				for _, f := range list {
					want = append(want, f.String())
				}
				slices.Sort(want)
				if got := kept(t, s); !slices.Equal(got, want) {
					t.Fatalf("the cache has %v, want %v", got, want)
				}
			},
		})
	})
}
