package relay

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

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
