package relaytest

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Paging of the message log.
const (
	defaultPage = 50
	maxPage     = 1000
)

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// record is a message as POST and PATCH show it.
func (e *logEntry) record() map[string]any {
	direction, _, _ := strings.Cut(e.direction, "-")
	return map[string]any{
		"id": e.id, "from": e.from, "to": e.to, "body": e.body, "status": e.status, "direction": direction,
		"kind": e.kind, "media": append([]string{}, e.media...), "number_of_segments": e.segments,
		"error_code": orNull(e.errorCode), "error_message": orNull(e.errorMessage),
		"created_at": wholeSecond(e.created), "project_id": e.project, "status_callback_url": orNull(e.callback),
		"message_uri": "/api/messaging/logs/" + e.id,
	}
}

// line is a message as the log shows it: without body and tags.
func (e *logEntry) line() map[string]any {
	return map[string]any{
		"id": e.id, "from": e.from, "to": e.to, "status": e.status, "direction": e.direction, "kind": e.kind,
		"source": e.source, "type": e.logType, "url": nil, "number_of_segments": e.segments,
		"charge": 0.0, "charge_details": []any{}, "created_at": wholeSecond(e.created),
		"error_code": orNull(e.errorCode), "error_message": orNull(e.errorMessage),
	}
}

// shown reports whether the log has the entry by now, for a project. An inbound
// that was injected for no project in particular is everybody's.
func (s *Server) shown(e *logEntry, project string) bool {
	return !e.hidden && !e.visible.After(s.clock.Now()) && (e.project == "" || e.project == project)
}

func (s *Server) entry(project, id string) *logEntry {
	e, ok := s.logByID.get(id)
	if !ok || !s.shown(e, project) {
		return nil
	}
	return e
}

func (s *Server) restLog(w http.ResponseWriter, r restRequest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entry(r.project, r.PathValue("id")); e != nil {
		writeJSON(w, http.StatusOK, e.line())
		return
	}
	refuse(w, http.StatusNotFound)
}

// logQuery is a parsed query of the log.
type logQuery struct {
	after, before time.Time // created_at in [after, before)
	size, page    int
	top           uint64 // entries numbered below it; what page 0 saw first
	fixed         bool   // top came with a token
}

func parseLogQuery(q url.Values) (lq logQuery, errs []apiError) {
	lq.size = defaultPage
	number := func(name string, p *int, low, high int) {
		raw := q.Get(name)
		if raw == "" {
			return
		}
		n, err := strconv.Atoi(raw)
		if err != nil || n < low || n > high {
			errs = append(errs, validation("invalid_parameter", name, fmt.Sprintf("must be a number from %d to %d", low, high)))
			return
		}
		*p = n
	}
	date := func(name string) time.Time {
		raw := q.Get(name)
		if raw == "" {
			return time.Time{}
		}
		t, err := time.Parse(time.DateOnly, raw)
		if err != nil {
			errs = append(errs, validation("invalid_date", name, "must be a date, such as 2026-01-31"))
		}
		return t
	}
	number("page_size", &lq.size, 1, maxPage)
	number("page_number", &lq.page, 0, 1<<30)
	lq.after, lq.before = date("created_after"), date("created_before")
	if on := date("created_on"); !on.IsZero() {
		lq.after, lq.before = on, on.AddDate(0, 0, 1)
	}
	token := q.Get("page_token")
	switch {
	case token != "":
		raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(token, "PA"))
		if err == nil {
			lq.top, err = strconv.ParseUint(string(raw), 10, 64)
		}
		if err != nil {
			errs = append(errs, validation("invalid_page_token", "page_token", "must be taken from the links of a page"))
		}
		lq.fixed = true
	case lq.page > 0:
		errs = append(errs, validation("missing_page_token", "page_token", "is required for page_number above 0"))
	}
	return lq, errs
}

func (s *Server) restLogs(w http.ResponseWriter, r restRequest) {
	q := r.URL.Query()
	lq, errs := parseLogQuery(q)
	if errs != nil {
		refuse(w, http.StatusUnprocessableEntity, errs...)
		return
	}
	s.mu.Lock()
	if !lq.fixed {
		lq.top = s.log.next
	}
	page, more := s.logPage(r.project, lq)
	s.mu.Unlock()

	token := "PA" + base64.RawURLEncoding.EncodeToString(strconv.AppendUint(nil, lq.top, 10))
	link := func(n int) string {
		v := url.Values{}
		for _, name := range []string{"include_deleted", "created_before", "created_on", "created_after"} {
			if q.Has(name) {
				v.Set(name, q.Get(name))
			}
		}
		v.Set("page_number", strconv.Itoa(n))
		v.Set("page_size", strconv.Itoa(lq.size))
		if n > 0 {
			v.Set("page_token", token)
		}
		return "/api/messaging/logs?" + v.Encode()
	}
	links := map[string]string{"self": link(lq.page), "first": link(0)}
	if more {
		links["next"] = link(lq.page + 1)
	}
	if lq.page > 0 {
		links["prev"] = link(lq.page - 1)
	}
	writeJSON(w, http.StatusOK, map[string]any{"links": links, "data": page})
}

// logPage returns one page, newest first, and whether another follows.
func (s *Server) logPage(project string, lq logQuery) (page []map[string]any, more bool) {
	page = []map[string]any{}
	skip := lq.page * lq.size
	for n := min(lq.top, s.log.next); n > s.log.first(); n-- {
		e := *s.log.at(n - 1)
		if !s.shown(e, project) || e.created.Before(lq.after) || !lq.before.IsZero() && !e.created.Before(lq.before) {
			continue
		}
		switch {
		case skip > 0:
			skip--
		case len(page) == lq.size:
			return page, true
		default:
			page = append(page, e.line())
		}
	}
	return page, false
}
