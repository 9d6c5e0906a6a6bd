package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/memory"
	"github.com/signpost-sms/signpost/messaging/messagingtest"
)

const messagesPath = "/api/messaging/messages"

// post sends a message through the platform's path.
func (d *desk) submit(body, key string) *httptest.ResponseRecorder {
	d.t.Helper()
	r := httptest.NewRequest("POST", messagesPath, strings.NewReader(body))
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	w := httptest.NewRecorder()
	d.mux.ServeHTTP(w, r)
	return w
}

// created expects a 201.
func (d *desk) created(body, key string) (m PlatformMessage) {
	d.t.Helper()
	w := d.submit(body, key)
	if w.Code != http.StatusCreated {
		d.t.Fatalf("POST %s: %d %s", body, w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &m); err != nil {
		d.t.Fatal(err)
	}
	return m
}

// platformRefused expects the platform's error about an attribute.
func platformRefused(t *testing.T, what string, w *httptest.ResponseRecorder, status int, attribute, code string) {
	t.Helper()
	var e PlatformErrors
	if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil {
		t.Errorf("%s: %d %s", what, w.Code, w.Body)
		return
	}
	if w.Code != status || len(e.Errors) == 0 || e.Errors[0].Attribute == nil || *e.Errors[0].Attribute != attribute || code != "" && e.Errors[0].Code != code || e.Errors[0].Message == "" {
		t.Errorf("%s: got %d %s, want %d about %s, %s", what, w.Code, w.Body, status, attribute, code)
	}
}

const hello = `{"from": "+12025550100", "to": "+12025550147", "body": "hello", "nonsense": {"tolerated": true}}`

func TestPlatformSends(t *testing.T) {
	t.Parallel()
	d := newDesk(t, memory.New(memory.Config{}))
	m := d.created(`{"from": "+12025550100", "to": "+12025550147", "body": "hello", "send_as_mms": false, "media": null,
		"status_callback": "http://127.0.0.1:5000/status", "custom_variables": {"order": "17", "n": 3}}`, "")
	if m.Status != "queued" || m.Direction != "outbound" || m.Kind != "sms" || m.NumberOfSegments != 1 || m.ErrorCode != nil || m.ProjectID != "project" ||
		m.Media == nil || m.StatusCallback == nil || m.CustomVariables["n"] != "3" || m.CreatedAt.IsZero() || m.MessageURI != "/api/messaging/logs/"+m.ID {
		t.Errorf("got %+v", m)
	}
	if again := get[PlatformMessage](d, messagesPath+"/"+m.ID); again.ID != m.ID || again.Body != "hello" || again.CustomVariables["order"] != "17" {
		t.Errorf("GET: %+v", again)
	}
	in := d.receive(start, "support", "hi", done(""))
	if got := get[PlatformMessage](d, messagesPath+"/"+in.ID); got.Direction != "inbound" || got.Status != "received" || got.Body != "hi" {
		t.Errorf("GET an inbound: %+v", got)
	}
	platformNotFound(t, d.ask("GET", messagesPath+"/nobody", ""))
}

func platformNotFound(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	var e PlatformErrors
	if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || w.Code != http.StatusNotFound || e.Errors[0].Type != "not_found" {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

func TestPlatformNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	d := newDesk(t, memory.New(memory.Config{}))
	with := func(member string) string { return strings.Replace(hello, `"nonsense"`, member+`, "nonsense"`, 1) }
	for body, want := range map[string]string{
		`{"to": "+12025550147", "body": "x"}`:                                    "from missing_from_number",
		`{"from": "+12025550100", "body": "x"}`:                                  "to missing_to_number",
		`{"from": "+12025550100", "to": "+12025550147"}`:                         "body missing_body",
		`{"from": "+12025550100", "to": "+12025550147", "body": ""}`:             "body missing_body",
		`{"from": "+12025550100", "to": "2025550147", "body": "x"}`:              "to invalid_to_number",
		`{"from": "+12025550100", "to": "+12025550100", "body": "x"}`:            "to invalid_to_number",
		`{"from": "ACME", "to": "+12025550147", "body": "x"}`:                    "from invalid_from_number",
		`{"from": 5, "to": "+12025550147", "body": "x"}`:                         "from invalid_from",
		`{"from": "+12025550100", "to": ["+12025550147"], "body": "x"}`:          "to invalid_to",
		with(`"body": "` + strings.Repeat("x", 1601) + `"`):                      "",
		with(`"media": "http://example.com/a.png"`):                              "media invalid_media",
		with(`"media": ["ftp://example.com/a.png"]`):                             "media invalid_media",
		with(`"status_callback": 7`):                                             "status_callback invalid_status_callback",
		with(`"status_callback": "https://elsewhere.example/"`):                  "status_callback invalid_status_callback",
		with(`"custom_variables": []`):                                           "custom_variables invalid_custom_variables",
		with(`"custom_variables": {"1a": "x"}`):                                  "custom_variables invalid_custom_variables",
		with(`"custom_variables": {"sw_a": "x"}`):                                "custom_variables invalid_custom_variables",
		with(`"custom_variables": {"a": ""}`):                                    "custom_variables invalid_custom_variables",
		with(`"custom_variables": {"a": {}}`):                                    "custom_variables invalid_custom_variables",
		with(`"category": "consent"`):                                            "category invalid_category",
		with(`"context": "billing"`):                                             "context unknown_context",
		with(`"send_as_mms": "perhaps"`):                                         "send_as_mms invalid_send_as_mms",
		`{"from": "+12025550100", "to": "+12025550147", "body": "` + "a\x00b\"}": "request 400",
		`[]`:         "request 400",
		`{`:          "request 400",
		``:           "request 400",
		`{} {}`:      "request 400",
		"{\"a\xff\"": "request 400",
	} {
		attribute, code, _ := strings.Cut(want, " ")
		status := http.StatusUnprocessableEntity
		if code == "400" {
			status, code = http.StatusBadRequest, "invalid_json"
		}
		if want == "" { // the last of two members with one name counts
			continue
		}
		platformRefused(t, body, d.submit(body, ""), status, attribute, code)
	}
	long := strings.Replace(hello, "hello", strings.Repeat("x", 1601), 1)
	platformRefused(t, "a long body", d.submit(long, ""), http.StatusUnprocessableEntity, "body", "body_too_long")
	platformRefused(t, "a long key", d.submit(hello, strings.Repeat("k", 201)), http.StatusUnprocessableEntity, "Idempotency-Key", "invalid_idempotency_key")
	if told := d.engine.told; len(told) != 0 {
		t.Errorf("the engine was told %q", told)
	}
}

func TestPlatformKeySendsOnce(t *testing.T) {
	t.Parallel()
	d := newDesk(t, memory.New(memory.Config{}))
	answers := make([]string, 100)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() { answers[i] = d.submit(hello, "one").Body.String() })
	}
	wg.Wait()
	if all := slices.Compact(answers); len(all) != 1 {
		t.Errorf("%d different answers to one key, such as %s", len(all), all[:2])
	}
	if p := get[Page](d, "/v1/messages"); len(p.Messages) != 1 {
		t.Errorf("%d sends under one key", len(p.Messages))
	}
	other := strings.Replace(hello, "hello", "another", 1)
	platformRefused(t, "the key with another body", d.submit(other, "one"), http.StatusUnprocessableEntity, "Idempotency-Key", "idempotency_key_reused")
	if a, b := d.created(hello, ""), d.created(hello, ""); a.ID == b.ID {
		t.Error("two requests without a key became one send")
	}
}

