package relay

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

func contextsOf(t *testing.T, m msg) []string {
	t.Helper()
	var p struct{ Contexts []string }
	if err := json.Unmarshal(m.Params, &p); err != nil {
		t.Fatal(err)
	}
	return p.Contexts
}

func wantContexts(t *testing.T, m msg, want ...string) {
	t.Helper()
	if got := contextsOf(t, m); !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", m.Method, got, want)
	}
}

const ok200 = `{"code":"200","message":"Receiving events"}`

func TestContextsAreStateEvenOffline_R23(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		sp.setRefuse(true)
		r := sp.run()
		time.Sleep(time.Second)
		r.Receive("alerts", "night")
		r.Unreceive("office")
		sp.setRefuse(false)
		p := sp.accept()
		m := p.read()
		wantContexts(t, m, "alerts", "night")
		p.answer(m, connectResultJSON)
		m = p.expect("signalwire.receive")
		wantContexts(t, m, "alerts", "night")
		p.answer(m, ok200)
		r.ready(t)

		// A runtime change survives the next reconnect, and needs none.
		r.SetContexts([]string{"night", "day"})
		m = p.expect("signalwire.receive")
		wantContexts(t, m, "day")
		p.answer(m, ok200)
		m = p.expect("signalwire.unreceive")
		wantContexts(t, m, "alerts")
		p.answer(m, `{"code":"200","message":"Unreceiving events"}`)
		synctest.Wait()
		if st := r.Status(); !slices.Equal(st.Contexts, []string{"day", "night"}) || len(st.Missing) != 0 {
			t.Errorf("status: contexts %q, missing %q", st.Contexts, st.Missing)
		}
		p.conn.reset()
		p = sp.accept()
		wantContexts(t, p.read(), "night", "day")
	})
}

func TestReadyOnlyAfterReceive_R24(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run(func(c *Config) { c.Contexts = []string{"office", "alerts"} })
		for range 2 {
			p := sp.accept()
			p.answer(p.read(), connectResultJSON)
			m := p.expect("signalwire.receive")
			wantContexts(t, m, "office", "alerts")
			synctest.Wait()
			if st := r.Status(); st.State != StateAuthenticating || st.Ready() {
				t.Errorf("state before the 2xx: got %s", st.State)
			}
			early := make(chan Answer, 1)
			r.Go(uuid.New(), "messaging.send", nil, func(a Answer) { early <- a })
			if a := <-early; !errors.Is(a.Err, ErrNotSent) {
				t.Errorf("Go before ready: got %v, want ErrNotSent", a.Err)
			}
			p.answer(m, ok200)
			r.ready(t)
			// Once: nothing but pings follows.
			go p.serve()
			time.Sleep(time.Minute)
			p.conn.reset()
			synctest.Wait()
		}
	})
}

func TestServeCountsNoSecondReceive_R24(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		p := sp.ready()
		r.ready(t)
		deadline := time.Now().Add(10 * time.Minute)
		for time.Now().Before(deadline) {
			m := p.read()
			if m.Method != "signalwire.ping" {
				t.Fatalf("on an idle session: got %s, want pings only", m.Method)
			}
			p.answer(m, `{}`)
		}
	})
}

func TestNoContextsNoReceive_R24(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run(func(c *Config) { c.Contexts = nil })
		p := sp.accept()
		p.answer(p.read(), connectResultJSON)
		r.ready(t)
		if m := p.read(); m.Method != "signalwire.ping" {
			t.Errorf("got %s, want no receive of an empty list", m.Method)
		}
	})
}

func TestFailedReceiveIsVisibleAndRetried_R25(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		p := sp.accept()
		p.answer(p.read(), connectResultJSON)
		last := time.Now()
		for i := range 6 {
			m := p.expect("signalwire.receive")
			if i > 0 {
				if wait, most := time.Since(last), firstCeiling<<(i-1); wait > most {
					t.Errorf("retry %d after %s, want at most %s", i, wait, most)
				}
			}
			p.answer(m, `{"code":"402","message":"Payment required"}`)
			last = time.Now()
			synctest.Wait()
			st := r.Status()
			if st.State != StateAuthenticating || st.LastError.Code != "402" || !slices.Equal(st.Missing, []string{"office"}) || len(st.Contexts) != 0 {
				t.Errorf("after refusal %d: %+v", i, st)
			}
		}
		p.answer(p.expect("signalwire.receive"), ok200)
		r.ready(t)
		if n, _ := sp.counts(); n != 1 {
			t.Errorf("%d connections, want the one", n)
		}
	})
}

func TestUnansweredReceiveIsRetried_R25(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		p := sp.accept()
		p.answer(p.read(), connectResultJSON)
		p.expect("signalwire.receive")
		start := time.Now()
		m := p.expect("signalwire.receive")
		if d := time.Since(start); d < DefaultCallTimeout {
			t.Errorf("asked again after %s, want after the call timeout", d)
		}
		p.answer(m, ok200)
		r.ready(t)
	})
}

