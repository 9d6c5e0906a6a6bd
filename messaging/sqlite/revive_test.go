package sqlite

import (
	"testing"
	"time"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/messagingtest"
)

// bury commits events that are dead at once.
func bury(t *testing.T, s *Store, now time.Time, evs ...*messaging.Event) {
	t.Helper()
	b := batch(now)
	for _, ev := range evs {
		b.Appends = append(b.Appends, &messaging.Append{Event: ev, Outcome: &messaging.Outcome{Fate: messaging.FateDead, Attempt: 8, Err: "no use"}})
	}
	commit(t, s, b)
}

func revive(t *testing.T, s *Store, now time.Time, v *messaging.Revive) *messaging.Batch {
	t.Helper()
	b := batch(now)
	b.Revives = []*messaging.Revive{v}
	commit(t, s, b)
	return b
}

func TestRevive(t *testing.T) {
	t.Parallel()
	path := NewPath(t)
	s := openAt(t, path)
	replayed, dropped, done := message(start, "replayed"), message(start, "dropped"), message(start, "done")
	bury(t, s, start, replayed, dropped)
	b := batch(start)
	b.Appends = []*messaging.Append{{Event: done, Outcome: &messaging.Outcome{Fate: messaging.FateDone}}}
	commit(t, s, b)

	v := &messaging.Revive{EventID: replayed.ID}
	first := revive(t, s, start, v)
	if !v.Done || v.Event == nil || v.Event.Body != "replayed" || v.Event.Attempt != 0 || len(v.Event.Frame) == 0 || v.Event.Seq != replayed.Seq {
		t.Fatalf("a replay: Done %v, Event %+v", v.Done, v.Event)
	}
	if evs := events(t, s); len(evs) != 1 || evs[0].Event.ID != replayed.ID || !evs[0].RetryAt.IsZero() || evs[0].Event.Attempt != 0 {
		t.Errorf("unfinished after the replay: %+v", evs)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, path)
	v.Done, v.Event = false, nil
	commit(t, s, first)
	if !v.Done || v.Event == nil || v.Event.Body != "replayed" {
		t.Errorf("the batch that comes again: Done %v, Event %+v", v.Done, v.Event)
	}

	d := &messaging.Revive{EventID: dropped.ID, Drop: true}
	revive(t, s, start, d)
	if !d.Done || d.Event != nil {
		t.Errorf("a drop: Done %v, Event %+v; want true and none", d.Done, d.Event)
	}
	if n := count(t, s, `SELECT count(*) FROM events WHERE fate = 3`); n != 1 {
		t.Errorf("%d events are dropped, want 1", n)
	}
	for _, id := range []string{replayed.ID, dropped.ID, done.ID, "unheard of"} {
		for _, drop := range []bool{false, true} {
			v := &messaging.Revive{EventID: id, Drop: drop, Done: true, Event: done}
			revive(t, s, start, v)
			if v.Done || v.Event != nil {
				t.Errorf("Revive of %q, which is no dead letter: Done %v, Event %v", id, v.Done, v.Event)
			}
		}
	}
}

// TestRevivedIsPrunedInTheEnd revives a dead letter behind the mark to which texts were
// removed, before its own was.
func TestRevivedIsPrunedInTheEnd(t *testing.T) {
	t.Parallel()
	s := openAt(t, NewPath(t))
	ev := message(start, "slow")
	b := batch(start)
	b.Appends = []*messaging.Append{{Event: ev}}
	commit(t, s, b)
	now := start.Add(time.Hour)
	prune(t, s, now) // passes the unfinished one
	b = batch(now)
	b.Settles = []*messaging.Settle{{Event: ev, Outcome: &messaging.Outcome{Fate: messaging.FateDead}}}
	commit(t, s, b)
	v := &messaging.Revive{EventID: ev.ID}
	revive(t, s, now, v)
	if !v.Done {
		t.Fatal("the dead letter cannot be replayed")
	}
	prune(t, s, now)
	b = batch(now)
	b.Settles = []*messaging.Settle{{Event: ev, Outcome: &messaging.Outcome{Fate: messaging.FateDead}}}
	commit(t, s, b)
	if b.Settles[0].Lost {
		t.Fatal("the replayed event is not settled")
	}
	prune(t, s, now)
	if n := count(t, s, texts); n != 0 {
		t.Errorf("%d texts are left", n)
	}
	v = &messaging.Revive{EventID: ev.ID}
	if revive(t, s, now, v); v.Done {
		t.Error("a dead letter whose text was removed is replayed")
	}
	v.Drop = true
	if revive(t, s, now, v); !v.Done {
		t.Error("a dead letter whose text was removed cannot be dropped")
	}
}

// failed commits a claimed send, its acceptance and its failure, which asks for another try.
func failed(t *testing.T, s *Store, out *messaging.Outgoing, r *messaging.Redelivery) *messaging.Batch {
	t.Helper()
	b := batch(start)
	b.Enqueues = []*messaging.Enqueue{{Outgoing: out}}
	commit(t, s, b)
	b = batch(start)
	b.Appends = []*messaging.Append{{
		Event:     messagingtest.NewState("support", "SM"+out.Attempt.ID.String(), out.From, out.To, messaging.StateFailed, out.Attempt.Tag()),
		Outcome:   &messaging.Outcome{Fate: messaging.FateDone},
		Redeliver: r,
	}}
	commit(t, s, b)
	return b
}

