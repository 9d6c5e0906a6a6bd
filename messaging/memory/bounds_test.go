package memory_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/memory"
	"github.com/signpost-sms/signpost/messaging/messagingtest"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func commit(t testing.TB, s messaging.Store, b *messaging.Batch) {
	t.Helper()
	if err := try(s, b); err != nil {
		t.Fatalf("Commit: %v", err)
	}
}

func try(s messaging.Store, b *messaging.Batch) error {
	b.ID = newID()
	b.Now = start
	return s.Commit(context.Background(), b)
}

func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

func message(body string) *messaging.Event {
	return messagingtest.NewMessage("support", "+12025550101", "+12025550100", body)
}

func send(body string) *messaging.Outgoing {
	return &messaging.Outgoing{
		Send:   messaging.Send{ID: newID(), Context: "support", From: "+12025550100", To: "+12025550101", Body: body},
		Status: messaging.StatusQueued,
	}
}

func claimed(body string) *messaging.Outgoing {
	o := send(body)
	o.Status = messaging.StatusSending
	o.Attempt = &messaging.Attempt{ID: newID(), SendID: o.ID, Number: 1, ClaimedAt: start}
	return o
}

func done(outs ...*messaging.Outgoing) *messaging.Outcome {
	return &messaging.Outcome{Fate: messaging.FateDone, Sends: outs}
}

func TestOldestIDsAreForgotten(t *testing.T) {
	t.Parallel()
	s := memory.New(memory.Config{MaxIDs: 100})
	waiting := message("waiting")
	commit(t, s, &messaging.Batch{Appends: []*messaging.Append{{Event: waiting}}})
	var events []*messaging.Event
	for range 150 {
		ev := message("x")
		events = append(events, ev)
		commit(t, s, &messaging.Batch{Appends: []*messaging.Append{{Event: ev, Outcome: done()}}})
	}
	fresh := func(ev *messaging.Event) bool {
		a := &messaging.Append{Event: ev, Outcome: done()}
		commit(t, s, &messaging.Batch{Appends: []*messaging.Append{a}})
		return a.Fresh
	}
	if fresh(events[50]) || fresh(events[149]) {
		t.Error("one of the last 100 ids is forgotten")
	}
	if !fresh(events[49]) {
		t.Error("the id before the last 100 is remembered")
	}
	if fresh(waiting) {
		t.Error("the id of an unfinished event is forgotten")
	}
}

func TestOldestKeysAreForgotten(t *testing.T) {
	t.Parallel()
	s := memory.New(memory.Config{MaxKeys: 100})
	insert := func(n int) bool {
		o := send("x")
		o.Key = fmt.Sprint(n)
		commit(t, s, &messaging.Batch{Enqueues: []*messaging.Enqueue{{Outgoing: o}}})
		return o.Inserted
	}
	for n := range 150 {
		if !insert(n) {
			t.Fatalf("key %d is taken", n)
		}
	}
	if insert(50) || insert(149) {
		t.Error("one of the last 100 keys is forgotten")
	}
	if !insert(49) {
		t.Error("the key before the last 100 is remembered")
	}
}

