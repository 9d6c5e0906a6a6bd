package relay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

func TestDisconnectDrains_R30(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		p := sp.ready()
		r.ready(t)
		open := r.ask("messaging.send", `{"n":1}`)
		m := p.expect("messaging.send")
		p.event(`"e0"`, "messaging.receive")
		before := <-r.events
		start := time.Now()
		p.write(`{"jsonrpc":"2.0","id":"d-1","method":"signalwire.disconnect","params":{"restart":false}}`)
		jsonEqual(t, p.expectReply(`"d-1"`).raw, `{"jsonrpc":"2.0","id":"d-1","result":{}}`)
		synctest.Wait()
		if got := r.Status().State; got != StateDraining {
			t.Errorf("state: got %s, want draining", got)
		}
		// No new requests.
		if a := <-r.ask("messaging.send", `{"n":2}`); !errors.Is(a.Err, ErrNotSent) {
			t.Errorf("Go while draining: got %v, want ErrNotSent", a.Err)
		}
		if err := r.Call(t.Context(), "x.y", nil, nil); !errors.Is(err, ErrNotSent) {
			t.Errorf("Call while draining: got %v, want ErrNotSent", err)
		}
		// Events, acks, pings and open answers go on.
		p.event(`"e1"`, "messaging.receive")
		for _, ev := range []*Event{before, <-r.events} {
			if err := ev.Ack(); err != nil {
				t.Errorf("Ack while draining: %v", err)
			}
		}
		p.expectReply(`"e0"`)
		p.expectReply(`"e1"`)
		p.write(`{"jsonrpc":"2.0","id":"pg","method":"signalwire.ping"}`)
		p.expectReply(`"pg"`)
		p.answer(m, `{"code":"200"}`)
		if a := <-open; a.Err != nil {
			t.Errorf("a request from before the drain: %v", a.Err)
		}
		// The platform does not close: we do, after five seconds.
		for {
			m, err := p.try()
			if err != nil {
				break
			}
			if m.Method != "" {
				t.Errorf("a request on a draining connection: %s", m.Method)
			}
		}
		if d := time.Since(start); d != DefaultDrainTimeout {
			t.Errorf("closed after %s, want %s", d, DefaultDrainTimeout)
		}
		sp.ready()
		r.ready(t)
		if d := time.Since(start); d > DefaultDrainTimeout+firstCeiling {
			t.Errorf("back after %s", d)
		}
		if st := r.Status(); st.Disconnects[reasonDrained] != 1 {
			t.Errorf("disconnects: %v", st.Disconnects)
		}
	})
}

// Requests that wait behind a stuck write when the disconnect comes are called
// back: not sent, and indeed never seen.
func TestDisconnectCallsBackWhatHasNotLeft_R30(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		sp.room = 8 << 10
		r := sp.run()
		p := sp.ready()
		r.ready(t)
		p.answer(p.expect("signalwire.ping"), `{}`)
		var mu sync.Mutex
		notSent := map[string]bool{}
		body := fmt.Sprintf(`{"body":%q}`, strings.Repeat("x", 500))
		for range 1000 {
			id := uuid.New()
			r.Go(id, "messaging.send", []byte(body), func(a Answer) {
				if errors.Is(a.Err, ErrNotSent) {
					mu.Lock()
					notSent[id.String()] = true
					mu.Unlock()
				}
			})
		}
		synctest.Wait()
		p.write(`{"jsonrpc":"2.0","id":1,"method":"signalwire.disconnect"}`)
		synctest.Wait()
		mu.Lock()
		called := len(notSent)
		mu.Unlock()
		if called < 500 {
			t.Errorf("%d of 1000 requests were called back", called)
		}
		seen := 0
		for {
			m, err := p.try()
			if err != nil {
				break
			}
			if m.Method == "messaging.send" {
				seen++
				if notSent[strings.Trim(string(m.ID), `"`)] {
					t.Fatalf("request %s was reported as not sent, and was sent", m.ID)
				}
			}
		}
		if seen+called != 1000 {
			t.Errorf("%d seen and %d called back, want 1000 together", seen, called)
		}
	})
}

