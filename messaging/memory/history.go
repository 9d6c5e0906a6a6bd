package memory

import (
	"time"

	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
)

// retire moves a send that has left for good, or never will, to those that are remembered.
// Its attempts, which are remembered already, lead to it.
func (s *Store) retire(d *send) {
	s.unlink(d)
	s.forgetSecret(d)
	d.slot = s.left.put(d, s.recycle)
	kept := uint32(d.slot + 1)
	if pos, ok := s.attempts.find(digest(d.attempt.ID)); ok {
		s.tracks[pos].kept = kept
	}
	for _, a := range d.earlier {
		if pos, ok := s.attempts.find(digest(a.Attempt.ID)); ok {
			s.tracks[pos].kept = kept
		}
	}
}

// forgetSecret removes a secret text that has left, or never will. The send is in none of
// the lists.
func (s *Store) forgetSecret(d *send) {
	if d.Secret {
		d.Body, d.forgotten = "", true
		d.size = sendSize(&d.Send)
	}
}

// bury moves a finished event to those that are remembered: a dead letter whole, any other
// without its frame.
func (s *Store) bury(e *event, now time.Time) {
	e.finished = now
	if e.fate == messaging.FateDead {
		e.size = eventSize(&e.ev)
		s.buried[e.ev.ID] = e
		e.slot = s.dead.put(e, s.exhume)
		return
	}
	e.ev.Frame = nil
	e.size = eventSize(&e.ev)
	e.slot = s.done.put(e, s.recycleEvent)
}

// exhume forgets a dead letter.
func (s *Store) exhume(e *event) {
	delete(s.buried, e.ev.ID)
	s.recycleEvent(e)
}

// trim forgets what is finished where its room is needed for what is not, dead letters last.
func (s *Store) trim() {
	for s.bytes+s.left.bytes+s.done.bytes+s.dead.bytes > s.cfg.MaxBytes {
		switch {
		case s.done.used > 0:
			s.done.drop(s.recycleEvent)
		case s.left.used > 0:
			s.left.drop(s.recycle)
		case s.dead.used > 0:
			s.dead.drop(s.exhume)
		default:
			return
		}
	}
}

// redeliver queues a send again that the merged event made fail, if it may have another
// try and its text is still remembered.
func (s *Store) redeliver(r *messaging.Redelivery, m *messaging.Merge) {
	if !m.Advanced || m.Status != messaging.StatusFailed && m.Status != messaging.StatusUndelivered {
		return
	}
	pos, ok := s.attempts.find(digest(m.Ref.Attempt))
	if !ok {
		return
	}
	d, live := s.sendOf(&s.tracks[pos])
	if d == nil || live || d.attempt.ID != m.Ref.Attempt || d.settled || d.forgotten ||
		d.attempt.Number >= r.Attempts || !d.ExpiresAt.IsZero() && !r.At.Before(d.ExpiresAt) {
		return
	}
	s.left.take(d.slot)
	d.status, d.NotBefore = messaging.StatusQueued, r.At
	s.relink(d)
	m.Status, m.Again = d.status, d.outgoing()
}

// revive makes a dead letter live again, or lets it go. One whose text was removed has
// nothing to run a chain on, and can only be let go.
func (s *Store) revive(v *messaging.Revive, now time.Time) {
	v.Done, v.Event = false, nil
	e := s.buried[v.EventID]
	if e == nil || e.forgotten && !v.Drop {
		return
	}
	v.Done = true
	delete(s.buried, v.EventID)
	s.dead.take(e.slot)
	if v.Drop {
		e.fate = messaging.FateDropped
		s.bury(e, now)
		return
	}
	e.fate, e.ev.Attempt, e.finished = messaging.FateRetry, 0, time.Time{}
	s.reviveEvent(e)
	v.Event = e.copy()
}

// attemptRecord tells how the newest attempt at a send stands.
func (s *Store) attemptRecord(d *send) *messaging.AttemptRecord {
	if d.attempt.ID == uuid.Nil {
		return nil
	}
	r := &messaging.AttemptRecord{Attempt: d.attempt, Outcome: d.outcome, Code: d.code, Reason: d.why}
	if d.outcome == messaging.OutcomeInDoubt {
		r.Since = d.since
	}
	return r
}
