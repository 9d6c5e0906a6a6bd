package relay

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

func TestConnectIsFirstAndAlone_R13(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		p := sp.accept()
		m := p.read()
		if m.Method != "signalwire.connect" {
			t.Fatalf("first frame: got %s, want signalwire.connect", m.Method)
		}
		// Whatever is asked of the client meanwhile, no request follows before
		// the result.
		refused := make(chan Answer, 1)
		r.Go(uuid.New(), "messaging.send", nil, func(a Answer) { refused <- a })
		if a := <-refused; !errors.Is(a.Err, ErrNotSent) {
			t.Errorf("Go before the connect result: got %v, want ErrNotSent", a.Err)
		}
		if err := r.Call(t.Context(), "x.y", nil, nil); !errors.Is(err, ErrNotSent) {
			t.Errorf("Call before the connect result: got %v, want ErrNotSent", err)
		}
		r.Receive("alerts")
		r.Probe()
		time.Sleep(9 * time.Second)
		synctest.Wait()
		p.conn.in.mu.Lock()
		extra := len(p.conn.in.buf)
		p.conn.in.mu.Unlock()
		if extra != 0 || p.r.Buffered() != 0 {
			t.Errorf("%d bytes were written before the connect result", extra+p.r.Buffered())
		}
		p.answer(m, connectResultJSON)
		if m := p.read(); m.Method != "signalwire.receive" && m.Method != "signalwire.ping" {
			t.Errorf("after the result: got %s", m.Method)
		}
	})
}

// A pong that is queued before the connect still goes after it.
func TestConnectOvertakesWhatWaits_R13(t *testing.T) {
	t.Parallel()
	s := offline(ackAll{})
	s.reply([]byte(`"pg"`), nil)
	if work, _ := s.work(); work {
		t.Error("the writer may begin before connect is queued")
	}
	s.next = nextCall{urgency: first}
	if err := s.queueCall([]byte("connect")); err != nil {
		t.Fatal(err)
	}
	if work, _ := s.work(); !work {
		t.Error("the writer may not begin")
	}
	if got := string(s.lanes.control.take()); got != "connect" {
		t.Errorf("first in the lane: %s", got)
	}
}

func TestConnectTimesOut_R14(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		start := time.Now()
		r := sp.run()
		p := sp.accept()
		p.read()
		if _, err := p.try(); err == nil {
			t.Error("the client wrote something, want a close")
		}
		if got := time.Since(start); got != DefaultConnectTimeout {
			t.Errorf("closed after %s, want %s", got, DefaultConnectTimeout)
		}
		sp.ready()
		r.ready(t)
		st := r.Status()
		if st.Disconnects[reasonConnect] != 1 || !strings.Contains(st.LastError.Text, "deadline") {
			t.Errorf("disconnects %v, last error %+v", st.Disconnects, st.LastError)
		}
	})
}

func TestConnectParams_R15(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run(func(c *Config) {
			c.Agent = "acme/1"
			c.Contexts = []string{"office", "", "alerts", "office"}
		})
		m := sp.accept().read()
		jsonEqual(t, m.Params, `{"version":{"major":2,"minor":0,"revision":0},"agent":"acme/1","event_acks":true,
			"authentication":{"project":"`+testProject+`","token":"`+testToken+`"},"contexts":["office","alerts"]}`)
		_ = r
	})
}

func TestConnectWithJWT_R15(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		sp.run(func(c *Config) {
			c.Token, c.JWT, c.Version, c.Contexts = "", "j.w.t", [3]int{4, 0, 1}, nil
		})
		m := sp.accept().read()
		jsonEqual(t, m.Params, `{"version":{"major":4,"minor":0,"revision":1},"agent":"signpost","event_acks":true,
			"authentication":{"project":"`+testProject+`","jwt_token":"j.w.t"}}`)
	})
}

func TestCredentialsTravelInTheFirstFrameOnly_R3(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		p := sp.ready()
		r.ready(t)
		head := p.head.RequestURI + p.head.Host
		for name, values := range p.head.Header {
			head += name + strings.Join(values, "")
		}
		if strings.Contains(head, testToken) || strings.Contains(head, testProject) {
			t.Errorf("credentials in the upgrade request: %s", head)
		}
		if got := p.head.Header; got.Get("Authorization") != "" || got.Get("Sec-WebSocket-Extensions") != "" || got.Get("Sec-WebSocket-Protocol") != "" {
			t.Errorf("upgrade headers: %v", got)
		}
	})
}

