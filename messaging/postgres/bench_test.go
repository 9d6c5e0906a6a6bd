package postgres_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
)

// BenchmarkCommit commits what a busy daemon does: in each batch new events, the outcomes
// of the events before them with a claimed reply each, and the answers to the replies before
// those.
func BenchmarkCommit(b *testing.B) {
	for _, size := range []int{16, 64, 256} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			at := schema(b)
			s := open(b, at.url)
			b.Cleanup(func() {
				if err := s.Close(); err != nil {
					b.Error(err)
				}
				at.giveBack(b)
			})
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
