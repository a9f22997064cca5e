package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jeantrail/jeantrail-ai/llama"
	"github.com/jeantrail/jeantrail-ai/registry/gguf"
)

// tinyConfig needs no llama.cpp source: the tiny shape has its own vocabulary.
func tinyConfig(t *testing.T, args ...string) config {
	t.Helper()
	dir := t.TempDir()
	template := filepath.Join(t.TempDir(), "chat.jinja")
	if err := os.WriteFile(template, []byte("{{ messages }}"), 0o600); err != nil {
		t.Fatal(err)
	}
	args = append([]string{"-shape", "tiny", "-o", filepath.Join(dir, "out.gguf"), "-template", template}, args...)
	cfg, err := parseFlags(args, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestRun(t *testing.T) {
	for _, typ := range []string{"f16", "Q4_K_M"} {
		t.Run(typ, func(t *testing.T) {
			cfg := tinyConfig(t, "-type", typ, "-layers", "3", "-seed", "7")
			err := run(t.Context(), cfg, io.Discard)
			if errors.Is(err, llama.ErrNoCgo) {
				t.Skip("built without llama.cpp")
			}
			if err != nil {
				t.Fatal(err)
			}
			s, err := gguf.Inspect(cfg.out)
			if err != nil {
				t.Fatal(err)
			}
			if s.Quantization != strings.ToUpper(typ) || s.Layers != 3 || s.ChatTemplate != "{{ messages }}" {
				t.Errorf("%s with %d layers and template %q", s.Quantization, s.Layers, s.ChatTemplate)
			}
			if typ == "Q4_K_M" && s.Types[0].Type != gguf.TypeQ4_K {
				t.Errorf("most bytes are %s, so something fell back", s.Types[0].Type)
			}
			wantOnly(t, cfg.out)
		})
	}
}

func TestRunWritesParts(t *testing.T) {
	cfg := tinyConfig(t, "-type", "f16", "-split", "3")
	if err := run(t.Context(), cfg, io.Discard); err != nil {
		t.Fatal(err)
	}
	first := gguf.PartPath(strings.TrimSuffix(cfg.out, ".gguf"), 1, 3)
	if s, err := gguf.Inspect(first); err != nil || s.Architecture != "qwen3" {
		t.Errorf("model %+v, %v", s, err)
	}
	if files, err := os.ReadDir(filepath.Dir(cfg.out)); err != nil || len(files) != 3 {
		t.Errorf("the folder has %v, %v", files, err)
	}
	for _, wrong := range []string{"1", "-2", "1000"} {
		if _, err := parseFlags([]string{"-o", "x.gguf", "-split", wrong}, io.Discard); err == nil {
			t.Errorf("-split %s is taken", wrong)
		}
	}
}

func TestRunWritesAProjector(t *testing.T) {
	cfg := tinyConfig(t, "-type", "f16")
	cfg.mmproj = filepath.Join(t.TempDir(), "mmproj.gguf")
	if err := run(t.Context(), cfg, io.Discard); err != nil {
		t.Fatal(err)
	}
	p, err := gguf.InspectProjector(cfg.mmproj)
	if err != nil || p.Type != "qwen3vl_merger" {
		t.Errorf("projector %+v, %v", p, err)
	}
	if s, err := gguf.Inspect(cfg.out); err != nil || s.Architecture != "qwen3vl" {
		t.Errorf("model %+v, %v", s, err)
	}
	wantOnly(t, cfg.out)
	wantOnly(t, cfg.mmproj)
}

// wantOnly wants nothing in the folder but the output, if any.
func wantOnly(t *testing.T, out string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(out))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != filepath.Base(out) {
			t.Errorf("%s was left behind", e.Name())
		}
	}
}

func TestRunCleansUpWhenCancelled(t *testing.T) {
	cfg := tinyConfig(t, "-type", "f16")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run(ctx, cfg, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want context.Canceled", err)
	}
	if _, err := os.Stat(cfg.out); err == nil {
		t.Error("a cancelled run left an output")
	}
	wantOnly(t, cfg.out)
}

func TestParseFlagsRefuses(t *testing.T) {
	for args, want := range map[string]string{
		"-shape 0.6b":                "-o PATH",
		"-o x -shape 7b":             "unknown shape",
		"-o x -type Q4_9":            "unknown quantisation",
		"-o x -layers -1":            "-layers",
		"-o x -layers 513":           "-layers",
		"-o x -projector y":          "unknown projector",
		"-o x extra":                 "unexpected argument",
		"-o x -seed minus":           "invalid value",
		"-o x -shape tiny -notaflag": "not defined",
	} {
		if _, err := parseFlags(strings.Fields(args), io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error = %v, want one with %q", args, err, want)
		}
	}
}
