package sqlite

import (
	"database/sql/driver"
	"time"

	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
)

// The codes that are written without looking them up.
const (
	codeSending  = int64(2)
	codeOpen     = int64(1)
	codeAccepted = int64(2)
)

// attempt is an attempt and how its send stands.
type attempt struct {
	id, send  uuid.UUID
	seq       int64 // the send's
	inReplyTo string
	callback  bool             // its send has one
	status    messaging.Status // the send's
	newest    bool             // in the send's own row; else it was retired by a newer one
	settled   bool             // an older attempt than the newest was accepted after all
	outcome   messaging.AttemptOutcome
	state     messaging.State
	messageID string

	// Of the send's newest attempt, for one that was retired.
	newestOutcome messaging.AttemptOutcome
	newestState   messaging.State
}

// openMost bounds Store.open, far above what is unanswered at a time. Beyond it the journal
// is read.
const openMost = 10_000

// opened remembers an attempt that the batch opens, so that its report need not read it.
func (s *Store) opened(a *attempt) {
	if len(s.open) >= openMost {
		clear(s.open)
	}
	s.open[a.id] = a
}

func undecided(o messaging.AttemptOutcome) bool {
	return o == messaging.OutcomeOpen || o == messaging.OutcomeInDoubt
}

// attempt finds an attempt by its id; nil if the journal has none. What memory holds of it
// ends with the call, since the caller is about to change it.
func (s *Store) attempt(id_ uuid.UUID) (*attempt, error) {
	if a := s.open[id_]; a != nil {
		delete(s.open, id_)
		return a, nil
	}
	var row [11]driver.Value
	newest, err := s.w.findAttempt.row(row[:9], id(id_))
	if err != nil {
		return nil, err
	}
	if !newest {
		if found, err := s.w.findRetired.row(row[:], id(id_)); !found || err != nil {
			return nil, err
		}
	}
	a := &attempt{
		id: id_, send: toID(row[0]), seq: toInt(row[1]), inReplyTo: toText[string](row[2]), callback: toInt(row[3]) != 0,
		status: decode(statuses, row[4]), newest: newest, settled: row[5] != nil,
		outcome: decode(outcomes, row[6]), state: decode(states, row[7]), messageID: toText[string](row[8]),
	}
	if !newest {
		a.newestOutcome, a.newestState = decode(outcomes, row[9]), decode(states, row[10])
	}
	return a, nil
}

// byMessage finds an accepted attempt by the platform's message id.
func (s *Store) byMessage(messageID string) (*attempt, error) {
	if messageID == "" {
		return nil, nil
	}
	var row [1]driver.Value
	found, err := s.find(hashOf(kindMessage, messageID), kindMessage, func(seq int64) (bool, error) {
		if ok, err := s.w.findMessage.row(row[:], seq, messageID); ok || err != nil {
			return ok, err
		}
		return s.w.findRetiredMessage.row(row[:], seq, messageID)
	})
	if !found || err != nil {
		return nil, err
	}
	return s.attempt(toID(row[0]))
}

// arrived merges a state event into the attempt that it speaks of: the one its tag names,
// else the one with its message id. It returns nil if there is none yet.
func (s *Store) arrived(ev *messaging.Event, now time.Time) (*messaging.Merge, error) {
	var a *attempt
	var err error
	if tag, ok := messaging.AttemptTag(ev.Tags); ok {
		if a, err = s.attempt(tag); err != nil {
			return nil, err
		}
	}
	if a == nil {
		if a, err = s.byMessage(ev.MessageID); a == nil || err != nil {
			return nil, err
		}
	}
	m := a.merge()
	if a.outcome == messaging.OutcomeRejected {
		return m, nil
	}
	return m, s.accept(a, ev.MessageID, ev.State, ev.Reason, now, m)
}

// merge tells how an attempt and its send stand.
func (a *attempt) merge() *messaging.Merge {
	return &messaging.Merge{
		Ref:     messaging.SendRef{ID: a.send, Attempt: a.id, InReplyTo: a.inReplyTo, Callback: a.callback},
		Outcome: a.outcome, Status: a.status,
	}
}

// accept records that an attempt was accepted, as an answer or a state proves it; state is
// empty for an answer. It only ever moves forward (R47).
func (s *Store) accept(a *attempt, messageID string, state messaging.State, reason string, now time.Time, m *messaging.Merge) error {
	was := *a
	a.outcome = messaging.OutcomeAccepted
	if a.messageID == "" && messageID != "" {
		a.messageID = messageID
		earlier, err := s.takeEarly(messageID, a.id, now)
		if err != nil {
			return err
		}
		for _, st := range earlier {
			m.Conflict = a.apply(st) || m.Conflict
		}
	}
	m.Conflict = a.apply(state) || m.Conflict
	next := !a.newest && released(a.newestState, was.status) // it failed too, and another try is to come
	gone := was.released() || next && a.state != messaging.StateDelivered
	switch {
	case gone:
		// It has decided what it could, and its send has gone on.
	case a.newest && a.settled:
		// An older attempt has decided the send.
	case !a.newest && !next && a.newestOutcome == messaging.OutcomeAccepted && a.newestState.Rank() >= a.state.Rank():
		// So has the newest.
	default:
		a.status = a.state.Status()
	}
	m.Outcome, m.Status, m.Advanced = a.outcome, a.status, a.status != was.status

	changed := a.outcome != was.outcome || a.messageID != was.messageID
	if !changed && a.state == was.state {
		return nil
	}
	status, err := encode(statuses, a.status)
	if err != nil {
		return err
	}
	st, err := encode(states, a.state)
	if err != nil {
		return err
	}
	why := text(reason)
	if a.state == was.state {
		why = nil // it is the reason of a state that changed nothing
	}
	if a.messageID != was.messageID {
		s.ids.add(hashOf(kindMessage, a.messageID), kindMessage, a.seq)
	}
	if a.newest {
		if changed {
			return s.w.accept.exec(a.seq, status, codeAccepted, number(st), text(a.messageID), why)
		}
		return s.w.advance.exec(a.seq, status, number(st), why)
	}
	if err := s.w.acceptRetired.exec(id(a.id), codeAccepted, number(st), text(a.messageID), why); err != nil {
		return err
	}
	if gone {
		return nil
	}
	s.forgetNewest(a.seq)
	return s.w.settleSend.exec(a.seq, status)
}

