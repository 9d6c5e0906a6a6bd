package memory

import (
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
)

// The early states that are kept for a report to come (R45).
const (
	maxEarly    = 10_000
	maxEarlyAge = 10 * time.Minute
)

// earlyState is the furthest state of a message that no report has named yet.
type earlyState struct {
	state    code
	conflict bool // a second, different terminal state came
	at       time.Time
}

// track is an attempt that is no longer the open one of its send.
type track struct {
	send      uuid.UUID
	inReplyTo string
	messageID string
	pair      uint64 // hash of the conversation
	claimed   int64  // Unix nanoseconds
	number    int32
	message   uint32 // position+1 in Store.messages; 0 for none
	kept      uint32 // slot+1 of its send in Store.left; 0 for none
	callback  bool   // its send has one
	outcome   code
	state     code
	status    code // the send's, as far as this attempt decided it
}

// code is a name from one of the tables below, in one byte.
type code uint8

var (
	outcomes = []messaging.AttemptOutcome{
		"", messaging.OutcomeOpen, messaging.OutcomeAccepted, messaging.OutcomeRejected,
		messaging.OutcomeNotSent, messaging.OutcomeInDoubt, messaging.OutcomeAbsent,
	}
	states = []messaging.State{
		"", messaging.StateQueued, messaging.StateInitiated, messaging.StateSent,
		messaging.StateDelivered, messaging.StateUndelivered, messaging.StateFailed,
	}
	statuses = []messaging.Status{
		"", messaging.StatusQueued, messaging.StatusSending, messaging.StatusInDoubt,
		messaging.StatusAccepted, messaging.StatusSent, messaging.StatusDelivered, messaging.StatusUndelivered,
		messaging.StatusFailed, messaging.StatusSuppressed, messaging.StatusExpired, messaging.StatusCancelled,
		messaging.StatusUnknown,
	}
)

// encode gives the code of a name; 0, the empty name, for one that is not in the table.
func encode[T ~string](table []T, v T) code { return code(max(slices.Index(table, v), 0)) }

// remember moves a send's newest attempt to the remembered ones and gives its position
// there.
func (s *Store) remember(d *send, outcome messaging.AttemptOutcome, status messaging.Status) uint32 {
	delete(s.open, d.attempt.ID)
	pos := s.attempts.add(digest(d.attempt.ID))
	s.tracks[pos] = track{
		send: d.ID, inReplyTo: d.InReplyTo, pair: s.hash.pair(d.Conversation()),
		claimed: d.attempt.ClaimedAt.UnixNano(), number: int32(d.attempt.Number),
		callback: d.Callback != "", outcome: encode(outcomes, outcome), status: encode(statuses, status),
	}
	return pos
}

// ref names the send and the attempt at a position.
func (s *Store) ref(pos uint32) messaging.SendRef {
	t := &s.tracks[pos]
	return messaging.SendRef{ID: t.send, Attempt: uuid.UUID(s.attempts.keys[pos]), InReplyTo: t.inReplyTo, Callback: t.callback}
}

// arrived merges a state event into the attempt that it speaks of: the one its tag names,
// else the one with its message id. If there is none yet the state is kept.
func (s *Store) arrived(ev *messaging.Event, now time.Time) *messaging.Merge {
	m := new(messaging.Merge)
	if id, ok := messaging.AttemptTag(ev.Tags); ok {
		if d := s.open[id]; d != nil {
			s.accept(d, ev.MessageID, ev.State, ev.Reason, now, m)
			return m
		}
		if pos, ok := s.attempts.find(digest(id)); ok {
			s.advance(pos, ev.MessageID, ev.State, ev.Reason, now, m)
			return m
		}
	}
	if pos, ok := s.messages.find(s.hash.digest(ev.MessageID)); ok {
		// The attempt may have been forgotten, and its place taken, before the message id.
		if row := s.messageRow[pos]; s.tracks[row].message == pos+1 {
			s.advance(row, ev.MessageID, ev.State, ev.Reason, now, m)
			return m
		}
	}
	s.keepEarly(ev, now)
	return nil
}

// accept records that the newest attempt of a send was accepted, as an answer or a state
// proves it; state is empty for an answer.
func (s *Store) accept(d *send, messageID string, state messaging.State, reason string, now time.Time, m *messaging.Merge) {
	before := d.status
	pos := s.remember(d, messaging.OutcomeAccepted, messaging.StatusAccepted)
	t := &s.tracks[pos]
	m.Conflict = s.learn(pos, messageID, now)
	m.Conflict = t.apply(state) || m.Conflict
	if d.settled {
		t.status = encode(statuses, before) // an older attempt has decided it
	}
	d.outcome, d.status, d.why, d.reason = messaging.OutcomeAccepted, statuses[t.status], "", ""
	if d.status != before && state.Terminal() {
		d.why, d.reason = reason, reason
	}
	m.Ref, m.Outcome, m.Status = s.ref(pos), messaging.OutcomeAccepted, d.status
	m.Advanced = m.Status != before
	s.retire(d)
}

