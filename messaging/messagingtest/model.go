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
	// share gives conversations to instances; nil in a store of one owner.
	share    share
	events   []*modelEvent
	sends    []*modelSend
	attempts []*modelAttempt
	early    []*messaging.Event // states without a send yet
	ledger   []messaging.ConsentEntry
	values   modelValues
	batch    *messaging.Batch // being applied
}

// share says whose the conversations of a shared store are.
type share interface {
	// mine gives the conversation to the writer if nobody else has it, and says whether it
	// is the writer's.
	mine(messaging.Conversation) bool
	// place journals an unfinished event, of which unheld says whether its writer has no
	// room for it, and says whether the writer does not hold it.
	place(e *modelEvent, unheld bool) bool
	// isWrong reports whether the store is wrong in this way.
	isWrong(way string) bool
	// overrule gives the ledger's word on a send that is about to leave; zero if it may.
	overrule(s *messaging.Send) messaging.Verdict
	// cross adds to a change the attempts of others that it crosses.
	cross(c *messaging.ConsentChange)
}

type modelEvent struct {
	ev       *messaging.Event
	finished bool
	fate     messaging.Fate
	retryAt  time.Time
	attempt  int
	ref      *messaging.SendRef
}

type modelSend struct {
	messaging.Send
	seq      int64
	status   messaging.Status
	settled  bool // an attempt before the newest has decided it
	attempts []*modelAttempt
}

type modelAttempt struct {
	messaging.Attempt
	send      *modelSend
	outcome   messaging.AttemptOutcome
	state     messaging.State
	messageID string
	since     time.Time
	owner     uuid.UUID // who opened it
}

func (a *modelAttempt) newest() bool { return a.send.attempts[len(a.send.attempts)-1] == a }

func (a *modelAttempt) undecided() bool {
	return a.outcome == messaging.OutcomeOpen || a.outcome == messaging.OutcomeInDoubt
}

// released reports that the attempt was accepted and failed, and that its send was given
// another try since.
func (a *modelAttempt) released() bool {
	return a.state.Terminal() && a.state != messaging.StateDelivered && a.state.Status() != a.send.status
}

// apply fills in the results of a batch as a right store does.
func (m *model) apply(b *messaging.Batch) {
	m.batch = b
	for _, a := range b.Appends {
		m.append(a)
	}
	m.changeAll(b.Consents)
	m.values.changeAll(b.Values, b.Now)
	for _, s := range b.Settles {
		e := m.event(s.Event.ID)
		s.Lost = e == nil || e.finished
		m.conclude(e, s.Lost, s.Outcome, true)
	}
	for _, q := range b.Enqueues {
		m.enqueue(q)
	}
	for _, c := range b.Claims {
		m.claim(c)
	}
	for _, r := range b.Reports {
		r.Merge = m.report(r, b.Now)
	}
	for _, v := range b.Revives {
		m.revive(v)
	}
}

// enqueue inserts a send with the values that come with it, or neither.
func (m *model) enqueue(q *messaging.Enqueue) {
	q.Existing, q.Conflict, q.Outgoing.Inserted = nil, false, false
	notApplied(q.Values)
	taken := slices.ContainsFunc(m.sends, func(s *modelSend) bool { return s.Key == q.Outgoing.Key && s.Key != "" })
	if q.Conflict = !taken && !m.values.hold(q.Values, m.batch.Now); q.Conflict {
		return
	}
	if x := m.insert(q.Outgoing); x != nil {
		found := x.Send
		q.Existing = &found
		return
	}
	m.values.changeAll(q.Values, m.batch.Now)
}

// revive makes a dead letter live again, or lets it go.
func (m *model) revive(v *messaging.Revive) {
	v.Done, v.Event = false, nil
	e := m.event(v.EventID)
	if e == nil || !e.finished || e.fate != messaging.FateDead {
		return
	}
	v.Done = true
	if v.Drop {
		e.fate = messaging.FateDropped
		return
	}
	e.finished, e.fate, e.attempt, e.retryAt = false, messaging.FateRetry, 0, time.Time{}
	if m.share != nil {
		if v.Unheld = m.share.place(e, false); v.Unheld {
			return
		}
	}
	v.Event = e.loaded().Event
}

