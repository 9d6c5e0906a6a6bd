package messaging_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/memory"
	"github.com/signpost-sms/signpost/messaging/messagingtest"
	"github.com/signpost-sms/signpost/relay"
)

// fussy refuses enqueued sends with a certain text.
type fussy struct{ *messagingtest.FaultyStore }

func (p fussy) Commit(ctx context.Context, b *messaging.Batch) error {
	for _, q := range b.Enqueues {
		if q.Outgoing.Body == "poison" {
			return errors.New("cannot be stored")
		}
	}
	return p.FaultyStore.Commit(ctx, b)
}

func TestRefusedEnqueueGivesItsSlotBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := startOn(t, messagingtest.Faulty(fussy{blockingStore()}), instant{echo}, messaging.Config{})
		s := messaging.Send{From: ours, To: "+12025550101", Context: "support", Body: "poison"}
		if _, err := b.eng.Enqueue(t.Context(), s); err == nil {
			t.Fatal("no error")
		}
		s.Body = "fine"
		if _, err := b.eng.Enqueue(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		time.Sleep(2 * time.Second)
		diff(t, "sends", []string{"fine"}, b.wire.bodies())
		diff(t, "unanswered", 0, b.eng.Status().SendsUnanswered)
	})
}

func tight(n int64) *messagingtest.FaultyStore {
	f := messagingtest.Faulty(memory.New(memory.Config{MaxBytes: n}))
	f.SetTraits(messaging.Traits{Name: "memory", Blocking: true})
	return f
}

func TestEnqueueOnAFullStoreDoesNotStopTheJournal(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := startOn(t, tight(1300), instant{echo}, messaging.Config{})
		b.wire.answer(nil)
		b.inbound("m1", "+12025550101", "a")
		synctest.Wait()
		go b.eng.Enqueue(context.Background(), messaging.Send{From: ours, To: "+12025550102", Context: "support", Body: strings.Repeat("x", 600)})
		synctest.Wait()
		b.wire.answer(accepted)
		b.wire.sent()[0].done(*accepted(b.wire.sent()[0])) // its report makes room
		time.Sleep(time.Minute)
		b.inbound("m2", "+12025550103", "b")
		time.Sleep(time.Minute)
		synctest.Wait()
		if s := b.eng.Status(); !s.JournalWritable || s.Received != 2 {
			t.Errorf("stuck: %+v", s)
		}
	})
}

func TestPriorityOutOfRange(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := start(t, messaging.HandlerFunc(func(_ context.Context, w messaging.Responder, ev *messaging.Event) error {
			w.Send(messaging.Send{Body: "x", Priority: 9})
			return nil
		}), messaging.Config{})
		b.inbound("m1", "+12025550101", "a")
		synctest.Wait()
		b.end()
	})
}

func TestSpillEndKeepsOrder(t *testing.T) {
	for name, h := range map[string]messaging.Handler{"instant": instant{echo}, "ordinary": messaging.HandlerFunc(echo)} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := durable()
				s.FailNextLoads(1, errors.New("not yet"))
				b, kill := life(t, s, h, messaging.Config{})
				defer kill()
				release := s.Hold()
				b.inbound("m1", "+12025550101", "1") // admitted while the spill is on
				time.Sleep(time.Second)              // the store is read, is empty, the spill ends
				b.inbound("m2", "+12025550101", "2")
				synctest.Wait()
				release()
				time.Sleep(time.Second)
				synctest.Wait()
				diff(t, "order", []string{"You said: 1", "You said: 2"}, b.wire.bodies())
			})
		})
	}
}

func TestDeferredSendsSurviveARestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := durable()
		b, kill := life(t, s, instant{echo}, messaging.Config{})
		b.wire.answer(func(*frame) *relay.Answer { return refused("503") })
		b.inbound("m1", "+12025550101", "a")
		synctest.Wait()
		diff(t, "first life", 1, len(b.wire.sent()))
		kill()
		b, kill = life(t, s, instant{echo}, messaging.Config{})
		defer kill()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		diff(t, "second life", []string{"You said: a"}, b.wire.bodies())
	})
}

func TestExpiredDuringALongCommit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := start(t, instant{echo}, messaging.Config{})
		b.store.FailNext(1<<20, messaging.ErrUnavailable)
		b.inbound("m1", "+12025550101", "a")
		time.Sleep(2 * time.Hour)
		b.store.Heal()
		time.Sleep(time.Minute)
		synctest.Wait()
		diff(t, "sends", 0, len(b.wire.sent()))
		b.end()
		diff(t, "expired", int64(1), b.eng.Status().Expired)
	})
}

