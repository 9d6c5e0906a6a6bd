package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/signpost-sms/signpost/messaging/memory"
)

// FuzzRequests gives every path that takes a body whatever comes: what is refused is refused
// with 4xx and says where, and nothing that is refused is sent.
func FuzzRequests(f *testing.F) {
	bodies := []string{
		hello, october, rowsOf(1, 2), `{"from": 1, "to": [], "body": {}}`, `{"until": "x"}`, `[]`, `null`, `""`, `{`, "\xff", `{"a":` + strings.Repeat("[", 200),
		`{"from": "+12025550100", "to": "+12025550147", "body": "x", "media": [1], "custom_variables": {"a": null}}`,
		`{"to": "+12025550147", "code": "1"}`, `{"number": "+12025550147", "change": "stop", "actor": "a"}`, `{"rows": [{"row": 1e9, "to": "x", "variables": {"a": 1}}]}`,
		`{"from": "+12025550100", "to": "+12025550147", "body": "x", "not_before": "0000-01-01T00:00:00Z", "priority": 2.5}`, `{"body": ""}`,
	}
	routes := New(Config{}).all()
	for i, r := range routes {
		if r.body != nil {
			for _, b := range bodies {
				f.Add(uint8(i), b, "k")
			}
		}
	}
	f.Fuzz(func(t *testing.T, at uint8, body, key string) {
		route := routes[int(at)%len(routes)]
		if route.body == nil || strings.HasSuffix(route.path, "/backup") {
			return // a backup would write files
		}
		d := newDesk(t, memory.New(memory.Config{MaxBytes: 1 << 20, MaxIDs: 100, MaxKeys: 100, MaxAttempts: 100}))
		path := strings.NewReplacer("{id}", "x", "{job}", "october", "{ours}", "+12025550100", "{theirs}", "+12025550147", "{number}", "x").Replace(route.path)
		r := httptest.NewRequest(route.method, path, strings.NewReader(body))
		r.Header.Set(headerKey, key)
		w := httptest.NewRecorder()
		d.mux.ServeHTTP(w, r)
		switch {
		case w.Code >= 500:
			t.Fatalf("%s %s %q: %d %s", route.method, path, body, w.Code, w.Body)
		case w.Code < 400:
			return
		}
		var said struct {
			Detail string
			Errors []struct{ Location, Attribute, Message string }
		}
		if err := json.Unmarshal(w.Body.Bytes(), &said); err != nil {
			t.Fatalf("%s %s %q: %d %s", route.method, path, body, w.Code, w.Body)
		}
		if w.Code != http.StatusNotFound && w.Code != http.StatusConflict && (len(said.Errors) == 0 || said.Errors[0].Location+said.Errors[0].Attribute == "") {
			t.Errorf("%s %s %q: %d names no field: %s", route.method, path, body, w.Code, w.Body)
		}
		for _, what := range d.engine.told {
			if strings.HasPrefix(what, "enqueue") {
				t.Errorf("%s %s %q was refused and sent: %s", route.method, path, body, w.Body)
			}
		}
	})
}

// TestBodiesAreBounded refuses a body of 10 MiB, wherever it is sent.
func TestBodiesAreBounded(t *testing.T) {
	t.Parallel()
	d := newDesk(t, memory.New(memory.Config{}))
	bounded := http.MaxBytesHandler(d.mux, 4<<20)
	large := `{"body": "` + strings.Repeat("x", 10<<20) + `"}`
	for _, route := range New(Config{}).all() {
		if route.body == nil {
			continue
		}
		path := strings.NewReplacer("{", "", "}", "").Replace(route.path)
		if strings.Contains(path, "/ours/theirs") {
			path = strings.Replace(path, "ours/theirs", "+12025550100/+12025550147", 1)
		}
		w := httptest.NewRecorder()
		bounded.ServeHTTP(w, httptest.NewRequest(route.method, path, strings.NewReader(large)))
		if w.Code != http.StatusRequestEntityTooLarge {
			t.Errorf("%s %s: got %d %.200s", route.method, path, w.Code, w.Body)
		}
	}
	if len(d.engine.told) != 0 {
		t.Errorf("the engine was told %q", d.engine.told)
	}
}

// late is a body that never comes.
type late struct{}

func (late) Read([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }

// TestSlowBodiesAreGivenUp refuses a body that did not come within the server's time.
func TestSlowBodiesAreGivenUp(t *testing.T) {
	t.Parallel()
	d := newDesk(t, memory.New(memory.Config{}))
	for _, path := range []string{messagesPath, "/v1/sends", "/v1/consent"} {
		w := httptest.NewRecorder()
		d.mux.ServeHTTP(w, httptest.NewRequest("POST", path, late{}))
		if w.Code != http.StatusRequestTimeout || !strings.Contains(w.Body.String(), `"body"`) {
			t.Errorf("POST %s: got %d %s", path, w.Code, w.Body)
		}
	}
	if len(d.engine.told) != 0 {
		t.Errorf("the engine was told %q", d.engine.told)
	}
}
