package memory

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
)

// Load implements messaging.Store. Everything belongs to one owner here, so Query.Owner is
// not asked.
func (s *Store) Load(ctx context.Context, q messaging.Query) (*messaging.Work, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("load unfinished work: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w := &messaging.Work{}
	if q.Events {
		for e := s.firstEvent; e != nil && len(w.Events) < q.Limit; e = e.next {
			if e.ev.Seq <= q.AfterSeq {
				continue
			}
			ev := e.ev
			w.Events = append(w.Events, &messaging.Unfinished{Event: &ev, RetryAt: e.retryAt})
		}
	}
	if !q.Sends && !q.Doubts {
		return w, nil
	}
	for d := s.firstSend; d != nil; d = d.next {
		switch {
		case q.Sends && d.status == messaging.StatusQueued:
			switch due := !d.NotBefore.After(q.Now); {
			case due && len(w.Sends) < q.Limit:
				w.Sends = append(w.Sends, d.outgoing())
			case !due && (w.NextDue.IsZero() || d.NotBefore.Before(w.NextDue)):
				w.NextDue = d.NotBefore
			}
		case q.Doubts && d.pending() && !d.settled && len(w.Doubts) < q.Limit:
			w.Doubts = append(w.Doubts, &messaging.Doubt{Attempt: d.attempt, Send: d.Send, Outcome: d.outcome, Since: d.since})
		}
	}
	return w, nil
}

// outgoing gives a queued send as Load does: with its newest attempt, if it had one, so
// that the next one is numbered after it.
func (d *send) outgoing() *messaging.Outgoing {
	o := &messaging.Outgoing{Send: d.Send, Status: d.status, Reason: d.reason}
	if d.attempt.ID != uuid.Nil {
		a := d.attempt
		o.Attempt = &a
	}
	return o
}
