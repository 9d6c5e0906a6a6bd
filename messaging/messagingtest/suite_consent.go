package messagingtest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
)

// hasLedger reports whether a store keeps a ledger of consent. One that does not is
// complained about once; see TestStore.
func hasLedger(s messaging.Store) bool {
	_, ok := s.(messaging.ConsentLedger)
	return ok
}

func needLedger(t *testing.T, s messaging.Store) {
	t.Helper()
	if !hasLedger(s) {
		t.Skipf("%T is no messaging.ConsentLedger; see the test Interfaces", s)
	}
}

func (w *world) ledger() messaging.ConsentLedger {
	w.Helper()
	l, ok := w.store.(messaging.ConsentLedger)
	if !ok {
		w.Fatalf("%T is no messaging.ConsentLedger", w.store)
	}
	return l
}

func (w *world) entries(q messaging.LedgerQuery) []messaging.ConsentEntry {
	w.Helper()
	found, err := w.ledger().Entries(w.Context(), q)
	if err != nil {
		w.Fatalf("Entries: %v", err)
	}
	return found
}

func (w *world) consents(after int64, limit int) []messaging.ConsentState {
	w.Helper()
	found, err := w.ledger().Consents(w.Context(), after, limit)
	if err != nil {
		w.Fatalf("Consents: %v", err)
	}
	return found
}

// consentOf says where numbers stand, in the order of the ledger's last word on each.
func (w *world) consentOf(numbers ...messaging.Number) []messaging.ConsentState {
	w.Helper()
	found, err := w.ledger().ConsentOf(w.Context(), numbers...)
	if err != nil {
		w.Fatalf("ConsentOf: %v", err)
	}
	slices.SortFunc(found, func(a, b messaging.ConsentState) int { return int(a.Seq - b.Seq) })
	return found
}

// change makes a change that an operator asks for.
func change(v messaging.ConsentVerb, n messaging.Number) *messaging.ConsentChange {
	return &messaging.ConsentChange{Number: n, Verb: v, Origin: messaging.OriginOperator, Actor: "somebody", Note: "on the telephone"}
}

func stop(n messaging.Number) *messaging.ConsentChange  { return change(messaging.ConsentStop, n) }
func start(n messaging.Number) *messaging.ConsentChange { return change(messaging.ConsentStart, n) }

// scoped narrows a change.
func scoped(c *messaging.ConsentChange, s messaging.Scope) *messaging.ConsentChange {
	c.Scope = s
	return c
}

// said makes the append of a message whose words are a change, with sends that confirm it.
func (w *world) said(c *messaging.ConsentChange, sends ...*messaging.Outgoing) *messaging.Append {
	ev := w.messageFrom(c.Number, "STOP")
	c.Origin, c.EventID, c.Ours, c.Context = messaging.OriginMessage, ev.ID, ev.To, ev.Context
	c.SentAt, c.ReceivedAt, c.Tier, c.Word = ev.SentAt, ev.ReceivedAt, "exact", "STOP"
	c.Actor, c.Note = "", ""
	for _, out := range sends {
		out.To = c.Number
	}
	return &messaging.Append{Event: ev, Outcome: done(sends...), Consents: []*messaging.ConsentChange{c}}
}

// confirmation makes the engine's answer to a STOP.
func (w *world) confirmation() *messaging.Outgoing {
	out := w.queued("You are unsubscribed.")
	out.Key, out.Category, out.Priority = "consent:stop:"+out.ID.String(), messaging.CategoryConsent, messaging.PriorityConsent
	return out
}

// line is what a change that was applied leaves in the ledger.
func line(c *messaging.ConsentChange, at time.Time) messaging.ConsentEntry {
	e := messaging.ConsentEntry{At: at.Truncate(time.Millisecond), ConsentChange: *c}
	e.SentAt, e.ReceivedAt = c.SentAt.Truncate(time.Millisecond), c.ReceivedAt.Truncate(time.Millisecond)
	return e
}

