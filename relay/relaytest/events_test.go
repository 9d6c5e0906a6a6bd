package relaytest_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signpost-sms/signpost/relay/relaytest"
)

func TestInboundHasAllFields_S22(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		c := dial(t, s)
		protocol := object(t, c.call("signalwire.connect", connectParams("office")).Result)["protocol"]
		time.Sleep(250 * time.Millisecond)
		d := s.Session(t).Deliver(relaytest.SMS{
			From: "+12025550101", Body: "hi \"there\"\n☃", Media: []string{"https://m.example/1"}, Tags: []string{"a"},
		})
		f := c.event("messaging.receive")
		env, in := object(t, f.Params), f.inner(t)
		want := map[string]any{
			"message_id": d.MessageID, "context": "office", "direction": "inbound", "from_number": "+12025550101",
			"to_number": "+12025550190", "body": "hi \"there\"\n☃", "media": []any{"https://m.example/1"},
			"segments": json.Number("1"), "message_state": "received", "tags": []any{"a"},
		}
		for name, v := range want {
			if got, _ := json.Marshal(in[name]); string(got) != string(must(json.Marshal(v))) {
				t.Errorf("%s is %s, want %v", name, got, v)
			}
		}
		if len(in) != len(want) {
			t.Errorf("%d inner fields, want %d", len(in), len(want))
		}
		if env["event_channel"] != protocol || env["context"] != "office" || env["project_id"] != "p1" || env["space_id"] == "" {
			t.Errorf("envelope %v", env)
		}
		at, err := env["timestamp"].(json.Number).Float64()
		if now := float64(time.Now().UnixMicro()) / 1e6; err != nil || at != now || !strings.Contains(string(f.Params), ".25") {
			t.Errorf("timestamp %v, want the float %v", env["timestamp"], now)
		}
	}, func(c *relaytest.Config) {
		c.Numbers = map[string]string{"+12025550190": "office", "+12025550195": "office"}
	})
}

func must(data []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return data
}

func TestInboundTargets_S22(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		var cs []*client
		for range 3 {
			cs = append(cs, connected(t, s, "office"))
		}
		sales := connected(t, s, "sales")
		inject := func(m relaytest.SMS, to relaytest.Target) *relaytest.Inbound {
			in, err := s.Inject(m, to)
			if err != nil {
				t.Fatal(err)
			}
			return in
		}
		counts := func() []int {
			var out []int
			for _, c := range append(cs, sales) {
				out = append(out, c.count(isEvent("messaging.receive")))
			}
			return out
		}
		m := relaytest.SMS{Context: "office"}
		if in := inject(m, relaytest.All); len(in.Deliveries) != 3 || !slices.Equal(counts(), []int{1, 1, 1, 0}) {
			t.Errorf("all: %v", counts())
		}
		for range 4 {
			inject(m, relaytest.RoundRobin)
		}
		if got := counts(); !slices.Equal(got, []int{3, 2, 2, 0}) {
			t.Errorf("round robin: %v, want turns", got)
		}
		named := s.Sessions()[0] // the last to connect: sales
		inject(m, relaytest.Only(named))
		if got := counts(); !slices.Equal(got, []int{3, 2, 2, 1}) {
			t.Errorf("named: %v", got)
		}
		// By number alone, and by nothing at all.
		if in := inject(relaytest.SMS{To: "+12025550190"}, relaytest.Target{}); in.Context != "sales" || len(in.Deliveries) != 1 {
			t.Errorf("by number: %+v", in)
		}
		if _, err := s.Inject(relaytest.SMS{To: "+12025550191"}, relaytest.Target{}); err == nil || !strings.Contains(err.Error(), "Numbers") {
			t.Errorf("without a context: %v", err)
		}
	}, func(c *relaytest.Config) { c.Numbers = map[string]string{"+12025550190": "sales"} })
}

