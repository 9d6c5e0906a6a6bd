package messaging

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// statusEvery is how old a published Status may grow; a scrape or a readiness check is not
// more frequent than that.
const statusEvery = time.Second

// EngineStatus is a snapshot of the engine, at most about a second old.
type EngineStatus struct {
	At time.Time // when it was taken; a live engine renews it every second

	JournalWritable bool
	JournalError    string // why not
	Draining        bool
	Spilling        bool // events wait in the store because memory is full, or a former process left them

	UnjournaledBytes int64 // frames that wait for the store
	HeldBytes        int64 // journaled events that wait in memory
	HandlersRunning  int64
	HandlersHung     int64 // given up and not returned

	SendsQueued     int
	SendsUnanswered int
	InDoubt         int

	// The accounting identity since the start of the process, for what arrived and what was
	// taken out of the store: Received = Answered +
	// NothingWanted + Suppressed + Expired + Failed + Dead + Waiting, where Waiting are the
	// inbounds with a handler or a reply still to come, doubts included. Unaccounted is the
	// difference, and it is 0.
	Received, Duplicates                                                int64
	Answered, NothingWanted, Suppressed, Expired, Failed, Dead, Waiting int64
	Unaccounted                                                         int64
}

// Status tells how the engine is doing. It may be called at any time and never blocks.
func (e *Engine) Status() EngineStatus {
	s := *e.publish.Load()
	s.UnjournaledBytes = e.unjournaled.Load()
	s.HandlersRunning, s.HandlersHung = e.running.Load(), e.abandoned.Load()
	return s
}

// refresh publishes the state of the engine's goroutine.
func (e *Engine) refresh() {
	e.published = e.now
	c := &e.tallies
	s := &EngineStatus{
		At:              e.now,
		JournalWritable: e.journal.healthy,
		Draining:        e.draining,
		Spilling:        e.spill.on,
		HeldBytes:       e.held,
		SendsQueued:     e.out.live - e.out.unanswered - e.out.doubting,
		SendsUnanswered: e.out.unanswered,
		InDoubt:         e.out.doubting + e.out.forgotten,
		Received:        c.received, Duplicates: c.duplicates,
		Answered: c.answered, NothingWanted: c.nothing, Suppressed: c.suppressed, Expired: c.expired,
		Failed: c.failed, Dead: c.dead, Waiting: c.open + c.waiting,
	}
	s.Unaccounted = s.Received - s.Answered - s.NothingWanted - s.Suppressed - s.Expired - s.Failed - s.Dead - s.Waiting
	if e.journal.why != nil {
		s.JournalError = e.journal.why.Error()
	}
	e.publish.Store(s)
	e.debug = e.cfg.Logger.Enabled(background, slog.LevelDebug)
	e.cfg.Metrics.waiting(e.oldestWaiting(), e.now)
}

// oldestWaiting finds, by priority, since when the oldest send waits to leave.
func (e *Engine) oldestWaiting() (since [PriorityBulk + 1]time.Time) {
	for _, t := range e.conv {
		for _, f := range t.sends {
			if s := &since[f.out.Priority]; s.IsZero() || f.out.CreatedAt.Before(*s) {
				*s = f.out.CreatedAt
			}
		}
	}
	return since
}

var (
	errNoPair   = errors.New("a send needs From, To and Context: From is one of your numbers, Context one that the daemon subscribes to")
	errNotTaken = errors.New("messaging: the engine is draining; send again to the next process")
)

// Enqueue journals a send that no inbound asked for and returns it as stored. A second
// call with the same Key returns the first one's send and sends nothing. It returns once
// the send is as durable as the store makes it; whether it has left is told by its states.
func (e *Engine) Enqueue(ctx context.Context, s Send) (Send, error) {
	if s.Body == "" && len(s.Media) == 0 {
		return Send{}, errEmptySend
	}
	if s.From == "" || s.To == "" || s.Context == "" {
		return Send{}, errNoPair
	}
	if s.Priority > PriorityBulk {
		return Send{}, errPriority
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
		f := e.out.newFlight(e, &Outgoing{Send: s}, nil)
		e.journal.enqueue(&enqueuing{
			Enqueue: &Enqueue{Outgoing: f.out}, flight: f,
			reply: func(s Send, err error) { done <- result{s, err} },
		})
	})
	select {
	case r := <-done:
		return r.send, r.err
	case <-ctx.Done():
		return Send{}, ctx.Err()
	}
}

// enqueued follows the commit of an Enqueue.
func (e *Engine) enqueued(q *enqueuing) {
	if !q.Outgoing.Inserted {
		e.out.discard(e, []*flight{q.flight})
		if q.Existing != nil {
			q.reply(*q.Existing, nil)
		} else {
			q.reply(Send{}, errors.New("a send with this key exists and is too old to be shown"))
		}
		return
	}
	e.out.committed(e, q.flight)
	q.reply(q.Outgoing.Send, nil)
}
