package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// check is one named condition of readiness.
type check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Reason string `json:"reason,omitempty"` // why not, and what to do; empty when OK
}

// pass and fail make a check.
func pass(name string) check { return check{Name: name, OK: true} }

func fail(name, format string, args ...any) check {
	return check{Name: name, Reason: fmt.Sprintf(format, args...)}
}

// health is the answer of /livez and /readyz.
type health struct {
	OK     bool    `json:"ok"`
	Checks []check `json:"checks"`
}

func newHealth(checks []check) health {
	h := health{OK: true, Checks: checks}
	for _, c := range checks {
		h.OK = h.OK && c.OK
	}
	return h
}

// err is nil when all is well, and names every failed check otherwise.
func (h health) err() error {
	var errs []error
	for _, c := range h.Checks {
		if !c.OK {
			errs = append(errs, fmt.Errorf("%s: %s", c.Name, c.Reason))
		}
	}
	return errors.Join(errs...)
}

// plain prints one check a line, for a person with curl.
func (h health) plain() string {
	var b strings.Builder
	for _, c := range h.Checks {
		if c.OK {
			fmt.Fprintf(&b, "ok   %s\n", c.Name)
		} else {
			fmt.Fprintf(&b, "FAIL %s: %s\n", c.Name, c.Reason)
		}
	}
	return b.String()
}

// healthHandler answers 200 when every check passes and 503 when one does not, as JSON for
// whoever accepts it and as lines for everybody else.
func healthHandler(checks func() []check) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := newHealth(checks())
		code := http.StatusOK
		if !h.OK {
			code = http.StatusServiceUnavailable
		}
		w.Header().Set("Cache-Control", "no-store")
		if !acceptsJSON(r) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.WriteHeader(code)
			_, _ = w.Write([]byte(h.plain())) // a probe that hung up wants no answer
			return
		}
		writeJSON(w, code, h)
	})
}

func acceptsJSON(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "application/json") || r.URL.Query().Get("format") == "json"
}

// writeJSON writes v as the whole answer.
func writeJSON(w http.ResponseWriter, code int, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		http.Error(w, "encode the answer: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(body, '\n')) // who hung up wants no answer
}
