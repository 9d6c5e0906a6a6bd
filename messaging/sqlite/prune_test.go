package sqlite

import (
	"io"
	"testing"
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

// prune calls Prune until it finds nothing, and returns how much it found.
func prune(t *testing.T, s *Store, before time.Time) int64 {
	t.Helper()
	var total int64
	for range 1000 {
		n, err := s.Prune(t.Context(), before)
		if err != nil {
			t.Fatalf("Prune: %v", err)
		}
		if n == 0 {
			return total
		}
		total += n
	}
	t.Fatal("Prune finds something to forget for ever")
	return 0
}

func count(t *testing.T, s *Store, query string) int64 {
	t.Helper()
	n, err := s.w.one(query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// finish commits messages that are answered and accepted.
func finish(t *testing.T, s *Store, now time.Time, messages int) (events []*messaging.Event, sends []*messaging.Outgoing) {
	t.Helper()
	in, out := batch(now), batch(now)
	for range messages {
		ev, o := message(now, "question"), claimed(now, "answer")
		in.Appends = append(in.Appends, &messaging.Append{Event: ev, Outcome: &messaging.Outcome{Fate: messaging.FateDone, Sends: []*messaging.Outgoing{o}}})
		out.Reports = append(out.Reports, &messaging.Report{
			SendID: o.ID, AttemptID: o.Attempt.ID, Outcome: messaging.OutcomeAccepted, MessageID: "SM" + o.ID.String(), Status: messaging.StatusAccepted,
		})
		events, sends = append(events, ev), append(sends, o)
	}
	commit(t, s, in)
	commit(t, s, out)
	return events, sends
}

const texts = `SELECT (SELECT count(*) FROM events WHERE body <> '' OR frame IS NOT NULL) + (SELECT count(*) FROM sends WHERE body <> '')`

func TestPruneForgetsTextsThenRows(t *testing.T) {
	t.Parallel()
	path := NewPath(t)
	s := small(openAt(t, path))
	const old = 2*100 + 10 // more than one call looks at
	events, sends := finish(t, s, start, old)
	now := start.Add(24 * time.Hour)
	finish(t, s, now, 5)

	if n := prune(t, s, start); n != 0 {
		t.Errorf("%d rows pruned that are not older than the time given", n)
	}
	if n, err := s.Prune(t.Context(), now); err != nil || n == 0 || n > 2*100 {
		t.Errorf("one call prunes %d rows (%v), want some, and at most 100 of each table", n, err)
	}
	prune(t, s, now)
	if n := count(t, s, texts); n != 10 {
		t.Errorf("%d texts are left, want those of the 5 younger messages and their answers", n)
	}
	if n := count(t, s, `SELECT count(*) FROM events`); n != old+5 {
		t.Errorf("%d events are left within the dedupe window, want %d", n, old+5)
	}
	fresh := func(ev *messaging.Event, key string) (bool, bool) {
		t.Helper()
		again, o := *ev, claimed(now, "second")
		o.Key = key
		b := batch(now)
		b.Appends = []*messaging.Append{{Event: &again, Outcome: &messaging.Outcome{Fate: messaging.FateDone}}}
		b.Enqueues = []*messaging.Enqueue{{Outgoing: o}}
		commit(t, s, b)
		return b.Appends[0].Fresh, o.Inserted
	}
	if ev, key := fresh(events[0], sends[0].Key); ev || key {
		t.Errorf("within the window the event is new: %v, its key: %v", ev, key)
	}

	now = start.Add(8 * 24 * time.Hour)
	commit(t, s, batch(now)) // the store has no clock but this
	prune(t, s, start.Add(time.Hour))
	if n := count(t, s, `SELECT count(*) FROM events`); n != 5 {
		t.Errorf("%d events are left behind the window, want the 5 younger ones", n)
	}
	if n := count(t, s, `SELECT count(*) FROM sends`); n != 5 {
		t.Errorf("%d sends are left behind the window, want the 5 younger ones", n)
	}
	if ev, key := fresh(events[0], sends[0].Key); !ev || !key {
		t.Errorf("behind the window the event is new: %v, its key: %v", ev, key)
	}
}

func TestPruneComesBackToStragglers(t *testing.T) {
	t.Parallel()
	s := small(openAt(t, NewPath(t)))
	waiting, queued := message(start, "waiting"), claimed(start, "queued")
	queued.Attempt, queued.Status = nil, messaging.StatusQueued
	b := batch(start)
	b.Appends = []*messaging.Append{{Event: waiting}}
	b.Enqueues = []*messaging.Enqueue{{Outgoing: queued}}
	commit(t, s, b)
	finish(t, s, start, 3)
	now := start.Add(time.Hour)
	if n := prune(t, s, now); n != 6 {
		t.Errorf("%d rows pruned, want 6", n)
	}
	if n := count(t, s, texts); n != 2 {
		t.Fatalf("%d texts are left, want those of the unfinished", n)
	}
	b = batch(now)
	b.Settles = []*messaging.Settle{{Event: waiting, Outcome: &messaging.Outcome{Fate: messaging.FateDone}}}
	b.Claims = []*messaging.Claim{{SendID: queued.ID, Status: messaging.StatusCancelled}}
	commit(t, s, b)
	if n := prune(t, s, now); n != 2 {
		t.Errorf("%d rows pruned once they were finished, want 2", n)
	}
	if n := count(t, s, texts); n != 0 {
		t.Errorf("%d texts are left", n)
	}
	if n := count(t, s, `SELECT count(*) FROM stragglers`); n != 0 {
		t.Errorf("%d stragglers are left", n)
	}
}

func TestNumbersAreNotGivenOutAgain(t *testing.T) {
	t.Parallel()
	path := NewPath(t)
	s := small(openAt(t, path))
	events, _ := finish(t, s, start, 3)
	now := start.Add(30 * 24 * time.Hour)
	commit(t, s, batch(now))
	prune(t, s, now)
	if n := count(t, s, `SELECT (SELECT count(*) FROM events) + (SELECT count(*) FROM sends)`); n != 0 {
		t.Fatalf("%d rows are left", n)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, path)
	more, _ := finish(t, s, now, 1)
	if more[0].Seq <= events[2].Seq {
		t.Errorf("the event after all were pruned has the number %d, want more than %d", more[0].Seq, events[2].Seq)
	}
}

// TestPruneKeepsTheIDsOfTheUnfinished prunes when a scheduled send and a waiting event are
// older than the window.
func TestPruneKeepsTheIDsOfTheUnfinished(t *testing.T) {
	t.Parallel()
	path := NewPath(t)
	s := small(openAt(t, path))
	s.background.Wait()
	waiting, scheduled := message(start, "waiting"), claimed(start, "scheduled")
	scheduled.Attempt, scheduled.Status = nil, messaging.StatusQueued
	b := batch(start)
	b.Appends = []*messaging.Append{{Event: waiting}}
	b.Enqueues = []*messaging.Enqueue{{Outgoing: scheduled}}
	commit(t, s, b)
	addIDs(t, s, 1000, 1000+3<<smallBits)
	now := start.Add(30 * 24 * time.Hour)
	commit(t, s, batch(now))
	prune(t, s, now)
	s.background.Wait()
	if n := len(s.ids.segments); n != 0 {
		t.Errorf("%d segments are left", n)
	}
	check := func() {
		t.Helper()
		again := *scheduled
		again.ID = newID()
		b := batch(now)
		ev := *waiting
		b.Appends = []*messaging.Append{{Event: &ev}}
		b.Enqueues = []*messaging.Enqueue{{Outgoing: &again}}
		commit(t, s, b)
		if b.Appends[0].Fresh || again.Inserted || b.Enqueues[0].Existing == nil {
			t.Errorf("the waiting event is new: %v, the scheduled key: %v", b.Appends[0].Fresh, again.Inserted)
		}
		if err := s.Verify(t.Context(), io.Discard); err != nil {
			t.Errorf("Verify: %v", err)
		}
	}
	check()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, path)
	check()
}

func TestPruneForgetsSegments(t *testing.T) {
	t.Parallel()
	s := small(openAt(t, NewPath(t)))
	s.background.Wait()
	addIDs(t, s, 0, 3<<smallBits)
	if len(s.ids.segments) < 2 {
		t.Fatalf("%d segments, want some", len(s.ids.segments))
	}
	now := start.Add(30 * 24 * time.Hour)
	commit(t, s, batch(now))
	if _, err := s.Prune(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	s.background.Wait()
	if n := count(t, s, `SELECT (SELECT count(*) FROM ids) + (SELECT count(*) FROM segments)`); n != 0 || len(s.ids.segments) != 0 {
		t.Errorf("%d rows of segments and %d segments are left", n, len(s.ids.segments))
	}
}
