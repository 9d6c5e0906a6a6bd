package messaging_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/memory"
	"github.com/signpost-sms/signpost/messaging/messagingtest"
	"github.com/signpost-sms/signpost/relay"
)

// roomy is durable with room for many sends.
func roomy() *messagingtest.FaultyStore {
	f := messagingtest.Faulty(memory.New(memory.Config{MaxBytes: 256 << 20}))
	f.SetTraits(messaging.Traits{Name: "durable", Durable: true, Blocking: true})
	return f
}

func (b *bench) enqueue(to, body string, edit func(*messaging.Send)) messaging.Send {
	b.t.Helper()
	s := messaging.Send{From: ours, To: messaging.Number(to), Context: "support", Body: body}
	if edit != nil {
		edit(&s)
	}
	stored, err := b.eng.Enqueue(context.Background(), s)
	if err != nil {
		b.t.Errorf("Enqueue: %v", err)
	}
	return stored
}

func person(i int) string { return fmt.Sprintf("+1202%07d", i) }

func TestSendsBeyondTheBoundWaitInTheStoreAndRepliesPassThem(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, kill := life(t, roomy(), messaging.HandlerFunc(echo), messaging.Config{})
		defer kill()
		b.eng.HandleState(relay.StateBackoff)
		const n, bound = 12_000, 10_000
		for i := range n {
			b.enqueue(person(i), fmt.Sprint("bulk ", i), nil)
		}
		b.enqueue(person(0), "the same person", nil) // must not overtake, although memory may have room by then
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if q := b.eng.Status().SendsQueued; q > bound {
			t.Errorf("%d sends wait in memory, want at most %d", q, bound)
		}
		b.inbound("m1", "+12029999999", "hi")
		synctest.Wait()
		b.eng.HandleState(relay.StateSubscribed)
		time.Sleep(time.Minute)
		synctest.Wait()
		bodies := b.wire.bodies()
		if len(bodies) != n+2 {
			t.Fatalf("%d sends left, want %d", len(bodies), n+2)
		}
		at := map[string]int{}
		for i, body := range bodies {
			if _, twice := at[body]; twice {
				t.Errorf("%q left twice", body)
			}
			at[body] = i
		}
		if at["You said: hi"] > 200 {
			t.Errorf("the reply left as number %d, behind the bulk", at["You said: hi"])
		}
		if at["the same person"] < at["bulk 0"] {
			t.Error("of two sends to one person, the later left first")
		}
		diff(t, "unaccounted", int64(0), b.eng.Status().Unaccounted)
	})
}

func TestSendsForLaterWaitInTheStore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := roomy()
		b, kill := life(t, s, messaging.HandlerFunc(echo), messaging.Config{})
		began := time.Now()
		later := func(d time.Duration) func(*messaging.Send) {
			return func(s *messaging.Send) { s.NotBefore = began.Add(d) }
		}
		b.enqueue(person(1), "in an hour", later(time.Hour))
		b.enqueue(person(2), "in three", later(3*time.Hour))
		b.enqueue(person(3), "in a minute", later(time.Minute))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		diff(t, "sends in memory", 1, b.eng.Status().SendsQueued)
		for _, step := range []struct {
			at   time.Duration
			want int
		}{{59 * time.Second, 0}, {61 * time.Second, 1}, {time.Hour - time.Second, 1}, {time.Hour + time.Second, 2}} {
			time.Sleep(time.Until(began.Add(step.at)))
			synctest.Wait()
			diff(t, fmt.Sprint("sends that left within ", step.at), step.want, len(b.wire.sent()))
		}
		kill()
		b, kill = life(t, s, messaging.HandlerFunc(echo), messaging.Config{})
		defer kill()
		time.Sleep(time.Until(began.Add(3*time.Hour + time.Second)))
		synctest.Wait()
		diff(t, "after a restart", []string{"in three"}, b.wire.bodies())
	})
}

