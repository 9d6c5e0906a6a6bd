package postgres

import (
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
)

// The states that are kept for a report to come (R45).
const (
	maxEarly    = 10_000
	maxEarlyAge = 10 * time.Minute
)

// apply does the operations in memory, in their order, and fills their results.
func (w *working) apply() error {
	b := w.batch
	b.EachConsent(func(c *messaging.ConsentChange) { c.Changed, c.State = false, messaging.ConsentState{} })
	b.EachValue(func(c *messaging.ValueChange) { c.Applied, c.Version = false, 0 })
	for _, a := range b.Appends {
		if err := w.append(a); err != nil {
			return err
		}
	}
	w.changeAll(b.Consents)
	w.changeValues(b.Values)
	for _, x := range b.Settles {
		if err := w.settle(x); err != nil {
			return err
		}
	}
	for _, q := range b.Enqueues {
		q.Existing = nil
		if q.Conflict = w.keys[q.Outgoing.Key] == nil && !w.allHold(q.Values); q.Conflict {
			q.Outgoing.Inserted = false
			continue
		}
		inserted, err := w.insert(q.Outgoing, "")
		if err != nil {
			return err
		}
		if !inserted {
			existing := w.keys[q.Outgoing.Key].Send
			q.Existing = &existing
			continue
		}
		w.changeValues(q.Values)
	}
	for _, c := range b.Claims {
		if err := w.claim(c); err != nil {
			return err
		}
	}
	for _, r := range b.Reports {
		w.report(r)
	}
	for _, v := range b.Revives {
		w.revive(v)
	}
	w.matchEarly()
	return nil
}

func (w *working) append(a *messaging.Append) error {
	ev, o := a.Event, a.Outcome
	a.Fresh, a.Merge = false, nil
	if w.events[ev.ID] != nil {
		if o != nil {
			notInserted(o.Sends)
		}
		return nil
	}
	e := &event{id: ev.ID, ev: ev, fresh: true, seq: w.nextEvent[0], conv: conversationOf(ev)}
	w.nextEvent = w.nextEvent[1:]
	sends := w.changeUnasked(a)
	if ev.Kind == messaging.KindState {
		a.Merge = w.arrived(ev)
		switch {
		case a.Merge != nil:
			e.attemptID = &a.Merge.Ref.Attempt
			if err := w.redeliver(a); err != nil {
				return err
			}
		case ev.State.Rank() > 0: // any other could change nothing
			e.early, w.keptEarly = true, true
			w.early[ev.MessageID] = append(w.early[ev.MessageID], &earlyState{seq: e.seq, message: ev.MessageID, state: ev.State, at: w.batch.Now, event: e})
		}
	}
	if a.Early && final(o) && !w.comesFirst(e.conv) {
		notInserted(o.Sends)
		o, a.Unheld = nil, true
	}
	if o != nil {
		e.attempt, e.err, e.handler = o.Attempt, o.Err, o.Handler
	}
	if final(o) {
		e.fate, e.finished = o.Fate, true
		var err error
		if e.sends, err = w.end(ev.ID, o, sends); err != nil {
			return err
		}
	} else {
		if o != nil {
			notInserted(o.Sends)
			e.retryAt = o.RetryAt
		}
		a.Unheld = w.place(e, conversationOf(ev), a.Unheld)
	}
	w.events[ev.ID] = e
	w.newEvents = append(w.newEvents, e)
	a.Fresh = true
	return nil
}

// comesFirst reports whether the writer owns a conversation of which nothing waits in the
// store, so that what it decided about an event in advance was decided in its turn.
func (w *working) comesFirst(c messaging.Conversation) bool {
	conv := w.conversations[c]
	return conv.owner == w.batch.Owner && !conv.unheld && !w.marked(c)
}

// place gives an unfinished event its conversation, and its holder if that may be the
// writer. It reports whether nobody holds the event.
func (w *working) place(e *event, c messaging.Conversation, unheld bool) bool {
	conv := w.conversations[c]
	e.conversation = &conv.id
	mine := conv.owner == w.batch.Owner
	if !mine {
		w.notify[conv.owner] = true
	}
	if mine && !unheld && !conv.unheld {
		owner := w.batch.Owner
		e.holder = &owner
		return false
	}
	conv.unheld = true
	return true
}