func TestServerClosesAfterDisconnect_R30(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		p := sp.ready()
		r.ready(t)
		p.write(`{"jsonrpc":"2.0","id":1,"method":"signalwire.disconnect","params":{}}`)
		p.expectReply(`1`)
		p.send(wsFrame(8, true, "\x03\xe8bye"))
		start := time.Now()
		sp.ready()
		if d := time.Since(start); d > firstCeiling {
			t.Errorf("back after %s", d)
		}
		if st := r.Status(); st.Disconnects[reasonDrained] != 1 {
			t.Errorf("disconnects: %v", st.Disconnects)
		}
	})
}

func TestRestartForgetsResumeData_R31(t *testing.T) {
	for params, keeps := range map[string]bool{
		`,"params":{"restart":true}`: false, `,"params":{"restart":false}`: true, `,"params":{}`: true, ``: true,
		`,"params":null`: true, `,"params":{"restart":null}`: true, `,"params":{"restart":"true"}`: true,
	} {
		synctestRun(t, params, func(t *testing.T, sp *space) {
			sp.run()
			p := sp.ready()
			authState(p, `"a"`, "QUJD:REVG")
			p.write(`{"jsonrpc":"2.0","id":1,"method":"signalwire.disconnect"%s}`, params)
			p.expectReply(`1`)
			if !keeps { // what still comes belongs to the session that ends
				authState(p, `"b"`, "bmV3:ZXI=")
			}
			p.conn.Close()
			protocol, state := resumeOf(t, sp.accept().read())
			if got := protocol != "" && state != ""; got != keeps || (protocol == "") != (state == "") {
				t.Errorf("resume data: got %q, %q; want kept: %v", protocol, state, keeps)
			}
		})
	}
}

func TestPreviousSocketIsGoneBeforeTheNext_R33(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		for i := range 30 {
			p := sp.accept()
			switch i % 6 {
			case 0:
				p.accept()
				r.ready(t)
				p.conn.reset()
			case 1:
				p.read()
				p.conn.reset()
			case 2:
				p.read() // mute
			case 3:
				p.refuse(p.read(), "-32603", "x")
			case 4:
				p.accept()
				p.send(wsFrame(8, true, "\x03\xe9"))
			case 5:
				p.accept()
				p.send("garbage that is no frame")
			}
		}
		if n, most := sp.counts(); most != 1 || n != 30 {
			t.Errorf("%d dials, at most %d sockets at once; want 30, 1", n, most)
		}
	})
}

func TestStalledHandshakeTimesOut_R4(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		start := time.Now()
		r := sp.run()
		p := sp.next()
		p.readHead()
		if _, err := p.r.ReadByte(); err == nil {
			t.Error("the client wrote more")
		}
		if d := time.Since(start); d != DefaultHandshakeTimeout {
			t.Errorf("closed after %s, want %s", d, DefaultHandshakeTimeout)
		}
		sp.ready()
		r.ready(t)
	})
}

func TestRefusedTCPIsRetried(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		sp.setRefuse(true)
		r := sp.run()
		time.Sleep(10 * time.Minute)
		st := r.Status()
		dials, _ := sp.counts()
		if st.Disconnects[reasonDial] == 0 || !strings.Contains(st.LastError.Text, "refused") || (st.State != StateBackoff && st.State != StateConnecting) {
			t.Errorf("%+v", st)
		}
		if dials < 30 || dials > 120 {
			t.Errorf("%d dials in ten minutes, want about 40 with a cap of 30 s", dials)
		}
		sp.setRefuse(false)
		sp.ready()
		r.ready(t)
		if st := r.Status(); st.DeafFor < 10*time.Minute || st.DeafFor > 11*time.Minute {
			t.Errorf("deaf for %s", st.DeafFor)
		}
	})
}