func TestProjectsDoNotSeeEachOther_S22(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		connected(t, s, "office")
		other := dial(t, s)
		other.call("signalwire.connect", with(connectParams("office"), map[string]any{
			"authentication": map[string]string{"project": "p2", "token": "t2"},
		}))
		c := connected(t, s, "office")
		if in, err := s.Inject(relaytest.SMS{Context: "office", Project: "p2"}, relaytest.All); err != nil || len(in.Deliveries) != 1 {
			t.Errorf("injected for p2: %+v, %v", in, err)
		}
		c.call("messaging.send", sendParams(nil))
		if n := other.count(isEvent("messaging.state")); n != 0 {
			t.Errorf("p2 got %d states of p1's send", n)
		}
	})
}

func TestInboundFieldsCanBeOverridden_S22(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		c := connected(t, s, "office")
		s.Session(t).Deliver(relaytest.SMS{ID: "m-1", Fields: map[string]any{"body": nil, "segments": "2", "extra": true}})
		in := c.event("messaging.receive").inner(t)
		body, has := in["body"]
		if body != nil || !has || in["segments"] != "2" || in["extra"] != true || in["message_id"] != "m-1" {
			t.Errorf("got %v", in)
		}
	})
}

func TestEventIDs_S23(t *testing.T) {
	t.Parallel()
	for mode, shape := range map[string]string{
		"": `^"[0-9a-f-]{36}"$`, relaytest.EventIDInteger: `^[0-9]+$`, relaytest.EventIDNone: `^$`,
	} {
		bubble(t, func(t *testing.T, s *relaytest.Server) {
			setFaults(t, s, func(f *relaytest.Faults) { f.EventID = mode })
			c := connected(t, s, "office")
			sess := s.Session(t)
			seen := map[string]bool{}
			for range 50 {
				d := sess.Deliver(relaytest.SMS{ID: "same"})
				f := c.event("messaging.receive")
				if !regexp.MustCompile(shape).Match(f.ID) || string(d.EventID()) != string(f.ID) {
					t.Fatalf("mode %q: id %s, delivery says %s", mode, f.ID, d.EventID())
				}
				if mode == relaytest.EventIDNone {
					continue
				}
				if seen[string(f.ID)] {
					t.Errorf("mode %q: id %s twice", mode, f.ID)
				}
				seen[string(f.ID)] = true
				c.ack(f)
				<-d.Acked()
			}
		})
	}
}

func TestTracksAcks_S24(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		c := connected(t, s, "office")
		c.authState()
		synctest.Wait()
		sess := s.Session(t)
		first, second := sess.Deliver(relaytest.SMS{Body: "1"}), sess.Deliver(relaytest.SMS{Body: "2"})
		one, two := c.event("messaging.receive"), c.event("messaging.receive")
		if got := sess.Unacked(); len(got) != 2 || got[0] != first || got[1] != second {
			t.Errorf("unacked %v", got)
		}
		time.Sleep(40 * time.Millisecond)
		c.ack(two)
		<-second.Acked()
		time.Sleep(60 * time.Millisecond)
		c.ack(one)
		<-first.Acked()
		if first.Latency() != 100*time.Millisecond || second.Latency() != 40*time.Millisecond {
			t.Errorf("latencies %v and %v", first.Latency(), second.Latency())
		}
		if got := s.AckLatencies(); !slices.Equal(got[len(got)-2:], []time.Duration{40 * time.Millisecond, 100 * time.Millisecond}) {
			t.Errorf("latencies %v", got)
		}
		if len(sess.Unacked()) != 0 || s.Stats().Unacked != 0 {
			t.Errorf("unacked %v", sess.Unacked())
		}
		// Twice; for an unknown id; on the wrong connection.
		c.ack(one)
		c.ack(frame{ID: json.RawMessage(`"nobody"`)})
		c.ack(frame{ID: json.RawMessage(`7`)})
		third := sess.Deliver(relaytest.SMS{Body: "3"})
		three := c.event("messaging.receive")
		other := connected(t, s, "office")
		other.ack(three)
		synctest.Wait()
		if st := s.Stats(); st.AcksDuplicate != 1 || st.AcksUnknown != 2 || st.AcksWrongConn != 1 {
			t.Errorf("duplicate %d, unknown %d, wrong connection %d", st.AcksDuplicate, st.AcksUnknown, st.AcksWrongConn)
		}
		if third.Done() {
			t.Error("an ack on the wrong connection counts")
		}
		// An error is no ack.
		c.write([]byte(`{"jsonrpc":"2.0","id":` + string(three.ID) + `,"error":{"code":-1,"message":"no"}}`))
		synctest.Wait()
		if third.Done() || s.Rules()["nack"] != 1 {
			t.Errorf("an error counts as an ack: %v", s.Rules())
		}
	}, relaytest.Lenient)
}

