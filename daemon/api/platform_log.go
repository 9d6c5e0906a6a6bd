package api

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/signpost-sms/signpost/messaging"
)

// PlatformRedact asks for the text of a message to be removed.
type PlatformRedact struct {
	Body string `json:"body"` // must be empty
}

// PlatformEntry is an entry of the platform's log.
type PlatformEntry struct {
	ID               string    `json:"id"`
	From             string    `json:"from"`
	To               string    `json:"to"`
	Status           string    `json:"status"`
	Direction        string    `json:"direction"` // inbound, outbound-api or outbound-reply
	Kind             string    `json:"kind"`
	Source           string    `json:"source"` // realtime_api
	Type             string    `json:"type"`   // relay_message
	URL              *string   `json:"url"`
	NumberOfSegments int       `json:"number_of_segments"`
	Charge           float64   `json:"charge"`         // 0: the platform knows it, we do not
	ChargeDetails    []string  `json:"charge_details"` // empty
	CreatedAt        time.Time `json:"created_at"`
	ErrorCode        *string   `json:"error_code"`
	ErrorMessage     *string   `json:"error_message"`
}

// PlatformLog is a page of the platform's log.
type PlatformLog struct {
	Links PlatformLinks   `json:"links"`
	Data  []PlatformEntry `json:"data"`
}

// PlatformLinks lead to other pages.
type PlatformLinks struct {
	Self  string `json:"self"`
	First string `json:"first"`
	Next  string `json:"next,omitempty"`
}

var logParams = []param{
	{name: "page_size", about: "so many, 1 to 1000; 50 without it", kind: "integer"},
	{name: "page_number", about: "from 0; above it with the page_token of a link", kind: "integer"},
	{name: "page_token", about: "of a link"},
	{name: "created_before", about: "a date or a time"},
	{name: "created_on", about: "a date"},
	{name: "created_after", about: "a date or a time"},
	{name: "include_deleted", about: "ignored: nothing is deleted from the log", kind: "boolean"},
}

