package relaytest

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

//go:embed control.html
var controlPage []byte

// maxWait bounds a long poll.
const maxWait = time.Minute

// httpHandler serves REST and the control API.
func (s *Server) httpHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/api/", s.serveREST)
	mux.Handle("/control/", s.controlHandler())
	mux.Handle("/control", http.RedirectHandler("/control/", http.StatusMovedPermanently))
	mux.Handle("/{$}", http.RedirectHandler("/control/", http.StatusFound))
	return mux
}

// endpoint is one operation of the control API.
type endpoint struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	About  string `json:"about"`
	serve  func(*http.Request) (any, error)
}

// statusError is an error with an HTTP status of its own.
type statusError struct {
	status int
	text   string
}

func (e *statusError) Error() string { return e.text }

func (s *Server) controlHandler() http.Handler {
	mux := http.NewServeMux()
	list := s.endpoints()
	for _, e := range list {
		mux.HandleFunc(e.Method+" "+e.Path, func(w http.ResponseWriter, r *http.Request) {
			result, err := e.serve(r)
			answer(w, result, err)
		})
	}
	mux.HandleFunc("GET /control/{$}", func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("Accept"), "text/html") {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
			_, _ = w.Write(controlPage) // a browser that has gone needs no page
			return
		}
		answer(w, map[string]any{"endpoints": list, "relay": s.URL(), "relay_tls": s.TLSURL(), "http": s.HTTPURL()}, nil)
	})
	mux.HandleFunc("GET /control/ca.pem", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-pem-file")
		_, _ = w.Write(s.ca) // as above
	})
	mux.HandleFunc("/control/", func(w http.ResponseWriter, r *http.Request) {
		answer(w, nil, &statusError{http.StatusNotFound, "no " + r.Method + " " + r.URL.Path + "; GET /control/ lists what there is"})
	})
	return sameOrigin(mux)
}

// sameOrigin keeps other web pages in the user's browser out.
func sameOrigin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if origin := r.Header.Get("Origin"); origin != "" {
			if u, err := url.Parse(origin); err != nil || u.Host != r.Host {
				answer(w, nil, &statusError{http.StatusForbidden, "requests from other web pages are refused"})
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

func answer(w http.ResponseWriter, result any, err error) {
	var field *fieldError
	var status *statusError
	switch {
	case err == nil:
		writeJSON(w, http.StatusOK, showControl(result))
	case errors.As(err, &field):
		writeJSON(w, http.StatusBadRequest, map[string]any{"error": field})
	case errors.As(err, &status):
		writeJSON(w, status.status, map[string]any{"error": map[string]string{"message": status.text}})
	default:
		writeJSON(w, http.StatusBadRequest, map[string]any{"error": map[string]string{"message": err.Error()}})
	}
}

// body decodes a request's body into v; an empty body leaves v alone.
func body(r *http.Request, v any) error {
	data, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxRESTBody))
	if err != nil {
		return &fieldError{"", "the body cannot be read: " + err.Error()}
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil
	}
	return readControl(data, v)
}

// query reads the parameters of a GET. Unknown ones are errors, as in bodies.
type query struct {
	values url.Values
	err    error
}

func queryOf(r *http.Request, known ...string) *query {
	q := &query{values: r.URL.Query()}
	for name := range q.values {
		found := false
		for _, k := range known {
			found = found || k == name
		}
		if !found {
			q.err = &fieldError{name, "unknown parameter; known here: " + strings.Join(known, ", ")}
		}
	}
	return q
}

func (q *query) text(name string) string { return q.values.Get(name) }

func (q *query) number(name string, otherwise uint64) uint64 {
	raw := q.values.Get(name)
	if raw == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(raw, 10, 63)
	if err != nil {
		q.err = &fieldError{name, "must be a whole number"}
	}
	return n
}

func (q *query) wait() time.Duration {
	raw := q.values.Get("wait")
	if raw == "" {
		return 0
	}
	d, err := time.ParseDuration(raw)
	if err != nil || d < 0 {
		q.err = &fieldError{"wait", `must be a duration such as "10s"`}
	}
	return min(d, maxWait)
}

// redacted parses a frame for showing, without what would let the reader in.
func redacted(raw []byte) any {
	if !json.Valid(raw) {
		return nil
	}
	if !bytes.Contains(raw, []byte("token")) && !bytes.Contains(raw, []byte("authorization_state")) {
		return json.RawMessage(raw)
	}
	var tree any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if d.Decode(&tree) != nil {
		return nil
	}
	return hideSecrets(tree)
}

func hideSecrets(tree any) any {
	switch v := tree.(type) {
	case map[string]any:
		for name, value := range v {
			switch name {
			case "token", "jwt_token", "dpop_token", "authorization_state":
				v[name] = "[redacted]"
			default:
				v[name] = hideSecrets(value)
			}
		}
	case []any:
		for i := range v {
			v[i] = hideSecrets(v[i])
		}
	}
	return tree
}