func TestPlatformCategory(t *testing.T) {
	t.Parallel()
	d := newDesk(t, memory.New(memory.Config{}))
	category := func(body string) (messaging.Category, string) {
		t.Helper()
		l := get[Life](d, "/v1/messages/"+d.created(body, "").ID)
		return l.Sends[0].Category, l.Sends[0].Context
	}
	if c, label := category(hello); c != messaging.CategoryNotification || label != "sales" {
		t.Errorf("to somebody who never wrote: %s on %s", c, label)
	}
	ev := messagingtest.NewMessage("support", person, ours, "hi")
	ev.ReceivedAt = time.Now().Add(-59 * time.Minute)
	d.recent.Heard(ev)
	if c, label := category(hello); c != messaging.CategoryReply || label != "support" {
		t.Errorf("to somebody who wrote: %s on %s", c, label)
	}
	if c, label := category(strings.Replace(hello, `"nonsense"`, `"category": "marketing", "context": "sales", "nonsense"`, 1)); c != messaging.CategoryMarketing || label != "sales" {
		t.Errorf("asked for: %s on %s", c, label)
	}
	elsewhere := strings.Replace(hello, "+12025550147", "+12025550148", 1)
	if c, label := category(elsewhere); c != messaging.CategoryNotification || label != "support" {
		t.Errorf("to another person, from a number that somebody wrote to: %s on %s", c, label)
	}
	ev.ReceivedAt = time.Now().Add(-61 * time.Minute)
	other := newDesk(t, memory.New(memory.Config{}))
	other.recent.Heard(ev)
	if l := get[Life](other, "/v1/messages/"+other.created(hello, "").ID); l.Sends[0].Category != messaging.CategoryNotification {
		t.Errorf("to somebody who wrote 61 minutes ago: %s", l.Sends[0].Category)
	}
}