// lines are what changes leave that were applied now.
func (w *world) lines(cs ...*messaging.ConsentChange) (all []messaging.ConsentEntry) {
	for _, c := range cs {
		all = append(all, line(c, w.now))
	}
	return all
}

// chained completes lines as a whole ledger.
func chained(all []messaging.ConsentEntry) []messaging.ConsentEntry {
	var prev [sha256.Size]byte
	for i := range all {
		e := &all[i]
		e.Seq, e.Prev = int64(i)+1, prev
		e.Hash = e.Sum()
		prev = e.Hash
	}
	return all
}

// sameEntries compares entries. That something was to be said again is no evidence.
func sameEntries(got, want []messaging.ConsentEntry) string {
	return cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(messaging.ConsentChange{}, "Again"))
}

// wantLedger checks the whole ledger.
func (w *world) wantLedger(want ...messaging.ConsentEntry) {
	w.Helper()
	if d := sameEntries(w.entries(messaging.LedgerQuery{}), chained(want)); d != "" {
		w.Errorf("the ledger (-want +got):\n%s", d)
	}
}

// wantChange checks what was told of a change.
func (w *world) wantChange(what string, c *messaging.ConsentChange, changed, optedOut, review bool, since time.Time, seq int64) {
	w.Helper()
	w.is(what+": Changed", c.Changed, changed)
	w.same(what+": State", c.State, messaging.ConsentState{
		Number: c.Number, Scope: c.Scope, OptedOut: optedOut, Review: review, Since: since, Seq: seq,
	})
}

// wantUnapplied checks that changes were told that they were not applied.
func (w *world) wantUnapplied(what string, cs ...*messaging.ConsentChange) {
	w.Helper()
	for _, c := range cs {
		w.is(what+": Changed of what was not applied", c.Changed, false)
		w.same(what+": State of what was not applied", c.State, messaging.ConsentState{})
	}
}

// spoilt is a change whose results say something, which a commit has to overwrite.
func spoilt(c *messaging.ConsentChange) *messaging.ConsentChange {
	c.Changed, c.State = true, messaging.ConsentState{Number: "nonsense", OptedOut: true, Seq: 99}
	return c
}

func deciding(o *messaging.Outcome, cs ...*messaging.ConsentChange) *messaging.Outcome {
	o.Consents = cs
	return o
}

