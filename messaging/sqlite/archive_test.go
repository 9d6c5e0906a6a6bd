package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/messagingtest"
)

func life(t *testing.T, s *Store, id string) *messaging.Life {
	t.Helper()
	l, err := s.Life(t.Context(), id)
	if err != nil {
		t.Fatalf("Life(%q): %v", id, err)
	}
	return l
}

// TestLife tells the life of an inbound whose answer took two attempts.
func TestLife(t *testing.T) {
	t.Parallel()
	s := openAt(t, NewPath(t))
	later := start.Add(time.Second)
	ev, out := message(start, "question"), claimed(start, "answer")
	ev.ID = "event " + ev.MessageID // so that the platform's id is another
	out.Key, out.InReplyTo = ev.ID+"#0", ev.ID
	b := batch(later)
	b.Appends = []*messaging.Append{{Event: ev, Outcome: &messaging.Outcome{
		Fate: messaging.FateDone, Attempt: 3, Handler: "keyword", Sends: []*messaging.Outgoing{out},
	}}}
	commit(t, s, b)
	b = batch(later)
	b.Reports = []*messaging.Report{{
		SendID: out.ID, AttemptID: out.Attempt.ID, Outcome: messaging.OutcomeInDoubt, Status: messaging.StatusInDoubt, Reason: "cut off",
	}}
	commit(t, s, b)
	b = batch(later)
	b.Reports = []*messaging.Report{{
		SendID: out.ID, AttemptID: out.Attempt.ID, Outcome: messaging.OutcomeAbsent, Status: messaging.StatusQueued, Reason: "not in the log",
	}}
	commit(t, s, b)
	second := &messaging.Attempt{ID: newID(), SendID: out.ID, Number: 2, ClaimedAt: later}
	b = batch(later)
	b.Claims = []*messaging.Claim{{SendID: out.ID, Attempt: second, Status: messaging.StatusSending}}
	early := messagingtest.NewState("support", "SM2", out.From, out.To, messaging.StateSent) // without a tag, before the report
	done := &messaging.Outcome{Fate: messaging.FateDone}
	b.Appends = []*messaging.Append{{Event: early, Outcome: done}}
	commit(t, s, b)
	b = batch(later)
	b.Reports = []*messaging.Report{{
		SendID: out.ID, AttemptID: second.ID, Outcome: messaging.OutcomeAccepted, MessageID: "SM2", Status: messaging.StatusAccepted,
	}}
	commit(t, s, b)
	b = batch(later)
	delivered := messagingtest.NewState("support", "SM2", out.From, out.To, messaging.StateDelivered, second.Tag())
	b.Appends = []*messaging.Append{{Event: delivered, Outcome: done}}
	commit(t, s, b)

	whole := life(t, s, ev.ID)
	in := whole.Inbound
	if in == nil || in.Event.Body != "question" || len(in.Event.Frame) != 0 || !in.JournaledAt.Equal(later) || !in.Finished || in.Fate != messaging.FateDone ||
		!in.FinishedAt.Equal(later) || in.Attempt != 3 || in.Handler != "keyword" || !slices.Equal(in.Sends, []uuid.UUID{out.ID}) || in.Forgotten {
		t.Errorf("the inbound's record is %+v", in)
	}
	if len(whole.Sends) != 1 {
		t.Fatalf("%d sends, want 1", len(whole.Sends))
	}
	snd := whole.Sends[0]
	if snd.Send.ID != out.ID || snd.Send.Body != "answer" || snd.Send.Key != out.Key || snd.Status != messaging.StatusDelivered || len(snd.Attempts) != 2 {
		t.Fatalf("the send's record is %+v", snd)
	}
	a, z := snd.Attempts[0], snd.Attempts[1]
	if a.Attempt != *out.Attempt || a.Outcome != messaging.OutcomeAbsent || a.Reason != "not in the log" || !a.Since.Equal(later) || len(a.States) != 0 {
		t.Errorf("the first attempt's record is %+v", a)
	}
	if z.Attempt != *second || z.Outcome != messaging.OutcomeAccepted || z.MessageID != "SM2" || !z.Since.IsZero() {
		t.Errorf("the second attempt's record is %+v", z)
	}
	var states []string
	for _, st := range z.States {
		states = append(states, st.Event.ID)
	}
	if !slices.Equal(states, []string{early.ID, delivered.ID}) {
		t.Errorf("its states are %q, want both in arrival order", states)
	}

	for what, id := range map[string]string{
		"the platform's id of the inbound": ev.MessageID,
	} {
		if l := life(t, s, id); l.Inbound == nil || l.Inbound.Event.ID != ev.ID || len(l.Sends) != 1 {
			t.Errorf("by %s: %+v", what, l)
		}
	}
	for what, id := range map[string]string{
		"the send's id": out.ID.String(), "the first attempt": out.Attempt.ID.String(), "its tag": out.Attempt.Tag(),
		"the second attempt": second.ID.String(), "its tag too": second.Tag(), "the platform's id": "SM2", "the key": out.Key,
		"a state's id": delivered.ID,
	} {
		l := life(t, s, id)
		if l.Inbound == nil || l.Inbound.Event.ID != ev.ID || len(l.Sends) != 1 || l.Sends[0].Send.ID != out.ID || len(l.Sends[0].Attempts) != 2 {
			t.Errorf("by %s: %+v", what, l)
		}
	}
	for _, id := range []string{"", "nothing", newID().String(), "sp-" + newID().String(), ev.ID + "#1"} {
		if _, err := s.Life(t.Context(), id); !errors.Is(err, messaging.ErrUnknown) {
			t.Errorf("Life(%q): %v, want ErrUnknown", id, err)
		}
	}
}

