package daemon

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/signpost-sms/signpost/daemon/api"
)

// handler is the whole local HTTP side: probes, metrics and what our own commands call.
func (d *Daemon) handler(cfg Config) http.Handler {
	open := http.NewServeMux() // answers without a token: a probe has none, and these show no data
	open.Handle("GET /livez", healthHandler(d.liveness))
	open.Handle("GET /readyz", healthHandler(d.readiness))

	private := http.NewServeMux()
	private.Handle("GET /metrics", promhttp.HandlerFor(d.reg, promhttp.HandlerOpts{Registry: d.reg}))
	private.HandleFunc("POST /v1/reload", d.serveReload)
	private.HandleFunc("GET /v1/version", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, buildInfo())
	})
	private.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, r, api.NotFound, "there is nothing at this path, or not with this method", "GET /livez, /readyz and /metrics are for machines; GET /v1/openapi.json says what else there is")
	})
	api.New(api.Config{
		Store: d.store, Engine: d.engine, Draining: d.draining.Load, Metrics: api.NewMetrics(d.reg),
		Doubts: doubtsOf(cfg, d.platform != nil), Writable: d.journalTakes, Sending: d.apiSending(cfg),
		Jobs: d.jobs, Texts: d.texts, Bookmark: d.bookmark(), Talks: d.engine, Codes: d.codes(cfg), Served: d.servedChains,
	}).Register(private)

	sameOrigin := http.NewCrossOriginProtection()
	sameOrigin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse(w, r, api.Forbidden, "the request comes from a page of another origin", "ask from a program, or from a page of this address")
	}))
	guarded := sameOrigin.Handler(private)
	if cfg.HTTP.Token != "" {
		guarded = requireToken(&cfg, guarded)
	}
	open.Handle("/", guarded)
	if loopbackListener(cfg.HTTP.Listen) {
		return onlyLocalHosts(cfg.HTTP.Listen, open)
	}
	return open
}

func (d *Daemon) serveReload(w http.ResponseWriter, r *http.Request) {
	done, err := d.Reload(r.Context())
	if err != nil {
		kind := api.ReloadFailed
		if d.draining.Load() {
			kind = api.Draining
		}
		api.Refuse(w, kind, err.Error(), "")
		return
	}
	writeJSON(w, http.StatusOK, done)
}

// doubtsOf is how the engine of a configuration ends doubts.
func doubtsOf(cfg Config, log bool) api.Doubts {
	d := cfg.Sending.InDoubt
	return api.Doubts{Log: log, Wait: d.Wait, Settle: d.Settle, Release: d.Release, Then: string(d.Then)}
}