func TestNoAcksAreAwaitedWithoutEventAcks_S24(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		c := dial(t, s)
		c.call("signalwire.connect", with(connectParams("office"), map[string]any{"event_acks": false}))
		d := s.Session(t).Deliver(relaytest.SMS{})
		c.event("messaging.receive")
		if n := s.Stats().Unacked; n != 0 || d.Done() {
			t.Errorf("%d unacked, acked %v", n, d.Done())
		}
	})
}

// redelivery plays one lost connection under a mode and returns what the next
// connection gets.
func redelivery(t *testing.T, mode relaytest.Redelivery, resume bool) (first, again []frame) {
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		setFaults(t, s, func(f *relaytest.Faults) { f.Redelivery = mode })
		c := dial(t, s)
		answer := c.call("signalwire.connect", connectParams("office"))
		state := c.authState()
		sess := s.Session(t)
		acked := sess.Deliver(relaytest.SMS{ID: "acked"})
		c.ack(c.event("messaging.receive"))
		<-acked.Acked()
		d := sess.Deliver(relaytest.SMS{ID: "m-1", Body: "again?"})
		first = []frame{c.event("messaging.receive")}
		sess.Drop()
		params := connectParams("office")
		if resume {
			params = resumeParams(t, answer, state, "office")
		}
		c = dial(t, s)
		c.call("signalwire.connect", params)
		for _, f := range c.pending() {
			if f.eventType() == "messaging.receive" {
				again = append(again, f)
				c.ack(f)
			}
		}
		synctest.Wait()
		if mode.OnResume && resume && (!d.Done() || d.Attempts() != 2) {
			t.Errorf("after redelivery: acked %v, %d attempts", d.Done(), d.Attempts())
		}
		if mode == (relaytest.Redelivery{}) && (!d.Lost() || d.Done()) {
			t.Errorf("without redelivery: lost %v", d.Lost())
		}
	})
	return first, again
}

func TestRedelivery_S25(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		mode         relaytest.Redelivery
		resume, want bool
	}{
		"on resume, resumed":        {relaytest.Redelivery{OnResume: true}, true, true},
		"on resume, fresh":          {relaytest.Redelivery{OnResume: true}, false, false},
		"on reconnect, fresh":       {relaytest.Redelivery{OnReconnect: true}, false, true},
		"on reconnect, resumed":     {relaytest.Redelivery{OnReconnect: true}, true, true},
		"on resume with same id":    {relaytest.Redelivery{OnResume: true, SameID: true}, true, true},
		"on ack timeout, reconnect": {relaytest.Redelivery{AckTimeout: time.Hour}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first, again := redelivery(t, tc.mode, tc.resume)
			if (len(again) == 1) != tc.want || len(again) > 1 {
				t.Fatalf("%d redelivered, want %v", len(again), tc.want)
			}
			if !tc.want {
				return
			}
			if again[0].inner(t)["message_id"] != "m-1" || again[0].inner(t)["body"] != "again?" {
				t.Errorf("redelivered %s", again[0].raw)
			}
			if same := string(again[0].ID) == string(first[0].ID); same != tc.mode.SameID {
				t.Errorf("same envelope id: %v", same)
			}
		})
	}
}

