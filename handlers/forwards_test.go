package handlers_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signpost-sms/signpost/handlers"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/messagingtest"
)

// claim is the key that a send to the sender gets; empty if it is nobody's.
func claim(f *handlers.Forwards, body string) string {
	_, key, _ := f.Claim(ours, sender, body)
	return key
}

func TestClaimGivesTheSameKeyInEveryAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, ev := handlers.NewForwards(), message("HELP")
		if key := claim(f, "a"); key != "" {
			t.Errorf("before any forward: got %q, want nothing", key)
		}
		first := f.Begin(ev)
		id, a, ok := f.Claim(ours, sender, "a")
		if !ok || id != ev.ID {
			t.Errorf("claim: got %q, %v, want the inbound %q", id, ok, ev.ID)
		}
		again, b := claim(f, "a"), claim(f, "b")
		if a == again || a == b || again == b || b == "" {
			t.Errorf("three posts: got the keys %q, %q and %q, want three", a, again, b)
		}
		f.End(first, true, false)

		second := f.Begin(ev)
		if got := claim(f, "a"); got != a {
			t.Errorf("the first post of the second attempt: got %q, want %q", got, a)
		}
		if got := claim(f, "a"); got != again {
			t.Errorf("the second post of the second attempt: got %q, want %q", got, again)
		}
		f.End(second, true, true)
		if _, _, ok := f.Claim(sender, ours, "a"); ok {
			t.Error("the pair turned round was claimed")
		}
		if _, _, ok := f.Claim(ours, "+12025550199", "a"); ok {
			t.Error("another person's send was claimed")
		}
	})
}

// After a timeout the endpoint may be at work twice: its late answer and that of the next
// attempt must become one send.
func TestLateAnswerOfAnAttemptIsNotSentTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, ev := handlers.NewForwards(), message("HELP")
		f.End(f.Begin(ev), false, false)
		f.Begin(ev)
		late, own := claim(f, "a"), claim(f, "a")
		if late != own || late == "" {
			t.Errorf("the late post and the attempt's own: got %q and %q, want one key", late, own)
		}
		// Twice in one attempt stays twice.
		f, ev = handlers.NewForwards(), message("HELP")
		w := f.Begin(ev)
		one, two := claim(f, "a"), claim(f, "a")
		f.End(w, false, false)
		f.Begin(ev)
		if got, want := fmt.Sprint(claim(f, "a"), claim(f, "a"), claim(f, "a")), fmt.Sprint(one, two, two); got != want {
			t.Errorf("after an attempt that posted it twice: got %s, want %s", got, want)
		}
		// What a process before this one may have forwarded counts as such an attempt.
		ev = message("HELP")
		time.Sleep(time.Second)
		f = handlers.NewForwards()
		f.Begin(ev)
		if a, b := claim(f, "a"), claim(f, "a"); a != b {
			t.Errorf("a message from before the start: got %q and %q, want one key", a, b)
		}
	})
}

func TestClaimEndsWithTheForward(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, ev := handlers.NewForwards(), message("HELP")
		f.End(f.Begin(ev), true, true)
		time.Sleep(time.Minute)
		if claim(f, "a") == "" {
			t.Error("a minute after the success: not claimed, want it to be: many answer after their 200")
		}
		time.Sleep(time.Second)
		if key := claim(f, "a"); key != "" {
			t.Errorf("later than that: got %q, want nothing", key)
		}
		f.End(f.Begin(ev), true, false)
		time.Sleep(10 * time.Minute)
		if claim(f, "a") == "" {
			t.Error("unfinished for ten minutes: not claimed")
		}
		time.Sleep(11 * time.Minute)
		if key := claim(f, "a"); key != "" {
			t.Errorf("forgotten: got %q, want nothing", key)
		}
	})
}

func TestForwardsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := handlers.NewForwards()
		for i := range 20_000 {
			from := messaging.Number(fmt.Sprintf("+1202%07d", i))
			f.End(f.Begin(messagingtest.NewMessage("support", from, ours, "x")), true, true)
			time.Sleep(time.Second)
		}
		if got, most := f.Len(), 2048; got > most {
			t.Errorf("remembered: got %d, want at most %d", got, most)
		}
	})
}
