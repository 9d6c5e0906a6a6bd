package messagingtest_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/memory"
	"github.com/signpost-sms/signpost/messaging/messagingtest"
)

func inbound() *messaging.Event {
	return messagingtest.NewMessage("support", "+12025550101", "+12025550100", "HOURS")
}

func TestRunRecordsWhatWasDecided(t *testing.T) {
	t.Parallel()
	var kept messaging.Responder
	ev := inbound()
	rec, err := messagingtest.Run(messaging.HandlerFunc(func(_ context.Context, w messaging.Responder, got *messaging.Event) error {
		if got != ev {
			t.Error("the handler was given another event")
		}
		w.Reply("one")
		w.Send(messaging.Send{To: "+12025550102", Body: "two"})
		w.ReplyMedia("", "https://example.com/a")
		kept = w
		return nil
	}), ev)
	if err != nil {
		t.Fatalf("Run: %v", err)
	}
	kept.Reply("after the handler returned")
	if got, want := rec.Replies(), []string{"one", ""}; !slices.Equal(got, want) {
		t.Errorf("Replies: %q, want %q", got, want)
	}
	want := []messaging.Send{
		{Body: "one", Category: messaging.CategoryReply},
		{To: "+12025550102", Body: "two"},
		{Media: []string{"https://example.com/a"}, Category: messaging.CategoryReply},
	}
	if d := cmp.Diff(want, rec.Sends()); d != "" {
		t.Errorf("Sends (-want +got):\n%s", d)
	}
}

func TestRunDiscardsOnError(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, c := range []struct {
		name string
		end  func(w messaging.Responder) error
		is   func(error) bool
	}{
		{"error", func(messaging.Responder) error { return broken }, func(err error) bool { return errors.Is(err, broken) }},
		{"panic", func(messaging.Responder) error { panic(broken) }, func(err error) bool {
			var p *messaging.PanicError
			return errors.As(err, &p) && errors.Is(err, broken) && len(p.Stack) > 0
		}},
		{"empty reply", func(w messaging.Responder) error { w.Reply(""); return nil }, messaging.IsDrop},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			rec, err := messagingtest.Run(messaging.HandlerFunc(func(_ context.Context, w messaging.Responder, _ *messaging.Event) error {
				w.Reply("never mind")
				return c.end(w)
			}), inbound())
			if !c.is(err) {
				t.Errorf("Run: %v", err)
			}
			if len(rec.Replies()) != 0 || len(rec.Sends()) != 0 {
				t.Errorf("after an error %d replies and %d sends are left", len(rec.Replies()), len(rec.Sends()))
			}
		})
	}
}

func TestEventsHaveFrames(t *testing.T) {
	t.Parallel()
	tag := (&messaging.Attempt{ID: uuid.Must(uuid.NewV7())}).Tag()
	msg := inbound()
	state := messagingtest.NewState("support", "SM1", "+12025550100", "+12025550101", messaging.StateSent, tag)
	if msg.ID != msg.MessageID || msg.ID == inbound().ID {
		t.Errorf("ID %q, MessageID %q", msg.ID, msg.MessageID)
	}
	if state.ID != "SM1/sent" {
		t.Errorf("ID of a state: %q", state.ID)
	}
	for _, ev := range []*messaging.Event{msg, state} {
		var f struct {
			Method string
			Params struct {
				EventType string `json:"event_type"`
				Context   string
				Params    struct {
					MessageID    string           `json:"message_id"`
					From         messaging.Number `json:"from_number"`
					To           messaging.Number `json:"to_number"`
					Body         string
					MessageState string `json:"message_state"`
					Tags         []string
				}
			}
		}
		if err := json.Unmarshal(ev.Frame, &f); err != nil {
			t.Fatalf("frame of a %v: %v", ev.Kind, err)
		}
		in := f.Params.Params
		if f.Method != "signalwire.event" || f.Params.Context != ev.Context || in.MessageID != ev.MessageID ||
			in.From != ev.From || in.To != ev.To || in.Body != ev.Body || !slices.Equal(in.Tags, ev.Tags) {
			t.Errorf("frame of a %v does not say what the event says: %s", ev.Kind, ev.Frame)
		}
		want := map[messaging.Kind][2]string{
			messaging.KindMessage: {"messaging.receive", "received"}, messaging.KindState: {"messaging.state", "sent"},
		}[ev.Kind]
		if got := [2]string{f.Params.EventType, in.MessageState}; got != want {
			t.Errorf("frame of a %v has type and state %q, want %q", ev.Kind, got, want)
		}
	}
}

