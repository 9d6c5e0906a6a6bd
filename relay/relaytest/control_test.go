package relaytest_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signpost-sms/signpost/relay/relaytest"
)

// control does one request of the control API.
func control(t testing.TB, s *relaytest.Server, method, path, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(testContext(t), method, s.HTTPURL()+"/control/"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(data))
}

// ok does a request that must succeed.
func ok(t testing.TB, s *relaytest.Server, method, path, body string) string {
	t.Helper()
	status, answer := control(t, s, method, path, body)
	if status != http.StatusOK {
		t.Fatalf("%s %s %s: %d %s", method, path, body, status, answer)
	}
	return answer
}

func decode[T any](t testing.TB, data string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(data), &v); err != nil {
		t.Fatalf("%v: %s", err, data)
	}
	return v
}

func TestControlInjectAndRead(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		c := connected(t, s, "office")
		go func() { c.ack(c.event("messaging.receive")) }()
		in := decode[map[string]any](t, ok(t, s, "POST", "inject", `{"from":"+12025550101","context":"office","body":"hi","fields":{"segments":"1"},"wait":"5s"}`))
		if in["acked"] != true || in["deliveries"] != 1.0 || in["context"] != "office" {
			t.Errorf("inject: %v", in)
		}
		c.call("messaging.send", sendParams(map[string]any{"tags": []string{"k-1"}}))
		synctest.Wait()
		frames := decode[[]map[string]any](t, ok(t, s, "GET", "frames?event_type=messaging.receive&dir=out&conn=1&limit=5", ""))
		if len(frames) != 1 || frames[0]["body"].(map[string]any)["method"] != "signalwire.event" {
			t.Errorf("frames %v", frames)
		}
		sends := decode[[]map[string]any](t, ok(t, s, "GET", "sends?to=%2B12025550101&tag=k-1", ""))
		if len(sends) != 1 || sends[0]["executed"] != true || sends[0]["code"] != "200" {
			t.Errorf("sends %v", sends)
		}
		if none := ok(t, s, "GET", "sends?tag=k-2", ""); none != "[]" {
			t.Errorf("sends of another tag: %s", none)
		}
		texts := decode[[]map[string]any](t, ok(t, s, "GET", "handsets/+12025550101/messages", ""))
		if len(texts) != 1 || texts[0]["body"] != "hello" {
			t.Errorf("texts %v", texts)
		}
		late := decode[map[string]any](t, ok(t, s, "POST", "states", `{"tag":"k-1","to":"+12025550101","state":"undelivered","reason":"unreachable"}`))
		if states := late["states"].([]any); len(states) != 5 || states[4] != "undelivered" || late["message_id"] != sends[0]["message_id"] {
			t.Errorf("one more state: %v", late)
		}
		c.find("the late state", func(f frame) bool {
			return f.eventType() == "messaging.state" && f.inner(t)["message_state"] == "undelivered" && f.inner(t)["reason"] == "unreachable"
		})
		ok(t, s, "POST", "handsets/+12025550101/messages", `{"context":"office","body":"back"}`)
		if f := c.event("messaging.receive"); f.inner(t)["body"] != "back" || f.inner(t)["from_number"] != "+12025550101" {
			t.Errorf("handset text %s", f.raw)
		}
		sessions := decode[[]map[string]any](t, ok(t, s, "GET", "sessions", ""))
		if len(sessions) != 1 || sessions[0]["name"] != s.Session(t).Name() || len(sessions[0]["unacked"].([]any)) == 0 {
			t.Errorf("sessions %v", sessions)
		}
		stats := decode[map[string]any](t, ok(t, s, "GET", "stats", ""))
		if stats["executed"] != 1.0 || stats["ack_latency"].(map[string]any)["max"] != "0s" || len(stats["reconnect_intervals"].([]any)) != 0 {
			t.Errorf("stats %v", stats)
		}
		for _, path := range []string{"connections", "violations", "magic", "specimens", "clock", "faults", "ca.pem", ""} {
			if answer := ok(t, s, "GET", path, ""); answer == "" {
				t.Errorf("GET %s: empty", path)
			}
		}
	})
}

