package relaytest_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signpost-sms/signpost/relay/relaytest"
)

func TestOverlappingSockets_S33(t *testing.T) {
	t.Parallel()
	for _, overlap := range []bool{true, false} {
		bubble(t, func(t *testing.T, s *relaytest.Server) {
			old := dial(t, s)
			first := old.call("signalwire.connect", connectParams("office"))
			state := old.authState()
			c := dial(t, s)
			c.call("signalwire.connect", resumeParams(t, first, state))
			if !overlap {
				_ = old.ws.CloseNow() // a moment late, as news on a network can be
			}
			time.Sleep(time.Second)
			synctest.Wait()
			if got := s.Stats().Overlaps; (got == 1) != overlap || (s.Rules()["overlap"] == 1) != overlap {
				t.Errorf("overlap %v: counted %d", overlap, got)
			}
			// Events go to the new socket alone.
			s.Session(t).Deliver(relaytest.SMS{})
			if n := c.count(isEvent("messaging.receive")); n != 1 {
				t.Errorf("the new socket got %d events", n)
			}
		}, relaytest.Lenient)
	}
}

func TestLeakedSockets_S33(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		connected(t, s, "office") // in use: no leak
		s.NextConnects(relaytest.Repeat(2, relaytest.RejectAuth())...)
		leaky, tidy := dial(t, s), dial(t, s)
		leaky.call("signalwire.connect", connectParams())
		tidy.call("signalwire.connect", connectParams())
		time.Sleep(time.Second)
		_ = tidy.ws.CloseNow()
		time.Sleep(8 * time.Second)
		if n := s.Stats().Leaked; n != 0 {
			t.Errorf("%d leaked after 9 s, want none yet", n)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := s.Stats().Leaked; n != 1 || !s.Connections()[1].Leaked || s.Connections()[2].Leaked {
			t.Errorf("%d leaked: %+v", n, s.Connections())
		}
	})
}

func TestSocketKeptAfterDisconnectLeaks_S33(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		c := connected(t, s, "office")
		s.Session(t).Disconnect(relaytest.Keep, relaytest.DisconnectOptions{NeverClose: true})
		c.ack(c.find("the disconnect", func(f frame) bool { return f.Method == "signalwire.disconnect" }))
		time.Sleep(9 * time.Second)
		before := s.Stats().Leaked
		time.Sleep(2 * time.Second)
		if after := s.Stats().Leaked; before != 0 || after != 1 {
			t.Errorf("leaked %d after 9 s, %d after 11 s, want 0 and 1", before, after)
		}
	})
}

func TestReconnectIntervals_S33(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		want := []time.Duration{200 * time.Millisecond, 3 * time.Second, 0}
		connected(t, s, "office")
		for _, d := range want {
			s.Session(t).Drop()
			time.Sleep(d)
			connected(t, s, "office")
		}
		if got := s.ReconnectIntervals(); !slices.Equal(got, want) {
			t.Errorf("intervals %v, want %v", got, want)
		}
		if st := s.Stats(); st.Opened != 4 || st.Open != 1 || st.MaxOpen != 1 {
			t.Errorf("opened %d, open %d, at most %d", st.Opened, st.Open, st.MaxOpen)
		}
	})
}

