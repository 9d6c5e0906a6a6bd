package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/memory"
	"github.com/signpost-sms/signpost/messaging/messagingtest"
)

const (
	person = messaging.Number("+12025550147")
	ours   = messaging.Number("+12025550100")
)

var start = time.Date(2026, 11, 24, 3, 0, 0, 0, time.UTC)

// operator is an engine that notes what it is told, and answers with an error if there is one.
type operator struct {
	store messaging.Store
	mu    sync.Mutex
	told  []string
	err   map[string]error
}

func (o *operator) tell(format string, args ...any) error {
	said := fmt.Sprintf(format, args...)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.told = append(o.told, said)
	if err, ok := o.err[said]; ok {
		return err
	}
	return o.err[""]
}

func (o *operator) Replay(_ context.Context, id string) error { return o.tell("replay %s", id) }
func (o *operator) Drop(_ context.Context, id string) error   { return o.tell("drop %s", id) }

func (o *operator) Cancel(_ context.Context, id uuid.UUID) error { return o.tell("cancel %s", id) }

func (o *operator) Resolve(_ context.Context, id uuid.UUID, r messaging.Resolution) error {
	return o.tell("resolve %s as %s", id, r)
}

// SetConsent writes the ledger at once, as an engine would.
func (o *operator) SetConsent(ctx context.Context, cs ...*messaging.ConsentChange) error {
	for _, c := range cs {
		if err := o.tell("%s %s in %q by %s", c.Verb, c.Number, c.Scope, c.Actor); err != nil {
			return err
		}
	}
	return o.store.Commit(ctx, &messaging.Batch{ID: newID(), Owner: newID(), Now: start, Consents: cs})
}

// EnqueueAll journals sends as an engine would that has no session: all of them wait.
func (o *operator) EnqueueAll(ctx context.Context, sends []messaging.Send, with func(*messaging.Send) []*messaging.ValueChange) (all []messaging.Enqueued, err error) {
	for _, s := range sends {
		if err := o.tell("enqueue %s", s.Body); err != nil {
			return nil, err
		}
		s.CreatedAt = time.Now()
		s.Key = cmp.Or(s.Key, s.ID.String())
		s.Priority = cmp.Or(s.Priority, s.Category.Priority())
		q := &messaging.Enqueue{Outgoing: &messaging.Outgoing{Send: s, Status: messaging.StatusQueued}}
		if with != nil {
			q.Values = with(&s)
		}
		if err := o.store.Commit(ctx, &messaging.Batch{ID: newID(), Owner: newID(), Now: start, Enqueues: []*messaging.Enqueue{q}}); err != nil {
			return nil, err
		}
		if q.Existing != nil {
			s = *q.Existing
		}
		all = append(all, messaging.Enqueued{Send: s, Fresh: q.Outgoing.Inserted, Status: messaging.StatusQueued})
	}
	return all, nil
}

// Values reads from the store.
func (o *operator) Values(ctx context.Context, q messaging.ValueQuery) ([]messaging.Value, error) {
	q.Now = start
	if r, ok := o.store.(messaging.ValueReader); ok {
		return r.Values(ctx, q)
	}
	return nil, nil
}

// SetValue writes at once.
func (o *operator) SetValue(ctx context.Context, cs ...*messaging.ValueChange) error {
	if err := o.store.Commit(ctx, &messaging.Batch{ID: newID(), Owner: newID(), Now: start, Values: cs}); err != nil {
		return err
	}
	for _, c := range cs {
		if !c.Applied {
			return messaging.ErrValueChanged
		}
	}
	return nil
}

// desk is an API over a store.
type desk struct {
	t      testing.TB
	store  messaging.Store
	engine *operator
	mux    *http.ServeMux
	drains bool
	down   error // why nothing can be journaled
	recent *Recent
	jobs   *Jobs
	claims forwarded
	talks  talks
	codes  locksmith
}

// forwarded is a Forwards to which one pair belongs, with a key that counts.
type forwarded struct {
	pair  messaging.Conversation
	event string
	n     int
}

func (f *forwarded) Claim(from, to messaging.Number, _ string) (string, string, bool) {
	if f.event == "" || f.pair != (messaging.Conversation{Ours: from, Theirs: to}) {
		return "", "", false
	}
	f.n++
	return f.event, fmt.Sprintf("%s~%d", f.event, f.n), true
}

