package relaytest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signpost-sms/signpost/relay/relaytest"
)

// rest does one request as p1 and returns status and parsed body.
func rest(t testing.TB, s *relaytest.Server, method, path string, body any) (int, map[string]any) {
	t.Helper()
	return restAs(t, s, "p1", method, path, body)
}

func restAs(t testing.TB, s *relaytest.Server, project, method, path string, body any) (int, map[string]any) {
	t.Helper()
	var r io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		r = strings.NewReader(b)
	default:
		data, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		r = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(testContext(t), method, s.HTTPURL()+path, r)
	if err != nil {
		t.Fatal(err)
	}
	if project != "" {
		req.SetBasicAuth(project, "t1")
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
	if len(data) == 0 {
		return resp.StatusCode, nil
	}
	return resp.StatusCode, object(t, data)
}

// errorCode is the code of the only error of an answer.
func errorCode(t testing.TB, answer map[string]any) string {
	t.Helper()
	list, _ := answer["errors"].([]any)
	if len(list) != 1 {
		t.Fatalf("want one error: %v", answer)
	}
	e := list[0].(map[string]any)
	for _, name := range []string{"type", "code", "message", "attribute", "url"} {
		if _, ok := e[name]; !ok {
			t.Errorf("error without %s: %v", name, e)
		}
	}
	return e["code"].(string)
}

const messagesPath, logsPath = "/api/messaging/messages", "/api/messaging/logs"

func TestRESTCreate(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		time.Sleep(1700 * time.Millisecond)
		status, m := rest(t, s, "POST", messagesPath, map[string]any{
			"to": "+12025550101", "from": "+12025550199", "body": strings.Repeat("x", 161), "custom_variables": map[string]string{"order": "7"},
		})
		if status != http.StatusCreated {
			t.Fatalf("status %d: %v", status, m)
		}
		id := m["id"].(string)
		want := map[string]any{
			"from": "+12025550199", "to": "+12025550101", "status": "queued", "direction": "outbound", "kind": "sms",
			"number_of_segments": json.Number("2"), "error_code": nil, "error_message": nil, "project_id": "p1",
			"status_callback_url": nil, "message_uri": "/api/messaging/logs/" + id, "body": strings.Repeat("x", 161),
			"created_at": time.Now().UTC().Truncate(time.Second).Format(time.RFC3339),
		}
		for name, v := range want {
			if got, ok := m[name]; !ok || got != v {
				t.Errorf("%s is %v, want %v", name, got, v)
			}
		}
		if media, ok := m["media"].([]any); !ok || len(media) != 0 || len(m) != len(want)+2 {
			t.Errorf("media %v, %d fields", m["media"], len(m))
		}
		if texts := s.Handset("+12025550101").Messages(); len(texts) != 1 {
			t.Errorf("the handset has %v", texts)
		}
		status, e := rest(t, s, "GET", logsPath+"/"+id, nil)
		if status != 200 || e["status"] != "delivered" || e["direction"] != "outbound-api" || e["body"] != nil {
			t.Errorf("log: %d %v", status, e)
		}
	})
}