func TestDuplicatesAreNoticed_S33(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		c := connected(t, s, "office")
		// Once after a connect that named the context is as it should be.
		c.call("signalwire.receive", contexts("office"))
		if n := s.Stats().DuplicateReceives; n != 0 {
			t.Errorf("%d duplicate receives after the first", n)
		}
		c.call("signalwire.receive", contexts("office", "sales"))
		c.call("signalwire.receive", contexts("office"))
		if n := s.Stats().DuplicateReceives; n != 1 {
			t.Errorf("%d duplicate receives, want 1", n)
		}
		c.call("signalwire.unreceive", contexts("office"))
		c.call("signalwire.receive", contexts("office"))
		if n := s.Stats().DuplicateReceives; n != 1 {
			t.Errorf("%d duplicate receives after an unreceive, want still 1", n)
		}

		send := func(tag, to string) {
			c.call("messaging.send", sendParams(map[string]any{"tags": []string{tag}, "to_number": to}))
		}
		send("a", "+12025559429") // refused: the tag may come again
		send("a", "+12025550101")
		send("b", "+12025550101")
		if n := s.Stats().DuplicateTags; n != 0 {
			t.Errorf("%d duplicate tags, want none yet", n)
		}
		send("a", "+12025550101")
		if n := s.Stats().DuplicateTags; n != 1 {
			t.Errorf("%d duplicate tags, want 1", n)
		}

		again := []byte(`{"jsonrpc":"2.0","id":"again","method":"signalwire.ping","params":{}}`)
		c.write(again)
		connected(t, s, "office").write(again)
		synctest.Wait()
		if n := s.Stats().DuplicateIDs; n != 1 {
			t.Errorf("%d duplicate request ids, want 1", n)
		}
	}, relaytest.Lenient)
}

func TestRequestsOnADrainingSocket_S33(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		c := connected(t, s, "office")
		s.Session(t).Disconnect(relaytest.Keep, relaytest.DisconnectOptions{NeverClose: true})
		f := c.find("the disconnect", func(f frame) bool { return f.Method == "signalwire.disconnect" })
		c.call("messaging.send", sendParams(nil)) // crossed with the disconnect: not the client's fault
		if n := s.Stats().RequestsOnDraining; n != 0 {
			t.Errorf("%d requests on a draining socket before the reply", n)
		}
		c.ack(f)
		c.call("signalwire.ping", map[string]any{})
		c.call("messaging.send", sendParams(nil))
		if n := s.Stats().RequestsOnDraining; n != 1 {
			t.Errorf("%d requests on a draining socket, want the send", n)
		}
	}, relaytest.Lenient)
}

func TestEnvelopeIsChecked_S37(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ frame, rule string }{
		"no version":   {`{"id":"x","method":"signalwire.ping","params":{}}`, "envelope"},
		"stranger":     {`{"jsonrpc":"2.0","id":"x","method":"signalwire.ping","params":{},"protocol":"p"}`, "envelope"},
		"no id":        {`{"jsonrpc":"2.0","method":"signalwire.ping","params":{}}`, "request-id"},
		"null id":      {`{"jsonrpc":"2.0","id":null,"method":"signalwire.ping","params":{}}`, "request-id"},
		"object id":    {`{"jsonrpc":"2.0","id":{},"method":"signalwire.ping","params":{}}`, "request-id"},
		"wrong case":   {`{"jsonrpc":"2.0","ID":"x","method":"signalwire.ping","params":{}}`, "envelope"},
		"method":       {`{"jsonrpc":"2.0","id":"x","method":"messaging.recieve","params":{}}`, "unknown-method"},
		"param":        {`{"jsonrpc":"2.0","id":"x","method":"signalwire.receive","params":{"contexts":["a"],"topics":["a"]}}`, "unknown-param"},
		"stray answer": {`{"jsonrpc":"2.0","id":"x","result":{}}`, "ack"},
		"not JSON":     {`hello`, "invalid-frame"},
		"connect":      {`{"jsonrpc":"2.0","id":"x","method":"signalwire.connect","params":{}}`, "second-connect"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, reports := quietServer(t, true)
			c := connected(t, s, "office")
			c.write([]byte(tc.frame))
			waitFor(t, s, "a violation", func() bool { return s.Rules()[tc.rule] > 0 })
			reports.mu.Lock()
			defer reports.mu.Unlock()
			text := strings.Join(reports.errors, "\n")
			if !strings.Contains(text, "protocol violation: "+tc.rule) || !strings.Contains(text, "\n  -want: ") ||
				!strings.Contains(text, "\n  +got:  ") || !strings.Contains(text, tc.frame) {
				t.Errorf("strict mode reported %q", text)
			}
		})
	}
}

