package relaytest_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signpost-sms/signpost/relay/relaytest"
)

func contexts(names ...any) map[string]any { return map[string]any{"contexts": names} }

func TestReceiveAndUnreceive_S10(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		c := connected(t, s)
		for range 2 { // idempotent
			got := object(t, c.call("signalwire.receive", contexts("office", "sales")).Result)
			if got["code"] != "200" || got["message"] != "Receiving events" {
				t.Errorf("receive: %v", got)
			}
		}
		sess := s.Session(t)
		if got := sess.Contexts(); !slices.Equal(got, []string{"office", "sales"}) {
			t.Errorf("contexts %q", got)
		}
		for range 2 {
			got := object(t, c.call("signalwire.unreceive", contexts("office")).Result)
			if got["code"] != "200" || got["message"] != "Unreceiving events" {
				t.Errorf("unreceive: %v", got)
			}
		}
		if got := sess.Contexts(); !slices.Equal(got, []string{"sales"}) {
			t.Errorf("contexts %q", got)
		}
		in, err := s.Inject(relaytest.SMS{Context: "office"}, relaytest.All)
		if err != nil || len(in.Deliveries) != 0 || c.count(isEvent("messaging.receive")) != 0 {
			t.Errorf("unreceived context still delivers: %v, %v", in, err)
		}
	})
}

func TestReceiveRefusesBadInput_S10(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		c := connected(t, s)
		for _, bad := range []any{
			map[string]any{},
			contexts(), contexts(1), contexts(""), contexts("office", nil),
			map[string]any{"contexts": "office"},
			[]any{"office"},
			nil,
		} {
			for _, method := range []string{"signalwire.receive", "signalwire.unreceive"} {
				if f := c.call(method, bad); f.code(t) != "400" {
					t.Errorf("%s %v: %s", method, bad, f.raw)
				}
			}
		}
		if sessions := s.Sessions(); len(sessions[0].Contexts()) != 0 {
			t.Errorf("subscribed to %q", sessions[0].Contexts())
		}
	}, relaytest.Lenient)
}

func TestReceiveScripts_S10(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		s.NextReplies("signalwire.receive", relaytest.Reply{Code: "402", Message: "Payment required"},
			relaytest.Reply{Code: "500"}, relaytest.Reply{Silence: true}, relaytest.Reply{Delay: 3 * time.Second})
		c := connected(t, s)
		for _, want := range []string{"402", "500"} {
			if f := c.call("signalwire.receive", contexts("office")); f.code(t) != want {
				t.Errorf("got %s, want %s", f.raw, want)
			}
		}
		id := c.request("signalwire.receive", contexts("office"))
		time.Sleep(time.Second)
		if n := c.count(func(f frame) bool { return string(f.ID) == `"`+id+`"` }); n != 0 {
			t.Error("silence was answered")
		}
		if got := s.Sessions()[0].Contexts(); len(got) != 0 {
			t.Errorf("refused, yet subscribed to %q", got)
		}
		start := time.Now()
		if f := c.call("signalwire.receive", contexts("office")); f.code(t) != "200" || time.Since(start) != 3*time.Second {
			t.Errorf("delayed: %s after %v", f.raw, time.Since(start))
		}
	})
}

func TestSubscriptionsBelongToTheSession_S11(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ forget, fresh bool }{{false, false}, {true, false}, {false, true}} {
		t.Run(fmt.Sprintf("forget=%v fresh=%v", tc.forget, tc.fresh), func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, s *relaytest.Server) {
				setFaults(t, s, func(f *relaytest.Faults) { f.ForgetContexts = tc.forget })
				c := dial(t, s)
				first := c.call("signalwire.connect", connectParams("office"))
				state := c.authState()
				synctest.Wait()
				s.Session(t).Drop()
				again := dial(t, s)
				params := resumeParams(t, first, state)
				if tc.fresh {
					params = connectParams()
				}
				again.call("signalwire.connect", params)
				in, err := s.Inject(relaytest.SMS{Context: "office"}, relaytest.All)
				if err != nil {
					t.Fatal(err)
				}
				want := 1
				if tc.forget || tc.fresh {
					want = 0
				}
				if len(in.Deliveries) != want || again.count(isEvent("messaging.receive")) != want {
					t.Errorf("%d deliveries, want %d", len(in.Deliveries), want)
				}
			})
		})
	}
}

