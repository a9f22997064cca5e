package server

import (
	"net/http"
	"sort"
	"strings"

	"github.com/jeantrail/jeantrail-ai"
)

// handlerFunc answers a request or returns the error to answer it with.
type handlerFunc func(w http.ResponseWriter, r *http.Request) error

// route is one operation of the API: what serves it and what documents it.
type route struct {
	method string
	path   string
	serve  handlerFunc
	open   bool // needs no token
	quiet  bool // asked every few seconds by machines; logged at debug level
	doc    operation
}

// routes is the whole API.
func (s *Server) routes() []route {
	return []route{
		{method: "POST", path: "/generate", serve: s.generate, doc: docGenerate()},

		{method: "GET", path: "/jobs", serve: s.listJobs, doc: docListJobs()},
		{method: "GET", path: "/job/{id}", serve: s.getJob, doc: docGetJob()},
		{method: "DELETE", path: "/job/{id}", serve: s.cancelJob, doc: docCancelJob()},
		{method: "GET", path: "/job/{id}/events", serve: s.jobEvents, doc: docJobEvents()},
		{method: "GET", path: "/ws", serve: s.webSocket, doc: docWebSocket()},

		{method: "GET", path: "/models", serve: s.listModels, doc: docListModels()},
		{method: "GET", path: "/models/{name}", serve: s.getModel, doc: docGetModel()},

		{method: "GET", path: "/health", serve: s.health, open: true, quiet: true, doc: docHealth()},
		{method: "GET", path: "/ready", serve: s.ready, open: true, quiet: true, doc: docReady()},
		{method: "GET", path: "/metrics", serve: s.serveMetrics, quiet: true, doc: docMetrics()},
		{method: "GET", path: "/openapi.json", serve: s.serveOpenAPI, doc: docOpenAPI()},
	}
}

// mux joins the routes. A known path with another method is 405 and an unknown
// path 404, both as problem+json, which the mux by itself would say in plain text.
func (s *Server) mux() http.Handler {
	mux := http.NewServeMux()
	methods := map[string][]string{}
	for _, rt := range s.routes() {
		mux.Handle(rt.method+" "+rt.path, s.endpoint(rt))
		methods[rt.path] = append(methods[rt.path], rt.method)
	}
	for path, allowed := range methods {
		sort.Strings(allowed)
		mux.Handle(path, s.endpoint(route{path: path, serve: wrongMethod(allowed)}))
	}
	mux.Handle("/", s.endpoint(route{path: "unmatched", serve: noSuchPath}))
	return mux
}

func wrongMethod(allowed []string) handlerFunc {
	list := strings.Join(allowed, ", ")
	return func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Allow", list)
		err := jeantrail.Errorf(jeantrail.CodeUnsupported, "%s does not answer %s", r.URL.Path, r.Method).
			WithHint("Use %s.", list)
		writeProblem(w, err, http.StatusMethodNotAllowed)
		return nil
	}
}

func noSuchPath(_ http.ResponseWriter, r *http.Request) error {
	return jeantrail.Errorf(jeantrail.CodeNotFound, "there is nothing at %s", r.URL.Path).
		WithHint("GET /openapi.json lists what this version serves; POST /generate is where to begin.")
}
