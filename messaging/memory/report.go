package memory

import (
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

// report records an attempt's outcome and fills r.Merge, which is empty.
func (s *Store) report(r *messaging.Report, now time.Time) {
	if d := s.open[r.AttemptID]; d != nil {
		s.conclude(d, r, now)
		return
	}
	if pos, ok := s.attempts.find(digest(r.AttemptID)); ok {
		s.late(pos, r, now)
		return
	}
	// Forgotten, since it is older than what is remembered. There is nothing to compare the
	// report with, so it is taken at its word.
	*r.Merge = messaging.Merge{
		Ref:     messaging.SendRef{ID: r.SendID, Attempt: r.AttemptID},
		Outcome: r.Outcome, Status: r.Status,
	}
}

// conclude is the report of the attempt that its send waits for.
func (s *Store) conclude(d *send, r *messaging.Report, now time.Time) {
	m := r.Merge
	if r.Outcome == messaging.OutcomeAccepted {
		s.accept(d, r.MessageID, "", "", now, m)
		return
	}
	m.Ref = messaging.SendRef{ID: d.ID, Attempt: d.attempt.ID, InReplyTo: d.InReplyTo, Callback: d.Callback != ""}
	m.Outcome = r.Outcome
	before := d.status
	if d.settled {
		m.Status = d.status // an older attempt was accepted: this one's fate changes nothing
	} else {
		m.Status = r.Status
	}
	m.Advanced = m.Status != before
	d.code, d.why = r.Code, r.Reason
	if r.Outcome == messaging.OutcomeInDoubt {
		if d.outcome != messaging.OutcomeInDoubt {
			d.outcome, d.since = messaging.OutcomeInDoubt, now
		}
	} else {
		s.remember(d, r.Outcome, m.Status)
		d.outcome = r.Outcome
	}
	switch {
	case m.Status == messaging.StatusQueued:
		d.status, d.reason, d.NotBefore = m.Status, r.Reason, r.NotBefore
	case r.Outcome == messaging.OutcomeInDoubt && !m.Status.Terminal() && !d.settled:
		d.status, d.reason = m.Status, r.Reason
	default:
		if d.status = m.Status; !d.settled {
			d.reason = r.Reason
		}
		s.finish(d)
	}
}

// late is the report of an attempt that has one already, or was replaced while in doubt.
// Accepted and rejected stand; anything less certain gives way to them.
func (s *Store) late(pos uint32, r *messaging.Report, now time.Time) {
	t := &s.tracks[pos]
	if r.Outcome == messaging.OutcomeAccepted {
		s.advance(pos, r.MessageID, "", "", now, r.Merge)
		return
	}
	has := outcomes[t.outcome]
	if undecided(has) || r.Outcome == messaging.OutcomeRejected && has != messaging.OutcomeAccepted {
		t.outcome = encode(outcomes, r.Outcome)
	}
	status := statuses[t.status]
	if d, _ := s.sendOf(t); d != nil {
		status = d.status
	}
	*r.Merge = messaging.Merge{
		Ref:     s.ref(pos),
		Outcome: outcomes[t.outcome], Status: status,
	}
}