func TestReaderRunsBeforeConnect_R16(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		for range 2 { // the first connection, and a reconnect
			p := sp.next()
			p.readHead()
			// The ping travels with the upgrade's answer.
			p.r.Reset(p.conn)
			upgradeWith(p, wsFrame(1, true, `{"jsonrpc":"2.0","id":1,"method":"signalwire.ping","params":{"timestamp":7.5}}`))
			if m := p.read(); m.Method != "signalwire.connect" {
				t.Fatalf("first frame: got %s", m.raw)
			}
			jsonEqual(t, p.read().raw, `{"jsonrpc":"2.0","id":1,"result":{"timestamp":7.5}}`)
			p.held = nil
			p.conn.reset()
		}
		_ = r
	})
}

func TestFramesBeforeConnectResult_R17(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		p := sp.accept()
		m := p.read()
		p.event(`"early"`, "messaging.receive")
		p.write(`{"jsonrpc":"2.0","id":"pg","method":"signalwire.ping","params":{}}`)
		ev := <-r.events
		if err := ev.Ack(); err != nil {
			t.Fatal(err)
		}
		p.expectReply(`"pg"`)
		p.expectReply(`"early"`)
		p.answer(m, connectResultJSON)
		p.answer(p.expect("signalwire.receive"), `{"code":"200"}`)
		r.ready(t)
	})
}

func authState(p *peer, id, value string) {
	p.write(`{"jsonrpc":"2.0","id":%s,"method":"signalwire.event","params":{"event_type":"signalwire.authorization.state","params":{"authorization_state":%q}}}`, id, value)
	p.expectReply(id)
}

func resumeOf(t *testing.T, m msg) (protocol, state string) {
	t.Helper()
	var p struct {
		Protocol string
		State    string `json:"authorization_state"`
	}
	if err := json.Unmarshal(m.Params, &p); err != nil {
		t.Fatal(err)
	}
	return p.Protocol, p.State
}

func TestReconnectResumes_R18(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		p := sp.ready()
		authState(p, `"a1"`, "QUJD:REVG")
		authState(p, `"a2"`, "R0hJ:SktM")
		if len(r.events) != 0 {
			t.Errorf("authorization.state was handed on")
		}
		p.conn.reset()
		for range 2 {
			p = sp.accept()
			m := p.read()
			if protocol, state := resumeOf(t, m); protocol != "signalwire_q71f_ab12" || state != "R0hJ:SktM" {
				t.Errorf("resume data: got %q, %q, want the session's and the newest", protocol, state)
			}
			var auth struct{ Authentication map[string]string }
			if err := json.Unmarshal(m.Params, &auth); err != nil || auth.Authentication["token"] != testToken {
				t.Errorf("credentials: got %v", auth)
			}
			// A reply full of other credentials changes nothing.
			p.answer(m, `{"protocol":"signalwire_q71f_ab12","jwt_token":"other","token":"other","authorization":{"project":"other"}}`)
			p.answer(p.expect("signalwire.receive"), `{"code":"200"}`)
			r.ready(t)
			p.conn.reset()
			synctest.Wait()
		}
		if st := r.Status(); st.Sessions != 1 || st.Connects != 3 {
			t.Errorf("sessions %d, connects %d; want 1, 3", st.Sessions, st.Connects)
		}
	})
}

func TestResumeRefusedRetriesFreshAtOnce_R19(t *testing.T) {
	for _, code := range []string{"-32003", "-32602", "-32002", `"-32002"`, "-32603"} {
		t.Run(code, func(t *testing.T) {
			bubble(t, func(t *testing.T, sp *space) {
				r := sp.run()
				p := sp.ready()
				authState(p, `1`, "QUJD:REVG")
				p.conn.reset()
				p = sp.accept()
				refusedAt := time.Now()
				p.refuse(p.read(), code, "Requester validation failed")
				p = sp.accept()
				if wait := time.Since(refusedAt); wait != 0 {
					t.Errorf("fresh attempt after %s, want at once", wait)
				}
				m := p.read()
				if protocol, state := resumeOf(t, m); protocol != "" || state != "" {
					t.Errorf("the fresh attempt resumes: %q, %q", protocol, state)
				}
				// The fresh one refused too: once, not again and again.
				p.refuse(m, code, "no")
				p = sp.accept()
				if wait := time.Since(refusedAt); wait == 0 {
					t.Error("a second fresh attempt without delay")
				}
				p.accept()
				r.ready(t)
				if st := r.Status(); st.Sessions != 2 {
					t.Errorf("sessions: got %d, want 2", st.Sessions)
				}
			})
		})
	}
}

