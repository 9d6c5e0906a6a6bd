package messaging

import (
	"context"
	"errors"
)

var (
	errNoPair   = errors.New("a send needs From, To and Context: From is one of your numbers, Context one that the daemon subscribes to")
	errNotTaken = errors.New("messaging: the engine is draining; send again to the next process")
)

// Enqueue journals a send that no inbound asked for and returns it as stored. A second
// call with the same Key returns the first one's send and sends nothing. It returns once
// the send is as durable as the store makes it; whether it has left is told by its states.
func (e *Engine) Enqueue(ctx context.Context, s Send) (Send, error) {
	if err := s.Check(); err != nil {
		return Send{}, err
	}
	if s.From == "" || s.To == "" || s.Context == "" {
		return Send{}, errNoPair
	}
	type result struct {
		send Send
		err  error
	}
	done := make(chan result, 1)
	e.post(func() {
		if e.draining {
			done <- result{err: errNotTaken}
			return
		}
		s.ID, s.CreatedAt = newID(), e.now
		s.Category = orDefault(s.Category, CategoryNotification)
		s.Priority = orDefault(s.Priority, s.Category.Priority())
		s.Key = orDefault(s.Key, s.ID.String())
		e.insert(s, func(s Send, err error) { done <- result{s, err} })
	})
	select {
	case r := <-done:
		return r.send, r.err
	case <-ctx.Done():
		return Send{}, ctx.Err()
	}
}

// insert journals a send that is complete.
func (e *Engine) insert(s Send, reply func(Send, error)) {
	f := e.out.newFlight(e, &Outgoing{Send: s}, nil)
	e.journal.enqueue(&enqueuing{Enqueue: &Enqueue{Outgoing: f.out}, flight: f, reply: reply})
}

// enqueued follows the commit of an Enqueue.
func (e *Engine) enqueued(q *enqueuing) {
	if !q.Outgoing.Inserted {
		e.out.discard(e, []*flight{q.flight})
		switch {
		case q.Conflict:
			q.reply(Send{}, ErrValueChanged)
		case q.Existing != nil:
			q.reply(q.Existing.Shown(), nil)
		default:
			q.reply(Send{}, ErrKeyUsed)
		}
		return
	}
	e.out.committed(e, q.flight)
	q.reply(q.Outgoing.Shown(), nil)
}
