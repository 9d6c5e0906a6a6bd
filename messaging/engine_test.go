package messaging_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/memory"
	"github.com/signpost-sms/signpost/messaging/messagingtest"
	"github.com/signpost-sms/signpost/relay"
)

func TestReplyLeavesOnce(t *testing.T) {
	for name, h := range map[string]messaging.Handler{"ordinary": messaging.HandlerFunc(echo), "instant": instant{echo}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := start(t, h, messaging.Config{})
				for range 3 { // delivered again, as a platform may
					b.inbound("m1", "+12025550101", "hi")
				}
				synctest.Wait()
				b.inbound("m1", "+12025550101", "hi")
				synctest.Wait()
				sent := b.wire.sent()
				if len(sent) != 1 {
					t.Fatalf("%d sends for one inbound, want 1", len(sent))
				}
				f := sent[0]
				diff(t, "send", []string{ours, "+12025550101", "You said: hi", "sp-" + f.id.String()}, []string{f.From, f.To, f.Body, f.Tags[0]})
				b.end()
				s := b.eng.Status()
				diff(t, "received, duplicates, answered", []int64{1, 3, 1}, []int64{s.Received, s.Duplicates, s.Answered})
			})
		})
	}
}

func TestConversationsKeepOrderAndNeverWaitForEachOther(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var running, most int
		var order []string
		var mu sync.Mutex
		h := messaging.HandlerFunc(func(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
			mu.Lock()
			if ev.From == "+12025550101" {
				running++
				most = max(most, running)
			}
			mu.Unlock()
			if ev.From == "+12025550101" {
				time.Sleep(time.Second)
			}
			mu.Lock()
			order = append(order, ev.Body)
			if ev.From == "+12025550101" {
				running--
			}
			mu.Unlock()
			w.Reply(ev.Body)
			return nil
		})
		b := start(t, h, messaging.Config{})
		for i := range 3 {
			b.inbound(fmt.Sprint("slow", i), "+12025550101", fmt.Sprint("slow", i))
		}
		b.inbound("fast", "+12025550102", "fast")
		time.Sleep(4 * time.Second)
		synctest.Wait()
		b.end()
		if most != 1 {
			t.Errorf("%d handlers of one conversation at once, want 1", most)
		}
		diff(t, "order", []string{"fast", "slow0", "slow1", "slow2"}, order)
		diff(t, "sends", []string{"fast", "slow0", "slow1", "slow2"}, b.wire.bodies())
	})
}

func TestInstantChainsKeepOrderBehindOrdinaryEvents(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := start(t, messaging.HandlerFunc(func(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
			time.Sleep(time.Second)
			return echo(ctx, w, ev)
		}), messaging.Config{})
		b.inbound("a", "+12025550101", "a")
		synctest.Wait()
		b.eng.SetHandler(instant{echo}) // as a reload would
		b.inbound("b", "+12025550101", "b")
		b.inbound("c", "+12025550102", "c")
		synctest.Wait()
		diff(t, "before the slow one is done", []string{"You said: c"}, b.wire.bodies())
		time.Sleep(time.Second)
		synctest.Wait()
		diff(t, "after", []string{"You said: c", "You said: a", "You said: b"}, b.wire.bodies())
		b.end()
	})
}

func TestFailingHandlerIsRetriedThenDead(t *testing.T) {
	for name, c := range map[string]struct {
		fail     func() error
		runs     int
		sleeping time.Duration
	}{
		"error": {func() error { return errors.New("no") }, 8, 0},
		"panic": {func() error { panic("no") }, 8, 0},
		"drop":  {func() error { return messaging.Drop(errors.New("no")) }, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				runs := 0
				attempts := []int{}
				h := messaging.HandlerFunc(func(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
					if ev.Body != "bad" {
						return echo(ctx, w, ev)
					}
					runs++
					attempts = append(attempts, ev.Attempt)
					w.Reply("never")
					return c.fail()
				})
				b := start(t, h, messaging.Config{GiveUpAfter: time.Hour})
				b.inbound("m1", "+12025550101", "bad")
				b.inbound("m2", "+12025550101", "behind")
				b.inbound("m3", "+12025550102", "elsewhere")
				synctest.Wait()
				if !slices.Contains(b.wire.bodies(), "You said: elsewhere") {
					t.Error("a failing event held back another conversation")
				}
				if c.runs > 1 && slices.Contains(b.wire.bodies(), "You said: behind") {
					t.Error("a later event of the conversation overtook the failing one")
				}
				time.Sleep(30 * time.Minute)
				synctest.Wait()
				b.end()
				diff(t, "runs", c.runs, runs)
				for i, a := range attempts {
					if a != i {
						t.Errorf("run %d was given attempt %d", i, a)
					}
				}
				diff(t, "sends", []string{"You said: behind", "You said: elsewhere"}, slices.Sorted(slices.Values(b.wire.bodies())))
				s := b.eng.Status()
				diff(t, "dead, answered", []int64{1, 2}, []int64{s.Dead, s.Answered})
			})
		})
	}
}

