package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
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

func TestAckOnlyOnItsOwnSocket_R35(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		p := sp.ready()
		r.ready(t)
		p.event(`"e1"`, "messaging.receive")
		p.event(`"e2"`, "messaging.receive")
		first, second := <-r.events, <-r.events
		if !first.NeedsAck() {
			t.Error("NeedsAck before Ack: false")
		}
		for range 3 {
			if err := first.Ack(); err != nil {
				t.Error(err)
			}
		}
		if first.NeedsAck() {
			t.Error("NeedsAck after Ack: true")
		}
		p.expectReply(`"e1"`)
		p.conn.reset()
		p = sp.ready()
		r.ready(t)
		if err := second.Ack(); !errors.Is(err, ErrStaleAck) {
			t.Errorf("Ack after the reconnect: got %v, want ErrStaleAck", err)
		}
		p.write(`{"jsonrpc":"2.0","id":"pg","method":"signalwire.ping"}`)
		for {
			m := p.read()
			if string(m.ID) == `"pg"` {
				break
			}
			if m.Method == "" {
				t.Errorf("on the new connection: %s", m.raw)
			}
		}
		for _, m := range p.held {
			if m.Method == "" {
				t.Errorf("an ack leaked to the new connection: %s", m.raw)
			}
		}
	})
}

func TestAckEchoesTheId_R8(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		p := sp.ready()
		r.ready(t)
		for _, id := range []string{`"e-77"`, `0`, `17`, `-3`, `1.50`, `12345678901234567890123`, `""`, `"é\u0041\/"`, `1e3`, `"\ud83d"`} {
			p.event(id, "messaging.receive")
			ev := <-r.events
			if err := ev.Ack(); err != nil {
				t.Fatal(err)
			}
			m := p.find(func(m *msg) bool { return m.Method == "" })
			if want := `{"jsonrpc":"2.0","id":` + id + `,"result":{}}`; string(m.raw) != want {
				t.Errorf("got  %s\nwant %s", m.raw, want)
			}
			// The same for a refusal of a method we do not have.
			p.write(`{"jsonrpc":"2.0","id":%s,"method":"signalwire.novelty"}`, id)
			m = p.find(func(m *msg) bool { return m.Method == "" })
			if !bytes.Contains(m.raw, []byte(`"id":`+id+`,"error":{"code":-32601,`)) {
				t.Errorf("got %s", m.raw)
			}
		}
		// No id, no reply.
		p.write(`{"jsonrpc":"2.0","method":"signalwire.event","params":{"event_type":"x"}}`)
		p.write(`{"jsonrpc":"2.0","id":null,"method":"signalwire.event","params":{"event_type":"x"}}`)
		p.write(`{"jsonrpc":"2.0","method":"signalwire.novelty"}`)
		for range 2 {
			ev := <-r.events
			if ev.NeedsAck() || ev.Ack() != nil {
				t.Error("a notification wants an ack")
			}
		}
		p.write(`{"jsonrpc":"2.0","id":"end","method":"signalwire.ping"}`)
		if m := p.find(func(m *msg) bool { return m.Method == "" }); string(m.ID) != `"end"` {
			t.Errorf("a notification was answered: %s", m.raw)
		}
	})
}