func TestRunEndsWithItsContext_R36(t *testing.T) {
	type stage struct {
		name  string
		most  time.Duration
		setup func(t *testing.T, sp *space, r *running)
	}
	for _, st := range []stage{
		{"backoff", 0, func(t *testing.T, sp *space, r *running) { sp.setRefuse(true); time.Sleep(time.Minute) }},
		{"handshake", 0, func(t *testing.T, sp *space, r *running) { sp.next().readHead() }},
		{"connect", goodbyeTimeout, func(t *testing.T, sp *space, r *running) { sp.accept().read() }},
		{"receive", goodbyeTimeout, func(t *testing.T, sp *space, r *running) {
			p := sp.accept()
			p.answer(p.read(), connectResultJSON)
		}},
		{"ready, a peer that answers the close", 0, func(t *testing.T, sp *space, r *running) {
			p := sp.ready()
			r.ready(t)
			go func() {
				for {
					if _, err := p.try(); err != nil {
						if errors.Is(err, errPeerClose) {
							p.send(wsFrame(8, true, "\x03\xe8"))
						}
						return
					}
				}
			}()
		}},
		{"ready, a dead peer", goodbyeTimeout, func(t *testing.T, sp *space, r *running) { sp.ready(); r.ready(t) }},
		{"ready, a stuck write", goodbyeTimeout, func(t *testing.T, sp *space, r *running) {
			p := sp.ready()
			r.ready(t)
			synctest.Wait()
			p.conn.in.mu.Lock()
			p.conn.in.room = 0
			p.conn.in.mu.Unlock()
			r.ask("messaging.send", `{}`)
			synctest.Wait()
		}},
		{"draining", goodbyeTimeout, func(t *testing.T, sp *space, r *running) {
			p := sp.ready()
			p.write(`{"jsonrpc":"2.0","id":1,"method":"signalwire.disconnect"}`)
			p.expectReply(`1`)
		}},
	} {
		synctestRun(t, st.name, func(t *testing.T, sp *space) {
			r := sp.run()
			st.setup(t, sp, r)
			synctest.Wait()
			start := time.Now()
			r.stop()
			err := <-r.done
			r.done <- nil
			if err != nil {
				t.Errorf("Run: got %v, want nil", err)
			}
			if d := time.Since(start); d > st.most {
				t.Errorf("Run returned after %s, want within %s", d, st.most)
			}
			if got := r.seen(); got[len(got)-1] != StateStopped {
				t.Errorf("states: %v", got)
			}
			if err := r.Ready(context.Background()); !errors.Is(err, ErrClosed) {
				t.Errorf("Ready: got %v, want ErrClosed", err)
			}
			if err := r.Run(context.Background(), r.watcher); !errors.Is(err, ErrClosed) {
				t.Errorf("a second Run: got %v, want ErrClosed", err)
			}
			if a := <-r.ask("x", `{}`); !errors.Is(a.Err, ErrNotSent) {
				t.Errorf("Go afterwards: got %v", a.Err)
			}
		})
	}
}

// Acks queued before the stop are written; what is unanswered ends in doubt.
func TestOrderlyCloseWritesWhatIsQueued_R36(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		p := sp.ready()
		r.ready(t)
		p.event(`"e"`, "x")
		ev := <-r.events
		open := r.ask("messaging.send", `{}`)
		if err := ev.Ack(); err != nil {
			t.Fatal(err)
		}
		r.stop()
		p.expectReply(`"e"`)
		p.expect("messaging.send")
		for {
			_, err := p.try()
			if errors.Is(err, errPeerClose) {
				break
			}
			if err != nil {
				t.Fatalf("got %v, want a close frame", err)
			}
		}
		p.send(wsFrame(8, true, "\x03\xe8"))
		if a := <-open; !errors.Is(a.Err, ErrInDoubt) {
			t.Errorf("open request: got %v, want ErrInDoubt", a.Err)
		}
	})
}

// The peer's close frame is answered before the socket goes.
func TestCloseFrameIsAnswered(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		p := sp.ready()
		r.ready(t)
		p.send(wsFrame(8, true, "\x03\xe9deploy"))
		for {
			_, err := p.try()
			if errors.Is(err, errPeerClose) {
				break
			}
			if err != nil {
				t.Fatalf("got %v, want a close frame", err)
			}
		}
		sp.ready()
		if st := r.Status(); st.Disconnects[reasonClosed] != 1 {
			t.Errorf("disconnects: %v", st.Disconnects)
		}
	})
}

