package api

import (
	"encoding/json"
	"errors"
	"net/http"
)

// platformPath begins the paths that are the platform's own.
const platformPath = "/api/messaging/"

// PlatformErrors is how the platform says what is wrong with a request.
type PlatformErrors struct {
	Errors []PlatformError `json:"errors"`
}

// PlatformError is one thing that is wrong.
type PlatformError struct {
	Type      string  `json:"type"` // validation_error, authentication_error, not_found, unavailable, ...
	Code      string  `json:"code"` // such as invalid_to_number
	Message   string  `json:"message"`
	Attribute *string `json:"attribute"` // the member that is wrong; null if it is none
	URL       string  `json:"url"`       // says more

	status int
}

// Error is the message.
func (e *PlatformError) Error() string { return e.Message }

// platformFault is an error of one member of a request.
func platformFault(attribute, code, message string) *PlatformError {
	return &PlatformError{
		Type: "validation_error", Code: code, Message: message, Attribute: &attribute, URL: problemType + "platform", status: http.StatusUnprocessableEntity,
	}
}

// platformErrors are the platform's errors in an error, in their order.
func platformErrors(err error) (all []*PlatformError) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			all = append(all, platformErrors(e)...)
		}
		return all
	}
	var one *PlatformError
	if errors.As(err, &one) {
		return []*PlatformError{one}
	}
	return nil
}

// platformErrorOf says a problem in the platform's way.
func platformErrorOf(p *Problem) *PlatformError {
	kinds := map[Kind]string{
		Unauthorized: "authentication_error", Forbidden: "forbidden", NotFound: "not_found", Unknown: "not_found",
		Draining: "unavailable", Unavailable: "unavailable", Failed: "internal_error",
	}
	e := &PlatformError{Type: "invalid_request", Code: "invalid_request", Message: p.Error(), URL: p.Type, status: p.Status}
	for k, name := range kinds {
		if p.Of(k) {
			e.Type, e.Code = name, name
		}
	}
	if len(p.Errors) > 0 {
		e.Attribute = &p.Errors[0].Location
	}
	return e
}

// RefusePlatform answers with a problem in the platform's way.
func RefusePlatform(w http.ResponseWriter, k Kind, detail, mend string) {
	writePlatform(w, platformErrorOf(k.Problem(detail, mend)))
}

func writePlatform(w http.ResponseWriter, all ...*PlatformError) {
	list := PlatformErrors{}
	for _, e := range all {
		list.Errors = append(list.Errors, *e)
	}
	body, err := json.Marshal(list)
	if err != nil { // of strings
		http.Error(w, all[0].Message, all[0].status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if all[0].status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", retryAfter)
	}
	w.WriteHeader(all[0].status)
	_, _ = w.Write(append(body, '\n')) // who hung up wants no answer
}
