package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/rules"
	"github.com/signpost-sms/signpost/messaging/sms"
)

// PlatformSend is what the platform's path takes to send a message. Members that it does not
// know are ignored, as the platform does.
type PlatformSend struct {
	From            string            `json:"from"`
	To              string            `json:"to"`
	Body            string            `json:"body,omitempty"`
	Media           []string          `json:"media,omitempty"`
	SendAsMMS       bool              `json:"send_as_mms,omitempty"`
	StatusCallback  string            `json:"status_callback,omitempty"`
	CustomVariables map[string]string `json:"custom_variables,omitempty"`
	Context         string            `json:"context,omitempty"`  // ours: on which the states come back
	Category        string            `json:"category,omitempty"` // ours
}

// PlatformMessage is a message as the platform shows it.
type PlatformMessage struct {
	ID                string            `json:"id"`
	ProjectID         string            `json:"project_id"`
	From              string            `json:"from"`
	To                string            `json:"to"`
	Body              string            `json:"body"`
	Media             []string          `json:"media"`
	Status            string            `json:"status"`    // queued, initiated, sent, delivered, undelivered, failed or received
	Direction         string            `json:"direction"` // inbound or outbound
	Kind              string            `json:"kind"`      // sms or mms
	NumberOfSegments  int               `json:"number_of_segments"`
	ErrorCode         *string           `json:"error_code"`
	ErrorMessage      *string           `json:"error_message"`
	CreatedAt         time.Time         `json:"created_at"`
	StatusCallback    *string           `json:"status_callback"`
	StatusCallbackURL *string           `json:"status_callback_url"` // the same
	CustomVariables   map[string]string `json:"custom_variables,omitempty"`
	MessageURI        string            `json:"message_uri"`
}

// platformRoutes are the platform's own paths.
func (a *API) platformRoutes() []route {
	const tag = "the platform's"
	return []route{
		{
			method: "POST", path: platformPath + "messages", tag: tag, summary: "Send a message", status: http.StatusCreated,
			params: []param{{name: headerKey, about: "the same key sends once and is answered the same", header: true}},
			body:   PlatformSend{}, tolerant: true, answer: PlatformMessage{}, handle: a.platformSend,
		},
		{method: "GET", path: platformPath + "messages/{id}", tag: tag, summary: "A message", answer: PlatformMessage{}, handle: a.platformMessage},
		{method: "PATCH", path: platformPath + "messages/{id}", tag: tag, summary: "Remove the text of a message", body: PlatformRedact{}, tolerant: true, answer: PlatformMessage{}, handle: a.platformRedact},
		{method: "GET", path: platformPath + "logs", tag: tag, summary: "The log of messages, newest first", params: logParams, answer: PlatformLog{}, handle: a.platformLogs},
		{method: "GET", path: platformPath + "logs/{id}", tag: tag, summary: "An entry of the log", answer: PlatformEntry{}, handle: a.platformEntry},
	}
}

// Platform reports whether a request is for one of the platform's own paths.
func Platform(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, platformPath) }

const headerKey = "Idempotency-Key"

// keyPrefix begins the journal's keys of sends that came through the API with a key of the
// client's, so that these cannot meet those of replies and jobs.
const keyPrefix = "api:"

// platformBody reads a tolerant JSON object.
func platformBody(r *http.Request) (map[string]json.RawMessage, error) {
	body, err := readBody(r)
	if err != nil {
		return nil, err
	}
	bad := func(why string) error {
		return &PlatformError{
			Type: "invalid_request", Code: "invalid_json", Message: "the request is not the JSON object that is wanted: " + why,
			Attribute: new("request"), URL: problemType + "platform", status: http.StatusBadRequest,
		}
	}
	if !utf8.Valid(body) {
		return nil, bad("it is no UTF-8")
	}
	var object map[string]json.RawMessage
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(&object); err != nil {
		if kind := (*json.UnmarshalTypeError)(nil); errors.As(err, &kind) {
			return nil, bad("it is of the type " + kind.Value)
		}
		return nil, bad(err.Error())
	}
	if _, end := d.Token(); !errors.Is(end, io.EOF) {
		return nil, bad("something follows it")
	}
	return object, nil
}

// member reads a member of a tolerant object; one that is absent or null stays as it is.
func member[T any](object map[string]json.RawMessage, name, kind string, into *T) error {
	raw, ok := object[name]
	if !ok || string(raw) == "null" {
		return nil
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return platformFault(name, "invalid_"+name, name+": it is no "+kind)
	}
	return nil
}