func newDesk(t testing.TB, store messaging.Store) *desk {
	t.Helper()
	d := &desk{t: t, store: store, engine: &operator{store: store}, mux: http.NewServeMux(), recent: NewRecent(time.Hour), jobs: NewJobs()}
	d.jobs.Use(d.engine)
	if err := d.jobs.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	hour := func() time.Duration { return time.Hour }
	New(Config{
		Store: store, Engine: d.engine, Draining: func() bool { return d.drains },
		Doubts:   Doubts{Log: true, Wait: time.Minute, Settle: 5 * time.Minute, Release: 10 * time.Minute, Then: "hold"},
		Writable: func() error { return d.down }, Jobs: d.jobs, Talks: &d.talks, Codes: &d.codes,
		Sending: Sending{
			Project: "project", Contexts: func() []string { return []string{"sales", "support"} }, Recent: d.recent,
			ReplyWindow: hour, ReplyExpires: hour, Forwards: &d.claims,
			Callback: func(url string) error {
				if !strings.HasPrefix(url, "http://127.0.0.1") {
					return errors.New("it is not allowed")
				}
				return nil
			},
		},
	}).Register(d.mux)
	return d
}

// ask makes a request and gives the answer's status and body.
func (d *desk) ask(method, path, body string) *httptest.ResponseRecorder {
	d.t.Helper()
	w := httptest.NewRecorder()
	d.mux.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	return w
}