func TestControlHidesCredentials(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		c := dial(t, s)
		c.call("signalwire.connect", with(connectParams("office"), map[string]any{
			"authentication": map[string]string{"project": "p1", "token": "PTcanary"}, "authorization_state": "canary1",
		}))
		state := c.authState()
		synctest.Wait()
		all := ok(t, s, "GET", "frames", "")
		if strings.Contains(all, "canary") || strings.Contains(all, state) || strings.Count(all, "[redacted]") != 3 {
			t.Errorf("frames show credentials: %s", all)
		}
		if !strings.Contains(string(s.Frames()[0].Raw), "PTcanary") {
			t.Error("the transcript for Go tests lacks the bytes")
		}
	})
}

func TestControlLongPolls(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		c := connected(t, s, "office")
		go func() {
			time.Sleep(4 * time.Second)
			c.call("messaging.send", sendParams(nil))
		}()
		start := time.Now()
		for _, path := range []string{"sends?wait=10s", "handsets/+12025550101/messages?wait=10s", "frames?method=messaging.send&wait=10s"} {
			if got := decode[[]any](t, ok(t, s, "GET", path, "")); len(got) != 1 {
				t.Errorf("%s: %v", path, got)
			}
		}
		if took := time.Since(start); took != 4*time.Second {
			t.Errorf("answered after %v, want 4 s", took)
		}
		if got := ok(t, s, "GET", "sends?after=1&wait=3s", ""); got != "[]" || time.Since(start) != 7*time.Second {
			t.Errorf("%s after %v", got, time.Since(start))
		}
	})
}

func TestControlFaults(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		ok(t, s, "PATCH", "faults", `{"ping":"never","log_delay":"1m30s","impair":{"fragment":9}}`)
		ok(t, s, "PATCH", "faults", `{"redelivery":{"on_resume":true,"ack_timeout":"2s"}}`)
		f := s.Faults()
		if f.Ping != relaytest.PingNever || f.LogDelay != 90*time.Second || f.Impair.Fragment != 9 || !f.Redelivery.OnResume || f.Redelivery.AckTimeout != 2*time.Second {
			t.Errorf("faults %+v", f)
		}
		if got := ok(t, s, "GET", "faults", ""); !strings.Contains(got, `"log_delay":"1m30s"`) || strings.Contains(got, "refuse_tcp") {
			t.Errorf("shown as %s", got)
		}
		ok(t, s, "PUT", "faults", `{"states_first":true}`)
		if f := s.Faults(); f.Ping != "" || !f.StatesFirst {
			t.Errorf("after PUT: %+v", f)
		}
		ok(t, s, "DELETE", "faults", "")
		if f := s.Faults(); f.StatesFirst {
			t.Errorf("after DELETE: %+v", f)
		}
	})
}

