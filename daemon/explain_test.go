package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signpost-sms/signpost/contexts"
	"github.com/signpost-sms/signpost/daemon/api"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/sqlite"
	"github.com/signpost-sms/signpost/relay/relaytest"
)

// onSQLite makes a daemon journal into a file.
func onSQLite(t *testing.T) Option {
	t.Helper()
	store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "signpost.db"), sqlite.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return withStore(store)
}

// question asks the daemon's API and decodes the answer.
func question[T any](t *testing.T, h http.Handler, path string) (v T) {
	t.Helper()
	w := ask(h, "GET", path)
	if w.Code != http.StatusOK {
		t.Fatalf("GET %s: %d %s", path, w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

var uuidText = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}`)

// explained is what "explain last" says of the newest inbound, with ids replaced.
func explained(t *testing.T, r *running) string {
	t.Helper()
	p := question[api.Page](t, r.http, "/v1/messages?direction=in&limit=1")
	l := question[api.Life](t, r.http, "/v1/messages/"+url.PathEscape(p.Messages[0].ID))
	text := explain(&l, time.Now(), time.UTC)
	for _, line := range strings.Split(text, "\n") {
		if len(line) > 120 {
			t.Errorf("a line of %d characters: %s", len(line), line)
		}
	}
	return uuidText.ReplaceAllString(text, "ID")
}

// moody is a handler that does what it is told.
func moody(_ context.Context, w messaging.Responder, ev *messaging.Event) error {
	switch ev.Body {
	case "quiet":
		return nil
	case "drop":
		return messaging.Drop(errors.New("no such order"))
	case "later":
		return messaging.RetryAfter(time.Minute, errors.New("the shop is closed"))
	}
	w.Reply("You said: " + ev.Body)
	return nil
}

// TestExplain reads the lives of messages as an operator does, on a real journal.
func TestExplain(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		body  string
		sends []relaytest.Outcome
		wait  time.Duration
		want  string
	}{
		"answered and delivered": {"hello", nil, time.Second, `
answered; the reply is delivered, 0s after it was decided
  Times are of Sat 1 Jan 2000, UTC.

in   +12025550147 to +12025550100, context support
     id ID
     "hello"
  00:00:00.000  received, 0s after the platform's timestamp
  00:00:00.000  journaled, and acknowledged after the commit
  00:00:00.000  decided by daemon.moody: 1 text to send

out  +12025550100 to +12025550147, context support, reply: delivered
     id ID
     "You said: hello"
  00:00:00.000  decided to send
  00:00:00.000  attempt 1: accepted as ID
  00:00:00.000  queued (+0s)
  00:00:00.000  initiated (+0s)
  00:00:00.000  sent (+0s)
  00:00:00.000  delivered (+0s)
`},
		"undelivered": {"hello", []relaytest.Outcome{relaytest.Undeliver("carrier_blocked")}, time.Second, `
answered, but the person did not get it: undelivered: the carrier gave it back
  Reason: carrier_blocked
`},
		"refused": {"hello", []relaytest.Outcome{relaytest.Reject("422", "no such number")}, time.Second, `
no reply: refused by the platform
  The platform said: no such number (code 422)
`},
		"nothing wanted": {"quiet", nil, time.Second, `
no reply: daemon.moody decided that nothing is to be sent
  Times are of Sat 1 Jan 2000, UTC.

in   +12025550147 to +12025550100, context support
     id ID
     "quiet"
  00:00:00.000  received, 0s after the platform's timestamp
  00:00:00.000  journaled, and acknowledged after the commit
  00:00:00.000  decided by daemon.moody: nothing to send
`},
		"dead letter": {"drop", nil, time.Second, `
no reply: a dead letter since 00:00:00, 1s ago
  The chain of support failed for good in its first run: drop: no such order
  Run it again, once the cause is mended:  signpost deadletters replay ID
  Or let it go:                            signpost deadletters drop ID
  Times are of Sat 1 Jan 2000, UTC.

in   +12025550147 to +12025550100, context support
     id ID
     "drop"
  00:00:00.000  received, 0s after the platform's timestamp
  00:00:00.000  journaled, and acknowledged after the commit
  00:00:00.000  dead letter
`},
		"in doubt": {"hello", []relaytest.Outcome{relaytest.Unanswered(false)}, 15 * time.Second, `
no reply: in doubt since 00:00:10, 5s ago: it may or may not have left
  Reason: no answer in time
  A delivery state that names it ends the doubt at once.
  There is no message log to ask, since signalwire.space is not set.
  Otherwise it is held and never sent again by itself; the conversation goes on at 00:10:10, in 9m55s.
  You know what became of it?  signpost doubts resolve ID --as accepted|resend|failed
  Times are of Sat 1 Jan 2000, UTC.

in   +12025550147 to +12025550100, context support
     id ID
     "hello"
  00:00:00.000  received, 0s after the platform's timestamp
  00:00:00.000  journaled, and acknowledged after the commit
  00:00:00.000  decided by daemon.moody: 1 text to send

out  +12025550100 to +12025550147, context support, reply: in_doubt
     id ID
     "You said: hello"
  00:00:00.000  decided to send
  00:00:00.000  attempt 1: in doubt: no answer in time
`},
		"retry waiting": {"later", nil, time.Second, `
no reply yet: the handler failed and runs again at 00:01:00, in 59s
  Failed: the shop is closed
  Times are of Sat 1 Jan 2000, UTC.

in   +12025550147 to +12025550100, context support
     id ID
     "later"
  00:00:00.000  received, 0s after the platform's timestamp
  00:00:00.000  journaled, and acknowledged after the commit
  00:01:00.000  runs again
`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				space := newSpace(t)
				r := startDaemon(t, space, func(r *contexts.Router) {
					r.Context("support", func(r *contexts.Router) { r.OnMessage(messaging.HandlerFunc(moody)) })
				}, onSQLite(t))
				r.waitReady()
				if tc.sends != nil {
					space.NextSends(tc.sends...)
				}
				r.text("support", tc.body)
				time.Sleep(tc.wait)
				synctest.Wait()
				got := explained(t, r)
				if want := strings.TrimPrefix(tc.want, "\n"); strings.HasSuffix(want, "UTC.\n") || strings.Contains(want, "\n\n") {
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("(-want +got):\n%s", diff)
					}
				} else if !strings.HasPrefix(got, want) {
					t.Errorf("got:\n%s\nwant it to begin with:\n%s", got, want)
				}
				r.stop()
				<-r.ended
			})
		})
	}
}

// TestVerdicts reads what the simulator cannot bring about, or not soon.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 3, 0, 0, 0, time.UTC)
	send := func(edit func(*api.Message)) *api.Life {
		s := api.Message{ID: "S1", Direction: api.DirectionOut, At: now.Add(-time.Hour), InReplyTo: "m1", Category: "reply"}
		edit(&s)
		l := &api.Life{Inbound: &api.Message{ID: "m1", Direction: api.DirectionIn, At: now.Add(-time.Hour), Context: "support", Fate: api.FateDone, Sends: []string{"S1"}}}
		l.Sends = []api.Message{s}
		l.Outcome = api.OutcomeOf(l.Sends)
		return l
	}
	reminder := api.Message{
		ID: "S0", Direction: api.DirectionOut, At: now, InReplyTo: "m1", Category: "notification",
		Status: messaging.StatusQueued, Reason: "not_before", NotBefore: now.Add(5 * time.Hour),
	}
	reminded := func(reply messaging.Status) *api.Life {
		l := send(func(s *api.Message) { s.Status, s.Reason = reply, "loop: loop.turnaround" })
		l.Sends = []api.Message{reminder, l.Sends[0]}
		l.Outcome = api.OutcomeOf(l.Sends)
		return l
	}
	refusedOnce := []api.Attempt{{Number: 1, Outcome: messaging.OutcomeRejected, Code: "429", Reason: "slow down"}}
	for name, tc := range map[string]struct {
		life *api.Life
		want []string
	}{
		"suppressed": {send(func(s *api.Message) { s.Status, s.Reason = messaging.StatusSuppressed, "opted_out" }), []string{
			"no reply: suppressed: the person opted out\n", "signpost consent show",
		}},
		"suppressed by an unknown rule": {send(func(s *api.Message) { s.Status, s.Reason = messaging.StatusSuppressed, "house_rule" }), []string{
			"no reply: suppressed by rule house_rule\n",
		}},
		"expired": {send(func(s *api.Message) {
			s.Status, s.Reason, s.ExpiresAt = messaging.StatusExpired, "expired", now.Add(-time.Minute)
		}), []string{"no reply: expired before it could leave: it was worth sending until 02:59:00\n"}},
		"expired in quiet hours": {send(func(s *api.Message) { s.Status, s.Reason = messaging.StatusExpired, "quiet_hours" }), []string{
			"no reply: expired before it could leave\n", "quiet_hours: it is night",
		}},
		"cancelled": {send(func(s *api.Message) { s.Status, s.Reason = messaging.StatusCancelled, "operator" }), []string{
			"no reply: taken back by an operator before it left\n",
		}},
		"waiting for quiet hours": {send(func(s *api.Message) {
			s.Status, s.Reason, s.NotBefore = messaging.StatusQueued, "quiet_hours", now.Add(5*time.Hour)
		}), []string{"no reply: kept back by rule quiet_hours; it leaves at 08:00:00, in 5h\n", "it is night"}},
		"suppressed by a row of the sheet": {send(func(s *api.Message) { s.Status, s.Reason = messaging.StatusSuppressed, "geography: geography.own" }), []string{
			"no reply: suppressed by rule geography.own\n", "geography: the number is in a country that was not allowed", "signpost rules geography.own\n",
		}},
		"refused for now": {send(func(s *api.Message) {
			s.Status, s.NotBefore, s.Attempts = messaging.StatusQueued, now.Add(4*time.Second), refusedOnce
		}), []string{"no reply: refused for now; it leaves at 03:00:04, in 4s\n", "The platform said: slow down (code 429)"}},
		"to be delivered again": {send(func(s *api.Message) {
			s.Status, s.NotBefore = messaging.StatusQueued, now.Add(time.Minute)
			s.Attempts = []api.Attempt{{Number: 1, Outcome: messaging.OutcomeAccepted, States: []api.State{{State: "undelivered", Reason: "handset unreachable"}}}}
		}), []string{"not delivered, for a reason that may pass; it leaves at 03:01:00, in 1m\n", "Reason: handset unreachable"}},
		"no session": {send(func(s *api.Message) { s.Status = messaging.StatusQueued }), []string{"as soon as it is its turn", "signpost health"}},
		"sending":    {send(func(s *api.Message) { s.Status = messaging.StatusSending }), []string{"has not answered yet"}},
		"accepted":   {send(func(s *api.Message) { s.Status = messaging.StatusAccepted }), []string{"answered; the reply is taken by the platform"}},
		"sent":       {send(func(s *api.Message) { s.Status = messaging.StatusSent }), []string{"answered; the reply is with the carrier"}},
		"unknown":    {send(func(s *api.Message) { s.Status = messaging.StatusUnknown }), []string{"nothing final within 3d"}},
		"doubt, the log being asked": {send(func(s *api.Message) {
			s.Status = messaging.StatusInDoubt
			s.Doubt = &api.Doubt{Since: now.Add(-2 * time.Minute), AskLogAt: now.Add(-time.Minute), SettleAt: now.Add(3 * time.Minute), Then: "resend"}
		}), []string{"in doubt since 02:58:00, 2m ago", "is being asked; its silence counts from 03:03:00, in 3m", "sent again at 03:03:00, in 3m", "may arrive twice"}},
		"doubt, held": {send(func(s *api.Message) {
			s.Status = messaging.StatusInDoubt
			s.Doubt = &api.Doubt{Since: now.Add(-20 * time.Minute), AskLogAt: now.Add(-19 * time.Minute), SettleAt: now.Add(-15 * time.Minute), Then: "hold", ReleaseAt: now.Add(-10 * time.Minute)}
		}), []string{"did not settle it", "never sent again by itself; the conversation went on at 02:50:00, 10m ago", "signpost doubts resolve S1 --as"}},
		"failed twice": {&api.Life{Outcome: api.OutcomeWaiting, Inbound: &api.Message{
			ID: "m1", At: now, Fate: api.FateRetry, Runs: 2, Error: "connection refused", RetryAt: now.Add(3 * time.Second),
		}}, []string{"runs again at 03:00:03, in 3s", "Failed after 2 runs: connection refused"}},
		"its turn": {&api.Life{Outcome: api.OutcomeWaiting, Inbound: &api.Message{ID: "m1", At: now, Fate: api.FateRetry, From: person}}, []string{
			"its handler is running, or waits for its turn", "signpost messages --number " + person,
		}},
		"no handler":      {&api.Life{Outcome: api.OutcomeNothingWanted, Inbound: &api.Message{ID: "m1", At: now, Fate: api.FateDone, Context: "sales"}}, []string{"no handler of sales decided to answer this"}},
		"dropped":         {&api.Life{Outcome: api.OutcomeDropped, Inbound: &api.Message{ID: "m1", At: now, FinishedAt: now, Fate: api.FateDropped}}, []string{"an operator let it go at 03:00:00"}},
		"forgotten":       {&api.Life{Outcome: api.OutcomeForgotten, Inbound: &api.Message{ID: "m1", At: now, Fate: api.FateDone, Forgotten: true, Sends: []string{"x"}}}, []string{"not in the journal any more", "(its text was removed)"}},
		"dead, forgotten": {&api.Life{Outcome: api.OutcomeDead, Inbound: &api.Message{ID: "m1", At: now, Fate: api.FateDead, Forgotten: true}}, []string{"cannot be replayed", "deadletters drop m1"}},
		"a reminder waits, the reply did not leave": {reminded(messaging.StatusSuppressed), []string{"no reply: suppressed by rule loop.turnaround\n", "     scheduled; it leaves at 08:00:00, in 5h\n"}},
		"a reminder waits, the reply was taken":     {reminded(messaging.StatusAccepted), []string{"answered; the reply is taken by the platform"}},
		"a reminder":                                {send(func(s *api.Message) { *s = reminder }), []string{"scheduled; it leaves at 08:00:00, in 5h\n  Times"}},
		"a send of its own":                         {&api.Life{Outcome: "delivered", Sends: []api.Message{{ID: "S1", At: now, Direction: "out", Status: "delivered", Category: "notification"}}}, []string{"delivered\n", "notification: delivered"}},
		"a lost state": {&api.Life{Outcome: api.OutcomeNothingWanted, Inbound: &api.Message{ID: "SM1/sent", At: now, Direction: api.DirectionState, State: "sent", Fate: api.FateDone}}, []string{
			"a delivery state, sent, of a message that is not in the journal",
		}},
	} {
		got := explain(tc.life, now, time.UTC)
		for _, want := range tc.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: lacks %q:\n%s", name, want, got)
			}
		}
		if strings.Contains(got, "%!") {
			t.Errorf("%s: a broken line:\n%s", name, got)
		}
	}
}

// What people text cannot act on the operator's terminal.
func TestOutputIsPlain(t *testing.T) {
	t.Parallel()
	nasty := "\x1b]0;owned\x07\u202etxt\r\nGET"
	m := api.Message{ID: "m1\x1b[2J", Direction: api.DirectionIn, From: person, Context: nasty, Body: nasty, Fate: api.FateDead, Error: nasty, Handler: nasty, Media: []string{nasty}}
	table := &messageTable{c: &cli{}, loc: time.UTC, width: 100}
	for _, got := range []string{explain(&api.Life{Outcome: api.OutcomeDead, Inbound: &m}, time.Now(), time.UTC), table.row(&m)} {
		if i := strings.IndexAny(got, "\x1b\x07\r\u202e"); i >= 0 {
			t.Errorf("holds %q:\n%q", got[i], got)
		}
	}
	if got := table.row(&m); strings.Contains(got, "\n") {
		t.Errorf("a row of several lines: %q", got)
	}
}

func TestRowsFitTheirWidth(t *testing.T) {
	t.Parallel()
	m := api.Message{
		ID: "643cff28-36d1-48e8-95f7-619aaa157a1f", Direction: api.DirectionOut, At: time.Date(2026, 11, 24, 3, 4, 5, 0, time.UTC), To: "+442079460000",
		Context: "a-very-long-context", Status: messaging.StatusUndelivered, Body: "naïve café, 日本, and a long rest of the text that goes on and on",
	}
	for width, want := range map[int]string{
		100: "03:04:05 > +442079460000 a-very-lo… undelivered naïve café, 日… 643cff28-36d1-48e8-95f7-619aaa157a1f",
		120: "03:04:05 > +442079460000 a-very-lo… undelivered naïve café, 日本, and a long rest … 643cff28-36d1-48e8-95f7-619aaa157a1f",
	} {
		if got := (&messageTable{loc: time.UTC, width: width}).row(&m); got != want {
			t.Errorf("width %d:\n got %s\nwant %s", width, got, want)
		}
	}
}

func TestParseWhen(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	east := time.FixedZone("", 3600)
	for text, want := range map[string]string{
		"2h": "2026-11-24T10:00:00Z", "3d": "2026-11-21T12:00:00Z", "2026-11-24": "2026-11-23T23:00:00Z", "2026-11-24 03:04": "2026-11-24T02:04:00Z",
		"2026-11-24T03:04:05": "2026-11-24T02:04:05Z", "2026-11-24T03:04:05Z": "2026-11-24T03:04:05Z", "yesterday": "", "-2h": "", "": "",
	} {
		got, err := parseWhen(text, now, east)
		if (err == nil) != (want != "") || err == nil && got.UTC().Format(time.RFC3339) != want {
			t.Errorf("%q: got %v, %v, want %s", text, got, err, want)
		}
	}
}

func TestSpans(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "0s", 94*time.Millisecond + 3: "94ms", 1234 * time.Millisecond: "1.2s", 90 * time.Second: "1m30s", 2 * time.Minute: "2m",
		61 * time.Minute: "1h1m", 5 * time.Hour: "5h", 3 * day: "3d", 3*day + 4*time.Hour: "3d4h", -time.Minute: "-1m",
	} {
		if got := span(d); got != want {
			t.Errorf("%d: got %s, want %s", d, got, want)
		}
	}
}
