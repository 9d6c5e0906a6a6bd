package memory

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
)

// defaultLimit is how much of each kind a query without a limit finds.
const defaultLimit = 10_000

// Load implements messaging.Store. Everything belongs to one owner here, so Query.Owner is
// not asked.
func (s *Store) Load(ctx context.Context, q messaging.Query) (*messaging.Work, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("load unfinished work: %w", err)
	}
	if q.Limit <= 0 {
		q.Limit = defaultLimit
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w := &messaging.Work{}
	if q.Events {
		for e := s.firstEvent; e != nil && len(w.Events) < q.Limit; e = e.next {
			if e.ev.Seq <= q.AfterSeq {
				continue
			}
			w.Events = append(w.Events, &messaging.Unfinished{Event: e.copy(), RetryAt: e.retryAt})
		}
	}
	if q.Accepted {
		w.Accepted = s.accepted(q)
	}
	if !q.Sends && !q.Doubts {
		return w, nil
	}
	var due [1 << 8][]*send // by priority
	for d := s.firstSend; d != nil; d = d.next {
		switch {
		case q.Sends && d.status == messaging.StatusQueued:
			switch at := &due[d.Priority]; {
			case d.NotBefore.After(q.Now):
				if w.NextDue.IsZero() || d.NotBefore.Before(w.NextDue) {
					w.NextDue = d.NotBefore
				}
			case len(*at) < q.Limit:
				*at = append(*at, d)
			}
		case q.Doubts && d.pending() && !d.settled && d.seq > q.AfterDoubt && len(w.Doubts) < q.Limit:
			w.Doubts = append(w.Doubts, &messaging.Doubt{Seq: d.seq, Attempt: d.attempt, Send: d.Send, Outcome: d.outcome, Since: d.since})
		}
	}
	for _, some := range due {
		for _, d := range some[:min(len(some), q.Limit-len(w.Sends))] {
			w.Sends = append(w.Sends, d.outgoing())
		}
	}
	return w, nil
}

// accepted finds the remembered attempts that were accepted, in the order of their claims.
func (s *Store) accepted(q messaging.Query) []*messaging.Accepted {
	var found []*messaging.Accepted
	pair, since := s.hash.pair(q.Pair), q.Since.UnixNano()
	for pos := range s.tracks {
		t := &s.tracks[pos]
		if t.pair != pair || t.claimed < since || outcomes[t.outcome] != messaging.OutcomeAccepted {
			continue
		}
		found = append(found, &messaging.Accepted{
			Attempt: messaging.Attempt{
				ID: uuid.UUID(s.attempts.keys[pos]), SendID: t.send, Number: int(t.number),
				ClaimedAt: time.Unix(0, t.claimed).UTC(),
			},
			MessageID: t.messageID,
		})
	}
	slices.SortStableFunc(found, func(a, b *messaging.Accepted) int {
		return a.Attempt.ClaimedAt.Compare(b.Attempt.ClaimedAt)
	})
	return found[:min(len(found), q.Limit)]
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
