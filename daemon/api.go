package daemon

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"
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
		refuse(w, http.StatusNotFound, "there is nothing at this path; try /livez, /readyz, /metrics or POST /v1/reload")
	})

	var guarded http.Handler = http.NewCrossOriginProtection().Handler(private)
	if cfg.HTTP.Token != "" {
		guarded = requireToken(cfg.HTTP.Token, guarded)
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
		code := http.StatusUnprocessableEntity
		if d.draining.Load() {
			code = http.StatusServiceUnavailable
		}
		refuse(w, code, err.Error())
		return
	}
	writeJSON(w, http.StatusOK, done)
}