func TestPings_S12(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		config time.Duration
		fault  relaytest.Faults
		want   int // within 31 s
		params func(map[string]any) bool
	}{
		"default":      {0, relaytest.Faults{}, 6, func(p map[string]any) bool { return p["timestamp"] != nil && p["payload"] == nil }},
		"configured":   {10 * time.Second, relaytest.Faults{}, 3, nil},
		"never":        {-1, relaytest.Faults{}, 0, nil},
		"fault":        {0, relaytest.Faults{PingInterval: 2 * time.Second}, 15, nil},
		"never, fault": {0, relaytest.Faults{Ping: relaytest.PingNever}, 0, nil},
		"once":         {0, relaytest.Faults{Ping: relaytest.PingOnce}, 1, nil},
		"no timestamp": {0, relaytest.Faults{PingNoTimestamp: true}, 6, func(p map[string]any) bool { return p["timestamp"] == nil }},
		"payload":      {0, relaytest.Faults{PingPayload: "x y"}, 6, func(p map[string]any) bool { return p["payload"] == "x y" }},
		"integer id":   {0, relaytest.Faults{PingIntegerID: true}, 6, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, s *relaytest.Server) {
				if err := s.SetFaults(tc.fault); err != nil {
					t.Fatal(err)
				}
				c := connected(t, s, "office")
				time.Sleep(31 * time.Second)
				got := 0
				for _, f := range c.pending() {
					if !isPing(f) {
						continue
					}
					got++
					p := object(t, f.Params)
					if tc.params != nil && !tc.params(p) {
						t.Errorf("params %v", p)
					}
					if integer := f.ID[0] != '"'; integer != tc.fault.PingIntegerID {
						t.Errorf("id %s", f.ID)
					}
					c.reply(f, string(f.Params))
				}
				if got != tc.want {
					t.Errorf("%d pings in 31 s, want %d", got, tc.want)
				}
				synctest.Wait()
				if info := s.Connections()[0]; info.PingsSent != tc.want || info.PingsAnswered != tc.want {
					t.Errorf("counted %d sent and %d answered, want %d", info.PingsSent, info.PingsAnswered, tc.want)
				}
			}, func(c *relaytest.Config) { c.PingInterval = tc.config })
		})
	}
}

func TestPongsAreChecked_S12(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reply func(f frame) string
		bad   bool
	}{
		"echo":            {func(f frame) string { return string(f.Params) }, false},
		"own timestamp":   {func(frame) string { return `{"timestamp":1,"payload":"p"}` }, true},
		"empty":           {func(frame) string { return `{}` }, true},
		"payload differs": {func(f frame) string { return strings.Replace(string(f.Params), `"p"`, `"q"`, 1) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, s *relaytest.Server) {
				setFaults(t, s, func(f *relaytest.Faults) { f.PingPayload = "p" })
				c := connected(t, s, "office")
				pong := s.Session(t).Ping()
				ping := c.ping()
				c.reply(ping, tc.reply(ping))
				<-pong
				if got := s.Rules()["pong"] > 0; got != tc.bad {
					t.Errorf("violation %v, want %v: %v", got, tc.bad, s.Violations())
				}
			}, relaytest.Lenient)
		})
	}
}