// advance merges a state, or the answer with a message id, into a remembered attempt.
func (s *Store) advance(pos uint32, messageID string, state messaging.State, reason string, now time.Time, m *messaging.Merge) {
	t := &s.tracks[pos]
	m.Ref = s.ref(pos)
	d, live := s.sendOf(t)
	before := statuses[t.status]
	if d != nil {
		before = d.status
	}
	m.Outcome, m.Status = outcomes[t.outcome], before
	if m.Outcome == messaging.OutcomeRejected {
		return
	}
	released := d != nil && t.released(before)
	if m.Outcome != messaging.OutcomeAccepted {
		// Held never to have been accepted, or still in doubt while the send was queued
		// again: it is known better now, and the send must not leave a second time.
		t.outcome, t.status = encode(outcomes, messaging.OutcomeAccepted), encode(statuses, messaging.StatusAccepted)
		m.Outcome = messaging.OutcomeAccepted
	}
	if t.message == 0 {
		m.Conflict = s.learn(pos, messageID, now)
	}
	m.Conflict = t.apply(state) || m.Conflict
	if released {
		return // it has decided what it could, and its send has gone on
	}
	if m.Status = statuses[t.status]; d == nil {
		m.Advanced = m.Status != before
		return
	}
	waits := live && d.pending()
	s.decide(d, waits, m)
	if m.Advanced = d.status != before; m.Advanced && state.Terminal() {
		d.reason = reason
	}
	m.Status = d.status
	if live && !waits && m.Advanced {
		s.finish(d)
	}
}

// sendOf finds the send of a remembered attempt, and whether it has not left for good; nil
// if it is forgotten.
func (s *Store) sendOf(t *track) (d *send, live bool) {
	if d := s.sends[t.send]; d != nil {
		return d, true
	}
	if t.kept == 0 {
		return nil, false
	}
	if d := s.left.slots[t.kept-1]; d != nil && d.ID == t.send {
		return d, false
	}
	return nil, false
}

// released reports that the attempt was accepted and failed, and that its send, which has
// a status, was given another try since.
func (t *track) released(status messaging.Status) bool {
	state := states[t.state]
	return state.Terminal() && state != messaging.StateDelivered && state.Status() != status
}

// decide gives a send the status that an attempt at it proves, unless another one has
// decided it. A send may still wait for its newest attempt.
func (s *Store) decide(d *send, waits bool, m *messaging.Merge) {
	newest := d.attempt.ID == m.Ref.Attempt
	switch {
	case waits:
		d.settled = true
	case newest && d.settled:
		return
	case !newest && s.ahead(d, m.Ref.Attempt):
		return
	case !newest:
		d.settled = true
	}
	d.status = m.Status
}

// ahead reports whether the newest attempt at a send was accepted and is as far as another.
// If it failed and another try is to come, nothing but a delivery is further.
func (s *Store) ahead(d *send, other uuid.UUID) bool {
	if pos, ok := s.attempts.find(digest(d.attempt.ID)); ok && s.tracks[pos].released(d.status) {
		pos, ok := s.attempts.find(digest(other))
		return !ok || states[s.tracks[pos].state] != messaging.StateDelivered
	}
	rank := func(id uuid.UUID) int {
		pos, ok := s.attempts.find(digest(id))
		if !ok || outcomes[s.tracks[pos].outcome] != messaging.OutcomeAccepted {
			return -1
		}
		return states[s.tracks[pos].state].Rank()
	}
	return rank(d.attempt.ID) >= rank(other)
}

// learn ties a message id to an attempt and merges the states that came before it. It
// reports whether two terminal ones among them conflict.
func (s *Store) learn(row uint32, messageID string, now time.Time) (conflict bool) {
	if messageID == "" {
		return false
	}
	t := &s.tracks[row]
	if t.messageID == "" {
		t.messageID = messageID
	}
	d := s.hash.digest(messageID)
	if _, taken := s.messages.find(d); !taken {
		pos := s.messages.add(d)
		s.messageRow[pos] = row
		t.message = pos + 1
	}
	pos, ok := s.early.find(d)
	if !ok {
		return false
	}
	s.early.drop(pos)
	e := s.earlyState[pos]
	if now.Sub(e.at) > maxEarlyAge {
		return false
	}
	return t.apply(states[e.state]) || e.conflict
}

// apply moves an accepted attempt forward, never back (R47). It reports a conflict: a
// second, different terminal state.
func (t *track) apply(state messaging.State) (conflict bool) {
	has := states[t.state]
	if state.Terminal() && has.Terminal() {
		return state != has
	}
	if state.Rank() > has.Rank() {
		t.state, t.status = encode(states, state), encode(statuses, state.Status())
	}
	return false
}

// keepEarly keeps a state for a report to come.
func (s *Store) keepEarly(ev *messaging.Event, now time.Time) {
	if ev.State.Rank() == 0 {
		return // it could change nothing
	}
	d := s.hash.digest(ev.MessageID)
	if pos, ok := s.early.find(d); ok {
		if e := &s.earlyState[pos]; now.Sub(e.at) <= maxEarlyAge {
			t := track{state: e.state}
			e.conflict = t.apply(ev.State) || e.conflict
			e.state, e.at = t.state, now
			return
		}
		s.early.drop(pos)
	}
	s.earlyState[s.early.add(d)] = earlyState{state: encode(states, ev.State), at: now}
}