func TestOldestAttemptsAreForgotten(t *testing.T) {
	t.Parallel()
	s := memory.New(memory.Config{MaxAttempts: 100})
	open := claimed("open")
	commit(t, s, &messaging.Batch{Enqueues: []*messaging.Enqueue{{Outgoing: open}}})
	var outs []*messaging.Outgoing
	for n := range 150 {
		o := claimed("x")
		outs = append(outs, o)
		commit(t, s, &messaging.Batch{Enqueues: []*messaging.Enqueue{{Outgoing: o}}})
		commit(t, s, &messaging.Batch{Reports: []*messaging.Report{{
			SendID: o.ID, AttemptID: o.Attempt.ID, Outcome: messaging.OutcomeAccepted, MessageID: fmt.Sprint("SM", n), Status: messaging.StatusAccepted,
		}}})
	}
	state := func(messageID string, tags ...string) *messaging.Merge {
		ev := messagingtest.NewState("support", messageID, "+12025550100", "+12025550101", messaging.StateSent, tags...)
		a := &messaging.Append{Event: ev, Outcome: done()}
		commit(t, s, &messaging.Batch{Appends: []*messaging.Append{a}})
		return a.Merge
	}
	if m := state("SM50"); m == nil || m.Ref.ID != outs[50].ID {
		t.Errorf("state of one of the last 100 by message id: %+v", m)
	}
	if m := state("other", outs[51].Attempt.Tag()); m == nil || m.Ref.ID != outs[51].ID {
		t.Errorf("state of one of the last 100 by tag: %+v", m)
	}
	if m := state("SM49"); m != nil {
		t.Errorf("state of a forgotten attempt by message id: %+v, want nil", m)
	}
	if m := state("SM48", outs[48].Attempt.Tag()); m != nil {
		t.Errorf("state of a forgotten attempt by tag: %+v, want nil", m)
	}
	if m := state("SM-open", open.Attempt.Tag()); m == nil || m.Ref.ID != open.ID {
		t.Errorf("state of an attempt that is still open: %+v", m)
	}
}

func TestFull(t *testing.T) {
	t.Parallel()
	s := memory.New(memory.Config{MaxBytes: 100 << 10})
	big := strings.Repeat("x", 10<<10)
	var held []*messaging.Event
	for {
		ev := message(big)
		err := try(s, &messaging.Batch{Appends: []*messaging.Append{{Event: ev}}})
		if errors.Is(err, messaging.ErrFull) {
			break
		}
		if err != nil {
			t.Fatalf("Commit: %v", err)
		}
		if held = append(held, ev); len(held) > 20 {
			t.Fatal("20 events of 20 KiB went into a store of 100")
		}
	}
	full := func(what string, b *messaging.Batch) {
		t.Helper()
		if err := try(s, b); !errors.Is(err, messaging.ErrFull) {
			t.Errorf("%s: %v, want ErrFull", what, err)
		}
	}
	taken := func(what string, b *messaging.Batch) {
		t.Helper()
		if err := try(s, b); err != nil {
			t.Errorf("%s: %v, want no error", what, err)
		}
	}
	var filler []*messaging.Outgoing
	for {
		o := send(big)
		if err := try(s, &messaging.Batch{Enqueues: []*messaging.Enqueue{{Outgoing: o}}}); errors.Is(err, messaging.ErrFull) {
			break
		} else if err != nil {
			t.Fatalf("Commit: %v", err)
		}
		filler = append(filler, o)
	}
	if len(held)+len(filler) > 10 {
		t.Errorf("%d events of 20 KiB and %d sends of 10 went into a store of 100", len(held), len(filler))
	}
	full("another send", &messaging.Batch{Enqueues: []*messaging.Enqueue{{Outgoing: send(big)}}})
	full("an early outcome with a send", &messaging.Batch{Appends: []*messaging.Append{{Event: message("x"), Outcome: done(send(big))}}})
	dup := &messaging.Append{Event: held[0]}
	taken("a duplicate", &messaging.Batch{Appends: []*messaging.Append{dup}})
	if dup.Fresh {
		t.Error("a duplicate is fresh")
	}
	taken("an event that needs no room", &messaging.Batch{Appends: []*messaging.Append{{Event: message(big), Outcome: done()}}})
	taken("a retry", &messaging.Batch{Settles: []*messaging.Settle{{Event: held[0], Outcome: &messaging.Outcome{Fate: messaging.FateRetry}}}})
	answer := send(big)
	taken("a settle with a send", &messaging.Batch{Settles: []*messaging.Settle{{Event: held[0], Outcome: done(answer)}}})
	full("an event in place of one that left a send", &messaging.Batch{Appends: []*messaging.Append{{Event: message(big)}}})
	taken("a settle without a send", &messaging.Batch{Settles: []*messaging.Settle{{Event: held[1], Outcome: done()}}})
	taken("an event in its place", &messaging.Batch{Appends: []*messaging.Append{{Event: message(big)}}})
	full("a second event in its place", &messaging.Batch{Appends: []*messaging.Append{{Event: message(big)}}})
	taken("a claim that ends the send", &messaging.Batch{Claims: []*messaging.Claim{{SendID: answer.ID, Status: messaging.StatusExpired}}})
	taken("a send in its place", &messaging.Batch{Enqueues: []*messaging.Enqueue{{Outgoing: send(big)}}})
}

