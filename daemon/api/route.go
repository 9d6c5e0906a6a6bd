package api

import (
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
)

// route is one operation: what answers it, and what the description of the API says of it.
type route struct {
	method, path string // as http.ServeMux takes them
	tag, summary string
	params       []param
	body         any    // a value of the type of the JSON body; nil for none
	or           any    // what the body may be instead
	tolerant     bool   // a body may have members that the type has not
	answer       any    // a value of the type of the answer; nil for none
	status       int    // of success; 0 is 200
	media        string // of the answer; empty is application/json
	even         bool   // answered while the daemon is stopping, although it is no GET
	handle       func(http.ResponseWriter, *http.Request) error
}

// param is a parameter of a query or a header.
type param struct {
	name, about string
	kind        string // of JSON schema; empty is string
	header      bool
}

// schemas are those of the bodies that the API takes, by their types. It is read-only once the
// API is made.
type schemas struct {
	registry huma.Registry
	of       map[reflect.Type]*huma.Schema
}

func newSchemas() *schemas {
	return &schemas{
		registry: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
		of:       map[reflect.Type]*huma.Schema{},
	}
}

// add makes the schema of a value's type.
func (s *schemas) add(v any, tolerant bool) *huma.Schema {
	t := reflect.TypeOf(v)
	if s.of[t] == nil {
		s.of[t] = huma.SchemaFromType(s.registry, t)
	}
	if tolerant {
		whole := s.of[t]
		if whole.Ref != "" {
			whole = s.registry.SchemaFromRef(whole.Ref)
		}
		whole.AdditionalProperties = true
	}
	return s.of[t]
}

// describe adds a route to a description.
func (s *schemas) describe(doc *huma.OpenAPI, r route) {
	op := &huma.Operation{
		Method: r.method, Path: r.path, Tags: []string{r.tag}, Summary: r.summary, OperationID: operationID(r),
		Responses: map[string]*huma.Response{},
	}
	for part := range strings.SplitSeq(r.path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			op.Parameters = append(op.Parameters, &huma.Param{Name: strings.TrimSuffix(name, "}"), In: "path", Required: true, Schema: &huma.Schema{Type: "string"}})
		}
	}
	for _, p := range r.params {
		in, kind := "query", p.kind
		if p.header {
			in = "header"
		}
		if kind == "" {
			kind = "string"
		}
		op.Parameters = append(op.Parameters, &huma.Param{Name: p.name, In: in, Description: p.about, Schema: &huma.Schema{Type: kind}})
	}
	if r.body != nil {
		schema := s.add(r.body, r.tolerant)
		if r.or != nil {
			schema = &huma.Schema{OneOf: []*huma.Schema{schema, s.add(r.or, r.tolerant)}}
		}
		op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: schema}}}
	}
	done := &huma.Response{Description: "done"}
	if r.answer != nil {
		media := r.media
		if media == "" {
			media = "application/json"
		}
		done.Content = map[string]*huma.MediaType{media: {Schema: s.add(r.answer, false)}}
	}
	op.Responses[strconv.Itoa(r.succeeds())] = done
	if strings.HasPrefix(r.path, platformPath) {
		op.Responses["default"] = &huma.Response{Description: "it was not done", Content: map[string]*huma.MediaType{
			"application/json": {Schema: s.add(PlatformErrors{}, false)},
		}}
	} else {
		op.Responses["default"] = &huma.Response{Description: "it was not done", Content: map[string]*huma.MediaType{
			"application/problem+json": {Schema: s.add(Problem{}, false)},
		}}
	}
	doc.AddOperation(op)
}

func (r route) succeeds() int {
	if r.status == 0 {
		return http.StatusOK
	}
	return r.status
}

// changes reports whether the route changes something.
func (r route) changes() bool { return r.method != http.MethodGet }

// operationID names a route after its method and path.
func operationID(r route) string {
	words := strings.FieldsFunc(r.path, func(c rune) bool { return strings.ContainsRune("/{}_", c) })
	words = slices.DeleteFunc(words, func(w string) bool { return w == "v1" || w == "api" })
	return strings.ToLower(r.method) + "-" + strings.Join(words, "-")
}

// document describes the routes in OpenAPI.
func (s *schemas) document(routes []route) *huma.OpenAPI {
	doc := &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title: "Signpost", Version: "1",
			Description: "The local API of a Signpost daemon. What lies under " + platformPath + " is the platform's own API for messages; the rest is ours.",
		},
		Components: &huma.Components{
			Schemas: s.registry,
			SecuritySchemes: map[string]*huma.SecurityScheme{
				"bearer": {Type: "http", Scheme: "bearer", Description: "the token of http.token; on loopback without one, nobody is asked"},
				"basic":  {Type: "http", Scheme: "basic", Description: "that token as the password; for the platform's API also the project and its token"},
			},
		},
		Security: []map[string][]string{{}, {"bearer": {}}, {"basic": {}}},
	}
	for _, r := range routes {
		s.describe(doc, r)
	}
	return doc
}

// serveDocument adds the description to a mux. It is written when somebody first asks.
func serveDocument(mux *http.ServeMux, doc *huma.OpenAPI) {
	for ext, of := range map[string]struct {
		media string
		write func() ([]byte, error)
	}{
		"json": {"application/vnd.oai.openapi+json", sync.OnceValues(doc.MarshalJSON)},
		"yaml": {"application/vnd.oai.openapi", sync.OnceValues(doc.YAML)},
	} {
		mux.HandleFunc("GET /v1/openapi."+ext, func(w http.ResponseWriter, _ *http.Request) {
			text, err := of.write()
			if err != nil {
				Refuse(w, Failed, "the description cannot be written: "+err.Error(), "please report this")
				return
			}
			w.Header().Set("Content-Type", of.media)
			_, _ = w.Write(text) // who hung up wants no answer
		})
	}
}