func TestControlScripts(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		ok(t, s, "POST", "scripts", `{
			"upgrades": [{}],
			"connects": [{"rpc_code": -32002, "message": "no"}, {"delay": "2s"}],
			"replies": {"signalwire.receive": [{"code": "402"}]},
			"sends": [{"code": "429"}, {"steps": []}],
			"numbers": {"+12025550102": [{"steps": [{"state": "failed", "reason": "spam", "after": "1s"}]}]},
			"rest": [503]
		}`)
		c := dial(t, s)
		if f := c.call("signalwire.connect", connectParams("office")); f.code(t) != "-32002" {
			t.Errorf("connect: %s", f.raw)
		}
		start := time.Now()
		c = connected(t, s, "office")
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("slow connect took %v", took)
		}
		if f := c.call("signalwire.receive", contexts("sales")); f.code(t) != "402" {
			t.Errorf("receive: %s", f.raw)
		}
		if f := c.call("messaging.send", sendParams(nil)); f.code(t) != "429" {
			t.Errorf("first send: %s", f.raw)
		}
		c.call("messaging.send", sendParams(nil))
		c.call("messaging.send", sendParams(map[string]any{"to_number": "+12025550102"}))
		if f := c.event("messaging.state"); f.inner(t)["reason"] != "spam" || time.Since(start) != 3*time.Second {
			t.Errorf("%s after %v", f.raw, time.Since(start))
		}
		if status, _ := rest(t, s, "GET", logsPath, nil); status != 503 {
			t.Errorf("REST: %d", status)
		}
		ok(t, s, "POST", "scripts", `{"sends":[{"code":"500"}]}`)
		ok(t, s, "DELETE", "scripts", "")
		if f := c.call("messaging.send", sendParams(nil)); f.code(t) != "200" {
			t.Errorf("after DELETE: %s", f.raw)
		}
	})
}

func TestControlSessions(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		c := connected(t, s, "office")
		name := s.Session(t).Name()
		ok(t, s, "POST", "sessions/current/ping", "")
		c.ping()
		ok(t, s, "POST", "sessions/all/authorization", "")
		c.authState()
		c.authState()
		ok(t, s, "POST", "sessions/"+name+"/emit", `{"name":"array"}`)
		ok(t, s, "POST", "sessions/current/raw", `{"text":"raw!"}`)
		c.find("the raw text", func(f frame) bool { return string(f.raw) == "raw!" })
		ok(t, s, "POST", "sessions/current/impair", `{"write_delay":"1ms","write_chunk":100}`)
		ok(t, s, "POST", "sessions/current/silence", `{"read":true,"write":true}`)
		ok(t, s, "POST", "inject", `{"context":"office","body":"x","target":"`+name+`"}`)
		time.Sleep(time.Second)
		if n := c.count(isEvent("messaging.receive")); n != 0 {
			t.Error("silence lets events through")
		}
		ok(t, s, "POST", "sessions/current/silence", `{}`)
		c.event("messaging.receive")
		ok(t, s, "POST", "sessions/current/disconnect", `{"restart":false,"close_after":"2s"}`)
		start := time.Now()
		c.ack(c.find("the disconnect", func(f frame) bool { return f.Method == "signalwire.disconnect" }))
		if code := closeCode(c.ended()); code != 1001 || time.Since(start) < 2*time.Second {
			t.Errorf("closed with %d after %v", code, time.Since(start))
		}
		c = connected(t, s, "office")
		ok(t, s, "POST", "sessions/current/close", `{"code":1013,"reason":"later"}`)
		if code := closeCode(c.ended()); code != 1013 {
			t.Errorf("closed with %d", code)
		}
		c = connected(t, s, "office")
		ok(t, s, "POST", "sessions/current/drop", "")
		_ = c.ended()
		c = connected(t, s, "office")
		ok(t, s, "POST", "restart", "")
		_ = c.ended()
		ok(t, s, "PUT", "credentials", `{"projects":{"p1":"t2"}}`)
		if f := dial(t, s).call("signalwire.connect", connectParams()); f.code(t) != "-32002" {
			t.Errorf("old credentials: %s", f.raw)
		}
		before := s.Clock().Now()
		ok(t, s, "POST", "clock", `{"advance":"1h"}`)
		if moved := s.Clock().Now().Sub(before); moved != time.Hour {
			t.Errorf("the clock moved by %v", moved)
		}
	})
}

func TestControlNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		connected(t, s, "office")
		for _, tc := range []struct{ method, path, body, field string }{
			{"POST", "inject", `{"context":"office","boddy":"x"}`, "boddy"},
			{"POST", "inject", `{"Body":"x"}`, "Body"},
			{"POST", "inject", `{"context":7}`, "context"},
			{"POST", "inject", `{"context":"office","wait":5}`, "wait"},
			{"POST", "inject", `{"context":"office","target":"nobody"}`, "target"},
			{"PATCH", "faults", `{"redelivery":{"on_resumption":true}}`, "redelivery.on_resumption"},
			{"PATCH", "faults", `{"impair":{"read_delay":"soon"}}`, "impair.read_delay"},
			{"PATCH", "faults", `{"impair":7}`, "impair"},
			{"POST", "scripts", `{"sends":[{"code":"200"},{"step":[]}]}`, "sends[1].step"},
			{"POST", "scripts", `{"numbers":{"+12025550101":[{"steps":[{"stat":"x"}]}]}}`, "numbers.+12025550101[0].steps[0].stat"},
			{"GET", "frames?methode=x", "", "methode"},
			{"GET", "frames?after=x", "", "after"},
			{"GET", "sends?wait=soon", "", "wait"},
			{"POST", "clock", `{"advance":"-1s"}`, "advance"},
		} {
			status, answer := control(t, s, tc.method, tc.path, tc.body)
			e := decode[struct {
				Error struct{ Field, Message string }
			}](t, answer)
			if status != http.StatusBadRequest || e.Error.Field != tc.field || e.Error.Message == "" {
				t.Errorf("%s %s %s: %d %s, want field %s", tc.method, tc.path, tc.body, status, answer, tc.field)
			}
		}
		for _, tc := range []struct {
			method, path, body string
			status             int
		}{
			{"POST", "inject", `{`, 400},
			{"POST", "inject", `{} {}`, 400},
			{"POST", "inject", `{"body":"x"}`, 400},
			{"PATCH", "faults", `{"ping":"sometimes"}`, 400},
			{"GET", "nowhere", "", 404},
			{"POST", "sessions/nobody/drop", "", 404},
			{"POST", "states", `{"state":"failed"}`, 404},
			{"POST", "states", `{"to":"+12025550101"}`, 400},
			{"POST", "sessions/current/emit", `{"name":"unheard-of"}`, 400},
		} {
			if status, answer := control(t, s, tc.method, tc.path, tc.body); status != tc.status || !strings.Contains(answer, `"message"`) {
				t.Errorf("%s %s %s: %d %s, want %d", tc.method, tc.path, tc.body, status, answer, tc.status)
			}
		}
	})
}

func TestControlRefusesOtherOrigins(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		for origin, want := range map[string]int{"https://evil.example": 403, s.HTTPURL(): 200, "null": 403} {
			req, err := http.NewRequestWithContext(t.Context(), "POST", s.HTTPURL()+"/control/restart", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Origin", origin)
			resp, err := s.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("origin %s: %d, want %d", origin, resp.StatusCode, want)
			}
		}
	})
}

func TestControlIndex(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		index := decode[struct {
			Endpoints []struct{ Method, Path, About string }
		}](t, ok(t, s, "GET", "", ""))
		doc, err := os.ReadFile("CONTROL.md")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range index.Endpoints {
			if !strings.Contains(string(doc), e.Method+" "+e.Path) {
				t.Errorf("CONTROL.md lacks %s %s", e.Method, e.Path)
			}
		}
		for _, m := range relaytest.MagicNumbers() {
			if !strings.Contains(string(doc), "| "+m.Suffix+" | "+m.About+" |") {
				t.Errorf("CONTROL.md lacks the magic number %s", m.Suffix)
			}
		}
		for _, sp := range relaytest.Specimens() {
			if !strings.Contains(string(doc), "`"+sp.Name+"`") {
				t.Errorf("CONTROL.md lacks the specimen %s", sp.Name)
			}
		}
		req, err := http.NewRequestWithContext(t.Context(), "GET", s.HTTPURL()+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", "text/html")
		resp, err := s.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		page, err := io.ReadAll(resp.Body)
		if err != nil || !strings.HasPrefix(string(page), "<!doctype html>") {
			t.Errorf("page %.40q, %v", page, err)
		}
	})
}