type slowLog struct{}

func (slowLog) Outbound(ctx context.Context, _ []messaging.Conversation, _, _ time.Time) ([]messaging.LogEntry, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestDrainDoesNotWaitForTheMessageLog(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := start(t, instant{echo}, messaging.Config{Log: slowLog{}})
		b.wire.answer(nil)
		b.inbound("m1", "+12025550101", "a")
		synctest.Wait()
		b.wire.sent()[0].done(relay.Answer{Err: fmt.Errorf("reset: %w", relay.ErrInDoubt)})
		time.Sleep(61 * time.Second)
		synctest.Wait()
		began := time.Now()
		b.end()
		if d := time.Since(began); d > time.Second {
			t.Errorf("drained after %v", d)
		}
	})
}

func TestDrainDoesNotWaitForAnUnreadableStore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := durable()
		s.FailNextLoads(1<<20, errors.New("corrupt"))
		b, kill := life(t, s, instant{echo}, messaging.Config{})
		defer kill()
		b.stop()
		select {
		case <-b.result:
			b.result <- nil
		case <-time.After(time.Hour):
			t.Error("Run does not end")
		}
	})
}

// A late yes for the first attempt comes while the claim of the second is being committed: the second must be closed, or the
// store keeps its row for ever.
func TestClaimOfASettledSendIsClosed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := tight(1300)
		b := startOn(t, s, instant{echo}, messaging.Config{InDoubt: messaging.InDoubt{Wait: 2 * time.Second, Resend: true}})
		b.wire.answer(nil)
		b.inbound("m1", "+12025550101", strings.Repeat("x", 400))
		synctest.Wait()
		f := b.wire.sent()[0]
		f.done(relay.Answer{Err: fmt.Errorf("reset: %w", relay.ErrInDoubt)})
		b.eng.HandleState(relay.StateBackoff)
		time.Sleep(3 * time.Second) // queued again
		synctest.Wait()
		release := s.Hold()
		b.eng.HandleState(relay.StateSubscribed)
		synctest.Wait() // the claim is being committed
		f.done(*accepted(f))
		synctest.Wait()
		release()
		synctest.Wait()
		diff(t, "frames", 1, len(b.wire.sent()))
		b.wire.answer(accepted)
		// Room for this only if the store has forgotten the first one.
		b.inbound("m2", "+12025550101", strings.Repeat("y", 400))
		time.Sleep(time.Minute)
		synctest.Wait()
		diff(t, "frames", 2, len(b.wire.sent()))
		b.end()
	})
}

// choosy says full for one half and takes the other.
type choosy struct {
	*messagingtest.FaultyStore
	n int
}

func (p *choosy) Commit(ctx context.Context, b *messaging.Batch) error {
	for _, a := range b.Appends {
		if a.Event.Body == "poison" && a.Outcome != nil && a.Outcome.Fate == messaging.FateDead {
			continue
		}
		if a.Event.Body == "poison" {
			return errors.New("cannot be stored")
		}
	}
	if len(b.Appends) > 0 && b.Appends[0].Event.ID == "m0" {
		if p.n++; p.n == 1 {
			return messaging.ErrFull
		}
	}
	return p.FaultyStore.Commit(ctx, b)
}

func TestParkedEventsAreNotOvertakenByTheOtherHalf(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := startOn(t, messagingtest.Faulty(&choosy{FaultyStore: blockingStore()}), messaging.HandlerFunc(echo), messaging.Config{})
		release := b.store.Hold()
		b.inbound("first", "+12025550109", "first")
		synctest.Wait()
		for i := range 8 {
			b.inbound(fmt.Sprint("m", i), "+12025550101", fmt.Sprint(i))
		}
		b.inbound("p", "+12025550102", "poison")
		release()
		time.Sleep(time.Minute)
		synctest.Wait()
		want := []string{"You said: first"}
		for i := range 8 {
			want = append(want, fmt.Sprint("You said: ", i))
		}
		diff(t, "order", want, b.wire.bodies())
		b.end()
	})
}

func TestSecondDoubtHasItsOwnWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := start(t, instant{echo}, messaging.Config{InDoubt: messaging.InDoubt{Wait: time.Minute, Resend: true}})
		b.wire.answer(nil)
		b.inbound("m1", "+12025550101", "a")
		time.Sleep(11 * time.Second) // doubt at 10 s; its wait ends at 70 s
		b.wire.sent()[0].done(*refused("429"))
		time.Sleep(30 * time.Second) // sent again at 12 s or so, in doubt at 22 s
		synctest.Wait()
		diff(t, "frames", 2, len(b.wire.sent()))
		time.Sleep(31 * time.Second) // 72 s: 50 s after the second doubt
		synctest.Wait()
		diff(t, "frames before its wait is over", 2, len(b.wire.sent()))
		b.wire.answer(accepted)
		time.Sleep(time.Minute)
		b.end()
	})
}

