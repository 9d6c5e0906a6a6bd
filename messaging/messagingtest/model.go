package messagingtest

import (
	"cmp"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
)

// model is a store without any care for speed or size: it forgets nothing and looks
// through everything. Stores are compared with it.
type model struct {
	events   []*modelEvent
	sends    []*modelSend
	attempts []*modelAttempt
	early    []*messaging.Event // states without a send yet
}

type modelEvent struct {
	ev       *messaging.Event
	finished bool
	retryAt  time.Time
	attempt  int
	ref      *messaging.SendRef
}

type modelSend struct {
	messaging.Send
	status   messaging.Status
	attempts []*modelAttempt
}

type modelAttempt struct {
	messaging.Attempt
	send      *modelSend
	outcome   messaging.AttemptOutcome
	state     messaging.State
	messageID string
	since     time.Time
}

func (a *modelAttempt) newest() bool { return a.send.attempts[len(a.send.attempts)-1] == a }

func (a *modelAttempt) undecided() bool {
	return a.outcome == messaging.OutcomeOpen || a.outcome == messaging.OutcomeInDoubt
}

func (s *modelSend) taken() bool {
	for _, a := range s.attempts {
		if a.outcome == messaging.OutcomeAccepted {
			return true
		}
	}
	return false
}

// apply fills in the results of a batch as a right store does.
func (m *model) apply(b *messaging.Batch) {
	for _, a := range b.Appends {
		m.append(a)
	}
	for _, s := range b.Settles {
		e := m.event(s.Event.ID)
		s.Lost = e == nil || e.finished
		m.conclude(e, s.Lost, s.Outcome)
	}
	for _, q := range b.Enqueues {
		q.Existing = nil
		if x := m.insert(q.Outgoing); x != nil {
			found := x.Send
			q.Existing = &found
		}
	}
	for _, c := range b.Claims {
		m.claim(c)
	}
	for _, r := range b.Reports {
		r.Merge = m.report(r, b.Now)
	}
}

func (m *model) event(id string) *modelEvent {
	for _, e := range m.events {
		if e.ev.ID == id {
			return e
		}
	}
	return nil
}

func (m *model) attempt(is func(*modelAttempt) bool) *modelAttempt {
	for _, a := range m.attempts {
		if is(a) {
			return a
		}
	}
	return nil
}

func (m *model) append(a *messaging.Append) {
	a.Fresh, a.Merge = m.event(a.Event.ID) == nil, nil
	if !a.Fresh {
		m.conclude(nil, true, a.Outcome)
		return
	}
	e := &modelEvent{ev: a.Event}
	m.events = append(m.events, e)
	if a.Event.Kind == messaging.KindState {
		if a.Merge = m.arrive(a.Event); a.Merge != nil {
			e.ref = &a.Merge.Ref
		}
	}
	m.conclude(e, false, a.Outcome)
}

// conclude gives an event its fate and inserts the sends, unless the fate comes too late.
func (m *model) conclude(e *modelEvent, late bool, o *messaging.Outcome) {
	if o == nil {
		return
	}
	for _, out := range o.Sends {
		out.Inserted = false
	}
	if late {
		return
	}
	e.finished = o.Fate != messaging.FateRetry
	if !e.finished {
		e.retryAt, e.attempt = o.RetryAt, o.Attempt
	}
	if o.Fate == messaging.FateDone {
		for _, out := range o.Sends {
			m.insert(out)
		}
	}
}

// insert returns the send that has the key already.
func (m *model) insert(out *messaging.Outgoing) *modelSend {
	out.Inserted = false
	for _, s := range m.sends {
		if out.Key != "" && s.Key == out.Key {
			return s
		}
	}
	out.Inserted = true
	s := &modelSend{Send: out.Send, status: out.Status}
	m.sends = append(m.sends, s)
	if out.Attempt != nil {
		m.begin(s, out.Attempt)
	}
	return nil
}

func (m *model) begin(s *modelSend, at *messaging.Attempt) {
	a := &modelAttempt{Attempt: *at, send: s, outcome: messaging.OutcomeOpen, since: at.ClaimedAt}
	m.attempts = append(m.attempts, a)
	s.attempts = append(s.attempts, a)
	s.status = messaging.StatusSending
}

func (m *model) claim(c *messaging.Claim) {
	c.Granted = false
	for _, s := range m.sends {
		if s.ID != c.SendID || s.status != messaging.StatusQueued {
			continue
		}
		c.Granted = true
		if c.Attempt != nil {
			m.begin(s, c.Attempt)
		} else if s.status = c.Status; s.status == messaging.StatusQueued {
			s.NotBefore = c.NotBefore
		}
	}
}