func TestRetryAfterDoesNotCountAsAnAttempt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var runs atomic.Int64
		b := start(t, messaging.HandlerFunc(func(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
			if runs.Add(1) <= 20 {
				return messaging.RetryAfter(time.Second, errors.New("not yet"))
			}
			return echo(ctx, w, ev)
		}), messaging.Config{})
		b.inbound("m1", "+12025550101", "hi")
		time.Sleep(20*time.Second - 1)
		synctest.Wait()
		diff(t, "runs just before", int64(20), runs.Load())
		time.Sleep(1)
		synctest.Wait()
		diff(t, "sends", []string{"You said: hi"}, b.wire.bodies())
		b.end()
	})
}

func TestHangingHandlerIsGivenUpAndCannotReplyLater(t *testing.T) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		var runs atomic.Int64
		b := start(t, messaging.HandlerFunc(func(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
			if runs.Add(1) == 1 {
				<-release // ignores ctx
				w.Reply("too late")
				return nil
			}
			return echo(ctx, w, ev)
		}), messaging.Config{HandlerTimeout: time.Second, HandlerGrace: time.Second})
		b.inbound("m1", "+12025550101", "hi")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if s := b.eng.Status(); s.HandlersHung != 1 || s.HandlersRunning != 0 {
			t.Errorf("hung %d, running %d, want 1 and 0", s.HandlersHung, s.HandlersRunning)
		}
		time.Sleep(5 * time.Second)
		close(release)
		synctest.Wait()
		diff(t, "sends", []string{"You said: hi"}, b.wire.bodies())
		if s := b.eng.Status(); s.HandlersHung != 0 {
			t.Errorf("hung %d after it returned", s.HandlersHung)
		}
		b.end()
	})
}

func TestConcurrencyIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var mu sync.Mutex
		running, most := 0, 0
		b := start(t, messaging.HandlerFunc(func(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
			mu.Lock()
			running++
			most = max(most, running)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			running--
			mu.Unlock()
			return nil
		}), messaging.Config{Concurrency: 4})
		for i := range 20 {
			b.inbound(fmt.Sprint("m", i), fmt.Sprintf("+120255502%02d", i), "hi")
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		diff(t, "handlers at once", 4, most)
		if s := b.eng.Status(); s.NothingWanted+s.Waiting != 20 {
			t.Errorf("accounting: %+v", s)
		}
		b.end()
	})
}

func TestOneUnansweredSendPerConversationAndInOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := start(t, instant{func(_ context.Context, w messaging.Responder, ev *messaging.Event) error {
			w.Reply(ev.Body + "1")
			w.Reply(ev.Body + "2")
			return nil
		}}, messaging.Config{})
		b.wire.answer(nil)
		b.inbound("a", "+12025550101", "a")
		b.inbound("b", "+12025550101", "b")
		want := []string{"a1", "a2", "b1", "b2"}
		for i := range want {
			synctest.Wait()
			sent := b.wire.sent()
			diff(t, "sends so far", want[:i+1], b.wire.bodies())
			sent[i].done(*accepted(sent[i]))
		}
		b.end()
	})
}

func TestUnansweredSendsAreBoundedAndRepliesPassBulk(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := start(t, messaging.HandlerFunc(echo), messaging.Config{MaxUnanswered: 4, MaxBulk: 2})
		b.wire.answer(nil)
		for i := range 6 {
			to := messaging.Number(fmt.Sprintf("+120255502%02d", i))
			if _, err := b.eng.Enqueue(t.Context(), messaging.Send{From: ours, To: to, Context: "support", Body: fmt.Sprint("bulk", i)}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		diff(t, "bulk on the wire", []string{"bulk0", "bulk1"}, b.wire.bodies())
		for i := range 3 {
			b.inbound(fmt.Sprint("m", i), fmt.Sprintf("+120255503%02d", i), fmt.Sprint(i))
		}
		synctest.Wait()
		diff(t, "two bulk, two replies", 4, len(b.wire.sent()))
		b.wire.sent()[0].done(*accepted(b.wire.sent()[0]))
		synctest.Wait()
		if got := b.wire.bodies()[4]; !strings.HasPrefix(got, "You said") {
			t.Errorf("the free slot went to %q, want the reply that waits", got)
		}
		b.wire.answer(accepted)
		for _, f := range b.wire.sent()[1:] {
			f.done(*accepted(f))
		}
		b.end()
		diff(t, "all left", 9, len(b.wire.sent()))
	})
}

