package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	project = "5c8d3b0e-0000-4000-8000-00000000c0de"
	token   = "PTsecretc0ffee"
	ours    = "+12025550199"
	theirs  = "+12025550101"
)

// serve starts a server and a client of it.
func serve(t *testing.T, h http.HandlerFunc, change ...func(*Config)) *Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	cfg := Config{Space: s.URL, Project: project, Token: token, HTTP: s.Client(), Logger: slog.New(slog.DiscardHandler)}
	for _, f := range change {
		f(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// answer is a handler that checks the request and gives a fixed answer.
func answer(t *testing.T, method, uri, wantBody string, status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		user, pass, ok := r.BasicAuth()
		if !ok || user != project || pass != token {
			t.Errorf("credentials: got %q", r.Header.Get("Authorization"))
		}
		if r.Method != method || r.RequestURI != uri {
			t.Errorf("got %s %s, want %s %s", r.Method, r.RequestURI, method, uri)
		}
		got, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if wantBody == "" && len(got) > 0 {
			t.Errorf("body: got %s", got)
		}
		if wantBody != "" {
			var g, want any
			if json.Unmarshal(got, &g) != nil || json.Unmarshal([]byte(wantBody), &want) != nil || !cmp.Equal(g, want) {
				t.Errorf("body: got %s, want %s", got, wantBody)
			}
			if ct := r.Header.Get("Content-Type"); ct != "application/json" {
				t.Errorf("content type: got %q", ct)
			}
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

const record = `{"id":"6ad1f4a5-0f6e-4b5e-9a6e-6f3f9a0d7a01","from":"+12025550199","to":"+12025550101","body":"Hello","status":"queued",
	"direction":"outbound","kind":"mms","media":["https://m.example/1.png"],"number_of_segments":2,"error_code":null,"error_message":null,
	"created_at":"2026-11-23T14:05:06Z","project_id":"5c8d3b0e-0000-4000-8000-00000000c0de","status_callback_url":null,
	"message_uri":"/api/messaging/logs/6ad1f4a5-0f6e-4b5e-9a6e-6f3f9a0d7a01"}`

func TestCreate(t *testing.T) {
	t.Parallel()
	c := serve(t, answer(t, "POST", "/api/messaging/messages",
		`{"to":"+12025550101","from":"+12025550199","body":"Hello","media":["https://m.example/1.png"],"send_as_mms":true,"status_callback":"https://c.example/","custom_variables":{"order":"7"}}`,
		201, record))
	got, err := c.Create(t.Context(), NewMessage{
		To: theirs, From: ours, Body: "Hello", Media: []string{"https://m.example/1.png"}, SendAsMMS: true,
		StatusCallback: "https://c.example/", Variables: map[string]string{"order": "7"},
	})
	want := &Message{
		ID: "6ad1f4a5-0f6e-4b5e-9a6e-6f3f9a0d7a01", From: ours, To: theirs, Body: "Hello", Status: "queued", Direction: "outbound", Kind: "mms",
		Media: []string{"https://m.example/1.png"}, Segments: 2, CreatedAt: time.Date(2026, 11, 23, 14, 5, 6, 0, time.UTC), ProjectID: project,
		URI: "/api/messaging/logs/6ad1f4a5-0f6e-4b5e-9a6e-6f3f9a0d7a01",
	}
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("got %v\n%s", err, cmp.Diff(want, got))
	}
}

func TestCreateLeavesOutWhatIsEmpty(t *testing.T) {
	t.Parallel()
	c := serve(t, answer(t, "POST", "/api/messaging/messages", `{"to":"988","from":"74736","body":"Hi"}`, 201, record))
	if _, err := c.Create(t.Context(), NewMessage{To: "988", From: "74736", Body: "Hi"}); err != nil {
		t.Error(err)
	}
}

func TestRedact(t *testing.T) {
	t.Parallel()
	c := serve(t, answer(t, "PATCH", "/api/messaging/messages/a%2Fb%3F", `{"body":""}`, 200, strings.Replace(record, "Hello", "", 1)))
	got, err := c.Redact(t.Context(), "a/b?")
	if err != nil || got.Body != "" || got.Status != "queued" {
		t.Errorf("got %+v, %v", got, err)
	}
}

const line = `{"id":"L1","from":"+12025550199","to":"+12025550101","status":"undelivered","direction":"outbound-api","kind":"sms","source":"laml","type":"laml_message",
	"url":null,"number_of_segments":1,"charge":0.0079,"charge_details":[{"description":"x","charge":0.0079}],"created_at":"2026-11-23T14:05:06Z",
	"error_code":"30005","error_message":"Unknown destination"}`

func TestLog(t *testing.T) {
	t.Parallel()
	c := serve(t, answer(t, "GET", "/api/messaging/logs/L1", "", 200, line))
	got, err := c.Log(t.Context(), "L1")
	want := &LogEntry{
		ID: "L1", From: ours, To: theirs, Status: "undelivered", Direction: "outbound-api", Kind: "sms", Source: "laml", Type: "laml_message",
		Segments: 1, Charge: "0.0079", CreatedAt: time.Date(2026, 11, 23, 14, 5, 6, 0, time.UTC), ErrorCode: "30005", ErrorMessage: "Unknown destination",
	}
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("got %v\n%s", err, cmp.Diff(want, got))
	}
	for _, id := range []string{"", ".", ".."} {
		if _, err := c.Log(t.Context(), id); err == nil {
			t.Errorf("id %q: got no error", id)
		}
		if _, err := c.Redact(t.Context(), id); err == nil {
			t.Errorf("redact %q: got no error", id)
		}
	}
}

func TestTimesInManyForms(t *testing.T) {
	t.Parallel()
	want := time.Date(2026, 11, 23, 14, 5, 6, 0, time.UTC)
	for _, raw := range []string{`"2026-11-23T14:05:06Z"`, `"2026-11-23T09:05:06-05:00"`, `"2026-11-23 14:05:06 UTC"`, `"2026-11-23T14:05:06"`, `"Mon, 23 Nov 2026 14:05:06 +0000"`} {
		var m moment
		if err := json.Unmarshal([]byte(raw), &m); err != nil || !time.Time(m).Equal(want) {
			t.Errorf("%s: got %s, %v", raw, time.Time(m), err)
		}
	}
	var m moment
	if err := json.Unmarshal([]byte(`"2026-11-23T14:05:06.75Z"`), &m); err != nil || time.Time(m).Nanosecond() != 750_000_000 {
		t.Errorf("a fraction: got %s, %v", time.Time(m), err)
	}
	if err := json.Unmarshal([]byte(`"yesterday"`), &m); err == nil {
		t.Error("yesterday: got no error")
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	problem := `{"errors":[{"type":"validation_error","code":"invalid_from_number","message":"+12025550199 is not yours","attribute":"from","url":"https://docs.example/e#invalid_from_number"},
		{"type":"validation_error","code":"body_too_long","message":"The body 'call me at noon' of ` + token + ` is too long","attribute":"body","url":null}]}`
	for name, tc := range map[string]struct {
		status    int
		header    string
		body      string
		temporary bool
		retry     time.Duration
		codes     int
		says      string
	}{
		"400": {400, "", `{"errors":[{"type":"request_error","code":"invalid_json","message":"no","attribute":null,"url":""}]}`, false, 0, 1, "correct the request"},
		"401": {401, "", `{"errors":[]}`, false, 0, 0, "check the project id"},
		"403": {403, "", `null`, false, 0, 0, "scope"},
		"404": {404, "", `<html>not here</html>`, false, 0, 0, "check the id"},
		"422": {422, "", problem, false, 0, 2, "invalid_from_number (from)"},
		"429": {429, "7", `{}`, true, 7 * time.Second, 0, "try again in 7s"},
		"500": {500, "", ``, true, 0, 0, "try again later"},
		"503": {503, "Wed, 01 Jan 2020 00:00:00 GMT", `{"errors":[{"code":17,"message":null}]}`, true, 0, 1, "17"},
		"302": {302, "", ``, false, 0, 0, "another address"},
		"far": {503, "99999999999", ``, true, 24 * time.Hour, 0, "try again"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				if tc.header != "" {
					w.Header().Set("Retry-After", tc.header)
				}
				w.Header().Set("Location", "http://127.0.0.1:1/elsewhere")
				w.WriteHeader(tc.status)
				fmt.Fprint(w, tc.body)
			})
			_, err := c.Create(t.Context(), NewMessage{To: theirs, From: ours, Body: "call me at noon"})
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v", err)
			}
			if e.Status != tc.status || e.Temporary() != tc.temporary || e.RetryAfter != tc.retry || len(e.Problems) != tc.codes {
				t.Errorf("got %+v, temporary %v", e, e.Temporary())
			}
			if errors.Is(err, ErrInDoubt) {
				t.Error("a refusal is no doubt")
			}
			if s := err.Error(); !strings.Contains(s, tc.says) || !strings.HasPrefix(s, "create the message: refused with status ") {
				t.Errorf("says %q", s)
			}
			shown := fmt.Sprintf("%v %+v %s", err, e.Problems, e)
			for _, private := range []string{token, "2025550199", "2025550101", "noon"} {
				if strings.Contains(shown, private) {
					t.Errorf("shows %q: %s", private, shown)
				}
			}
			if name == "422" && (!e.HasCode("body_too_long") || e.HasCode("other") || e.Problems[0].Message != "+1***99 is not yours" ||
				e.Problems[1].Message != "The body '[15 bytes]' of [redacted] is too long") {
				t.Errorf("got %+v", e.Problems)
			}
		})
	}
}