// get decodes the answer to a question.
func get[T any](d *desk, path string) (v T) {
	d.t.Helper()
	w := d.ask("GET", path, "")
	if w.Code != http.StatusOK {
		d.t.Fatalf("GET %s: %d %s", path, w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		d.t.Fatal(err)
	}
	return v
}

// refused expects a problem of the kind.
func (d *desk) refused(method, path, body string, k Kind) *Problem {
	d.t.Helper()
	w := d.ask(method, path, body)
	p := ReadProblem(w.Body.Bytes())
	if !p.Of(k) || w.Code != k.status || w.Header().Get("Content-Type") != "application/problem+json" || p.Title != k.title || p.Status != k.status {
		d.t.Errorf("%s %s %s: got %d %s, want a problem of the kind %s", method, path, body, w.Code, w.Body, k.name)
	}
	if again := w.Header().Get("Retry-After") != ""; again != (w.Code == http.StatusServiceUnavailable) {
		d.t.Errorf("%s %s: Retry-After is there: %v", method, path, again)
	}
	return p
}

func (d *desk) commit(b *messaging.Batch) {
	d.t.Helper()
	b.ID, b.Owner = newID(), newID()
	if b.Now.IsZero() {
		b.Now = start
	}
	if err := d.store.Commit(d.t.Context(), b); err != nil {
		d.t.Fatal(err)
	}
}

func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

// receive journals an inbound with its outcome; nil leaves it unfinished.
func (d *desk) receive(at time.Time, label, body string, o *messaging.Outcome) *messaging.Event {
	d.t.Helper()
	ev := messagingtest.NewMessage(label, person, ours, body)
	ev.ReceivedAt = at
	d.commit(&messaging.Batch{Now: at, Appends: []*messaging.Append{{Event: ev, Outcome: o}}})
	return ev
}

// send journals a send that nothing asked for.
func (d *desk) send(at time.Time, label, body string, s messaging.Status) *messaging.Outgoing {
	d.t.Helper()
	out := &messaging.Outgoing{Status: s, Send: messaging.Send{
		ID: newID(), Context: label, From: ours, To: person, Body: body, CreatedAt: at,
		Priority: messaging.PriorityBulk, Category: messaging.CategoryNotification,
	}}
	out.Key = out.ID.String()
	if s == messaging.StatusSending {
		out.Attempt = &messaging.Attempt{ID: newID(), SendID: out.ID, Number: 1, ClaimedAt: at}
	}
	d.commit(&messaging.Batch{Now: at, Enqueues: []*messaging.Enqueue{{Outgoing: out}}})
	return out
}

func bodies(p Page) []string {
	var b []string
	for _, m := range p.Messages {
		b = append(b, m.Body)
	}
	return b
}

// doubtful journals a send in doubt.
func (d *desk) doubtful(at time.Time) *messaging.Outgoing {
	d.t.Helper()
	out := d.send(at, "support", "perhaps", messaging.StatusSending)
	d.commit(&messaging.Batch{Now: at, Reports: []*messaging.Report{{
		SendID: out.ID, AttemptID: out.Attempt.ID, Outcome: messaging.OutcomeInDoubt, Status: messaging.StatusInDoubt, Reason: "no answer in time",
	}}})
	return out
}

func dead(err string) *messaging.Outcome {
	return &messaging.Outcome{Fate: messaging.FateDead, Err: err, Attempt: 8}
}

func done(by string) *messaging.Outcome {
	return &messaging.Outcome{Fate: messaging.FateDone, Handler: by}
}

// TestPages goes through a journal in both directions at once, page by page, and finds
// everything once and in order, whatever the size of the pages.
func TestPages(t *testing.T) {
	t.Parallel()
	d := newDesk(t, memory.New(memory.Config{}))
	var want []string
	for i := range 40 {
		at, body := start.Add(time.Duration(i)*time.Second), fmt.Sprintf("text %d", i)
		if i%7 < 2 || i > 30 { // runs of one direction, longer than some pages
			d.receive(at, "support", body, done(""))
		} else {
			d.send(at, "support", body, messaging.StatusQueued)
		}
		want = append(want, body)
	}
	backwards := slices.Clone(want)
	slices.Reverse(backwards)
	for _, limit := range []int{1, 2, 3, 7, 39, 40, 1000} {
		var got []string
		before := ""
		for {
			p := get[Page](d, fmt.Sprintf("/v1/messages?limit=%d&before=%s", limit, before))
			got = append(got, bodies(p)...)
			if before = p.Cursor; !p.More {
				break
			}
			if len(p.Messages) != limit {
				t.Fatalf("limit %d: a page of %d with more behind it", limit, len(p.Messages))
			}
		}
		if diff := gocmp.Diff(backwards, got); diff != "" {
			t.Errorf("limit %d, backwards (-want +got):\n%s", limit, diff)
		}
		// And forwards again, from the oldest on.
		got, after := nil, before
		for {
			p := get[Page](d, fmt.Sprintf("/v1/messages?limit=%d&after=%s", limit, after))
			got = append(got, bodies(p)...)
			if p.Cursor != "" {
				after = p.Cursor
			}
			if !p.More {
				break
			}
		}
		// The cursor stands for the oldest row of each direction, and what follows is newer.
		newer := slices.DeleteFunc(slices.Clone(want), func(b string) bool { return b == "text 0" || b == "text 2" })
		if diff := gocmp.Diff(newer, got); diff != "" {
			t.Errorf("limit %d, forwards (-want +got):\n%s", limit, diff)
		}
	}
}

// TestFollowing sees what comes after a page, from an empty journal on, each once.
func TestFollowing(t *testing.T) {
	t.Parallel()
	d := newDesk(t, memory.New(memory.Config{}))
	p := get[Page](d, "/v1/messages")
	if len(p.Messages) != 0 || p.Newest == "" || p.More {
		t.Fatalf("an empty journal: %+v", p)
	}
	at, now := p.Newest, start
	next := func(query string, want ...string) {
		t.Helper()
		p := get[Page](d, "/v1/messages?after="+at+query)
		if diff := gocmp.Diff(want, bodies(p)); diff != "" {
			t.Errorf("after %s (-want +got):\n%s", at, diff)
		}
		if p.Newest != "" {
			t.Errorf("a page that follows says where to follow from")
		}
		if p.Cursor != "" {
			at = p.Cursor
		}
	}
	next("")
	d.receive(now, "support", "one", done(""))
	next("", "one")
	d.send(now, "support", "two", messaging.StatusQueued)
	d.receive(now.Add(time.Second), "support", "three", done(""))
	next("", "two", "three")
	next("")
	for i := range 5 {
		d.send(now.Add(time.Minute), "support", fmt.Sprint(i), messaging.StatusQueued)
	}
	next("&limit=2", "0", "1")
	next("&limit=2", "2", "3")
	next("&limit=2", "4")
	// From an empty journal on there is no place in between to stop at.
	at = "~"
	next("&limit=1", "one", "two", "three", "0", "1", "2", "3", "4")
	next("")

	p = get[Page](d, "/v1/messages?text=nothing+of+the+kind")
	if at = p.Newest; len(p.Messages) != 0 {
		t.Fatalf("found %+v", p)
	}
	d.receive(now, "support", "other", done(""))
	d.receive(now, "support", "nothing of the kind", done(""))
	next("&text=nothing+of+the+kind", "nothing of the kind")
}

func TestSearchParameters(t *testing.T) {
	t.Parallel()
	d := newDesk(t, memory.New(memory.Config{}))
	d.receive(start, "support", "one", done(""))
	d.receive(start.Add(time.Hour), "sales", "Two", dead("broken"))
	d.receive(start.Add(2*time.Hour), "sales", "three", nil)
	d.send(start.Add(3*time.Hour), "sales", "four", messaging.StatusQueued)
	d.send(start.Add(4*time.Hour), "support", "five", messaging.StatusSuppressed)
	d.doubtful(start.Add(5 * time.Hour))
	for query, want := range map[string][]string{
		"":                                    {"perhaps", "five", "four", "three", "Two", "one"},
		"?direction=in":                       {"three", "Two", "one"},
		"?direction=out":                      {"perhaps", "five", "four"},
		"?context=sales":                      {"four", "three", "Two"},
		"?status=queued,suppressed":           {"five", "four"},
		"?status=queued&status=in_doubt":      {"perhaps", "four"},
		"?fate=dead":                          {"Two"},
		"?fate=retry,done":                    {"three", "one"},
		"?text=TWO":                           {"Two"},
		"?since=2026-11-24T05:00:00Z":         {"perhaps", "five", "four", "three"},
		"?until=2026-11-24T06:00:00%2B01:00":  {"Two", "one"},
		"?number=%2B12025550147&limit=1":      {"perhaps"},
		"?number=+1+(202)+555-0147&limit=1":   {"perhaps"},
		"?number=%2B12025550199":              nil,
		"?direction=in&fate=dead&context=":    {"Two"},
		"?until=2026-11-24T03:00:00Z":         nil,
		"?direction=out&status=sending&text=": nil,
	} {
		if diff := gocmp.Diff(want, bodies(get[Page](d, "/v1/messages"+query))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
	}
	if got := bodies(get[Page](d, "/v1/deadletters?context=sales")); !slices.Equal(got, []string{"Two"}) {
		t.Errorf("dead letters: %q", got)
	}
	if got := bodies(get[Page](d, "/v1/doubts")); !slices.Equal(got, []string{"perhaps"}) {
		t.Errorf("doubts: %q", got)
	}
	for query, want := range map[string]string{
		"?nubmer=1":                       "number",
		"?number=5551234567":              "country code",
		"?direction=up":                   "neither in nor out",
		"?status=lost":                    "in_doubt",
		"?fate=sealed":                    "dropped",
		"?since=yesterday":                "2026-11-24T12:00:00Z",
		"?limit=0":                        "1 to 1000",
		"?limit=1001":                     "1 to 1000",
		"?limit=ten":                      "1 to 1000",
		"?limit=1&limit=2":                "twice",
		"?before=x":                       "cursor",
		"?before=e1~&after=e1~":           "exclude each other",
		"?direction=in&direction=out":     "twice",
		"?status=queued&fate=done":        "ask for one",
		"?status=queued&direction=in":     "use fate",
		"?fate=done&direction=out":        "use status",
		"?before=" + "nonsense~" + "junk": "",
	} {
		if p := d.refused("GET", "/v1/messages"+query, "", BadRequest); !strings.Contains(p.Error(), want) {
			t.Errorf("%s: %q lacks %q", query, p.Error(), want)
		}
	}
	for _, path := range []string{"/v1/deadletters?fate=done", "/v1/deadletters?direction=out", "/v1/doubts?status=queued"} {
		d.refused("GET", path, "", BadRequest)
	}
}

// TestLives tells an inbound with its reply, found by any of their ids.
func TestLives(t *testing.T) {
	t.Parallel()
	d := newDesk(t, memory.New(memory.Config{}))
	ev := messagingtest.NewMessage("support", person, ours, "hours")
	ev.ReceivedAt, ev.SentAt = start, start.Add(-3*time.Millisecond)
	out := &messaging.Outgoing{Status: messaging.StatusSending, Send: messaging.Send{
		ID: newID(), Key: ev.ID + "#0", Context: "support", From: ours, To: person, Body: "9 to 5", CreatedAt: start,
		Category: messaging.CategoryReply, Priority: messaging.PriorityReply, ExpiresAt: start.Add(time.Hour), InReplyTo: ev.ID,
	}}
	out.Attempt = &messaging.Attempt{ID: newID(), SendID: out.ID, Number: 1, ClaimedAt: start}
	d.commit(&messaging.Batch{Appends: []*messaging.Append{{Event: ev, Outcome: &messaging.Outcome{
		Fate: messaging.FateDone, Handler: "handlers[0].keyword", Sends: []*messaging.Outgoing{out},
	}}}})
	state := messagingtest.NewState("support", "SM/1", ours, person, messaging.StateDelivered, out.Attempt.Tag())
	state.ReceivedAt = start.Add(time.Second)
	d.commit(&messaging.Batch{
		Now:     start.Add(time.Second),
		Reports: []*messaging.Report{{SendID: out.ID, AttemptID: out.Attempt.ID, Outcome: messaging.OutcomeAccepted, MessageID: "SM/1", Status: messaging.StatusAccepted}},
	})
	d.commit(&messaging.Batch{Now: start.Add(time.Second), Appends: []*messaging.Append{{Event: state, Outcome: done("")}}})

	want := Life{
		Outcome: OutcomeAnswered,
		Inbound: &Message{
			ID: ev.ID, Direction: DirectionIn, At: start, Context: "support", From: string(person), To: string(ours), Body: "hours",
			Fate: FateDone, MessageID: ev.MessageID, SentAt: ev.SentAt, JournaledAt: start, FinishedAt: start,
			Handler: "handlers[0].keyword", Sends: []string{out.ID.String()},
		},
		Sends: []Message{{
			ID: out.ID.String(), Direction: DirectionOut, At: start, Context: "support", From: string(ours), To: string(person), Body: "9 to 5",
			MessageID: "SM/1", Status: messaging.StatusDelivered, Key: ev.ID + "#0", InReplyTo: ev.ID, Category: "reply", Priority: 2, ExpiresAt: start.Add(time.Hour),
			Attempts: []Attempt{{
				ID: out.Attempt.ID.String(), Number: 1, ClaimedAt: start, Outcome: messaging.OutcomeAccepted, MessageID: "SM/1",
				States: []State{{State: "delivered", At: start.Add(time.Second)}},
			}},
		}},
	}
	for _, id := range []string{ev.ID, out.ID.String(), out.Attempt.ID.String(), out.Attempt.Tag(), "SM%2F1", ev.ID + "%230"} {
		if diff := gocmp.Diff(want, get[Life](d, "/v1/messages/"+id)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", id, diff)
		}
	}
	// Both are of the same moment: the question came first.
	if got := bodies(get[Page](d, "/v1/messages")); !slices.Equal(got, []string{"9 to 5", "hours"}) {
		t.Errorf("newest first: %q", got)
	}
	if got := bodies(get[Page](d, "/v1/messages?after=~")); !slices.Equal(got, []string{"hours", "9 to 5"}) {
		t.Errorf("oldest first: %q", got)
	}
	d.refused("GET", "/v1/messages/nobody", "", Unknown)
	if p := d.refused("GET", "/v1/deadletters/"+ev.ID, "", Unknown); !strings.Contains(p.Detail, "it is answered") {
		t.Errorf("%q does not say what it is", p.Detail)
	}
}

func TestDoubtSaysHowItEnds(t *testing.T) {
	t.Parallel()
	d := newDesk(t, memory.New(memory.Config{}))
	d.doubtful(start)
	got := get[Page](d, "/v1/doubts").Messages[0].Doubt
	want := &Doubt{Since: start, AskLogAt: start.Add(time.Minute), SettleAt: start.Add(5 * time.Minute), Then: "hold", ReleaseAt: start.Add(10 * time.Minute)}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	got = Doubts{Wait: time.Minute, Settle: 5 * time.Minute, Release: time.Hour, Then: "resend"}.of(start)
	if diff := gocmp.Diff(&Doubt{Since: start, SettleAt: start.Add(time.Minute), Then: "resend"}, got); diff != "" {
		t.Errorf("without a log, to be sent again (-want +got):\n%s", diff)
	}
}

func TestOutcomes(t *testing.T) {
	t.Parallel()
	in := func(f Fate, sends ...string) *Message { return &Message{Direction: DirectionIn, Fate: f, Sends: sends} }
	sends := func(statuses ...messaging.Status) (all []Message) {
		for _, s := range statuses {
			all = append(all, Message{Status: s})
		}
		return all
	}
	for want, lives := range map[string][]Life{
		OutcomeWaiting:       {{Inbound: in(FateRetry)}, {Inbound: in(FateDone, "a", "b"), Sends: sends("failed", "queued")}, {Inbound: in(FateDone, "a"), Sends: sends("sending")}},
		OutcomeDead:          {{Inbound: in(FateDead)}},
		OutcomeDropped:       {{Inbound: in(FateDropped)}},
		OutcomeNothingWanted: {{Inbound: in(FateDone)}},
		OutcomeForgotten:     {{Inbound: in(FateDone, "a")}},
		OutcomeAnswered: {
			{Inbound: in(FateDone, "a", "b"), Sends: sends("suppressed", "undelivered")},
			{Inbound: in(FateDone, "a"), Sends: sends("unknown")},
			{Inbound: in(FateDone, "a"), Sends: []Message{{Status: "failed", MessageID: "SM1"}}},
		},
		OutcomeInDoubt:    {{Inbound: in(FateDone, "a", "b"), Sends: sends("in_doubt", "queued")}},
		OutcomeExpired:    {{Inbound: in(FateDone, "a"), Sends: sends("expired")}},
		OutcomeSuppressed: {{Inbound: in(FateDone, "a"), Sends: sends("suppressed")}, {Inbound: in(FateDone, "a"), Sends: sends("cancelled")}},
		OutcomeFailed:     {{Inbound: in(FateDone, "a"), Sends: sends("failed")}},
		"delivered":       {{Sends: sends("delivered")}},
	} {
		for i := range lives {
			if got := outcome(&lives[i]); got != want {
				t.Errorf("%+v: got %s, want %s", lives[i], got, want)
			}
		}
	}
}

func TestOperatorsWord(t *testing.T) {
	t.Parallel()
	d := newDesk(t, memory.New(memory.Config{}))
	letter := d.receive(start, "support", "one", dead("broken"))
	doubt := d.doubtful(start)
	waits := d.send(start, "support", "later", messaging.StatusQueued)
	for _, tc := range []struct{ path, body, told, result string }{
		{"/v1/deadletters/" + letter.ID + "/replay", "", "replay " + letter.ID, "replayed"},
		{"/v1/deadletters/" + letter.ID + "/drop", "", "drop " + letter.ID, "dropped"},
		{"/v1/doubts/" + doubt.ID.String() + "/resolve", `{"as":"accepted"}`, "resolve " + doubt.ID.String() + " as accepted", "accepted"},
		{"/v1/doubts/" + doubt.Attempt.Tag() + "/resolve", `{"as":"resend"}`, "resolve " + doubt.ID.String() + " as resend", "resend"},
		{"/v1/doubts/" + doubt.Attempt.ID.String() + "/resolve", `{"as":"failed"}`, "resolve " + doubt.ID.String() + " as failed", "failed"},
		{"/v1/sends/" + waits.ID.String() + "/cancel", "", "cancel " + waits.ID.String(), "cancelled"},
	} {
		d.engine.told = nil
		w := d.ask("POST", tc.path, tc.body)
		var got Done
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK || got.Result != tc.result || !strings.Contains(tc.told, got.ID) {
			t.Errorf("%s: %d %s", tc.path, w.Code, w.Body)
		}
		if !slices.Equal(d.engine.told, []string{tc.told}) {
			t.Errorf("%s: the engine was told %q, want %q", tc.path, d.engine.told, tc.told)
		}
	}

	d.engine.told = nil
	answered := d.receive(start, "support", "two", done(""))
	d.refused("POST", "/v1/deadletters/"+answered.ID+"/replay", "", Unknown)
	d.refused("POST", "/v1/deadletters/"+answered.ID+"/drop", "", Unknown)
	d.refused("POST", "/v1/deadletters/nothing/drop", "", Unknown)
	d.refused("POST", "/v1/sends/nothing/cancel", "", Unknown)
	d.refused("POST", "/v1/sends/"+answered.ID+"/cancel", "", Unknown)
	for _, body := range []string{"", "{}", `{"as":"maybe"}`, `{"as":"failed","really":true}`, `{"as":"failed"} {}`, `["failed"]`} {
		d.refused("POST", "/v1/doubts/"+doubt.ID.String()+"/resolve", body, BadRequest)
	}
	if len(d.engine.told) != 0 {
		t.Errorf("the engine was told %q by requests that were refused", d.engine.told)
	}

	for err, kind := range map[error]Kind{
		messaging.ErrUnknown: Unknown, messaging.ErrTooLate: TooLate, messaging.ErrNotHere: Elsewhere,
		fmt.Errorf("commit: %w", messaging.ErrUnavailable): Unavailable, messaging.ErrFull: Unavailable,
		context.DeadlineExceeded: Unavailable, errors.New("boom"): Failed,
	} {
		d.engine.err = map[string]error{"": err}
		d.refused("POST", "/v1/sends/"+waits.ID.String()+"/cancel", "", kind)
	}
}

// An engine that does not answer, or a journal that cannot be written, does not hold a
// client for ever.
func TestPatienceEnds(t *testing.T) {
	t.Parallel()
	a := New(Config{Store: memory.New(memory.Config{}), Engine: &operator{}})
	a.patience = 0
	err := a.tell(t.Context(), func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	if p := a.problem(err); !p.Of(Unavailable) {
		t.Errorf("got %+v", p)
	}
}

func TestDrainingLooksAndDoesNotTouch(t *testing.T) {
	t.Parallel()
	d := newDesk(t, memory.New(memory.Config{}))
	letter := d.receive(start, "support", "one", dead("broken"))
	d.drains = true
	for _, path := range []string{
		"/v1/deadletters/" + letter.ID + "/replay", "/v1/deadletters/" + letter.ID + "/drop", "/v1/deadletters/replay",
		"/v1/doubts/x/resolve", "/v1/sends/x/cancel", "/v1/consent", "/v1/consent/forget", "/v1/backup",
	} {
		d.refused("POST", path, "{}", Draining)
	}
	get[Life](d, "/v1/deadletters/"+letter.ID)
	if len(d.engine.told) != 0 {
		t.Errorf("the engine was told %q", d.engine.told)
	}
	// It may begin to drain in the middle of a change.
	d.drains = false
	d.engine.err = map[string]error{"": errors.New("not taken")}
	a := &API{cfg: Config{Draining: func() bool { return true }}}
	if p := a.problem(errors.New("not taken")); !p.Of(Draining) {
		t.Errorf("got %+v", p)
	}
}

// last reads the last line of an answer of lines.
func last(t *testing.T, w *httptest.ResponseRecorder) (p Progress) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(w.Body.String()), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &p); err != nil || w.Header().Get("Content-Type") != "application/x-ndjson" {
		t.Fatalf("%s: %v", w.Body, err)
	}
	return p
}

// TestReplayOfAContext runs the dead letters of one context, oldest first, without those
// that have no text any more.
func TestReplayOfAContext(t *testing.T) {
	t.Parallel()
	d := newDesk(t, memory.New(memory.Config{}))
	gone := d.receive(start, "support", "forgotten", dead("broken"))
	if _, _, err := d.store.(messaging.Archive).Forget(t.Context(), person); err != nil {
		t.Fatal(err)
	}
	d.refused("POST", "/v1/deadletters/"+gone.ID+"/replay", "", TooLate)
	var want []string
	for i := range 5 {
		ev := d.receive(start.Add(time.Duration(i)*time.Second), "support", fmt.Sprint(i), dead("broken"))
		want = append(want, "replay "+ev.ID)
		d.receive(start, "sales", "other", dead("broken"))
	}
	w := d.ask("POST", "/v1/deadletters/replay", `{"context":"support"}`)
	if diff := gocmp.Diff(Progress{Done: 5, Total: 6, Result: "replayed", Skipped: []string{gone.ID}}, last(t, w)); diff != "" {
		t.Errorf("the last line (-want +got):\n%s", diff)
	}
	if diff := gocmp.Diff(want, d.engine.told); diff != "" {
		t.Errorf("the engine was told (-want +got):\n%s", diff)
	}
	// One that somebody else took is skipped; what would fail all of them ends it.
	d.engine.told, d.engine.err = nil, map[string]error{want[1]: messaging.ErrUnknown, want[3]: messaging.ErrUnavailable}
	p := last(t, d.ask("POST", "/v1/deadletters/replay", `{"context":"support"}`))
	if p.Done != 2 || len(p.Skipped) != 2 || p.Problem == nil || !p.Problem.Of(Unavailable) || p.Result != "" || len(d.engine.told) != 4 {
		t.Errorf("the last line is %+v after %q", p, d.engine.told)
	}
	for _, body := range []string{"", "{}", `{"context":""}`, `{"contexts":"support"}`} {
		d.refused("POST", "/v1/deadletters/replay", body, BadRequest)
	}
}

func TestForgetting(t *testing.T) {
	t.Parallel()
	d := newDesk(t, memory.New(memory.Config{}))
	d.receive(start, "support", "secret", done(""))
	d.send(start, "support", "waits", messaging.StatusQueued)
	for _, body := range []string{"", "{}", `{"number":"2025550147"}`, `{"number":"+1202"}`, `{"nubmer":"+12025550147"}`} {
		p := d.refused("POST", "/v1/consent/forget", body, BadRequest)
		if strings.Contains(p.Error(), "2025550147") {
			t.Errorf("%s: the problem repeats the number: %s", body, p.Error())
		}
	}
	w := d.ask("POST", "/v1/consent/forget", `{"number":"+1 (202) 555-0147"}`)
	var got Forgot
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got != (Forgot{string(person), 1, 1}) {
		t.Errorf("got %s", w.Body)
	}
	in := get[Page](d, "/v1/messages?direction=in").Messages[0]
	if in.Body != "" || !in.Forgotten || in.From != string(person) {
		t.Errorf("left is %+v", in)
	}
}

// keeping is a store that can be backed up, as told.
type keeping struct {
	messaging.Store
	backup func(path string, progress func(done, total int64)) error
}

func (k keeping) Backup(_ context.Context, path string, progress func(done, total int64)) error {
	return k.backup(path, progress)
}

func TestBackups(t *testing.T) {
	t.Parallel()
	new := t.TempDir() + "/new.db"
	var asked []string
	d := newDesk(t, keeping{memory.New(memory.Config{}), func(path string, progress func(done, total int64)) error {
		asked = append(asked, path)
		progress(1, 3)
		progress(3, 3)
		return nil
	}})
	p := last(t, d.ask("POST", "/v1/backup", `{"path":"`+new+`"}`))
	if diff := gocmp.Diff(Progress{Done: 3, Total: 3, Result: new}, p); diff != "" || !slices.Equal(asked, []string{new}) {
		t.Errorf("asked %q; the last line (-want +got):\n%s", asked, diff)
	}
	asked = nil
	for _, body := range []string{"", "{}", `{"path":"new.db"}`, `{"path":"./new.db"}`, `{"path":""}`} {
		d.refused("POST", "/v1/backup", body, BadRequest)
	}
	d.refused("POST", "/v1/backup", `{"path":"`+t.TempDir()+`"}`, Exists)
	if len(asked) != 0 {
		t.Errorf("the store was asked for %q by requests that were refused", asked)
	}
	// What goes wrong before there was any progress is a problem like any other; later it is
	// the last line.
	early := newDesk(t, keeping{memory.New(memory.Config{}), func(string, func(done, total int64)) error {
		return fmt.Errorf("back up: %w", os.ErrPermission)
	}})
	if p := early.refused("POST", "/v1/backup", `{"path":"`+new+`"}`, Failed); !strings.Contains(p.Mend, "directory") {
		t.Errorf("%q does not say what to do", p.Error())
	}
	late := newDesk(t, keeping{memory.New(memory.Config{}), func(_ string, progress func(done, total int64)) error {
		progress(1, 3)
		return errors.New("disk full")
	}})
	if p := last(t, late.ask("POST", "/v1/backup", `{"path":"`+new+`"}`)); p.Problem == nil || p.Problem.Detail != "disk full" || p.Result != "" {
		t.Errorf("the last line is %+v", p)
	}
	newDesk(t, memory.New(memory.Config{})).refused("POST", "/v1/backup", `{"path":"`+new+`"}`, Unsupported)
}

// bare is a store that answers no questions.
type bare struct{ s messaging.Store }

func (b bare) Commit(ctx context.Context, x *messaging.Batch) error { return b.s.Commit(ctx, x) }
func (b bare) Load(ctx context.Context, q messaging.Query) (*messaging.Work, error) {
	return b.s.Load(ctx, q)
}
func (b bare) Prune(ctx context.Context, t time.Time) (int64, error) { return b.s.Prune(ctx, t) }
func (b bare) Traits() messaging.Traits                              { return b.s.Traits() }
func (b bare) Close() error                                          { return b.s.Close() }

func TestStoreThatAnswersNoQuestions(t *testing.T) {
	t.Parallel()
	d := newDesk(t, bare{memory.New(memory.Config{})})
	for _, path := range []string{"/v1/messages", "/v1/messages/x", "/v1/deadletters", "/v1/deadletters/x", "/v1/doubts", "/v1/consent", "/v1/consent/+12025550147", "/v1/consent/reviews", "/v1/consent/verify"} {
		if p := d.refused("GET", path, "", Unsupported); !strings.Contains(p.Error(), "sqlite") {
			t.Errorf("%s: %q does not say which store can", path, p.Error())
		}
	}
	d.refused("POST", "/v1/consent/forget", `{"number":"+12025550147"}`, Unsupported)
	d.refused("POST", "/v1/deadletters/replay", `{"context":"x"}`, Unsupported)
}

func TestNumbers(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]messaging.Number{
		"+12025550147": "+12025550147", "+1 202 555 0147": "+12025550147", "+1 (202) 555-0147": "+12025550147", " +44 20.7946.0000 ": "+442079460000",
		"12345": "12345", "2025550147": "", "0049 30 123456": "", "+1": "", "+0123456789": "", "+1202555O147": "", "": "", "+12025550147+1": "",
	} {
		if got, err := ParseNumber(text); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v, want %q", text, got, err, want)
		}
	}
}