// released reports that the attempt was accepted and failed, and that its send was given
// another try since.
func (a *attempt) released() bool { return released(a.state, a.status) }

// released reports the same of an attempt with that state at a send with that status.
func released(state messaging.State, status messaging.Status) bool {
	return state.Terminal() && state != messaging.StateDelivered && status != state.Status()
}

// redeliver queues a send again that the merged event made fail, if it may have another
// try and its text is still there.
func (s *Store) redeliver(r *messaging.Redelivery, m *messaging.Merge) error {
	if !m.Advanced || m.Status != messaging.StatusFailed && m.Status != messaging.StatusUndelivered {
		return nil
	}
	a, err := s.attempt(m.Ref.Attempt)
	if a == nil || err != nil || !a.newest || a.settled {
		return err
	}
	out, err := s.outgoing(a.seq)
	if out == nil || err != nil {
		return err
	}
	if out.Attempt.Number >= r.Attempts || !out.ExpiresAt.IsZero() && !r.At.Before(out.ExpiresAt) {
		return nil
	}
	queued, err := s.w.requeue.changes(a.seq, dueAt(r.At))
	if queued == 0 || err != nil {
		return err
	}
	m.Status = messaging.StatusQueued
	if m.Again, err = s.outgoing(a.seq); err != nil {
		return err
	}
	return s.straggle("sends", a.seq)
}

// outgoing reads a send with its newest attempt; nil if there is none.
func (s *Store) outgoing(seq int64) (*messaging.Outgoing, error) {
	var row [sendWidth]driver.Value
	if found, err := s.w.sendAt.row(row[:], seq); !found || err != nil {
		return nil, err
	}
	return toOutgoing(row[:])
}

// forgetNewest drops what memory holds of a send whose row changes behind its back.
func (s *Store) forgetNewest(seq int64) {
	for id, a := range s.open {
		if a.seq == seq {
			delete(s.open, id)
		}
	}
}

// apply moves the state forward. It reports a conflict: a second, different terminal state.
func (a *attempt) apply(state messaging.State) (conflict bool) {
	if state.Terminal() && a.state.Terminal() {
		return state != a.state
	}
	if state.Rank() > a.state.Rank() {
		a.state = state
	}
	return false
}

// report records what became of an attempt.
func (s *Store) report(r *messaging.Report, now time.Time) error {
	a, err := s.attempt(r.AttemptID)
	if err != nil {
		return err
	}
	if a == nil {
		// Pruned, or of another journal. There is nothing to compare it with.
		r.Merge = &messaging.Merge{Ref: messaging.SendRef{ID: r.SendID, Attempt: r.AttemptID}, Outcome: r.Outcome, Status: r.Status}
		return nil
	}
	r.Merge = a.merge()
	switch {
	case r.Outcome == messaging.OutcomeAccepted && a.outcome != messaging.OutcomeRejected:
		return s.accept(a, r.MessageID, "", "", now, r.Merge)
	case undecided(a.outcome), r.Outcome == messaging.OutcomeRejected && a.outcome != messaging.OutcomeAccepted:
		return s.conclude(a, r, now)
	}
	return nil // accepted and rejected stand; anything else gives way to neither
}

// conclude records an outcome other than accepted. The send follows it if it still waits
// for this attempt.
func (s *Store) conclude(a *attempt, r *messaging.Report, now time.Time) error {
	before := a.status
	var notBefore driver.Value
	if a.newest && undecided(a.outcome) && !a.settled && !a.status.Terminal() {
		if a.status = r.Status; a.status == messaging.StatusQueued {
			notBefore = dueAt(r.NotBefore)
		}
	}
	a.outcome = r.Outcome
	r.Merge.Outcome, r.Merge.Status, r.Merge.Advanced = a.outcome, a.status, a.status != before
	outcome, err := encode(outcomes, a.outcome)
	if err != nil {
		return err
	}
	if !a.newest {
		return s.w.concludeRetired.exec(id(a.id), outcome, text(r.Code), text(r.Reason))
	}
	status, err := encode(statuses, a.status)
	if err != nil {
		return err
	}
	var doubted driver.Value
	if a.outcome == messaging.OutcomeInDoubt {
		doubted = now.UnixMilli()
	}
	return s.w.conclude.exec(a.seq, status, outcome, text(r.Code), text(r.Reason), doubted, notBefore)
}
