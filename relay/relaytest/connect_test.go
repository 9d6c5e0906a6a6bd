package relaytest_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signpost-sms/signpost/relay/relaytest"
)

func TestConnectChecksParams_S4(t *testing.T) {
	t.Parallel()
	auth := func(v any) map[string]any { return map[string]any{"authentication": v} }
	type table map[string]struct {
		change map[string]any
		code   string
		needed bool // AUTH_REQUIRED
	}
	for name, tc := range (table{
		"version 1":       {map[string]any{"version": map[string]int{"major": 1}}, "-32602", false},
		"version 5":       {map[string]any{"version": map[string]int{"major": 5}}, "-32602", false},
		"no version":      {map[string]any{"version": nil}, "-32602", false},
		"no auth block":   {auth(nil), "-32602", false},
		"auth is a text":  {auth("p1:t1"), "-32602", false},
		"no token":        {auth(map[string]string{"project": "p1"}), "-32002", true},
		"empty token":     {auth(map[string]string{"project": "p1", "token": ""}), "-32002", true},
		"empty project":   {auth(map[string]string{"project": "", "token": "t1"}), "-32002", true},
		"wrong token":     {auth(map[string]string{"project": "p1", "token": "t2"}), "-32002", false},
		"unknown project": {auth(map[string]string{"project": "p2", "token": "t1"}), "-32002", false},
		"wrong jwt":       {auth(map[string]string{"jwt_token": "j2"}), "-32002", false},
		"contexts":        {map[string]any{"contexts": "office"}, "-32602", false},
		"good jwt":        {auth(map[string]string{"jwt_token": "j1"}), "", false},
		"version 2":       {map[string]any{}, "", false},
		"version 3":       {map[string]any{"version": map[string]int{"major": 3}}, "", false},
		"version 4":       {map[string]any{"version": map[string]int{"major": 4}}, "", false},
	}) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, s *relaytest.Server) {
				c := dial(t, s)
				f := c.call("signalwire.connect", with(connectParams("office"), tc.change))
				if got := f.code(t); got != tc.code {
					t.Fatalf("code %q, want %q: %s", got, tc.code, f.raw)
				}
				if f.Error == nil {
					return
				}
				if needed := string(f.Error.Data) == `{"signalwire_error_code":"AUTH_REQUIRED"}`; needed != tc.needed {
					t.Errorf("data %s, want AUTH_REQUIRED %v", f.Error.Data, tc.needed)
				}
				if f := c.call("signalwire.receive", map[string]any{"contexts": []string{"x"}}); f.code(t) != "-32002" {
					t.Errorf("a refused connection is let in: %s", f.raw)
				}
			}, relaytest.Lenient, func(c *relaytest.Config) {
				c.Credentials, c.JWTs = map[string]string{"p1": "t1"}, []string{"j1"}
			})
		})
	}
}

func TestConnectResult_S5(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		c := dial(t, s)
		got := object(t, c.call("signalwire.connect", connectParams()).Result)
		if got["code"] != nil {
			t.Errorf("code %v, want none", got["code"])
		}
		auth := got["authorization"].(map[string]any)
		m := regexp.MustCompile(`^signalwire_([0-9a-f]+)_[0-9a-f-]{36}$`).FindStringSubmatch(got["protocol"].(string))
		if m == nil || m[1] != auth["signature"] {
			t.Errorf("protocol %v with signature %v", got["protocol"], auth["signature"])
		}
		if !regexp.MustCompile(`^[0-9a-f-]{36}@[0-9a-f-]{36}\..+$`).MatchString(got["identity"].(string)) {
			t.Errorf("identity %v", got["identity"])
		}
		if auth["project"] != "p1" || auth["project_id"] != "p1" || auth["space_id"] == "" || len(auth["scopes"].([]any)) == 0 {
			t.Errorf("authorization %v", auth)
		}
		if at, _ := auth["expires_at"].(json.Number).Int64(); at != time.Now().Add(time.Hour).Unix() {
			t.Errorf("expires_at %v, want in an hour", at)
		}
		if got["sessionid"] == nil || got["session_restored"] != false {
			t.Errorf("sessionid %v, session_restored %v", got["sessionid"], got["session_restored"])
		}
		setFaults(t, s, func(f *relaytest.Faults) { f.OmitSessionID = true })
		bare := object(t, dial(t, s).call("signalwire.connect", connectParams()).Result)
		if bare["sessionid"] != nil || bare["session_restored"] != nil || bare["protocol"] == got["protocol"] {
			t.Errorf("with OmitSessionID: %v", bare)
		}
	})
}