// TestPlatformAnswersAForward takes what is sent on the pair of a forwarded inbound for the
// answer to it, and a request that is repeated under its key for itself.
func TestPlatformAnswersAForward(t *testing.T) {
	t.Parallel()
	d := newDesk(t, memory.New(memory.Config{}))
	d.claims = forwarded{pair: messaging.Conversation{Ours: ours, Theirs: person}, event: "event-1"}
	m := d.created(hello, "")
	s := get[Life](d, "/v1/messages/"+m.ID).Sends[0]
	if s.InReplyTo != "event-1" || s.Key != "event-1~1" || s.Category != messaging.CategoryReply || s.ExpiresAt.IsZero() {
		t.Errorf("the answer to a forward: %+v", s)
	}
	one, two := d.created(hello, "k"), d.created(hello, "k")
	if one.ID != two.ID || d.claims.n != 2 {
		t.Errorf("a repeated request claimed again: %d claims", d.claims.n)
	}
	if third := d.created(hello, "l"); third.ID == one.ID {
		t.Error("another request was taken for the repeated one")
	}
}

func TestPlatformSaysThatAMessageIsSuppressed(t *testing.T) {
	t.Parallel()
	code, message := failure(&messaging.SendRecord{Status: messaging.StatusSuppressed, Reason: "opted_out: consent.stop"})
	if code == nil || *code != "opted_out" || !strings.Contains(*message, "STOP") {
		t.Errorf("got %v %v", code, message)
	}
	code, message = failure(&messaging.SendRecord{Status: messaging.StatusFailed, Attempts: []*messaging.AttemptRecord{{Code: "422", Reason: "no such number"}}})
	if *code != "422" || *message != "no such number" {
		t.Errorf("got %v %v", *code, *message)
	}
	for s, want := range map[messaging.Status]string{
		messaging.StatusQueued: "queued", messaging.StatusSending: "initiated", messaging.StatusInDoubt: "initiated", messaging.StatusAccepted: "initiated",
		messaging.StatusSent: "sent", messaging.StatusUnknown: "sent", messaging.StatusDelivered: "delivered", messaging.StatusUndelivered: "undelivered",
		messaging.StatusFailed: "failed", messaging.StatusSuppressed: "failed", messaging.StatusExpired: "failed", messaging.StatusCancelled: "failed",
	} {
		if got := platformStatus(s); got != want {
			t.Errorf("%s is %s, want %s", s, got, want)
		}
		if code, _ := failure(&messaging.SendRecord{Status: s}); (code != nil) != (want == "failed" || want == "undelivered") {
			t.Errorf("%s has an error: %v", s, code != nil)
		}
	}
}