func TestRedeliveryAfterAckTimeout_S25(t *testing.T) {
	t.Parallel()
	for _, same := range []bool{false, true} {
		bubble(t, func(t *testing.T, s *relaytest.Server) {
			setFaults(t, s, func(f *relaytest.Faults) {
				f.Redelivery = relaytest.Redelivery{AckTimeout: 2 * time.Second, SameID: same}
			})
			c := connected(t, s, "office")
			c.authState()
			d := s.Session(t).Deliver(relaytest.SMS{ID: "m-1"})
			time.Sleep(5 * time.Second)
			var got []frame
			for _, f := range c.pending() {
				if f.eventType() == "messaging.receive" {
					got = append(got, f)
				}
			}
			if len(got) != 3 || d.Attempts() != 3 || (string(got[0].ID) == string(got[2].ID)) != same {
				t.Fatalf("same %v: %s", same, rawAll(got))
			}
			c.ack(got[0]) // an answer to any attempt counts
			<-d.Acked()
			time.Sleep(10 * time.Second)
			if n := c.count(isEvent("messaging.receive")); n != 3 {
				t.Errorf("redelivered after the ack: %d", n)
			}
		})
	}
}

func TestLossIsTheDefault_S26(t *testing.T) {
	t.Parallel()
	for _, resume := range []bool{true, false} {
		if _, again := redelivery(t, relaytest.Redelivery{}, resume); len(again) != 0 {
			t.Errorf("resume %v: redelivered %s", resume, rawAll(again))
		}
	}
}

func TestWaitFailsWhenTheEventIsLost_S26(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		connected(t, s, "office")
		sess := s.Session(t)
		d := sess.Deliver(relaytest.SMS{})
		in, err := s.Inject(relaytest.SMS{Context: "office"}, relaytest.All)
		if err != nil {
			t.Fatal(err)
		}
		sess.Drop()
		if err := d.Wait(t.Context()); err == nil {
			t.Error("waited for a lost delivery without an error")
		}
		if err := in.Wait(t.Context()); err == nil {
			t.Error("waited for a lost inbound without an error")
		}
		if late := sess.Deliver(relaytest.SMS{}); !late.Lost() {
			t.Error("delivered to a session without a connection")
		}
	})
}

func TestEventsWithoutSubscriber_S27(t *testing.T) {
	t.Parallel()
	for _, queue := range []bool{false, true} {
		bubble(t, func(t *testing.T, s *relaytest.Server) {
			setFaults(t, s, func(f *relaytest.Faults) { f.QueueUnsubscribed = queue })
			for _, body := range []string{"1", "2"} {
				if _, err := s.Inject(relaytest.SMS{Context: "office", Body: body}, relaytest.All); err != nil {
					t.Fatal(err)
				}
			}
			c := connected(t, s, "sales")
			if n := c.count(isEvent("messaging.receive")); n != 0 {
				t.Errorf("another context got %d", n)
			}
			c.call("signalwire.receive", contexts("office"))
			want := map[bool]int{false: 0, true: 2}[queue]
			if n := c.count(isEvent("messaging.receive")); n != want {
				t.Errorf("queue %v: got %d, want %d", queue, n, want)
			}
			if got := s.Stats().Discarded; got != 2-want {
				t.Errorf("queue %v: %d discarded", queue, got)
			}
			if queue {
				// After the answer to receive, and in order.
				if a, b := c.event("messaging.receive"), c.event("messaging.receive"); a.inner(t)["body"] != "1" || b.inner(t)["body"] != "2" {
					t.Errorf("order: %s %s", a.raw, b.raw)
				}
			}
		})
	}
}