func TestMalformedFramesAreSkipped_R6(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		p := sp.ready()
		r.ready(t)
		bad := []string{
			``, ` `, `{`, `{"jsonrpc":"2.0","id":`, `nonsense`, `[]`, `[{"jsonrpc":"2.0","id":1,"method":"signalwire.ping"}]`, `"text"`, `17`, `null`, `true`,
			`{}`, `{"id":1}`, `{"jsonrpc":"2.0","id":"x","error":null}`, `{"method":7,"id":1}`, `{"method":{},"id":1}`,
			`{"id":1,"method":"signalwire.ping","result":{}}`, `{"id":1,"method":"signalwire.ping","error":{}}`,
			`{"id":1,"method":"signalwire.ping"}{"id":2,"method":"signalwire.ping"}`, `{"id":01,"method":"signalwire.ping"}`,
			`{"id":1,"method":"signalwire.ping",}`, "{\"id\":1,\"method\":\"a\tb\"}", strings.Repeat("[", 20000), strings.Repeat(`{"a":`, 20000),
		}
		for _, text := range bad {
			p.write("%s", text)
		}
		p.send(wsFrame(2, true, `{"jsonrpc":"2.0","id":1,"method":"signalwire.ping"}`)) // binary
		p.write(`{"jsonrpc":"2.0","id":"alive","method":"signalwire.ping"}`)
		if m := p.find(func(m *msg) bool { return m.Method == "" }); string(m.ID) != `"alive"` {
			t.Errorf("a malformed frame was answered: %s", m.raw)
		}
		st := r.Status()
		if want := uint64(len(bad) + 1); st.Malformed != want || st.State != StateSubscribed {
			t.Errorf("malformed: got %d, want %d; state %s", st.Malformed, want, st.State)
		}
		if n, _ := sp.counts(); n != 1 {
			t.Error("the session was dropped")
		}
		// A half decoded frame must not misroute the next answer.
		got := r.ask("messaging.send", `{}`)
		p.answer(p.expect("messaging.send"), `{"code":"200"}`)
		if a := <-got; a.Err != nil {
			t.Errorf("after malformed frames: %v", a.Err)
		}
		done := make(chan error, 1)
		go func() { done <- r.Call(t.Context(), "x.y", nil, nil) }()
		m := p.expect("x.y")
		p.write(`{"jsonrpc":"2.0","id":"q","method":"x","params":[`)
		p.answer(m, `{}`)
		if err := <-done; err != nil {
			t.Errorf("Call after a malformed frame: %v", err)
		}
	})
}

func TestFragmentsAndSingleBytes_R12(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		p := sp.ready()
		r.ready(t)
		text := `{"jsonrpc":"2.0","id":"f","method":"signalwire.event","params":{"event_type":"messaging.receive","params":{"body":"` + strings.Repeat("é", 5000) + `"}}}`
		var frames strings.Builder
		frames.WriteString(wsFrame(1, false, text[:7]))
		frames.WriteString(wsFrame(9, true, "ws ping between"))
		for i := 7; i < len(text); i += 999 {
			end := min(i+999, len(text))
			frames.WriteString(wsFrame(0, end == len(text), text[i:end]))
		}
		for _, c := range []byte(frames.String()) {
			p.send(string([]byte{c}))
			if c == 'b' {
				time.Sleep(time.Millisecond)
			}
		}
		if ev := <-r.events; string(ev.Frame) != text || string(ev.Params) != text[strings.Index(text, `{"event_type"`):len(text)-1] {
			t.Errorf("frame: got %d bytes, want %d", len(ev.Frame), len(text))
		}
	})
}

func TestOversizeFrameReconnects_R4(t *testing.T) {
	for _, tt := range []struct{ limit, size int }{{0, 11 << 20}, {100_000, 100_001}} {
		synctestRun(t, fmt.Sprint(tt.limit), func(t *testing.T, sp *space) {
			sp.room = 16 << 20
			r := sp.run(func(c *Config) { c.MaxFrame = int64(tt.limit) })
			p := sp.ready()
			r.ready(t)
			frame := func(size int) string {
				head, tail := `{"jsonrpc":"2.0","id":"big","method":"signalwire.event","params":{"event_type":"x","pad":"`, `"}}`
				return head + strings.Repeat("x", size-len(head)-len(tail)) + tail
			}
			fits := max(tt.limit, 1<<20)
			if tt.limit > 0 {
				fits = tt.limit
			}
			p.write("%s", frame(fits))
			if ev := <-r.events; len(ev.Frame) != fits {
				t.Errorf("a frame within the limit: got %d bytes", len(ev.Frame))
			}
			p.write("%s", frame(tt.size))
			p = sp.ready()
			r.ready(t)
			if len(r.events) != 0 {
				t.Error("the oversize frame was handed on")
			}
			if st := r.Status(); st.Disconnects[reasonOversize] != 1 {
				t.Errorf("disconnects: %v", st.Disconnects)
			}
			p.event(`1`, "x")
			<-r.events
		})
	}
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

func TestEventsOfAnyKindAreHandedOn_R43(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		p := sp.ready()
		r.ready(t)
		for _, tt := range []struct{ params, typ, inner string }{
			{`{"event_type":"queuing.relay.tasks","context":"office","message":{"a":1},"timestamp":1790000000.2}`, "queuing.relay.tasks", ""},
			{`{"event_type":"calling.call.receive","params":{"call_id":"x"}}`, "calling.call.receive", ""},
			{`{"event_type":"video.room.started","event_channel":["a","b"],"params":{}}`, "video.room.started", ""},
			{`{"event_type":"chat.message","params":null}`, "chat.message", ""},
			{`{"event_type":"brand.new"}`, "brand.new", ""},
			{`{"event_type":""}`, "", ""},
			{`{"event_type":null}`, "", ""},
			{`{"event_type":7}`, "", ""},
			{`{}`, "", ""},
			{`null`, "", ""},
			{`[]`, "", ""},
			{`"x"`, "", ""},
			{`{"event_type":"a\u002eb","params":"x"}`, "a.b", ""},
			{`{"event_type":"first","event_type":"last"}`, "last", ""},
		} {
			p.write(`{"jsonrpc":"2.0","id":1,"method":"signalwire.event","params":%s}`, tt.params)
			ev := <-r.events
			if ev.Type != tt.typ || string(ev.Params) != tt.params {
				t.Errorf("%s: got type %q, params %s", tt.params, ev.Type, ev.Params)
			}
			if !ev.Received.Equal(time.Now()) {
				t.Errorf("received at %v, want %v", ev.Received, time.Now())
			}
		}
	})
}

