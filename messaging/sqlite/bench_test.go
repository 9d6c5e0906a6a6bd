package sqlite_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/messagingtest"
	"github.com/signpost-sms/signpost/messaging/sqlite"
)

func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

// traffic makes the batches of messages that are answered by a chain which ends before
// their append, and of the platform's answers.
type traffic struct {
	now      time.Time
	owner    uuid.UUID
	template *messaging.Event
}

func newTraffic() *traffic {
	return &traffic{
		now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), owner: newID(),
		template: messagingtest.NewMessage("support", "+12025550101", "+12025550100", "What are your hours on the day after tomorrow?"),
	}
}

func (f *traffic) batches(size int) (in, out *messaging.Batch) {
	f.now = f.now.Add(time.Millisecond)
	in = &messaging.Batch{ID: newID(), Owner: f.owner, Now: f.now}
	out = &messaging.Batch{ID: newID(), Owner: f.owner, Now: f.now}
	for range size {
		id := uuid.NewString() // as the platform's: in no order
		ev := *f.template
		ev.ID, ev.MessageID, ev.ReceivedAt = id, id, f.now
		o := f.send(&ev)
		in.Appends = append(in.Appends, &messaging.Append{Event: &ev, Outcome: &messaging.Outcome{Fate: messaging.FateDone, Sends: []*messaging.Outgoing{o}}})
		out.Reports = append(out.Reports, &messaging.Report{
			SendID: o.ID, AttemptID: o.Attempt.ID, Outcome: messaging.OutcomeAccepted, MessageID: uuid.NewString(), Status: messaging.StatusAccepted,
		})
	}
	return in, out
}

// send makes the claimed answer to an event.
func (f *traffic) send(ev *messaging.Event) *messaging.Outgoing {
	o := &messaging.Outgoing{
		Send: messaging.Send{
			ID: newID(), Key: ev.ID + "#0", InReplyTo: ev.ID, Context: "support", From: ev.To, To: ev.From, Body: "We're open Mon-Fri 9am-5pm",
			Priority: messaging.PriorityReply, Category: messaging.CategoryReply, ExpiresAt: f.now.Add(time.Hour), CreatedAt: f.now,
		},
		Status: messaging.StatusSending,
	}
	o.Attempt = &messaging.Attempt{ID: newID(), SendID: o.ID, Number: 1, ClaimedAt: f.now}
	return o
}

// BenchmarkCommit is the way of a message: its append with its outcome and its claimed
// send, then the answer, each in a batch with others. One operation is one message. The
// batches are as large as a quiet and as a full engine makes them, and the journal is
// empty or holds a million finished messages.
func BenchmarkCommit(b *testing.B) {
	for _, before := range []int{0, 1_000_000} {
		for _, size := range []int{64, 256, 1024} {
			b.Run(fmt.Sprintf("before=%d/batch=%d", before, size), func(b *testing.B) {
				if before > 0 && testing.Short() {
					b.Skip("filling the journal takes a minute")
				}
				path := filepath.Join(b.TempDir(), "journal.db")
				s, err := sqlite.Open(b.Context(), path, sqlite.Config{})
				if err != nil {
					b.Fatal(err)
				}
				defer func() { _ = s.Close() }()
				f := newTraffic()
				commit := func(batch *messaging.Batch) {
					if err := s.Commit(context.Background(), batch); err != nil {
						b.Fatal(err)
					}
				}
				for n := 0; n < before; n += 4096 {
					in, out := f.batches(4096)
					commit(in)
					commit(out)
				}
				b.ReportAllocs()
				b.ResetTimer()
				var used time.Duration
				for n := 0; n < b.N; n += size {
					b.StopTimer()
					in, out := f.batches(min(size, b.N-n))
					b.StartTimer()
					began := cpu()
					commit(in)
					commit(out)
					used += cpu() - began
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
				b.ReportMetric(float64(used.Nanoseconds())/float64(b.N), "cpu-ns/op")
				b.StopTimer()
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
				began := time.Now()
				if s, err = sqlite.Open(b.Context(), path, sqlite.Config{}); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(time.Since(began).Milliseconds()), "open-ms")
			})
		}
	}
}

