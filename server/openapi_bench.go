package server

import (
	"fmt"
	"net/http"

	"github.com/jeantrail/jeantrail-ai"
)

func benchParam() []param {
	return []param{{"id", "path", "The benchmark's id, or a beginning of it that no other has.", ""}}
}

func docAddBench() operation {
	return written("addBench", "bench", "Keep a benchmark", "For administrators.",
		nil, benchReport{}, answer{http.StatusCreated, "The benchmark." + location, "", wireBenchRun{}}, jeantrail.CodeConflict)
}

func docListBenches() operation {
	return listed("listBenches", "bench", "List the benchmarks that are kept, newest first", []param{
		{"kind", "query", "raw, batched, engine or http.", ""},
		{"model", "query", "The model's name, or how the SHA-256 of its file begins, with 8 digits at least.", ""},
		{"limit", "query", fmt.Sprintf("1 to %d; %d if left out.", maxPage, defaultPage), 0},
	}, wireBenches{})
}

func docBenchSpeeds() operation {
	op := listed("benchSpeeds", "bench", "List how fast models were last measured to generate one stream here", nil, wireSpeeds{})
	op.detail = "For each model's file the last measurement on each processor with the same threads and layers on a GPU."
	return op
}

func docGetBench() operation {
	op := shownOne("getBench", "bench", "Show a benchmark with all that it measured", benchParam(), wireBenchRun{})
	op.detail, op.errors = "For administrators.", append(op.errors, jeantrail.CodeInvalid)
	return op
}

func docDeleteBench() operation {
	op := deleted("deleteBench", "bench", "Delete a benchmark", "For administrators.", benchParam())
	op.errors = append(op.errors, jeantrail.CodeInvalid)
	return op
}
