package messagingtest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
	"pgregory.net/rapid"
)

// testModel runs random batches on a store and on the model and compares every result and
// everything that can be loaded.
func testModel(t *testing.T, open func(*testing.T) messaging.Store) {
	rapid.Check(t, func(rt *rapid.T) {
		store := open(t)
		defer func() {
			if err := store.Close(); err != nil {
				rt.Errorf("Close: %v", err)
			}
		}()
		g := &generator{
			T: rt, store: store, owner: newID(),
			now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		}
		g.ledger, _ = store.(messaging.ConsentLedger)
		for range rapid.IntRange(1, 25).Draw(rt, "batches") {
			g.step()
		}
	})
}

// generator draws batches. Its ids are few, so that the operations meet.
type generator struct {
	*rapid.T
	store    messaging.Store
	model    model
	owner    uuid.UUID
	now      time.Time
	sends    []uuid.UUID
	attempts []*messaging.Attempt
	ledger   messaging.ConsentLedger // nil if the store has none
}

func (g *generator) step() {
	g.now = g.now.Add(time.Duration(rapid.IntRange(0, 3).Draw(g.T, "seconds")) * time.Second)
	b := &messaging.Batch{ID: newID(), Owner: g.owner, Now: g.now}
	kinds := []string{"append", "state", "settle", "enqueue", "claim", "report", "report", "revive"}
	if g.ledger != nil {
		kinds = append(kinds, "consent")
	}
	for range rapid.IntRange(1, 5).Draw(g.T, "operations") {
		switch rapid.SampledFrom(kinds).Draw(g.T, "operation") {
		case "consent":
			b.Consents = append(b.Consents, g.change())
		case "append":
			b.Appends = append(b.Appends, g.append())
		case "state":
			b.Appends = append(b.Appends, g.state())
		case "settle":
			b.Settles = append(b.Settles, &messaging.Settle{Event: g.event(), Outcome: g.outcome()})
		case "enqueue":
			b.Enqueues = append(b.Enqueues, &messaging.Enqueue{Outgoing: g.outgoing()})
		case "claim":
			if c := g.claim(); c != nil {
				b.Claims = append(b.Claims, c)
			}
		case "report":
			if r := g.report(); r != nil {
				b.Reports = append(b.Reports, r)
			}
		case "revive":
			id := fmt.Sprintf("event %d", rapid.IntRange(0, 6).Draw(g.T, "revived"))
			b.Revives = append(b.Revives, &messaging.Revive{EventID: id, Drop: rapid.IntRange(0, 3).Draw(g.T, "drop") == 0})
		}
	}
	if err := g.store.Commit(g.Context(), b); err != nil {
		g.Fatalf("Commit: %v", err)
	}
	got := resultsOf(b)
	if rapid.IntRange(0, 9).Draw(g.T, "retried") == 0 && !claimsAgain(b) {
		spoil(b)
		if err := g.store.Commit(g.Context(), b); err != nil {
			g.Fatalf("Commit of the same batch: %v", err)
		}
		g.same("results of the retry", resultsOf(b), got)
	}
	g.model.apply(b)
	want := resultsOf(b)
	for i, v := range b.Revives {
		if v.Unheld { // a shared store leaves it to Load
			want.Revived[i] = nil
		}
	}
	g.forget(&got)
	g.forget(&want)
	g.same("results", got, want)

	work, err := load(g.Context(), g.store, messaging.Query{
		Owner: g.owner, Now: g.now, Limit: everything, Events: true, Sends: true, Doubts: true,
	})
	if err != nil {
		g.Fatalf("Load: %v", err)
	}
	known := g.model.load(g.now)
	for i, u := range work.Events {
		// A state that overtook its report may be known by its send afterwards, or not.
		if i < len(known.Events) && known.Events[i].Event.Send == nil && u.Event.Kind == messaging.KindState {
			ev := *u.Event
			ev.Send, u.Event = nil, &ev
		}
		if i < len(known.Events) && g.store.Traits().Shared { // the order is the same, with gaps
			ev := *known.Events[i].Event
			ev.Seq, known.Events[i].Event = u.Event.Seq, &ev
		}
	}
	g.same("work", work, known)
	if g.ledger != nil {
		g.sameLedger()
	}
}

// sameLedger compares what is known of consent.
func (g *generator) sameLedger() {
	entries, err := g.ledger.Entries(g.Context(), messaging.LedgerQuery{})
	if err != nil {
		g.Fatalf("Entries: %v", err)
	}
	if d := sameEntries(entries, g.model.ledger); d != "" {
		g.Fatalf("the ledger (-model +store):\n%s", d)
	}
	states, err := g.ledger.Consents(g.Context(), 0, everything)
	if err != nil {
		g.Fatalf("Consents: %v", err)
	}
	g.same("where the numbers stand", states, g.model.stands())
	n := g.person()
	if states, err = g.ledger.ConsentOf(g.Context(), n); err != nil {
		g.Fatalf("ConsentOf: %v", err)
	}
	slices.SortFunc(states, func(a, b messaging.ConsentState) int { return int(a.Seq - b.Seq) })
	g.same("where a number stands", states, slices.DeleteFunc(g.model.stands(), func(st messaging.ConsentState) bool { return st.Number != n }))
}

