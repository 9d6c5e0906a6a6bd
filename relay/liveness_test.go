package relay

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

func TestPingIsEchoed_R26(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		p := sp.ready()
		r.ready(t)
		for _, tt := range []struct{ id, params, want string }{
			{`"a"`, `,"params":{"timestamp":1790000000.123456789,"payload":"x\u0041é"}`, `{"timestamp":1790000000.123456789,"payload":"x\u0041é"}`},
			{`17`, `,"params":{"timestamp":1.50}`, `{"timestamp":1.50}`},
			{`"b"`, `,"params":{"payload":"only"}`, `{"payload":"only"}`},
			{`"c"`, `,"params":{}`, `{}`},
			{`"d"`, `,"params":null`, `{}`},
			{`"e"`, ``, `{}`},
			{`"f"`, `,"params":[1]`, `{}`},
			{`"g"`, `,"params":{"timestamp":null}`, `{}`},
		} {
			p.write(`{"jsonrpc":"2.0","id":%s,"method":"signalwire.ping"%s}`, tt.id, tt.params)
			got := string(p.expectReply(tt.id).raw)
			// Byte for byte: a timestamp that has been through a float is
			// another one.
			if want := fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":%s}`, tt.id, tt.want); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		}
		// A notification is not answered.
		p.write(`{"jsonrpc":"2.0","method":"signalwire.ping","params":{}}`)
		p.write(`{"jsonrpc":"2.0","id":null,"method":"signalwire.ping","params":{}}`)
		p.write(`{"jsonrpc":"2.0","id":"last","method":"signalwire.ping"}`)
		if m := p.find(func(m *msg) bool { return m.Method == "" }); string(m.ID) != `"last"` {
			t.Errorf("answered a notification: %s", m.raw)
		}
	})
}

// Ten thousand events that nobody acknowledges must not delay a pong.
func TestPingIsAnsweredWhileEventsWait_R26(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		sp.room = 16 << 20
		r := sp.run()
		p := sp.ready()
		r.ready(t)
		for i := range 10000 {
			p.event(fmt.Sprint(i), "messaging.receive")
		}
		p.write(`{"jsonrpc":"2.0","id":"pg","method":"signalwire.ping","params":{"timestamp":1}}`)
		start := time.Now()
		p.expectReply(`"pg"`)
		if d := time.Since(start); d != 0 {
			t.Errorf("pong after %s", d)
		}
		if st := r.Status(); st.Unacked != 10000 {
			t.Errorf("unacked: got %d, want 10000", st.Unacked)
		}
	})
}

// Nothing at all comes back: found after silence and probe, without a close
// handshake.
func TestSilentPeerIsFound_R27(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		p := sp.ready()
		r.ready(t)
		p.answer(p.expect("signalwire.ping"), `{}`)
		start := time.Now()
		m := p.expect("signalwire.ping")
		if d := time.Since(start); d != DefaultSilenceTimeout {
			t.Errorf("probed after %s, want %s", d, DefaultSilenceTimeout)
		}
		_ = m
		if _, err := p.try(); err == nil || errors.Is(err, errPeerClose) {
			t.Errorf("got %v, want the socket gone without a close frame", err)
		}
		if d := time.Since(start); d > 25*time.Second {
			t.Errorf("found after %s, want within 25 s", d)
		}
		sp.ready()
		r.ready(t)
		if st := r.Status(); st.Disconnects[reasonSilent] != 1 {
			t.Errorf("disconnects: %v", st.Disconnects)
		}
	})
}

// No server ping was ever seen, and not one frame after receive.
func TestSilentFromTheStartIsFound_R27(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		p := sp.ready()
		r.ready(t)
		start := time.Now()
		for {
			if _, err := p.try(); err != nil {
				break
			}
		}
		if d := time.Since(start); d > 25*time.Second {
			t.Errorf("found after %s", d)
		}
	})
}