func TestLifeThroughSegments(t *testing.T) {
	t.Parallel()
	s := small(openAt(t, NewPath(t)))
	s.background.Wait()
	out := claimed(start, "own key")
	b := batch(start)
	b.Enqueues = []*messaging.Enqueue{{Outgoing: out}}
	commit(t, s, b)
	addIDs(t, s, 1000, 1000+3<<smallBits)
	if len(s.ids.segments) < 2 {
		t.Fatal("too few segments")
	}
	l := life(t, s, out.Key)
	if l.Inbound != nil || len(l.Sends) != 1 || l.Sends[0].Send.ID != out.ID {
		t.Errorf("by a key in a segment: %+v", l)
	}
}

func TestNoLastWord(t *testing.T) {
	t.Parallel()
	path := NewPath(t)
	s := openAt(t, path)
	_, sends := finish(t, s, start, 1)
	status := func(want messaging.Status) {
		t.Helper()
		if got := life(t, s, sends[0].ID.String()).Sends[0].Status; got != want {
			t.Errorf("the send is %s, want %s", got, want)
		}
		for _, st := range []messaging.Status{messaging.StatusAccepted, messaging.StatusUnknown} {
			f, err := s.Search(t.Context(), messaging.Search{Sends: true, Statuses: []messaging.Status{st}})
			if err != nil || len(f.Sends) != map[bool]int{true: 1}[st == want] {
				t.Errorf("a search for %s sends finds %d (%v), where it is %s", st, len(f.Sends), err, want)
			}
		}
	}
	status(messaging.StatusAccepted)
	commit(t, s, batch(start.Add(messaging.LastWord-time.Minute)))
	status(messaging.StatusAccepted)
	commit(t, s, batch(start.Add(messaging.LastWord)))
	status(messaging.StatusUnknown)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, path)
	status(messaging.StatusUnknown)
}

