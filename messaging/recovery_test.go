package messaging_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/memory"
	"github.com/signpost-sms/signpost/messaging/messagingtest"
	"github.com/signpost-sms/signpost/relay"
)

// durable is a memory store that outlives the engines that use it, as a database does.
func durable() *messagingtest.FaultyStore {
	f := messagingtest.Faulty(memory.New(memory.Config{}))
	f.SetTraits(messaging.Traits{Name: "durable", Durable: true, Blocking: true})
	return f
}

// life is one process: an engine that begins on a store and can be killed.
func life(t *testing.T, s *messagingtest.FaultyStore, h messaging.Handler, cfg messaging.Config) (b *bench, kill func()) {
	t.Helper()
	b = &bench{t: t, wire: &wire{auto: accepted}, store: s, result: make(chan error, 1)}
	cfg.Logger = slog.New(slog.DiscardHandler)
	b.eng = messaging.NewEngine(s, h, b.wire, cfg)
	stop, cancelStop := context.WithCancel(context.Background())
	work, cancelWork := context.WithCancel(context.Background())
	b.stop = cancelStop
	go func() { b.result <- b.eng.Run(stop, work) }()
	b.eng.HandleState(relay.StateSubscribed)
	synctest.Wait()
	return b, func() { cancelWork(); cancelStop(); <-b.result }
}

func block(ctx context.Context, _ messaging.Responder, _ *messaging.Event) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestUnfinishedInboundsAreHandledInOrderAfterACrash(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := durable()
		b, kill := life(t, s, messaging.HandlerFunc(block), messaging.Config{HandlerTimeout: time.Hour})
		for i := range 50 {
			b.inbound(fmt.Sprint("m", i), fmt.Sprintf("+120255501%02d", i%3), fmt.Sprint(i))
		}
		synctest.Wait()
		kill()
		b, kill = life(t, s, messaging.HandlerFunc(echo), messaging.Config{})
		defer kill()
		b.inbound("m0", "+12025550100", "delivered again")
		b.inbound("m50", "+12025550100", "50")
		time.Sleep(time.Minute)
		synctest.Wait()
		last := map[string]int{}
		for _, f := range b.wire.sent() {
			var n int
			if _, err := fmt.Sscanf(f.Body, "You said: %d", &n); err != nil {
				t.Fatalf("unexpected reply %q", f.Body)
			}
			if n < last[f.To] {
				t.Errorf("reply %d to %s after %d", n, f.To, last[f.To])
			}
			last[f.To] = n
		}
		diff(t, "replies", 51, len(b.wire.sent()))
	})
}

func TestQueuedSendsGoOutAfterACrash(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := durable()
		b, kill := life(t, s, instant{echo}, messaging.Config{})
		b.eng.HandleState(relay.StateBackoff)
		synctest.Wait()
		for i := range 3 {
			b.inbound(fmt.Sprint("m", i), "+12025550101", fmt.Sprint(i))
		}
		synctest.Wait()
		kill()
		b, kill = life(t, s, instant{echo}, messaging.Config{})
		defer kill()
		time.Sleep(time.Second)
		synctest.Wait()
		diff(t, "sends", []string{"You said: 0", "You said: 1", "You said: 2"}, b.wire.bodies())
	})
}

func TestClaimedAttemptsOfADeadProcessAreInDoubt(t *testing.T) {
	for name, c := range map[string]struct {
		policy messaging.InDoubt
		state  bool
		sends  int
	}{
		"held":               {messaging.InDoubt{Wait: time.Second}, false, 0},
		"settled by a state": {messaging.InDoubt{Wait: time.Second, Resend: true}, true, 0},
		"sent again":         {messaging.InDoubt{Wait: time.Second, Resend: true}, false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := durable()
				b, kill := life(t, s, instant{echo}, messaging.Config{})
				b.wire.answer(nil)
				b.inbound("m1", "+12025550101", "a")
				b.inbound("m2", "+12025550101", "b")
				synctest.Wait()
				first := b.wire.sent()[0]
				kill()
				b, kill = life(t, s, instant{echo}, messaging.Config{InDoubt: c.policy})
				defer kill()
				if c.state {
					b.state("pm1", "delivered", first.Tags[0])
				}
				time.Sleep(30 * time.Second)
				synctest.Wait()
				var again int
				for _, f := range b.wire.sent() {
					if f.Body == "You said: a" {
						again++
					}
				}
				diff(t, "times it is sent again", c.sends, again)
				time.Sleep(20 * time.Minute)
				synctest.Wait()
				if n := len(b.wire.sent()); n != again+1 {
					t.Errorf("%d frames, want the later send of the conversation too", n)
				}
			})
		})
	}
}

