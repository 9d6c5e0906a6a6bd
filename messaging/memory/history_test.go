package memory_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/memory"
	"github.com/signpost-sms/signpost/messaging/messagingtest"
)

const kilobyte = 1 << 10

// dead commits a dead letter.
func dead(t testing.TB, s messaging.Store, body string) *messaging.Event {
	t.Helper()
	ev := message(body)
	commit(t, s, &messaging.Batch{Appends: []*messaging.Append{{Event: ev, Outcome: &messaging.Outcome{Fate: messaging.FateDead}}}})
	return ev
}

// replay asks for a dead letter's second life and gives its event.
func replay(t testing.TB, s messaging.Store, ev *messaging.Event) *messaging.Event {
	t.Helper()
	v := &messaging.Revive{EventID: ev.ID}
	commit(t, s, &messaging.Batch{Revives: []*messaging.Revive{v}})
	return v.Event
}

// accepted commits a send that the platform took.
func accepted(t testing.TB, s messaging.Store, body string) *messaging.Outgoing {
	t.Helper()
	o := claimed(body)
	commit(t, s, &messaging.Batch{Enqueues: []*messaging.Enqueue{{Outgoing: o}}})
	commit(t, s, &messaging.Batch{Reports: []*messaging.Report{{
		SendID: o.ID, AttemptID: o.Attempt.ID, Outcome: messaging.OutcomeAccepted, MessageID: "SM" + o.ID.String(), Status: messaging.StatusAccepted,
	}}})
	return o
}

// fail commits the failed delivery of a send that may be tried again.
func fail(t testing.TB, s messaging.Store, o *messaging.Outgoing) *messaging.Merge {
	t.Helper()
	a := &messaging.Append{
		Event:     messagingtest.NewState("support", "SM"+o.ID.String(), o.From, o.To, messaging.StateFailed),
		Outcome:   done(),
		Redeliver: &messaging.Redelivery{Attempts: 2, At: start},
	}
	commit(t, s, &messaging.Batch{Appends: []*messaging.Append{a}})
	return a.Merge
}

func knows(t testing.TB, s *memory.Store, id string) bool {
	t.Helper()
	_, err := s.Life(t.Context(), id)
	if err != nil && !errors.Is(err, messaging.ErrUnknown) {
		t.Fatalf("Life: %v", err)
	}
	return err == nil
}

func TestOldestDeadLettersAreForgotten(t *testing.T) {
	t.Parallel()
	s := memory.New(memory.Config{MaxBytes: 512 * kilobyte, MaxHistory: 256 * kilobyte}) // 64 of them for dead letters
	var letters []*messaging.Event
	for range 40 {
		letters = append(letters, dead(t, s, strings.Repeat("x", 4*kilobyte)))
	}
	alive := 0
	for i, ev := range letters {
		got := replay(t, s, ev)
		if got != nil {
			alive++
		}
		if alive > 0 && (got == nil || len(got.Frame) == 0 || got.Body != ev.Body) {
			t.Errorf("dead letter %d is forgotten, or not whole, after an older one was not", i)
		}
		a := &messaging.Append{Event: ev}
		commit(t, s, &messaging.Batch{Appends: []*messaging.Append{a}})
		if a.Fresh {
			t.Errorf("a dead letter's duplicate is fresh, forgotten or not")
		}
	}
	if alive < 4 || alive > 64/8 {
		t.Errorf("%d dead letters of 8 KiB were kept in 64 KiB", alive)
	}
}

func TestDeadLetterOutlivesItsID(t *testing.T) {
	t.Parallel()
	s := memory.New(memory.Config{MaxIDs: 10})
	ev := dead(t, s, "old")
	for range 20 {
		commit(t, s, &messaging.Batch{Appends: []*messaging.Append{{Event: message("x"), Outcome: done()}}})
	}
	a := &messaging.Append{Event: ev, Outcome: done()}
	commit(t, s, &messaging.Batch{Appends: []*messaging.Append{a}})
	if a.Fresh {
		t.Error("the id of a dead letter is forgotten")
	}
	if replay(t, s, ev) == nil {
		t.Error("the dead letter is forgotten")
	}
}

func TestForgottenTextIsNotSentAgain(t *testing.T) {
	t.Parallel()
	s := memory.New(memory.Config{MaxBytes: 256 * kilobyte, MaxHistory: 128 * kilobyte}) // 64 of them for sends
	old := accepted(t, s, "old")
	for range 8 {
		accepted(t, s, strings.Repeat("x", 8*kilobyte))
	}
	if m := fail(t, s, old); m == nil || m.Status != messaging.StatusFailed || m.Again != nil {
		t.Errorf("failure of a send whose text is forgotten: %+v, want it failed", m)
	}
	if knows(t, s, old.ID.String()) {
		t.Error("a send is remembered beyond the bound")
	}
	young := accepted(t, s, "young")
	for range 5 {
		accepted(t, s, strings.Repeat("x", 8*kilobyte))
	}
	if m := fail(t, s, young); m == nil || m.Again == nil || m.Again.Body != "young" {
		t.Errorf("failure of a send that is remembered: %+v, want it to go out again", m)
	}
}