// platformRedact is PATCH /api/messaging/messages/{id}.
func (a *API) platformRedact(w http.ResponseWriter, r *http.Request) error {
	object, err := platformBody(r)
	if err != nil {
		return err
	}
	text := "?"
	if err := member(object, "body", "text", &text); err != nil {
		return err
	}
	if text != "" {
		return platformFault("body", "body_must_be_empty", `body: send exactly {"body": ""}, which removes the text`)
	}
	m, err := a.findPlatform(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	redacter, ok := a.cfg.Store.(messaging.Redacter)
	if !ok {
		return a.unsupported("remove the text of one message")
	}
	switch err := redacter.Redact(r.Context(), m.ID); {
	case errors.Is(err, messaging.ErrTooLate):
		return platformFault("id", "cannot_redact_in_progress_message", "id: the message is not finished yet; remove its text once it is")
	case err != nil:
		return err
	}
	if m, err = a.findPlatform(r.Context(), m.ID); err != nil {
		return err
	}
	return write(w, m)
}

// platformEntry is GET /api/messaging/logs/{id}.
func (a *API) platformEntry(w http.ResponseWriter, r *http.Request) error {
	m, err := a.findPlatform(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	return write(w, entryOf(m, false))
}

func entryOf(m *PlatformMessage, reply bool) PlatformEntry {
	e := PlatformEntry{
		ID: m.ID, From: m.From, To: m.To, Status: m.Status, Direction: m.Direction, Kind: m.Kind, Source: "realtime_api", Type: "relay_message",
		NumberOfSegments: m.NumberOfSegments, ChargeDetails: []string{}, CreatedAt: m.CreatedAt, ErrorCode: m.ErrorCode, ErrorMessage: m.ErrorMessage,
	}
	if e.Direction == "outbound" {
		e.Direction = "outbound-api"
		if reply {
			e.Direction = "outbound-reply"
		}
	}
	return e
}

// platformLogs is GET /api/messaging/logs.
func (a *API) platformLogs(w http.ResponseWriter, r *http.Request) error {
	q, err := logQuery(r.URL.Query())
	if err != nil {
		return err
	}
	archive, err := a.archive()
	if err != nil {
		return err
	}
	p, err := (&timeline{archive: archive, q: q, whole: true}).page(r.Context())
	if err != nil {
		if q.begun && !errors.Is(err, messaging.ErrUnavailable) && r.Context().Err() == nil {
			return platformFault("page_token", "invalid_page_token", "page_token: it is not that of a link; begin without one")
		}
		return err
	}
	log := PlatformLog{Data: []PlatformEntry{}}
	for i := range p.Messages {
		log.Data = append(log.Data, a.entry(&p.Messages[i]))
	}
	log.Links = links(r.URL.Query(), p)
	return write(w, log)
}

// entry shows a message of a page.
func (a *API) entry(m *Message) PlatformEntry {
	var one *PlatformMessage
	if m.Direction == DirectionIn {
		one = a.platformText(m.ID, messaging.Number(m.From), messaging.Number(m.To), m.Body, m.Media, m.At)
		one.Direction, one.Status = "inbound", "received"
		return entryOf(one, false)
	}
	r := &messaging.SendRecord{Status: m.Status, Reason: m.Reason, Send: messaging.Send{
		From: messaging.Number(m.From), To: messaging.Number(m.To), Body: m.Body, Media: m.Media, CreatedAt: m.At,
	}}
	for _, t := range m.Attempts {
		r.Attempts = append(r.Attempts, &messaging.AttemptRecord{Code: t.Code, Reason: t.Reason})
	}
	r.Send.ID, _ = uuid.Parse(m.ID)
	return entryOf(a.platformOf(r), m.Category == messaging.CategoryReply || m.Category == messaging.CategoryConsent)
}

// logQuery reads the platform's parameters. Others are ignored, as the platform does.
func logQuery(v url.Values) (*query, error) {
	q := &query{in: true, out: true, limit: limitUsual}
	bad := func(name, why string) error { return platformFault(name, "invalid_"+name, name+": "+why) }
	var err error
	if s := v.Get("page_size"); s != "" {
		if q.limit, err = strconv.Atoi(s); err != nil || q.limit < 1 || q.limit > limitMost {
			return nil, bad("page_size", "it is no number from 1 to 1000")
		}
	}
	if s := v.Get("page_token"); s != "" {
		if err := q.before.parse(s); err != nil {
			return nil, bad("page_token", "it is not that of a link; begin without one")
		}
		q.begun = true
	}
	if s := v.Get("page_number"); s != "" {
		switch n, err := strconv.Atoi(s); {
		case err != nil || n < 0:
			return nil, bad("page_number", "it is no number from 0 on")
		case n > 0 && !q.begun:
			return nil, bad("page_number", "above 0 it needs the page_token of a link")
		}
	}
	for name, set := range map[string]func(from, to time.Time){
		"created_before": func(from, _ time.Time) { q.Until = from },
		"created_after":  func(_, to time.Time) { q.Since = to },
		"created_on":     func(from, to time.Time) { q.Since, q.Until = from, to },
	} {
		s := v.Get(name)
		if s == "" {
			continue
		}
		if at, err := time.Parse(time.RFC3339, s); err == nil {
			set(at, at)
		} else if day, err := time.Parse(time.DateOnly, s); err == nil {
			set(day, day.AddDate(0, 0, 1))
		} else {
			return nil, bad(name, "it is no date such as 2026-11-24")
		}
	}
	return q, nil
}

// links are those of a page.
func links(v url.Values, p *Page) PlatformLinks {
	const path = platformPath + "logs"
	at := func(number int, token string) string {
		n := url.Values{}
		for k, of := range v {
			n[k] = of
		}
		n.Del("page_token")
		n.Set("page_number", strconv.Itoa(number))
		if token != "" {
			n.Set("page_token", token)
		}
		return path + "?" + n.Encode()
	}
	number, _ := strconv.Atoi(v.Get("page_number"))
	l := PlatformLinks{Self: at(number, v.Get("page_token")), First: at(0, "")}
	if p.More {
		l.Next = at(number+1, p.Cursor)
	}
	return l
}