func (w *working) settle(x *messaging.Settle) error {
	o := x.Outcome
	e := w.events[x.Event.ID]
	if x.Lost = e == nil || e.finished || w.takenOver(e); x.Lost {
		notInserted(o.Sends)
		return nil
	}
	e.attempt, e.err, e.handler = o.Attempt, o.Err, o.Handler
	w.changedEvent(e)
	if o.Fate == messaging.FateRetry {
		notInserted(o.Sends)
		e.retryAt = o.RetryAt
		return nil
	}
	e.fate, e.finished, e.retryAt = o.Fate, true, time.Time{}
	var err error
	e.sends, err = w.end(e.id, o, true)
	return err
}

// end does what an outcome decided that ended its event well, and inserts its sends if
// they are wanted.
func (w *working) end(event string, o *messaging.Outcome, sends bool) (ids []uuid.UUID, err error) {
	if o.Fate == messaging.FateDone {
		w.changeAll(o.Consents)
		w.changeValues(o.Values)
	}
	if o.Fate != messaging.FateDone || !sends {
		notInserted(o.Sends)
		return nil, nil
	}
	for _, out := range o.Sends {
		inserted, err := w.insert(out, event)
		if err != nil {
			return nil, err
		}
		if inserted {
			ids = append(ids, out.ID)
		}
	}
	return ids, nil
}

func notInserted(outs []*messaging.Outgoing) {
	for _, o := range outs {
		o.Inserted, o.Overruled = false, false
	}
}

// insert takes a send in unless its key is taken. The event is the one that decided it, if
// one did.
func (w *working) insert(o *messaging.Outgoing, event string) (bool, error) {
	o.Inserted, o.Unheld, o.Overruled = false, false, false
	claimed, queued := o.Status == messaging.StatusSending, o.Status == messaging.StatusQueued
	if o.ID == uuid.Nil || (o.Attempt != nil) != claimed || !claimed && !queued && !o.Status.Terminal() {
		return false, errShape
	}
	if err := known(statuses, o.Status); err != nil {
		return false, err
	}
	if o.Key != "" && w.keys[o.Key] != nil {
		return false, nil
	}
	if w.sends[o.ID] != nil {
		return false, fmt.Errorf("a send with the id %v exists", o.ID)
	}
	o.Overruled = claimed && w.overrule(&o.Send, &o.Attempt, &o.Status, &o.Reason, &o.NotBefore)
	s := &send{Send: o.Send, seq: w.nextSend[0], status: o.Status, reason: o.Reason, fresh: true, byEvent: event != "" && event == o.InReplyTo}
	w.nextSend = w.nextSend[1:]
	conv := w.conversations[o.Conversation()]
	s.conversation = conv.id
	if !o.Status.Terminal() && conv.owner != w.batch.Owner {
		o.Unheld = true
		if s.status = messaging.StatusQueued; !o.Overruled {
			s.reason = ""
		}
		w.notify[conv.owner] = true
	}
	w.sends[o.ID] = s
	if o.Key != "" {
		w.keys[o.Key] = s
	}
	w.newSends = append(w.newSends, s)
	o.Inserted = true
	if o.Attempt != nil && !o.Unheld {
		return true, w.begin(s, o.Attempt)
	}
	return true, nil
}

// begin opens an attempt.
func (w *working) begin(s *send, a *messaging.Attempt) error {
	if a.ID == uuid.Nil {
		return errShape
	}
	if w.attempts[a.ID] != nil {
		return fmt.Errorf("an attempt with the id %v exists", a.ID)
	}
	n := &attempt{Attempt: *a, send: s, outcome: messaging.OutcomeOpen, fresh: true}
	n.SendID = s.ID
	if old := s.newest(); old != nil {
		w.changedAttempt(old) // it is the newest no longer
	}
	s.attempts = append(s.attempts, n)
	s.status, s.reason = messaging.StatusSending, ""
	w.attempts[a.ID] = n
	w.newAttempts = append(w.newAttempts, n)
	w.changedSend(s)
	return nil
}

func (w *working) claim(c *messaging.Claim) error {
	s := w.sends[c.SendID]
	c.Granted, c.Overruled = s != nil && s.status == messaging.StatusQueued, false
	if !c.Granted {
		return nil
	}
	c.Overruled = c.Attempt != nil && w.overrule(&s.Send, &c.Attempt, &c.Status, &c.Reason, &c.NotBefore)
	if c.Attempt != nil {
		return w.begin(s, c.Attempt)
	}
	if err := known(statuses, c.Status); err != nil {
		return err
	}
	w.changedSend(s)
	s.reason = c.Reason
	if c.Status == messaging.StatusQueued {
		s.NotBefore = c.NotBefore
	}
	s.status = c.Status
	return nil
}