func TestPlatformRedacts(t *testing.T) {
	t.Parallel()
	d := newDesk(t, memory.New(memory.Config{}))
	waits := d.send(start, "support", "waits", messaging.StatusQueued)
	gone := d.send(start, "support", "gone", messaging.StatusSuppressed)
	path := messagesPath + "/" + gone.ID.String()
	platformRefused(t, "another text", d.ask("PATCH", path, `{"body": "x"}`), http.StatusUnprocessableEntity, "body", "body_must_be_empty")
	platformRefused(t, "no text", d.ask("PATCH", path, `{}`), http.StatusUnprocessableEntity, "body", "body_must_be_empty")
	platformRefused(t, "unfinished", d.ask("PATCH", messagesPath+"/"+waits.ID.String(), `{"body": ""}`), http.StatusUnprocessableEntity, "id", "cannot_redact_in_progress_message")
	platformNotFound(t, d.ask("PATCH", messagesPath+"/nobody", `{"body": ""}`))
	w := d.ask("PATCH", path, `{"body": ""}`)
	if w.Code != http.StatusOK || strings.Contains(w.Body.String(), "gone") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	if m := get[PlatformMessage](d, path); m.Body != "" {
		t.Errorf("after the redaction: %+v", m)
	}
}

func TestPlatformLogGoesThroughAll(t *testing.T) {
	t.Parallel()
	d := newDesk(t, memory.New(memory.Config{}))
	var want []string
	for i := range 25 {
		at := start.Add(time.Duration(i) * time.Second)
		if i%3 == 0 {
			want = append(want, d.receive(at, "support", fmt.Sprint(i), done("")).ID)
		} else {
			want = append(want, d.send(at, "support", fmt.Sprint(i), messaging.StatusSuppressed).ID.String())
		}
	}
	slices.Reverse(want)
	var got []string
	for path := "/api/messaging/logs?page_size=10&created_on=2026-11-24"; path != ""; {
		log := get[PlatformLog](d, path)
		for _, e := range log.Data {
			got = append(got, e.ID)
			if e.Direction == "inbound" != (e.Status == "received") || e.Direction != "inbound" && e.ErrorCode == nil {
				t.Errorf("entry %+v", e)
			}
		}
		path = log.Links.Next
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %d entries %q, want %d", len(got), got, len(want))
	}
	if log := get[PlatformLog](d, "/api/messaging/logs?created_after=2026-11-24"); len(log.Data) != 0 {
		t.Errorf("%d entries of days to come", len(log.Data))
	}
	if e := get[PlatformEntry](d, "/api/messaging/logs/"+want[0]); e.ID != want[0] {
		t.Errorf("got %+v", e)
	}
	for query, attribute := range map[string]string{
		"page_size=0": "page_size", "page_size=x": "page_size", "page_number=-1": "page_number", "page_number=1": "page_number",
		"page_token=x": "page_token", "page_token=x~y": "page_token", "created_on=today": "created_on",
	} {
		platformRefused(t, query, d.ask("GET", "/api/messaging/logs?"+query, ""), http.StatusUnprocessableEntity, attribute, "")
	}
}

func TestPlatformSaysWhenToComeBack(t *testing.T) {
	t.Parallel()
	d := newDesk(t, memory.New(memory.Config{}))
	unavailable := func(what string) {
		t.Helper()
		w := d.submit(hello, "")
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), `"errors"`) {
			t.Errorf("%s: got %d %v %s", what, w.Code, w.Header(), w.Body)
		}
	}
	d.down = errors.New("disk full")
	unavailable("journal down")
	d.down, d.drains = nil, true
	unavailable("draining")
	d.drains, d.engine.err = false, map[string]error{"": messaging.ErrUnavailable}
	unavailable("the journal did not take it")
}