func TestResume_S6(t *testing.T) {
	t.Parallel()
	// name, what the client sends as authorization_state ("=" the right one),
	// whether the protocol is known, the fault, and what comes of it.
	for name, tc := range map[string]struct {
		state    string
		known    bool
		fault    int
		restored bool
		code     string
	}{
		"good":            {"=", true, 0, true, ""},
		"no state":        {"", true, 0, false, ""},
		"wrong state":     {"AAAA:BBBB", true, 0, false, ""},
		"unknown":         {"=", false, 0, false, ""},
		"good, fault":     {"=", true, -32003, true, ""},
		"unknown, -32003": {"=", false, -32003, false, "-32003"},
		"stale, -32602":   {"AAAA:BBBB", true, -32602, false, "-32602"},
		"stale, -32002":   {"", true, -32002, false, "-32002"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, s *relaytest.Server) {
				setFaults(t, s, func(f *relaytest.Faults) { f.ResumeError = tc.fault })
				c := dial(t, s)
				first := c.call("signalwire.connect", connectParams("office"))
				state := c.authState()
				synctest.Wait()
				s.Session(t).Drop()
				if tc.state != "=" {
					state = tc.state
				}
				p := resumeParams(t, first, state)
				if !tc.known {
					p["protocol"] = "signalwire_00_unknown"
				}
				f := dial(t, s).call("signalwire.connect", p)
				if got := f.code(t); got != tc.code {
					t.Fatalf("code %q, want %q: %s", got, tc.code, f.raw)
				}
				if tc.code == "-32003" && f.Error.Message != "Requester validation failed" {
					t.Errorf("message %q", f.Error.Message)
				}
				if tc.code != "" {
					return
				}
				before, after := object(t, first.Result), object(t, f.Result)
				if after["session_restored"] != tc.restored || (after["protocol"] == before["protocol"]) != tc.restored {
					t.Errorf("restored %v, same protocol %v, want %v", after["session_restored"],
						after["protocol"] == before["protocol"], tc.restored)
				}
			})
		})
	}
}

func TestUnacknowledgedAuthStateIsNotNeeded_S6(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		c := dial(t, s)
		first := c.call("signalwire.connect", connectParams("office"))
		old := c.authState()
		synctest.Wait()
		sess := s.Session(t)
		sess.PushAuthState() // lost on the way, as far as the server knows
		sess.Drop()
		f := dial(t, s).call("signalwire.connect", resumeParams(t, first, old))
		if object(t, f.Result)["session_restored"] != true {
			t.Errorf("the last acknowledged state no longer counts: %s", f.raw)
		}
	})
}

func TestAuthState_S7(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string]struct{ events, values int }{
		"": {1, 1}, relaytest.AuthStateNever: {0, 0}, relaytest.AuthStateRepeat: {4, 1}, relaytest.AuthStateRotate: {4, 4},
	} {
		t.Run("mode "+mode, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, s *relaytest.Server) {
				setFaults(t, s, func(f *relaytest.Faults) { f.AuthState = mode })
				c := connected(t, s, "office")
				time.Sleep(16 * time.Second) // three pings
				values := map[string]bool{}
				n := 0
				for _, f := range c.pending() {
					if f.eventType() == "signalwire.authorization.state" {
						n++
						value := f.inner(t)["authorization_state"].(string)
						values[value] = true
						if !regexp.MustCompile(`^[A-Za-z0-9+/=]+:[A-Za-z0-9+/=]+$`).MatchString(value) {
							t.Errorf("value %q is not <b64>:<b64>", value)
						}
						if object(t, f.Params)["event_channel"] != nil {
							t.Error("has an event_channel")
						}
					}
				}
				if n != want.events || len(values) != want.values {
					t.Errorf("%d events with %d values, want %+v", n, len(values), want)
				}
			})
		})
	}
}

func TestConnectContextsSubscribe_S8(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		c := connected(t, s, "office", "sales")
		if got := s.Session(t).Contexts(); !slices.Equal(got, []string{"office", "sales"}) {
			t.Errorf("contexts %q", got)
		}
		for _, name := range []string{"sales", "billing"} {
			if _, err := s.Inject(relaytest.SMS{Context: name}, relaytest.All); err != nil {
				t.Fatal(err)
			}
		}
		if n := c.count(isEvent("messaging.receive")); n != 1 {
			t.Errorf("%d inbounds, want the one for sales", n)
		}
	})
}

