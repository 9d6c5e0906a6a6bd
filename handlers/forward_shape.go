package handlers

import (
	"encoding/json"
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

type plainMessageShape struct {
	MessageID string   `json:"message_id"`
	From      string   `json:"from"`
	To        string   `json:"to"`
	Body      string   `json:"body"`
	Media     []string `json:"media"`
	Timestamp string   `json:"timestamp"`
}

func plainMessage(ev *messaging.Event) plainMessageShape {
	return plainMessageShape{
		MessageID: ev.MessageID, From: string(ev.From), To: string(ev.To), Body: ev.Body,
		Media: append([]string{}, ev.Media...), Timestamp: timestamp(ev),
	}
}

type plainStateShape struct {
	MessageID string `json:"message_id"`
	Status    string `json:"status"`
	Timestamp string `json:"timestamp"`
}

func plainState(ev *messaging.Event) plainStateShape {
	return plainStateShape{MessageID: sendID(ev), Status: forwardedStatus(ev.State), Timestamp: timestamp(ev)}
}

// forwardedStatus is what a state is called towards webhook handlers; empty for a state that
// has no name there.
func forwardedStatus(s messaging.State) string {
	switch s {
	case messaging.StateInitiated:
		return "sending"
	case messaging.StateQueued, messaging.StateSent, messaging.StateDelivered, messaging.StateUndelivered, messaging.StateFailed:
		return string(s)
	}
	return ""
}

// sendID is the id under which the sender of a message knows it: ours, or the platform's for a
// message that the journal does not know.
func sendID(ev *messaging.Event) string {
	if ev.Send != nil {
		return ev.Send.ID.String()
	}
	return ev.MessageID
}

// timestamp is when the platform says that it happened, or else when it came: the same for
// every attempt.
func timestamp(ev *messaging.Event) string {
	at := ev.SentAt
	if at.IsZero() {
		at = ev.ReceivedAt
	}
	return at.UTC().Format(time.RFC3339)
}

type platformMedia struct {
	URL         string  `json:"url"`
	ContentType *string `json:"content_type"` // the session does not tell them
	Size        *int64  `json:"size"`
}

type platformMessageShape struct {
	Message struct {
		MessageID string          `json:"message_id"`
		ProjectID string          `json:"project_id"`
		SpaceID   string          `json:"space_id"`
		Direction string          `json:"direction"`
		Type      string          `json:"type"`
		From      string          `json:"from"`
		To        string          `json:"to"`
		Body      *string         `json:"body"` // null for media alone
		Media     []platformMedia `json:"media"`
		Segments  int             `json:"segments"`
		Timestamp string          `json:"timestamp"`
	} `json:"message"`
	Params struct{} `json:"params"`
}

func platformMessage(ev *messaging.Event) platformMessageShape {
	var p platformMessageShape
	m := &p.Message
	m.MessageID, m.Direction, m.Type = ev.MessageID, "inbound", "sms"
	m.From, m.To, m.Segments, m.Timestamp = string(ev.From), string(ev.To), ev.Segments, timestamp(ev)
	m.ProjectID, m.SpaceID = projectOf(ev)
	m.Media = []platformMedia{}
	for _, url := range ev.Media {
		m.Type = "mms"
		m.Media = append(m.Media, platformMedia{URL: url})
	}
	if ev.Body != "" || len(ev.Media) == 0 {
		m.Body = &ev.Body
	}
	return p
}

type platformStateShape struct {
	ID           string  `json:"id"`
	MessageID    string  `json:"message_id"`
	ProjectID    string  `json:"project_id"`
	Status       string  `json:"status"`
	From         string  `json:"from"`
	To           string  `json:"to"`
	Body         string  `json:"body"`
	Segments     int     `json:"number_of_segments"`
	Timestamp    string  `json:"timestamp"`
	ErrorCode    *string `json:"error_code"` // the session tells none
	ErrorMessage *string `json:"error_message"`
}

func platformState(ev *messaging.Event) platformStateShape {
	project, _ := projectOf(ev)
	s := platformStateShape{
		ID: sendID(ev), MessageID: sendID(ev), ProjectID: project, Status: string(ev.State),
		From: string(ev.From), To: string(ev.To), Body: ev.Body, Segments: ev.Segments, Timestamp: timestamp(ev),
	}
	if ev.Reason != "" {
		s.ErrorMessage = &ev.Reason
	}
	return s
}

// projectOf reads of the raw frame what nothing else in the daemon needs.
func projectOf(ev *messaging.Event) (project, space string) {
	var frame struct {
		Params struct {
			ProjectID string `json:"project_id"`
			SpaceID   string `json:"space_id"`
		} `json:"params"`
	}
	_ = json.Unmarshal(ev.Frame, &frame) // what is not there stays empty
	return frame.Params.ProjectID, frame.Params.SpaceID
}