func TestLenientOnlyLogs_S37(t *testing.T) {
	t.Parallel()
	s, reports := quietServer(t, false)
	c := connected(t, s, "office")
	c.write([]byte(`hello`))
	waitFor(t, s, "a violation", func() bool { return s.Stats().Violations == 1 })
	reports.mu.Lock()
	defer reports.mu.Unlock()
	if len(reports.errors) != 0 || len(reports.logs) != 1 || !strings.Contains(reports.logs[0], "+got:  not JSON") {
		t.Errorf("errors %q, logs %q", reports.errors, reports.logs)
	}
}

func TestDeterministic_S34(t *testing.T) {
	t.Parallel()
	play := func(seed uint64) string {
		var out []string
		bubble(t, func(t *testing.T, s *relaytest.Server) {
			c := dial(t, s)
			c.write([]byte(`{"jsonrpc":"2.0","id":"1","method":"signalwire.connect","params":{"version":{"major":2,"minor":0,"revision":0},"event_acks":true,"contexts":["office"],"authentication":{"project":"p","token":"t"}}}`))
			synctest.Wait()
			s.Clock().Advance(5 * time.Second)
			synctest.Wait()
			c.write([]byte(`{"jsonrpc":"2.0","id":"2","method":"messaging.send","params":{"from_number":"+12025550199","to_number":"+12025550101","context":"office","body":"x"}}`))
			synctest.Wait() // the order of what the test itself does at once is not the server's
			s.Session(t).Deliver(relaytest.SMS{})
			synctest.Wait()
			for _, f := range s.Frames() {
				out = append(out, fmt.Sprint(f, f.Time))
			}
		}, func(c *relaytest.Config) {
			c.Seed = seed
			c.Clock = relaytest.NewFrozenClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
		})
		return strings.Join(out, "\n")
	}
	first, again, other := play(1), play(1), play(2)
	if first != again {
		t.Errorf("one seed, two stories:\n%s\n---\n%s", first, again)
	}
	if first == other {
		t.Error("two seeds, one story")
	}
	if !strings.Contains(first, `"timestamp":1767323050.000000`) {
		t.Errorf("the injected clock does not stamp the ping:\n%s", first)
	}
}

func TestFrozenClockMovesOnlyByAdvance_S34(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		c := connected(t, s, "office")
		time.Sleep(time.Hour)
		if n := c.count(isPing); n != 0 {
			t.Errorf("%d pings while the clock stood", n)
		}
		s.Clock().Advance(time.Minute)
		if n := c.count(isPing); n != 12 {
			t.Errorf("%d pings in a minute, want 12", n)
		}
	}, func(c *relaytest.Config) { c.Clock = relaytest.NewFrozenClock(time.Unix(1_790_000_000, 0)) })
}

// TestManyMessagesAndSessions_S35 is a check of soundness under the race
// detector, not of speed: every session gets its own traffic, all of it, in
// order, while the others work.
func TestManyMessagesAndSessions_S35(t *testing.T) {
	t.Parallel()
	const sessions, messages = 12, 60
	s := relaytest.NewServer(t, func(c *relaytest.Config) { c.Transcript = 500 })
	var wg sync.WaitGroup
	for i := range sessions {
		name := fmt.Sprintf("ctx-%d", i)
		c := connected(t, s, name)
		wg.Go(func() {
			seen := 0
			for seen < messages {
				f, ok := c.read()
				if !ok {
					t.Errorf("%s: connection ended: %v", name, c.err)
					return
				}
				if len(f.ID) > 0 && f.Method != "" {
					c.ack(f)
				}
				if f.eventType() == "messaging.receive" {
					in := f.inner(t)
					if in["context"] != name || in["body"] != fmt.Sprint(seen) {
						t.Errorf("%s: message %d is %v", name, seen, in)
					}
					seen++
					c.request("messaging.send", sendParams(map[string]any{"context": name}))
				}
			}
		})
	}
	for n := range messages {
		for i := range sessions {
			if _, err := s.Inject(relaytest.SMS{Context: fmt.Sprintf("ctx-%d", i), Body: fmt.Sprint(n)}, relaytest.All); err != nil {
				t.Fatal(err)
			}
		}
	}
	wg.Wait()
	waitFor(t, s, "all sends", func() bool { return s.Stats().Executed == sessions*messages })
	if n := len(s.Frames()); n != 500 {
		t.Errorf("%d frames kept, want the bound", n)
	}
}