func TestNotSentLeavesAgainUnderAFreshID_R7(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := start(t, instant{echo}, messaging.Config{})
		b.wire.answer(func(*frame) *relay.Answer {
			b.wire.answer(accepted)
			return &relay.Answer{Err: fmt.Errorf("closed: %w", relay.ErrNotSent)}
		})
		b.inbound("m1", "+12025550101", "hi")
		synctest.Wait()
		sent := b.wire.sent()
		if len(sent) != 2 || sent[0].id == sent[1].id || sent[0].Tags[0] == sent[1].Tags[0] {
			t.Errorf("%d frames; want two with ids and tags of their own", len(sent))
		}
		b.end()
	})
}

func TestSendsWaitForTheSession(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := start(t, instant{echo}, messaging.Config{})
		b.eng.HandleState(relay.StateBackoff)
		synctest.Wait()
		b.inbound("m1", "+12025550101", "a")
		b.inbound("m2", "+12025550101", "b")
		synctest.Wait()
		diff(t, "sends without a session", 0, len(b.wire.sent()))
		b.eng.HandleState(relay.StateSubscribed)
		synctest.Wait()
		diff(t, "sends", []string{"You said: a", "You said: b"}, b.wire.bodies())
		b.end()
	})
}

func TestReplyExpires(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := start(t, instant{echo}, messaging.Config{})
		b.eng.HandleState(relay.StateBackoff)
		synctest.Wait()
		b.inbound("m1", "+12025550101", "a")
		time.Sleep(time.Hour)
		b.eng.HandleState(relay.StateSubscribed)
		synctest.Wait()
		b.end()
		diff(t, "sends", 0, len(b.wire.sent()))
		diff(t, "expired", int64(1), b.eng.Status().Expired)
	})
}

func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		code   string
		frames int
		failed int64
	}{
		"permanent": {"422", 1, 1},
		"later":     {"503", 2, 0},
		"throttle":  {"429", 2, 0},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := start(t, instant{echo}, messaging.Config{})
				b.wire.answer(func(f *frame) *relay.Answer {
					if len(b.wire.sent()) == 1 {
						return refused(c.code)
					}
					return accepted(f)
				})
				b.inbound("m1", "+12025550101", "a")
				synctest.Wait()
				b.inbound("m2", "+12025550102", "b")
				synctest.Wait()
				diff(t, "another conversation goes on at once", 2, len(b.wire.sent()))
				time.Sleep(2 * time.Second)
				synctest.Wait()
				b.end()
				diff(t, "frames", c.frames+1, len(b.wire.sent()))
				diff(t, "failed", c.failed, b.eng.Status().Failed)
			})
		})
	}
}

func TestNothingHappensBeforeTheCommit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := start(t, instant{echo}, messaging.Config{})
		b.store.FailNext(5, fmt.Errorf("disk: %w", messaging.ErrUnavailable))
		b.inbound("m1", "+12025550101", "a")
		synctest.Wait()
		diff(t, "sends while the journal is down", 0, len(b.wire.sent()))
		if s := b.eng.Status(); s.JournalWritable || s.JournalError == "" {
			t.Errorf("status says the journal is fine: %+v", s)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		diff(t, "sends after it is back", []string{"You said: a"}, b.wire.bodies())
		if s := b.eng.Status(); !s.JournalWritable || s.JournalError != "" {
			t.Errorf("status says the journal is down: %+v", s)
		}
		b.end()
	})
}

func TestUnjournaledEventsAreBounded_R38(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := start(t, instant{echo}, messaging.Config{MaxUnjournaled: 20_000})
		b.store.FailNext(100_000, messaging.ErrUnavailable)
		n := 0
		for ; n < 100 && !b.wire.paused; n++ {
			b.inbound(fmt.Sprint("m", n), fmt.Sprintf("+12025551%03d", n), "hi")
		}
		if held := b.eng.Status().UnjournaledBytes; held < 10_000 || held > 11_000 {
			t.Errorf("contexts are given up at %d bytes, want at half of 20,000", held)
		}
		for i := range 100 {
			b.inbound(fmt.Sprint("x", i), fmt.Sprintf("+12025552%03d", i), "hi")
		}
		if held := b.eng.Status().UnjournaledBytes; held > 20_000 {
			t.Errorf("%d bytes held, more than the bound", held)
		}
		b.store.Heal()
		time.Sleep(time.Minute)
		synctest.Wait()
		if b.wire.paused || b.wire.pauses != 1 || b.wire.resumes != 1 {
			t.Errorf("paused %v, %d pauses, %d resumes; want one of each and not paused", b.wire.paused, b.wire.pauses, b.wire.resumes)
		}
		if got := len(b.wire.sent()); got < n || got >= n+100 {
			t.Errorf("%d answered, want those that were held: at least %d, and not the dropped ones", got, n)
		}
		b.end()
	})
}

