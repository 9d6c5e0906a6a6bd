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
	if !dup && len(s.events) > 0 {
		_, dup = s.events[ev.ID]
	}
	if dup {
		if a.Outcome != nil {
			notInserted(a.Outcome.Sends)
		}
		return
	}
	s.seen.add(d)
	s.seq++
	ev.Seq = s.seq
	a.Fresh = true
	if ev.Kind == messaging.KindState {
		a.Merge = s.arrived(ev, now)
	}
	if a.Outcome == nil || a.Outcome.Fate == messaging.FateRetry {
		e := &event{ev: *ev, size: eventSize(ev)}
		if a.Merge != nil {
			ref := a.Merge.Ref
			e.ev.Send = &ref
		}
		if a.Outcome != nil {
			e.retryAt, e.ev.Attempt = a.Outcome.RetryAt, a.Outcome.Attempt
		}
		s.pushEvent(e)
		return
	}
	s.insertAll(a.Outcome)
}

func (s *Store) settle(x *messaging.Settle, now time.Time) {
	e := s.events[x.Event.ID]
	x.Lost = e == nil
	if x.Lost {
		notInserted(x.Outcome.Sends)
		return
	}
	if x.Outcome.Fate == messaging.FateRetry {
		e.retryAt, e.ev.Attempt = x.Outcome.RetryAt, x.Outcome.Attempt
		return
	}
	s.dropEvent(e)
	s.insertAll(x.Outcome)
}

// insertAll inserts the sends of an outcome that ended its event well.
func (s *Store) insertAll(o *messaging.Outcome) {
	if o.Fate != messaging.FateDone {
		notInserted(o.Sends)
		return
	}
	for _, out := range o.Sends {
		s.insert(out)
	}
}

func notInserted(outs []*messaging.Outgoing) {
	for _, o := range outs {
		o.Inserted = false
	}
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
	if o.Status.Terminal() {
		return true // never to leave: nothing will ask for it again
	}
	d := s.newSend()
	d.Send, d.status, d.reason, d.size = o.Send, o.Status, o.Reason, sendSize(&o.Send)
	s.pushSend(d)
	if o.Attempt != nil {
		s.begin(d, o.Attempt)
	}
	return true
}

// existing finds the send that has a key. Of one that is finished only id and key are left.
func (s *Store) existing(key string) *messaging.Send {
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
	d.attempt, d.outcome, d.since = *a, messaging.OutcomeOpen, a.ClaimedAt
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
		d.status = c.Status
		s.finish(d)
	}
}

// finish forgets a send that nothing is left to do for. Its newest attempt stays among the
// remembered ones, still a doubt if it is one.
func (s *Store) finish(d *send) {
	if d.attempt.ID != uuid.Nil {
		if s.open[d.attempt.ID] == d {
			s.remember(d, d.outcome, d.status)
		} else if pos, ok := s.attempts.find(digest(d.attempt.ID)); ok {
			s.tracks[pos].status = encode(statuses, d.status)
		}
	}
	s.dropSend(d)
}