func TestARecoveredDoubtHoldsItsConversation(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := durable()
		b, kill := life(t, s, instant{echo}, messaging.Config{})
		b.wire.answer(nil)
		b.inbound("m1", "+12025550101", "a")
		synctest.Wait()
		kill()
		b, kill = life(t, s, instant{echo}, messaging.Config{})
		defer kill()
		b.inbound("m2", "+12025550101", "b")
		time.Sleep(9 * time.Minute)
		synctest.Wait()
		diff(t, "sends while the doubt is held", 0, len(b.wire.sent()))
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		diff(t, "sends after the release", []string{"You said: b"}, b.wire.bodies())
		diff(t, "doubts still shown", 1, b.eng.Status().InDoubt)
	})
}

func TestEveryDoubtOfAFormerProcessIsAdopted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := roomy()
		b, kill := life(t, s, instant{echo}, messaging.Config{MaxUnanswered: 3000, AnswerTimeout: time.Hour})
		b.wire.answer(nil)
		const n = 2500 // more than one page
		for i := range n {
			b.inbound(fmt.Sprint("m", i), person(i), "x")
		}
		synctest.Wait()
		diff(t, "on the wire", n, len(b.wire.sent()))
		kill()
		b, kill = life(t, s, instant{echo}, messaging.Config{})
		defer kill()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		st := b.eng.Status()
		diff(t, "in doubt, waiting, unaccounted", []int64{n, n, 0}, []int64{int64(st.InDoubt), st.Waiting, st.Unaccounted})
	})
}

func TestAttemptsAreCountedOnAfterARestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := durable()
		b, kill := life(t, s, instant{echo}, messaging.Config{})
		b.wire.answer(func(*frame) *relay.Answer { return refused("503") })
		b.inbound("m1", "+12025550101", "a")
		synctest.Wait()
		kill()
		b, kill = life(t, s, instant{echo}, messaging.Config{})
		defer kill()
		b.wire.answer(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		w, err := s.Load(context.Background(), messaging.Query{Now: time.Now(), Limit: 10, Doubts: true})
		if err != nil || len(w.Doubts) != 1 {
			t.Fatalf("Load: %v, %+v", err, w)
		}
		diff(t, "number of the second attempt", 2, w.Doubts[0].Attempt.Number)
	})
}

func TestFailedDeliveryGoesOutAgainOnlyForAPassingReason(t *testing.T) {
	for reason, want := range map[string]int{
		"unreachable": 3, "Handset temporarily switched off": 3, // the first and two more
		"carrier_blocked": 1, "spam": 1, "": 1, "invalid number": 1,
	} {
		t.Run(reason, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := start(t, instant{echo}, messaging.Config{})
				b.wire.answer(func(f *frame) *relay.Answer {
					id := "pm-" + f.id.String()
					time.AfterFunc(time.Second, func() {
						b.frame("messaging.state", fmt.Sprintf(`{"message_id":%q,"context":"support","message_state":"undelivered","reason":%q,"from_number":%q,"to_number":%q,"tags":[%q]}`,
							id, reason, f.From, f.To, f.Tags[0]))
					})
					return accepted(f)
				})
				b.inbound("m1", "+12025550101", "a")
				time.Sleep(80 * time.Second)
				synctest.Wait()
				diff(t, "frames after the first wait", min(want, 2), len(b.wire.sent()))
				time.Sleep(time.Hour)
				synctest.Wait()
				diff(t, "frames", want, len(b.wire.sent()))
				diff(t, "answered", int64(1), b.eng.Status().Answered)
				b.end()
			})
		})
	}
}

func TestReplayRunsADeadLetterAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		broken := true
		b := start(t, messaging.HandlerFunc(func(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
			if broken {
				return messaging.Drop(errors.New("broken"))
			}
			return echo(ctx, w, ev)
		}), messaging.Config{})
		b.inbound("m1", "+12025550101", "a")
		b.inbound("m2", "+12025550101", "b")
		synctest.Wait()
		ctx := context.Background()
		broken = false
		if err := b.eng.Replay(ctx, "m1"); err != nil {
			t.Errorf("Replay: %v", err)
		}
		synctest.Wait()
		diff(t, "replies", []string{"You said: a"}, b.wire.bodies())
		for what, err := range map[string]error{
			"a second replay": b.eng.Replay(ctx, "m1"), "an unknown one": b.eng.Replay(ctx, "m9"),
			"an unknown drop": b.eng.Drop(ctx, "m9"),
		} {
			if !errors.Is(err, messaging.ErrUnknown) {
				t.Errorf("%s: %v, want ErrUnknown", what, err)
			}
		}
		if err := b.eng.Drop(ctx, "m2"); err != nil {
			t.Errorf("Drop: %v", err)
		}
		if err := b.eng.Replay(ctx, "m2"); !errors.Is(err, messaging.ErrUnknown) {
			t.Errorf("replay of a dropped one: %v, want ErrUnknown", err)
		}
		b.end()
	})
}