func TestShortTextsAreTakenOutOnlyAlone(t *testing.T) {
	t.Parallel()
	for _, tc := range [][3]string{
		{"'no' is not allowed, no", "no", "'[2 bytes]' is not allowed, [2 bytes]"},
		{"none nono no", "no", "none nono [2 bytes]"},
		{"code 1234 wrong", "1234", "code [4 bytes] wrong"},
		{"xlong texty", "long text", "x[9 bytes]y"},
		{"anything", "", "anything"},
	} {
		if got := withoutText(tc[0], tc[1]); got != tc[2] {
			t.Errorf("%q without %q: got %q, want %q", tc[0], tc[1], got, tc[2])
		}
	}
}

// cut serves connections that end in the given way once a request was read.
func cut(t *testing.T, with string) *Client {
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = rw.WriteString(with)
		_ = rw.Flush()
		_ = conn.Close()
	})
}

func TestChangesWithoutAnAnswerAreInDoubt(t *testing.T) {
	t.Parallel()
	m := NewMessage{To: theirs, From: ours, Body: "Hello"}
	for name, with := range map[string]string{
		"no answer":      "",
		"half an answer": "HTTP/1.1 201 Created\r\nContent-Length: 900\r\n\r\n{\"id\":",
		"not JSON":       "HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\noops",
	} {
		c := cut(t, with)
		if _, err := c.Create(t.Context(), m); !errors.Is(err, ErrInDoubt) {
			t.Errorf("create, %s: got %v", name, err)
		}
		if _, err := c.Redact(t.Context(), "1"); !errors.Is(err, ErrInDoubt) {
			t.Errorf("redact, %s: got %v", name, err)
		}
		if _, err := c.Log(t.Context(), "1"); err == nil || errors.Is(err, ErrInDoubt) {
			t.Errorf("log, %s: got %v", name, err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	c, err := New(Config{Space: "http://" + addr, Project: project, Token: token})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Create(t.Context(), m); err == nil || errors.Is(err, ErrInDoubt) || !strings.Contains(err.Error(), "reach "+addr) || strings.Contains(err.Error(), "/api") {
		t.Errorf("nobody there: got %v, want an error that is no doubt and names only the host", err)
	}
}

func TestTimeoutAndCancel(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}, 2), make(chan struct{})
	hang := func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		arrived <- struct{}{}
		<-release
	}
	c := serve(t, hang, func(cfg *Config) { cfg.Timeout = 50 * time.Millisecond })
	patient := serve(t, hang)
	t.Cleanup(func() { close(release) })

	if _, err := c.Create(t.Context(), NewMessage{To: theirs, From: ours, Body: "x"}); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrInDoubt) || !strings.Contains(err.Error(), "within 50ms") {
		t.Errorf("timeout: got %v", err)
	}
	<-arrived
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	if _, err := patient.Log(ctx, "1"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
}