// redeliver queues a send again that an event made fail.
func (m *model) redeliver(a *messaging.Append) {
	r, res := a.Redeliver, a.Merge
	if r == nil || res == nil || !res.Advanced || res.Status != messaging.StatusFailed && res.Status != messaging.StatusUndelivered {
		return
	}
	at := m.attempt(func(at *modelAttempt) bool { return at.ID == res.Ref.Attempt })
	s := at.send
	if !at.newest() || s.settled || at.Number >= r.Attempts || !s.ExpiresAt.IsZero() && !r.At.Before(s.ExpiresAt) {
		return
	}
	mine := m.share == nil || m.share.mine(s.Conversation())
	s.status, s.NotBefore = messaging.StatusQueued, r.At
	if res.Status = s.status; mine {
		res.Again = s.outgoing()
	}
}

// outgoing is a queued send as it is loaded.
func (s *modelSend) outgoing() *messaging.Outgoing {
	out := &messaging.Outgoing{Send: s.Send, Status: s.status}
	if n := len(s.attempts); n > 0 {
		last := s.attempts[n-1].Attempt
		out.Attempt = &last
	}
	return out
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
		unchanged(a.Consents)
		m.conclude(nil, true, a.Outcome, true)
		return
	}
	wanted := m.changeUnasked(a)
	e := &modelEvent{ev: a.Event, finished: a.Outcome != nil && a.Outcome.Fate != messaging.FateRetry}
	m.events = append(m.events, e)
	if a.Event.Kind == messaging.KindState {
		if a.Merge = m.arrive(a.Event); a.Merge != nil {
			e.ref = &a.Merge.Ref
			m.redeliver(a)
		}
	}
	o := a.Outcome
	if m.share != nil { // else the Seq is that of the store it is compared with
		a.Event.Seq = int64(len(m.events))
		marked := m.values.marked(a.Event.Conversation(), m.batch.Now) && !m.share.isWrong("marks are not looked at")
		if a.Early && e.finished && (m.share.place(e, false) || marked) {
			m.conclude(nil, true, o, true)
			o, e.finished, a.Unheld = nil, false, a.Unheld || marked
		}
		if !e.finished {
			a.Unheld = m.share.place(e, a.Unheld)
		}
	}
	m.conclude(e, false, o, wanted)
}

// conclude gives an event its fate, changes what was decided about consent and inserts the
// sends if they are wanted, unless the fate comes too late.
func (m *model) conclude(e *modelEvent, late bool, o *messaging.Outcome, wanted bool) {
	if o == nil {
		return
	}
	for _, out := range o.Sends {
		out.Inserted = false
	}
	unchanged(o.Consents)
	notApplied(o.Values)
	if late {
		return
	}
	e.finished, e.fate = o.Fate != messaging.FateRetry, o.Fate
	if !e.finished {
		e.retryAt, e.attempt = o.RetryAt, o.Attempt
	}
	if o.Fate != messaging.FateDone {
		return
	}
	m.changeAll(o.Consents)
	m.values.changeAll(o.Values, m.batch.Now)
	if wanted {
		for _, out := range o.Sends {
			m.insert(out)
		}
	}
}

func unchanged(cs []*messaging.ConsentChange) {
	for _, c := range cs {
		c.Changed, c.State = false, messaging.ConsentState{}
	}
}

// changeAll writes lines of the ledger and reports whether the sends that come with them are
// wanted.
func (m *model) changeAll(cs []*messaging.ConsentChange) bool {
	wanted := len(cs) == 0
	for _, c := range cs {
		m.change(c)
		wanted = wanted || c.Changed || c.Again
	}
	return wanted
}

func (m *model) change(c *messaging.ConsentChange) {
	if m.share != nil {
		m.share.cross(c)
	}
	was := m.stand(c.Number, c.Scope)
	c.State = was.After(c.Verb, m.batch.Now)
	c.State.Seq = int64(len(m.ledger)) + 1
	c.Changed = c.State.OptedOut != was.OptedOut || c.State.Review != was.Review
	m.ledger = chained(append(m.ledger, line(c, m.batch.Now)))
}

// stand is where a number stands in a scope.
func (m *model) stand(n messaging.Number, scope messaging.Scope) messaging.ConsentState {
	for _, e := range slices.Backward(m.ledger) {
		if e.Number == n && e.Scope == scope {
			return e.State
		}
	}
	return messaging.ConsentState{Number: n, Scope: scope}
}

// stands are where all numbers stand, in the order of the last lines about them.
func (m *model) stands() (all []messaging.ConsentState) {
	for _, e := range m.ledger {
		if m.stand(e.Number, e.Scope).Seq == e.Seq {
			all = append(all, e.State)
		}
	}
	return all
}