func TestRESTCreateChecks(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		good := map[string]any{"to": "+12025550101", "from": "+12025550199", "body": "x"}
		many := make([]string, 9)
		for i := range many {
			many[i] = "https://m.example/1"
		}
		for name, tc := range map[string]struct {
			change map[string]any
			code   string
		}{
			"bad to":           {map[string]any{"to": "12025550101"}, "invalid_to_number"},
			"long to":          {map[string]any{"to": "+123456789012345678"}, "invalid_to_number"},
			"bad from":         {map[string]any{"from": "Acme"}, "invalid_from_number"},
			"foreign from":     {map[string]any{"from": "+12025550177"}, "invalid_from_number"},
			"no body":          {map[string]any{"body": nil}, "missing_required_parameter"},
			"too much media":   {map[string]any{"media": many}, "too_many_media"},
			"media not http":   {map[string]any{"media": []string{"ftp://m.example/1"}}, "invalid_url"},
			"callback":         {map[string]any{"status_callback": "nowhere"}, "invalid_url"},
			"variable reserve": {map[string]any{"custom_variables": map[string]string{"sw_a": "1"}}, "invalid_custom_variable"},
			"variable digit":   {map[string]any{"custom_variables": map[string]string{"1a": "1"}}, "invalid_custom_variable"},
			"variable empty":   {map[string]any{"custom_variables": map[string]string{"a": ""}}, "invalid_custom_variable"},
			"type":             {map[string]any{"to": 7}, "invalid_parameter_type"},
		} {
			status, m := rest(t, s, "POST", messagesPath, with(good, tc.change))
			if got := errorCode(t, m); status != 422 || got != tc.code {
				t.Errorf("%s: %d %s, want 422 %s", name, status, got, tc.code)
			}
		}
		for name, change := range map[string]map[string]any{
			"short code": {"from": "12345"}, "pass-through": {"to": "988"}, "media": {"body": nil, "media": []string{"https://m.example/1"}},
			"mms": {"send_as_mms": true},
		} {
			status, m := rest(t, s, "POST", messagesPath, with(good, change))
			kind := map[bool]string{true: "mms", false: "sms"}[name == "media" || name == "mms"]
			if status != 201 || m["kind"] == nil {
				t.Errorf("%s: %d %v", name, status, m)
			} else if _, e := rest(t, s, "GET", m["message_uri"].(string), nil); e["kind"] != kind {
				t.Errorf("%s: kind %v, want %s", name, e["kind"], kind)
			}
		}
		if status, m := rest(t, s, "POST", messagesPath, "{"); status != 400 || errorCode(t, m) != "invalid_json" {
			t.Errorf("bad JSON: %d", status)
		}
		if status, _ := rest(t, s, "POST", messagesPath, with(good, map[string]any{"to": "+12025559429"})); status != 429 {
			t.Errorf("magic 9429: %d", status)
		}
	}, func(c *relaytest.Config) { c.Numbers = map[string]string{"+12025550199": "office"} })
}

func TestRESTNeedsCredentials(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		for _, project := range []string{"", "p2"} {
			if status, m := restAs(t, s, project, "GET", logsPath, nil); status != 401 || errorCode(t, m) != "unauthorized" {
				t.Errorf("project %q: %d", project, status)
			}
		}
		s.NextREST(500, 429, 0, 401)
		for _, want := range []int{500, 429, 200, 401, 200} {
			if status, _ := rest(t, s, "GET", logsPath, nil); status != want {
				t.Errorf("status %d, want %d", status, want)
			}
		}
		if status, m := rest(t, s, "GET", "/api/elsewhere", nil); status != 404 || errorCode(t, m) != "not_found" {
			t.Errorf("unknown path: %d", status)
		}
		if status, m := rest(t, s, "GET", logsPath+"/unknown", nil); status != 404 || errorCode(t, m) != "not_found" {
			t.Errorf("unknown entry: %d", status)
		}
	}, func(c *relaytest.Config) { c.Credentials = map[string]string{"p1": "t1"} })
}

func TestRESTRedact(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		_, m := rest(t, s, "POST", messagesPath, map[string]any{"to": "+12025550101", "from": "+12025550199", "body": "secret"})
		path := messagesPath + "/" + m["id"].(string)
		if status, e := rest(t, s, "PATCH", path, map[string]any{"body": ""}); status != 422 || errorCode(t, e) != "cannot_redact_in_progress_message" {
			t.Errorf("under way: %d", status)
		}
		time.Sleep(time.Minute)
		for _, bad := range []any{map[string]any{"body": "x"}, map[string]any{}, map[string]any{"body": "", "to": "x"}, map[string]any{"body": nil}} {
			if status, e := rest(t, s, "PATCH", path, bad); status != 422 || errorCode(t, e) != "body_must_be_empty" {
				t.Errorf("%v: %d", bad, status)
			}
		}
		if status, e := rest(t, s, "PATCH", path, map[string]any{"body": ""}); status != 200 || e["body"] != "" || e["id"] != m["id"] {
			t.Errorf("redact: %d %v", status, e)
		}
		if status, _ := rest(t, s, "PATCH", messagesPath+"/unknown", map[string]any{"body": ""}); status != 404 {
			t.Errorf("unknown: %d", status)
		}
	}, func(c *relaytest.Config) { c.StateDelay = time.Second })
}

