package doctor

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestConfig(t *testing.T) {
	c := Config{Path: "/h/config.yaml", There: true, Settings: 2}
	found := CheckConfig(c)
	want(t, found, OK, "/h/config.yaml is understood; 2 settings come from there")
	wantNone(t, found, Note, Warning, Problem)
	want(t, CheckConfig(Config{Path: "/h/config.yaml"}), OK, "There is no /h/config.yaml; all settings are at their defaults")

	c.Wrong = []Setting{{Key: "engine.slot", Line: 3, Near: "engine.slots"}, {Key: "engine.kvv", Variable: "JEANTRAIL_ENGINE__KVV", Near: "engine.kv"}, {Key: "odd", Line: 9}}
	c.Stray, c.Notes = []string{"/h/config.yml"}, []string{"REDIS_URL is set but not needed."}
	found = CheckConfig(c)
	want(t, found, Problem, `/h/config.yaml:3: unknown setting "engine.slot"; engine.slots is probably meant`, "+3 /h/config.yaml")
	want(t, found, Problem, "JEANTRAIL_ENGINE__KVV is no setting; JEANTRAIL_ENGINE__KV is probably meant", "unset JEANTRAIL_ENGINE__KVV")
	want(t, found, Problem, `/h/config.yaml:9: unknown setting "odd".`)
	want(t, found, Warning, "config.yml is not read", "mv /h/config.yml /h/config.yaml")
	want(t, found, Note, "REDIS_URL")

	bad := Config{Path: "/h/config.yaml", There: true, Err: "yaml: line 4: did not find expected node content", Line: 4}
	want(t, CheckConfig(bad), Problem, "/h/config.yaml:4: yaml", "+4 /h/config.yaml")
	bad.Line = 0
	want(t, CheckConfig(bad), Problem, "EDITOR")

	url := Config{Database: DatabaseURL{Variable: "sqlite:x.db", Over: "JEANTRAIL_DATABASE_URL", Value: "x.db?mode=ro", Path: "/here/x.db?mode=ro", Relative: true}}
	found = CheckConfig(url)
	want(t, found, Note, "DATABASE_URL has no effect")
	want(t, found, Warning, "relative", "sqlite:/here/x.db")
	want(t, found, Warning, "question mark", "sqlite:/here/x.db")
}

func TestModels(t *testing.T) {
	m := Models{Folder: "/h/models", List: []Model{{Name: "builtin", BuiltIn: true, Default: true, Bytes: 5 << 20}, {Name: "a", Configured: true, Bytes: 1 << 30}}}
	found := CheckModels(m)
	want(t, found, OK, "2 models are sound, 1.0 GiB in all")
	wantNone(t, found, Note, Warning, Problem)
	m = Models{
		Err: `model name "a" is used by a and by b`, Hint: "Every name must be different.", Part: true,
		List: []Model{
			{Name: "gone", Path: "/m/gone.gguf", Configured: true, Missing: true},
			{Name: "qwen3-8b", Path: "/m/q.gguf", Configured: true, Problem: "the file is cut off", Known: true},
			{Name: "stray", Path: "/h/models/stray.gguf", Problem: "this is HTML"},
			{Name: "builtin", Path: "/h/models/.builtin.gguf", BuiltIn: true, Problem: "it was changed"},
			{Name: "sees", Configured: true, Projector: "/m/mmproj.gguf", ProjectorProblem: "it is not a projector"},
		},
		Hub: Hub{Err: "the hub's address is not usable", Hint: "Set HF_ENDPOINT.", Refused: "hf:a/gated"},
	}
	found = CheckModels(m)
	want(t, found, Problem, "is used by a and by b", "Every name must be different.")
	want(t, found, OK, "0 models are sound", "no time")
	want(t, found, Problem, "gone: the file /m/gone.gguf is not there", "model_path of gone")
	want(t, found, Problem, "qwen3-8b: the file is cut off", "jeantrail-ai model pull qwen3-8b")
	want(t, found, Warning, "stray: this is HTML", "rm /h/models/stray.gguf")
	want(t, found, Problem, "builtin: it was changed", "rm /h/models/.builtin.gguf")
	want(t, found, Problem, "sees: the projector mmproj.gguf", "mmproj_path of sees")
	want(t, found, Problem, "HF_ENDPOINT")
	want(t, found, Note, "hf:a/gated", "HF_TOKEN")
	m.Hub.Token = true
	if slices.ContainsFunc(CheckModels(m), func(f Finding) bool { return f.Name == "hub" && f.Status == Note }) {
		t.Error("a token is asked for although there is one")
	}
}

