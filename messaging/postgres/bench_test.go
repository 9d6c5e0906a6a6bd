package postgres_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/postgres"
)

// benched opens a store for a benchmark.
func benched(b *testing.B) (*postgres.Store, place) {
	b.Helper()
	at := schema(b)
	s := open(b, at.url)
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
		at.giveBack(b)
	})
	return s, at
}

// BenchmarkCommit commits what a busy daemon does: in each batch new events and the answers to
// the replies of the batch before. The chains of pure handlers have run before the append;
// others are settled with their replies in the batch after it.
func BenchmarkCommit(b *testing.B) {
	for _, pure := range []bool{true, false} {
		for _, size := range []int{16, 64, 256} {
			b.Run(fmt.Sprintf("pure=%v/%d", pure, size), func(b *testing.B) {
				s, _ := benched(b)
				l := load{owner: id()}
				b.ResetTimer()
				for b.Loop() {
					if err := s.Commit(context.Background(), l.next(size, pure)); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "messages/s")
			})
		}
	}
}

func id() uuid.UUID { return uuid.Must(uuid.NewV7()) }

// load makes the batches of a busy daemon.
type load struct {
	owner uuid.UUID
	n     int
	ran   []*messaging.Event    // journaled without their outcomes
	outs  []*messaging.Outgoing // claimed without an answer
}

func (l *load) next(size int, pure bool) *messaging.Batch {
	b := &messaging.Batch{ID: id(), Owner: l.owner, Now: time.Now()}
	for _, out := range l.outs {
		b.Reports = append(b.Reports, &messaging.Report{
			SendID: out.ID, AttemptID: out.Attempt.ID, Outcome: messaging.OutcomeAccepted, MessageID: out.ID.String(), Status: messaging.StatusAccepted,
		})
	}
	l.outs = l.outs[:0]
	for _, ev := range l.ran {
		b.Settles = append(b.Settles, &messaging.Settle{Event: ev, Outcome: l.answer(ev, b.Now)})
	}
	l.ran = l.ran[:0]
	for range size {
		l.n++
		ev := &messaging.Event{
			ID: id().String(), Kind: messaging.KindMessage, Context: "support", From: messaging.Number(fmt.Sprintf("+1202555%04d", l.n%1000)),
			To: "+12025550100", Body: "Hello, what are your opening hours please?", ReceivedAt: b.Now, SentAt: b.Now, Frame: make([]byte, 590),
		}
		ev.MessageID = ev.ID
		ap := &messaging.Append{Event: ev}
		if b.Appends = append(b.Appends, ap); pure {
			ap.Outcome, ap.Early = l.answer(ev, b.Now), true
		} else {
			l.ran = append(l.ran, ev)
		}
	}
	return b
}

// answer is the outcome of a chain that replies.
func (l *load) answer(ev *messaging.Event, now time.Time) *messaging.Outcome {
	send := id()
	out := &messaging.Outgoing{
		Send: messaging.Send{
			ID: send, Key: ev.ID + "#0", Context: "support", From: ev.To, To: ev.From, Body: "You said: " + ev.Body,
			Priority: messaging.PriorityReply, Category: messaging.CategoryReply, ExpiresAt: now.Add(time.Hour), InReplyTo: ev.ID, CreatedAt: now,
		},
		Attempt: &messaging.Attempt{ID: id(), SendID: send, Number: 1, ClaimedAt: now}, Status: messaging.StatusSending,
	}
	l.outs = append(l.outs, out)
	return &messaging.Outcome{Fate: messaging.FateDone, Sends: []*messaging.Outgoing{out}}
}

// BenchmarkImport commits a list of people who opted out, in batches of 1,000.
func BenchmarkImport(b *testing.B) {
	s, _ := benched(b)
	owner := uuid.Must(uuid.NewV7())
	n := 0
	for b.Loop() {
		batch := &messaging.Batch{ID: uuid.Must(uuid.NewV7()), Owner: owner, Now: time.Now()}
		for range 1000 {
			n++
			batch.Consents = append(batch.Consents, &messaging.ConsentChange{
				Number: messaging.Number(fmt.Sprintf("+1%010d", 2020000000+n*7919%100000000)), Verb: messaging.ConsentStop, Origin: messaging.OriginImport,
				Actor: "somebody", Note: "the list of the former provider",
			})
		}
		if err := s.Commit(context.Background(), batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "lines/s")
}

// BenchmarkConsentOf asks where one person of a million stands.
func BenchmarkConsentOf(b *testing.B) {
	s, at := benched(b)
	const people = 1_000_000
	exec(b, fmt.Sprintf(`INSERT INTO %s.consents SELECT '+1' || (2020000000 + i), '', true, false, 1, i FROM generate_series(1, %d) i`, at.name, people))
	exec(b, `ANALYZE `+at.name+`.consents`)
	n := 0
	for b.Loop() {
		n = (n + 611_953) % people
		found, err := s.ConsentOf(context.Background(), messaging.Number(fmt.Sprint("+1", 2020000001+n)))
		if err != nil || len(found) != 1 {
			b.Fatalf("%d states, %v; want 1", len(found), err)
		}
	}
}