func TestRefusedCredentialsEndRun_R20(t *testing.T) {
	for _, code := range []string{"-32002", `"-32002"`, "-32003", "-32602", "-32401"} {
		t.Run(code, func(t *testing.T) {
			bubble(t, func(t *testing.T, sp *space) {
				r := sp.run()
				for range 3 {
					p := sp.accept()
					p.refuse(p.read(), code, "Authentication failed for "+testToken)
					if _, err := p.try(); err == nil {
						t.Error("the socket of a refused connect stays open")
					}
				}
				err := <-r.done
				r.done <- err
				var auth *AuthError
				if !errors.As(err, &auth) || auth.Attempts != 3 || auth.Code != strings.Trim(code, `"`) {
					t.Fatalf("Run: got %v, want an AuthError after 3 attempts", err)
				}
				if strings.Contains(err.Error(), testToken) {
					t.Errorf("the error shows the token: %v", err)
				}
				if !strings.Contains(err.Error(), "check") {
					t.Errorf("the error does not say what to do: %v", err)
				}
				if err := r.Ready(t.Context()); !errors.As(err, &auth) {
					t.Errorf("Ready after the end: got %v", err)
				}
				if got := r.Status().State; got != StateStopped {
					t.Errorf("state: got %s, want stopped", got)
				}
			})
		})
	}
}

func TestOnlyRefusalsCount_R20(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		refuse := func() { p := sp.accept(); p.refuse(p.read(), "-32002", "no") }
		refuse()
		for range 5 {
			p := sp.accept()
			p.read()
			p.conn.reset()
		}
		refuse()
		for _, code := range []string{"-32603", "-32000", `"-32603"`, "-32601"} {
			p := sp.accept()
			p.refuse(p.read(), code, "internal")
		}
		p := sp.accept() // mute
		p.read()
		p = sp.next()
		p.readHead()
		p.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
		sp.ready()
		r.ready(t)
	})
}

func TestAcceptedOnceRetriesForEver_R20(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		sp.ready().conn.reset()
		for range 12 {
			p := sp.accept()
			p.refuse(p.read(), "-32002", "Authentication failed")
		}
		p := sp.accept()
		if !slices.Contains(r.seen(), StateRejected) {
			t.Errorf("states %v do not show rejected", r.seen())
		}
		if st := r.Status(); st.LastError.Code != "-32002" {
			t.Errorf("last error: %+v", st.LastError)
		}
		p.accept()
		r.ready(t)
	})
}

func TestNewProtocolIsANewSession_R21(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		p := sp.ready()
		r.ready(t)
		authState(p, `"a"`, "QUJD:REVG")
		before := r.Status()
		lost := make(chan Answer, 1)
		r.Go(uuid.New(), "messaging.send", nil, func(a Answer) { lost <- a })
		p.expect("messaging.send")
		p.conn.reset()
		if a := <-lost; !errors.Is(a.Err, ErrInDoubt) {
			t.Errorf("request of the old session: got %v, want ErrInDoubt", a.Err)
		}
		p = sp.accept()
		p.answer(p.read(), `{"protocol":"signalwire_other_1"}`)
		p.answer(p.expect("signalwire.receive"), `{"code":"200"}`)
		r.ready(t)
		after := r.Status()
		if after.Sessions != before.Sessions+1 || after.SessionID == before.SessionID || after.SessionID == "" {
			t.Errorf("before %+v, after %+v", before, after)
		}
		p.conn.reset()
		m := sp.accept().read()
		if protocol, state := resumeOf(t, m); protocol != "signalwire_other_1" || state != "" {
			t.Errorf("resume data: got %q, %q, want the new session's alone", protocol, state)
		}
	})
}