var consentTests = []test{
	{"Verbs", func(w *world) {
		type stand struct{ changed, optedOut, review bool }
		stopped, reviewed, free := []messaging.ConsentVerb{"stop"}, []messaging.ConsentVerb{"review"}, []messaging.ConsentVerb(nil)
		n := 0
		for _, c := range []struct {
			before []messaging.ConsentVerb
			verb   messaging.ConsentVerb
			want   stand
		}{
			{free, messaging.ConsentStop, stand{true, true, false}},
			{free, messaging.ConsentStart, stand{false, false, false}},
			{free, messaging.ConsentReview, stand{true, false, true}},
			{free, messaging.ConsentKeep, stand{false, false, false}},
			{stopped, messaging.ConsentStop, stand{false, true, false}},
			{stopped, messaging.ConsentStart, stand{true, false, false}},
			{stopped, messaging.ConsentReview, stand{false, true, false}},
			{stopped, messaging.ConsentKeep, stand{false, true, false}},
			{reviewed, messaging.ConsentStop, stand{true, true, false}},
			{reviewed, messaging.ConsentStart, stand{true, false, false}},
			{reviewed, messaging.ConsentReview, stand{false, false, true}},
			{reviewed, messaging.ConsentKeep, stand{true, false, false}},
		} {
			n++
			p, since := person(n), time.Time{}
			for _, v := range c.before {
				w.commit(change(v, p))
				since = w.now
			}
			w.pass(time.Second)
			x := spoilt(change(c.verb, p))
			w.commit(x)
			if c.want.changed {
				since = w.now
			}
			last := w.entries(messaging.LedgerQuery{Number: p})
			seq := last[len(last)-1].Seq
			what := fmt.Sprintf("%s after %v", c.verb, c.before)
			w.wantChange(what, x, c.want.changed, c.want.optedOut, c.want.review, since, seq)
			w.same(what+": ConsentOf", w.consentOf(p), []messaging.ConsentState{x.State})
		}
	}},
	{"EveryChangeIsALine", func(w *world) {
		var want []messaging.ConsentEntry
		for i, v := range []messaging.ConsentVerb{"keep", "start", "stop", "stop", "review", "keep", "start", "start", "review", "review", "stop"} {
			w.pass(time.Second)
			c := change(v, person(i%2))
			w.commit(c)
			if c.State.Seq != int64(i)+1 {
				w.Errorf("Seq of line %d is %d", i+1, c.State.Seq)
			}
			want = append(want, w.lines(c)...)
		}
		w.wantLedger(want...)
	}},
	{"Evidence", func(w *world) {
		odd := 123456 * time.Nanosecond // of which the ledger keeps no more than milliseconds
		w.pass(odd)
		const note = "„Grüße“, 您好 \U0001F468\u200d\U0001F469 \"quoted\" \\ ' ; -- \t\r\n\u2028 \u0001 % _"
		full := &messaging.ConsentChange{
			Number: theirs, Scope: messaging.NumberScope(ours), Verb: messaging.ConsentStop, Origin: messaging.OriginHandler,
			EventID: "event " + note, Ours: ours, Context: "Sales & Más", SentAt: w.now.Add(-time.Hour), ReceivedAt: w.now.Add(-time.Minute),
			Tier: "exact", Word: "ARRÊT", Rule: "fr", Actor: note, Note: strings.Repeat(note, 100),
			Crossing: []uuid.UUID{newID(), newID(), newID()},
		}
		bare := &messaging.ConsentChange{Number: theirs, Verb: messaging.ConsentKeep}
		all := []*messaging.ConsentChange{full, bare}
		for _, n := range []messaging.Number{"72345", "+1", "+4915123456789012345", "somebody@example.com", "BRAND", "+1 (202) 555-0101", " ", ""} {
			all = append(all, stop(n))
		}
		for _, s := range []messaging.Scope{messaging.ContextScope("Sales & Más"), messaging.ContextScope(""), messaging.NumberScope("72345"), "of a newer program"} {
			all = append(all, scoped(stop("72345"), s))
		}
		all = append(all, &messaging.ConsentChange{Number: theirs, Verb: "of a newer program", Origin: "of a newer program"})
		b := w.batch()
		b.Consents = all
		if err := w.store.Commit(w.Context(), b); err != nil {
			w.Fatalf("Commit: %v", err)
		}
		var states []messaging.ConsentState
		want := w.lines(all...)
		for i, c := range all {
			c.State.Since = c.State.Since.Truncate(time.Millisecond)
			want[i].State = c.State
			states = append(states, c.State)
		}
		got := w.entries(messaging.LedgerQuery{})
		for i := range got {
			got[i].At, got[i].State.Since = got[i].At.Truncate(time.Millisecond), got[i].State.Since.Truncate(time.Millisecond)
			got[i].SentAt, got[i].ReceivedAt = got[i].SentAt.Truncate(time.Millisecond), got[i].ReceivedAt.Truncate(time.Millisecond)
		}
		if d := sameEntries(got, chained(want)); d != "" {
			w.Errorf("the ledger (-want +got):\n%s", d)
		}
		for i, c := range all {
			of := w.consentOf(c.Number)
			if !slices.ContainsFunc(of, func(st messaging.ConsentState) bool {
				st.Since = st.Since.Truncate(time.Millisecond)
				return st.Scope == c.Scope && (st == states[i] || st.Seq > states[i].Seq)
			}) {
				w.Errorf("ConsentOf(%q) is %+v, want %+v", c.Number, of, states[i])
			}
		}
	}},
	{"OfAnEvent", func(w *world) {
		c, out := stop(theirs), w.confirmation()
		a := w.said(spoilt(c), out)
		w.commit(a)
		w.is("Fresh", a.Fresh, true)
		w.wantChange("the stop", c, true, true, false, w.now, 1)
		w.is("Inserted", out.Inserted, true)
		w.wantLedger(w.lines(c)...)
		w.wantSends(w.load(), out)
	}},
	{"OfAnEventThatWaits", func(w *world) {
		for i, o := range []*messaging.Outcome{nil, retry(w.now.Add(time.Hour), 1), dead()} {
			c := stop(person(i))
			a := w.said(c)
			a.Outcome, a.Unheld = o, true
			w.commit(a)
			w.wantChange("the stop", c, true, true, false, w.now, int64(i)+1)
		}
		w.shows("unfinished events", len(w.load().Events), 2)
	}},
	{"DuplicateChangesNothing", func(w *world) {
		c := stop(theirs)
		a := w.said(c, w.confirmation())
		w.commit(a)
		w.commit(start(theirs))
		before := w.entries(messaging.LedgerQuery{})
		second, decided, out := spoilt(stop(theirs)), spoilt(stop(person(1))), w.confirmation()
		dup := w.said(second, out)
		dup.Event, out.Inserted, dup.Outcome.Consents = again(a.Event), true, []*messaging.ConsentChange{decided}
		w.commit(dup)
		w.is("Fresh", dup.Fresh, false)
		w.is("Inserted", out.Inserted, false)
		w.wantUnapplied("a duplicate", second, decided)
		if d := sameEntries(w.entries(messaging.LedgerQuery{}), before); d != "" {
			w.Errorf("the ledger after a duplicate (-want +got):\n%s", d)
		}
		w.shows("where the other stands", len(w.consentOf(person(1))), 0)
	}},
	{"DuplicateInOneBatch", func(w *world) {
		c, second := stop(theirs), spoilt(start(theirs))
		a, out := w.said(c, w.confirmation()), w.confirmation()
		dup := w.said(second, out)
		dup.Event = again(a.Event)
		w.commit(a, dup)
		w.is("Fresh", dup.Fresh, false)
		w.is("Inserted", out.Inserted, false)
		w.wantUnapplied("a duplicate", second)
		w.wantLedger(w.lines(c)...)
	}},
	{"OneConfirmation", func(w *world) {
		for i, together := range []bool{true, false} {
			p := person(i)
			first, second := w.confirmation(), w.confirmation()
			second.Inserted = true // results are set, not only raised
			one, two := stop(p), stop(p)
			a, b := w.said(one, first), w.said(two, second)
			if together {
				w.commit(a, b)
			} else {
				w.commit(a)
				w.commit(b)
			}
			w.is("Fresh of the second", b.Fresh, true)
			w.is("Changed by the second", two.Changed, false)
			w.is("Inserted of the first", first.Inserted, true)
			w.is("Inserted of the second", second.Inserted, false)
			b2 := w.commit(enqueue(second))
			w.is("Inserted under the key of what was not", b2.Enqueues[0].Outgoing.Inserted, true)
			w.shows("lines", len(w.entries(messaging.LedgerQuery{Number: p})), 2)
			w.is("Finished of the second event", len(w.load().Events) == 0, true)
		}
	}},
	{"SaidAgain", func(w *world) {
		out := w.confirmation()
		c := stop(theirs)
		c.Again = true
		w.commit(stop(theirs))
		w.commit(w.said(c, out))
		w.is("Changed", c.Changed, false)
		w.is("Inserted", out.Inserted, true)
		w.wantSends(w.load(), out)
	}},
	{"OneOfSeveralIsEnough", func(w *world) {
		w.commit(stop(theirs))
		for _, c := range []struct {
			verbs [2]messaging.ConsentVerb
			want  bool
		}{
			{[2]messaging.ConsentVerb{"stop", "start"}, true}, // the second one
			{[2]messaging.ConsentVerb{"stop", "keep"}, true},  // the first one
			{[2]messaging.ConsentVerb{"stop", "keep"}, false},
		} {
			out := w.confirmation()
			a := w.said(change(c.verbs[0], theirs), out)
			a.Consents = append(a.Consents, change(c.verbs[1], theirs))
			w.commit(a)
			w.is(fmt.Sprintf("Inserted with %v", c.verbs), out.Inserted, c.want)
		}
	}},
	{"NoSendsLeaveTheRest", func(w *world) {
		// What the outcome decides about consent does not hang on the words.
		w.commit(stop(theirs))
		decided, out := stop(person(1)), w.confirmation()
		a := w.said(stop(theirs), out)
		a.Outcome.Consents = []*messaging.ConsentChange{decided}
		w.commit(a)
		w.is("Inserted", out.Inserted, false)
		w.wantChange("what was decided", decided, true, true, false, w.now, 3)
	}},
	{"OfAnOutcome", func(w *world) {
		var want []messaging.ConsentEntry
		for _, early := range []bool{true, false} {
			for i, o := range []*messaging.Outcome{done(), dead(), retry(w.now.Add(time.Hour), 1)} {
				ev, c, d, out := w.message("x"), spoilt(change(messaging.ConsentReview, person(i))), spoilt(change(messaging.ConsentKeep, person(i))), w.queued("x")
				o.Sends = []*messaging.Outgoing{out}
				deciding(o, c, d)
				if early {
					w.commit(addEarly(ev, o))
				} else {
					w.commit(add(ev))
					w.commit(settle(ev, o))
				}
				if o.Fate != messaging.FateDone {
					w.wantUnapplied("the fate "+o.Fate.String(), c, d)
					continue
				}
				w.is("Inserted", out.Inserted, true)
				w.wantChange("the first", c, true, false, true, w.now, int64(len(want))+1)
				w.wantChange("the second", d, true, false, false, w.now, int64(len(want))+2)
				want = append(want, w.lines(c, d)...)
			}
		}
		w.wantLedger(want...)
	}},
	{"OutcomeThatChangesNothingSends", func(w *world) {
		for _, early := range []bool{true, false} {
			ev, out := w.message("x"), w.queued("x")
			o := deciding(done(out), start(theirs)) // decided by a handler, which knows what it sends
			if early {
				w.commit(addEarly(ev, o))
			} else {
				w.commit(add(ev))
				w.commit(settle(ev, o))
			}
			w.is("Inserted", out.Inserted, true)
		}
	}},
	{"LostSettleChangesNothing", func(w *world) {
		ev, c := w.message("x"), stop(theirs)
		w.commit(add(ev))
		lost, unknown, put := spoilt(stop(person(1))), spoilt(stop(person(2))), spoilt(stop(person(3)))
		b := w.commit(settle(ev, deciding(done(), c)), settle(ev, deciding(done(), lost)), settle(w.message("y"), deciding(done(), unknown)),
			settle(ev, deciding(retry(w.now, 1), put)))
		w.is("Lost", b.Settles[1].Lost && b.Settles[2].Lost && b.Settles[3].Lost, true)
		w.wantUnapplied("a lost settle", lost, unknown, put)
		w.wantLedger(w.lines(c)...)
	}},
	{"OrderInABatch", func(w *world) {
		waiting := w.message("waiting")
		w.commit(add(waiting))
		var cs []*messaging.ConsentChange
		for i := range 9 {
			cs = append(cs, change([]messaging.ConsentVerb{"stop", "start"}[i%2], theirs))
		}
		b := w.batch(settle(waiting, deciding(done(), cs[7], cs[8])), w.said(cs[0]), w.said(cs[3]))
		b.Appends[0].Consents = append(b.Appends[0].Consents, cs[1])
		deciding(b.Appends[0].Outcome, cs[2])
		deciding(b.Appends[1].Outcome, cs[4])
		b.Consents = cs[5:7]
		if err := w.store.Commit(w.Context(), b); err != nil {
			w.Fatalf("Commit: %v", err)
		}
		for i, c := range cs {
			w.wantChange(fmt.Sprint("change ", i), c, true, i%2 == 0, false, w.now, int64(i)+1)
		}
		w.wantLedger(w.lines(cs...)...)
	}},
	{"RetriedWritesNoSecondLine", func(w *world) {
		ev := w.message("waiting")
		w.commit(stop(theirs), add(ev))
		dup := w.said(stop(theirs))
		dup.Event, dup.Outcome = again(ev), nil
		b := w.batch(w.said(stop(theirs), w.confirmation()), w.said(start(theirs), w.confirmation()), dup,
			settle(ev, deciding(done(w.queued("x")), change(messaging.ConsentReview, theirs))), settle(ev, deciding(done(), stop(theirs))),
			stop(person(1)), stop(person(1)))
		deciding(b.Appends[0].Outcome, stop(person(2)))
		if err := w.store.Commit(w.Context(), b); err != nil {
			w.Fatalf("Commit: %v", err)
		}
		first, ledger := resultsOf(b), w.entries(messaging.LedgerQuery{})
		w.shows("lines", len(ledger), 7)
		for range 2 {
			spoil(b)
			w.pass(time.Second)
			b.Now = w.now
			if err := w.store.Commit(w.Context(), b); err != nil {
				w.Fatalf("Commit of the same batch: %v", err)
			}
			w.same("results of the retry", resultsOf(b), first)
			if d := sameEntries(w.entries(messaging.LedgerQuery{}), ledger); d != "" {
				w.Errorf("the ledger after the retry (-want +got):\n%s", d)
			}
		}
		c := stop(person(3))
		w.commit(c)
		w.shows("Seq of the next line", c.State.Seq, int64(8))
	}},
	{"RefusedWritesNothing", func(w *world) {
		taken, first := w.queued("x"), stop(theirs)
		w.commit(first, enqueue(taken))
		bad := w.queued("bad")
		bad.ID = taken.ID
		before := w.now
		for range 2 {
			w.pass(time.Second)
			w.refuse(w.batch(w.said(start(theirs)), stop(person(1)), enqueue(bad)))
		}
		w.same("where the number stands", w.consentOf(theirs, person(1)), []messaging.ConsentState{first.State})
		second := start(theirs)
		w.commit(second)
		w.wantLedger(line(first, before), line(second, w.now))
	}},
	{"PagesBySeq", func(w *world) {
		for i := range 7 {
			w.commit(stop(person(i)))
		}
		page := w.consents(0, 3)
		w.shows("first page", seqs(page), []int64{1, 2, 3})
		w.commit(start(person(1)), start(person(5))) // one that is known, and one still to come
		w.commit(stop(person(1)))
		page = w.consents(3, 3)
		w.shows("second page", seqs(page), []int64{4, 5, 7})
		page = w.consents(7, 3)
		w.shows("third page", seqs(page), []int64{9, 10})
		w.same("what has changed", page, []messaging.ConsentState{
			{Number: person(5), Since: w.now, Seq: 9}, {Number: person(1), OptedOut: true, Since: w.now, Seq: 10},
		})
		w.shows("what comes after", len(w.consents(10, 3)), 0)
		w.shows("everything", seqs(w.consents(0, everything)), []int64{1, 3, 4, 5, 7, 9, 10})
		w.shows("no page", len(w.consents(0, 0)), 0)
	}},
	{"ConsentOf", func(w *world) {
		cs := []*messaging.ConsentChange{
			stop(theirs), scoped(stop(theirs), messaging.ContextScope("sales")), start(theirs), change(messaging.ConsentReview, person(1)), stop(person(2)),
		}
		w.commit(cs[0], cs[1], cs[2], cs[3], cs[4])
		w.same("of one", w.consentOf(theirs), []messaging.ConsentState{cs[1].State, cs[2].State})
		w.same("of some", w.consentOf(person(9), person(2), theirs), []messaging.ConsentState{cs[1].State, cs[2].State, cs[4].State})
		w.shows("of one that nobody knows", len(w.consentOf(person(9))), 0)
		w.shows("of none", len(w.consentOf()), 0)
	}},
	{"Entries", func(w *world) {
		for i := range 12 {
			w.commit(scoped(change([]messaging.ConsentVerb{"stop", "start"}[i/3%2], person(i%3)), []messaging.Scope{messaging.ScopeAll, messaging.ContextScope("sales")}[i/3%2]))
		}
		all := w.entries(messaging.LedgerQuery{})
		w.shows("all", seqsOf(all), []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})
		for _, c := range []struct {
			q    messaging.LedgerQuery
			want []int64
		}{
			{messaging.LedgerQuery{Limit: 4}, []int64{1, 2, 3, 4}},
			{messaging.LedgerQuery{After: 4, Limit: 4}, []int64{5, 6, 7, 8}},
			{messaging.LedgerQuery{After: 10}, []int64{11, 12}},
			{messaging.LedgerQuery{After: 12}, nil},
			{messaging.LedgerQuery{Number: person(1)}, []int64{2, 5, 8, 11}},
			{messaging.LedgerQuery{Number: person(1), Limit: 3}, []int64{2, 5, 8}},
			{messaging.LedgerQuery{Number: person(1), After: 2, Limit: 2}, []int64{5, 8}},
			{messaging.LedgerQuery{Number: person(1), After: 11}, nil},
			{messaging.LedgerQuery{Number: person(9)}, nil},
		} {
			got := w.entries(c.q)
			w.shows(fmt.Sprintf("%+v", c.q), seqsOf(got), c.want)
			for _, e := range got {
				if d := sameEntries([]messaging.ConsentEntry{e}, all[e.Seq-1:e.Seq]); d != "" {
					w.Errorf("%+v: line %d (-among all +got):\n%s", c.q, e.Seq, d)
				}
			}
		}
	}},
	{"EntriesWithoutALimit", func(w *world) {
		b := w.batch()
		for range 1010 {
			b.Consents = append(b.Consents, stop(theirs))
		}
		if err := w.store.Commit(w.Context(), b); err != nil {
			w.Fatalf("Commit: %v", err)
		}
		w.shows("entries", len(w.entries(messaging.LedgerQuery{})), 1000)
		w.shows("entries of the number", len(w.entries(messaging.LedgerQuery{Number: theirs})), 1000)
		w.shows("the rest of them", seqsOf(w.entries(messaging.LedgerQuery{Number: theirs, After: 1008})), []int64{1009, 1010})
	}},
	{"ScopesAreApart", func(w *world) {
		scopes := []messaging.Scope{messaging.ScopeAll, messaging.NumberScope(ours), messaging.ContextScope("support"), messaging.ContextScope(string(ours))}
		var want []messaging.ConsentState
		for i, s := range scopes {
			w.pass(time.Second)
			c := scoped(change([]messaging.ConsentVerb{"stop", "review", "start", "stop"}[i], theirs), s)
			w.commit(c)
			w.is("Changed in "+string(s), c.Changed, i != 2)
			want = append(want, c.State)
		}
		c := scoped(start(theirs), scopes[3])
		w.commit(c)
		want[3] = c.State
		w.same("ConsentOf", w.consentOf(theirs), want)
		w.same("Consents", w.consents(0, everything), want)
	}},
	{"OutliveForgetAndPrune", func(w *world) {
		c := stop(theirs)
		a := w.said(c, w.confirmation())
		a.Outcome.Sends[0].Status = messaging.StatusSuppressed
		w.commit(a, scoped(change(messaging.ConsentReview, theirs), messaging.ContextScope("sales")))
		ledger, states := w.entries(messaging.LedgerQuery{}), w.consents(0, everything)
		w.pass(10 * 365 * 24 * time.Hour)
		w.commit()
		if _, _, err := w.archive().Forget(w.Context(), theirs); err != nil {
			w.Fatalf("Forget: %v", err)
		}
		w.prune()
		if d := sameEntries(w.entries(messaging.LedgerQuery{}), ledger); d != "" {
			w.Errorf("the ledger after Forget and Prune (-want +got):\n%s", d)
		}
		w.same("the states", w.consents(0, everything), states)
		w.same("where the number stands", w.consentOf(theirs), states)
		next := start(theirs)
		w.commit(next)
		w.wantChange("a change after both", next, true, false, false, w.now, 3)
	}},
	{"EndedContext", func(w *world) {
		ctx, cancel := context.WithCancel(w.Context())
		cancel()
		_, consents := w.ledger().Consents(ctx, 0, 1)
		_, of := w.ledger().ConsentOf(ctx, theirs)
		_, entries := w.ledger().Entries(ctx, messaging.LedgerQuery{})
		for what, err := range map[string]error{"Consents": consents, "ConsentOf": of, "Entries": entries} {
			if !errors.Is(err, context.Canceled) {
				w.Errorf("%s with an ended context: %v, want context.Canceled", what, err)
			}
		}
	}},
	{"BesideCommits", func(w *world) {
		const batches, people = 60, 5
		ctx, cancel := context.WithCancel(w.Context())
		var readers sync.WaitGroup
		for _, read := range []func() error{
			func() error { return w.readEntries(ctx) },
			func() error { return w.readConsents(ctx, batches*2) },
			func() error { return w.readStand(ctx) },
		} {
			readers.Go(func() {
				for {
					if err := read(); ctx.Err() != nil {
						return
					} else if err != nil {
						w.Errorf("beside Commit: %v", err)
						return
					}
				}
			})
		}
		for i := range batches {
			v := []messaging.ConsentVerb{"stop", "start"}[i%2]
			w.commit(change(v, person(i%people)), scoped(change(v, person(i%people)), messaging.ContextScope("sales")))
		}
		cancel()
		readers.Wait()
		w.shows("lines", len(w.entries(messaging.LedgerQuery{})), batches*2)
		w.shows("states", len(w.consents(0, everything)), people*2)
	}},
}