func TestTooLargeBlamesContent(t *testing.T) {
	t.Parallel()
	s := memory.New(memory.Config{MaxBytes: 16 << 10})
	half := strings.Repeat("x", 6<<10)
	for what, b := range map[string]*messaging.Batch{
		"one event":     {Appends: []*messaging.Append{{Event: message(half + half + half)}}},
		"one send":      {Enqueues: []*messaging.Enqueue{{Outgoing: send(half + half + half)}}},
		"three at once": {Enqueues: []*messaging.Enqueue{{Outgoing: send(half)}, {Outgoing: send(half)}, {Outgoing: send(half)}}},
	} {
		// To wait for room would be to wait for ever; the engine takes the batch apart.
		if err := try(s, b); err == nil || errors.Is(err, messaging.ErrFull) || errors.Is(err, messaging.ErrUnavailable) {
			t.Errorf("%s: %v, want an error that blames the batch", what, err)
		}
	}
	commit(t, s, &messaging.Batch{Enqueues: []*messaging.Enqueue{{Outgoing: send(half)}, {Outgoing: send(half)}}})
}

func TestReusedBatchIDIsRefused(t *testing.T) {
	t.Parallel()
	s := memory.New(memory.Config{})
	b := &messaging.Batch{ID: newID(), Now: start, Appends: []*messaging.Append{{Event: message("x")}}}
	if err := s.Commit(t.Context(), b); err != nil {
		t.Fatalf("Commit: %v", err)
	}
	b.Appends = append(b.Appends, &messaging.Append{Event: message("y")})
	if err := s.Commit(t.Context(), b); err == nil {
		t.Error("another batch under the same id: no error")
	}
}

// TestMemoryIsFlat_R48 sends far more through a store than it may remember.
func TestMemoryIsFlat_R48(t *testing.T) {
	const most = 1000
	s := memory.New(memory.Config{MaxBytes: 1 << 20, MaxIDs: most, MaxKeys: most, MaxAttempts: most})
	n := 0
	work := func(messages int) {
		for range messages {
			n++
			o := claimed("hello")
			o.Key = fmt.Sprint(n)
			commit(t, s, &messaging.Batch{Appends: []*messaging.Append{{Event: message("x"), Outcome: done(o)}}})
			commit(t, s, &messaging.Batch{Reports: []*messaging.Report{{
				SendID: o.ID, AttemptID: o.Attempt.ID, Outcome: messaging.OutcomeAccepted, MessageID: fmt.Sprint("SM", n), Status: messaging.StatusAccepted,
			}}})
			// Of a stranger's message, kept for a report that never comes.
			ev := messagingtest.NewState("support", fmt.Sprint("stranger", n), "+12025550100", "+12025550101", messaging.StateSent)
			commit(t, s, &messaging.Batch{Appends: []*messaging.Append{{Event: ev, Outcome: done()}}})
			dead(t, s, "no use")
			again := accepted(t, s, "again")
			fail(t, s, again)
			commit(t, s, &messaging.Batch{Claims: []*messaging.Claim{{SendID: again.ID, Status: messaging.StatusExpired}}})
		}
	}
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	work(2 * most)
	before := heap()
	work(10 * most)
	if grown := heap() - before; grown > 200<<10 {
		t.Errorf("the heap grew by %d KiB over %d messages", grown>>10, 10*most)
	}
	runtime.KeepAlive(s)
}