func undecided(o messaging.AttemptOutcome) bool {
	return o == messaging.OutcomeOpen || o == messaging.OutcomeInDoubt
}

func (a *attempt) merge() *messaging.Merge {
	return &messaging.Merge{
		Ref:     messaging.SendRef{ID: a.send.ID, Attempt: a.ID, InReplyTo: a.send.InReplyTo, Callback: a.send.Callback != ""},
		Outcome: a.outcome, Status: a.send.status,
	}
}

func (a *attempt) isNewest() bool { return a.send.newest() == a }

// released reports that the attempt was accepted and failed, and that its send was given
// another try since.
func (a *attempt) released() bool {
	return a.state.Terminal() && a.state != messaging.StateDelivered && a.send.status != a.state.Status()
}

// advance moves the state forward, never back (R47). It reports a conflict: a second,
// different terminal state.
func (a *attempt) advance(state messaging.State) (conflict bool) {
	if state.Terminal() && a.state.Terminal() {
		return state != a.state
	}
	if state.Rank() > a.state.Rank() {
		a.state = state
	}
	return false
}

// arrived merges a state event into the attempt that it speaks of: the one its tag names,
// else the one with its message id. Nil if there is none yet.
func (w *working) arrived(ev *messaging.Event) *messaging.Merge {
	var a *attempt
	if tag, ok := messaging.AttemptTag(ev.Tags); ok {
		a = w.attempts[tag]
	}
	if a == nil && ev.MessageID != "" {
		a = w.messages[ev.MessageID]
	}
	if a == nil {
		return nil
	}
	m := a.merge()
	if a.outcome != messaging.OutcomeRejected {
		w.accept(a, ev.MessageID, ev.State, ev.Reason, m)
	}
	return m
}

// accept records that an attempt was accepted, as an answer or a state proves it; state is
// empty for an answer. It only ever moves forward (R47).
func (w *working) accept(a *attempt, messageID string, state messaging.State, reason string, m *messaging.Merge) {
	s := a.send
	before, released := s.status, a.released()
	was := *a
	a.outcome = messaging.OutcomeAccepted
	if a.messageID == "" && messageID != "" {
		a.messageID = messageID
		if w.messages[messageID] == nil {
			w.messages[messageID] = a
		}
		for _, st := range w.takeEarly(messageID, a.ID) {
			m.Conflict = a.advance(st) || m.Conflict
		}
	}
	m.Conflict = a.advance(state) || m.Conflict
	newest := s.newest()
	next := a != newest && newest.released() // it failed too, and another try is to come
	released = released || next && a.state != messaging.StateDelivered
	switch {
	case released:
		// It has decided what it could, and its send has gone on.
	case a == newest && s.settled:
		// An older attempt has decided the send.
	case a != newest && !next && newest.outcome == messaging.OutcomeAccepted && newest.state.Rank() >= a.state.Rank():
		// So has the newest.
	default:
		s.status = a.state.Status()
	}
	m.Outcome, m.Status, m.Advanced = a.outcome, s.status, s.status != before
	if a.outcome == was.outcome && a.messageID == was.messageID && a.state == was.state {
		return
	}
	w.changedAttempt(a)
	w.changedSend(s)
	if a.state != was.state && reason != "" {
		a.reason = reason
		if a == newest {
			s.reason = reason
		}
	}
	if a == newest && undecided(was.outcome) {
		s.reason = a.reason // no longer why it was in doubt
		if a.state == was.state {
			s.reason, a.reason = "", ""
		}
	}
	if a != newest && !released {
		s.settled = true
	}
}

// redeliver queues a send again that an event made fail, if it may have another try.
func (w *working) redeliver(ap *messaging.Append) error {
	r, m := ap.Redeliver, ap.Merge
	if r == nil || !m.Advanced || m.Status != messaging.StatusFailed && m.Status != messaging.StatusUndelivered {
		return nil
	}
	a := w.attempts[m.Ref.Attempt]
	s := a.send
	if !a.isNewest() || s.settled || s.forgotten || s.Secret || a.Number >= r.Attempts || !s.ExpiresAt.IsZero() && !r.At.Before(s.ExpiresAt) {
		return nil
	}
	conv := w.conversations[s.Conversation()]
	if conv == nil {
		return errRaced // its report was written since the conversations were locked
	}
	s.status, s.NotBefore, s.conversation = messaging.StatusQueued, r.At, conv.id
	m.Status = messaging.StatusQueued
	w.changedSend(s)
	if conv.owner == w.batch.Owner {
		m.Again = s.outgoing()
	} else {
		w.notify[conv.owner] = true
	}
	return nil
}