// fill enqueues sends until the store is full, takes them back, and gives how many they were.
func fill(t testing.TB, s messaging.Store) (n int) {
	t.Helper()
	var claims []*messaging.Claim
	for {
		o := send(strings.Repeat("x", 2*kilobyte))
		err := try(s, &messaging.Batch{Enqueues: []*messaging.Enqueue{{Outgoing: o}}})
		if errors.Is(err, messaging.ErrFull) {
			break
		}
		if err != nil {
			t.Fatalf("Commit: %v", err)
		}
		claims = append(claims, &messaging.Claim{SendID: o.ID, Status: messaging.StatusCancelled})
	}
	commit(t, s, &messaging.Batch{Claims: claims})
	return len(claims)
}

func TestHistoryGivesWay(t *testing.T) {
	t.Parallel()
	cfg := memory.Config{MaxBytes: 256 * kilobyte, MaxHistory: 128 * kilobyte}
	room := fill(t, memory.New(cfg))
	s := memory.New(cfg)
	letter := dead(t, s, "dead")
	for range 20 {
		dead(t, s, strings.Repeat("x", kilobyte))
		accepted(t, s, strings.Repeat("x", 3*kilobyte))
		commit(t, s, &messaging.Batch{Appends: []*messaging.Append{{Event: message(strings.Repeat("x", kilobyte)), Outcome: done()}}})
	}
	out := accepted(t, s, "out")
	if !knows(t, s, out.ID.String()) {
		t.Fatal("a finished send is forgotten at once")
	}
	if n := fill(t, s); n != room {
		t.Errorf("with a history %d sends found room, without one %d", n, room)
	}
	if replay(t, s, letter) != nil || knows(t, s, out.ID.String()) {
		t.Error("the history did not give way to what is unfinished")
	}
}

// TestRoomComesBack does what moves things to the history and from it, and looks whether
// the room is counted right afterwards.
func TestRoomComesBack(t *testing.T) {
	t.Parallel()
	s := memory.New(memory.Config{MaxBytes: 256 * kilobyte, MaxHistory: 128 * kilobyte})
	room := fill(t, s)
	for i := range 50 {
		body := strings.Repeat("x", (i%4)*kilobyte)
		ev := replay(t, s, dead(t, s, body))
		commit(t, s, &messaging.Batch{Settles: []*messaging.Settle{{Event: ev, Outcome: done()}}})
		commit(t, s, &messaging.Batch{Revives: []*messaging.Revive{{EventID: dead(t, s, body).ID, Drop: true}}})
		o := accepted(t, s, body)
		if m := fail(t, s, o); m.Again == nil {
			t.Fatal("a failed send does not go out again")
		}
		commit(t, s, &messaging.Batch{Claims: []*messaging.Claim{{SendID: o.ID, Status: messaging.StatusExpired}}})
		if i%10 == 0 {
			if _, _, err := s.Forget(t.Context(), o.To); err != nil {
				t.Fatalf("Forget: %v", err)
			}
		}
		if n := fill(t, s); n != room {
			t.Fatalf("after %d rounds there is room for %d sends, at first for %d", i+1, n, room)
		}
	}
}

func TestLargerThanTheHistory(t *testing.T) {
	t.Parallel()
	s := memory.New(memory.Config{MaxBytes: 256 * kilobyte, MaxHistory: 8 * kilobyte})
	body := strings.Repeat("x", 6*kilobyte)
	ev, out := dead(t, s, body), accepted(t, s, body)
	if replay(t, s, ev) != nil {
		t.Error("a dead letter larger than the history lives again")
	}
	if m := fail(t, s, out); m == nil || m.Again != nil || m.Status != messaging.StatusFailed {
		t.Errorf("failure of a send larger than the history: %+v", m)
	}
	small := dead(t, s, "small")
	if replay(t, s, small) == nil {
		t.Error("a dead letter that finds room is forgotten")
	}
}

// BenchmarkRedeliver is a send that fails and goes out again.
func BenchmarkRedeliver(b *testing.B) {
	s := memory.New(memory.Config{})
	for range 20_000 { // others to find it among
		accepted(b, s, "hello")
	}
	b.ReportAllocs()
	for b.Loop() {
		o := accepted(b, s, "hello")
		if m := fail(b, s, o); m.Again == nil {
			b.Fatal("it does not go out again")
		}
		commit(b, s, &messaging.Batch{Claims: []*messaging.Claim{{SendID: o.ID, Status: messaging.StatusExpired}}})
	}
}
