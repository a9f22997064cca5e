package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// steady is 100 ms to the first token and 20 ms to each of the next.
func steady(api API) script {
	return script{api: api, first: 100 * time.Millisecond, gap: 20 * time.Millisecond, pieces: 1000, each: 1, text: " w", cached: 3}
}

func always(s script) func(int) script { return func(int) script { return s } }

func optionsFor(c *http.Client, api API) HTTPOptions {
	return HTTPOptions{
		URL: "http://model.test", API: api, Model: "m", Streams: []int{1, 4}, Requests: 8, PromptTokens: 20, MaxTokens: 11, Seed: 7, Client: c,
		Timeout: time.Minute,
	}
}

func near(got, want float64) bool { return got > want-1e-6 && got < want+1e-6 }

func figure(t *testing.T, name string, f *Figure, n int, mean float64) {
	t.Helper()
	if f == nil {
		t.Errorf("%s was not measured", name)
		return
	}
	if f.N != n || !near(f.Mean, mean) {
		t.Errorf("%s: %d measurements with mean %v, want %d with %v", name, f.N, f.Mean, n, mean)
	}
}

func TestHTTPMeasuresExactly(t *testing.T) {
	for _, api := range []API{APIJeantrail, APIOpenAI, APICompletions, APILlamaServer, APIOllama} {
		t.Run(string(api), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{script: always(steady(api))}
				about := http.NewServeMux()
				about.HandleFunc("GET /", http.NotFound)
				about.Handle("POST /", f)
				report, err := HTTP(t.Context(), optionsFor(serving(t, about), api))
				if err != nil {
					t.Fatal(err)
				}
				if len(report.Rows) != 2 || len(report.Notes) != 0 {
					t.Fatalf("%d rows, notes %q", len(report.Rows), report.Notes)
				}
				for i, streams := range []int{1, 4} {
					row := &report.Rows[i]
					if row.Test != testLoad || row.Streams != streams || row.Requests != 8 || row.Tokens != 88 || row.failed() != 0 {
						t.Errorf("%+v", row)
					}
					rounds := 8 / streams
					// 11 tokens in 100 ms + 10 times 20 ms
					figure(t, "speed", row.Speed, rounds, float64(11*streams)/0.3)
					figure(t, "stream speed", row.StreamSpeed, 8, 50)
					figure(t, "first", row.First, 8, 100)
					figure(t, "gap", row.Gap, 80, 20)
					figure(t, "total", row.Total, 8, 300)
					if len(row.First.Each) != rounds || row.First.SD != 0 || row.Gap.P99 != 20 {
						t.Errorf("first %+v, gap %+v", row.First, row.Gap)
					}
					if row.Gaps[4].Count != 80 {
						t.Errorf("histogram %+v", row.Gaps)
					}
					if row.PromptCounted == nil || *row.PromptCounted != 21 {
						t.Errorf("the server's count of the prompt is %v", row.PromptCounted)
					}
					if api != APIOllama && (row.Cached == nil || *row.Cached != 3) {
						t.Errorf("the server's count of cached tokens is %v", row.Cached)
					}
				}
				if len(f.bodies) != 17 { // one to warm up
					t.Errorf("%d requests were sent", len(f.bodies))
				}
				for _, body := range f.bodies {
					if body["stream"] != true || body["model"] != "m" {
						t.Errorf("a request was %v", body)
					}
				}
				if report.Settings.API != api || report.Settings.URL != "http://model.test" || report.Settings.Seed != 7 {
					t.Errorf("settings %+v", report.Settings)
				}
			})
		})
	}
}

// TestPiecesOfManyTokens has a server send three tokens in each piece.
func TestPiecesOfManyTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := steady(APIJeantrail)
		s.each, s.text = 3, "日本語 – naïve 🦙"
		o := optionsFor(serving(t, &fake{script: always(s)}), APIJeantrail)
		o.Streams, o.Requests, o.MaxTokens = []int{1}, 1, 12
		report, err := HTTP(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		row := &report.Rows[0]
		// 9 tokens after the first piece, in 60 ms
		figure(t, "stream speed", row.StreamSpeed, 1, 150)
		figure(t, "gap", row.Gap, 3, 20)
		if row.Tokens != 12 {
			t.Errorf("%d tokens", row.Tokens)
		}
	})
}

