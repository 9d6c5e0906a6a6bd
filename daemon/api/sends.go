package api

import (
	"cmp"
	"net/http"
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

// NewSend is a send of our own path: the platform's members, and what it cannot say.
type NewSend struct {
	From            string            `json:"from"`
	To              string            `json:"to"`
	Body            string            `json:"body,omitempty"`
	Media           []string          `json:"media,omitempty"`
	Context         string            `json:"context,omitempty"`
	Category        string            `json:"category,omitempty"`
	Priority        int               `json:"priority,omitempty" minimum:"2" maximum:"4"`
	NotBefore       time.Time         `json:"not_before,omitzero"`
	ExpiresAt       time.Time         `json:"expires_at,omitzero"`
	StatusCallback  string            `json:"status_callback,omitempty"`
	CustomVariables map[string]string `json:"custom_variables,omitempty"`
	Key             string            `json:"key,omitempty"` // of the client's choice: the same key sends once
}

// createSend is POST /v1/sends.
func (a *API) createSend(w http.ResponseWriter, r *http.Request) error {
	const example = `{"from": "+15551234567", "to": "+15557654321", "body": "hello"}`
	var n NewSend
	if err := a.read(r, &n, example); err != nil {
		return err
	}
	d := &draft{
		from: n.From, to: n.To, body: n.Body, media: n.Media, context: n.Context, category: n.Category, priority: n.Priority,
		notBefore: n.NotBefore, expiresAt: n.ExpiresAt, callback: n.StatusCallback, custom: n.CustomVariables, key: cmp.Or(n.Key, r.Header.Get(headerKey)),
	}
	send, bad := a.cfg.Sending.compose(d, time.Now())
	if bad != nil {
		return badQuery(bad.fault(), "send one like "+example)
	}
	if d.key != "" {
		send.Key = keyPrefix + d.key
	}
	q, err := a.enqueue(r.Context(), send)
	if err != nil {
		return err
	}
	record := &messaging.SendRecord{Send: q.Send.Shown(), Status: q.Status, Reason: q.Reason}
	if !q.Fresh {
		if record, err = a.sendRecord(r.Context(), q.Send.ID); err != nil {
			return err
		}
		if !sameSend(&send, record) {
			return Conflict.Problem("the key was used for another message before", "use a new one for each message").at("body.key")
		}
	}
	return write(w, sendOf(record, a.cfg.Doubts))
}