func TestChangesAreSerialised_R25(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		p := sp.ready()
		r.ready(t)
		r.Receive("a")
		first := p.expect("signalwire.receive")
		r.Receive("b")
		r.Unreceive("a")
		synctest.Wait()
		p.held = nil
		if n := p.r.Buffered(); n != 0 {
			t.Errorf("%d bytes while a change is under way", n)
		}
		p.answer(first, ok200)
		m := p.expect("signalwire.receive")
		wantContexts(t, m, "b")
		p.answer(m, ok200)
		wantContexts(t, p.expect("signalwire.unreceive"), "a")
	})
}

// A name whose unreceive got lost may or may not be subscribed: wanted again,
// it is asked for again.
func TestDoubtfulUnreceiveIsNotTrusted_R25(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		p := sp.ready()
		r.ready(t)
		r.SetContexts(nil)
		m := p.expect("signalwire.unreceive")
		r.SetContexts([]string{"office"})
		p.answer(m, `{"code":"500","message":"later"}`)
		wantContexts(t, p.expect("signalwire.receive"), "office")
	})
}

func TestRemovedWhileOfflineIsUnreceivedAfterResume_R23(t *testing.T) {
	for _, resumed := range []bool{true, false} {
		bubble2(t, map[bool]string{true: "resumed", false: "fresh"}[resumed], func(t *testing.T, sp *space) {
			r := sp.run(func(c *Config) { c.Contexts = []string{"office", "alerts"} })
			p := sp.ready()
			r.ready(t)
			sp.setRefuse(true)
			p.conn.reset()
			synctest.Wait()
			r.Unreceive("alerts")
			sp.setRefuse(false)
			p = sp.accept()
			result := connectResultJSON
			if !resumed {
				result = `{"protocol":"signalwire_new_1"}`
			}
			p.answer(p.read(), result)
			m := p.expect("signalwire.receive")
			wantContexts(t, m, "office")
			p.answer(m, ok200)
			r.ready(t)
			if !resumed {
				synctest.Wait()
				if m := p.read(); m.Method != "signalwire.ping" {
					t.Errorf("got %s, want nothing to take back on a fresh session", m.Method)
				}
				return
			}
			wantContexts(t, p.expect("signalwire.unreceive"), "alerts")
		})
	}
}

func bubble2(t *testing.T, name string, f func(t *testing.T, sp *space)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { bubble(t, f) })
}

func TestPauseKeepsTheDesiredSet(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		p := sp.ready()
		r.ready(t)
		r.Pause("journal full")
		m := p.expect("signalwire.unreceive")
		wantContexts(t, m, "office")
		p.answer(m, `{"code":"200"}`)
		synctest.Wait()
		if st := r.Status(); st.Paused != "journal full" || len(st.Contexts) != 0 || st.State != StateSubscribed {
			t.Errorf("while paused: %+v", st)
		}
		// A reconnect while paused subscribes to nothing.
		p.conn.reset()
		p = sp.accept()
		m = p.read()
		wantContexts(t, m)
		p.answer(m, connectResultJSON)
		r.ready(t)
		r.Resume()
		m = p.expect("signalwire.receive")
		wantContexts(t, m, "office")
		p.answer(m, ok200)
		synctest.Wait()
		if st := r.Status(); st.Paused != "" || !slices.Equal(st.Contexts, []string{"office"}) {
			t.Errorf("after Resume: %+v", st)
		}
	})
}

func TestShutdownUnreceivesAndStopsEvents(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		p := sp.ready()
		r.ready(t)
		gone := make(chan error, 1)
		go func() { gone <- r.Shutdown(context.Background()) }()
		m := p.expect("signalwire.unreceive")
		p.event(`"late"`, "messaging.receive") // the platform does not know yet
		ev := <-r.events
		if err := ev.Ack(); err != nil {
			t.Error(err)
		}
		p.expectReply(`"late"`)
		select {
		case err := <-gone:
			t.Fatalf("Shutdown returned %v before the platform confirmed", err)
		default:
		}
		p.answer(m, `{"code":"200"}`)
		if err := <-gone; err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		p.event(`"later"`, "messaging.receive")
		synctest.Wait()
		if len(r.events) != 0 || r.Status().Dropped != 1 {
			t.Errorf("an event after Shutdown: %d handed on, %d dropped; want 0, 1", len(r.events), r.Status().Dropped)
		}
		// Requests still work.
		answer := make(chan Answer, 1)
		r.Go(uuid.New(), "messaging.send", []byte(`{}`), func(a Answer) { answer <- a })
		p.answer(p.expect("messaging.send"), ok200)
		if a := <-answer; a.Err != nil {
			t.Errorf("Go after Shutdown: %v", a.Err)
		}
	})
}

func TestShutdownIsBounded_R36(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		p := sp.ready()
		r.ready(t)
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		start := time.Now()
		if err := r.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown against a silent platform: got %v", err)
		}
		if d := time.Since(start); d != 3*time.Second {
			t.Errorf("Shutdown took %s, want 3 s", d)
		}
		_ = p
		sp.setRefuse(true)
		p.conn.reset()
		synctest.Wait()
		if err := r.Shutdown(context.Background()); err != nil {
			t.Errorf("Shutdown without a session: %v", err)
		}
	})
}