func TestWorkers(t *testing.T) {
	w := Worker{Name: "whisper", Kind: "transcribe", URL: "http://127.0.0.1:8004", Status: "ready", Container: true, Variable: "WHISPER_URL"}
	change := func(do func(*Worker)) []Finding {
		c := w
		do(&c)
		return CheckWorkers(Workers{List: []Worker{c}})
	}
	wantNone(t, CheckWorkers(Workers{List: []Worker{w}}), Note, Warning, Problem)
	want(t, change(func(w *Worker) { w.Status, w.Problem = "degraded", "half of the requests fail" }), Warning, "worker whisper", "half of the requests fail", "worker probe whisper")
	want(t, change(func(w *Worker) { w.Status = "starting" }), Note, "worker status")
	want(t, change(func(w *Worker) { w.Status, w.Optional = "down", true }), Note, "nobody asked", "jeantrail-ai worker up whisper", "WHISPER_URL")
	want(t, change(func(w *Worker) {
		w.Status, w.State, w.Missing = "down", "exited (1) 2 hours ago", []string{"/h/workers/whisper/x.bin"}
	}), Problem, "its container is exited (1)", "/h/workers/whisper/x.bin", "worker up whisper", "docker logs")
	want(t, change(func(w *Worker) { w.Status, w.Container, w.URL = "down", false, "http://10.0.0.5:9" }), Problem, "Start the server at http://10.0.0.5:9", "set WHISPER_URL")
	want(t, change(func(w *Worker) { w.Status, w.Container, w.Variable = "down", false, "" }), Problem, "url under workers")
	want(t, change(func(w *Worker) {
		w.Bad, w.Hint = "it is at 8.8.8.8, which is not private", "set allow_remote_workers: true"
	}), Problem, "8.8.8.8", "allow_remote_workers")

	down := w
	down.Status = "down"
	docker := Docker{Asked: true, Err: "docker is not installed", Hint: "Install it.\nOr not."}
	want(t, CheckWorkers(Workers{List: []Worker{down}, Docker: docker}), Warning, "docker is not installed.", "Install it.")
	down.Optional = true
	want(t, CheckWorkers(Workers{List: []Worker{down}, Docker: docker}), Note, "docker is not installed.")
}

func TestClock(t *testing.T) {
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	c := Clock{Now: at, Built: at.Add(-time.Hour), Newest: at.Add(-time.Minute), Files: at.Add(time.Second)}
	found := CheckClock(c)
	want(t, found, OK, "2026-05-01 12:00")
	wantNone(t, found, Note, Warning, Problem)
	want(t, CheckClock(Clock{Now: at, Built: at.Add(48 * time.Hour)}), Problem, "before this program was made (2026-05-03 12:00)", "timedatectl")
	want(t, CheckClock(Clock{Now: at, Newest: at.Add(72 * time.Hour)}), Problem, "2026-05-04 12:00, 3 days later")
	want(t, CheckClock(Clock{Now: at, Files: at.Add(90 * time.Minute)}), Warning, "1h30m later")
	want(t, CheckClock(Clock{Now: at, Moved: 2 * time.Hour}), Warning, "set on by 2h0m")
	want(t, CheckClock(Clock{Now: at, Moved: -48 * time.Hour}), Warning, "set back by 2 days")
	wantNone(t, CheckClock(Clock{Now: at, Moved: time.Minute}), Warning)
}

func TestProxies(t *testing.T) {
	wantNone(t, CheckProxies(Proxies{}), Note, Warning, Problem)
	set := []Proxy{{"HTTPS_PROXY", "http://user:secret@proxy:3128"}}
	for noProxy, silent := range map[string]bool{
		"": false, "example.com": false, "localhost": false, "localhost,127.0.0.1": true, "*": true, " .localhost , 127.0.0.0/8": true,
	} {
		found := CheckProxies(Proxies{Set: set, NoProxy: noProxy})
		want(t, found, OK, "requests to the instance and to workers never")
		if Count(found, Note) == 0 != silent {
			t.Errorf("NO_PROXY=%q:\n%s", noProxy, text(found))
		}
	}
	f := want(t, CheckProxies(Proxies{Set: set, NoProxy: "a.com"}), Note, "NO_PROXY")
	if !slices.Equal(f.Mend, []string{"export NO_PROXY=a.com,localhost,127.0.0.1,::1"}) {
		t.Errorf("%q", f.Mend)
	}
	found := CheckProxies(Proxies{Set: []Proxy{{"HTTP_PROXY", "ftp://proxy:1"}, {"ALL_PROXY", "proxy:3128"}, {"https_proxy", "http://"}}, NoProxy: "*"})
	want(t, found, Problem, "HTTP_PROXY is no address", "unset HTTP_PROXY")
	want(t, found, Problem, "https_proxy")
	if Count(found, Problem) != 2 {
		t.Errorf("host:port alone is a proxy too:\n%s", text(found))
	}
	for _, value := range []string{"http://user:secret@", "http://user:secret@proxy:3128"} {
		if said := text(CheckProxies(Proxies{Set: []Proxy{{"HTTP_PROXY", value}}})); strings.Contains(said, "secret") {
			t.Errorf("a password is shown:\n%s", said)
		}
	}
}