// The peer sends but does not read: half-open the other way.
func TestDeafPeerIsFound_R27(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		p := sp.ready()
		r.ready(t)
		p.answer(p.expect("signalwire.ping"), `{}`)
		start := time.Now()
		lost := make(chan struct{})
		go func() { // pings on, reads never again
			for i := 0; ; i++ {
				p.write(`{"jsonrpc":"2.0","id":%d,"method":"signalwire.ping","params":{}}`, i)
				select {
				case <-lost:
					return
				case <-time.After(5 * time.Second):
				}
			}
		}()
		sp.ready()
		close(lost)
		if d := time.Since(start); d > 25*time.Second {
			t.Errorf("found and reconnected after %s, want within 25 s", d)
		}
		r.ready(t)
		if st := r.Status(); st.Disconnects[reasonUnheard] != 1 {
			t.Errorf("disconnects: %v", st.Disconnects)
		}
	})
}

// An answer to the probe, even a refusal, is life.
func TestRefusedProbeIsAnAnswer_R27(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		p := sp.ready()
		r.ready(t)
		for range 20 {
			p.refuse(p.await("signalwire.ping"), "-32601", "Method not found")
		}
		if n, _ := sp.counts(); n != 1 {
			t.Errorf("%d connections, want 1", n)
		}
		if st := r.Status(); st.LastPong.IsZero() {
			t.Error("no pong noted")
		}
	})
}

// A peer that never answers pings, but sends frames, is alive.
func TestUnansweredProbeWithFramesIsLife_R52(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		p := sp.accept()
		p.answer(p.await("signalwire.connect"), connectResultJSON)
		p.answer(p.await("signalwire.receive"), ok200)
		go func() {
			for {
				if _, err := p.try(); err != nil {
					return
				}
			}
		}()
		for i := range 60 {
			p.write(`{"jsonrpc":"2.0","id":%d,"method":"signalwire.ping","params":{}}`, i)
			time.Sleep(5 * time.Second)
		}
		if n, _ := sp.counts(); n != 1 || r.Status().State != StateSubscribed {
			t.Fatalf("%d connections, state %s", n, r.Status().State)
		}
		// What jsonrpc2 keeps for the unanswered pings does not grow.
		s := r.current.Load()
		s.mu.Lock()
		left := len(s.pending) + len(s.abandoned)
		s.mu.Unlock()
		if left > 2 {
			t.Errorf("%d unanswered calls are kept", left)
		}
	})
}

func TestCallTimeoutProbesAndKeepsTheConnection_R52(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		p := sp.ready()
		r.ready(t)
		p.answer(p.expect("signalwire.ping"), `{}`)
		result := make(chan error, 1)
		start := time.Now()
		go func() {
			var got map[string]any
			err := r.Call(context.Background(), "x.slow", map[string]int{"a": 1}, &got)
			if err == nil || got != nil {
				t.Errorf("a call without an answer: got %v, %v", got, err)
			}
			result <- err
		}()
		p.expect("x.slow")
		// Frames go on coming, so the silence timer is not what probes.
		time.Sleep(8 * time.Second)
		p.event(`1`, "x")
		m := p.await("signalwire.ping")
		if d := time.Since(start); d != DefaultCallTimeout {
			t.Errorf("probed after %s, want right after the call timeout of %s", d, DefaultCallTimeout)
		}
		p.answer(m, `{}`)
		err := <-result
		if !errors.Is(err, ErrInDoubt) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Call: got %v, want ErrInDoubt with the deadline as cause", err)
		}
		time.Sleep(time.Second)
		if n, _ := sp.counts(); n != 1 {
			t.Error("a call timeout closed the connection")
		}
	})
}