// accept records that an attempt was accepted and what states say of it.
func (m *model) accept(a *modelAttempt, messageID string, states ...messaging.State) *messaging.Merge {
	before := a.send.status
	res := &messaging.Merge{Ref: messaging.SendRef{ID: a.send.ID, Attempt: a.ID, InReplyTo: a.send.InReplyTo}}
	if a.outcome != messaging.OutcomeRejected {
		a.outcome = messaging.OutcomeAccepted
		if a.messageID == "" && messageID != "" {
			a.messageID = messageID
			var others []*messaging.Event
			var earlier []messaging.State
			for _, ev := range m.early {
				if ev.MessageID == messageID {
					earlier = append(earlier, ev.State)
				} else {
					others = append(others, ev)
				}
			}
			m.early = others
			states = append(earlier, states...)
		}
		for _, s := range states {
			switch {
			case a.state.Terminal() && s.Terminal() && s != a.state:
				res.Conflict = true
			case s.Rank() > a.state.Rank():
				a.state = s
			}
		}
		a.send.status = a.state.Status()
	}
	res.Outcome, res.Status = a.outcome, a.send.status
	res.Advanced = a.send.status != before
	return res
}

func (m *model) arrive(ev *messaging.Event) *messaging.Merge {
	var a *modelAttempt
	if id, ok := messaging.AttemptTag(ev.Tags); ok {
		a = m.attempt(func(a *modelAttempt) bool { return a.ID == id })
	}
	if a == nil {
		a = m.attempt(func(a *modelAttempt) bool { return a.messageID == ev.MessageID })
	}
	if a == nil {
		m.early = append(m.early, ev)
		return nil
	}
	return m.accept(a, ev.MessageID, ev.State)
}

func (m *model) report(r *messaging.Report, now time.Time) *messaging.Merge {
	a := m.attempt(func(a *modelAttempt) bool { return a.ID == r.AttemptID })
	if a == nil {
		return &messaging.Merge{Ref: messaging.SendRef{ID: r.SendID, Attempt: r.AttemptID}, Outcome: r.Outcome, Status: r.Status}
	}
	if r.Outcome == messaging.OutcomeAccepted {
		return m.accept(a, r.MessageID)
	}
	s, before := a.send, a.send.status
	switch {
	case a.undecided():
		if a.newest() && !s.taken() && !s.status.Terminal() {
			if s.status = r.Status; s.status == messaging.StatusQueued {
				s.NotBefore = r.NotBefore
			}
		}
		if r.Outcome == messaging.OutcomeInDoubt && a.outcome != messaging.OutcomeInDoubt {
			a.since = now
		}
		a.outcome = r.Outcome
	case r.Outcome == messaging.OutcomeRejected && a.outcome != messaging.OutcomeAccepted:
		a.outcome = r.Outcome
	}
	return &messaging.Merge{
		Ref:     messaging.SendRef{ID: s.ID, Attempt: a.ID, InReplyTo: s.InReplyTo},
		Outcome: a.outcome, Status: s.status, Advanced: s.status != before,
	}
}

// load answers a query for everything.
func (m *model) load(now time.Time) *messaging.Work {
	w := &messaging.Work{}
	for _, e := range m.events {
		if !e.finished {
			ev := *e.ev
			ev.Attempt, ev.Send = e.attempt, e.ref
			w.Events = append(w.Events, &messaging.Unfinished{Event: &ev, RetryAt: e.retryAt})
		}
	}
	for _, s := range m.sends {
		var a *modelAttempt
		if n := len(s.attempts); n > 0 {
			a = s.attempts[n-1]
		}
		switch {
		case s.status == messaging.StatusQueued && s.NotBefore.After(now):
			if w.NextDue.IsZero() || s.NotBefore.Before(w.NextDue) {
				w.NextDue = s.NotBefore
			}
		case s.status == messaging.StatusQueued:
			out := &messaging.Outgoing{Send: s.Send, Status: s.status}
			if a != nil {
				last := a.Attempt
				out.Attempt = &last
			}
			w.Sends = append(w.Sends, out)
		case a != nil && a.undecided() && !s.taken() && !s.status.Terminal():
			w.Doubts = append(w.Doubts, &messaging.Doubt{Attempt: a.Attempt, Send: s.Send, Outcome: a.outcome, Since: a.since})
		}
	}
	slices.SortStableFunc(w.Sends, func(a, b *messaging.Outgoing) int { return cmp.Compare(a.Priority, b.Priority) })
	return w
}

// many reports whether more than one attempt was made at a send. How such a send stands is
// a matter of which attempt is asked, where a store keeps attempts only.
func (m *model) many(id uuid.UUID) bool {
	for _, s := range m.sends {
		if s.ID == id {
			return len(s.attempts) > 1
		}
	}
	return false
}
