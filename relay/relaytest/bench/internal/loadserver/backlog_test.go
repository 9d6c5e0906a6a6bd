package loadserver

import (
	"testing"
	"time"
)

// A client that acknowledges everything before it answers anything gets everything, in a backlog only.
func TestBacklogComesAsFastAsItIsAcknowledged(t *testing.T) {
	t.Parallel()
	const messages, outstanding = 300, 8
	for _, backlog := range []bool{true, false} {
		s, err := Start(Config{Messages: messages, Outstanding: outstanding, Senders: 10, Backlog: backlog, Patience: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		var held []event
		most := outstanding
		if backlog {
			most = messages
		}
		subscribed(t, s, func(c *testClient, ev event) {
			c.ack(ev)
			if held = append(held, ev); len(held) == most {
				for _, ev := range held {
					c.answer(ev)
				}
				held = held[:0]
			}
		})
		r, err := s.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		// In the closed loop of answers the last ones do not fill a hand.
		want := messages / most * most
		if r.Answered != want || r.Answered+r.UnansweredAcked != messages || r.Inversions != 0 {
			t.Errorf("backlog %v: answered %d, want %d: %+v", backlog, r.Answered, want, r)
		}
	}
}

func TestBacklogWaitsForAcknowledgementsAndAnswers(t *testing.T) {
	t.Parallel()
	const messages, outstanding = 100, 8
	for name, test := range map[string]struct {
		do           func(c *testClient, ev event)
		acked, given int // of the first moment
	}{
		"unacknowledged": {func(c *testClient, ev event) {}, 0, outstanding},
		"unanswered":     {func(c *testClient, ev event) { c.ack(ev) }, messages, messages},
	} {
		s, err := Start(Config{Messages: messages, Outstanding: outstanding, Backlog: true, Patience: 300 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		times := make(chan time.Time, messages)
		subscribed(t, s, func(c *testClient, ev event) {
			times <- time.Now()
			test.do(c, ev)
		})
		began := time.Now()
		r, err := s.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		given := 0
		for len(times) > 0 {
			if at := <-times; at.Sub(began) < 300*time.Millisecond {
				given++
			}
		}
		if !r.Stalled || r.UnansweredAcked != test.acked || given > test.given {
			t.Errorf("%s: %d came before the patience ended, want at most %d; %+v", name, given, test.given, r)
		}
	}
}

func TestBacklogIsWithoutResets(t *testing.T) {
	t.Parallel()
	for _, cfg := range []Config{{Backlog: true, ResetEvery: 1}, {Backlog: true, Rate: 1}} {
		if s, err := Start(cfg); err == nil {
			s.Close()
			t.Errorf("%+v is accepted", cfg)
		}
	}
}