func TestPoisonousEventIsDeadAndTheOthersLive(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := startOn(t, messagingtest.Faulty(picky{blockingStore()}), instant{echo}, messaging.Config{})
		release := b.store.Hold()
		for i := range 20 {
			body := fmt.Sprint(i)
			if i == 7 {
				body = "poison"
			}
			b.inbound(fmt.Sprint("m", i), "+12025550101", body)
		}
		release()
		synctest.Wait()
		b.end()
		diff(t, "answered", 19, len(b.wire.sent()))
		s := b.eng.Status()
		diff(t, "dead, answered", []int64{1, 19}, []int64{s.Dead, s.Answered})
	})
}

func TestUndecodableEventIsADeadLetter(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := start(t, instant{echo}, messaging.Config{})
		b.frame("messaging.receive", `null`)
		b.frame("messaging.receive", `null`)
		synctest.Wait()
		b.end()
		s := b.eng.Status()
		diff(t, "dead, duplicates", []int64{1, 1}, []int64{s.Dead, s.Duplicates})
	})
}

func TestEnqueueSendsOncePerKey(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := start(t, instant{echo}, messaging.Config{})
		s := messaging.Send{Key: "k", From: ours, To: "+12025550101", Context: "support", Body: "hi"}
		var ids []uuid.UUID
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				got, err := b.eng.Enqueue(t.Context(), s)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				ids = append(ids, got.ID)
				mu.Unlock()
			})
		}
		wg.Wait()
		synctest.Wait()
		diff(t, "sends", 1, len(b.wire.sent()))
		if n := len(slices.Compact(ids)); n != 1 {
			t.Errorf("%d different ids for one key", n)
		}
		b.end()
	})
}

func TestDrainFinishesWhatMemoryHolds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := start(t, messaging.HandlerFunc(func(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
			time.Sleep(time.Second)
			return echo(ctx, w, ev)
		}), messaging.Config{})
		for i := range 3 {
			b.inbound(fmt.Sprint("m", i), "+12025550101", fmt.Sprint(i))
		}
		synctest.Wait()
		b.end()
		diff(t, "sends", 3, len(b.wire.sent()))
	})
}

func TestRunTellsWhatWasLeft(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := &wire{}
		eng := messaging.NewEngine(memory.New(memory.Config{}), instant{echo}, w, messaging.Config{Logger: slog.New(slog.DiscardHandler)})
		work, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() { result <- eng.Run(t.Context(), work) }()
		eng.HandleState(relay.StateSubscribed)
		b := &bench{t: t, eng: eng}
		b.inbound("m1", "+12025550101", "a")
		synctest.Wait()
		cancel()
		if err := <-result; !errors.Is(err, messaging.ErrDrainIncomplete) || !strings.Contains(err.Error(), "1 sends") {
			t.Errorf("got %v, want ErrDrainIncomplete with the send that has no answer", err)
		}
	})
}

func TestTraceTellsTheLifeOfAMessage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := start(t, instant{echo}, messaging.Config{})
		b.inbound("m1", "+12025550101", "a")
		synctest.Wait()
		f := b.wire.sent()[0]
		b.state("pm-"+f.id.String(), "delivered", f.Tags[0])
		synctest.Wait()
		b.end()
		var got []string
		for _, tr := range b.traces {
			if tr.Inbound != nil {
				got = append(got, fmt.Sprintf("inbound %s fate %s sends %d", tr.Inbound.Event.ID, tr.Inbound.Outcome.Fate, len(tr.Inbound.Outcome.Sends)))
			}
			if tr.Send != nil {
				got = append(got, fmt.Sprintf("send for %s %s", tr.Send.InReplyTo, tr.Send.Status))
			}
		}
		diff(t, "traces", []string{"inbound m1 fate done sends 1", "send for m1 sending", "send for m1 accepted", "send for m1 delivered"}, got)
	})
}
