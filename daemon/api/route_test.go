package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/signpost-sms/signpost/messaging/memory"
)

// description is what a test reads of OpenAPI.
type description struct {
	OpenAPI string                               `json:"openapi"`
	Paths   map[string]map[string]map[string]any `json:"paths"`
}

// TestDescriptionIsWhole finds every route in the description, with its errors, and no
// reference that leads nowhere.
func TestDescriptionIsWhole(t *testing.T) {
	t.Parallel()
	d := newDesk(t, memory.New(memory.Config{}))
	doc := get[description](d, "/v1/openapi.json")
	if doc.OpenAPI != "3.1.0" {
		t.Errorf("it says that it is OpenAPI %q", doc.OpenAPI)
	}
	ids := map[any]string{}
	for _, r := range New(Config{}).all() {
		op := doc.Paths[r.path][strings.ToLower(r.method)]
		if op == nil {
			t.Errorf("%s %s is not described", r.method, r.path)
			continue
		}
		if op["summary"] == "" || op["responses"].(map[string]any)["default"] == nil {
			t.Errorf("%s %s lacks a summary or its errors", r.method, r.path)
		}
		if _, has := op["requestBody"]; has != (r.body != nil) {
			t.Errorf("%s %s: described with a body: %v", r.method, r.path, has)
		}
		if was := ids[op["operationId"]]; was != "" {
			t.Errorf("%s %s has the operationId of %s", r.method, r.path, was)
		}
		ids[op["operationId"]] = r.path
	}
	text := d.ask("GET", "/v1/openapi.json", "").Body.String()
	var whole map[string]any
	if err := json.Unmarshal([]byte(text), &whole); err != nil {
		t.Fatal(err)
	}
	schemas := whole["components"].(map[string]any)["schemas"].(map[string]any)
	for ref := range strings.SplitSeq(text, `"#/components/schemas/`) {
		name, _, _ := strings.Cut(ref, `"`)
		if !strings.HasPrefix(ref, "{") && schemas[name] == nil {
			t.Errorf("the schema %s is referred to and is not there", name)
		}
	}
	if w := d.ask("GET", "/v1/openapi.yaml", ""); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "openapi: 3.1.0") {
		t.Errorf("YAML: %d %.80s", w.Code, w.Body)
	}
}

// TestProblemsNameTheField sends what has one thing wrong with it and wants to be told where.
func TestProblemsNameTheField(t *testing.T) {
	t.Parallel()
	d := newDesk(t, memory.New(memory.Config{}))
	for _, tc := range []struct{ method, path, body, location string }{
		{"GET", "/v1/messages?limit=0", "", "query.limit"},
		{"GET", "/v1/messages?nubmer=1", "", "query.nubmer"},
		{"GET", "/v1/consent?limit=x", "", "query.limit"},
		{"GET", "/v1/consent/nobody", "", "path.number"},
		{"POST", "/v1/consent/forget", `{"number": 5}`, "body.number"},
		{"POST", "/v1/consent/forget", `{}`, "body.number"},
		{"POST", "/v1/consent/forget", `{"number": "x"}`, "body.number"},
		{"POST", "/v1/consent/forget", `{"number": "+12025550147", "now": true}`, "body.now"},
		{"POST", "/v1/consent/forget", `{`, "body"},
		{"POST", "/v1/consent/forget", "", "body"},
		{"POST", "/v1/consent/forget", "{\"number\": \"\xff\"}", "body"},
		{"POST", "/v1/deadletters/replay", `[]`, "body"},
		{"POST", "/v1/consent", `{"number":"+12025550147","change":"stop"}`, "body.actor"},
		{"POST", "/v1/consent", `{"number":"+12025550147","change":"halt","actor":"ann"}`, "body.change"},
		{"POST", "/v1/consent", `{"number":"+12025550147","change":"stop","actor":"ann","said_at":"today"}`, "body.said_at"},
		{"POST", "/v1/consent", `[{"number":"+12025550147","change":"stop","actor":"ann"},{"number":"+12025550147","change":"stop","actor":" "}]`, "body[1].actor"},
	} {
		w := d.ask(tc.method, tc.path, tc.body)
		p := ReadProblem(w.Body.Bytes())
		if w.Code != http.StatusBadRequest || len(p.Errors) == 0 || p.Errors[0].Location != tc.location || p.Errors[0].Message == "" {
			t.Errorf("%s %s %s: got %d %s, want a problem at %s", tc.method, tc.path, tc.body, w.Code, w.Body, tc.location)
		}
		if strings.Contains(w.Body.String(), "2025550147") {
			t.Errorf("%s %s repeats the number: %s", tc.path, tc.body, w.Body)
		}
	}
	if told := d.engine.told; len(told) != 0 {
		t.Errorf("the engine was told %q", told)
	}
}
