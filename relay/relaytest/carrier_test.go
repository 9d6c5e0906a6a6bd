package relaytest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/signpost-sms/signpost/relay/relaytest"
)

func TestMagicNumbers_S19(t *testing.T) {
	t.Parallel()
	fates := map[string]struct {
		code   string // of the answer; empty: none
		states string
	}{
		"9000": {"200", "queued initiated sent delivered"},
		"9001": {"200", "queued initiated undelivered:unreachable"},
		"9002": {"200", "queued initiated undelivered:carrier_blocked"},
		"9003": {"200", "queued initiated failed:spam"},
		"9004": {"200", "failed:invalid_destination"},
		"9010": {"200", "queued initiated sent"},
		"9011": {"200", ""},
		"9012": {"200", "queued initiated sent delivered"},
		"9013": {"200", "queued"},
		"9020": {"200", "queued initiated sent delivered"},
		"9021": {"200", "queued initiated sent delivered"},
		"9022": {"200", "sent queued delivered initiated"},
		"9023": {"200", "queued queued initiated initiated sent sent delivered delivered"},
		"9024": {"200", "delivered"},
		"9025": {"200", "queued delivered sent"},
		"9026": {"200", "queued sent teleported delivered"},
		"9027": {"200", "queued sent delivered"},
		"9028": {"200", "queued sent delivered undelivered"},
		"9029": {"200", "queued failed delivered"},
		"9030": {"", ""}, "9031": {"", ""}, "9032": {"", "queued initiated sent delivered"}, "9033": {"", ""},
		"9034": {"200", "queued initiated sent delivered"},
		"9035": {"500", "queued initiated sent delivered"},
		"9600": {"-32000", ""}, "9603": {"-32603", ""},
		"9400": {"400", ""}, "9402": {"402", ""}, "9429": {"429", ""}, "9500": {"500", ""}, "9503": {"503", ""},
		"0123": {"200", "queued initiated sent delivered"},
	}
	for _, row := range relaytest.MagicNumbers() {
		if _, ok := fates[row.Suffix]; !ok || row.About == "" {
			t.Errorf("magic number %s is not tested", row.Suffix)
		}
	}
	for suffix, want := range fates {
		t.Run(suffix, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, s *relaytest.Server) {
				c := connected(t, s, "office")
				id := c.request("messaging.send", sendParams(map[string]any{"to_number": "+1202555" + suffix, "tags": []string{"k"}}))
				time.Sleep(time.Minute)
				var states []string
				code, at := "", 0
				for i, f := range c.pending() {
					switch {
					case string(f.ID) == `"`+id+`"`:
						code, at = f.code(t), i
					case f.eventType() == "messaging.state":
						in := f.inner(t)
						st := in["message_state"].(string)
						if in["reason"] != nil {
							st += ":" + in["reason"].(string)
						}
						if minimal := in["to_number"] == nil; minimal != (suffix == "9027") {
							t.Errorf("minimal fields %v in %s", minimal, f.raw)
						}
						if early := code == ""; early != (suffix == "9020" || suffix == "9032") {
							t.Errorf("state before the answer: %v", early)
						}
						states = append(states, st)
					}
				}
				if code != want.code || strings.Join(states, " ") != want.states {
					t.Errorf("code %q (frame %d), states %q, want %+v", code, at, states, want)
				}
				send := s.Sends()[0]
				executed := want.code == "200" || suffix == "9030" || suffix == "9032" || suffix == "9035"
				if send.Executed != executed || send.Code != want.code {
					t.Errorf("noted executed %v with code %q", send.Executed, send.Code)
				}
				reached := strings.Contains(want.states, "delivered") && !strings.Contains(want.states, "undelivered") ||
					suffix == "9010" || suffix == "9011" || suffix == "9028" || suffix == "9030"
				if got := len(s.Handset(send.To).Messages()); (got == 1) != reached {
					t.Errorf("the handset has %d texts, reached %v", got, reached)
				}
			})
		})
	}
}

func TestMagicOff_S19(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		c := connected(t, s, "office")
		if f := c.call("messaging.send", sendParams(map[string]any{"to_number": "+12025559429"})); f.code(t) != "200" {
			t.Errorf("got %s", f.raw)
		}
	}, func(c *relaytest.Config) { c.NoMagic = true })
}

func TestScriptsByDestination_S19(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		c := connected(t, s, "office")
		send := func(to string) string {
			return c.call("messaging.send", sendParams(map[string]any{"to_number": to})).code(t)
		}
		s.Carrier().On("+12025550101", append(relaytest.Repeat(2, relaytest.Reject("429", "Slow down")), relaytest.Deliver())...)
		s.Carrier().On("+12025559402", relaytest.Deliver()) // a script beats magic
		s.Carrier().Default(relaytest.Reject("503", "Unavailable"))
		for i, want := range []string{"429", "429", "200", "200"} {
			if got := send("+12025550101"); got != want {
				t.Errorf("send %d: %s, want %s", i, got, want)
			}
		}
		if a, b := send("+12025559402"), send("+12025550102"); a != "200" || b != "503" {
			t.Errorf("scripted magic number %s, default %s", a, b)
		}
		// NextSends beats them all, and is used up.
		s.NextSends(relaytest.Reject("401", ""), relaytest.RejectRPC(-32603, "Internal error"))
		if a, b, d := send("+12025550101"), send("+12025559402"), send("+12025550102"); a != "401" || b != "-32603" || d != "503" {
			t.Errorf("one-shots: %s, %s, then %s", a, b, d)
		}
		s.Carrier().On("+12025550101")
		if got := send("+12025550101"); got != "503" {
			t.Errorf("after removing the script: %s", got)
		}
	})
}

func TestStateFieldsCanBeOverridden_S19(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		c := connected(t, s, "office")
		s.NextSends(relaytest.Outcome{Steps: []relaytest.Step{{State: "sent", Fields: map[string]any{"tags": nil, "tag": "legacy"}}}})
		c.call("messaging.send", sendParams(nil))
		in := c.event("messaging.state").inner(t)
		if v, ok := in["tags"]; v != nil || !ok || in["tag"] != "legacy" {
			t.Errorf("got %v", in)
		}
	})
}