func TestServerThatBuffers(t *testing.T) {
	for _, api := range []API{APIOpenAI, APIOllama} {
		synctest.Test(t, func(t *testing.T) {
			s := steady(api)
			s.atOnce = true
			o := optionsFor(serving(t, &fake{script: always(s)}), api)
			o.Streams, o.Requests = []int{2}, 4
			report, err := HTTP(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			row := &report.Rows[0]
			if row.StreamSpeed != nil {
				t.Errorf("%s: one stream's speed is said to be %+v", api, row.StreamSpeed)
			}
			figure(t, "first", row.First, 4, 300)
			figure(t, "speed", row.Speed, 2, 22/0.3)
			want := "load, 2 streams: 4 of 4 answers came in one write, so nothing is known of the time between their tokens"
			if !slices.Contains(report.Notes, want) {
				t.Errorf("%s: notes %q", api, report.Notes)
			}
		})
	}
}

func TestFailuresAreCountedByKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{script: func(n int) script {
			s := steady(APILlamaServer)
			switch n {
			case 1:
				s.cut = 5
			case 2:
				s.fault = 5
			case 3:
				s.status, s.said = 503, `{"error":{"message":"no slot"}}`
			case 4:
				s.first = 2 * time.Minute
			case 5:
				s.text = ""
			case 6:
				s.pieces = 4
			}
			return s
		}}
		o := optionsFor(serving(t, f), APILlamaServer)
		o.Streams = []int{1}
		report, err := HTTP(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		row := &report.Rows[0]
		got := make(map[string]int)
		for _, failure := range row.Failures {
			got[failure.Kind] += failure.Count
			if failure.Example == "" {
				t.Errorf("nothing is said of %s", failure.Kind)
			}
		}
		want := map[string]int{"connection lost": 1, "error in the stream": 1, "http 503": 1, "timeout": 1, "empty": 1}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("failures %v, want %v", got, want)
		}
		if row.Requests != 8 || row.First.N != 3 || row.Tokens != 2*11+4 {
			t.Errorf("%d requests, %d first tokens, %d tokens", row.Requests, row.First.N, row.Tokens)
		}
		if !slices.Contains(report.Notes, "load: 1 of 3 answers ended before 11 tokens") {
			t.Errorf("notes %q", report.Notes)
		}
		if !slices.ContainsFunc(report.Notes, func(n string) bool { return strings.Contains(n, "no slot") }) {
			t.Errorf("no note has the server's words: %q", report.Notes)
		}
	})
}

func TestAllThatFailStopIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{script: func(n int) script {
			s := steady(APIOllama)
			if n > 8 { // after warming up and one stream
				s.fault = 1
			}
			return s
		}}
		o := optionsFor(serving(t, f), APIOllama)
		o.Streams = []int{1, 4, 8}
		report, err := HTTP(t.Context(), o)
		if jeantrail.CodeOf(err) != jeantrail.CodeWorkerUnavailable || !strings.Contains(err.Error(), "all 8 requests failed: the server broke off: the engine fell over") {
			t.Errorf("error %v", err)
		}
		if report == nil || len(report.Rows) != 2 || report.Rows[0].First == nil {
			t.Errorf("report %+v", report)
		}
	})
}

func TestWarmUpRefused(t *testing.T) {
	for _, tt := range []struct {
		status int
		said   string
		code   jeantrail.Code
		has    string
	}{
		{401, `{"error":"no key"}`, jeantrail.CodeUnauthorized, "no key"},
		{404, `{"error":{"message":"no such model"}}`, jeantrail.CodeNotFound, "no such model"},
		{400, `{"title":"invalid","detail":"max_tokens is too large"}`, jeantrail.CodeInvalid, "max_tokens is too large"},
		{429, "", jeantrail.CodeRateLimited, "Too Many Requests"},
		{307, "", jeantrail.CodeInvalid, "Temporary Redirect"},
		{500, "<html>\n<b>oops</b>", jeantrail.CodeWorkerUnavailable, "<html> <b>oops</b>"},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := steady(APIOpenAI)
			s.status, s.said = tt.status, tt.said
			report, err := HTTP(t.Context(), optionsFor(serving(t, &fake{script: always(s)}), APIOpenAI))
			e := jeantrail.AsError(err)
			if report != nil || e.Code != tt.code || !strings.Contains(e.Message, tt.has) || e.Hint == "" {
				t.Errorf("%d: report %v, error %+v", tt.status, report, e)
			}
		})
	}
}

