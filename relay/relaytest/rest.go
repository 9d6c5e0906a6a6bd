package relaytest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// maxRESTBody bounds a request body; the largest legal one is far smaller.
const maxRESTBody = 1 << 20

// apiError is one entry of the errors array.
type apiError struct {
	Type      string  `json:"type"`
	Code      string  `json:"code"`
	Message   string  `json:"message"`
	Attribute *string `json:"attribute"`
	URL       string  `json:"url"`
}

func validation(code, attribute, message string) apiError {
	return apiError{Type: "validation_error", Code: code, Message: message, Attribute: &attribute}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(append(data, '\n')) // a client that has gone needs no answer
}

func refuse(w http.ResponseWriter, status int, errs ...apiError) {
	if len(errs) == 0 {
		code := strings.ReplaceAll(strings.ToLower(http.StatusText(status)), " ", "_")
		errs = []apiError{{Type: "request_error", Code: code, Message: http.StatusText(status)}}
	}
	for i := range errs {
		errs[i].URL = "https://developer.signalwire.com/rest/signalwire-rest/overview/error-codes#" + errs[i].Code
	}
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="SignalWire"`)
	}
	writeJSON(w, status, map[string]any{"errors": errs})
}

// restRequest is an authenticated request.
type restRequest struct {
	*http.Request
	project string
}

// serveREST answers the platform's REST API as far as texting needs it.
func (s *Server) serveREST(w http.ResponseWriter, r *http.Request) {
	if status := s.nextREST(); status != 0 {
		refuse(w, status)
		return
	}
	project, token, ok := r.BasicAuth()
	s.mu.Lock()
	ok = ok && s.validToken(project, token)
	s.mu.Unlock()
	if !ok {
		refuse(w, http.StatusUnauthorized)
		return
	}
	s.restMux.ServeHTTP(w, r)
}

func (s *Server) initREST() {
	mux := http.NewServeMux()
	handle := func(pattern string, h func(http.ResponseWriter, restRequest)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			project, _, _ := r.BasicAuth()
			h(w, restRequest{r, project})
		})
	}
	handle("POST /api/messaging/messages", s.restCreate)
	handle("PATCH /api/messaging/messages/{id}", s.restRedact)
	handle("GET /api/messaging/logs", s.restLogs)
	handle("GET /api/messaging/logs/{id}", s.restLog)
	handle("POST /api/relay/rest/tasks", s.restTask)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusNotFound) })
	s.restMux = mux
}

func readBody(w http.ResponseWriter, r *http.Request, v any) bool {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRESTBody))
	if err == nil {
		err = json.Unmarshal(data, v)
	}
	if err == nil {
		return true
	}
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) && wrong.Field != "" {
		refuse(w, http.StatusUnprocessableEntity, validation("invalid_parameter_type", wrong.Field, "must be "+wrong.Type.String()))
		return false
	}
	refuse(w, http.StatusBadRequest, apiError{Type: "request_error", Code: "invalid_json", Message: "The request body is not JSON."})
	return false
}

type createMessage struct {
	To              string            `json:"to"`
	From            string            `json:"from"`
	Body            string            `json:"body"`
	Media           []string          `json:"media"`
	SendAsMMS       bool              `json:"send_as_mms"`
	StatusCallback  string            `json:"status_callback"`
	CustomVariables map[string]string `json:"custom_variables"`
}

var (
	e164      = regexp.MustCompile(`^\+[0-9]{5,17}$`)
	shortCode = regexp.MustCompile(`^[0-9]{5,6}$`)
	shortDest = regexp.MustCompile(`^[0-9]{3,6}$`)
	variable  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	reserved  = []string{"signalwire_", "sw_", "rtc_", "internal_"}
)

const (
	maxMedia     = 8
	maxVariables = 20
	maxVariable  = 1024 // bytes of a value
)

func isHTTP(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// check returns what the platform would object to. owned is empty if any sender
// will do.
func (m createMessage) check(owned map[string]string) (errs []apiError) {
	add := func(code, attribute, message string) { errs = append(errs, validation(code, attribute, message)) }
	if !e164.MatchString(m.To) && !shortDest.MatchString(m.To) {
		add("invalid_to_number", "to", "must be an E.164 number or a pass-through number")
	}
	_, own := owned[m.From]
	switch {
	case shortCode.MatchString(m.From), own:
	case !e164.MatchString(m.From):
		add("invalid_from_number", "from", "must be an E.164 number or a short code")
	case len(owned) > 0:
		add("invalid_from_number", "from", "must be a number of this project")
	}
	if m.Body == "" && len(m.Media) == 0 {
		add("missing_required_parameter", "body", "is required without media")
	}
	if len(m.Media) > maxMedia {
		add("too_many_media", "media", fmt.Sprintf("at most %d", maxMedia))
	}
	if slices.ContainsFunc(m.Media, func(u string) bool { return !isHTTP(u) }) {
		add("invalid_url", "media", "must be http or https URLs")
	}
	if m.StatusCallback != "" && !isHTTP(m.StatusCallback) {
		add("invalid_url", "status_callback", "must be an http or https URL")
	}
	if len(m.CustomVariables) > maxVariables {
		add("too_many_custom_variables", "custom_variables", fmt.Sprintf("at most %d", maxVariables))
	}
	for name, value := range m.CustomVariables {
		bad := !variable.MatchString(name) || value == "" || len(value) > maxVariable ||
			slices.ContainsFunc(reserved, func(p string) bool { return strings.HasPrefix(name, p) })
		if bad {
			add("invalid_custom_variable", "custom_variables", "has a name or value that is not allowed")
			break
		}
	}
	return errs
}

func (s *Server) restCreate(w http.ResponseWriter, r restRequest) {
	var m createMessage
	if !readBody(w, r.Request, &m) {
		return
	}
	if errs := m.check(s.cfg.Numbers); errs != nil {
		refuse(w, http.StatusUnprocessableEntity, errs...)
		return
	}
	s.mu.Lock()
	plan := s.outcome(m.To)
	if !plan.executes() {
		s.mu.Unlock()
		refuse(w, httpStatus(plan.Code))
		return
	}
	rec := &sendRecord{Send: Send{
		Time: s.clock.Now(), Project: r.project, MessageID: s.newID(), From: m.From, To: m.To, Body: m.Body,
		Media: m.Media, Segments: segments(m.Body), Executed: true,
	}}
	rec.log = s.file(&logEntry{
		id: rec.MessageID, messageID: rec.MessageID, project: r.project, from: m.From, to: m.To, body: m.Body,
		media: m.Media, status: StateQueued, direction: "outbound-api", kind: kindOf(m.Media),
		source: "realtime_api", logType: "relay_message", segments: rec.Segments,
		callback: m.StatusCallback, variables: m.CustomVariables,
	})
	if m.SendAsMMS {
		rec.log.kind = "mms"
	}
	answer := rec.log.record()
	s.report(rec, plan.steps())
	s.mu.Unlock()
	s.changed.wake()
	writeJSON(w, http.StatusCreated, answer)
}

// httpStatus is the HTTP status for a scripted result code.
func httpStatus(code string) int {
	var n int
	if _, err := fmt.Sscanf(code, "%d", &n); err == nil && n >= 400 && n <= 599 {
		return n
	}
	return http.StatusInternalServerError
}

func (s *Server) restRedact(w http.ResponseWriter, r restRequest) {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRESTBody))
	ms, bad := members(data)
	if err != nil || bad != nil {
		refuse(w, http.StatusBadRequest, apiError{Type: "request_error", Code: "invalid_json", Message: "The request body is not a JSON object."})
		return
	}
	empty := len(ms) == 1 && ms[0].name == "body" && string(ms[0].value) == `""`
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entry(r.project, r.PathValue("id"))
	switch {
	case e == nil:
		refuse(w, http.StatusNotFound)
	case !empty:
		refuse(w, http.StatusUnprocessableEntity, validation("body_must_be_empty", "body", `must be "" and the only parameter`))
	case !terminal(e.status) && e.status != "received":
		refuse(w, http.StatusUnprocessableEntity, validation("cannot_redact_in_progress_message", "body", "the message is still under way"))
	default:
		e.body, e.media = "", nil
		writeJSON(w, http.StatusOK, e.record())
	}
}

func (s *Server) restTask(w http.ResponseWriter, r restRequest) {
	var task struct {
		Context string          `json:"context"`
		Message json.RawMessage `json:"message"`
	}
	if !readBody(w, r.Request, &task) {
		return
	}
	if task.Context == "" || task.Message == nil {
		refuse(w, http.StatusUnprocessableEntity, validation("missing_required_parameter", "context", "context and message are required"))
		return
	}
	s.mu.Lock()
	s.publish(taskEvent(r.project, task.Context, task.Message), s.cfg.RoundRobin)
	s.mu.Unlock()
	s.changed.wake()
	w.WriteHeader(http.StatusNoContent)
}

// taskEvent has its message beside the envelope members, and no params.
func taskEvent(project, context string, message json.RawMessage) *event {
	return &event{
		kind: "queuing.relay.tasks", project: project, context: context,
		extra: append([]byte(`"message":`), message...),
	}
}

// wholeSecond is how the API writes times.
func wholeSecond(t time.Time) string { return t.UTC().Truncate(time.Second).Format(time.RFC3339) }
