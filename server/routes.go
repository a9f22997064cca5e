package server

import (
	"maps"
	"net/http"
	"slices"
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
		{method: "POST", path: "/generate-image", serve: s.generateImage, doc: docGenerateImage()},
		{method: "POST", path: "/transcribe", serve: s.transcribe, doc: docTranscribe()},
		{method: "POST", path: "/speak", serve: s.speak, doc: docSpeak()},
		{method: "POST", path: "/pipeline/process", serve: s.processPipeline, doc: docProcessPipeline()},
		{method: "POST", path: "/pipeline/estimate", serve: s.estimatePipeline, doc: docEstimatePipeline()},
		{method: "GET", path: "/workflows", serve: s.listWorkflows, doc: docListWorkflows()},
		{method: "GET", path: "/workflows/{name}", serve: s.getWorkflow, doc: docGetWorkflow()},
		{method: "PUT", path: "/workflows/{name}", serve: s.putWorkflow, doc: docPutWorkflow()},
		{method: "DELETE", path: "/workflows/{name}", serve: s.deleteWorkflow, doc: docDeleteWorkflow()},

		{method: "GET", path: "/jobs", serve: s.listJobs, doc: docListJobs()},
		{method: "GET", path: "/job/{id}", serve: s.getJob, doc: docGetJob()},
		{method: "DELETE", path: "/job/{id}", serve: s.cancelJob, doc: docCancelJob()},
		{method: "GET", path: "/job/{id}/events", serve: s.jobEvents, doc: docJobEvents()},
		{method: "GET", path: "/job/{id}/artifact/{n}", serve: s.getArtifact, doc: docGetArtifact()},
		{method: "GET", path: "/ws", serve: s.webSocket, doc: docWebSocket()},

		{method: "GET", path: "/budgets", serve: s.listBudgets, doc: docListBudgets()},
		{method: "POST", path: "/budgets", serve: s.addBudget, doc: docAddBudget()},
		{method: "GET", path: "/budgets/{id}", serve: s.getBudget, doc: docGetBudget()},
		{method: "PATCH", path: "/budgets/{id}", serve: s.changeBudget, doc: docChangeBudget()},
		{method: "DELETE", path: "/budgets/{id}", serve: s.deleteBudget, doc: docDeleteBudget()},
		{method: "GET", path: "/alerts", serve: s.listAlerts, doc: docListAlerts()},
		{method: "GET", path: "/rules", serve: s.listRules, doc: docListRules()},
		{method: "POST", path: "/rules", serve: s.addRule, doc: docAddRule()},
		{method: "POST", path: "/rules/test", serve: s.testRules, doc: docTestRules()},
		{method: "GET", path: "/rules/{id}", serve: s.getRule, doc: docGetRule()},
		{method: "PATCH", path: "/rules/{id}", serve: s.changeRule, doc: docChangeRule()},
		{method: "DELETE", path: "/rules/{id}", serve: s.deleteRule, doc: docDeleteRule()},
		{method: "GET", path: "/prices", serve: s.listPrices, doc: docListPrices()},
		{method: "PUT", path: "/prices/{model}", serve: s.setPrice, doc: docSetPrice()},
		{method: "GET", path: "/costs", serve: s.listCosts, doc: docListCosts()},
		{method: "POST", path: "/costs/verify", serve: s.verifyCosts, doc: docVerifyCosts()},
		{method: "GET", path: "/usage", serve: s.listUsage, doc: docListUsage()},

		{method: "GET", path: "/templates", serve: s.listTemplates, doc: docListTemplates()},
		{method: "GET", path: "/templates/{name}", serve: s.getTemplate, doc: docGetTemplate()},
		{method: "POST", path: "/templates/{name}/render", serve: s.renderTemplate, doc: docRenderTemplate()},

		{method: "GET", path: "/models", serve: s.listModels, doc: docListModels()},
		{method: "GET", path: "/models/{name}", serve: s.getModel, doc: docGetModel()},
		{method: "GET", path: "/models/events", serve: s.modelEvents, doc: docModelEvents()},
		{method: "POST", path: "/models/pull", serve: s.startPull, doc: docStartPull()},
		{method: "GET", path: "/models/pulls", serve: s.listPulls, doc: docListPulls()},
		{method: "GET", path: "/models/pulls/{id}", serve: s.getPull, doc: docGetPull()},
		{method: "DELETE", path: "/models/pulls/{id}", serve: s.cancelPull, doc: docCancelPull()},
		{method: "GET", path: "/models/pulls/{id}/events", serve: s.pullEvents, doc: docPullEvents()},
		{method: "POST", path: "/models/{name}/load", serve: s.loadModel, doc: docLoadModel()},
		{method: "POST", path: "/models/{name}/unload", serve: s.unloadModel, doc: docUnloadModel()},
		{method: "GET", path: "/bench", serve: s.listBenches, doc: docListBenches()},
		{method: "POST", path: "/bench", serve: s.addBench, doc: docAddBench()},
		{method: "GET", path: "/bench/speeds", serve: s.benchSpeeds, doc: docBenchSpeeds()},
		{method: "GET", path: "/bench/{id}", serve: s.getBench, doc: docGetBench()},
		{method: "DELETE", path: "/bench/{id}", serve: s.deleteBench, doc: docDeleteBench()},
		{method: "GET", path: "/registry", serve: s.getRegistry, doc: docGetRegistry()},
		{method: "GET", path: "/registry/{name}/history", serve: s.workerHistory, doc: docWorkerHistory()},
		{method: "POST", path: "/registry/{name}/probe", serve: s.probeWorker, doc: docProbeWorker()},
		{method: "POST", path: "/config/reload", serve: s.reloadConfig, doc: docReloadConfig()},

		{method: "GET", path: "/health", serve: s.health, open: true, quiet: true, doc: docHealth()},
		{method: "GET", path: "/ready", serve: s.ready, open: true, quiet: true, doc: docReady()},
		{method: "GET", path: "/metrics", serve: s.serveMetrics, quiet: true, doc: docMetrics()},
		{method: "GET", path: "/openapi.json", serve: s.serveOpenAPI, doc: docOpenAPI()},
	}
}

// mux joins the routes. A known path with another method is 405 and an unknown
// path 404, both as problem+json, which the mux by itself would say in plain text.
// Each pattern has its method: without, the mux takes /models/pulls/{id} beside
// /models/{name}/load for a conflict.
func (s *Server) mux() http.Handler {
	mux, methods := http.NewServeMux(), map[string]bool{}
	for _, rt := range s.routes() {
		mux.Handle(rt.method+" "+rt.path, s.endpoint(rt)) // GET answers HEAD too; net/http leaves out the body
		methods[rt.method] = true
	}
	mux.Handle("/", s.unmatched(mux, slices.Sorted(maps.Keys(methods))))
	return mux
}

// unmatched answers what no route does, with the methods that the path has, if any.
func (s *Server) unmatched(mux *http.ServeMux, methods []string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rt, allowed := route{path: "unmatched", serve: noSuchPath}, []string(nil)
		for _, method := range methods {
			_, pattern := mux.Handler(&http.Request{Method: method, URL: r.URL, Host: r.Host})
			if _, path, found := strings.Cut(pattern, " "); found {
				rt.path, allowed = path, append(allowed, method)
			}
		}
		if len(allowed) > 0 {
			rt.serve = wrongMethod(allowed)
		}
		s.endpoint(rt).ServeHTTP(w, r)
	})
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
