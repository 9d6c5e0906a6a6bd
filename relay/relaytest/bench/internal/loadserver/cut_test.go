package loadserver

import (
	"errors"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// resubscribe keeps a client connected until stop is called or the test ends, each time with a fresh testClient. When stop
// returns, no event is being handled.
func resubscribe(t *testing.T, s *Server, onEvent func(*testClient, event)) (stop func()) {
	t.Helper()
	stopping, stopped := make(chan struct{}), make(chan struct{})
	c := subscribed(t, s, onEvent)
	go func() {
		defer close(stopped)
		for {
			select {
			case <-c.ended:
				c.ws.Close()
			case <-stopping:
				c.ws.Close()
				<-c.ended
				return
			}
			next, err := connect(t, s, onEvent)
			if err != nil {
				t.Errorf("dial again: %v", err)
				return
			}
			c = next
			c.subscribe()
		}
	}()
	stop = sync.OnceFunc(func() {
		close(stopping)
		<-stopped
	})
	t.Cleanup(stop)
	return stop
}

func TestResetWithRedelivery(t *testing.T) {
	t.Parallel()
	const messages, every = 400, 100
	s := start(t, Config{Messages: messages, Outstanding: 16, ResetEvery: every, Redeliver: true, Linger: 20 * time.Millisecond})
	resubscribe(t, s, nil)
	r := serveLoad(t, s)
	if r.Resets != messages/every-1 || len(r.Resubscribes) != r.Resets {
		t.Errorf("%d resets and %d subscriptions after them, want %d of each", r.Resets, len(r.Resubscribes), messages/every-1)
	}
	// This client forgets what it has sent, and answers every delivery: what the platform redelivers is answered again.
	if r.UnansweredUnacked != 0 || r.Answered+r.UnansweredAcked != messages {
		t.Errorf("%d answered, %d lost by the client, %d lost by the platform; redelivery loses none",
			r.Answered, r.UnansweredAcked, r.UnansweredUnacked)
	}
	if r.AnswersLost < r.Resets {
		t.Errorf("%d answers lost in %d resets: each takes at least the one that triggered it", r.AnswersLost, r.Resets)
	}
	if r.MaxLive != 1 || r.StaleAcks != 0 {
		t.Errorf("%d sockets at once, %d stale acks", r.MaxLive, r.StaleAcks)
	}
}

func TestResetIsAReset(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Messages: 20, Outstanding: 4, ResetEvery: 10, Patience: 100 * time.Millisecond})
	c := subscribed(t, s, func(c *testClient, ev event) {
		c.ack(ev)
		c.answer(ev)
	})
	tcp := c.ws.NetConn()
	r := serveLoad(t, s)
	if !r.Stalled || r.Resets != 1 {
		t.Errorf("stalled %v after %d resets, want a stall after one: this client does not come back", r.Stalled, r.Resets)
	}
	<-c.ended
	if _, err := tcp.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a write behind the reset: %v, want a broken pipe or a reset", err)
	}
}

// A repeat of a reply whose confirmation was lost is excused once; any other is needless.
func TestNeedlessRepeats(t *testing.T) {
	t.Parallel()
	// With one outstanding, the tenth answer is the one that the reset takes the confirmation of.
	s := start(t, Config{Messages: 20, Outstanding: 1, ResetEvery: 10, Redeliver: true, Linger: 50 * time.Millisecond})
	var tenth, early event
	resubscribe(t, s, func(c *testClient, ev event) {
		switch numberIn([]byte(ev.Params.Body)) {
		case 4:
			early = ev
		case 9:
			if tenth.ID == "" {
				tenth = ev
			} else { // redelivered, since the reset overtook its ack or not
				c.ack(ev)
				return
			}
		case 15:
			c.answer(early) // confirmed long ago
			c.answer(tenth) // never confirmed
			c.answer(tenth) // confirmed the second time
		}
		c.ack(ev)
		c.answer(ev)
	})
	if r := serveLoad(t, s); r.Repeats != 3 || r.NeedlessRepeats != 2 || r.AnswersLost != 1 {
		t.Errorf("%d repeats, %d needless, %d answers lost; want 3, 2 and 1", r.Repeats, r.NeedlessRepeats, r.AnswersLost)
	}
}

func TestStaleAck_R35(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Messages: 20, Outstanding: 4, ResetEvery: 10, Redeliver: true, Patience: 500 * time.Millisecond})
	var kept event
	var once bool
	resubscribe(t, s, func(c *testClient, ev event) {
		number := numberIn([]byte(ev.Params.Body))
		if number == 5 && kept.ID == "" {
			kept = ev // unacknowledged and unanswered: it comes again on the next connection
			return
		}
		if number == 5 && !once {
			once = true
			c.ack(kept)
		}
		c.ack(ev)
		c.answer(ev)
	})
	if r := serveLoad(t, s); r.StaleAcks != 1 {
		t.Errorf("%d stale acks, want 1", r.StaleAcks)
	}
}

func TestDisruptTakesThePlaceOfTheReset(t *testing.T) {
	t.Parallel()
	called := 0
	s := start(t, Config{Messages: 30, Outstanding: 4, ResetEvery: 10, Redeliver: true, Disrupt: func() { called++ }})
	resubscribe(t, s, nil)
	if r := serveLoad(t, s); called != 2 || r.Resets != 2 {
		t.Errorf("disrupted %d times in %d resets, want 2", called, r.Resets)
	}
}

// A send whose answer was lost was carried out: its states must reach the next connection, with its tags where they are
// echoed, since they are all that tells the client.
func TestStatesOfLostAnswersFollow(t *testing.T) {
	t.Parallel()
	for _, drop := range []bool{false, true} {
		s := start(t, Config{
			Messages: 200, Outstanding: 16, ResetEvery: 50, Redeliver: true, States: true, DropTags: drop,
			Linger: 50 * time.Millisecond,
		})
		told := make(map[string][]string)
		var tags []string
		stop := resubscribe(t, s, func(c *testClient, ev event) {
			c.ack(ev)
			if ev.Type == "messaging.state" {
				told[ev.Params.MessageID] = append(told[ev.Params.MessageID], ev.Params.State)
				tags = append(tags, ev.Params.Tags...)
			}
			c.answer(ev)
		})
		serveLoad(t, s)
		stop()
		s.mu.Lock()
		sends := len(s.sends)
		s.mu.Unlock()
		if len(told) != sends {
			t.Errorf("states of %d sends, want those of all %d", len(told), sends)
		}
		for id, states := range told {
			if !slices.Contains(states, "sent") || !slices.Contains(states, "delivered") {
				t.Errorf("send %s: states %v, want sent and delivered", id, states)
			}
		}
		if (len(tags) == 0) != drop {
			t.Errorf("tags dropped %v: %d tags were echoed", drop, len(tags))
		}
	}
}