// scalars reads an object of texts, numbers and truth values as texts.
func scalars(object map[string]json.RawMessage, name string) (map[string]string, error) {
	var values map[string]any
	if err := member(object, name, "object of texts", &values); err != nil || values == nil {
		return nil, err
	}
	texts := make(map[string]string, len(values))
	for k, v := range values {
		switch v := v.(type) {
		case string:
			texts[k] = v
		case float64, bool:
			texts[k] = fmt.Sprint(v)
		default:
			return nil, platformFault(name, "invalid_"+name, name+": a value is no text")
		}
	}
	return texts, nil
}

func platformDraft(r *http.Request) (*draft, error) {
	object, err := platformBody(r)
	if err != nil {
		return nil, err
	}
	d := &draft{key: r.Header.Get(headerKey)}
	if len(r.Header.Values(headerKey)) > 1 {
		return nil, platformFault(headerKey, "invalid_idempotency_key", headerKey+": it is given twice")
	}
	var asMMS bool
	d.custom, err = scalars(object, "custom_variables")
	return d, errors.Join(
		member(object, "from", "text", &d.from), member(object, "to", "text", &d.to), member(object, "body", "text", &d.body),
		member(object, "media", "list of URLs", &d.media), member(object, "status_callback", "URL", &d.callback),
		member(object, "context", "text", &d.context), member(object, "category", "text", &d.category),
		member(object, "send_as_mms", "truth value", &asMMS), err,
	)
}

// platformSend is POST /api/messaging/messages.
func (a *API) platformSend(w http.ResponseWriter, r *http.Request) error {
	d, err := platformDraft(r)
	if err != nil {
		return err
	}
	send, bad := a.cfg.Sending.compose(d, time.Now())
	if bad != nil {
		attribute := bad.attribute
		if attribute == "key" {
			attribute = headerKey
		}
		return platformFault(attribute, bad.code, attribute+": "+bad.message)
	}
	claimed := a.claim(d, &send)
	q, err := a.enqueue(r.Context(), send)
	if err != nil {
		return err
	}
	m := a.platformOf(&messaging.SendRecord{Send: q.Send, Status: q.Status, Reason: q.Reason})
	if !q.Fresh {
		record, err := a.sendRecord(r.Context(), q.Send.ID)
		switch {
		case err != nil:
			return err
		case !claimed && !sameSend(&send, record):
			return platformFault(headerKey, "idempotency_key_reused", headerKey+": it was used for another message before; use a new one for each message")
		}
		m = a.platformOf(record)
		m.Body, m.Media = send.Body, orEmpty(send.Media) // which may be forgotten
	}
	// What is on its way answers as it began, so that a repeated request is answered the same.
	if m.Status != statusFailed {
		m.Status = "queued"
	}
	return writeStatus(w, http.StatusCreated, m)
}

// claim makes a send that belongs to an inbound that is being forwarded a reply to it. A
// client that repeats its own key repeats the claim, too.
func (a *API) claim(d *draft, s *messaging.Send) bool {
	if d.key != "" {
		s.Key = keyPrefix + d.key
	}
	if a.cfg.Sending.Forwards == nil {
		return false
	}
	text := strings.Join(append([]string{s.Body}, s.Media...), "\x00")
	in, key, ok := a.claims.of(s.Key, func() (string, string, bool) { return a.cfg.Sending.Forwards.Claim(s.From, s.To, text) })
	if !ok {
		return false
	}
	s.Key, s.InReplyTo = key, in
	if d.category == "" {
		s.Category = messaging.CategoryReply
		if s.ExpiresAt.IsZero() && a.cfg.Sending.ReplyExpires != nil {
			s.ExpiresAt = time.Now().Add(a.cfg.Sending.ReplyExpires())
		}
	}
	return true
}

// enqueue journals one send, for as long as it is worth waiting.
func (a *API) enqueue(ctx context.Context, s messaging.Send) (q messaging.Enqueued, err error) {
	if err := a.writable(); err != nil {
		return q, err
	}
	err = a.tell(ctx, func(ctx context.Context) error {
		all, err := a.cfg.Engine.EnqueueAll(ctx, []messaging.Send{s}, a.bookmark)
		if err != nil {
			return err
		}
		q = all[0]
		return q.Err
	})
	return q, err
}

// bookmark begins the account of what a send's callback has been told.
func (a *API) bookmark(s *messaging.Send) []*messaging.ValueChange {
	if s.Callback == "" || a.cfg.Bookmark == nil {
		return nil
	}
	return []*messaging.ValueChange{a.cfg.Bookmark(s)}
}

// writable is a problem while nothing can be journaled.
func (a *API) writable() error {
	if a.cfg.Writable != nil {
		if err := a.cfg.Writable(); err != nil {
			return Unavailable.Problem("the journal takes nothing at the moment: "+err.Error(), "see \"signpost health\", and ask again")
		}
	}
	return nil
}