// readEntries reads a ledger to which each commit adds two lines.
func (w *world) readEntries(ctx context.Context) error {
	all, err := w.ledger().Entries(ctx, messaging.LedgerQuery{})
	if err != nil {
		return err
	}
	if len(all)%2 != 0 {
		return fmt.Errorf("%d lines are visible; each commit adds two", len(all))
	}
	if d := sameEntries(all, chained(slices.Clone(all))); d != "" {
		return fmt.Errorf("the ledger is not in order (-want +got):\n%s", d)
	}
	return nil
}

// readConsents learns page by page of changes of which there are no more than so many.
func (w *world) readConsents(ctx context.Context, most int64) error {
	after := int64(0)
	for {
		page, err := w.ledger().Consents(ctx, after, 3)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, st := range page {
			if st.Seq <= after || st.Seq > most {
				return fmt.Errorf("a state of line %d comes after line %d, of %d", st.Seq, after, most)
			}
			after = st.Seq
		}
	}
}

// readStand reads where a number stands that is changed in two scopes by each commit alike.
func (w *world) readStand(ctx context.Context) error {
	found, err := w.ledger().ConsentOf(ctx, person(1))
	if err != nil {
		return err
	}
	if len(found) != 0 && (len(found) != 2 || found[0].OptedOut != found[1].OptedOut) {
		return fmt.Errorf("half of a commit is visible: %+v", found)
	}
	return nil
}

// seqs are the lines by which numbers stand.
func seqs(states []messaging.ConsentState) (all []int64) {
	for _, st := range states {
		all = append(all, st.Seq)
	}
	return all
}

func seqsOf(entries []messaging.ConsentEntry) (all []int64) {
	for _, e := range entries {
		all = append(all, e.Seq)
	}
	return all
}