func TestSpecimens_S29(t *testing.T) {
	t.Parallel()
	shapes := map[string]string{ // what must be in the frame
		"params-null": `"params":null`, "inner-params-null": `"params":null}}`, "null-body": `"body":null`,
		"null-media": `"media":null`, "media-objects": `"media":[{"content_type"`, "numbers-as-strings": `"segments":"1"`,
		"invalid-utf8": "caf\xe9\xff", "truncated-json": `"par`, "array": `[]`, "batch": `[{"jsonrpc"`, "scalar": `42`,
		"unknown-method": `signalwire.teleport`, "unknown-event": `messaging.teleport`, "empty-event-type": `"event_type":""`,
		"fractional-id": `"id":1.5`, "null-id": `"id":null,"method"`, "answer-null-error": `"error":null`,
		"answer-numeric-code": `"code":200`, "answer-string-error-code": `"code":"-32603"`, "deep": strings.Repeat("[", 20_000),
		"binary": "\x00\x01\x02", "huge": strings.Repeat("x", 11<<20), "nul-body": `a\u0000b`, "method-and-result": `"result":{}`,
		"empty-text": "", "params-array": `"params":[1]`, "negative-id": `"id":-`, "no-jsonrpc": `{"id":`,
	}
	for _, sp := range relaytest.Specimens() {
		t.Run(sp.Name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, s *relaytest.Server) {
				c := connected(t, s, "office")
				c.authState()
				synctest.Wait()
				mark := s.LastSeq()
				if err := s.Session(t).Emit(sp.Name); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				frames := s.FramesAfter(mark)
				if len(frames) != 1 {
					t.Fatalf("%d frames, want 1", len(frames))
				}
				raw := frames[0].Raw
				if want := shapes[sp.Name]; !strings.Contains(string(raw), want) {
					t.Errorf("%q lacks %q", raw, want)
				}
				if sp.Noise != json.Valid(raw) && sp.Noise {
					t.Errorf("noise is not JSON: %s", raw)
				}
				if sp.Name == "invalid-utf8" {
					return // the client's library closes, and may
				}
				// The client may answer whatever has an id, and the session lives.
				for _, f := range c.pending() {
					if len(f.ID) > 0 && f.Method != "" && string(f.ID) != "null" {
						c.ack(f)
					}
				}
				if f := c.call("signalwire.ping", map[string]any{}); f.Error != nil {
					t.Errorf("after it: %s", f.raw)
				}
			})
		})
	}
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		c := connected(t, s, "office")
		sess := s.Session(t)
		if err := sess.Emit("unheard-of"); err == nil {
			t.Error("unknown specimen accepted")
		}
		sess.SendRaw([]byte("anything"))
		if n := c.count(func(f frame) bool { return string(f.raw) == "anything" }); n != 1 {
			t.Error("raw text did not arrive")
		}
		sess.Drop()
		if err := sess.Emit("array"); err == nil {
			t.Error("emitted without a connection")
		}
	})
}

func TestNoise_S30(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		c := connected(t, s, "office")
		want := map[string]string{
			"calling-receive": "calling.call.receive", "calling-state": "calling.call.state", "tasks": "queuing.relay.tasks",
			"video": "video.member.talking", "chat": "chat.channel.message", "webrtc": "webrtc.message", "stale-channel": "conversation.message",
		}
		for name, kind := range want {
			if err := s.Session(t).Emit(name); err != nil {
				t.Fatal(err)
			}
			f := c.event(kind)
			p := object(t, f.Params)
			if (p["params"] == nil) != (name == "tasks") {
				t.Errorf("%s: nested params %v", name, p["params"])
			}
			if name == "tasks" && (p["message"] == nil || p["context"] != "office") {
				t.Errorf("task %v", p)
			}
			if stale := p["event_channel"] != s.Session(t).Name(); stale != (name == "stale-channel") {
				t.Errorf("%s: event_channel %v", name, p["event_channel"])
			}
		}
		for _, sp := range relaytest.Specimens() {
			if _, ok := want[sp.Name]; ok != sp.Noise {
				t.Errorf("%s: noise %v", sp.Name, sp.Noise)
			}
		}
	})
}