func TestCancelTakesBackWhatHasNotLeft(t *testing.T) {
	for name, cfg := range map[string]func() *messagingtest.FaultyStore{"memory": blockingStore, "durable": durable} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b, kill := life(t, cfg(), messaging.HandlerFunc(echo), messaging.Config{})
				defer kill()
				ctx := context.Background()
				soon := b.enqueue(person(1), "soon", func(s *messaging.Send) { s.NotBefore = time.Now().Add(time.Minute) })
				later := b.enqueue(person(2), "later", func(s *messaging.Send) { s.NotBefore = time.Now().Add(time.Hour) })
				kept := b.enqueue(person(3), "kept", func(s *messaging.Send) { s.NotBefore = time.Now().Add(time.Minute) })
				for _, s := range []messaging.Send{soon, later} {
					if err := b.eng.Cancel(ctx, s.ID); err != nil {
						t.Errorf("Cancel of %q: %v", s.Body, err)
					}
				}
				time.Sleep(2 * time.Hour)
				synctest.Wait()
				diff(t, "what left", []string{"kept"}, b.wire.bodies())
				if err := b.eng.Cancel(ctx, kept.ID); !errors.Is(err, messaging.ErrTooLate) && !errors.Is(err, messaging.ErrUnknown) {
					t.Errorf("Cancel of one that has left: %v, want ErrTooLate", err)
				}
				if err := b.eng.Cancel(ctx, uuid.New()); err == nil {
					t.Error("an unknown send was cancelled")
				}
			})
		})
	}
}

func TestResolveEndsADoubt(t *testing.T) {
	for as, want := range map[messaging.Resolution]struct {
		frames                      int
		answered, failed, suspended int64
	}{
		messaging.ResolveAccepted: {2, 2, 0, 0},
		messaging.ResolveResend:   {3, 2, 0, 0},
		messaging.ResolveFailed:   {2, 1, 1, 0},
	} {
		t.Run(string(as), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := start(t, instant{echo}, messaging.Config{})
				b.wire.answer(nil)
				b.inbound("m1", "+12025550101", "a")
				b.inbound("m2", "+12025550101", "b")
				synctest.Wait()
				b.wire.sent()[0].done(relay.Answer{Err: fmt.Errorf("reset: %w", relay.ErrInDoubt)})
				b.wire.answer(accepted)
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				diff(t, "frames while in doubt", 1, len(b.wire.sent()))
				w, err := b.store.Load(context.Background(), messaging.Query{Now: time.Now(), Limit: 10, Doubts: true})
				if err != nil || len(w.Doubts) != 1 {
					t.Fatalf("Load: %v, %+v", err, w)
				}
				id := w.Doubts[0].Send.ID
				if err := b.eng.Resolve(context.Background(), id, "guess"); err == nil {
					t.Error("an unknown resolution is taken")
				}
				if err := b.eng.Resolve(context.Background(), id, as); err != nil {
					t.Errorf("Resolve: %v", err)
				}
				time.Sleep(time.Second)
				synctest.Wait()
				st := b.eng.Status()
				diff(t, "frames", want.frames, len(b.wire.sent()))
				diff(t, "answered, failed, in doubt", []int64{want.answered, want.failed, 0}, []int64{st.Answered, st.Failed, int64(st.InDoubt)})
				if err := b.eng.Resolve(context.Background(), id, as); !errors.Is(err, messaging.ErrTooLate) && !errors.Is(err, messaging.ErrUnknown) {
					t.Errorf("a second Resolve: %v, want ErrTooLate", err)
				}
				b.end()
			})
		})
	}
}