// sendRecord reads a send of ours.
func (a *API) sendRecord(ctx context.Context, id uuid.UUID) (*messaging.SendRecord, error) {
	archive, err := a.archive()
	if err != nil {
		return nil, err
	}
	l, err := archive.Life(ctx, id.String())
	if err != nil {
		return nil, err
	}
	for _, s := range l.Sends {
		if s.Send.ID == id {
			return s, nil
		}
	}
	return nil, messaging.ErrUnknown
}

// sameSend reports whether what is asked for is what was asked for under the same key. A text
// that was removed since is not held against it.
func sameSend(s *messaging.Send, was *messaging.SendRecord) bool {
	return s.From == was.Send.From && s.To == was.Send.To && s.Callback == was.Send.Callback &&
		(was.Forgotten || was.Send.Secret || s.Body == was.Send.Body && slices.Equal(s.Media, was.Send.Media))
}

// platformMessage is GET /api/messaging/messages/{id}.
func (a *API) platformMessage(w http.ResponseWriter, r *http.Request) error {
	m, err := a.findPlatform(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	return write(w, m)
}

// findPlatform finds a message by the id of a send or an inbound, or the platform's of one.
func (a *API) findPlatform(ctx context.Context, id string) (*PlatformMessage, error) {
	archive, err := a.archive()
	if err != nil {
		return nil, err
	}
	l, err := archive.Life(ctx, id)
	if err != nil {
		return nil, err
	}
	for _, s := range l.Sends {
		if s.Send.ID.String() == id || slices.ContainsFunc(s.Attempts, func(t *messaging.AttemptRecord) bool { return t.MessageID == id }) {
			return a.platformOf(s), nil
		}
	}
	if in := l.Inbound; in != nil && in.Event.Kind == messaging.KindMessage && (in.Event.ID == id || in.Event.MessageID == id) {
		return a.platformInbound(in), nil
	}
	return nil, messaging.ErrUnknown
}

const statusFailed = "failed"

// platformStatus is the platform's name of a status.
func platformStatus(s messaging.Status) string {
	switch s {
	case messaging.StatusQueued:
		return "queued"
	case messaging.StatusSending, messaging.StatusInDoubt, messaging.StatusAccepted:
		return "initiated"
	case messaging.StatusSent, messaging.StatusUnknown:
		return "sent"
	case messaging.StatusDelivered:
		return "delivered"
	case messaging.StatusUndelivered:
		return "undelivered"
	}
	return statusFailed // failed, suppressed, expired, cancelled
}

// failure says in the platform's members why a send failed; nil for one that did not.
func failure(r *messaging.SendRecord) (code, message *string) {
	switch platformStatus(r.Status) {
	case statusFailed, "undelivered":
	default:
		return nil, nil
	}
	c, m := string(r.Status), r.Reason
	if n := len(r.Attempts); n > 0 && r.Status != messaging.StatusSuppressed && r.Status != messaging.StatusExpired {
		last := r.Attempts[n-1]
		c, m = cmp.Or(last.Code, c), cmp.Or(last.Reason, m)
	} else if label, _, _ := strings.Cut(r.Reason, ":"); label != "" {
		c = label
		if i := slices.IndexFunc(rules.Reasons(), func(e rules.Reason) bool { return e.Name == label }); i >= 0 {
			m = rules.Reasons()[i].Text
		}
	}
	m = cmp.Or(m, string(r.Status))
	return &c, &m
}

// platformOf shows a send in the platform's way.
func (a *API) platformOf(r *messaging.SendRecord) *PlatformMessage {
	s := r.Send.Shown()
	m := a.platformText(s.ID.String(), s.From, s.To, s.Body, s.Media, s.CreatedAt)
	m.Direction, m.Status, m.CustomVariables = "outbound", platformStatus(r.Status), s.Custom
	m.ErrorCode, m.ErrorMessage = failure(r)
	if s.Callback != "" {
		m.StatusCallback, m.StatusCallbackURL = &s.Callback, &s.Callback
	}
	return m
}

func (a *API) platformInbound(r *messaging.EventRecord) *PlatformMessage {
	ev := r.Event
	m := a.platformText(ev.ID, ev.From, ev.To, ev.Body, ev.Media, ev.ReceivedAt)
	m.Direction, m.Status = "inbound", "received"
	return m
}

// platformText is what messages of both directions have.
func (a *API) platformText(id string, from, to messaging.Number, body string, media []string, at time.Time) *PlatformMessage {
	m := &PlatformMessage{
		ID: id, ProjectID: a.cfg.Sending.Project, From: string(from), To: string(to), Body: body, Media: orEmpty(media), Kind: "sms",
		NumberOfSegments: sms.Segments(body, a.cfg.Sending.Options), CreatedAt: utc(at).Truncate(time.Millisecond), MessageURI: platformPath + "logs/" + id,
	}
	if len(media) > 0 {
		m.Kind, m.NumberOfSegments = "mms", 1
	}
	return m
}

func orEmpty(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}
