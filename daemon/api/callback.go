package api

import (
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

// Callback is what the status_callback of a send is told.
type Callback struct {
	ID               string            `json:"id"`         // that of the answer to the request to send
	MessageID        string            `json:"message_id"` // the same
	ProjectID        string            `json:"project_id"`
	Status           string            `json:"status"` // sending, sent, delivered, undelivered or failed
	From             string            `json:"from"`
	To               string            `json:"to"`
	Body             string            `json:"body"`
	NumberOfSegments int               `json:"number_of_segments"`
	Timestamp        time.Time         `json:"timestamp"` // when it came to that
	ErrorCode        *string           `json:"error_code"`
	ErrorMessage     *string           `json:"error_message"`
	CustomVariables  map[string]string `json:"custom_variables,omitempty"`
}

// Stage is how far a send has come, as its callback is told. A later one is greater.
type Stage int

// The stages.
const (
	StageQueued  Stage = iota // not told: the answer to the request said so
	StageSending              // the platform took it
	StageSent                 // handed to the carrier
	StageFinal                // delivered, undelivered or failed
)

// Stages are those that a send has come to after a stage, in their order, each with what is
// told of it. over says that nothing more will come.
func (s *Sending) Stages(r *messaging.SendRecord, after Stage) (stages []Stage, told []Callback, over bool) {
	base := (&API{cfg: Config{Sending: *s}}).platformOf(r)
	tell := func(stage Stage, status string, at time.Time) {
		if stage <= after {
			return
		}
		c := Callback{
			ID: base.ID, MessageID: base.ID, ProjectID: base.ProjectID, Status: status, From: base.From, To: base.To, Body: base.Body,
			NumberOfSegments: base.NumberOfSegments, Timestamp: utc(at).Truncate(time.Millisecond), CustomVariables: base.CustomVariables,
		}
		if stage == StageFinal {
			c.ErrorCode, c.ErrorMessage = base.ErrorCode, base.ErrorMessage
		}
		stages, told = append(stages, stage), append(told, c)
	}
	taken, sent, last := milestones(r)
	if !taken.IsZero() {
		tell(StageSending, "sending", taken)
	}
	if !sent.IsZero() {
		tell(StageSent, "sent", sent)
	}
	if r.Status.Terminal() && r.Status != messaging.StatusUnknown {
		tell(StageFinal, base.Status, last)
	}
	return stages, told, r.Status.Terminal()
}

// milestones are when the platform took a send, when it told that it handed it on, and when
// it told anything last; zero for never.
func milestones(r *messaging.SendRecord) (taken, sent, last time.Time) {
	last = r.Send.CreatedAt
	for _, a := range r.Attempts {
		if a.Outcome == messaging.OutcomeAccepted && taken.IsZero() {
			taken = a.Attempt.ClaimedAt
		}
		if a.Attempt.ClaimedAt.After(last) {
			last = a.Attempt.ClaimedAt
		}
		for _, st := range a.States {
			at := st.Event.ReceivedAt
			if st.Event.State == messaging.StateSent && sent.IsZero() {
				sent = at
			}
			if at.After(last) {
				last = at
			}
		}
	}
	return taken, sent, last
}