func TestProbeAsksNow_R52(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		r.Probe() // without a session: nothing
		p := sp.ready()
		r.ready(t)
		p.answer(p.await("signalwire.ping"), `{}`)
		time.Sleep(time.Second)
		start := time.Now()
		r.Probe()
		r.Probe()
		m := p.await("signalwire.ping")
		if d := time.Since(start); d != 0 {
			t.Errorf("probed after %s", d)
		}
		time.Sleep(40 * time.Millisecond)
		p.answer(m, `{}`)
		synctest.Wait()
		if st := r.Status(); st.RTT != 40*time.Millisecond || st.PongAge() != 0 {
			t.Errorf("RTT %s, pong age %s; want 40ms, 0", st.RTT, st.PongAge())
		}
	})
}

// Answers prove as much as pongs: a busy session is not pinged.
func TestBusySessionIsNotPinged_R27(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		p := sp.ready()
		r.ready(t)
		synctest.Wait()
		for range 60 {
			got := r.ask("messaging.send", `{}`)
			m := p.await("messaging.send")
			p.answer(m, `{"code":"200"}`)
			if a := <-got; a.Err != nil {
				t.Fatal(a.Err)
			}
			time.Sleep(5 * time.Second)
			if p.r.Buffered() > 0 {
				t.Fatal("a ping on a busy session")
			}
			synctest.Wait()
			p.conn.in.mu.Lock()
			n := len(p.conn.in.buf)
			p.conn.in.mu.Unlock()
			if n > 0 {
				t.Fatalf("%d bytes on a session that is waiting for nothing", n)
			}
		}
	})
}

// Timers belong to a connection: the old one's cannot end the new one, and the
// new one has its own.
func TestLivenessIsReArmed_R29(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		for range 3 {
			p := sp.ready()
			r.ready(t)
			p.answer(p.await("signalwire.ping"), `{}`)
			start := time.Now()
			p.await("signalwire.ping")
			if d := time.Since(start); d != DefaultSilenceTimeout {
				t.Errorf("probed after %s", d)
			}
			if _, err := p.try(); err == nil {
				t.Error("not closed")
			}
			synctest.Wait()
		}
		if st := r.Status(); st.Disconnects[reasonSilent] != 3 {
			t.Errorf("disconnects: %v", st.Disconnects)
		}
	})
}

func TestOldConnectionDoesNotTouchTheNew_R28(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		old := sp.ready()
		r.ready(t)
		old.event(`"old"`, "x")
		ev := <-r.events
		// The old connection is 11 s into its silence, then dies.
		go old.serve()
		time.Sleep(11 * time.Second)
		old.conn.reset()
		p := sp.ready()
		r.ready(t)
		go func() {
			old.conn.Close()
			old.event(`"ghost"`, "x")
		}()
		go p.serve()
		time.Sleep(time.Hour)
		if n, _ := sp.counts(); n != 2 || r.Status().State != StateSubscribed {
			t.Errorf("%d connections, state %s", n, r.Status().State)
		}
		if err := ev.Ack(); !errors.Is(err, ErrStaleAck) {
			t.Errorf("Ack of the old connection: got %v, want ErrStaleAck", err)
		}
		if len(r.events) != 0 {
			t.Error("an event of the dead connection was handed on")
		}
	})
}

// An answer that never comes does not keep its request for ever.
func TestForgottenAnswersAreInDoubt(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		p := sp.ready()
		r.ready(t)
		got := make(chan Answer, 1)
		r.Go(uuid.New(), "messaging.send", []byte(`{}`), func(a Answer) { got <- a })
		p.expect("messaging.send")
		go func() {
			for {
				m, err := p.try()
				if err != nil {
					return
				}
				p.answer(m, `{}`)
			}
		}()
		start := time.Now()
		a := <-got
		if d := time.Since(start); d < answerPatience || d > answerPatience+time.Minute {
			t.Errorf("given up after %s", d)
		}
		if !errors.Is(a.Err, ErrInDoubt) {
			t.Errorf("got %v, want ErrInDoubt", a.Err)
		}
	})
}