// TestFieldsThatAreRefused has a server that knows none of the optional fields.
func TestFieldsThatAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refusals := []string{
			`{"error":{"message":"Unrecognized request argument supplied: ignore_eos"}}`,
			`{"error":{"message":"stream_options: extra fields not permitted"}}`,
			`{"error":{"message":"Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."}}`,
			`{"error":{"message":"temperature does not support 0"}}`,
		}
		f := &fake{script: func(n int) script {
			s := steady(APIOpenAI)
			if n < len(refusals) {
				s.status, s.said = 400, refusals[n]
			}
			return s
		}}
		o := optionsFor(serving(t, f), APIOpenAI)
		o.Streams, o.Requests = []int{1}, 1
		report, err := HTTP(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		last := f.bodies[len(f.bodies)-1]
		for _, name := range []string{"ignore_eos", "stream_options", "temperature", "max_tokens"} {
			if last[name] != nil {
				t.Errorf("%s was still sent", name)
			}
		}
		if last["max_completion_tokens"] != 11.0 || len(f.bodies) != 6 {
			t.Errorf("the last of %d requests was %v", len(f.bodies), last)
		}
		if len(report.Notes) != 3 || report.Notes[0] != "the server refuses ignore_eos, so requests were sent without it" {
			t.Errorf("notes %q", report.Notes)
		}
	})
}

func TestHTTPCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		enough := errors.New("enough")
		o := optionsFor(serving(t, &fake{script: always(steady(APIOllama))}), APIOllama)
		o.Progress = func(p Progress) {
			if p.Streams == 4 && p.Done == 2 {
				cancel(enough)
			}
		}
		report, err := HTTP(ctx, o)
		if !errors.Is(err, enough) {
			t.Errorf("error %v", err)
		}
		if report == nil || len(report.Rows) != 1 || report.Rows[0].Streams != 1 {
			t.Errorf("report %+v", report)
		}
	})
}

func TestProgressIsLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all []Progress
		s := steady(APIOllama)
		o := optionsFor(serving(t, &fake{script: always(s)}), APIOllama)
		o.Streams, o.Requests, o.MaxTokens = []int{2}, 2, 51
		o.Progress = func(p Progress) { all = append(all, p) }
		if _, err := HTTP(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		// The start, one at 250 ms or just after and so on until 1100 ms, and two ends.
		if len(all) != 1+4+2 {
			t.Fatalf("%d calls: %+v", len(all), all)
		}
		if all[0] != (Progress{Test: testLoad, Streams: 2, Total: 2}) {
			t.Errorf("at the start: %+v", all[0])
		}
		if p := all[1]; p.Elapsed != 260*time.Millisecond || p.Done != 0 || p.Tokens < 17 || p.Tokens > 18 {
			t.Errorf("on the way: %+v", p)
		}
		if p := all[len(all)-1]; p.Done != 2 || p.Tokens != 102 || p.Elapsed != 1100*time.Millisecond {
			t.Errorf("at the end: %+v", p)
		}
	})
}

func TestPromptsOfARun(t *testing.T) {
	run := func(seed uint64, shared bool) (sent []string) {
		synctest.Test(t, func(t *testing.T) {
			f := &fake{script: always(steady(APIJeantrail))}
			o := optionsFor(serving(t, f), APIJeantrail)
			o.Streams, o.Seed, o.SharedPrefix, o.MaxTokens = []int{1, 4}, seed, shared, 2
			if _, err := HTTP(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			for _, body := range f.bodies {
				sent = append(sent, body["prompt"].(string))
			}
		})
		slices.Sort(sent) // those of one round arrive in any order
		return sent
	}
	once := run(5, false)
	if !slices.Equal(once, run(5, false)) {
		t.Error("the same seed gave other prompts")
	}
	if slices.Equal(once, run(6, false)) {
		t.Error("another seed gave the same prompts")
	}
	if len(slices.Compact(once)) != 17 {
		t.Error("two prompts of a run are the same")
	}
	shared := run(5, true)
	beginning := strings.Join(strings.Fields(shared[0])[:15], " ")
	for _, p := range shared {
		if !strings.HasPrefix(p, beginning) || len(strings.Fields(p)) != 20 {
			t.Errorf("%q does not begin with %q", p, beginning)
		}
	}
	if len(slices.Compact(shared)) != 17 {
		t.Error("two prompts with a shared beginning are the same")
	}
}

func TestHTTPOptionsThatCannotBe(t *testing.T) {
	for name, o := range map[string]HTTPOptions{
		"no address":       {},
		"another scheme":   {URL: "ftp://model.test"},
		"no such API":      {URL: "http://model.test", API: "grpc"},
		"no streams":       {URL: "http://model.test", Streams: []int{0}},
		"too many streams": {URL: "http://model.test", Streams: []int{1025}},
		"a short prompt":   {URL: "http://model.test", PromptTokens: 7},
		"one token":        {URL: "http://model.test", MaxTokens: 1},
		"negative":         {URL: "http://model.test", Requests: -1},
	} {
		report, err := HTTP(t.Context(), o)
		if jeantrail.CodeOf(err) != jeantrail.CodeInvalid || report != nil {
			t.Errorf("%s: %v, %v", name, report, err)
		}
	}
}