func TestASlowClientHoldsNobody_S35(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		connected(t, s, "office")
		slow := s.Session(t)
		slow.Silence(false, true)
		c := connected(t, s, "office")
		for range 200 {
			if _, err := s.Inject(relaytest.SMS{Context: "office", Body: strings.Repeat("x", 1000)}, relaytest.All); err != nil {
				t.Fatal(err)
			}
			synctest.Wait() // the quick client keeps up
		}
		if n := c.count(isEvent("messaging.receive")); n != 200 {
			t.Errorf("the quick client got %d of 200", n)
		}
		// Its queue is bounded: it is dropped in the end.
		synctest.Wait()
		if slow.Conn() != 0 {
			t.Error("the slow client outlived its queue")
		}
	}, func(c *relaytest.Config) { c.MaxQueue = 100_000 })
}

func TestCloseEndsEverything(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, err := relaytest.Start(relaytest.Config{InMemory: true})
		if err != nil {
			t.Fatal(err)
		}
		c := connected(t, s, "office")
		failed := make(chan error)
		go func() {
			_, err := s.WaitFrame(t.Context(), relaytest.IsMethod("never"))
			failed <- err
		}()
		synctest.Wait()
		s.Close()
		s.Close()
		if err := <-failed; err == nil || !strings.Contains(err.Error(), "closed") {
			t.Errorf("a wait ended with %v", err)
		}
		_ = c.ended()
		if _, err := s.DialContext(t.Context(), "tcp", "relay.test:80"); err == nil {
			t.Error("a closed server accepts")
		}
	})
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	for _, cfg := range []relaytest.Config{
		{Transcript: -1},
		{StateDelay: -1},
		{Faults: relaytest.Faults{Ping: "sometimes"}},
		{Faults: relaytest.Faults{UpgradeStatus: 7}},
		{Addr: "256.0.0.1:1"},
	} {
		if s, err := relaytest.Start(cfg); err == nil {
			s.Close()
			t.Errorf("accepted %+v", cfg)
		}
	}
	s := relaytest.NewServer(t, relaytest.InMemory)
	if err := s.SetFaults(relaytest.Faults{AuthState: "maybe"}); err == nil || !strings.Contains(err.Error(), "auth_state") {
		t.Errorf("SetFaults: %v", err)
	}
}

func TestHandset(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		c := connected(t, s, "office")
		h := s.Handset("+12025550101")
		texts := h.Subscribe(t.Context())
		go c.call("messaging.send", sendParams(map[string]any{"media": []string{"https://m.example/1"}}))
		got := <-texts
		if got.Body != "hello" || got.From != "+12025550199" || got.To != h.Number() || len(got.Media) != 1 {
			t.Errorf("got %+v", got)
		}
		synctest.Wait()
		c.call("messaging.send", sendParams(map[string]any{"to_number": "+12025550102", "body": "for another"}))
		c.call("messaging.send", sendParams(map[string]any{"body": "second"}))
		if next := <-texts; next.Body != "second" {
			t.Errorf("got %+v", next)
		}
		if all := h.Messages(); len(all) != 2 || all[0].Body != "hello" {
			t.Errorf("messages %+v", all)
		}
		// And back.
		in, err := h.Text("+12025550199", "thanks")
		if err != nil {
			t.Fatal(err)
		}
		f := c.event("messaging.receive")
		c.ack(f)
		if err := in.Wait(t.Context()); err != nil || f.inner(t)["from_number"] != h.Number() {
			t.Errorf("%v, %s", err, f.raw)
		}
	}, func(c *relaytest.Config) { c.Numbers = map[string]string{"+12025550199": "office"} })
}
