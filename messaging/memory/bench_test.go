package memory_test

import (
	"context"
	"strconv"
	"testing"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/memory"
)

// BenchmarkCommit is the way of a message whose chain ends before its append: 64 of them
// with a claimed send each in one batch, then their 64 answers in another. One operation
// is one message, so three of the store's: append, insert, report.
func BenchmarkCommit(b *testing.B) {
	const size = 64
	ctx := context.Background()
	s := memory.New(memory.Config{})
	template := message("What are your hours on the day after tomorrow?")
	var batches []*messaging.Batch
	for n := 0; n < b.N; {
		in, out := &messaging.Batch{ID: newID(), Now: start}, &messaging.Batch{ID: newID(), Now: start}
		for range min(size, b.N-n) {
			n++
			id := "6f1f9c1e-7a0d-4a2e-9a58-" + strconv.Itoa(100_000_000_000+n)
			ev := *template
			ev.ID, ev.MessageID = id, id
			o := claimed("We're open Mon-Fri 9am-5pm")
			o.Key, o.InReplyTo = id+"#0", id
			in.Appends = append(in.Appends, &messaging.Append{Event: &ev, Outcome: done(o)})
			out.Reports = append(out.Reports, &messaging.Report{
				SendID: o.ID, AttemptID: o.Attempt.ID, Outcome: messaging.OutcomeAccepted, MessageID: "out" + id, Status: messaging.StatusAccepted,
			})
		}
		batches = append(batches, in, out)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i, batch := range batches {
		if err := s.Commit(ctx, batch); err != nil {
			b.Fatal(err)
		}
		batches[i] = nil // as the engine lets go of it
	}
}

// BenchmarkDuplicate is a redelivery storm.
func BenchmarkDuplicate(b *testing.B) {
	s := memory.New(memory.Config{})
	batch := &messaging.Batch{Now: start}
	for range 64 {
		batch.Appends = append(batch.Appends, &messaging.Append{Event: message("x"), Outcome: done()})
	}
	b.ReportAllocs()
	for n := 0; n < b.N; n += 64 {
		if err := s.Commit(context.Background(), batch); err != nil {
			b.Fatal(err)
		}
	}
}
