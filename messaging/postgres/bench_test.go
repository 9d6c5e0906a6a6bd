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

// BenchmarkCommit commits what a busy daemon does: in each batch new events, the outcomes
// of the events before them with a claimed reply each, and the answers to the replies before
// those.
func BenchmarkCommit(b *testing.B) {
	for _, size := range []int{16, 64, 256} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s, _ := benched(b)
			owner := uuid.Must(uuid.NewV7())
			var events []*messaging.Event
			var outs []*messaging.Outgoing
			id := func() uuid.UUID { return uuid.Must(uuid.NewV7()) }
			frame := make([]byte, 590)
			n := 0
			b.ResetTimer()
			for b.Loop() {
				now := time.Now()
				batch := &messaging.Batch{ID: id(), Owner: owner, Now: now}
				for _, out := range outs {
					batch.Reports = append(batch.Reports, &messaging.Report{
						SendID: out.ID, AttemptID: out.Attempt.ID, Outcome: messaging.OutcomeAccepted, MessageID: out.ID.String(), Status: messaging.StatusAccepted,
					})
				}
				outs = outs[:0]
				for _, ev := range events {
					sid := id()
					out := &messaging.Outgoing{
						Send: messaging.Send{
							ID: sid, Key: ev.ID + "#0", Context: "support", From: ev.To, To: ev.From, Body: "You said: " + ev.Body,
							Priority: messaging.PriorityReply, Category: messaging.CategoryReply, ExpiresAt: now.Add(time.Hour), InReplyTo: ev.ID, CreatedAt: now,
						},
						Attempt: &messaging.Attempt{ID: id(), SendID: sid, Number: 1, ClaimedAt: now}, Status: messaging.StatusSending,
					}
					outs = append(outs, out)
					batch.Settles = append(batch.Settles, &messaging.Settle{Event: ev, Outcome: &messaging.Outcome{Fate: messaging.FateDone, Sends: []*messaging.Outgoing{out}}})
				}
				events = events[:0]
				for range size {
					n++
					ev := &messaging.Event{
						ID: id().String(), Kind: messaging.KindMessage, Context: "support", From: messaging.Number(fmt.Sprintf("+1202555%04d", n%1000)),
						To: "+12025550100", Body: "Hello, what are your opening hours please?", ReceivedAt: now, SentAt: now, Frame: frame,
					}
					ev.MessageID = ev.ID
					events = append(events, ev)
					batch.Appends = append(batch.Appends, &messaging.Append{Event: ev})
				}
				if err := s.Commit(context.Background(), batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "messages/s")
		})
	}
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