// jumble fills a journal with rows of all kinds and returns what is in it.
func jumble(t *testing.T, s *Store, rows int) (evs []*messaging.EventRecord, sends []*messaging.SendRecord) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	number := func() messaging.Number { return messaging.Number(fmt.Sprintf("+1202555%04d", r.IntN(20))) }
	texts := []string{"Hello there", "WHAT are your hours?", "100% of it_", "Grüße", "STOP"}
	labels := []string{"support", "sales"}
	now := start
	for len(evs) < rows {
		now = now.Add(time.Minute)
		b := batch(now)
		for range 20 {
			ev := messagingtest.NewMessage(labels[r.IntN(2)], number(), number(), texts[r.IntN(len(texts))])
			ev.ReceivedAt = now.Add(-time.Duration(r.IntN(50)) * time.Second)
			fate := messaging.Fate(r.IntN(3))
			a := &messaging.Append{Event: ev}
			switch fate {
			case messaging.FateDone, messaging.FateDead:
				a.Outcome = &messaging.Outcome{Fate: fate}
			}
			b.Appends = append(b.Appends, a)
			evs = append(evs, &messaging.EventRecord{Event: ev, Fate: fate})

			out := claimed(now.Add(-time.Duration(r.IntN(50))*time.Second), texts[r.IntN(len(texts))])
			out.Context, out.From, out.To, out.Priority = labels[r.IntN(2)], number(), number(), messaging.Priority(r.IntN(7))
			out.Status = []messaging.Status{messaging.StatusSending, messaging.StatusQueued, messaging.StatusSuppressed, messaging.StatusCancelled}[r.IntN(4)]
			if out.Status != messaging.StatusSending {
				out.Attempt = nil
			}
			b.Enqueues = append(b.Enqueues, &messaging.Enqueue{Outgoing: out})
			sends = append(sends, &messaging.SendRecord{Send: out.Send, Status: out.Status})
		}
		commit(t, s, b)
		drop := batch(now)
		for _, e := range evs[len(evs)-20:] {
			if e.Fate == messaging.FateDead && r.IntN(3) == 0 {
				drop.Revives = append(drop.Revives, &messaging.Revive{EventID: e.Event.ID, Drop: true})
				e.Fate = messaging.FateDropped
			}
		}
		doubt := b.Enqueues[0].Outgoing
		if doubt.Attempt != nil {
			drop.Reports = []*messaging.Report{{SendID: doubt.ID, AttemptID: doubt.Attempt.ID, Outcome: messaging.OutcomeInDoubt, Status: messaging.StatusInDoubt}}
			sends[len(sends)-20].Status = messaging.StatusInDoubt
		}
		commit(t, s, drop)
	}
	return evs, sends
}

// TestSearch compares searches with a look at everything, page by page in both directions.
func TestSearch(t *testing.T) {
	t.Parallel()
	s := small(openAt(t, NewPath(t)))
	evs, sends := jumble(t, s, 1000)
	end := start.Add(time.Duration(len(evs)/20) * time.Minute)
	fates := func(f ...messaging.Fate) []messaging.Fate { return f }
	for name, q := range map[string]messaging.Search{
		"all":              {},
		"number":           {Number: "+12025550007"},
		"context":          {Context: "sales"},
		"since":            {Since: end.Add(-10*time.Minute + 500*time.Microsecond)},
		"long since":       {Since: start.Add(10 * time.Minute)},
		"until":            {Until: start.Add(20*time.Minute + time.Second)},
		"between":          {Since: start.Add(30 * time.Minute), Until: start.Add(32 * time.Minute), Context: "support"},
		"text":             {Text: "what ARE"},
		"text with %":      {Text: "% of it_"},
		"text beyond A..Z": {Text: "grüß"},
		"no text":          {Text: "nowhere to be found"},
		"unfinished":       {Fates: fates(messaging.FateRetry)},
		"dead":             {Fates: fates(messaging.FateDead), Text: "stop"},
		"both":             {Fates: fates(messaging.FateDead, messaging.FateRetry), Number: "+12025550001"},
		"dead or done":     {Fates: fates(messaging.FateDead, messaging.FateDone), Number: "+12025550001"},
		"dropped":          {Fates: fates(messaging.FateDropped), Number: "+12025550002"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var want []string
			for _, e := range evs {
				if matches(q, e.Event.From, e.Event.To, e.Event.Context, e.Event.Body, e.Event.ReceivedAt) &&
					(len(q.Fates) == 0 || slices.Contains(q.Fates, e.Fate)) {
					want = append(want, e.Event.ID)
				}
			}
			checkSearch(t, s, q, want)
		})
	}
	statuses := func(s ...messaging.Status) []messaging.Status { return s }
	for name, q := range map[string]messaging.Search{
		"sends":          {},
		"to or from":     {Number: "+12025550007"},
		"sends between":  {Since: start.Add(30 * time.Minute), Until: start.Add(32 * time.Minute), Context: "support"},
		"recent":         {Since: end.Add(-10 * time.Minute)},
		"sends' text":    {Text: "what ARE", Number: "+12025550001"},
		"queued":         {Statuses: statuses(messaging.StatusQueued)},
		"open":           {Statuses: statuses(messaging.StatusSending), Context: "sales"},
		"doubts":         {Statuses: statuses(messaging.StatusInDoubt)},
		"all unfinished": {Statuses: statuses(messaging.StatusInDoubt, messaging.StatusQueued, messaging.StatusSending), Number: "+12025550003"},
		"mixed":          {Statuses: statuses(messaging.StatusSuppressed, messaging.StatusQueued), Number: "+12025550003"},
	} {
		q.Sends = true
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var want []string
			for _, r := range sends {
				if matches(q, r.Send.From, r.Send.To, r.Send.Context, r.Send.Body, r.Send.CreatedAt) &&
					(len(q.Statuses) == 0 || slices.Contains(q.Statuses, r.Status)) {
					want = append(want, r.Send.ID.String())
				}
			}
			checkSearch(t, s, q, want)
		})
	}
}

