# `make` alone prints this file's targets: the texts after ## are the help.
# CPU=native|x86-64-v3|x86-64-v4|zen4|armv8.2 and CUDA=1 reach third_party/build.

SHELL := /bin/bash
.DEFAULT_GOAL := help

# NVIDIA cards tell what they draw through a library that only a GPU build links.
TAGS    := $(if $(CUDA),-tags nvml)

BINARY  := build/bin/jeantrail-ai
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
export CPU CUDA CUDA_ARCHITECTURES

# Parts of the llama tests and of the crash tests take minutes on two slow cores;
# the race detector makes the same code several times slower.
TEST_TIMEOUT := 25m
RACE_TIMEOUT := 60m

.PHONY: help
help: ## show this text
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: run
run: build ## set up, build, and serve the built-in model on 127.0.0.1:3001
	./$(BINARY) serve

.PHONY: build
build: llama ## build the program into build/bin/jeantrail-ai
	go build $(TAGS) -ldflags '-X main.version=$(VERSION)' -o $(BINARY) ./cmd/jeantrail-ai

.PHONY: test
test: setup-test llama peers ## run every test, those against llama-server included
	go test -timeout $(TEST_TIMEOUT) ./...

.PHONY: race
race: setup-test llama peers ## run every test under the race detector
	go test -race -timeout $(RACE_TIMEOUT) ./...

.PHONY: fuzz-short
fuzz-short: llama ## run each fuzz target for 10 seconds
	@build/fuzz-short 10s

.PHONY: lint
lint: llama ## gofmt, go vet and staticcheck
	@build/lint

.PHONY: llama
llama: setup ## fetch the pinned llama.cpp and build its archives, once
	@third_party/build

.PHONY: peers
peers: setup ## build llama-bench, llama-server and others from the same source into build/bin/peers
	@third_party/build peers

# Random weights in the shape of Qwen3-0.6B, for what needs a real size.
LARGE_MODEL := build/llama/qwen3-0.6b-random.gguf

$(LARGE_MODEL): | llama
	go run ./build/benchmodel -shape 0.6b -o $@

.PHONY: exact
exact: peers $(LARGE_MODEL) ## compare greedy text with llama-server's on a model of real size
	JEANTRAIL_TEST_LARGE_MODEL=$(CURDIR)/$(LARGE_MODEL) go test -v -count=1 -run TestSameText ./cmd/jeantrail-ai

# What bench-peers measures: MODEL=FILE.gguf ROUNDS=1 ONLY=raw,batched,http OUTPUT=table|md|json
MODEL  := $(LARGE_MODEL)
ROUNDS := 5
ONLY   := raw,batched,http
OUTPUT := table

.PHONY: bench-peers
bench-peers: build peers $(MODEL) ## ratios against llama-bench, llama-batched-bench and llama-server; MODEL, ROUNDS, ONLY, OUTPUT
	@go run ./build/compare -model $(MODEL) -rounds $(ROUNDS) -only $(ONLY) -o $(OUTPUT)

.PHONY: compare
compare: bench-peers ## the same as bench-peers

.PHONY: setup
setup: ## install the tools that are missing, or say how
	@build/setup

.PHONY: setup-test
setup-test: setup ## the same, with what only the tests need
	@build/setup test

.PHONY: clean
clean: ## remove what was built here; the cache outside the tree stays
	rm -rf build/bin build/llama llama/link_generated.go
