package sqlite

import (
	"database/sql/driver"
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

// found is an event that is in the journal.
type found struct {
	seq            int64
	from, afterEnd int64 // the sends that it decided
}

// event looks for an event by its id.
func (s *Store) event(id string, hash int64) (found, bool, error) {
	if s.ids.new(hash) {
		return found{}, false, nil
	}
	var row [3]driver.Value
	ok, err := s.find(hash, kindEvent, func(seq int64) (bool, error) { return s.w.findEvent.row(row[:], seq, id) })
	f := found{seq: toInt(row[0]), from: toInt(row[1])}
	f.afterEnd = f.from + toInt(row[2])
	return f, ok, err
}

// append writes an event, and with an early outcome everything that it decided. It returns
// the event's place, 0 for a duplicate.
func (s *Store) append(a *messaging.Append, now time.Time) (seq int64, err error) {
	ev, o := a.Event, a.Outcome
	a.Fresh, a.Merge = false, nil
	hash := hashOf(kindEvent, ev.ID)
	if _, known, err := s.event(ev.ID, hash); err != nil {
		return 0, err
	} else if known {
		unchanged(a.Consents)
		dismiss(o)
		return 0, nil
	}
	wanted, err := s.changeAll(a.Consents)
	if err != nil {
		return 0, err
	}
	seq = s.next.event
	s.next.event++
	s.ids.add(hash, kindEvent, seq)
	if ev.Kind == messaging.KindMessage && ev.MessageID != "" && ev.MessageID != ev.ID {
		s.ids.add(hashOf(kindInbound, ev.MessageID), kindInbound, seq)
	}

	var attempt, isEarly driver.Value
	if ev.Kind == messaging.KindState {
		if a.Merge, err = s.arrived(ev, now); err != nil {
			return 0, err
		}
		switch {
		case a.Merge != nil:
			attempt = id(a.Merge.Ref.Attempt)
		case ev.State.Rank() > 0: // any other could change nothing
			if err := s.keepEarly(now); err != nil {
				return 0, err
			}
			isEarly = int64(1)
			s.early.add(ev.MessageID, earlyState{seq, ev.State, now})
		}
	}
	fate := int64(fateUnfinished)
	var runs, retryAt, failure, handler, finished, from, count driver.Value
	if o != nil {
		runs, failure, handler = number(o.Attempt), text(o.Err), text(o.Handler)
		if o.Fate == messaging.FateRetry {
			dismiss(o)
			retryAt = millis(o.RetryAt)
		} else {
			fate, finished = fateOf(o), s.stamp
			if err := s.changeBy(o); err != nil {
				return 0, err
			}
			from, count, err = s.insertAll(ev, o, wanted)
			if err != nil {
				return 0, err
			}
		}
	}
	media, err := list(ev.Media)
	if err != nil {
		return 0, err
	}
	tags, err := list(ev.Tags)
	if err != nil {
		return 0, err
	}
	err = s.w.insertEvent.exec(seq, ev.ID, int64(ev.Kind), text(ev.Context), text(ev.MessageID), text(ev.From), text(ev.To),
		text(ev.Body), media, number(ev.Segments), tags, text(ev.State), text(ev.Reason), ev.ReceivedAt.UnixMilli(), millis(ev.SentAt),
		blob(ev.Frame), fate, runs, retryAt, failure, handler, finished, from, count, attempt, isEarly, s.stamp)
	if err != nil {
		return 0, err
	}
	if a.Redeliver != nil && a.Merge != nil {
		if err := s.redeliver(a.Redeliver, a.Merge); err != nil {
			return 0, err
		}
	}
	a.Fresh = true
	return seq, nil
}

func fateOf(o *messaging.Outcome) int64 {
	if o.Fate == messaging.FateDead {
		return fateDead
	}
	return fateDone
}

// settle ends an event that is unfinished, or puts it off.
func (s *Store) settle(x *messaging.Settle) error {
	ev, o := x.Event, x.Outcome
	x.Lost = false
	seq := ev.Seq
	if seq == 0 { // not as it came from the journal
		f, _, err := s.event(ev.ID, hashOf(kindEvent, ev.ID))
		if err != nil {
			return err
		}
		seq = f.seq
	}
	var changed int64
	var err error
	if o.Fate == messaging.FateRetry {
		dismiss(o)
		changed, err = s.w.retryEvent.changes(seq, ev.ID, number(o.Attempt), millis(o.RetryAt), text(o.Err), text(o.Handler))
		x.Lost = changed == 0
		return err
	}
	sends, err := s.plan(ev, o)
	if err != nil {
		return err
	}
	var from, count driver.Value
	if len(sends) > 0 {
		from, count = s.next.send, int64(len(sends))
	}
	changed, err = s.w.settleEvent.changes(seq, ev.ID, fateOf(o), number(o.Attempt), text(o.Err), text(o.Handler), s.stamp, from, count)
	if err != nil {
		return err
	}
	if x.Lost = changed == 0; x.Lost {
		dismiss(o)
		return nil
	}
	if err := s.changeBy(o); err != nil {
		return err
	}
	return s.insertPlanned(sends)
}

// insertAll inserts the sends that an outcome decided, if they are wanted, and tells where.
func (s *Store) insertAll(ev *messaging.Event, o *messaging.Outcome, wanted bool) (from, count driver.Value, err error) {
	if !wanted {
		notInserted(o.Sends)
		return nil, nil, nil
	}
	sends, err := s.plan(ev, o)
	if err != nil || len(sends) == 0 {
		return nil, nil, err
	}
	from, count = s.next.send, int64(len(sends))
	return from, count, s.insertPlanned(sends)
}

// dismiss says of everything that an outcome decided that it did not happen.
func dismiss(o *messaging.Outcome) {
	if o != nil {
		notInserted(o.Sends)
		unchanged(o.Consents)
		notApplied(o.Values)
	}
}

func notInserted(outs []*messaging.Outgoing) {
	for _, o := range outs {
		o.Inserted = false
	}
}