func TestGoexit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := start(t, messaging.HandlerFunc(func(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
			runtime.Goexit()
			return nil
		}), messaging.Config{MaxAttempts: 2})
		b.inbound("m1", "+12025550101", "a")
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		diff(t, "hung", int64(0), b.eng.Status().HandlersHung)
		b.end()
	})
}

func TestFullStoreLogsOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var buf bytes.Buffer
		b := startOn(t, tight(2600), instant{echo}, messaging.Config{Logger: slog.New(slog.NewTextHandler(&buf, nil))})
		b.wire.answer(nil)
		for i := range 6 {
			b.inbound(fmt.Sprint("m", i), fmt.Sprintf("+1202555010%d", i), "a")
		}
		// other work goes on meanwhile
		for range 100 {
			time.Sleep(100 * time.Millisecond)
			b.frame("messaging.receive", `{"message_id":"m0","context":"support","from_number":"+1","to_number":"+2","body":"x"}`)
		}
		synctest.Wait()
		t.Logf("%d lines, writable %v", strings.Count(buf.String(), "\n"), b.eng.Status().JournalWritable)
		b.wire.answer(accepted)
		for _, f := range b.wire.sent() {
			f.done(*accepted(f))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		b.end()
	})
}

func TestNULInTagsAndMedia(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var got *messaging.Event
		b := start(t, messaging.HandlerFunc(func(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
			got = ev
			return nil
		}), messaging.Config{})
		b.frame("messaging.receive", `{"message_id":"m0","context":"support","from_number":"+1","to_number":"+2","body":"x","media":["http://a/\u0000"],"tags":["a\u0000b"]}`)
		synctest.Wait()
		diff(t, "media", []string{"http://a/"}, got.Media)
		diff(t, "tags", []string{"ab"}, got.Tags)
		b.end()
	})
}

func TestEventsBeforeRunAreCountedOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := &bench{t: t, wire: &wire{auto: accepted}, store: durable(), result: make(chan error, 1)}
		b.eng = messaging.NewEngine(b.store, messaging.HandlerFunc(echo), b.wire, messaging.Config{Logger: slog.New(slog.DiscardHandler)})
		b.store.FailNextLoads(1, errors.New("not yet"))
		b.inbound("m1", "+12025550101", "a")
		time.Sleep(time.Millisecond)
		stop, cancel := context.WithCancel(context.Background())
		go func() { b.result <- b.eng.Run(stop, context.Background()) }()
		b.eng.HandleState(relay.StateSubscribed)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		s := b.eng.Status()
		diff(t, "received, answered, waiting", []int64{1, 1, 0}, []int64{s.Received, s.Answered, s.Waiting})
		cancel()
		<-b.result
	})
}

// A flood that never pauses must not keep the engine from its own affairs: it goes on until
// the engine has published its status twice, and would go on for ever if it could not.
func TestFloodDoesNotStarveTheStatus(t *testing.T) {
	t.Parallel()
	w := &wire{auto: accepted}
	eng := messaging.NewEngine(memory.New(memory.Config{}), instant{echo}, w, messaging.Config{Logger: slog.New(slog.DiscardHandler), MaxUnjournaled: 8 << 20})
	stop, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- eng.Run(stop, t.Context()) }()
	eng.HandleState(relay.StateSubscribed)
	b := &bench{t: t, eng: eng}
	var last time.Time
	for i, renewed := 0, 0; renewed < 3; i++ {
		b.inbound(fmt.Sprint("m", i), fmt.Sprintf("+1202%07d", i%5000), "hi")
		if at := eng.Status().At; at.After(last) {
			last = at
			renewed++
		}
	}
	cancel()
	if err := <-result; err != nil {
		t.Error(err)
	}
}

func TestNotSentDoesNotSpin(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := start(t, instant{echo}, messaging.Config{})
		b.wire.answer(func(*frame) *relay.Answer { return &relay.Answer{Err: fmt.Errorf("gone: %w", relay.ErrNotSent)} })
		b.inbound("m1", "+12025550101", "hi")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := len(b.wire.sent()); n < 5 || n > 30 {
			t.Errorf("%d attempts in 10 s, want a pause that grows to a second", n)
		}
		b.wire.answer(accepted)
		b.end()
	})
}