func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		for range 64 {
			if _, err := w.Write(bytes.Repeat([]byte(" "), 1024)); err != nil {
				return
			}
		}
		fmt.Fprint(w, line)
	}, func(cfg *Config) { cfg.MaxResponse = 4096 })
	if _, err := c.Log(t.Context(), "1"); !errors.Is(err, ErrBadAnswer) || !strings.Contains(err.Error(), "4096 bytes") {
		t.Errorf("got %v", err)
	}
}

func TestSpaces(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"example.signalwire.com":            "https://example.signalwire.com",
		"example":                           "https://example.signalwire.com",
		" https://example.signalwire.com/ ": "https://example.signalwire.com",
		"http://127.0.0.1:8378":             "http://127.0.0.1:8378",
		"http://[::1]:8378/base/":           "http://[::1]:8378/base",
		"http://localhost:1":                "http://localhost:1",
		"localhost:1":                       "https://localhost:1",
	} {
		c, err := New(Config{Space: in, Project: project, Token: token})
		if err != nil || c.base.String() != want {
			t.Errorf("%q: got %v, %v, want %s", in, c, err, want)
		}
	}
	for in, want := range map[string]string{
		"":                                "no space",
		"ftp://example.com":               "neither a host",
		"https://":                        "neither a host",
		"https://user:" + token + "@host": "holds credentials",
		"https://host/?token=" + token:    "query",
		"http://example.com":              "insecure",
		"https://%zz" + token:             "neither a host",
	} {
		_, err := New(Config{Space: in, Project: project, Token: token})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), token) {
			t.Errorf("%q: got %v, want an error with %q", in, err, want)
		}
	}
	if _, err := New(Config{Space: "http://example.com", Project: project, Token: token, Insecure: true}); err != nil {
		t.Errorf("insecure: got %v", err)
	}
	if _, err := New(Config{Space: "example", Token: token}); err == nil {
		t.Error("no project: got no error")
	}
	if _, err := New(Config{Space: "example", Project: project}); err == nil {
		t.Error("no token: got no error")
	}
}