func TestEventsOverflowIntoTheStoreAndComeBackInOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := durable()
		release := make(chan struct{})
		b, kill := life(t, s, messaging.HandlerFunc(func(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
			<-release
			return echo(ctx, w, ev)
		}), messaging.Config{HandlerTimeout: time.Hour, MaxHeld: 20_000})
		defer kill()
		time.Sleep(time.Second)
		const n = 3000
		for i := range n {
			b.inbound(fmt.Sprint("m", i), fmt.Sprintf("+120255501%02d", i%10), fmt.Sprint(i))
			if i%100 == 0 {
				synctest.Wait()
			}
		}
		time.Sleep(2 * time.Second)
		st := b.eng.Status()
		if !st.Spilling || st.HeldBytes > 200_000 || st.UnjournaledBytes != 0 {
			t.Errorf("spilling %v, %d bytes held, %d unjournaled: want an overflow with little in memory", st.Spilling, st.HeldBytes, st.UnjournaledBytes)
		}
		close(release)
		time.Sleep(time.Minute)
		synctest.Wait()
		diff(t, "replies", n, len(b.wire.sent()))
		next := map[string]int{}
		for _, f := range b.wire.sent() {
			var i int
			fmt.Sscanf(f.Body, "You said: %d", &i)
			if i < next[f.To] {
				t.Fatalf("reply %d to %s out of order", i, f.To)
			}
			next[f.To] = i
		}
		if st := b.eng.Status(); st.Spilling || st.Unaccounted != 0 || st.Answered != n {
			t.Errorf("at the end: %+v", st)
		}
	})
}

// logbook is a message log whose entries the test writes.
type logbook struct {
	entries []messaging.LogEntry
	fails   int
}

func (l *logbook) Outbound(_ context.Context, pairs []messaging.Conversation, _, _ time.Time) ([]messaging.LogEntry, error) {
	if l.fails > 0 {
		l.fails--
		return nil, fmt.Errorf("503")
	}
	for i := range l.entries {
		l.entries[i].Pair = pairs[0]
	}
	return l.entries, nil
}

func TestDoubtIsSettledByTheMessageLog(t *testing.T) {
	for name, c := range map[string]struct {
		log   func(at time.Time) *logbook
		sends int // frames in all
	}{
		"shown": {func(at time.Time) *logbook {
			return &logbook{entries: []messaging.LogEntry{{ID: "x", CreatedAt: at.Truncate(time.Second)}}}
		}, 1},
		"shown, log late": {func(at time.Time) *logbook {
			return &logbook{fails: 3, entries: []messaging.LogEntry{{ID: "x", CreatedAt: at}}}
		}, 1},
		"absent": {func(time.Time) *logbook { return &logbook{} }, 2},
		"somebody else's": {func(at time.Time) *logbook {
			return &logbook{entries: []messaging.LogEntry{{ID: "x", CreatedAt: at.Add(time.Minute)}}}
		}, 1},
		"never readable": {func(time.Time) *logbook { return &logbook{fails: 1 << 20} }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := start(t, instant{echo}, messaging.Config{Log: c.log(time.Now())})
				b.wire.answer(nil)
				b.inbound("m1", "+12025550101", "a")
				synctest.Wait()
				b.wire.sent()[0].done(relay.Answer{Err: fmt.Errorf("reset: %w", relay.ErrInDoubt)})
				b.wire.answer(accepted)
				time.Sleep(6 * time.Minute)
				synctest.Wait()
				diff(t, "frames", c.sends, len(b.wire.sent()))
				time.Sleep(time.Hour)
				b.end()
			})
		})
	}
}

// asked is a message log that notes when it is asked.
type asked struct{ at []time.Time }

func (a *asked) Outbound(context.Context, []messaging.Conversation, time.Time, time.Time) ([]messaging.LogEntry, error) {
	a.at = append(a.at, time.Now())
	return nil, nil
}

// What the conversation sends after a doubt is settled must lie outside the doubt's window
// in the log, however short the configured wait.
func TestTheLogIsNotAskedTooSoon(t *testing.T) {
	bubble(t, func(t *testing.T) {
		log := &asked{}
		b := start(t, instant{echo}, messaging.Config{Log: log, InDoubt: messaging.InDoubt{Wait: time.Second, Settle: time.Second}})
		b.wire.answer(nil)
		b.inbound("m1", "+12025550101", "a")
		synctest.Wait()
		left := time.Now()
		b.wire.sent()[0].done(relay.Answer{Err: fmt.Errorf("reset: %w", relay.ErrInDoubt)})
		b.wire.answer(accepted)
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(log.at) != 1 || log.at[0].Sub(left) < 5*time.Second {
			t.Errorf("the log was asked %v after the attempt, want once and not within 5 s", log.at)
		}
		diff(t, "frames", 2, len(b.wire.sent()))
		b.end()
	})
}
