package messagingtest

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
)

// notice makes a send that consent decides about, claimed with its first attempt.
func (w *world) notice(p messaging.Number) *messaging.Outgoing {
	out := to(w.claimed("news"), p)
	out.Category, out.Priority = messaging.CategoryNotification, messaging.PriorityBulk
	return out
}

// waiting makes the same, queued.
func (w *world) waiting(p messaging.Number) *messaging.Outgoing {
	out := w.notice(p)
	out.Attempt, out.Status = nil, messaging.StatusQueued
	return out
}

// wantSuppressed checks that a send was overruled because the person opted out.
func (w *world) wantSuppressed(what string, overruled bool, a *messaging.Attempt, s messaging.Status, reason string) {
	w.Helper()
	if !overruled || a != nil || s != messaging.StatusSuppressed || reason != messaging.ReasonOptedOut {
		w.Errorf("%s: Overruled is %v, Attempt %v, Status %q, Reason %q; want true, none, suppressed, %s", what, overruled, a, s, reason, messaging.ReasonOptedOut)
	}
}

// wantPutOff checks that a send was overruled until somebody has read what the person said.
func (w *world) wantPutOff(what string, overruled bool, a *messaging.Attempt, s messaging.Status, reason string, until time.Time) {
	w.Helper()
	if !overruled || a != nil || s != messaging.StatusQueued || reason != messaging.ReasonReview || !until.After(w.now) {
		w.Errorf("%s: Overruled is %v, Attempt %v, Status %q, Reason %q, NotBefore %v; want true, none, queued, %s, later than %v",
			what, overruled, a, s, reason, until, messaging.ReasonReview, w.now)
	}
}

// wantStored checks how a send is stored, with no attempt at it.
func (w *world) wantStored(id uuid.UUID, s messaging.Status, reason string) {
	w.Helper()
	if _, ok := w.store.(messaging.Archive); !ok {
		return // the store of this package's own tests shows nothing
	}
	r := w.life(id.String()).Sends[0]
	if r.Status != s || r.Reason != reason || len(r.Attempts) != 0 {
		w.Errorf("the send is stored as %q (%q) with %d attempts; want %q (%q) with none", r.Status, r.Reason, len(r.Attempts), s, reason)
	}
}

