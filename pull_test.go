package jeantrail_test

import (
	"testing"

	"github.com/jeantrail/jeantrail-ai"
)

func TestPullRequestWithoutSecrets(t *testing.T) {
	for source, want := range map[string]string{
		"https://me:secret@models.example/a%20b.gguf?signature=secret#secret": "https://models.example/a%20b.gguf",
		"HTTP://models.example:8080/x.gguf?":                                  "http://models.example:8080/x.gguf",
		"https://models.example/x.gguf":                                       "https://models.example/x.gguf",
		"https://me:secret@[broken":                                           "https://",
		"hf:owner/repo:Q4_K_M@main":                                           "hf:owner/repo:Q4_K_M@main",
		"qwen3-8b":                                                            "qwen3-8b", "none": "none", "": "",
	} {
		r := jeantrail.PullRequest{Source: source, Name: "x", SHA256: "aa", MMProj: source}
		if got := r.WithoutSecrets(); got != (jeantrail.PullRequest{Source: want, Name: "x", SHA256: "aa", MMProj: want}) {
			t.Errorf("of %q is left %+v", source, got)
		}
	}
}

func TestPullFiles(t *testing.T) {
	var p jeantrail.Pull
	if p.ModelFile() != nil || p.Projector() != nil {
		t.Error("a pull that is not done has files")
	}
	p.Files = []jeantrail.PullFile{{Path: "a"}, {Path: "b"}}
	if p.ModelFile().Path != "a" || p.Projector() != nil {
		t.Errorf("%v, %v", p.ModelFile(), p.Projector())
	}
	p.Files = append(p.Files, jeantrail.PullFile{Path: "c", Projector: true})
	if p.Projector().Path != "c" {
		t.Errorf("the projector is %v", p.Projector())
	}
}