// person draws a number. It is not the one to which the sends go if the store would
// overrule them, which the model of one owner does not.
func (g *generator) person() messaging.Number {
	people := []messaging.Number{person(0), person(1), theirs}
	if g.store.Traits().Shared {
		people = people[:2]
	}
	return rapid.SampledFrom(people).Draw(g.T, "person")
}

func (g *generator) change() *messaging.ConsentChange {
	c := change(rapid.SampledFrom([]messaging.ConsentVerb{
		messaging.ConsentStop, messaging.ConsentStart, messaging.ConsentReview, messaging.ConsentKeep,
	}).Draw(g.T, "verb"), g.person())
	c.Scope = rapid.SampledFrom([]messaging.Scope{messaging.ScopeAll, messaging.ContextScope("sales")}).Draw(g.T, "scope")
	c.Again = rapid.IntRange(0, 4).Draw(g.T, "said again") == 0
	return spoilt(c)
}

// changes draws the changes that come with something else.
func (g *generator) changes() (all []*messaging.ConsentChange) {
	if g.ledger == nil {
		return nil
	}
	for range max(0, rapid.IntRange(-2, 2).Draw(g.T, "changes")) {
		all = append(all, g.change())
	}
	return all
}

// claimsAgain reports whether a batch claims what it lets go out again itself. Nobody does
// that, since the caller learns of it by the commit; a store that reads the results of a
// repeated batch from its rows need not give them.
func claimsAgain(b *messaging.Batch) bool {
	return slices.ContainsFunc(b.Appends, func(a *messaging.Append) bool {
		return a.Merge != nil && a.Merge.Again != nil && slices.ContainsFunc(b.Claims, func(c *messaging.Claim) bool {
			return c.SendID == a.Merge.Again.ID
		})
	})
}

// forget blanks what stores may answer differently: the status of a send with several
// attempts once it is finished, and the text of a finished send with a taken key.
func (g *generator) forget(r *results) {
	if g.store.Traits().Shared {
		r.Seq = nil // in order, and with gaps where others might have been
	}
	for _, m := range r.Merges {
		if m != nil && g.model.many(m.Ref.ID) {
			m.Status, m.Advanced = "", false
		}
	}
	for i, x := range r.Existing {
		if x != nil {
			r.Existing[i] = &messaging.Send{ID: x.ID, Key: x.Key}
		}
	}
}

func (g *generator) same(what string, got, want any) {
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(messaging.Outgoing{}, "Reason"), cmpopts.IgnoreFields(messaging.Doubt{}, "Seq")); d != "" {
		g.Fatalf("%s (-model +store):\n%s", what, d)
	}
}

func (g *generator) event() *messaging.Event {
	n := rapid.IntRange(0, 5).Draw(g.T, "event")
	ev := NewMessage("support", theirs, ours, fmt.Sprintf("message %d", n))
	ev.ID = fmt.Sprintf("event %d", n)
	ev.ReceivedAt, ev.SentAt, ev.Frame = g.now, g.now, []byte("frame")
	return ev
}

func (g *generator) append() *messaging.Append {
	a := &messaging.Append{Event: g.event(), Consents: g.changes()}
	if rapid.Bool().Draw(g.T, "early") {
		a.Outcome = g.outcome()
	}
	return a
}

func (g *generator) outcome() *messaging.Outcome {
	fate := rapid.SampledFrom([]messaging.Fate{messaging.FateDone, messaging.FateDone, messaging.FateRetry, messaging.FateDead}).Draw(g.T, "fate")
	o := &messaging.Outcome{Fate: fate, Attempt: rapid.IntRange(1, 8).Draw(g.T, "runs"), Consents: g.changes()}
	switch fate {
	case messaging.FateDone:
		for range rapid.IntRange(0, 2).Draw(g.T, "sends") {
			o.Sends = append(o.Sends, g.outgoing())
		}
	case messaging.FateRetry:
		o.RetryAt = g.now.Add(time.Minute)
	}
	return o
}