func matches(q messaging.Search, from, to messaging.Number, label, body string, at time.Time) bool {
	upper := func(s string) string {
		return strings.Map(func(r rune) rune {
			if 'a' <= r && r <= 'z' {
				return r - 'a' + 'A'
			}
			return r
		}, s)
	}
	return (q.Number == "" || q.Number == from || q.Number == to) && (q.Context == "" || q.Context == label) &&
		(q.Since.IsZero() || !at.Before(q.Since)) && (q.Until.IsZero() || at.Before(q.Until)) && strings.Contains(upper(body), upper(q.Text))
}

// checkSearch pages through what a search finds. want is in the order of the rows.
func checkSearch(t *testing.T, s *Store, q messaging.Search, want []string) {
	t.Helper()
	if len(want) == 0 && q.Text != "nowhere to be found" {
		t.Fatal("nothing is wanted; the case proves nothing")
	}
	q.Limit = max(len(want)/3, 7)
	q.Limit = min(q.Limit, searchMost)
	page := func(before, after string) ([]string, *messaging.Found) {
		t.Helper()
		q := q
		q.Before, q.After = before, after
		f, err := s.Search(t.Context(), q)
		if err != nil {
			t.Fatalf("Search: %v", err)
		}
		if n := len(f.Inbounds) + len(f.Sends); n > q.Limit || f.More && n < q.Limit || (f.Cursor == "") != (n == 0) {
			t.Fatalf("a page of %d, limit %d, cursor %q, more: %v", n, q.Limit, f.Cursor, f.More)
		}
		var ids []string
		for _, r := range f.Inbounds {
			ids = append(ids, r.Event.ID)
		}
		for _, r := range f.Sends {
			ids = append(ids, r.Send.ID.String())
		}
		return ids, f
	}
	var got []string
	newest := ""
	for cursor, more := "", true; more; {
		ids, f := page(cursor, "")
		got, cursor, more = append(got, ids...), f.Cursor, f.More
	}
	slices.Reverse(got)
	if !slices.Equal(got, want) {
		t.Errorf("%d rows are found backwards, want %d; or their order is wrong", len(got), len(want))
	}
	if len(want) == 0 {
		return
	}
	// Forwards from the oldest.
	one := q
	one.Limit, one.Before = 1, ""
	oldest := map[bool]string{false: "e0", true: "s0"}[q.Sends]
	got = nil
	for cursor, more := oldest, true; more; {
		ids, f := page("", cursor)
		got, cursor, more, newest = append(got, ids...), f.Cursor, f.More, f.Cursor
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d rows are found forwards, want %d; or their order is wrong", len(got), len(want))
	}
	if ids, f := page("", newest); len(ids) != 0 || f.More {
		t.Errorf("%d rows are newer than the newest", len(ids))
	}
}

