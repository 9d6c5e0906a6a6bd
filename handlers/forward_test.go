package handlers_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/signpost-sms/signpost/handlers"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/messagingtest"
)

// posted is what an endpoint got.
type posted struct {
	header http.Header
	body   string
}

// endpoint answers every post with a status and a body, and tells what it got.
func endpoint(t *testing.T, status int, answer string) (url string, got <-chan posted) {
	t.Helper()
	all := make(chan posted, 100)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost {
			t.Errorf("got %s, %v", r.Method, err)
		}
		all <- posted{r.Header, string(body)}
		w.Header().Set("Retry-After", "7")
		w.Header().Set("Location", "https://elsewhere.example")
		w.WriteHeader(status)
		io.WriteString(w, answer)
	}))
	t.Cleanup(s.Close)
	return s.URL + "/incoming-sms?key=hidden", all
}

// forwarded runs forward alone.
func forwarded(t *testing.T, o handlers.ForwardOptions, ev *messaging.Event) (*messagingtest.Recorder, error) {
	t.Helper()
	return messagingtest.Run(build(t, &o, handlers.Env{})(passed), ev)
}

func asJSON(t *testing.T, text string) (v map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

func TestForwardShapes(t *testing.T) {
	t.Parallel()
	url, got := endpoint(t, 200, "")
	at := time.Date(2025, 1, 15, 10, 30, 0, 5e8, time.UTC)
	inbound := message("Hello!")
	inbound.SentAt = at
	inbound.Frame = []byte(`{"params":{"project_id":"pr","space_id":"sp"}}`)
	picture := *inbound
	picture.Body, picture.Media, picture.SentAt, picture.ReceivedAt = "", []string{"https://example.com/a.png"}, time.Time{}, at
	send := uuid.MustParse("01920000-0000-7000-8000-000000000001")
	sent := state(messaging.StateInitiated)
	sent.SentAt, sent.Send = at, &messaging.SendRef{ID: send}
	failed := state(messaging.StateUndelivered)
	failed.SentAt, failed.Reason, failed.Segments = at, "unreachable", 1
	platform := handlers.ForwardOptions{URL: url, Shape: handlers.ShapePlatform}
	for name, tt := range map[string]struct {
		o    handlers.ForwardOptions
		ev   *messaging.Event
		want string
	}{
		"message": {handlers.ForwardOptions{URL: url}, inbound, `{"message_id": "` + inbound.MessageID +
			`", "from": "+12025550123", "to": "+12025550100", "body": "Hello!", "media": [], "timestamp": "2025-01-15T10:30:00Z"}`},
		"picture": {handlers.ForwardOptions{URL: url}, &picture, `{"message_id": "` + inbound.MessageID +
			`", "from": "+12025550123", "to": "+12025550100", "body": "", "media": ["https://example.com/a.png"], "timestamp": "2025-01-15T10:30:00Z"}`},
		"state":         {handlers.ForwardOptions{URL: url}, sent, `{"message_id": "01920000-0000-7000-8000-000000000001", "status": "sending", "timestamp": "2025-01-15T10:30:00Z"}`},
		"unknown state": {handlers.ForwardOptions{URL: url}, failed, `{"message_id": "b7e7d4d0-3f6e-4f53-9c53-1f1a1ab0f000", "status": "undelivered", "timestamp": "2025-01-15T10:30:00Z"}`},
		"platform's message": {platform, inbound, `{"message": {"message_id": "` + inbound.MessageID + `", "project_id": "pr", "space_id": "sp", "direction": "inbound", "type": "sms",
			"from": "+12025550123", "to": "+12025550100", "body": "Hello!", "media": [], "segments": 1, "timestamp": "2025-01-15T10:30:00Z"}, "params": {}}`},
		"platform's picture": {platform, &picture, `{"message": {"message_id": "` + inbound.MessageID + `", "project_id": "pr", "space_id": "sp", "direction": "inbound", "type": "mms",
			"from": "+12025550123", "to": "+12025550100", "body": null, "media": [{"url": "https://example.com/a.png", "content_type": null, "size": null}], "segments": 1, "timestamp": "2025-01-15T10:30:00Z"}, "params": {}}`},
		"platform's state": {platform, failed, `{"id": "b7e7d4d0-3f6e-4f53-9c53-1f1a1ab0f000", "message_id": "b7e7d4d0-3f6e-4f53-9c53-1f1a1ab0f000", "project_id": "", "status": "undelivered",
			"from": "+12025550100", "to": "+12025550123", "body": "", "number_of_segments": 1, "timestamp": "2025-01-15T10:30:00Z", "error_code": null, "error_message": "unreachable"}`},
	} {
		rec, err := forwarded(t, tt.o, tt.ev)
		if err != nil || len(rec.Sends()) > 0 {
			t.Errorf("%s: got %v and %d sends, want the chain to end without any", name, err, len(rec.Sends()))
			continue
		}
		p := <-got
		if diff := cmp.Diff(asJSON(t, tt.want), asJSON(t, p.body)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if key, typ := p.header.Get("Idempotency-Key"), p.header.Get("Content-Type"); key != tt.ev.ID || typ != "application/json" {
			t.Errorf("%s: got the key %q and type %q, want %q and application/json", name, key, typ, tt.ev.ID)
		}
		if h := p.header.Get(handlers.SignatureHeader); h != "" {
			t.Errorf("%s: signed without a secret: %s", name, h)
		}
	}
	// What has no name there passes.
	if rec, err := forwarded(t, handlers.ForwardOptions{URL: url}, state("read")); err != nil || len(rec.Replies()) != 1 || len(got) > 0 {
		t.Errorf("a state without a name: got %q, %v and %d posts, want it passed on", rec.Replies(), err, len(got))
	}
}

func TestForwardStatusNames(t *testing.T) {
	t.Parallel()
	url, got := endpoint(t, 204, "")
	for s, want := range map[messaging.State]string{
		"queued": "queued", "initiated": "sending", "sent": "sent", "delivered": "delivered", "undelivered": "undelivered", "failed": "failed",
	} {
		if _, err := forwarded(t, handlers.ForwardOptions{URL: url}, state(s)); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
		if name := asJSON(t, (<-got).body)["status"]; name != want {
			t.Errorf("%s: got %v, want %s", s, name, want)
		}
	}
}

func TestForwardTakesTheReplyOfTheAnswer(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", handlers.MaxReply+1)
	for answer, want := range map[string][]messaging.Send{
		``:                       nil,
		`OK`:                     nil,
		`{"status": "received"}`: nil,
		`{"body": "x", "media": ["https://example.com/a.png"]}`: nil, // what was posted, given back
		`{"reply": null}`:                       nil,
		`{"reply": " "}`:                        nil,
		`["reply"]`:                             nil,
		strings.Repeat(" ", 60<<10) + `<html>`:  nil,
		`{"reply": "Hi", "status": "received"}`: {{Body: "Hi", Category: messaging.CategoryReply}},
		`{"reply": "Hi", "media": ["https://example.com/a.png"]}`: {{Body: "Hi", Media: []string{"https://example.com/a.png"}, Category: messaging.CategoryReply}},
		`{"reply": "", "media": ["https://example.com/a.png"]}`:   {{Media: []string{"https://example.com/a.png"}, Category: messaging.CategoryReply}},
		`{"reply": "` + long + `"}`:                               {{Body: long[:handlers.MaxReply-1] + "…", Category: messaging.CategoryReply}},
	} {
		url, _ := endpoint(t, 201, answer)
		var log journal
		rec, err := messagingtest.Run(build(t, &handlers.ForwardOptions{URL: url}, handlers.Env{Logger: log.logger(slog.LevelDebug)})(passed), message("x"))
		if diff := cmp.Diff(want, rec.Sends()); diff != "" || err != nil {
			t.Errorf("%.60q: %v (-want +got):\n%s", answer, err, diff)
		}
	}
	for answer, want := range map[string]string{
		`{"reply": 1}`:                        "not a text",
		`{"reply": "Hi`:                       "begins like JSON",
		`{"reply": "Hi", "media": "x"}`:       "not a list",
		`{"reply": "Hi", "media": ["file:"]}`: "not a web address",
		`{"reply": "` + strings.Repeat("secret text ", 6<<10) + `"}`: "more than 65536 bytes",
	} {
		url, _ := endpoint(t, 200, answer)
		_, err := forwarded(t, handlers.ForwardOptions{URL: url}, message("x"))
		if !messaging.IsDrop(err) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%.30q: got %v, want a dead letter that says %q", answer, err, want)
		}
	}
}

func TestForwardContinues(t *testing.T) {
	t.Parallel()
	url, _ := endpoint(t, 200, `{"reply": "mine"}`)
	rec, err := forwarded(t, handlers.ForwardOptions{URL: url, Continue: true}, message("x"))
	if diff := cmp.Diff([]string{"mine", "passed"}, rec.Replies()); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	rec, err = forwarded(t, handlers.ForwardOptions{URL: url, Continue: true}, state(messaging.StateSent))
	if diff := cmp.Diff([]string{"passed"}, rec.Replies()); diff != "" || err != nil {
		t.Errorf("state: %v (-want +got):\n%s", err, diff)
	}
}

func TestForwardSigns(t *testing.T) {
	t.Parallel()
	url, got := endpoint(t, 200, "")
	if _, err := forwarded(t, handlers.ForwardOptions{URL: url, Secret: "s3cret"}, message("x")); err != nil {
		t.Fatal(err)
	}
	p := <-got
	header := p.header.Get(handlers.SignatureHeader)
	if err := handlers.Verify("s3cret", header, []byte(p.body), time.Now(), time.Minute); err != nil {
		t.Errorf("%s: %v", header, err)
	}
	at := time.Unix(1790000000, 0)
	fixed := handlers.Sign("key", at, []byte("body"))
	if want := "t=1790000000,v1=" + mac("key", "1790000000.body"); fixed != want {
		t.Errorf("got %s, want %s", fixed, want)
	}
	for name, err := range map[string]error{
		"another secret": handlers.Verify("other", fixed, []byte("body"), at, time.Minute),
		"another body":   handlers.Verify("key", fixed, []byte("Body"), at, time.Minute),
		"another time":   handlers.Verify("key", strings.Replace(fixed, "1790000000", "1790000001", 1), []byte("body"), at, time.Minute),
		"too old":        handlers.Verify("key", fixed, []byte("body"), at.Add(time.Hour), time.Minute),
		"from ahead":     handlers.Verify("key", fixed, []byte("body"), at.Add(-time.Hour), time.Minute),
		"no header":      handlers.Verify("key", "", []byte("body"), at, time.Minute),
		"no secret":      handlers.Verify("", handlers.Sign("", at, []byte("body")), []byte("body"), at, time.Minute),
	} {
		if err == nil {
			t.Errorf("%s: was verified", name)
		}
	}
}

// The table of errors: what a status means for the message.
func TestForwardErrors(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	ctx := handlers.WithMetrics(t.Context(), handlers.NewMetrics(reg))
	run := func(url string, ev *messaging.Event) error {
		_, err := messagingtest.RunContext(ctx, build(t, &handlers.ForwardOptions{URL: url}, handlers.Env{})(passed), ev)
		return err
	}
	for status, want := range map[int]string{
		301: "drop", 308: "drop", 400: "drop", 401: "drop", 404: "drop", 422: "drop",
		429: "7s", 503: "7s", 502: "later", 504: "later", 425: "later",
		408: "again", 500: "again", 501: "again",
	} {
		url, _ := endpoint(t, status, "secret text")
		err := run(url, message("x"))
		if got := kindOf(err); got != want {
			t.Errorf("%d: got %s, want %s: %v", status, got, want, err)
		}
		// A message that waited for long enough is given up, but for errors that count by themselves.
		old := message("x")
		old.ReceivedAt = old.ReceivedAt.Add(-2 * time.Hour)
		if err := run(url, old); messaging.IsDrop(err) == (want == "again") {
			t.Errorf("%d, after two hours: got %v", status, err)
		}
		for _, private := range []string{"secret", "hidden", "2025550123"} {
			if strings.Contains(err.Error(), private) {
				t.Errorf("%d: %q gives away %q", status, err, private)
			}
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "http://" + listener.Addr().String() + "/?key=hidden"
	listener.Close()
	for range 2 {
		if err := run(closed, message("x")); kindOf(err) != "later" || !strings.Contains(err.Error(), "connection refused") || strings.Contains(err.Error(), "hidden") {
			t.Errorf("nobody listens: got %v, want to wait", err)
		}
	}
	if n, err := testutil.GatherAndCount(reg, "signpost_outside_seconds"); n != 3 || err != nil {
		t.Errorf("got %d series, %v, want refused, later and failed", n, err)
	}
}

// kindOf names what an error instructs; a delay of less than 7s is "later".
func kindOf(err error) string {
	d, later := messaging.RetryDelay(err)
	switch {
	case err == nil:
		return "done"
	case messaging.IsDrop(err):
		return "drop"
	case later && d < 7*time.Second:
		return "later"
	case later:
		return d.String()
	}
	return "again"
}

func TestForwardTimesOut(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	t.Cleanup(s.Close)
	t.Cleanup(func() { close(release) })
	f := handlers.NewForwards()
	ev := message("x")
	h := build(t, &handlers.ForwardOptions{URL: s.URL, Timeout: handlers.Duration(20 * time.Millisecond)}, handlers.Env{})(passed)
	_, err := messagingtest.RunContext(handlers.WithForwards(t.Context(), f), h, ev)
	if kindOf(err) != "again" || !strings.Contains(err.Error(), "within 20ms") {
		t.Errorf("got %v, want to be tried again", err)
	}
	f.Begin(ev)
	late, own := claim(f, "a"), claim(f, "a")
	if late != own {
		t.Error("after a timeout, a late post and the next attempt's became two sends")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := messagingtest.RunContext(ctx, h, ev); kindOf(err) != "again" {
		t.Errorf("cancelled: got %v, want to be tried again", err)
	}
}

// The address may hold a key: an endpoint that hangs up must not make it known.
func TestForwardErrorsHoldNoAddress(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	t.Cleanup(s.Close)
	_, err := forwarded(t, handlers.ForwardOptions{URL: s.URL + "/?key=hidden"}, message("x"))
	if kindOf(err) != "again" || strings.Contains(err.Error(), "hidden") || !strings.Contains(err.Error(), "no answer from 127.0.0.1") {
		t.Errorf("got %v, want to be tried again, with the host alone", err)
	}
}

func TestForwardClaimsWhileItIsOpen(t *testing.T) {
	t.Parallel()
	f := handlers.NewForwards()
	var keys []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		keys = append(keys, claim(f, "answer"))
		if len(keys) == 1 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	t.Cleanup(s.Close)
	h, ev := build(t, &handlers.ForwardOptions{URL: s.URL}, handlers.Env{})(passed), message("x")
	ctx := handlers.WithForwards(t.Context(), f)
	if _, err := messagingtest.RunContext(ctx, h, ev); err == nil {
		t.Error("500: got no error")
	}
	if _, err := messagingtest.RunContext(ctx, h, ev); err != nil {
		t.Error(err)
	}
	if len(keys) != 2 || keys[0] == "" || keys[0] != keys[1] {
		t.Errorf("keys of the two attempts: got %q, want the same", keys)
	}
}

func TestForwardOptions(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]*handlers.ForwardOptions{
		"url: there is none":      {},
		"url: not a web address":  {URL: "127.0.0.1:5000"},
		"url: not a web address:": {URL: "ftp://example.com"},
		"timeout: -1s":            {URL: "http://x", Timeout: handlers.Duration(-time.Second)},
		"patience: -1s":           {URL: "http://x", Patience: handlers.Duration(-time.Second)},
		`shape: "json"`:           {URL: "http://x", Shape: "json"},
	} {
		if _, err := o.Middleware(handlers.Env{}); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if got := panicOf(func() { handlers.Forward("") }); !strings.HasPrefix(got, "handlers: Forward: url") {
		t.Errorf("Forward without an address: got %q", got)
	}
}

func TestRetryAfterHeader(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"": 0, "0": 0, "-5": 0, "soon": 0, "120": 2 * time.Minute, " 3 ": 3 * time.Second, "99999": 10 * time.Minute, "99999999999999": 0,
		"Fri, 02 Jan 2026 03:05:05 GMT": time.Minute, "Fri, 02 Jan 2026 03:03:05 GMT": 0,
	} {
		if got := handlers.RetryAfterHeader(header, now); got != want {
			t.Errorf("%q: got %v, want %v", header, got, want)
		}
	}
}

func FuzzReadReply(f *testing.F) {
	for _, s := range []string{``, `{"reply": "Hi"}`, `{"reply": null, "media": ["https://example.com/a.png"]}`, "{\"reply\": \"a\x00\xff\"}", `{`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		text, media, err := handlers.ReadReply(answer)
		if err != nil && (text != "" || media != nil) {
			t.Errorf("%q: got %q and %q with %v", answer, text, media, err)
		}
		if strings.ToValidUTF8(text, "") != text || strings.Contains(text, "\x00") {
			t.Errorf("%q: the reply %q cannot be stored", answer, text)
		}
	})
}