func TestAnswersClientPings_S13(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		c := connected(t, s, "office")
		for _, params := range []string{`{"timestamp":1790000000.1250}`, `{"payload":"a","timestamp":7}`, `{"payload":"b"}`, `{}`} {
			c.write(fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%q,"method":"signalwire.ping","params":%s}`, c.id(), params))
			f := c.find("a pong", func(f frame) bool { return f.Method == "" && f.Result != nil })
			if string(f.Result) != params {
				t.Errorf("ping %s answered with %s", params, f.Result)
			}
		}
		setFaults(t, s, func(f *relaytest.Faults) { f.ClientPing = relaytest.ClientPingError })
		if f := c.call("signalwire.ping", map[string]any{}); f.Error == nil {
			t.Errorf("got %s, want an error", f.raw)
		}
		setFaults(t, s, func(f *relaytest.Faults) { f.ClientPing = relaytest.ClientPingSilence })
		c.request("signalwire.ping", map[string]any{})
		if n := c.count(func(f frame) bool { return f.Method == "" }); n != 0 {
			t.Errorf("%d answers, want silence", n)
		}
	})
}

func TestDropsAfterMissedPings_S14(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		setFaults(t, s, func(f *relaytest.Faults) { f.DropAfterMissed = 2 })
		c := connected(t, s, "office")
		sess := s.Session(t)
		time.Sleep(5 * time.Second)
		ping := c.ping()
		c.reply(ping, string(ping.Params)) // the count starts anew
		time.Sleep(14 * time.Second)
		synctest.Wait()
		if sess.Conn() == 0 {
			t.Fatal("dropped before two pings were missed")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if sess.Conn() != 0 {
			t.Error("not dropped after two missed pings")
		}
	})
}

func TestDisconnect_S15(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		restart *bool
		params  string
		options relaytest.DisconnectOptions
		closes  time.Duration // after the reply; negative: never
	}{
		"restart":    {relaytest.Restart, `{"restart":true}`, relaytest.DisconnectOptions{}, 0},
		"keep":       {relaytest.Keep, `{"restart":false}`, relaytest.DisconnectOptions{CloseAfter: 3 * time.Second}, 3 * time.Second},
		"absent":     {nil, `{}`, relaytest.DisconnectOptions{}, 0},
		"no closing": {nil, `{}`, relaytest.DisconnectOptions{NeverClose: true}, -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, s *relaytest.Server) {
				c := connected(t, s, "office")
				sess := s.Session(t)
				sess.Disconnect(tc.restart, tc.options)
				f := c.find("the disconnect", func(f frame) bool { return f.Method == "signalwire.disconnect" })
				if string(f.Params) != tc.params {
					t.Errorf("params %s, want %s", f.Params, tc.params)
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if sess.Conn() == 0 {
					t.Fatal("closed before the reply")
				}
				c.ack(f)
				start := time.Now()
				if tc.closes < 0 {
					time.Sleep(time.Minute)
					synctest.Wait()
					if sess.Conn() == 0 {
						t.Error("closed, though it should never")
					}
					return
				}
				if code := closeCode(c.ended()); code != 1001 || time.Since(start) != tc.closes {
					t.Errorf("closed with %d after %v, want 1001 after %v", code, time.Since(start), tc.closes)
				}
			})
		})
	}
}

func TestDisconnectClosesBeforeReply_S15(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		c := connected(t, s, "office")
		s.Session(t).Disconnect(relaytest.Keep, relaytest.DisconnectOptions{CloseBeforeReply: true})
		if code := closeCode(c.ended()); code != 1001 {
			t.Errorf("closed with %d", code)
		}
	})
}

func TestEventsWhileDraining_S15(t *testing.T) {
	t.Parallel()
	for _, keep := range []bool{false, true} {
		bubble(t, func(t *testing.T, s *relaytest.Server) {
			c := connected(t, s, "office")
			sess := s.Session(t)
			sess.Disconnect(relaytest.Keep, relaytest.DisconnectOptions{NeverClose: true, KeepEvents: keep})
			in, err := s.Inject(relaytest.SMS{Context: "office"}, relaytest.All)
			if err != nil {
				t.Fatal(err)
			}
			if got := c.count(isEvent("messaging.receive")); got != len(in.Deliveries) || (got == 1) != keep {
				t.Errorf("keep %v: %d events", keep, got)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := s.WaitSession(ctx); err == nil {
				t.Error("a draining session counts as subscribed")
			}
		})
	}
}

func TestRestartMakesTheProtocolUnknown_S16(t *testing.T) {
	t.Parallel()
	for _, restart := range []*bool{relaytest.Restart, relaytest.Keep, nil} {
		bubble(t, func(t *testing.T, s *relaytest.Server) {
			c := dial(t, s)
			first := c.call("signalwire.connect", connectParams("office"))
			state := c.authState()
			synctest.Wait()
			s.Session(t).Disconnect(restart, relaytest.DisconnectOptions{})
			c.ack(c.find("the disconnect", func(f frame) bool { return f.Method == "signalwire.disconnect" }))
			_ = c.ended()
			synctest.Wait()
			f := dial(t, s).call("signalwire.connect", resumeParams(t, first, state))
			want := restart != relaytest.Restart
			if got := object(t, f.Result)["session_restored"]; got != want {
				t.Errorf("restored %v, want %v", got, want)
			}
		})
	}
}

func TestServerRestartForgetsSessions(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		c := dial(t, s)
		first := c.call("signalwire.connect", connectParams("office"))
		state := c.authState()
		s.Restart()
		_ = c.ended()
		f := dial(t, s).call("signalwire.connect", resumeParams(t, first, state))
		if object(t, f.Result)["session_restored"] != false {
			t.Errorf("the session survived: %s", f.raw)
		}
	})
}