func TestRedeliver(t *testing.T) {
	t.Parallel()
	path := NewPath(t)
	s := openAt(t, path)
	at := start.Add(time.Minute)
	out := claimed(start, "again")
	out.ExpiresAt = start.Add(time.Hour)
	b := failed(t, s, out, &messaging.Redelivery{Attempts: 2, At: at})
	check := func(m *messaging.Merge) {
		t.Helper()
		if m == nil || m.Status != messaging.StatusQueued || !m.Advanced || m.Again == nil {
			t.Fatalf("Merge is %+v, want it queued again", m)
		}
		if a := m.Again; a.ID != out.ID || a.Body != "again" || !a.NotBefore.Equal(at) || a.Status != messaging.StatusQueued || a.Attempt == nil || a.Attempt.ID != out.Attempt.ID {
			t.Errorf("Again is %+v", a)
		}
	}
	check(b.Appends[0].Merge)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, path)
	b.Appends[0].Merge = nil
	commit(t, s, b)
	check(b.Appends[0].Merge)

	w, err := s.Load(t.Context(), messaging.Query{Now: start, Sends: true})
	if err != nil || len(w.Sends) != 0 || !w.NextDue.Equal(at) {
		t.Errorf("before it is due: %+v (%v)", w, err)
	}
	if w, err = s.Load(t.Context(), messaging.Query{Now: at, Sends: true}); err != nil || len(w.Sends) != 1 || w.Sends[0].Attempt.Number != 1 {
		t.Fatalf("when it is due: %+v (%v)", w, err)
	}
	// What the first attempt still has to say changes nothing now, before the claim and after.
	message := b.Appends[0].Event.MessageID
	state := func(st messaging.State, want messaging.Status) {
		t.Helper()
		b := batch(at)
		b.Appends = []*messaging.Append{{Event: messagingtest.NewState("support", message, out.From, out.To, st)}}
		b.Reports = []*messaging.Report{{
			SendID: out.ID, AttemptID: out.Attempt.ID, Outcome: messaging.OutcomeAccepted, MessageID: "another id", Status: messaging.StatusAccepted,
		}}
		commit(t, s, b)
		if m := b.Appends[0].Merge; m == nil || m.Status != want || m.Advanced {
			t.Errorf("the first attempt is %s: %+v; want %s", st, m, want)
		}
		if m := b.Reports[0].Merge; m.Status != want || m.Advanced {
			t.Errorf("a report of the first attempt: %+v; want %s", m, want)
		}
		if m, err := s.w.one(`SELECT status FROM sends`); err != nil || statuses[m] != want {
			t.Errorf("the send is %s (%v), want %s", statuses[m], err, want)
		}
	}
	state(messaging.StateSent, messaging.StatusQueued)
	second := &messaging.Attempt{ID: newID(), SendID: out.ID, Number: 2, ClaimedAt: at}
	b = batch(at)
	b.Claims = []*messaging.Claim{{SendID: out.ID, Attempt: second, Status: messaging.StatusSending}}
	commit(t, s, b)
	if !b.Claims[0].Granted {
		t.Fatal("the send cannot be claimed again")
	}
	state(messaging.StateUndelivered, messaging.StatusSending)
	b = batch(at)
	b.Appends = []*messaging.Append{{
		Event:     messagingtest.NewState("support", "SM2", out.From, out.To, messaging.StateFailed, second.Tag()),
		Redeliver: &messaging.Redelivery{Attempts: 2, At: at},
	}}
	commit(t, s, b)
	if m := b.Appends[0].Merge; m == nil || m.Status != messaging.StatusFailed || m.Again != nil {
		t.Errorf("the last attempt that may be made fails: %+v", m)
	}
}

func TestRedeliverOnlyWhatMay(t *testing.T) {
	t.Parallel()
	at := start.Add(time.Minute)
	for name, c := range map[string]struct {
		prepare func(out *messaging.Outgoing)
		r       *messaging.Redelivery
	}{
		"too many attempts": {func(*messaging.Outgoing) {}, &messaging.Redelivery{Attempts: 1, At: at}},
		"expires then":      {func(o *messaging.Outgoing) { o.ExpiresAt = at }, &messaging.Redelivery{Attempts: 3, At: at}},
		"nobody asks":       {func(*messaging.Outgoing) {}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openAt(t, NewPath(t))
			out := claimed(start, "once")
			c.prepare(out)
			b := failed(t, s, out, c.r)
			if m := b.Appends[0].Merge; m == nil || m.Status != messaging.StatusFailed || m.Again != nil {
				t.Errorf("Merge is %+v, want it failed", m)
			}
		})
	}
}

func TestDeliveredIsNotRedelivered(t *testing.T) {
	t.Parallel()
	s := openAt(t, NewPath(t))
	out := claimed(start, "arrived")
	b := batch(start)
	b.Enqueues = []*messaging.Enqueue{{Outgoing: out}}
	commit(t, s, b)
	b = batch(start)
	for _, st := range []messaging.State{messaging.StateDelivered, messaging.StateFailed} {
		b.Appends = append(b.Appends, &messaging.Append{
			Event:     messagingtest.NewState("support", "SM1", out.From, out.To, st, out.Attempt.Tag()),
			Redeliver: &messaging.Redelivery{Attempts: 3, At: start},
		})
	}
	commit(t, s, b)
	for i, a := range b.Appends {
		if m := a.Merge; m.Status != messaging.StatusDelivered || m.Again != nil || m.Conflict != (i == 1) {
			t.Errorf("state %d: %+v", i, m)
		}
	}
}