func batchOf(ev *messaging.Event) *messaging.Batch {
	return &messaging.Batch{ID: uuid.Must(uuid.NewV7()), Now: time.Now(), Appends: []*messaging.Append{{Event: ev}}}
}

func TestFaultyFails(t *testing.T) {
	t.Parallel()
	s := messagingtest.Faulty(memory.New(memory.Config{}))
	s.FailNext(2, messaging.ErrUnavailable)
	s.LoseNext(1, messaging.ErrFull)
	b := batchOf(inbound())
	for i, want := range []error{messaging.ErrUnavailable, messaging.ErrUnavailable, messaging.ErrFull, nil} {
		b.Appends[0].Fresh = false
		if err := s.Commit(t.Context(), b); !errors.Is(err, want) {
			t.Errorf("commit %d: %v, want %v", i, err, want)
		}
		if got, want := b.Appends[0].Fresh, i >= 2; got != want {
			t.Errorf("commit %d: Fresh is %v, want %v", i, got, want)
		}
	}
	if s.Commits() != 1 || s.Failures() != 3 || s.Rows() != 1 {
		t.Errorf("%d commits, %d failures, %d rows; want 1, 3, 1", s.Commits(), s.Failures(), s.Rows())
	}

	s.FailNextLoads(1, messaging.ErrUnavailable)
	q := messaging.Query{Limit: 10, Events: true}
	if _, err := s.Load(t.Context(), q); !errors.Is(err, messaging.ErrUnavailable) {
		t.Errorf("Load: %v, want ErrUnavailable", err)
	}
	if w, err := s.Load(t.Context(), q); err != nil || len(w.Events) != 1 {
		t.Errorf("second Load: %v, %v", w, err)
	}
	if s.Loads() != 2 {
		t.Errorf("%d loads, want 2", s.Loads())
	}
}

func TestFaultyPoison(t *testing.T) {
	t.Parallel()
	s := messagingtest.Faulty(memory.New(memory.Config{}))
	bitter := errors.New("bitter")
	bad, good := inbound(), inbound()
	s.Poison(bad.ID, bitter)
	both := batchOf(bad)
	both.Appends = append(both.Appends, &messaging.Append{Event: good})
	if err := s.Commit(t.Context(), both); !errors.Is(err, bitter) {
		t.Errorf("commit of both: %v, want %v", err, bitter)
	}
	if err := s.Commit(t.Context(), batchOf(good)); err != nil {
		t.Errorf("commit without the poison: %v", err)
	}
	s.Heal()
	if err := s.Commit(t.Context(), batchOf(bad)); err != nil {
		t.Errorf("commit after Heal: %v", err)
	}
}

func TestFaultyHolds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := messagingtest.Faulty(memory.New(memory.Config{}))
		release := s.Hold()
		answers := make(chan error, 2)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { answers <- s.Commit(t.Context(), batchOf(inbound())) }()
		go func() { answers <- s.Commit(ctx, batchOf(inbound())) }()
		if err := s.Wait(t.Context(), func() bool { return s.Held() == 2 }); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(answers) != 0 {
			t.Fatal("a commit did not wait")
		}
		cancel()
		if err := <-answers; !errors.Is(err, context.Canceled) || !errors.Is(err, messaging.ErrUnavailable) {
			t.Errorf("commit whose context ended: %v", err)
		}
		release()
		release()
		if err := <-answers; err != nil {
			t.Errorf("released commit: %v", err)
		}
		if err := s.Commit(t.Context(), batchOf(inbound())); err != nil {
			t.Errorf("commit after the release: %v", err)
		}
		if s.Held() != 0 || s.Commits() != 2 {
			t.Errorf("%d held, %d commits; want 0, 2", s.Held(), s.Commits())
		}
	})
}

func TestFaultyTraits(t *testing.T) {
	t.Parallel()
	s := messagingtest.Faulty(memory.New(memory.Config{}))
	if got := s.Traits(); got.Name != "memory" || got.Blocking {
		t.Errorf("Traits: %+v", got)
	}
	s.SetTraits(messaging.Traits{Name: "slow", Blocking: true})
	if got := s.Traits(); got.Name != "slow" || !got.Blocking {
		t.Errorf("Traits: %+v", got)
	}
}