func TestSearchRefusesNonsense(t *testing.T) {
	t.Parallel()
	s := openAt(t, NewPath(t))
	for name, q := range map[string]messaging.Search{
		"both ways":         {Before: "e1", After: "e2"},
		"another's cursor":  {Before: "s1"},
		"no cursor":         {After: "1 OR 1"},
		"an unknown fate":   {Fates: []messaging.Fate{77}},
		"an unknown status": {Sends: true, Statuses: []messaging.Status{"lost"}},
	} {
		if _, err := s.Search(t.Context(), q); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	finish(t, s, start, searchMost+1)
	for limit, want := range map[int]int{0: searchLimit, 5: 5, 100_000: searchMost} {
		if f, err := s.Search(t.Context(), messaging.Search{Limit: limit}); err != nil || len(f.Inbounds) != want || !f.More {
			t.Errorf("with limit %d: %d rows (%v), want %d", limit, len(f.Inbounds), err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Search(ctx, messaging.Search{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Search: %v, want context.Canceled", err)
	}
	if _, err := s.Life(ctx, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("Life: %v, want context.Canceled", err)
	}
	if _, _, err := s.Forget(ctx, "+12025550101"); !errors.Is(err, context.Canceled) {
		t.Errorf("Forget: %v, want context.Canceled", err)
	}
}

func TestForget(t *testing.T) {
	t.Parallel()
	path := NewPath(t)
	s := small(openAt(t, path))
	const secret = "nobody must ever read this again"
	in, others := batch(start), 0
	var first *messaging.Event
	var settles []*messaging.Settle
	for i := range 100 {
		ev, out := message(start, secret), claimed(start, secret)
		ev.Media, ev.Frame = []string{"https://example.com/" + secret}, []byte("frame "+secret)
		if i%4 == 3 {
			ev.From, ev.Body, ev.Media, ev.Frame = "+12025550199", "other", nil, []byte("other")
			out.To, out.Body, others = "+12025550199", "other", others+1
		}
		a := &messaging.Append{Event: ev, Outcome: &messaging.Outcome{Fate: messaging.FateDone, Sends: []*messaging.Outgoing{out}}}
		if i == 0 {
			first = ev
		}
		if i == 1 {
			out.Status, out.Attempt = messaging.StatusSuppressed, nil
			a.Outcome = nil
			settles = append(settles, &messaging.Settle{Event: ev, Outcome: &messaging.Outcome{Fate: messaging.FateDone}})
		} else {
			out.Status, out.Attempt = messaging.StatusCancelled, nil
		}
		in.Appends = append(in.Appends, a)
	}
	state := messagingtest.NewState("support", "SM unknown", "+12025550100", "+12025550101", messaging.StateSent)
	state.Frame = []byte("frame " + secret)
	in.Appends = append(in.Appends, &messaging.Append{Event: state, Outcome: &messaging.Outcome{Fate: messaging.FateDone}})
	commit(t, s, in)

	const ours, theirs messaging.Number = "+12025550100", "+12025550101"
	if n, left, err := s.Forget(t.Context(), ours); n != 0 || left != 0 || err != nil {
		t.Errorf("forgetting a number of our own: %d changed, %d left, %v", n, left, err)
	}
	rows := int64(len(in.Appends) - 1 - others)
	n, left, err := s.Forget(t.Context(), theirs)
	if want := rows - 1 + 1 + rows - 1; n != want || left != 1 || err != nil { // events, the state, sends
		t.Errorf("%d changed, %d left (%v); want %d, and the unfinished event left", n, left, err, want)
	}
	if n, left, err := s.Forget(t.Context(), theirs); n != 0 || left != 1 || err != nil {
		t.Errorf("the second time: %d changed, %d left (%v)", n, left, err)
	}
	b := batch(start)
	b.Settles = settles
	commit(t, s, b)
	if n, left, err := s.Forget(t.Context(), theirs); n != 1 || left != 0 || err != nil {
		t.Errorf("once all is finished: %d changed, %d left (%v)", n, left, err)
	}
	l := life(t, s, first.ID)
	if l.Inbound.Event.Body != "" || len(l.Inbound.Event.Media) != 0 || !l.Inbound.Forgotten || !l.Sends[0].Forgotten || l.Inbound.Event.From != theirs {
		t.Errorf("the forgotten inbound is %+v of %+v, its send %+v", l.Inbound, l.Inbound.Event, l.Sends[0])
	}
	if n := count(t, s, `SELECT (SELECT count(*) FROM events WHERE body = 'other' AND frame IS NOT NULL) + (SELECT count(*) FROM sends WHERE body = 'other')`); n != int64(2*others) {
		t.Errorf("%d rows of others have their text, want %d", n, 2*others)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if content, err := os.ReadFile(path); err != nil || bytes.Contains(content, []byte(secret)) {
		t.Errorf("the text is still in the file (%v)", err)
	}
}
