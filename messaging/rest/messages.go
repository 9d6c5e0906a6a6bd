package rest

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"time"
)

var typeOfString = reflect.TypeFor[string]()

// NewMessage is a message to be created.
type NewMessage struct {
	To             string // E.164, or a pass-through number such as 988
	From           string // a number of the project, or its short code
	Body           string // required without Media
	Media          []string
	SendAsMMS      bool
	StatusCallback string
	Variables      map[string]string // custom_variables
}

// Message is the platform's record of a message.
type Message struct {
	ID             string
	From, To       string
	Body           string
	Status         string // queued, initiated, sent, delivered, undelivered, failed, read
	Direction      string // inbound, outbound
	Kind           string // sms, mms, whatsapp
	Media          []string
	Segments       int
	ErrorCode      string
	ErrorMessage   string
	CreatedAt      time.Time // of whole seconds
	ProjectID      string
	StatusCallback string
	URI            string // of its log entry
}

// UnmarshalJSON reads the platform's record.
func (m *Message) UnmarshalJSON(data []byte) error {
	var w struct {
		ID, From, To, Body, Status, Direction, Kind loose
		Media                                       []string
		Segments                                    int    `json:"number_of_segments"`
		ErrorCode                                   loose  `json:"error_code"`
		ErrorMessage                                loose  `json:"error_message"`
		CreatedAt                                   moment `json:"created_at"`
		ProjectID                                   loose  `json:"project_id"`
		StatusCallback                              loose  `json:"status_callback_url"`
		URI                                         loose  `json:"message_uri"`
	}
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	*m = Message{
		ID: string(w.ID), From: string(w.From), To: string(w.To), Body: string(w.Body), Status: string(w.Status),
		Direction: string(w.Direction), Kind: string(w.Kind), Media: w.Media, Segments: w.Segments,
		ErrorCode: string(w.ErrorCode), ErrorMessage: string(w.ErrorMessage), CreatedAt: time.Time(w.CreatedAt),
		ProjectID: string(w.ProjectID), StatusCallback: string(w.StatusCallback), URI: string(w.URI),
	}
	return nil
}

// Create has the platform send a message. The API has no idempotency key: after an error
// that is [ErrInDoubt], or an [Error] of 500 and above, sending again may send twice.
func (c *Client) Create(ctx context.Context, m NewMessage) (*Message, error) {
	body := struct {
		To             string            `json:"to"`
		From           string            `json:"from"`
		Body           string            `json:"body,omitempty"`
		Media          []string          `json:"media,omitempty"`
		SendAsMMS      bool              `json:"send_as_mms,omitempty"`
		StatusCallback string            `json:"status_callback,omitempty"`
		Variables      map[string]string `json:"custom_variables,omitempty"`
	}(m)
	var out Message
	err := c.do(ctx, &call{
		action: "create the message", method: http.MethodPost, path: []string{"api", "messaging", "messages"},
		body: body, text: m.Body, change: true,
	}, &out)
	if err != nil {
		return nil, err
	}
	return &out, nil
}

// Redact takes the text and the media out of the platform's record. Only a message that
// has reached its last state can be redacted; redacting it again is harmless.
func (c *Client) Redact(ctx context.Context, id string) (*Message, error) {
	const action = "redact the message"
	path, err := one(action, id, "api", "messaging", "messages")
	if err != nil {
		return nil, err
	}
	var out Message
	err = c.do(ctx, &call{
		action: action, method: http.MethodPatch, path: path,
		body: map[string]string{"body": ""}, change: true,
	}, &out)
	if err != nil {
		return nil, err
	}
	return &out, nil
}

// moment is a time as the platform writes it; null is the zero time.
type moment time.Time

// layouts are the forms of a time; RFC 3339 reads fractions of a second, too.
var layouts = []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05 MST", "2006-01-02 15:04:05", time.RFC1123Z, time.RFC1123}

// UnmarshalJSON reads a time in UTC unless it says otherwise.
func (m *moment) UnmarshalJSON(data []byte) error {
	var s loose
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	if s == "" {
		*m = moment{}
		return nil
	}
	for _, layout := range layouts {
		if t, err := time.Parse(layout, strings.TrimSpace(string(s))); err == nil {
			*m = moment(t.UTC())
			return nil
		}
	}
	return &json.UnmarshalTypeError{Value: "string", Type: reflect.TypeFor[time.Time](), Field: "created_at"}
}