// people gives numbers in no order, each once, from the one after a number of them.
func people(after, count int) []messaging.Number {
	all := make([]messaging.Number, count)
	for i := range all {
		n := uint64(after+i) * 6_364_136_223 % 10_000_000_000 // coprime to the number of numbers
		all[i] = messaging.Number(fmt.Sprintf("+1%010d", n))
	}
	return all
}

// changes makes a batch of the changes that a list of opt-outs brings.
func (f *traffic) changes(numbers []messaging.Number) *messaging.Batch {
	f.now = f.now.Add(time.Millisecond)
	b := &messaging.Batch{ID: newID(), Owner: f.owner, Now: f.now}
	for _, n := range numbers {
		b.Consents = append(b.Consents, &messaging.ConsentChange{
			Number: n, Verb: messaging.ConsentStop, Origin: messaging.OriginImport, Actor: "somebody", Note: "the list of the former provider",
		})
	}
	return b
}

// BenchmarkImport writes a list of numbers into the ledger, 1,000 in a batch, in no order and
// sorted, which touches fewer pages. One operation is one line.
func BenchmarkImport(b *testing.B) {
	for _, before := range []int{0, 1_000_000} {
		for _, sorted := range []bool{false, true} {
			b.Run(fmt.Sprintf("before=%d/sorted=%v", before, sorted), func(b *testing.B) {
				s, f := imported(b, before)
				list := people(before, b.N)
				if sorted {
					slices.Sort(list)
				}
				b.ReportAllocs()
				b.ResetTimer()
				var used time.Duration
				for page := range slices.Chunk(list, 1000) {
					b.StopTimer()
					batch := f.changes(page)
					b.StartTimer()
					began := cpu()
					if err := s.Commit(context.Background(), batch); err != nil {
						b.Fatal(err)
					}
					used += cpu() - began
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "lines/s")
				b.ReportMetric(float64(used.Nanoseconds())/float64(b.N), "cpu-ns/op")
			})
		}
	}
}

// imported opens a journal with a list in it.
func imported(b *testing.B, lines int) (*sqlite.Store, *traffic) {
	b.Helper()
	if lines > 0 && testing.Short() {
		b.Skip("writing the list takes half a minute")
	}
	s, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "journal.db"), sqlite.Config{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	f := newTraffic()
	list := people(0, lines)
	slices.Sort(list)
	for page := range slices.Chunk(list, 1000) {
		if err := s.Commit(context.Background(), f.changes(page)); err != nil {
			b.Fatal(err)
		}
	}
	return s, f
}

// BenchmarkConsents asks a ledger of a million numbers: where one stands, all that was said
// of it, and a page of 1,000 states.
func BenchmarkConsents(b *testing.B) {
	const lines = 1_000_000
	s, _ := imported(b, lines)
	list := people(0, lines)
	must := func(b *testing.B, n, want int, err error) {
		if n != want || err != nil {
			b.Fatalf("%d rows (%v), want %d", n, err, want)
		}
	}
	b.Run("ConsentOf", func(b *testing.B) {
		for n := 0; b.Loop(); n++ {
			found, err := s.ConsentOf(context.Background(), list[n%lines])
			must(b, len(found), 1, err)
		}
	})
	b.Run("EntriesOf", func(b *testing.B) {
		for n := 0; b.Loop(); n++ {
			found, err := s.Entries(context.Background(), messaging.LedgerQuery{Number: list[n%lines]})
			must(b, len(found), 1, err)
		}
	})
	b.Run("Consents", func(b *testing.B) {
		for after := int64(0); b.Loop(); after = (after + 1000) % lines {
			found, err := s.Consents(context.Background(), after, 1000)
			must(b, len(found), 1000, err)
		}
	})
}