func (g *generator) outgoing() *messaging.Outgoing {
	out := &messaging.Outgoing{
		Send: messaging.Send{
			ID: newID(), Context: "support", From: ours, To: theirs, Body: "hello", CreatedAt: g.now,
			Priority: messaging.Priority(rapid.IntRange(1, 4).Draw(g.T, "priority")), Category: messaging.CategoryReply,
		},
		Status: rapid.SampledFrom([]messaging.Status{
			messaging.StatusQueued, messaging.StatusSending, messaging.StatusSending, messaging.StatusSuppressed,
		}).Draw(g.T, "status"),
	}
	if rapid.Bool().Draw(g.T, "keyed") {
		out.Key = fmt.Sprintf("key %d", rapid.IntRange(0, 20).Draw(g.T, "key"))
	}
	if rapid.IntRange(0, 3).Draw(g.T, "deferred") == 0 {
		out.NotBefore = g.now.Add(2 * time.Second)
	}
	if rapid.IntRange(0, 3).Draw(g.T, "expires") == 0 {
		out.ExpiresAt = g.now.Add(3 * time.Second)
	}
	if out.Status == messaging.StatusSending {
		out.Attempt = g.attempt(out.ID)
	}
	g.sends = append(g.sends, out.ID)
	return out
}

func (g *generator) attempt(send uuid.UUID) *messaging.Attempt {
	a := &messaging.Attempt{ID: newID(), SendID: send, Number: g.model.made(send) + 1, ClaimedAt: g.now}
	g.attempts = append(g.attempts, a)
	return a
}

func (g *generator) claim() *messaging.Claim {
	if len(g.sends) == 0 {
		return nil
	}
	c := &messaging.Claim{SendID: rapid.SampledFrom(g.sends).Draw(g.T, "send")}
	switch c.Status = rapid.SampledFrom([]messaging.Status{
		messaging.StatusSending, messaging.StatusSending, messaging.StatusQueued, messaging.StatusExpired,
	}).Draw(g.T, "claim"); c.Status {
	case messaging.StatusSending:
		c.Attempt = g.attempt(c.SendID)
	case messaging.StatusQueued:
		c.NotBefore = g.now.Add(time.Second)
	}
	return c
}

// messageID is the id that the platform gives to an attempt's message.
func messageID(a *messaging.Attempt) string { return "SM-" + a.ID.String() }

func (g *generator) report() *messaging.Report {
	if len(g.attempts) == 0 {
		return nil
	}
	a := rapid.SampledFrom(g.attempts).Draw(g.T, "attempt")
	r := &messaging.Report{SendID: a.SendID, AttemptID: a.ID}
	kinds := []struct {
		outcome messaging.AttemptOutcome
		status  messaging.Status
	}{
		{isAccepted, messaging.StatusAccepted},
		{isAccepted, messaging.StatusAccepted},
		{isRejected, messaging.StatusFailed},
		{isRejected, messaging.StatusQueued},
		{isNotSent, messaging.StatusQueued},
		{isInDoubt, messaging.StatusInDoubt},
		{isInDoubt, messaging.StatusQueued},
		{isAbsent, messaging.StatusQueued},
		{isAbsent, messaging.StatusExpired},
	}
	k := kinds[rapid.IntRange(0, len(kinds)-1).Draw(g.T, "outcome")]
	r.Outcome, r.Status = k.outcome, k.status
	if r.Outcome == isAccepted {
		r.MessageID = messageID(a)
	}
	if r.Status == messaging.StatusQueued && rapid.Bool().Draw(g.T, "later") {
		r.NotBefore = g.now.Add(time.Second)
	}
	return r
}

func (g *generator) state() *messaging.Append {
	id, tags := "SM-stranger", []string(nil)
	if len(g.attempts) > 0 && rapid.IntRange(0, 9).Draw(g.T, "stranger") > 0 {
		a := rapid.SampledFrom(g.attempts).Draw(g.T, "attempt")
		id = messageID(a)
		if rapid.Bool().Draw(g.T, "tagged") {
			tags = []string{a.Tag()}
		}
	}
	state := rapid.SampledFrom([]messaging.State{
		messaging.StateQueued, messaging.StateInitiated, messaging.StateSent, messaging.StateSent,
		messaging.StateDelivered, messaging.StateDelivered, messaging.StateUndelivered, messaging.StateFailed, "strange",
	}).Draw(g.T, "state")
	ev := NewState("support", id, ours, theirs, state, tags...)
	ev.ReceivedAt, ev.SentAt, ev.Frame = g.now, g.now, []byte("frame")
	a := &messaging.Append{Event: ev}
	if rapid.IntRange(0, 3).Draw(g.T, "again") > 0 {
		a.Redeliver = &messaging.Redelivery{
			Attempts: rapid.IntRange(1, 3).Draw(g.T, "attempts"),
			At:       g.now.Add(time.Duration(rapid.IntRange(0, 4).Draw(g.T, "wait")) * time.Second),
		}
	}
	if rapid.Bool().Draw(g.T, "early") {
		a.Outcome = &messaging.Outcome{Fate: messaging.FateDone}
	}
	return a
}
