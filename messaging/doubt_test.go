package messaging_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/relay"
)

func TestDoubtHoldsTheConversationUntilReleased(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := start(t, instant{echo}, messaging.Config{})
		b.wire.answer(nil)
		b.inbound("m1", "+12025550101", "a")
		synctest.Wait()
		b.wire.sent()[0].done(relay.Answer{Err: fmt.Errorf("reset: %w", relay.ErrInDoubt)})
		b.wire.answer(accepted)
		b.inbound("m2", "+12025550101", "b")
		b.inbound("m3", "+12025550102", "c")
		time.Sleep(10*time.Minute - 1)
		synctest.Wait()
		diff(t, "while held", []string{"You said: a", "You said: c"}, b.wire.bodies())
		diff(t, "in doubt", 1, b.eng.Status().InDoubt)
		time.Sleep(1)
		synctest.Wait()
		diff(t, "released", []string{"You said: a", "You said: c", "You said: b"}, b.wire.bodies())
		time.Sleep(2 * time.Second)
		diff(t, "still shown", 1, b.eng.Status().InDoubt)
		b.end()
	})
}

func TestDoubtIsSettledByTheTagOfAState(t *testing.T) {
	for name, early := range map[string]bool{"state after the loss": false, "state before the loss": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := start(t, instant{echo}, messaging.Config{InDoubt: messaging.InDoubt{Wait: 2 * time.Second, Resend: true}})
				b.wire.answer(nil)
				b.inbound("m1", "+12025550101", "a")
				synctest.Wait()
				f := b.wire.sent()[0]
				if early {
					b.state("pm1", "sent", f.Tags[0])
					synctest.Wait()
				}
				f.done(relay.Answer{Err: fmt.Errorf("reset: %w", relay.ErrInDoubt)})
				synctest.Wait()
				if !early {
					b.state("pm1", "sent", f.Tags[0])
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				diff(t, "frames", 1, len(b.wire.sent()))
				b.end()
				s := b.eng.Status()
				diff(t, "answered, in doubt", []int64{1, 0}, []int64{s.Answered, int64(s.InDoubt)})
			})
		})
	}
}

func TestDoubtIsSentAgainByPolicyAfterTheWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := start(t, instant{echo}, messaging.Config{InDoubt: messaging.InDoubt{Wait: 2 * time.Second, Resend: true}})
		b.wire.answer(nil)
		b.inbound("m1", "+12025550101", "a")
		b.inbound("m2", "+12025550101", "b")
		synctest.Wait()
		first := b.wire.sent()[0]
		first.done(relay.Answer{Err: fmt.Errorf("reset: %w", relay.ErrInDoubt)})
		b.wire.answer(accepted)
		time.Sleep(2*time.Second - 1)
		synctest.Wait()
		diff(t, "before the wait is over", 1, len(b.wire.sent()))
		time.Sleep(1)
		synctest.Wait()
		diff(t, "after", []string{"You said: a", "You said: a", "You said: b"}, b.wire.bodies())
		if b.wire.sent()[1].id == first.id {
			t.Error("the second attempt reuses the first one's id")
		}
		b.end()
		diff(t, "answered", int64(2), b.eng.Status().Answered)
	})
}

func TestUnansweredSendBecomesADoubtAndTheSessionIsProbed_R52(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := start(t, instant{echo}, messaging.Config{})
		b.wire.answer(nil)
		b.inbound("m1", "+12025550101", "a")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		diff(t, "probes", 1, b.wire.probes)
		b.eng.Enqueue(t.Context(), messaging.Send{From: "+12025550199", To: "+12025550198", Context: "c", Body: "x"}) // makes the engine turn
		synctest.Wait()
		time.Sleep(2 * time.Second)
		diff(t, "in doubt", 1, b.eng.Status().InDoubt)
		for _, f := range b.wire.sent() { // late, R11
			f.done(*accepted(f))
		}
		synctest.Wait()
		b.end()
		diff(t, "answered by the late result", int64(1), b.eng.Status().Answered)
	})
}
