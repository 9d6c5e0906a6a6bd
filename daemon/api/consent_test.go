package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/memory"
	"github.com/signpost-sms/signpost/messaging/messagingtest"
)

// said journals what a person says about consent, with the change that it means.
func (d *desk) said(body string, verb messaging.ConsentVerb, from messaging.Number) *messaging.Event {
	d.t.Helper()
	ev := messagingtest.NewMessage("support", from, ours, body)
	ev.ReceivedAt = start
	d.commit(&messaging.Batch{Appends: []*messaging.Append{{Event: ev, Outcome: done("consent"), Consents: []*messaging.ConsentChange{{
		Number: from, Verb: verb, Origin: messaging.OriginMessage, EventID: ev.ID, Ours: ours, Context: "support",
		ReceivedAt: start, Tier: "exact", Word: "stop", Rule: "fcc",
	}}}}})
	return ev
}

// post makes a request that changes consent, and decodes the answer.
func (d *desk) post(path, body string) (got ChangesDone) {
	d.t.Helper()
	w := d.ask("POST", path, body)
	if w.Code != http.StatusOK {
		d.t.Fatalf("POST %s %s: %d %s", path, body, w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		d.t.Fatal(err)
	}
	return got
}

func numbered(i int) messaging.Number { return messaging.Number(fmt.Sprintf("+120255501%02d", i)) }

// TestConsentPages finds everything once, whatever the size of the pages and the filter.
func TestConsentPages(t *testing.T) {
	t.Parallel()
	d := newDesk(t, memory.New(memory.Config{}))
	var all, out, review []string
	for i := range 30 {
		n := numbered(i)
		verb := []messaging.ConsentVerb{messaging.ConsentStop, messaging.ConsentReview, messaging.ConsentStart}[i%3]
		d.said("STOP", verb, n)
		all = append(all, string(n))
		switch verb {
		case messaging.ConsentStop:
			out = append(out, string(n))
		case messaging.ConsentReview:
			review = append(review, string(n))
		}
	}
	for filter, want := range map[string][]string{"": all, "opted_out=true": out, "review=1": review, "opted_out=false": all} {
		for _, limit := range []int{1, 3, 10, 29, 30, 1000} {
			var got []string
			for after := ""; ; {
				q := fmt.Sprintf("/v1/consent?%s&limit=%d", filter, limit)
				if after != "" {
					q += "&after=" + after
				}
				p := get[Standings](d, q)
				for _, s := range p.States {
					got = append(got, s.Number)
				}
				if after = p.Cursor; !p.More {
					break
				}
				if len(p.States) != limit {
					t.Fatalf("%s: a page of %d with more behind it", q, len(p.States))
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%q by %d (-want +got):\n%s", filter, limit, diff)
			}
		}
	}
	if p := get[Standings](d, "/v1/consent?opted_out=true&review=true&limit=1000"); len(p.States) != 20 {
		t.Errorf("both filters: %d states", len(p.States))
	}
	for _, q := range []string{"limit=0", "limit=1001", "after=-1", "after=x", "optedout=true", "opted_out=perhaps", "limit=1&limit=2"} {
		d.refused("GET", "/v1/consent?"+q, "", BadRequest)
	}
	d.refused("GET", "/v1/consent/reviews?review=true", "", BadRequest)
}

// TestConsentOfANumber shows where it stands and every line, in words of the API.
func TestConsentOfANumber(t *testing.T) {
	t.Parallel()
	d := newDesk(t, memory.New(memory.Config{}))
	ev := d.said("STOP", messaging.ConsentStop, person)
	d.said("STOP", messaging.ConsentStop, numbered(1))
	got := get[ConsentOf](d, "/v1/consent/"+string(person))
	if len(got.States) != 1 || !got.States[0].OptedOut || got.States[0].Scope != "global" || !got.States[0].Since.Equal(start) || got.More {
		t.Errorf("got %+v", got)
	}
	want := ConsentLine{
		Seq: 1, At: start, Number: string(person), Scope: "global", Change: "stop", Origin: "message", Changed: true, EventID: ev.ID,
		Ours: string(ours), Context: "support", ReceivedAt: start, Tier: "exact", Word: "stop", Rule: "fcc", Hash: got.Entries[0].Hash,
	}
	if diff := cmp.Diff([]ConsentLine{want}, got.Entries); diff != "" || len(want.Hash) != 64 {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	d.said("STOP", messaging.ConsentStop, person)
	if got := get[ConsentOf](d, "/v1/consent/2025550147?limit=1"); !got.More || len(got.Entries) != 1 {
		t.Errorf("one line of two: %+v", got)
	}
	if got := get[ConsentOf](d, "/v1/consent/2025550147?after=1"); got.More || len(got.Entries) != 1 || got.Entries[0].Changed {
		t.Errorf("after the first: %+v", got)
	}
	if got := get[ConsentOf](d, "/v1/consent/+12025550199"); len(got.States)+len(got.Entries) != 0 || got.States == nil || got.Entries == nil {
		t.Errorf("of a stranger: %+v", got)
	}
	if p := d.refused("GET", "/v1/consent/55512345678901234", "", BadRequest); strings.Contains(p.Error(), "5551234") {
		t.Errorf("the problem repeats the number: %s", p.Error())
	}
}

// TestConsentChanges goes through the engine, and a keep or a start ends what holds a number
// back wherever that is.
func TestConsentChanges(t *testing.T) {
	t.Parallel()
	d := newDesk(t, memory.New(memory.Config{}))
	got := d.post("/v1/consent", `{"number":"(202) 555-0147","change":"stop","actor":"ann","note":"by telephone","said_at":"2026-11-23T10:00:00Z"}`)
	if got.Changed != 1 || got.Unchanged != 0 || len(got.Results) != 1 || !got.Results[0].OptedOut || !got.Results[0].Changed {
		t.Errorf("stop: %+v", got)
	}
	line := get[ConsentOf](d, "/v1/consent/"+string(person)).Entries[0]
	if line.Actor != "ann" || line.Note != "by telephone" || line.Origin != "operator" || !line.SentAt.Equal(start.Add(-17*time.Hour)) {
		t.Errorf("the line is %+v", line)
	}
	// Again by an operator it is one more piece of evidence; again by a list it is nothing.
	if got := d.post("/v1/consent", `{"number":"+12025550147","change":"stop","actor":"ann"}`); got.Unchanged != 1 || got.Results[0].Seq != 2 {
		t.Errorf("stop again: %+v", got)
	}
	told := len(d.engine.told)
	got = d.post("/v1/consent", `[{"number":"+12025550147","change":"stop","actor":"list","source":"import"},{"number":"+12025550148","change":"stop","actor":"list","source":"import","scope":"context:support"}]`)
	if got.Changed != 1 || got.Unchanged != 1 || len(d.engine.told) != told+1 {
		t.Errorf("a list: %+v after %q", got, d.engine.told)
	}
	got = d.post("/v1/consent?dry_run=true", `[{"number":"+12025550147","change":"start","actor":"ann"},{"number":"+12025550149","change":"start","actor":"ann"}]`)
	if got.Changed != 1 || got.Unchanged != 1 || len(d.engine.told) != told+1 {
		t.Errorf("dry: %+v after %q", got, d.engine.told)
	}
	d.post("/v1/consent", `{"number":"+12025550147","change":"stop","scope":"number:+12025550100","actor":"ann"}`)
	got = d.post("/v1/consent", `{"number":"+12025550147","change":"start","actor":"ann"}`)
	if got.Changed != 2 || len(got.Results) != 2 {
		t.Errorf("start everywhere: %+v", got)
	}
	if p := get[Standings](d, "/v1/consent?opted_out=true"); len(p.States) != 1 || p.States[0].Scope != "context:support" {
		t.Errorf("still out: %+v", p)
	}

	const good = `{"number":"+12025550150","change":"stop","actor":"ann"}`
	told = len(d.engine.told)
	for _, body := range []string{
		"", "{}", "[]", "[{}]", good + "x", `[` + good + `,{"number":"555","change":"stop","actor":"ann"}]`,
		`{"number":"+12025550150","change":"review","actor":"ann"}`, `{"number":"+12025550150","change":"stop"}`, `{"number":"+12025550150","change":"stop","actor":" "}`,
		`{"number":"+12025550150","change":"stop","actor":"ann","note":"a\nb"}`, `{"number":"+12025550150","change":"stop","actor":"ann","scope":"all"}`,
		`{"number":"+12025550150","change":"stop","actor":"ann","scope":"number:x"}`, `{"number":"+12025550150","change":"stop","actor":"ann","source":"message"}`,
		`{"number":"+12025550150","change":"stop","actor":"ann","because":"x"}`, `{"number":"+12025550150","change":"stop","actor":"` + strings.Repeat("a", 1001) + `"}`,
		`[` + strings.Repeat(good+",", 1000) + good + `]`,
	} {
		if p := d.refused("POST", "/v1/consent", body, BadRequest); strings.Contains(p.Error(), "2025550150") || p.Mend == "" {
			t.Errorf("%.100s: %s", body, p.Error())
		}
	}
	d.refused("POST", "/v1/consent?dryrun=true", good, BadRequest)
	d.engine.err = map[string]error{"": messaging.ErrUnavailable}
	d.refused("POST", "/v1/consent", good, Unavailable)
	if len(d.engine.told) != told+1 || len(get[ConsentOf](d, "/v1/consent/+12025550150").States) != 0 {
		t.Errorf("refused, and yet %q", d.engine.told[told:])
	}
}

// TestReviews shows the text that has to be read, until somebody has.
func TestReviews(t *testing.T) {
	t.Parallel()
	d := newDesk(t, memory.New(memory.Config{}))
	d.said("we have to stop this bill", messaging.ConsentReview, person)
	d.said("STOP", messaging.ConsentStop, numbered(1))
	p := get[Reviews](d, "/v1/consent/reviews")
	if len(p.Reviews) != 1 || p.Reviews[0].Message == nil || p.Reviews[0].Message.Body != "we have to stop this bill" || p.Reviews[0].Line.Word != "stop" || p.More {
		t.Fatalf("got %+v", p)
	}
	got := d.post("/v1/consent", `{"number":"+12025550147","change":"keep","actor":"ann"}`)
	if got.Changed != 1 || got.Results[0].Review || got.Results[0].OptedOut {
		t.Errorf("keep: %+v", got)
	}
	if p := get[Reviews](d, "/v1/consent/reviews"); len(p.Reviews) != 0 || p.Reviews == nil {
		t.Errorf("left: %+v", p)
	}
}

// altered is a store whose ledger somebody has written in.
type altered struct {
	*memory.Store

	line int
}

func (a altered) Entries(ctx context.Context, q messaging.LedgerQuery) ([]messaging.ConsentEntry, error) {
	entries, err := a.Store.Entries(ctx, q)
	for i := range entries {
		if int(entries[i].Seq) == a.line {
			entries[i].Number = "+12025550199"
		}
	}
	return entries, err
}

func TestVerifyConsent(t *testing.T) {
	t.Parallel()
	store := memory.New(memory.Config{})
	d := newDesk(t, store)
	if got := get[LedgerWhole](d, "/v1/consent/verify"); got != (LedgerWhole{OK: true}) {
		t.Errorf("of nothing: %+v", got)
	}
	for i := range 5 {
		d.said("STOP", messaging.ConsentStop, numbered(i))
	}
	last := get[ConsentOf](d, "/v1/consent/"+string(numbered(4))).Entries[0]
	if got := get[LedgerWhole](d, "/v1/consent/verify"); got != (LedgerWhole{OK: true, Entries: 5, Hash: last.Hash}) {
		t.Errorf("whole: %+v", got)
	}
	got := get[LedgerWhole](newDesk(t, altered{store, 3}), "/v1/consent/verify")
	if got.OK || got.Entries != 2 || !strings.Contains(got.Detail, "line 3") {
		t.Errorf("altered: %+v", got)
	}
}

// TestHolding finds the stop that held something back, by time and scope.
func TestHolding(t *testing.T) {
	t.Parallel()
	at := func(h int) time.Time { return start.Add(time.Duration(h) * time.Hour) }
	lines := []ConsentLine{
		{Seq: 1, At: at(1), Scope: "global", Change: "stop", Changed: true},
		{Seq: 2, At: at(2), Scope: "global", Change: "stop"},
		{Seq: 3, At: at(3), Scope: "global", Change: "start", Changed: true},
		{Seq: 4, At: at(4), Scope: "context:sales", Change: "stop", Changed: true},
		{Seq: 5, At: at(5), Scope: "number:+12025550100", Change: "stop", Changed: true},
	}
	for _, c := range []struct {
		context, ours string
		hour          int
		want          int64
	}{
		{"support", "+12025550199", 0, 1}, // it was decided, and waited
		{"support", "+12025550199", 1, 1},
		{"support", "+12025550199", 2, 1},
		{"support", "+12025550199", 4, 0},
		{"sales", "+12025550199", 4, 4},
		{"sales", "+12025550199", 3, 4},
		{"support", "+12025550100", 6, 5},
		{"support", "+12025550100", 3, 5},
	} {
		got := Holding(lines, c.ours, c.context, at(c.hour))
		if got == nil && c.want != 0 || got != nil && got.Seq != c.want {
			t.Errorf("%+v: got %+v", c, got)
		}
	}
}

// TestConsentInALife shows the lines that bear on a message and no others.
func TestConsentInALife(t *testing.T) {
	t.Parallel()
	d := newDesk(t, memory.New(memory.Config{}))
	before := d.send(start, "support", "on the wire", messaging.StatusSending)
	stop := messagingtest.NewMessage("support", person, ours, "STOP")
	stop.ReceivedAt = start
	d.commit(&messaging.Batch{Now: start.Add(time.Minute), Appends: []*messaging.Append{{Event: stop, Outcome: done("consent"), Consents: []*messaging.ConsentChange{{
		Number: person, Verb: messaging.ConsentStop, Origin: messaging.OriginMessage, EventID: stop.ID, Word: "stop", Crossing: []uuid.UUID{before.Attempt.ID},
	}}}}})
	d.said("START", messaging.ConsentStart, numbered(1))
	hello := d.receive(start.Add(time.Hour), "support", "hello", done(HandlerConsent))
	seqs := func(id string) (seqs []int64) {
		for _, c := range get[Life](d, "/v1/messages/"+id).Consent {
			seqs = append(seqs, c.Seq)
		}
		return seqs
	}
	for id, want := range map[string][]int64{
		stop.ID: {1}, before.ID.String(): {1}, hello.ID: {1}, d.receive(start, "support", "other", done("reply")).ID: nil,
	} {
		if diff := cmp.Diff(want, seqs(id)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", id, diff)
		}
	}
	if l := get[Life](d, "/v1/messages/"+before.ID.String()); !l.Sends[0].Attempts[0].Crossed(&l.Consent[0]) {
		t.Errorf("the attempt is not marked: %+v", l)
	}
}
