package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
)

// Fault is one thing that is wrong with a request.
type Fault struct {
	Location string `json:"location"` // body.to, query.limit, header.Idempotency-Key
	Message  string `json:"message"`  // without the value, which may be a number or a text
}

// fault is an error that knows its place.
type fault struct {
	location string
	err      error
}

func (f *fault) Error() string {
	_, name, _ := strings.Cut(f.location, ".")
	return name + ": " + f.err.Error()
}

func (f *fault) Unwrap() error { return f.err }

func (f *fault) shown() Fault { return Fault{f.location, f.err.Error()} }

// badQuery is the problem of a query that cannot be understood.
func badQuery(err error, mend string) *Problem {
	p := BadRequest.Problem(err.Error(), mend)
	p.Errors = faultsIn(err, "query")
	return p
}

// faultsIn gives the places that an error knows; otherwise the whole of where it happened.
func faultsIn(err error, where string) []Fault {
	var f *fault
	if errors.As(err, &f) {
		return []Fault{f.shown()}
	}
	return []Fault{{where, err.Error()}}
}

// badField is the problem of one member of the body.
func badField(name string, err error, mend string) *Problem {
	return badQuery(&fault{"body." + name, err}, mend)
}

// readBody reads the whole body within its bounds. Its error is a Problem.
func readBody(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil:
		return body, nil
	case errors.As(err, &tooLarge):
		return nil, TooLarge.Problem(fmt.Sprintf("the body is larger than %d bytes", tooLarge.Limit), "send less at once").at("body")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, TooSlow.Problem("the body did not come in time", "send it at once").at("body")
	}
	return nil, BadRequest.Problem("the body cannot be read: "+err.Error(), "").at("body")
}

// read reads a JSON body strictly: it has to be what the schema of v's type says.
func (a *API) read(r *http.Request, v any, example string) error {
	body, err := readBody(r)
	if err != nil {
		return err
	}
	return a.take(body, v, example)
}

// take is read for a body that has been read.
func (a *API) take(body []byte, v any, example string) error {
	faults, err := a.schemas.decode(body, v)
	if err == nil && len(faults) == 0 {
		return nil
	}
	p := BadRequest.Problem("", "send one like "+example)
	if err != nil {
		p.Detail = "the body is not the JSON that is wanted: " + err.Error()
		return p.at("body")
	}
	p.Errors = faults
	p.Detail = "the body is not the JSON that is wanted: " + faults[0].Location + ": " + faults[0].Message
	return p
}

// decode holds a body against the schema of v's type and decodes it. An error is of a body
// that is no JSON.
func (s *schemas) decode(body []byte, v any) ([]Fault, error) {
	if !utf8.Valid(body) {
		return nil, errors.New("it is no UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	var plain any
	if err := d.Decode(&plain); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("it is empty")
		}
		return nil, err
	}
	if _, end := d.Token(); !errors.Is(end, io.EOF) {
		return nil, errors.New("something follows it")
	}
	schema := s.of[reflect.TypeOf(v).Elem()]
	if schema == nil {
		return nil, fmt.Errorf("%T has no schema", v) // a route without its body
	}
	result := &huma.ValidateResult{}
	huma.Validate(s.registry, schema, huma.NewPathBuffer([]byte("body"), len("body")), huma.ModeWriteToServer, plain, result)
	if len(result.Errors) > 0 {
		return faultsOf(result.Errors), nil
	}
	if err := json.Unmarshal(body, v); err != nil {
		return faultsIn(misfit(err), "body"), nil
	}
	return nil, nil
}

// misfit gives the place of what the schema let through and Go does not take.
func misfit(err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) && wrong.Field != "" {
		return &fault{"body." + wrong.Field, errors.New("it is no " + wrong.Type.String())}
	}
	return err
}

// faultsMost bounds how many faults one answer names.
const faultsMost = 20

// faultsOf says what a validation found, without values.
func faultsOf(errs []error) []Fault {
	var all []Fault
	for _, err := range errs[:min(len(errs), faultsMost)] {
		f := Fault{"body", err.Error()}
		var d *huma.ErrorDetail
		if errors.As(err, &d) {
			f = Fault{d.Location, d.Message}
		}
		// The place of a member that is missing is its own, not that of what lacks it.
		if name, ok := strings.CutPrefix(f.Message, "expected required property "); ok {
			if name, ok = strings.CutSuffix(name, " to be present"); ok {
				f = Fault{f.Location + "." + name, "it is missing"}
			}
		}
		all = append(all, f)
	}
	return all
}
