package api

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/memory"
	"github.com/signpost-sms/signpost/messaging/otp"
)

func TestSendsAreScheduled(t *testing.T) {
	t.Parallel()
	d := newDesk(t, memory.New(memory.Config{}))
	later := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	body := fmt.Sprintf(`{"from": "+12025550100", "to": "+12025550147", "body": "later", "not_before": %q, "key": "k", "priority": 3}`, later.Format(time.RFC3339))
	m := told[Message](d, "/v1/sends", body)
	if !m.NotBefore.Equal(later) || m.Status != messaging.StatusQueued || m.Key != "api:k" || m.Priority != 3 {
		t.Errorf("got %+v", m)
	}
	if again := told[Message](d, "/v1/sends", body); again.ID != m.ID {
		t.Error("the same key sent twice")
	}
	d.refused("POST", "/v1/sends", strings.Replace(body, "later", "other", 1), Conflict)
	if done := told[Done](d, "/v1/sends/"+m.ID+"/cancel", ""); done.Result != "cancelled" {
		t.Errorf("got %+v", done)
	}
	with := func(member string) string { return strings.Replace(body, `"key"`, member+`, "key"`, 1) }
	for body, location := range map[string]string{
		with(`"expires_at": "2020-01-01T00:00:00Z"`): "body.expires_at",
		with(`"expires_at": "soon"`):                 "body.expires_at",
		with(`"priority": 1`):                        "",
		with(`"nonsense": 1`):                        "body.nonsense",
		with(`"category": "x"`):                      "body.category",
		`{"from": "+12025550100", "body": "x"}`:      "body.to",
		`{"from": "+12025550100", "to": "+12025550147", "body": "x", "not_before": "2999-01-01T00:00:00Z"}`: "body.not_before",
		`{"from": "+12025550100", "to": "+12025550147", "body": "x", "priority": 1}`:                        "body.priority",
	} {
		if location == "" {
			continue // the second of two members counts
		}
		if p := d.refused("POST", "/v1/sends", body, BadRequest); len(p.Errors) == 0 || p.Errors[0].Location != location {
			t.Errorf("%s: %+v, want %s", body, p, location)
		}
	}
}

// talks notes what it is told.
type talks struct{ told []string }

func (k *talks) Pause(_ context.Context, c messaging.Conversation, _ time.Time) error {
	k.told = append(k.told, "pause "+c.Key())
	return nil
}

func (k *talks) Resume(_ context.Context, c messaging.Conversation) error {
	k.told = append(k.told, "resume "+c.Key())
	return nil
}

func TestConversations(t *testing.T) {
	t.Parallel()
	d := newDesk(t, memory.New(memory.Config{}))
	d.receive(start, "support", "one", done(""))
	d.send(start.Add(time.Second), "support", "two", messaging.StatusQueued)
	list := get[Conversations](d, "/v1/conversations")
	if len(list.Conversations) != 1 || list.Conversations[0].Theirs != string(person) || list.Conversations[0].Ours != string(ours) || list.Conversations[0].Last.Body != "two" {
		t.Errorf("got %+v", list)
	}
	path := "/v1/conversations/+12025550100/+12025550147"
	if one := get[Talk](d, path); len(one.Messages) != 2 || !one.PausedUntil.IsZero() {
		t.Errorf("got %+v", one)
	}
	if none := get[Talk](d, "/v1/conversations/+12025550199/+12025550147"); len(none.Messages) != 0 {
		t.Errorf("another number of ours: %+v", none)
	}
	later := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	told[Done](d, path+"/pause", fmt.Sprintf(`{"until": %q}`, later))
	told[Done](d, path+"/resume", "")
	if got := strings.Join(d.talks.told, ", "); got != "pause +12025550100 +12025550147, resume +12025550100 +12025550147" {
		t.Errorf("told %s", got)
	}
	for path, body := range map[string]string{
		path + "/pause":               `{"until": "2020-01-01T00:00:00Z"}`,
		"/v1/conversations/x/y/pause": fmt.Sprintf(`{"until": %q}`, later),
	} {
		d.refused("POST", path, body, BadRequest)
	}
	d.refused("GET", "/v1/conversations?before=x", "", BadRequest)
}