// TestDocumented holds API.md against the members, the problems and the parameters.
func TestDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("API.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(text)
	for _, v := range []any{
		Message{},
		Attempt{},
		State{},
		Doubt{},
		Life{},
		Page{},
		Done{},
		Forgot{},
		Progress{},
		Problem{},
		Standing{},
		Standings{},
		ConsentLine{},
		ConsentOf{},
		Reviews{},
		ReviewItem{},
		Change{},
		Changed{},
		ChangesDone{},
		LedgerWhole{},
		PlatformSend{},
		PlatformMessage{},
		PlatformErrors{},
		PlatformError{},
		PlatformEntry{},
		PlatformLog{},
		PlatformLinks{},
		Callback{},
		NewSend{},
		Conversation{},
		Conversations{},
		Talk{},
		PauseUntil{},
		Served{},
		ServedList{},
		VerifyStart{},
		VerifyStarted{},
		VerifyCheck{},
		VerifyChecked{},
		NewJob{},
		Job{},
		JobList{},
		JobReport{},
		Rows{},
		Row{},
		RowsDone{},
		RowResult{},
		RowPage{},
	} {
		typ := reflect.TypeOf(v)
		for i := range typ.NumField() {
			name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			if name == "" { // its own members are here too
				continue
			}
			if !strings.Contains(doc, "`"+name+"`") {
				t.Errorf("%s.%s: the member %s is not in API.md", typ.Name(), typ.Field(i).Name, name)
			}
		}
	}
	for _, p := range parameters {
		if !strings.Contains(doc, "`"+p+"`") {
			t.Errorf("the parameter %s is not in API.md", p)
		}
	}
	for _, k := range Kinds() {
		if !strings.Contains(doc, fmt.Sprintf("<a id=%q></a>`%s` | %d", k.name, k.name, k.status)) {
			t.Errorf("the problem %s with status %d is not in API.md", k.name, k.status)
		}
	}
	for _, s := range statuses {
		if !strings.Contains(doc, "`"+string(s)+"`") {
			t.Errorf("the status %s is not in API.md", s)
		}
	}
}