// outgoing is the send with its newest attempt.
func (s *send) outgoing() *messaging.Outgoing {
	out := &messaging.Outgoing{Send: s.Send, Status: s.status, Reason: s.reason}
	if a := s.newest(); a != nil {
		newest := a.Attempt
		out.Attempt = &newest
	}
	return out
}

// report records what became of an attempt.
func (w *working) report(r *messaging.Report) {
	a := w.attempts[r.AttemptID]
	if a == nil {
		// Pruned, or of another journal. There is nothing to compare it with.
		r.Merge = &messaging.Merge{Ref: messaging.SendRef{ID: r.SendID, Attempt: r.AttemptID}, Outcome: r.Outcome, Status: r.Status}
		return
	}
	r.Merge = a.merge()
	switch {
	case r.Outcome == messaging.OutcomeAccepted && a.outcome != messaging.OutcomeRejected:
		w.accept(a, r.MessageID, "", "", r.Merge)
	case undecided(a.outcome), r.Outcome == messaging.OutcomeRejected && a.outcome != messaging.OutcomeAccepted:
		w.conclude(a, r)
	}
	// Accepted and rejected stand; anything else gives way to neither.
}

// conclude records an outcome other than accepted. The send follows it if it still waits
// for this attempt.
func (w *working) conclude(a *attempt, r *messaging.Report) {
	s := a.send
	before := s.status
	if a.isNewest() && undecided(a.outcome) && !s.settled && !s.status.Terminal() {
		if s.status = r.Status; s.status == messaging.StatusQueued {
			s.NotBefore = r.NotBefore
		}
		if r.Reason != "" {
			s.reason = r.Reason
		}
		w.changedSend(s)
	}
	a.outcome = r.Outcome
	if r.Code != "" {
		a.code = r.Code
	}
	if r.Reason != "" {
		a.reason = r.Reason
	}
	if a.outcome == messaging.OutcomeInDoubt && a.doubtedAt.IsZero() {
		a.doubtedAt = w.batch.Now
	}
	w.changedAttempt(a)
	r.Merge.Outcome, r.Merge.Status, r.Merge.Advanced = a.outcome, s.status, s.status != before
}

// takeEarly gives the states that came for a message before anybody knew that it is the
// attempt's.
func (w *working) takeEarly(message string, attempt uuid.UUID) []messaging.State {
	var taken []messaging.State
	for _, st := range w.early[message] {
		st.attempt = attempt
		if st.event != nil {
			st.event.early, st.event.attemptID = false, &attempt
		} else {
			w.matched = append(w.matched, st)
		}
		if w.batch.Now.Sub(st.at) <= maxEarlyAge {
			taken = append(taken, st.state)
		}
	}
	delete(w.early, message)
	return taken
}

// matchEarly merges states that were kept because the report was being written by another
// instance at that moment.
func (w *working) matchEarly() {
	for message := range w.early {
		a := w.messages[message]
		if a == nil || a.outcome != messaging.OutcomeAccepted {
			continue
		}
		m := a.merge()
		for _, st := range w.takeEarly(message, a.ID) {
			w.accept(a, message, st, "", m)
		}
	}
}

// revive makes a dead letter live again, or lets it go. One whose text was removed has
// nothing to run a chain on, and can only be let go.
func (w *working) revive(v *messaging.Revive) {
	v.Done, v.Event, v.Unheld = false, nil, false
	e := w.events[v.EventID]
	if e == nil || !e.finished || e.fate != messaging.FateDead || e.forgotten && !v.Drop {
		return
	}
	v.Done = true
	w.changedEvent(e)
	if v.Drop {
		e.fate = messaging.FateDropped
		return
	}
	e.fate, e.finished, e.attempt, e.retryAt = messaging.FateRetry, false, 0, time.Time{}
	v.Unheld = w.place(e, e.conv, false)
	if !v.Unheld {
		again := *e.ev
		again.Attempt, again.Seq = 0, e.seq
		v.Event = &again
	}
}
