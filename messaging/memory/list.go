package memory

import (
	"time"

	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
)

// overhead is what an event or a send costs in memory beside its text: the structures
// around it.
const overhead = 512

// event is an unfinished event, or a finished one that is still remembered.
type event struct {
	ev         messaging.Event // our own copy: the engine completes its own after the commit
	ref        messaging.SendRef
	retryAt    time.Time
	journaled  time.Time
	finished   time.Time
	fate       messaging.Fate
	err        string
	handler    string
	sends      []uuid.UUID // that it decided
	forgotten  bool        // its text was removed
	size       int64
	slot       int // on its shelf, once it is finished
	prev, next *event
}

func (e *event) cost() int64 { return e.size }

// copy gives the event to a caller, who may change it.
func (e *event) copy() *messaging.Event {
	ev := e.ev
	if ev.Send != nil {
		ref := e.ref
		ev.Send = &ref
	}
	return &ev
}

// send is a send that has not left for good: queued, claimed, or in doubt; or one that has
// and is still remembered.
type send struct {
	messaging.Send
	seq    int64 // commit order
	status messaging.Status
	reason string

	attempt messaging.Attempt // the newest; zero before the first
	outcome messaging.AttemptOutcome
	code    string    // of a refusal
	why     string    // of the attempt's outcome
	since   time.Time // of the attempt's doubt
	earlier []*messaging.AttemptRecord
	// settled is set when an older attempt proved to be accepted while a newer one is
	// open. The send's status is that attempt's from then on.
	settled   bool
	forgotten bool // its text was removed

	size       int64
	slot       int // on the shelf, once it is finished
	prev, next *send
}

func (d *send) cost() int64 { return d.size }

// pending reports whether the outcome of the send's newest attempt is still to come, and
// the send was not queued again without it.
func (s *send) pending() bool {
	return s.attempt.ID != uuid.Nil && s.status != messaging.StatusQueued && undecided(s.outcome)
}

func undecided(o messaging.AttemptOutcome) bool {
	return o == messaging.OutcomeOpen || o == messaging.OutcomeInDoubt
}

func eventSize(ev *messaging.Event) int64 {
	return overhead + int64(len(ev.Frame)+len(ev.Body)) + lengths(ev.Media)
}

func sendSize(s *messaging.Send) int64 {
	n := overhead + int64(len(s.Body)+len(s.Callback)) + lengths(s.Media)
	for name, v := range s.Custom {
		n += int64(len(name) + len(v))
	}
	return n
}

func lengths(urls []string) (n int64) {
	for _, u := range urls {
		n += int64(len(u))
	}
	return n
}

func (s *Store) pushEvent(e *event) {
	if e.prev = s.lastEvent; e.prev != nil {
		e.prev.next = e
	} else {
		s.firstEvent = e
	}
	s.lastEvent = e
	s.events[e.ev.ID] = e
	s.bytes += e.size
}

// reviveEvent puts an event back in its place among the unfinished ones.
func (s *Store) reviveEvent(e *event) {
	at := s.firstEvent
	for at != nil && at.ev.Seq < e.ev.Seq {
		at = at.next
	}
	if at == nil {
		s.pushEvent(e)
		return
	}
	e.prev, e.next = at.prev, at
	if at.prev != nil {
		at.prev.next = e
	} else {
		s.firstEvent = e
	}
	at.prev = e
	s.events[e.ev.ID] = e
	s.bytes += e.size
}

// recycleEvent keeps the memory of a forgotten event for the next one.
func (s *Store) recycleEvent(e *event) {
	sends := e.sends[:0]
	*e = event{sends: sends}
	if len(s.spareEvents) < spareMost {
		s.spareEvents = append(s.spareEvents, e)
	}
}

func (s *Store) newEvent(ev *messaging.Event, now time.Time) *event {
	var e *event
	if n := len(s.spareEvents); n > 0 {
		e = s.spareEvents[n-1]
		s.spareEvents = s.spareEvents[:n-1]
	} else {
		e = new(event)
	}
	e.ev, e.journaled = *ev, now
	return e
}

func (s *Store) dropEvent(e *event) {
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		s.firstEvent = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	} else {
		s.lastEvent = e.prev
	}
	e.prev, e.next = nil, nil
	delete(s.events, e.ev.ID)
	s.bytes -= e.size
}

func (s *Store) pushSend(d *send) {
	if d.prev = s.lastSend; d.prev != nil {
		d.prev.next = d
	} else {
		s.firstSend = d
	}
	s.lastSend = d
	s.sends[d.ID] = d
	s.bytes += d.size
}

// unlink takes a send out of those that have not left for good.
func (s *Store) unlink(d *send) {
	if d.prev != nil {
		d.prev.next = d.next
	} else {
		s.firstSend = d.next
	}
	if d.next != nil {
		d.next.prev = d.prev
	} else {
		s.lastSend = d.prev
	}
	d.prev, d.next = nil, nil
	delete(s.sends, d.ID)
	s.bytes -= d.size
}

// relink puts a send back in its place among those that have not left for good. It is an
// old one, so the search begins with the oldest.
func (s *Store) relink(d *send) {
	at := s.firstSend
	for at != nil && at.seq < d.seq {
		at = at.next
	}
	if at == nil {
		s.pushSend(d)
		return
	}
	d.prev, d.next = at.prev, at
	if at.prev != nil {
		at.prev.next = d
	} else {
		s.firstSend = d
	}
	at.prev = d
	s.sends[d.ID] = d
	s.bytes += d.size
}

// recycle keeps the memory of a forgotten send for the next one.
func (s *Store) recycle(d *send) {
	*d = send{}
	if len(s.spare) < spareMost {
		s.spare = append(s.spare, d)
	}
}

// spareMost is how many unused send records are kept, as many as are usually claimed and
// unanswered.
const spareMost = 256

func (s *Store) newSend() *send {
	if n := len(s.spare); n > 0 {
		d := s.spare[n-1]
		s.spare = s.spare[:n-1]
		return d
	}
	return new(send)
}