func TestStatesComeInOrder(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		w := newWatcher()
		var r *running
		started := make(chan struct{})
		w.onState = func(s State) { // allowed in the callback
			<-started
			_ = r.Status()
			r.Probe()
			r.Receive("x")
			r.Unreceive("x")
			if s == StateSubscribed {
				returned := false
				r.Go(uuid.New(), "x.y", nil, func(a Answer) {
					if !returned {
						t.Errorf("told subscribed, and refused at once: %v", a.Err)
					}
				})
				returned = true
			}
		}
		r = sp.runWith(w)
		close(started)
		sp.setRefuse(true)
		time.Sleep(20 * time.Millisecond)
		sp.setRefuse(false)
		p := sp.ready()
		r.ready(t)
		p.write(`{"jsonrpc":"2.0","id":1,"method":"signalwire.disconnect"}`)
		p.expectReply(`1`)
		p.conn.Close()
		p = sp.accept()
		p.read()
		r.stop()
		<-r.done
		r.done <- nil
		got := r.seen()
		if i := slices.Index(got, StateAuthenticating); i < 0 {
			t.Fatalf("states: %v", got)
		} else {
			got = got[i:]
		}
		want := []State{StateAuthenticating, StateSubscribed, StateDraining, StateBackoff, StateConnecting, StateAuthenticating, StateStopped}
		if !slices.Equal(got, want) {
			t.Errorf("states: got %v, want %v", got, want)
		}
	})
}

func TestStatusShowsTheSession_R54(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		if st := r.Status(); st.State != StateIdle && st.State != StateConnecting {
			t.Errorf("state: %s", st.State)
		}
		p := sp.ready()
		r.ready(t)
		m := p.await("signalwire.ping")
		time.Sleep(30 * time.Millisecond)
		p.answer(m, `{}`)
		p.event(`1`, "x")
		p.event(`2`, "x")
		ev := <-r.events
		<-r.events
		if err := ev.Ack(); err != nil {
			t.Error(err)
		}
		r.ask("x.y", `{}`)
		synctest.Wait()
		st := r.Status()
		if st.Unacked != 1 || st.Pending != 1 || st.RTT != 30*time.Millisecond || st.Connects != 1 || st.Sessions != 1 ||
			!st.Ready() || st.LastEvent.IsZero() || st.LastFrame.IsZero() || st.SessionID == "" || strings.Contains(st.SessionID, "signalwire") {
			t.Errorf("%+v", st)
		}
		deaf := st.DeafFor
		time.Sleep(5 * time.Second)
		if st := r.Status(); st.DeafFor != deaf {
			t.Errorf("deaf time grows while subscribed: %s, %s", deaf, st.DeafFor)
		}
		p.conn.reset()
		sp.next()
		time.Sleep(7 * time.Second)
		st = r.Status()
		if st.DeafFor < deaf+7*time.Second || st.LastError.Text == "" || st.Disconnects[reasonNetwork] != 1 || len(st.Contexts) != 0 {
			t.Errorf("after a reset: %+v", st)
		}
	})
}

// A handler that breaks its promise and blocks cannot hold a shutdown.
func TestBlockedHandlerDoesNotHoldShutdown_R36(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		w := newWatcher()
		release := make(chan struct{})
		w.onEvent = func(*Event) { <-release }
		r := sp.runWith(w)
		p := sp.ready()
		r.ready(t)
		lost := r.ask("messaging.send", `{}`)
		p.expect("messaging.send")
		p.event(`1`, "x")
		synctest.Wait()
		start := time.Now()
		r.stop()
		if a := <-lost; !errors.Is(a.Err, ErrInDoubt) {
			t.Errorf("open request: got %v", a.Err)
		}
		<-r.done
		r.done <- nil
		if d := time.Since(start); d > goodbyeTimeout+handlerPatience {
			t.Errorf("Run returned after %s", d)
		}
		close(release)
	})
}

// Resume data that lead to a close instead of an error do not lock us out.
func TestUnansweredResumeIsGivenUp_R19(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		p := sp.ready()
		r.ready(t)
		p.conn.reset()
		for i := range resumeAttempts {
			p := sp.accept()
			if protocol, _ := resumeOf(t, p.read()); protocol == "" {
				t.Fatalf("attempt %d does not resume", i+1)
			}
			p.conn.reset()
		}
		p = sp.accept()
		m := p.read()
		if protocol, state := resumeOf(t, m); protocol != "" || state != "" {
			t.Errorf("attempt %d resumes %q, %q", resumeAttempts+1, protocol, state)
		}
		p.answer(m, connectResultJSON)
		p.answer(p.expect("signalwire.receive"), ok200)
		r.ready(t)
	})
}
