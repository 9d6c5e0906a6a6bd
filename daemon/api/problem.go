package api

import (
	"encoding/json"
	"net/http"
	"strings"
)

// Problem is the answer to a request that was not done, as RFC 9457 has it.
type Problem struct {
	Type   string `json:"type"`   // a stable URI, which also says more
	Title  string `json:"title"`  // the same for every problem of the type
	Status int    `json:"status"` // the HTTP status
	Detail string `json:"detail"` // what is wrong with this request
	Mend   string `json:"mend,omitempty"`
	// Errors are the members and parameters that are wrong, where that is why.
	Errors []Fault `json:"errors,omitempty"`
}

// Error is the detail, and what to do about it.
func (p *Problem) Error() string {
	if p.Mend == "" {
		return p.Detail
	}
	return p.Detail + "; " + p.Mend
}

// problemType begins the type of every problem; what follows is its heading in API.md.
const problemType = "https://github.com/signpost-sms/signpost/blob/main/daemon/api/API.md#"

// Kind is a type of problem.
type Kind struct {
	name, title string
	status      int
}

// The kinds of problems.
var (
	BadRequest   = Kind{"bad-request", "The request cannot be understood", http.StatusBadRequest}
	Unauthorized = Kind{"unauthorized", "A token is needed", http.StatusUnauthorized}
	Forbidden    = Kind{"forbidden", "The request comes from another place", http.StatusForbidden}
	NotFound     = Kind{"not-found", "There is nothing at this path", http.StatusNotFound}
	Unknown      = Kind{"unknown", "The journal holds nothing of the kind under this id", http.StatusNotFound}
	TooLate      = Kind{"too-late", "It has gone on", http.StatusConflict}
	Elsewhere    = Kind{"elsewhere", "Another instance holds it", http.StatusConflict}
	Exists       = Kind{"exists", "The file exists", http.StatusConflict}
	Conflict     = Kind{"conflict", "It was asked for differently before", http.StatusConflict}
	TooLarge     = Kind{"too-large", "The request is too large", http.StatusRequestEntityTooLarge}
	TooSlow      = Kind{"too-slow", "The request did not come in time", http.StatusRequestTimeout}
	TooMany      = Kind{"too-many", "It was asked for too often", http.StatusTooManyRequests}
	Misdirected  = Kind{"misdirected", "The Host header names another machine", http.StatusMisdirectedRequest}
	ReloadFailed = Kind{"reload-failed", "The old configuration stays in force", http.StatusUnprocessableEntity}
	Failed       = Kind{"failed", "It did not work", http.StatusInternalServerError}
	Unsupported  = Kind{"unsupported", "This store cannot do that", http.StatusNotImplemented}
	Draining     = Kind{"draining", "The daemon is stopping", http.StatusServiceUnavailable}
	Unavailable  = Kind{"unavailable", "The journal does not answer", http.StatusServiceUnavailable}
)

// Kinds lists all of them.
func Kinds() []Kind {
	return []Kind{
		BadRequest, Unauthorized, Forbidden, NotFound, Unknown, TooLate, Elsewhere, Exists, Conflict, TooLarge, TooSlow, TooMany, Misdirected, ReloadFailed,
		Failed, Unsupported, Draining, Unavailable,
	}
}

// Name is the last part of the type's URI.
func (k Kind) Name() string { return k.name }

// Problem makes a problem of the kind.
func (k Kind) Problem(detail, mend string) *Problem {
	return &Problem{Type: problemType + k.name, Title: k.title, Status: k.status, Detail: detail, Mend: mend}
}

// at says where the fault lies.
func (p *Problem) at(location string) *Problem {
	p.Errors = []Fault{{location, p.Detail}}
	return p
}

// Of reports whether the problem is of the kind.
func (p *Problem) Of(k Kind) bool { return p.Type == problemType+k.name }

// retryAfter is what a client of a stopping daemon is told to wait, in seconds: about as long
// as its successor takes to start.
const retryAfter = "5"

// Write makes the problem the whole answer.
func (p *Problem) Write(w http.ResponseWriter) {
	body, err := json.MarshalIndent(p, "", "  ")
	if err != nil { // of strings and a number
		http.Error(w, p.Error(), p.Status)
		return
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	if p.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", retryAfter)
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n')) // who hung up wants no answer
}

// Refuse answers with a problem.
func Refuse(w http.ResponseWriter, k Kind, detail, mend string) { k.Problem(detail, mend).Write(w) }

// ReadProblem reads the body of a refused request. Of a body that is none of ours, the detail
// is its text.
func ReadProblem(body []byte) *Problem {
	p := new(Problem)
	if err := json.Unmarshal(body, p); err != nil || p.Detail == "" {
		return &Problem{Detail: strings.TrimSpace(string(body))}
	}
	return p
}