func TestCredentialsGoNowhereElse(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	t.Cleanup(other.Close)
	page := 0
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/api/messaging/messages"):
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		case page == 0:
			page++
			fmt.Fprintf(w, `{"links":{"next":%q},"data":[]}`, other.URL+"/api/messaging/logs?page_number=1&page_token=PA1")
		default:
			if r.RequestURI != "/api/messaging/logs?page_number=1&page_token=PA1" {
				t.Errorf("second page: got %s", r.RequestURI)
			}
			fmt.Fprint(w, `{"links":{},"data":[]}`)
		}
	})
	if _, err := c.Create(t.Context(), NewMessage{To: theirs, From: ours, Body: "x"}); err == nil {
		t.Error("redirected: got no error")
	}
	for _, err := range c.Logs(t.Context(), LogQuery{}, 5) {
		t.Error(err)
	}
	if page != 1 || elsewhere.Load() != 0 {
		t.Errorf("%d pages, %d requests to another host", page, elsewhere.Load())
	}
}

func TestNothingPrivateIsPrintedOrLogged(t *testing.T) {
	t.Parallel()
	var records bytes.Buffer
	c := serve(t, answer(t, "POST", "/api/messaging/messages", `{"to":"+12025550101","from":"+12025550199","body":"meet at noon"}`, 201, record), func(cfg *Config) {
		cfg.Logger = slog.New(slog.NewTextHandler(&records, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	if _, err := c.Create(t.Context(), NewMessage{To: theirs, From: ours, Body: "meet at noon"}); err != nil {
		t.Fatal(err)
	}
	c.log.Info("the client itself", "client", c, "config", c.cfg, "token", c.cfg.Token)
	encoded, err := json.Marshal(c.cfg.Token)
	if err != nil {
		t.Fatal(err)
	}
	shown := records.String() + string(encoded) + fmt.Sprintf("%v %+v %#v %s %d %q %+v %#v", c, c, c, c.cfg.Token, c.cfg.Token, c.cfg.Token, c.cfg, c.cfg)
	if !strings.Contains(shown, "status=201") {
		t.Errorf("no record of the request: %s", records.String())
	}
	for _, private := range []string{token, "2025550199", "2025550101", "noon"} {
		if strings.Contains(shown, private) {
			t.Errorf("shows %q", private)
		}
	}
}
