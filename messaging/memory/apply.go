package memory

import (
	"time"

	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
)

func (s *Store) append(a *messaging.Append, now time.Time) {
	ev := a.Event
	a.Fresh, a.Merge = false, nil
	d := s.hash.digest(ev.ID)
	_, dup := s.seen.find(d)
	if dup = dup || s.events[ev.ID] != nil || s.buried[ev.ID] != nil; dup {
		unchanged(a.Consents)
		if a.Outcome != nil {
			dismiss(a.Outcome)
		}
		return
	}
	s.seen.add(d)
	s.seq++
	ev.Seq = s.seq
	a.Fresh = true
	e := s.newEvent(ev, now)
	sends := s.ledger.changeAll(a.Consents, now)
	if ev.Kind == messaging.KindState {
		if a.Merge = s.arrived(ev, now); a.Merge != nil {
			e.ref = a.Merge.Ref
			e.ev.Send = &e.ref
			if a.Redeliver != nil {
				s.redeliver(a.Redeliver, a.Merge)
			}
		}
	}
	if a.Outcome == nil {
		e.size = eventSize(ev)
		s.pushEvent(e)
		return
	}
	e.decided(a.Outcome)
	if a.Outcome.Fate == messaging.FateRetry {
		dismiss(a.Outcome)
		e.size = eventSize(ev)
		s.pushEvent(e)
		return
	}
	s.end(e, a.Outcome, sends, now)
}

// decided records what a run of the chain decided.
func (e *event) decided(o *messaging.Outcome) {
	e.fate, e.retryAt, e.ev.Attempt, e.err, e.handler = o.Fate, o.RetryAt, o.Attempt, o.Err, o.Handler
	if o.Fate != messaging.FateRetry {
		e.retryAt = time.Time{}
	}
}

func (s *Store) settle(x *messaging.Settle, now time.Time) {
	e := s.events[x.Event.ID]
	x.Lost = e == nil
	if x.Lost {
		dismiss(x.Outcome)
		return
	}
	e.decided(x.Outcome)
	if x.Outcome.Fate == messaging.FateRetry {
		dismiss(x.Outcome)
		return
	}
	s.dropEvent(e)
	s.end(e, x.Outcome, true, now)
}

// end ends an event: what an outcome that ended it well decided happens.
func (s *Store) end(e *event, o *messaging.Outcome, sends bool, now time.Time) {
	if o.Fate == messaging.FateDone {
		s.ledger.changeAll(o.Consents, now)
		s.values.changeAll(o.Values, now)
	} else {
		unchanged(o.Consents)
		notApplied(o.Values)
	}
	s.insertAll(e, o, sends)
	s.bury(e, now)
}

// insertAll inserts the sends of an outcome that ended its event well, if they are wanted.
func (s *Store) insertAll(e *event, o *messaging.Outcome, wanted bool) {
	e.sends = e.sends[:0]
	if o.Fate != messaging.FateDone || !wanted {
		notInserted(o.Sends)
		return
	}
	for _, out := range o.Sends {
		if s.insert(out) {
			e.sends = append(e.sends, out.ID)
		}
	}
}

// dismiss says of everything that an outcome decided that it did not happen.
func dismiss(o *messaging.Outcome) {
	notInserted(o.Sends)
	unchanged(o.Consents)
	notApplied(o.Values)
}

func notInserted(outs []*messaging.Outgoing) {
	for _, o := range outs {
		o.Inserted = false
	}
}

// enqueue inserts a send with the values that come with it, or neither.
func (s *Store) enqueue(q *messaging.Enqueue, now time.Time) {
	q.Existing, q.Conflict, q.Outgoing.Inserted = nil, false, false
	notApplied(q.Values)
	if q.Existing = s.existing(q.Outgoing.Key); q.Existing != nil {
		return
	}
	if q.Conflict = !s.values.allHold(q.Values, now); q.Conflict {
		return
	}
	s.values.changeAll(q.Values, now)
	s.insert(q.Outgoing)
}

// insert takes a send in unless its key is taken.
func (s *Store) insert(o *messaging.Outgoing) bool {
	o.Inserted = false
	if o.Key != "" {
		d := s.hash.digest(o.Key)
		if _, taken := s.keys.find(d); taken {
			return false
		}
		s.keySend[s.keys.add(d)] = o.ID
	}
	o.Inserted = true
	d := s.newSend()
	s.sendSeq++
	d.Send, d.seq, d.status, d.reason, d.size = o.Send, s.sendSeq, o.Status, o.Reason, sendSize(&o.Send)
	if o.Status.Terminal() {
		s.forgetSecret(d)
		d.slot = s.left.put(d, s.recycle) // never to leave
		return true
	}
	s.pushSend(d)
	if o.Attempt != nil {
		s.begin(d, o.Attempt)
	}
	return true
}

// existing finds the send that has a key. Of one that is finished only id and key are left.
func (s *Store) existing(key string) *messaging.Send {
	if key == "" {
		return nil
	}
	pos, ok := s.keys.find(s.hash.digest(key))
	if !ok {
		return nil
	}
	id := s.keySend[pos]
	if d := s.sends[id]; d != nil {
		found := d.Send
		return &found
	}
	return &messaging.Send{ID: id, Key: key}
}

// begin opens an attempt.
func (s *Store) begin(d *send, a *messaging.Attempt) {
	if d.attempt.ID != uuid.Nil && s.open[d.attempt.ID] == d {
		// Sent again while the former attempt is still a doubt: what comes for that one is
		// matched among the remembered attempts.
		s.remember(d, d.outcome, messaging.StatusQueued)
	}
	if d.attempt.ID != uuid.Nil {
		d.earlier = append(d.earlier, s.attemptRecord(d))
	}
	d.attempt, d.outcome, d.since, d.code, d.why = *a, messaging.OutcomeOpen, a.ClaimedAt, "", ""
	d.attempt.SendID = d.ID
	d.status, d.reason = messaging.StatusSending, ""
	s.open[a.ID] = d
}

func (s *Store) claim(c *messaging.Claim) {
	d := s.sends[c.SendID]
	c.Granted = d != nil && d.status == messaging.StatusQueued
	switch {
	case !c.Granted:
	case c.Attempt != nil:
		s.begin(d, c.Attempt)
	case c.Status == messaging.StatusQueued:
		d.NotBefore, d.reason = c.NotBefore, c.Reason
	default:
		d.status, d.reason = c.Status, c.Reason
		s.finish(d)
	}
}

// finish ends a send that nothing is left to do for. Its newest attempt stays among the
// remembered ones, still a doubt if it is one.
func (s *Store) finish(d *send) {
	if d.attempt.ID != uuid.Nil {
		if s.open[d.attempt.ID] == d {
			s.remember(d, d.outcome, d.status)
		} else if pos, ok := s.attempts.find(digest(d.attempt.ID)); ok {
			s.tracks[pos].status = encode(statuses, d.status)
		}
	}
	s.retire(d)
}