// insert returns the send that has the key already.
func (m *model) insert(out *messaging.Outgoing) *modelSend {
	out.Inserted, out.Unheld, out.Overruled = false, false, false
	for _, s := range m.sends {
		if out.Key != "" && s.Key == out.Key {
			return s
		}
	}
	out.Inserted = true
	if m.share != nil && out.Attempt != nil {
		m.overrule(out)
	}
	s := &modelSend{Send: out.Send, seq: int64(len(m.sends)) + 1, status: out.Status}
	if m.share != nil && !s.status.Terminal() {
		if out.Unheld = !m.share.mine(s.Conversation()); out.Unheld {
			s.status = messaging.StatusQueued
		}
	}
	m.sends = append(m.sends, s)
	if out.Attempt != nil && !out.Unheld {
		m.begin(s, out.Attempt)
	}
	return nil
}

// overrule takes the attempt from a send that must not leave.
func (m *model) overrule(out *messaging.Outgoing) {
	if v := m.share.overrule(&out.Send); v.Status != "" {
		out.Overruled, out.Attempt, out.Status, out.Reason, out.NotBefore = true, nil, v.Status, v.Reason, v.Until
	}
}

func (m *model) begin(s *modelSend, at *messaging.Attempt) {
	a := &modelAttempt{Attempt: *at, send: s, outcome: messaging.OutcomeOpen, since: at.ClaimedAt, owner: m.batch.Owner}
	m.attempts = append(m.attempts, a)
	s.attempts = append(s.attempts, a)
	s.status = messaging.StatusSending
}

func (m *model) claim(c *messaging.Claim) {
	c.Granted, c.Overruled = false, false
	for _, s := range m.sends {
		if s.ID != c.SendID || s.status != messaging.StatusQueued {
			continue
		}
		c.Granted = true
		if m.share != nil && c.Attempt != nil {
			if v := m.share.overrule(&s.Send); v.Status != "" {
				c.Overruled, c.Attempt, c.Status, c.Reason, c.NotBefore = true, nil, v.Status, v.Reason, v.Until
			}
		}
		if c.Attempt != nil {
			m.begin(s, c.Attempt)
		} else if s.status = c.Status; s.status == messaging.StatusQueued {
			s.NotBefore = c.NotBefore
		}
	}
}

// accept records that an attempt was accepted and what states say of it.
func (m *model) accept(a *modelAttempt, messageID string, states ...messaging.State) *messaging.Merge {
	before, released := a.send.status, a.released()
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
		s := a.send
		newest := s.attempts[len(s.attempts)-1]
		next := a != newest && newest.released() // another try is to come
		switch {
		case released: // its send has gone on
		case next && a.state != messaging.StateDelivered:
		case a == newest && s.settled:
		case a != newest && !next && newest.outcome == messaging.OutcomeAccepted && newest.state.Rank() >= a.state.Rank():
			s.settled = true
		default:
			s.status, s.settled = a.state.Status(), a != newest
		}
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
		if a.newest() && !s.settled && !s.status.Terminal() {
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

// loaded is an unfinished event as it is loaded.
func (e *modelEvent) loaded() *messaging.Unfinished {
	ev := *e.ev
	ev.Attempt, ev.Send = e.attempt, e.ref
	return &messaging.Unfinished{Event: &ev, RetryAt: e.retryAt}
}

// load answers a query for everything.
func (m *model) load(now time.Time) *messaging.Work {
	return m.loadOf(now, func(*modelEvent) bool { return true }, func(*modelSend) bool { return true })
}

// loadOf answers a query for some of it.
func (m *model) loadOf(now time.Time, event func(*modelEvent) bool, send func(*modelSend) bool) *messaging.Work {
	w := &messaging.Work{}
	for _, e := range m.events {
		if !e.finished && event(e) {
			w.Events = append(w.Events, e.loaded())
		}
	}
	for _, s := range m.sends {
		if !send(s) {
			continue
		}
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
			w.Sends = append(w.Sends, s.outgoing())
		case a != nil && a.undecided() && !s.settled && !s.status.Terminal():
			w.Doubts = append(w.Doubts, &messaging.Doubt{Seq: s.seq, Attempt: a.Attempt, Send: s.Send, Outcome: a.outcome, Since: a.since})
		}
	}
	slices.SortStableFunc(w.Sends, func(a, b *messaging.Outgoing) int { return cmp.Compare(a.Priority, b.Priority) })
	return w
}

// many reports whether more than one attempt was made at a send. How such a send stands is
// a matter of which attempt is asked, where a store keeps attempts only.
func (m *model) many(id uuid.UUID) bool { return m.made(id) > 1 }

// made is how many attempts were made at a send.
func (m *model) made(id uuid.UUID) int {
	for _, s := range m.sends {
		if s.ID == id {
			return len(s.attempts)
		}
	}
	return 0
}