func TestRequestsBeforeConnect_S9(t *testing.T) {
	t.Parallel()
	for mode, check := range map[string]func(*testing.T, *client){
		"": func(t *testing.T, c *client) {
			for _, method := range []string{"signalwire.receive", "messaging.send", "signalwire.teleport"} {
				if f := c.call(method, sendParams(nil)); f.code(t) != "-32002" {
					t.Errorf("%s: %s", method, f.raw)
				}
			}
		},
		relaytest.BeforeAuthSilence: func(t *testing.T, c *client) {
			c.request("messaging.send", sendParams(nil))
			if got := c.pending(); len(got) > 0 {
				t.Errorf("got %s, want silence", rawAll(got))
			}
		},
		relaytest.BeforeAuthClose: func(t *testing.T, c *client) {
			c.request("messaging.send", sendParams(nil))
			if got := closeCode(c.ended()); got != 1008 {
				t.Errorf("closed with %d, want 1008", got)
			}
		},
	} {
		t.Run("mode "+mode, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, s *relaytest.Server) {
				setFaults(t, s, func(f *relaytest.Faults) { f.BeforeAuth = mode })
				check(t, dial(t, s))
				if len(s.Sends()) > 0 || s.Stats().RequestsBeforeAuth == 0 {
					t.Errorf("sends %v, stats %+v", s.Sends(), s.Stats())
				}
			}, relaytest.Lenient)
		})
	}
}

func TestUnknownMethod_S9(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		c := connected(t, s, "office")
		if f := c.call("messaging.teleport", map[string]any{}); f.code(t) != "-32601" {
			t.Errorf("got %s, want -32601", f.raw)
		}
	}, relaytest.Lenient)
}

func TestFramesBeforeTheConnectResult_S31(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		s.NextConnects(relaytest.Connect{EarlyPing: true, EarlyEvents: []relaytest.SMS{{Context: "office", Body: "early"}}})
		c := dial(t, s)
		id := c.request("signalwire.connect", connectParams("office"))
		ping, event, result := c.pending()[0], c.pending()[1], c.pending()[2]
		if !isPing(ping) || event.eventType() != "messaging.receive" || string(result.ID) != `"`+id+`"` {
			t.Fatalf("got %s", rawAll(c.pending()))
		}
		// What came early is answered like anything else.
		c.reply(ping, string(ping.Params))
		c.ack(event)
		synctest.Wait()
		if info := s.Connections()[0]; info.PingsAnswered != 1 || info.Acks != 1 {
			t.Errorf("connection %+v", info)
		}
	})
}

func TestAuthScripts_S32(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		attempt := func(token string) string {
			c := dial(t, s)
			defer c.ws.CloseNow()
			return c.call("signalwire.connect", with(connectParams("office"), map[string]any{
				"authentication": map[string]string{"project": "p1", "token": token},
			})).code(t)
		}
		// Reject twice, accept, then reject the reconnect.
		s.NextConnects(append(relaytest.Repeat(2, relaytest.RejectAuth()), relaytest.Connect{}, relaytest.RejectAuth())...)
		for i, want := range []string{"-32002", "-32002", "", "-32002", ""} {
			if got := attempt("t1"); got != want {
				t.Errorf("attempt %d: code %q, want %q", i, got, want)
			}
		}
		// Rotation.
		s.SetCredentials(map[string]string{"p1": "t2"})
		if a, b := attempt("t1"), attempt("t2"); a != "-32002" || b != "" {
			t.Errorf("after rotation: old %q, new %q", a, b)
		}
		// Slow.
		s.NextConnects(relaytest.Connect{Reply: relaytest.Reply{Delay: 9 * time.Second}})
		start := time.Now()
		if got := attempt("t2"); got != "" || time.Since(start) != 9*time.Second {
			t.Errorf("slow connect: %q after %v", got, time.Since(start))
		}
		// Near expiry.
		setFaults(t, s, func(f *relaytest.Faults) { f.ExpiresIn = time.Minute })
		f := dial(t, s).call("signalwire.connect", with(connectParams(), map[string]any{
			"authentication": map[string]string{"project": "p1", "token": "t2"},
		}))
		at, _ := object(t, f.Result)["authorization"].(map[string]any)["expires_at"].(json.Number).Int64()
		if at != time.Now().Add(time.Minute).Unix() {
			t.Errorf("expires_at %v, want in a minute", at)
		}
	})
}

func TestReauthenticate_S32(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		c := dial(t, s)
		jwt := func(token string) map[string]any {
			return map[string]any{"authentication": map[string]string{"project": "p1", "jwt_token": token}}
		}
		c.call("signalwire.connect", with(connectParams("office"), jwt("j1")))
		s.SetCredentials(nil, "j2")
		if f := c.call("signalwire.reauthenticate", jwt("j1")); f.code(t) != "-32002" {
			t.Errorf("old token: %s", f.raw)
		}
		got := object(t, c.call("signalwire.reauthenticate", jwt("j2")).Result)
		if got["protocol"] != nil || got["authorization"] == nil || got["authentication"] == nil {
			t.Errorf("result %v, want authentication and authorization without protocol", got)
		}
	})
}