func TestLogOfRelayTraffic(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		c := connected(t, s, "office")
		s.Session(t).Deliver(relaytest.SMS{From: "+12025550101", Body: "in"})
		time.Sleep(1500 * time.Millisecond)
		answer := c.call("messaging.send", sendParams(map[string]any{"to_number": "+12025559002", "media": []string{"https://m.example/1"}}))
		synctest.Wait()
		status, list := rest(t, s, "GET", logsPath, nil)
		data := list["data"].([]any)
		if status != 200 || len(data) != 2 {
			t.Fatalf("%d %v", status, list)
		}
		out, in := data[0].(map[string]any), data[1].(map[string]any) // newest first
		for name, want := range map[string]any{
			"from": "+12025550199", "to": "+12025559002", "status": "undelivered", "direction": "outbound", "kind": "mms",
			"source": "realtime_api", "type": "relay_message", "url": nil, "number_of_segments": json.Number("1"),
			"error_code": nil, "error_message": "carrier_blocked",
		} {
			if got, ok := out[name]; !ok || got != want {
				t.Errorf("outbound %s is %v, want %v", name, got, want)
			}
		}
		if in["status"] != "received" || in["direction"] != "inbound" || in["from"] != "+12025550101" || in["error_message"] != nil {
			t.Errorf("inbound %v", in)
		}
		for _, e := range []map[string]any{in, out} {
			if !regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$`).MatchString(e["created_at"].(string)) {
				t.Errorf("created_at %v is not in whole seconds", e["created_at"])
			}
			if e["body"] != nil || e["tags"] != nil || e["charge_details"] == nil || e["charge"] == nil {
				t.Errorf("entry %v", e)
			}
		}
		if id := object(t, answer.Result)["message_id"]; out["id"] == id {
			t.Error("the entry has the message id, though that is not shown by default")
		}
		setFaults(t, s, func(f *relaytest.Faults) { f.LogID = relaytest.LogIDMessage })
		id := object(t, c.call("messaging.send", sendParams(nil)).Result)["message_id"].(string)
		if status, e := rest(t, s, "GET", logsPath+"/"+id, nil); status != 200 || e["id"] != id {
			t.Errorf("by message id: %d", status)
		}
		if _, list := restAs(t, s, "p2", "GET", logsPath, nil); len(list["data"].([]any)) != 1 {
			t.Errorf("another project sees %v, want only the inbound that is nobody's", list["data"])
		}
	})
}

func TestLogHidesAndDelays(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		c := connected(t, s, "office")
		size := func() int {
			_, list := rest(t, s, "GET", logsPath, nil)
			return len(list["data"].([]any))
		}
		setFaults(t, s, func(f *relaytest.Faults) { f.LogHidden = true })
		c.call("messaging.send", sendParams(nil))
		setFaults(t, s, func(f *relaytest.Faults) { f.LogHidden, f.LogDelay = false, 10*time.Second })
		c.call("messaging.send", sendParams(nil))
		if n := size(); n != 0 {
			t.Errorf("%d entries at once, want none", n)
		}
		time.Sleep(10 * time.Second)
		if n := size(); n != 1 {
			t.Errorf("%d entries after the delay, want the second send", n)
		}
	})
}

func TestLogPages(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		c := connected(t, s, "office")
		for i := range 5 {
			c.call("messaging.send", sendParams(map[string]any{"to_number": fmt.Sprintf("+1202555010%d", i)}))
		}
		var got []string
		path := logsPath + "?page_size=2"
		for n := range 4 {
			status, list := rest(t, s, "GET", path, nil)
			if status != 200 {
				t.Fatalf("page %d: %d %v", n, status, list)
			}
			for _, e := range list["data"].([]any) {
				got = append(got, e.(map[string]any)["to"].(string)[11:])
			}
			links := list["links"].(map[string]any)
			if links["self"] == nil || links["first"] == nil || (links["prev"] != nil) != (n > 0) || (links["next"] != nil) != (n < 2) {
				t.Errorf("page %d: links %v", n, links)
			}
			if links["next"] == nil {
				break
			}
			path = links["next"].(string)
			// What arrives meanwhile must not shift the pages.
			c.call("messaging.send", sendParams(map[string]any{"to_number": "+12025550109"}))
		}
		if want := "4 3 2 1 0"; strings.Join(got, " ") != want {
			t.Errorf("pages hold %v, want %s", got, want)
		}
		for query, code := range map[string]string{
			"page_number=1": "missing_page_token", "page_number=1&page_token=PAx": "invalid_page_token", "page_size=0": "invalid_parameter",
			"page_size=1001": "invalid_parameter", "page_number=-1": "invalid_parameter", "created_on=yesterday": "invalid_date",
		} {
			if status, m := rest(t, s, "GET", logsPath+"?"+query, nil); status != 422 || errorCode(t, m) != code {
				t.Errorf("%s: %d, want 422 %s", query, status, code)
			}
		}
	})
}

func TestLogDates(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		c := connected(t, s, "office")
		first := time.Now().UTC() // a bubble starts on 2000-01-01
		for range 3 {
			c.call("messaging.send", sendParams(nil))
			time.Sleep(24 * time.Hour)
		}
		day := first.AddDate(0, 0, 1).Format(time.DateOnly)
		for query, want := range map[string]int{
			"created_on=" + day: 1, "created_before=" + day: 1, "created_after=" + day: 2, "include_deleted=true": 3,
			"created_after=" + day + "&created_before=" + first.AddDate(0, 0, 2).Format(time.DateOnly): 1,
		} {
			_, list := rest(t, s, "GET", logsPath+"?"+query, nil)
			if n := len(list["data"].([]any)); n != want {
				t.Errorf("%s: %d entries, want %d", query, n, want)
			}
		}
	}, func(c *relaytest.Config) { c.PingInterval = -1 })
}

func TestStatusCallbacks(t *testing.T) {
	t.Parallel()
	got := make(chan map[string]any, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var m map[string]any
		if json.NewDecoder(r.Body).Decode(&m) == nil {
			got <- m
		}
	}))
	defer hook.Close()
	s := relaytest.NewServer(t)
	_, m := rest(t, s, "POST", messagesPath, map[string]any{
		"to": "+12025559001", "from": "+12025550199", "body": "x", "status_callback": hook.URL, "custom_variables": map[string]string{"order": "7"},
	})
	for _, want := range []string{"queued", "initiated", "undelivered"} {
		cb := <-got
		if cb["status"] != want || cb["id"] != m["id"] || cb["to"] != "+12025559001" || cb["body"] != "x" ||
			cb["custom_variables"].(map[string]any)["order"] != "7" || (cb["error_message"] == "unreachable") != (want == "undelivered") {
			t.Errorf("callback %v, want %s", cb, want)
		}
	}
}

func TestTasks(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		c := connected(t, s, "office")
		status, _ := rest(t, s, "POST", "/api/relay/rest/tasks", map[string]any{"context": "office", "message": map[string]any{"n": 1}})
		p := object(t, c.event("queuing.relay.tasks").Params)
		if status != 204 || p["params"] != nil || p["message"].(map[string]any)["n"] != json.Number("1") {
			t.Errorf("%d, event %v", status, p)
		}
		if status, m := rest(t, s, "POST", "/api/relay/rest/tasks", map[string]any{}); status != 422 || errorCode(t, m) == "" {
			t.Errorf("empty task: %d", status)
		}
	})
}