func TestJWTIsRefreshedBeforeItExpires_R22(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		n := 0
		r := sp.run(func(c *Config) {
			c.Token, c.JWT = "", "jwt-0"
			c.RefreshJWT = func(context.Context) (Secret, error) {
				n++
				if n == 1 {
					return "", errors.New("issuer is down")
				}
				return "jwt-1", nil
			}
		})
		p := sp.accept()
		start := time.Now()
		expires := start.Add(time.Hour)
		p.answer(p.read(), `{"protocol":"signalwire_j_1","authorization":{"expires_at":`+jsonInt(expires.Unix())+`}}`)
		p.answer(p.expect("signalwire.receive"), `{"code":"200"}`)
		r.ready(t)
		m := p.expect("signalwire.reauthenticate")
		if left := time.Until(expires); left > 2*time.Minute || left < time.Minute {
			t.Errorf("reauthenticated %s before the expiry, want about two minutes", left)
		}
		jsonEqual(t, m.Params, `{"authentication":{"project":"`+testProject+`","jwt_token":"jwt-1"}}`)
		p.answer(m, `{"authentication":{},"authorization":{"expires_at":"`+time.Now().Add(2*time.Hour).UTC().Format(time.RFC3339)+`"}}`)
		p.answer(p.expect("signalwire.reauthenticate"), `{}`)
		if since := time.Since(start); since < 2*time.Hour {
			t.Errorf("second refresh after %s, want the new expiry to count", since)
		}
		synctest.Wait()
		p.conn.reset()
		m = sp.accept().read()
		if protocol, _ := resumeOf(t, m); protocol != "signalwire_j_1" {
			t.Errorf("protocol after reauthenticate: got %q, want it kept", protocol)
		}
		if !strings.Contains(string(m.Params), `"jwt-1"`) {
			t.Errorf("connect does not use the refreshed token: %s", m.Params)
		}
	})
}

func TestRefusedJWTIsRefreshedBeforeTheNextConnect_R22(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		sp.run(func(c *Config) {
			c.Token, c.JWT = "", "stale"
			c.RefreshJWT = func(context.Context) (Secret, error) { return "fresh", nil }
		})
		p := sp.accept()
		p.refuse(p.read(), "-32002", "expired")
		m := sp.accept().read()
		if !strings.Contains(string(m.Params), `"jwt_token":"fresh"`) {
			t.Errorf("connect after the refusal: %s", m.Params)
		}
	})
}

func jsonInt(n int64) string {
	b, _ := json.Marshal(n)
	return string(b)
}

func TestInstantReadsWhatThePlatformMayWrite(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]int64{
		`1790000000`: 1790000000, `1790000000.75`: 1790000000, `"1790000000"`: 1790000000,
		`"2026-09-21T15:33:20Z"`: 1790004800, `"2026-09-21T17:33:20+02:00"`: 1790004800, `"2026-09-21 15:33:20 UTC"`: 1790004800,
		`null`: 0, `""`: 0, `"soon"`: 0, `{}`: 0, `-5`: 0, `1e300`: 0, `true`: 0,
	} {
		var i instant
		if err := json.Unmarshal([]byte(raw), &i); err != nil {
			t.Errorf("%s: %v", raw, err)
		}
		got := int64(0)
		if !i.IsZero() {
			got = i.Unix()
		}
		if got != want {
			t.Errorf("%s: got %d, want %d", raw, got, want)
		}
	}
}

func TestConnectResultToleratesNonsense(t *testing.T) {
	for _, result := range []string{`null`, `[]`, `"ok"`, `{}`, `{"protocol":null}`, `{"protocol":7,"authorization":[]}`, `{"code":"500","protocol":"signalwire_x"}`} {
		t.Run(result, func(t *testing.T) {
			bubble(t, func(t *testing.T, sp *space) {
				r := sp.run()
				p := sp.accept()
				p.answer(p.read(), result)
				p.answer(p.expect("signalwire.receive"), `{"code":200}`)
				r.ready(t)
			})
		})
	}
}

func TestUpgradeRefused(t *testing.T) {
	for _, status := range []int{301, 401, 403, 404, 429, 500, 503} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			bubble(t, func(t *testing.T, sp *space) {
				r := sp.run()
				p := sp.next()
				p.readHead()
				head := "HTTP/1.1 " + http.StatusText(status)
				head = strings.Replace(head, "1.1 ", "1.1 "+jsonInt(int64(status))+" ", 1)
				p.send(head + "\r\nLocation: ws://evil.example/\r\nContent-Length: 2\r\n\r\nno")
				synctest.Wait()
				if st := r.Status(); st.Disconnects[reasonUpgrade] != 1 || !strings.Contains(st.LastError.Text, jsonInt(int64(status))) {
					t.Errorf("disconnects %v, last error %+v", st.Disconnects, st.LastError)
				}
				sp.ready()
				r.ready(t)
				if n, most := sp.counts(); most != 1 || n != 2 {
					t.Errorf("%d dials, at most %d open; want 2, 1", n, most)
				}
			})
		})
	}
}