func TestMissingParams_R41(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		p := sp.ready()
		r.ready(t)
		p.write(`{"jsonrpc":"2.0","id":1,"method":"signalwire.event"}`)
		if ev := <-r.events; ev.Params != nil || ev.Type != "" || !ev.NeedsAck() {
			t.Errorf("without params: %q, %q", ev.Type, ev.Params)
		}
		// The session's own event tolerates nonsense as well, and keeps what it
		// had.
		authState(p, `2`, "QUJD:REVG")
		for i, inner := range []string{`null`, `{}`, `{"authorization_state":null}`, `{"authorization_state":7}`, `[]`, `""`} {
			p.write(`{"jsonrpc":"2.0","id":%d,"method":"signalwire.event","params":{"event_type":"signalwire.authorization.state","params":%s}}`, 10+i, inner)
			p.expectReply(fmt.Sprint(10 + i))
		}
		p.write(`{"jsonrpc":"2.0","id":3,"method":"signalwire.event","params":{"event_type":"signalwire.authorization.state"}}`)
		p.expectReply(`3`)
		p.conn.reset()
		if _, state := resumeOf(t, sp.accept().read()); state != "QUJD:REVG" {
			t.Errorf("authorization state: got %q", state)
		}
	})
}

func TestEventsKeepTheirBytes(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		p := sp.ready()
		r.ready(t)
		for i := range 500 {
			p.event(fmt.Sprintf(`"id-%d"`, i), fmt.Sprintf("type-%d", i))
		}
		var kept []*Event
		for range 500 {
			kept = append(kept, <-r.events)
		}
		for i, ev := range kept {
			if ev.Type != fmt.Sprintf("type-%d", i) || !bytes.Contains(ev.Frame, fmt.Appendf(nil, `"id-%d"`, i)) || !bytes.Contains(ev.Params, []byte(ev.Type)) {
				t.Fatalf("event %d: type %s, frame %s", i, ev.Type, ev.Frame)
			}
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

// Canaries in every place that a secret can come from, and a log of every
// level.
func TestNoCredentialIsEverShown_R3(t *testing.T) {
	const (
		state    = "Y2FuYXJ5LWE=:Y2FuYXJ5LWI="
		protocol = "signalwire_canary_protocol"
		jwt      = "eyJcanary.jwt.token"
	)
	for _, useJWT := range []bool{false, true} {
		synctestRun(t, fmt.Sprint("jwt ", useJWT), func(t *testing.T, sp *space) {
			var mu sync.Mutex
			var log bytes.Buffer
			secret := testToken
			var shown []string
			r := sp.run(func(c *Config) {
				c.Logger = slog.New(slog.NewTextHandler(&lockedWriter{mu: &mu, w: &log}, &slog.HandlerOptions{Level: slog.LevelDebug - 8, AddSource: true}))
				if useJWT {
					secret = jwt
					c.Token, c.JWT = "", jwt
				}
			})
			echo := secret + " " + state + " " + protocol
			p := sp.accept()
			p.answer(p.read(), `{"protocol":"`+protocol+`"}`)
			p.answer(p.expect("signalwire.receive"), `{"code":"402","message":"for `+echo+`"}`)
			authState(p, `"a"`, state)
			p.answer(p.expect("signalwire.receive"), ok200)
			r.ready(t)
			note := func(err error) {
				if err == nil {
					t.Error("no error where one was wanted")
					return
				}
				shown = append(shown, fmt.Sprintf("%v %+v %#v", err, err, err))
				for ; err != nil; err = errors.Unwrap(err) {
					shown = append(shown, fmt.Sprintf("%v %#v", err, err))
				}
			}
			for _, answer := range []string{`"error":{"code":-1,"message":"%s"}`, `"error":{"code":"%s","message":"x"}`, `"error":"%s"`, `"result":{"code":"500","message":"%s"}`} {
				got := r.ask("messaging.send", `{"secret":"`+secret+`"}`)
				p.write(`{"jsonrpc":"2.0","id":%s,%s}`, p.expect("messaging.send").ID, fmt.Sprintf(answer, echo))
				a := <-got
				note(a.Err)
				shown = append(shown, a.Code, a.Message)
				done := make(chan error, 1)
				go func() { done <- r.Call(t.Context(), "x.y", nil, nil) }()
				p.write(`{"jsonrpc":"2.0","id":%s,%s}`, p.expect("x.y").ID, fmt.Sprintf(answer, echo))
				note(<-done)
			}
			p.write("malformed %s", echo)
			p.write(`{"jsonrpc":"2.0","id":"%s","method":"%s"}`, echo, echo)
			p.write(`{"jsonrpc":"2.0","id":"%s","result":{}}`, echo)
			lost := r.ask("messaging.send", `{}`)
			p.expect("messaging.send")
			p.send(wsFrame(8, true, "\x03\xe9"+echo))
			note((<-lost).Err)
			p = sp.accept()
			p.refuse(p.read(), "-32603", echo)
			p = sp.accept()
			p.refuse(p.read(), "-32002", echo)
			p = sp.next()
			p.readHead()
			p.send("HTTP/1.1 503 " + secret + "\r\nX-Echo: " + echo + "\r\nContent-Length: 0\r\n\r\n")
			p = sp.next()
			p.readHead()
			p.send("garbage " + echo + "\r\n\r\n")
			p = sp.ready()
			r.ready(t)
			p.send("\xff\xff" + echo)
			sp.ready()
			shown = append(shown, fmt.Sprintf("%+v", r.Status()), fmt.Sprintf("%+v %#v", r.cfg, r.cfg))
			mu.Lock()
			logged := log.String()
			mu.Unlock()
			shown = append(shown, logged)
			if len(logged) < 500 {
				t.Error("hardly anything was logged; the test proves nothing")
			}
			for _, text := range shown {
				for _, canary := range []string{secret, state} {
					if i := strings.Index(text, canary); i >= 0 {
						t.Errorf("a credential shows in ...%s...", text[max(0, i-100):min(len(text), i+100)])
					}
				}
			}
			if strings.Contains(logged, protocol) {
				t.Error("the session's name shows in the log")
			}
		})
	}
}

type lockedWriter struct {
	mu *sync.Mutex
	w  *bytes.Buffer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
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
		if d := time.Since(start); d > goodbyeTimeout+handlerPatience+lastWords {
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

// What repeats is logged once: an outage of an hour is not 120 warnings.
func TestRepeatedTroubleIsLoggedOnce(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		var mu sync.Mutex
		var log bytes.Buffer
		sp.setRefuse(true)
		sp.run(func(c *Config) {
			c.Logger = slog.New(slog.NewTextHandler(&lockedWriter{mu: &mu, w: &log}, nil))
		})
		time.Sleep(time.Hour)
		mu.Lock()
		defer mu.Unlock()
		if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "refused") {
			t.Errorf("%d lines, want one warning:\n%s", n, log.String())
		}
	})
}
