package messaging

import (
	"context"
	"errors"

	"github.com/google/uuid"
)

// ErrKeyUsed is returned for a send whose key was used by one that the journal does not hold
// any more.
var ErrKeyUsed = errors.New("messaging: a send with this key was journaled, so long ago that it cannot be shown any more")

// Enqueued is what became of one send of EnqueueAll.
type Enqueued struct {
	// Send is as stored. If Fresh is false, it is that of a former call with the same key,
	// and nothing was sent; of one that is final, a store may have no more than the ID.
	Send  Send
	Fresh bool
	// Status and Reason are those of a fresh send at its insertion: StatusQueued,
	// StatusSending, or what the gate said.
	Status Status
	Reason string
	// Err is set if this send was not journaled; then the rest is of no meaning. The others
	// are not touched by it.
	Err error
}

// EnqueueAll is [Engine.Enqueue] for many sends at once: each stands for itself, and what
// arrives together is committed together. The answers are in the order of the sends. An ID
// that is set is kept; it must be a new UUIDv7. If ctx ends first, what was not answered yet
// may have been journaled all the same; ask again with the same keys.
//
// with, unless it is nil, is asked for changes of values that are to happen with the
// insertion of a send or not at all; see [Enqueue]. It is called on the engine's goroutine
// with the send as it will be stored, and must not block.
func (e *Engine) EnqueueAll(ctx context.Context, sends []Send, with func(*Send) []*ValueChange) ([]Enqueued, error) {
	all := make([]Enqueued, len(sends))
	done := make(chan struct{})
	left := len(sends)
	if left == 0 {
		return all, nil
	}
	e.post(func() {
		answer := func(i int, q Enqueued) {
			all[i] = q
			if left--; left == 0 {
				close(done)
			}
		}
		for i, s := range sends {
			err := enqueueable(&s)
			if e.draining {
				err = errNotTaken
			}
			if err != nil {
				answer(i, Enqueued{Err: err})
				continue
			}
			if s.ID == uuid.Nil {
				s.ID = newID()
			}
			e.fill(&s)
			var values []*ValueChange
			if with != nil {
				values = with(&s)
			}
			e.enqueueOne(s, values, func(q Enqueued) { answer(i, q) })
		}
	})
	select {
	case <-done:
		return all, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// enqueueable says what keeps a send from being journaled.
func enqueueable(s *Send) error {
	if s.From == "" || s.To == "" || s.Context == "" {
		return errNoPair
	}
	return s.Check()
}

// fill completes what whoever enqueues a send may leave open.
func (e *Engine) fill(s *Send) {
	s.CreatedAt = e.now
	s.Category = orDefault(s.Category, CategoryNotification)
	s.Priority = orDefault(s.Priority, s.Category.Priority())
	s.Key = orDefault(s.Key, s.ID.String())
}

// enqueueOne journals a complete send.
func (e *Engine) enqueueOne(s Send, values []*ValueChange, reply func(Enqueued)) {
	f := e.out.newFlight(e, &Outgoing{Send: s}, nil)
	e.journal.enqueue(&enqueuing{Enqueue: &Enqueue{Outgoing: f.out, Values: values}, flight: f, reply: func(stored Send, err error) {
		reply(Enqueued{Send: stored, Fresh: f.out.Inserted, Status: f.out.Status, Reason: f.out.Reason, Err: err})
	}})
}