// wantCrossing checks which attempts a stop crossed, by what it was told and by the ledger.
func (w *world) wantCrossing(c *messaging.ConsentChange, want ...uuid.UUID) {
	w.Helper()
	sorted := func(ids []uuid.UUID) []uuid.UUID {
		return slices.SortedFunc(slices.Values(ids), func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
	}
	found := w.entries(messaging.LedgerQuery{After: c.State.Seq - 1, Limit: 1})
	if len(found) != 1 {
		w.Fatalf("line %d is not found", c.State.Seq)
	}
	w.same("attempts that the change crossed", sorted(found[0].Crossing), sorted(want))
}

var sharedConsentTests = []sharedTest{
	{"OthersSeeEveryChange", 2, func(ws []*world) {
		a, b := ws[0], ws[1]
		after := int64(0)
		for i := range 6 {
			by, other := ws[i%2], ws[1-i%2]
			c := change([]messaging.ConsentVerb{"stop", "start", "review"}[i/2], person(i%2))
			by.commit(c)
			got := other.consents(after, everything)
			other.same("what the other has changed", got, []messaging.ConsentState{c.State})
			after = c.State.Seq
		}
		a.same("the ledger of both", a.entries(messaging.LedgerQuery{}), b.entries(messaging.LedgerQuery{}))
		b.same("where a number stands", b.consentOf(person(0)), a.consentOf(person(0)))
	}},
	{"ReaderMissesNothing", 3, readerMissesNothing},
	// What may answer a question of another instance is no opt-in.
	{"UnlessAsked", 2, func(ws []*world) {
		a, b := ws[0], ws[1]
		a.commit(change("stop", theirs))
		question := &messaging.ValueChange{
			Bucket: messaging.BucketQuestions, Key: messaging.Conversation{Ours: ours, Theirs: theirs}.Key(), ExpiresAt: a.now.Add(time.Hour),
		}
		a.commit(question)
		yes := func(unless bool) (*messaging.ConsentChange, *messaging.Outgoing) {
			c, out := change("start", theirs), b.queued("welcome back")
			c.UnlessAsked = unless
			ap := &messaging.Append{Event: b.message("YES"), Consents: []*messaging.ConsentChange{c}, Outcome: done(out)}
			batch := b.commit(ap)
			before := *c
			if err := b.store.Commit(b.Context(), batch); err != nil {
				b.Fatalf("Commit of the same batch: %v", err)
			}
			b.same("a retried batch", *c, before)
			b.is("Fresh", ap.Fresh, true)
			return c, out
		}
		c, out := yes(true)
		b.is("Changed while a question is open", c.Changed, false)
		b.same("State of what was left out", c.State, messaging.ConsentState{})
		b.is("Inserted with what was left out", out.Inserted, false)
		b.same("lines", len(b.entries(messaging.LedgerQuery{})), 1)
		c, out = yes(false)
		b.is("Changed by a word that answers nothing", c.Changed, true)
		b.is("Inserted with it", out.Inserted, true)
		a.commit(change("stop", theirs), &messaging.ValueChange{Bucket: question.Bucket, Key: question.Key, Delete: true})
		c, _ = yes(true)
		b.is("Changed while no question is open", c.Changed, true)
	}},
	{"OneChain", 3, func(ws []*world) {
		const each = 40
		together(ws, func(w *world) bool {
			for i := range each {
				v := []messaging.ConsentVerb{"stop", "start", "review"}[i%3]
				if !w.try(change(v, theirs), w.said(stop(person(i)))) {
					return false
				}
			}
			return true
		})
		all := ws[0].entries(messaging.LedgerQuery{})
		if len(all) != 2*each*len(ws) {
			ws[0].Errorf("%d lines, want %d", len(all), 2*each*len(ws))
		}
		if d := sameEntries(all, chained(slices.Clone(all))); d != "" {
			ws[0].Errorf("the ledger is not in order (-want +got):\n%s", d)
		}
		states := map[messaging.Number]messaging.ConsentState{} // each line follows from the one before it
		for _, e := range all {
			was := states[e.Number]
			was.Number = e.Number
			want := was.After(e.Verb, e.At)
			want.Seq = e.Seq
			ws[0].same("the state of a line", e.State, want)
			ws[0].is("Changed of a line", e.Changed, want.OptedOut != was.OptedOut || want.Review != was.Review)
			states[e.Number] = want
		}
	}},
	{"OneConfirmation", 2, func(ws []*world) {
		// The same person writes STOP twice, and each instance gets one of them.
		n := 0
		race(ws, func(*world) func(*world) bool {
			n++
			p := person(n)
			return func(w *world) bool {
				out := w.confirmation()
				return w.try(w.said(stop(p), out)) && out.Inserted
			}
		})
	}},
	{"StopOverrulesWhatOthersSend", 2, func(ws []*world) {
		a, b := ws[0], ws[1]
		queued := b.waiting(theirs)
		b.commit(enqueue(queued))
		a.commit(stop(theirs))
		out, answer := b.notice(theirs), b.claimed("answer")
		ev := b.message("hello?")
		b.commit(enqueue(out), addEarly(ev, done(answer)))
		for what, o := range map[string]*messaging.Outgoing{"an insertion": out, "an answer": answer} {
			b.is("Inserted of "+what, o.Inserted, true)
			b.wantSuppressed(what, o.Overruled, o.Attempt, o.Status, o.Reason)
			b.wantStored(o.ID, messaging.StatusSuppressed, messaging.ReasonOptedOut)
		}
		c := claim(queued.ID, b.attempt(queued.ID, 1))
		b.commit(c)
		b.is("Granted", c.Granted, true) // it was queued
		b.wantSuppressed("a claim", c.Overruled, c.Attempt, c.Status, c.Reason)
		b.wantStored(queued.ID, messaging.StatusSuppressed, messaging.ReasonOptedOut)
		a.commit(start(theirs))
		out = b.notice(theirs)
		b.commit(enqueue(out))
		b.is("Overruled once the person has come back", out.Overruled || out.Attempt == nil, false)
	}},
	{"ReviewPutsOffWhatOthersSend", 2, func(ws []*world) {
		a, b := ws[0], ws[1]
		queued := b.waiting(theirs)
		b.commit(enqueue(queued))
		a.commit(change(messaging.ConsentReview, theirs))
		out, reply := b.notice(theirs), b.claimed("a reply")
		b.commit(enqueue(out), enqueue(reply))
		b.wantPutOff("an insertion", out.Overruled, out.Attempt, out.Status, out.Reason, out.NotBefore)
		b.wantStored(out.ID, messaging.StatusQueued, messaging.ReasonReview)
		b.is("Overruled of a reply", reply.Overruled || reply.Attempt == nil, false)
		c := claim(queued.ID, b.attempt(queued.ID, 1))
		b.commit(c)
		b.wantPutOff("a claim", c.Overruled, c.Attempt, c.Status, c.Reason, c.NotBefore)
		b.wantStored(queued.ID, messaging.StatusQueued, messaging.ReasonReview)
		b.wantSends(b.query(messaging.Query{Sends: true, Limit: 10}))
		a.commit(change(messaging.ConsentKeep, theirs))
		for _, id := range []uuid.UUID{queued.ID, out.ID} {
			c := claim(id, b.attempt(id, 1))
			b.commit(c)
			b.is("Overruled after the review", c.Overruled || !c.Granted || c.Attempt == nil, false)
		}
	}},
	{"ScopesOverruleTheirOwn", 2, func(ws []*world) {
		a, b := ws[0], ws[1]
		a.commit(scoped(stop(theirs), messaging.ContextScope("sales")), scoped(stop(theirs), messaging.NumberScope("72345")), stop(person(1)))
		free, sales, short := b.notice(theirs), b.notice(theirs), b.notice(theirs)
		sales.Context, short.From = "sales", "72345"
		b.commit(enqueue(free), enqueue(sales), enqueue(short))
		b.is("Overruled of one in no such scope", free.Overruled, false)
		b.wantSuppressed("one of the context", sales.Overruled, sales.Attempt, sales.Status, sales.Reason)
		b.wantSuppressed("one of the number", short.Overruled, short.Attempt, short.Status, short.Reason)
	}},
	{"OverruledInTheSameBatch", 2, func(ws []*world) {
		w := ws[0]
		queued := w.waiting(theirs)
		w.commit(enqueue(queued))
		out, c := w.notice(theirs), claim(queued.ID, w.attempt(queued.ID, 1))
		w.commit(stop(theirs), enqueue(out), c)
		w.wantSuppressed("an insertion", out.Overruled, out.Attempt, out.Status, out.Reason)
		w.wantSuppressed("a claim", c.Overruled, c.Attempt, c.Status, c.Reason)
	}},
	{"ConfirmationLeaves", 2, func(ws []*world) {
		a, b := ws[0], ws[1]
		first, second, other := a.confirmation(), b.confirmation(), b.claimed("another")
		for _, out := range []*messaging.Outgoing{first, second} {
			out.Attempt, out.Status = a.attempt(out.ID, 1), messaging.StatusSending
		}
		other.Category = messaging.CategoryConsent
		a.commit(a.said(stop(person(1)), first))
		again := stop(person(1))
		again.Again = true
		// The conversation is the first one's until the confirmation is answered.
		a.commit(accepted(first, "SM1"))
		b.commit(b.said(again, second), enqueue(to(other, person(1))))
		a.is("Overruled of the confirmation", first.Overruled || first.Attempt == nil, false)
		b.is("Overruled of the second one", second.Overruled || second.Attempt == nil, false)
		b.wantSuppressed("another answer about consent", other.Overruled, other.Attempt, other.Status, other.Reason)
	}},
	{"RetriedIsOverruledAgain", 2, func(ws []*world) {
		a, b := ws[0], ws[1]
		queued := b.waiting(theirs)
		b.commit(enqueue(queued))
		a.commit(stop(theirs))
		out, c := b.notice(theirs), claim(queued.ID, b.attempt(queued.ID, 1))
		attempt, claimed := *out.Attempt, *c.Attempt
		batch := b.commit(enqueue(out), c)
		a.commit(start(theirs)) // since; what was told holds
		out.Overruled, out.Attempt, out.Status, out.Reason = false, &attempt, messaging.StatusSending, ""
		c.Overruled, c.Granted, c.Attempt, c.Status, c.Reason = false, false, &claimed, messaging.StatusSending, ""
		if err := b.store.Commit(b.Context(), batch); err != nil {
			b.Fatalf("Commit of the same batch: %v", err)
		}
		b.wantSuppressed("an insertion", out.Overruled, out.Attempt, out.Status, out.Reason)
		b.wantSuppressed("a claim", c.Overruled, c.Attempt, c.Status, c.Reason)
		b.is("Granted", c.Granted, true)
		b.wantStored(out.ID, messaging.StatusSuppressed, messaging.ReasonOptedOut)
	}},
	{"StopCrossesTheAttemptsOfOthers", 3, func(ws []*world) {
		a, b, c := ws[0], ws[1], ws[2]
		open, queued, answered, own, other := b.notice(theirs), c.waiting(theirs), b.notice(theirs), a.notice(theirs), b.notice(person(1))
		queued.From, own.From = "+12025550110", "+12025550111" // conversations of their own
		b.commit(enqueue(open), enqueue(answered), enqueue(other))
		b.commit(accepted(answered, "SM1"))
		c.commit(enqueue(queued))
		second := claim(queued.ID, c.attempt(queued.ID, 1))
		c.commit(second)
		a.commit(enqueue(own))
		for what, ok := range map[string]bool{"insertion": open.Attempt != nil && own.Attempt != nil, "claim": second.Attempt != nil} {
			a.is("opened by "+what, ok, true)
		}
		held := newID() // what the caller knows of itself
		review, keep := change(messaging.ConsentReview, theirs), change(messaging.ConsentKeep, theirs)
		a.commit(review)
		a.commit(keep)
		a.wantCrossing(review)
		a.wantCrossing(keep)
		x := stop(theirs)
		x.Crossing = []uuid.UUID{held, open.Attempt.ID} // and, of others, what it was told
		a.commit(x)
		a.wantCrossing(x, held, open.Attempt.ID, second.Attempt.ID)
		b.commit(accepted(open, "SM2"))
		y := stop(theirs)
		a.commit(a.said(y))
		a.wantCrossing(y, second.Attempt.ID)
	}},
	{"ClaimsAgainstAStop", 3, func(ws []*world) { stopAgainst(ws, claimWaiting) }},
	{"InsertionsAgainstAStop", 3, func(ws []*world) { stopAgainst(ws, insertClaimed) }},
}

// readerMissesNothing lets two instances write while a third one learns page by page what
// has changed, each time after the last line that it was given.
func readerMissesNothing(ws []*world) {
	const each = 60
	reader, writers := ws[0], ws[1:]
	var writing sync.WaitGroup
	for i, w := range writers {
		writing.Go(func() {
			for n := range each {
				if !w.try(stop(messaging.Number(fmt.Sprintf("+1202556%d%03d", i, n)))) {
					return
				}
			}
		})
	}
	seen, lines := map[messaging.Number]bool{}, int64(0)
	after := int64(0)
	reader.eventually("every change is learned", func() bool {
		for _, st := range reader.consents(after, 7) {
			if st.Seq != after+1 { // each number changes once
				reader.Errorf("after line %d comes line %d", after, st.Seq)
			}
			seen[st.Number], after = true, st.Seq
		}
		for _, e := range reader.entries(messaging.LedgerQuery{After: lines, Limit: 7}) {
			if e.Seq != lines+1 {
				reader.Errorf("the ledger goes on from line %d with line %d", lines, e.Seq)
			}
			lines = e.Seq
		}
		return reader.Failed() || len(seen) == each*len(writers) && lines == after
	})
	writing.Wait()
}

// claimWaiting makes a send that waits, and gives what claims it: nil if it may not leave.
func claimWaiting(w *world, ours, theirs messaging.Number) func() *messaging.Outgoing {
	out := w.waiting(theirs)
	out.From = ours
	w.commit(enqueue(out))
	return func() *messaging.Outgoing {
		c := claim(out.ID, w.attempt(out.ID, 1))
		if !w.try(c) || !c.Granted || c.Overruled {
			return nil
		}
		out.Attempt = c.Attempt
		return out
	}
}

// insertClaimed gives what inserts a send with its attempt: nil if it may not leave.
func insertClaimed(w *world, ours, theirs messaging.Number) func() *messaging.Outgoing {
	return func() *messaging.Outgoing {
		out := w.notice(theirs)
		out.From = ours
		if !w.try(enqueue(out)) || out.Overruled {
			return nil
		}
		return out
	}
}

// stopAgainst lets two instances open attempts at sends to people while a third one commits
// their stops. What was opened is in the stop's line or was answered before the stop was
// committed, and nothing is opened afterwards.
func stopAgainst(ws []*world, prepare func(w *world, ours, theirs messaging.Number) func() *messaging.Outgoing) {
	const rounds, each = 8, 4
	for round := range rounds {
		p := person(round)
		x := stop(p)
		var all sync.WaitGroup
		begin := make(chan struct{})
		var mu sync.Mutex
		var stopped time.Time
		opened, answered := map[uuid.UUID]bool{}, map[uuid.UUID]time.Time{}
		for i, w := range ws[1:] {
			for n := range each {
				open := prepare(w, messaging.Number(fmt.Sprintf("+1202557%d%d%02d", i, n, round)), p) // a conversation of its own
				all.Go(func() {
					<-begin
					out := open()
					if out == nil {
						return
					}
					began := time.Now()
					if n%2 == 0 {
						w.try(accepted(out, out.ID.String()))
					}
					mu.Lock()
					defer mu.Unlock()
					opened[out.Attempt.ID] = true
					if n%2 == 0 {
						answered[out.Attempt.ID] = began
					}
				})
			}
		}
		all.Go(func() {
			<-begin
			ws[0].try(x)
			stopped = time.Now()
		})
		close(begin)
		all.Wait()
		line := ws[0].entries(messaging.LedgerQuery{Number: p})[0]
		for id := range opened {
			if at, ok := answered[id]; !slices.Contains(line.Crossing, id) && !(ok && at.Before(stopped)) {
				ws[0].Errorf("an attempt was opened, was not answered before the stop, and is not in its line: %v", id)
			}
		}
		for _, id := range line.Crossing {
			if !opened[id] {
				ws[0].Errorf("the stop's line names an attempt that was not opened: %v", id)
			}
		}
		for _, w := range ws[1:] {
			if out := insertClaimed(w, ours, p)(); out != nil {
				w.Error("an attempt was opened after the stop")
			}
		}
	}
}