// locksmith answers as codes would.
type locksmith struct{ err error }

func (l *locksmith) Issue(context.Context, otp.Request) (otp.Issued, error) {
	return otp.Issued{Send: newID(), ExpiresAt: start.Add(time.Minute), ResendAt: start}, l.err
}

func (l *locksmith) Check(context.Context, otp.Answer) error { return l.err }

func TestVerify(t *testing.T) {
	t.Parallel()
	d := newDesk(t, memory.New(memory.Config{}))
	const ask = `{"from": "+12025550100", "to": "+12025550147"}`
	if v := told[VerifyStarted](d, "/v1/verify/start", ask); v.ID == "" || v.ExpiresAt.IsZero() {
		t.Errorf("got %+v", v)
	}
	const answer = `{"to": "+12025550147", "code": "123456"}`
	for want, err := range map[string]error{"": nil, "wrong": otp.ErrWrong, "no_code": otp.ErrNoCode, "attempts": otp.ErrAttempts} {
		d.codes.err = err
		if v := told[VerifyChecked](d, "/v1/verify/check", answer); v.Reason != want || v.Valid != (err == nil) {
			t.Errorf("%v: got %+v", err, v)
		}
	}
	d.codes.err = &otp.LimitError{Until: start}
	d.refused("POST", "/v1/verify/start", ask, TooMany)
	d.codes.err = otp.ErrNotSent
	d.refused("POST", "/v1/verify/start", ask, Conflict)
	d.codes.err = otp.ErrBusy
	d.refused("POST", "/v1/verify/check", answer, TooMany)
	d.refused("POST", "/v1/verify/check", `{"to": "x", "code": "1"}`, BadRequest)
	d.refused("POST", "/v1/verify/check", `{"to": "+12025550147"}`, BadRequest)
	d.refused("POST", "/v1/verify/start", `{"to": "+12025550147", "from": "x"}`, BadRequest)
}

// TestEventsGoOnWhereTheyBroke reads a stream, is cut off, and goes on behind its last event.
func TestEventsGoOnWhereTheyBroke(t *testing.T) {
	t.Parallel()
	d := newDesk(t, memory.New(memory.Config{}))
	d.receive(start, "support", "before", done(""))
	srv := httptest.NewServer(d.mux)
	defer srv.Close()
	// follow reads n events and gives their texts, and the id to go on from.
	follow := func(last string, n int, when func()) (texts []string, id string) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, "GET", srv.URL+"/v1/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		if last != "" {
			req.Header.Set("Last-Event-ID", last)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		lines := bufio.NewScanner(resp.Body)
		for len(texts) < n && lines.Scan() {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch {
			case name == "id":
				if id = value; when != nil {
					when()
					when = nil
				}
			case name == "data":
				_, text, _ := strings.Cut(value, `"body":"`)
				text, _, _ = strings.Cut(text, `"`)
				texts = append(texts, text)
			}
		}
		return texts, id
	}
	got, id := follow("", 2, func() {
		d.receive(start.Add(time.Second), "support", "one", done(""))
		d.send(start.Add(2*time.Second), "support", "two", messaging.StatusQueued)
	})
	if strings.Join(got, " ") != "one two" {
		t.Errorf("got %q", got)
	}
	d.receive(start.Add(3*time.Second), "support", "three", done(""))
	if got, _ := follow(id, 1, nil); len(got) != 1 || got[0] != "three" && got[0] != "two" {
		t.Errorf("behind %s: got %q", id, got)
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/v1/events", nil)
	r.Header.Set("Last-Event-ID", "nonsense")
	d.mux.ServeHTTP(w, r)
	if p := ReadProblem(w.Body.Bytes()); w.Code != http.StatusBadRequest || p.Errors[0].Location != "header.Last-Event-ID" {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}
