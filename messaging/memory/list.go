package memory

import (
	"time"

	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
)

// overhead is what an event or a send costs in memory beside its text: the structures
// around it.
const overhead = 512

// event is an unfinished event.
type event struct {
	ev         messaging.Event // our own copy: the engine completes its own after the commit
	retryAt    time.Time
	size       int64
	prev, next *event
}

// send is a send that has not left for good: queued, claimed, or in doubt.
type send struct {
	messaging.Send
	status messaging.Status
	reason string

	attempt messaging.Attempt // the newest; zero before the first
	outcome messaging.AttemptOutcome
	since   time.Time // of the attempt's doubt
	// settled is set when an older attempt proved to be accepted while a newer one is
	// open. The send's status is that attempt's from then on.
	settled bool

	size       int64
	prev, next *send
}

// pending reports whether the outcome of the send's newest attempt is still to come, and
// the send was not queued again without it.
func (s *send) pending() bool {
	return s.attempt.ID != uuid.Nil && s.status != messaging.StatusQueued && undecided(s.outcome)
}

func undecided(o messaging.AttemptOutcome) bool {
	return o == messaging.OutcomeOpen || o == messaging.OutcomeInDoubt
}

func eventSize(ev *messaging.Event) int64 {
	return overhead + int64(len(ev.Frame)+len(ev.Body))
}

func sendSize(s *messaging.Send) int64 {
	n := int64(overhead + len(s.Body))
	for _, u := range s.Media {
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

// dropSend forgets a send and keeps its memory for the next one.
func (s *Store) dropSend(d *send) {
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
	delete(s.sends, d.ID)
	s.bytes -= d.size
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
