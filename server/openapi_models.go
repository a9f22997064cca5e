package server

import (
	"net/http"

	"github.com/jeantrail/jeantrail-ai"
)

func docListModels() operation {
	return operation{
		id: "listModels", tag: "models", summary: "List models", detail: "With how each fits this machine.",
		answers: []answer{{http.StatusOK, "All models.", "", wireModels{}}},
	}
}

func docGetModel() operation {
	return operation{
		id: "getModel", tag: "models", summary: "Show a model", params: []param{{"name", "path", "Name or alias.", ""}},
		detail:  "With how it fits this machine and how fast it would be. The first call measures the memory for that, which takes up to half a second.",
		answers: []answer{{http.StatusOK, "The model.", "", wireModel{}}}, errors: []jeantrail.Code{jeantrail.CodeNotFound},
	}
}

func docModelEvents() operation {
	return operation{
		id: "modelEvents", tag: "models", summary: "Watch the models",
		answers: []answer{{http.StatusOK, "How every model is, at once and whenever that changes: event is model, data a ModelState. A client that is slow misses steps, never the newest state.", "text/event-stream", wireModelState{}}},
		errors:  []jeantrail.Code{jeantrail.CodeInvalid},
	}
}

func docLoadModel() operation {
	op := told("loadModel", "models", "Load a model",
		"For administrators. A model that would not fit is refused with the numbers and what would fit.", modelParam(),
		answer{http.StatusOK, "The model is ready, or says why it is not.", "", wireModel{}},
		answer{http.StatusAccepted, "The model is being loaded; GET /models/events tells how far it is.", "", wireModel{}})
	op.errors = append(op.errors, jeantrail.CodeWorkerUnavailable)
	return op
}

func docUnloadModel() operation {
	return told("unloadModel", "models", "Free an idle model", "For administrators. A pinned one too; the next job for it loads it again.", modelParam(),
		answer{http.StatusOK, "The model.", "", wireModel{}}, answer{http.StatusAccepted, "The model is being loaded again.", "", wireModel{}})
}
