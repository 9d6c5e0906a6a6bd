package messagingtest

import (
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

// wantUnheld appends an event and checks whether it is the caller's to hold.
func (w *world) wantUnheld(what string, ev *messaging.Event, unheld bool) {
	w.Helper()
	a := hold(ev)
	w.commit(a)
	w.is(what+": Fresh", a.Fresh, true)
	w.is(what+": Unheld", a.Unheld, unheld)
}

// wantNothing checks that an instance finds no work.
func (w *world) wantNothing() {
	w.Helper()
	work := w.load()
	w.wantEvents(work)
	w.wantSends(work)
	w.wantDoubts(work)
	w.is("NextDue.IsZero", work.NextDue.IsZero(), true)
}

// unfinishedTable lists what keeps a conversation with its owner, and how it ends.
var unfinishedTable = []struct {
	name  string
	begin func(w *world, theirs messaging.Number) (end func())
}{
	{"event", func(w *world, p messaging.Number) func() {
		ev := w.messageFrom(p, "held")
		w.commit(hold(ev))
		return func() { w.commit(settle(ev, done())) }
	}},
	{"event without room", func(w *world, p messaging.Number) func() {
		ev := w.messageFrom(p, "unheld")
		w.commit(add(ev))
		return func() { w.commit(settle(ev, dead())) }
	}},
	{"retried event", func(w *world, p messaging.Number) func() {
		ev := w.messageFrom(p, "retried")
		w.commit(hold(ev))
		w.commit(settle(ev, retry(w.now.Add(time.Hour), 1)))
		return func() { w.commit(settle(ev, done())) }
	}},
	{"queued send", func(w *world, p messaging.Number) func() {
		out := to(w.queued("queued"), p)
		w.commit(enqueue(out))
		return func() { w.commit(&messaging.Claim{SendID: out.ID, Status: messaging.StatusExpired}) }
	}},
	{"deferred send", func(w *world, p messaging.Number) func() {
		out := to(w.queued("deferred"), p)
		out.NotBefore = w.now.Add(time.Hour)
		w.commit(enqueue(out))
		return func() { w.commit(&messaging.Claim{SendID: out.ID, Status: messaging.StatusCancelled}) }
	}},
	{"claimed send", func(w *world, p messaging.Number) func() {
		out := to(w.claimed("sending"), p)
		w.commit(enqueue(out))
		return func() { w.commit(accepted(out, newID().String())) }
	}},
	{"doubt", func(w *world, p messaging.Number) func() {
		out := to(w.claimed("doubt"), p)
		w.commit(enqueue(out))
		w.commit(inDoubt(out))
		return func() { w.commit(report(out, isAbsent, messaging.StatusFailed)) }
	}},
	{"outcome's send", func(w *world, p messaging.Number) func() {
		out := to(w.claimed("answer"), p)
		w.commit(addEarly(w.messageFrom(p, "hours?"), done(out)))
		return func() { w.commit(report(out, isRejected, messaging.StatusFailed)) }
	}},
	{"replayed dead letter", func(w *world, p messaging.Number) func() {
		ev := w.messageFrom(p, "dead")
		w.commit(addEarly(ev, dead()))
		w.commit(replay(ev))
		return func() { w.commit(settle(ev, done())) }
	}},
}

var ownerTests = []sharedTest{
	{"FirstAppenderOwns", 2, func(ws []*world) {
		a, b := ws[0], ws[1]
		first, second := a.message("first"), a.message("second")
		a.wantUnheld("the first", first, false)
		b.wantUnheld("another instance's", second, true)
		b.wantNothing()
		a.wantEvents(a.load(), second) // the first it has
		dup := hold(again(first))
		b.commit(dup)
		b.is("Fresh of the first at another instance", dup.Fresh, false)
	}},
	{"NothingOvertakesWhatWaits", 2, func(ws []*world) {
		a, b := ws[0], ws[1]
		first, second, third, fourth := a.message("first"), a.message("second"), a.message("third"), a.message("fourth")
		a.wantUnheld("the first", first, false)
		b.wantUnheld("another instance's", second, true)
		a.wantUnheld("the owner's behind it", third, true)
		a.wantEvents(a.load(), second, third)
		a.wantEvents(a.load(), second, third) // until they are finished
		a.commit(settle(first, done()), settle(second, done()))
		a.wantUnheld("the owner's while one waits", fourth, true)
		a.wantEvents(a.load(), third, fourth)
		a.commit(settle(third, retry(a.now.Add(time.Hour), 1)), settle(fourth, done()))
		fifth := a.message("fifth")
		a.wantUnheld("the owner's while one waits to be retried", fifth, true)
		a.commit(settle(third, dead()), settle(fifth, done()))
		last := a.message("last")
		a.wantUnheld("the owner's when none waits", last, false)
		a.wantNothing()
	}},
	{"NothingOvertakesWhatHasNoRoom", 1, func(ws []*world) {
		w := ws[0]
		first, second := w.message("first"), w.message("second")
		w.commit(add(first))
		w.wantUnheld("behind one without room", second, true)
		w.wantEvents(w.load(), first, second)
		within := w.commit(hold(w.messageFrom(person(1), "a")), add(w.messageFrom(person(1), "b")), hold(w.messageFrom(person(1), "c")))
		for i, want := range []bool{false, true, true} {
			w.is("Unheld within a batch", within.Appends[i].Unheld, want)
		}
	}},
	{"EarlyOutcomeNeedsTheConversation", 2, func(ws []*world) {
		a, b := ws[0], ws[1]
		// early appends an event whose chain ran before, and checks whether its outcome stood.
		early := func(w *world, what string, p messaging.Number, stands bool) *messaging.Append {
			w.Helper()
			out := to(w.claimed(what), p)
			ap := &messaging.Append{Event: w.messageFrom(p, what), Outcome: done(out), Early: true}
			w.commit(ap)
			w.is(what+": Fresh", ap.Fresh, true)
			w.is(what+": Unheld", ap.Unheld, !stands)
			w.is(what+": Inserted", out.Inserted, stands)
			return ap
		}
		p := person(1)
		early(a, "in a new conversation", p, true)
		a.wantEvents(a.load())
		first := a.messageFrom(p, "unfinished")
		a.wantUnheld("the first", first, false)
		second := early(b, "in another's conversation", p, false)
		b.wantEvents(b.load())
		a.wantEvents(a.load(), second.Event)
		third := early(a, "behind one that waits in the store", p, false)
		a.wantEvents(a.load(), second.Event, third.Event)
		a.commit(settle(first, done()), settle(second.Event, done()), settle(third.Event, done()))
		a.wantEvents(a.load())
		early(a, "when none waits", p, true)
		// A conversation that is locked for its event alone, with no send in it.
		other := a.messageFrom(person(2), "unfinished")
		a.wantUnheld("the first of another", other, false)
		quiet := &messaging.Append{Event: b.messageFrom(person(2), "no reply"), Outcome: done(), Early: true}
		b.commit(quiet)
		b.is("no reply: Unheld", quiet.Unheld, true)
		a.wantEvents(a.load(), quiet.Event)
	}},
	// What was decided in advance did not know of a question that another instance asked, nor
	// of its pause.
	{"EarlyOutcomeNeedsNoMarks", 2, func(ws []*world) {
		a, b := ws[0], ws[1]
		for _, bucket := range []string{messaging.BucketQuestions, messaging.BucketPauses} {
			mark := &messaging.ValueChange{
				Bucket: bucket, Key: messaging.Conversation{Ours: ours, Theirs: theirs}.Key(), Number: theirs, ExpiresAt: a.now.Add(time.Hour),
			}
			a.commit(mark)
			out := b.claimed("decided in advance")
			ap := &messaging.Append{Event: b.message("text"), Outcome: keeping(done(out), b.set("key", "x")), Early: true}
			told := b.commit(ap)
			b.is(bucket+": Unheld", ap.Unheld, true)
			if got := told.Marks; len(got) != 1 || got[0].Bucket != bucket || got[0].Key != mark.Key || got[0].Version != mark.Version {
				b.Errorf("%s: Marks are %+v", bucket, got)
			}
			b.is(bucket+": Inserted", out.Inserted, false)
			b.is(bucket+": Applied", ap.Outcome.Values[0].Applied, false)
			b.wantEvents(b.load(), ap.Event)
			b.commit(settle(ap.Event, done()), &messaging.ValueChange{Bucket: bucket, Key: mark.Key, Delete: true})
			again := b.claimed("decided in advance again")
			ap = &messaging.Append{Event: b.message("text"), Outcome: done(again), Early: true}
			b.commit(ap)
			b.is(bucket+" and then none: Inserted", again.Inserted, true)
			b.commit(accepted(again, "SM "+bucket))
		}
		// One that has expired is none.
		a.commit(&messaging.ValueChange{
			Bucket: messaging.BucketPauses, Key: messaging.Conversation{Ours: ours, Theirs: theirs}.Key(), ExpiresAt: a.now.Add(time.Minute),
		})
		b.pass(time.Hour)
		out := b.claimed("decided in advance")
		b.commit(&messaging.Append{Event: b.message("text"), Outcome: done(out), Early: true})
		b.is("after it expired: Inserted", out.Inserted, true)
	}},
	{"ConversationsAreApart", 2, func(ws []*world) {
		a, b := ws[0], ws[1]
		a.wantUnheld("the first", a.messageFrom(person(1), "a"), false)
		mine, theirs := hold(b.messageFrom(person(2), "b")), hold(b.messageFrom(person(1), "c"))
		elsewhere := hold(b.messageFrom(person(1), "d"))
		elsewhere.Event.To = "+12025550199" // another of our numbers
		b.commit(theirs, mine, elsewhere)
		b.is("Unheld in a conversation of its own", mine.Unheld, false)
		b.is("Unheld in the other's", theirs.Unheld, true)
		b.is("Unheld with another of our numbers", elsewhere.Unheld, false)
		a.wantEvents(a.load(), theirs.Event)
		b.wantNothing()
	}},
	{"UnfinishedKeepsTheConversation", 3, func(ws []*world) {
		a, b, c := ws[0], ws[1], ws[2]
		for i, u := range unfinishedTable {
			p := person(i)
			end := u.begin(a, p)
			left := b.messageFrom(p, "left")
			b.wantUnheld(u.name, left, true)
			b.wantNothing()
			found := false
			for _, e := range a.load().Events {
				found = found || e.Event.ID == left.ID
			}
			a.is(u.name+": the owner finds what was left", found, true)
			a.commit(settle(left, done()))
			end()
			b.wantUnheld("after the "+u.name, b.messageFrom(p, "mine"), false)
			last := c.messageFrom(p, "not mine")
			c.wantUnheld("the new owner's", last, true)
			b.commit(settle(last, done()))
		}
	}},
	{"FinishedKeepsNothing", 2, func(ws []*world) {
		a, b := ws[0], ws[1]
		finish := map[string]func(p messaging.Number){
			"done": func(p messaging.Number) { a.commit(addEarly(a.messageFrom(p, "x"), done())) },
			"dead": func(p messaging.Number) { a.commit(addEarly(a.messageFrom(p, "x"), dead())) },
			"suppressed": func(p messaging.Number) {
				out := to(a.queued("x"), p)
				out.Status = messaging.StatusSuppressed
				a.commit(enqueue(out))
			},
			"accepted": func(p messaging.Number) {
				out := to(a.claimed("x"), p)
				a.commit(enqueue(out))
				a.commit(accepted(out, newID().String()))
			},
		}
		n := 0
		for what, f := range finish {
			n++
			f(person(n))
			b.wantUnheld("after "+what, b.messageFrom(person(n), "mine"), false)
		}
	}},
	{"ForeignSendsAreLeftToTheOwner", 2, func(ws []*world) {
		a, b := ws[0], ws[1]
		a.wantUnheld("the owner's", a.message("held"), false)
		waiting := b.message("waiting")
		b.commit(hold(waiting))
		queued, claimed := b.queued("queued"), b.claimed("claimed")
		settled, called, calledNow := b.claimed("settled"), b.queued("called"), b.claimed("called now")
		gone := b.queued("gone")
		gone.Status, gone.Reason = messaging.StatusSuppressed, "stop"
		later := b.queued("later")
		later.NotBefore = b.now.Add(time.Hour)
		batch := b.commit(addEarly(b.message("answered"), done(queued, claimed, gone)), settle(waiting, done(settled)),
			enqueue(called), enqueue(calledNow), enqueue(later))
		b.is("Lost", batch.Settles[0].Lost, false)
		left := []*messaging.Outgoing{queued, claimed, settled, called, calledNow}
		for _, out := range left {
			b.is(out.Body+": Inserted", out.Inserted, true)
			b.is(out.Body+": Unheld", out.Unheld, true)
		}
		b.wantNothing()
		work := a.load()
		a.wantSends(work, left...)
		for _, s := range work.Sends {
			if s.Attempt != nil {
				a.Errorf("%s: Attempt is %+v for a send that was never claimed", s.Body, s.Attempt)
			}
		}
		a.wantDoubts(work)
		a.same("NextDue", work.NextDue, later.NotBefore)
		at := a.attempt(claimed.ID, 1)
		granted := a.commit(claim(claimed.ID, at))
		a.is("Granted to the owner", granted.Claims[0].Granted, true)
		a.wantDoubts(a.load(), messaging.Doubt{Attempt: *at, Send: claimed.Send, Outcome: messaging.OutcomeOpen, Since: a.now})
	}},
	{"OwnSendsAreHeld", 2, func(ws []*world) {
		a, b := ws[0], ws[1]
		first, second := a.claimed("first"), a.queued("second")
		a.commit(enqueue(first), enqueue(second))
		other := b.claimed("third")
		b.commit(enqueue(other))
		a.is("Unheld of the first", first.Unheld, false)
		a.is("Unheld of the owner's next", second.Unheld, false)
		b.is("Unheld of the other's", other.Unheld, true)
		work := a.load()
		a.wantSends(work, second, other)
		a.wantDoubts(work, messaging.Doubt{Attempt: *first.Attempt, Send: first.Send, Outcome: messaging.OutcomeOpen, Since: a.now})
	}},
	{"TakenKeyIsTakenEverywhere", 2, func(ws []*world) {
		a, b := ws[0], ws[1]
		out, second := a.queued("first"), b.queued("second")
		second.Key = out.Key
		a.commit(enqueue(out))
		batch := b.commit(enqueue(second))
		b.is("Inserted under the other's key", second.Inserted, false)
		if x := batch.Enqueues[0].Existing; x == nil || x.ID != out.ID {
			b.Errorf("Existing is %v, want the other's send", x)
		}
	}},
	{"StatesMergeAtAnyInstance", 2, func(ws []*world) {
		a, b := ws[0], ws[1]
		a.wantUnheld("the owner's", a.message("held"), false)
		sent := a.sent("SM1")
		b.wantMerge("by message id", b.arrive("SM1", messaging.StateDelivered), sent, merge{isAccepted, messaging.StatusDelivered, true, false})
		open, doubted := a.claimed("open"), a.claimed("doubted")
		a.commit(enqueue(open), enqueue(doubted))
		a.commit(inDoubt(doubted))
		b.wantMerge("of an open attempt", b.arrive("SM2", messaging.StateSent, open.Attempt.Tag()), open,
			merge{isAccepted, messaging.StatusSent, true, false})
		b.wantMerge("of a doubt", b.arrive("SM3", messaging.StateFailed, doubted.Attempt.Tag()), doubted,
			merge{isAccepted, messaging.StatusFailed, true, false})
		a.wantDoubts(a.load())
		late := a.commit(accepted(open, "SM2"))
		a.wantMerge("the owner's report", late.Reports[0].Merge, open, merge{isAccepted, messaging.StatusSent, false, false})
		early := a.claimed("early")
		a.commit(enqueue(early))
		if m := b.arrive("SM4", messaging.StateDelivered); m != nil {
			b.Errorf("Merge of a state that overtakes its report is %+v, want nil", m)
		}
		late = a.commit(accepted(early, "SM4"))
		a.wantMerge("the overtaken report", late.Reports[0].Merge, early, merge{isAccepted, messaging.StatusDelivered, true, false})
	}},
	{"ForeignStateIsLeftToTheOwner", 2, func(ws []*world) {
		a, b := ws[0], ws[1]
		out := a.sent("SM1")
		a.wantUnheld("the owner's", a.message("held"), false)
		state := b.state("SM1", messaging.StateSent)
		ap := hold(state)
		b.commit(ap)
		b.is("Unheld", ap.Unheld, true)
		b.wantMerge("state", ap.Merge, out, merge{isAccepted, messaging.StatusSent, true, false})
		b.wantNothing()
		work := a.load()
		a.wantEvents(work, state)
		if len(work.Events) == 1 {
			a.same("Send", work.Events[0].Event.Send, &messaging.SendRef{ID: out.ID, Attempt: out.Attempt.ID})
		}
	}},
	{"ForeignDeadLetterIsLeftToTheOwner", 2, func(ws []*world) {
		a, b := ws[0], ws[1]
		ev := a.message("dead")
		a.commit(addEarly(ev, dead()))
		held := a.message("held")
		a.wantUnheld("the owner's", held, false)
		v := replay(ev)
		b.commit(v)
		b.wantRevived("replay", v, true, nil)
		b.is("Unheld", v.Unheld, true)
		b.wantNothing()
		a.wantEvents(a.load(), ev)
		a.commit(settle(held, done()), settle(ev, dead()))
		// Idle, it is whose who revives.
		v = replay(ev)
		b.commit(v)
		b.wantRevived("replay in an idle conversation", v, true, ev)
		b.is("Unheld in an idle conversation", v.Unheld, false)
		b.wantNothing()
		last := a.message("last")
		a.wantUnheld("the former owner's", last, true)
		b.wantEvents(b.load(), last)
	}},
	{"DeadLetterOvertakesNothing", 1, func(ws []*world) {
		w := ws[0]
		ev, waiting := w.message("dead"), w.message("waiting")
		w.commit(addEarly(ev, dead()), add(waiting))
		v := replay(ev)
		w.commit(v)
		w.wantRevived("replay while another waits", v, true, nil)
		w.is("Unheld", v.Unheld, true)
		w.wantEvents(w.load(), ev, waiting)
	}},
	{"ForeignRedeliveryIsLeftToTheOwner", 2, func(ws []*world) {
		a, b := ws[0], ws[1]
		out := a.sent("SM1")
		held := a.message("held")
		a.wantUnheld("the owner's", held, false)
		m := b.fail("SM1", messaging.StateFailed)
		b.wantMerge("failure", m, out, merge{isAccepted, messaging.StatusQueued, true, false})
		if m.Again != nil {
			b.Errorf("Again is %+v for an instance that does not own the conversation", m.Again)
		}
		a.pass(time.Minute)
		b.pass(time.Minute)
		b.wantNothing()
		a.wantSends(a.load(), out)
		a.commit(&messaging.Claim{SendID: out.ID, Status: messaging.StatusCancelled}, settle(held, done()))
		// Idle, it is whose who is told.
		idle := a.sent("SM2")
		b.wantAgain("failure in an idle conversation", b.fail("SM2", messaging.StateFailed), idle, b.now.Add(time.Minute))
		b.pass(time.Minute)
		a.pass(time.Minute)
		b.wantSends(b.load(), idle)
		a.wantNothing()
		a.wantUnheld("the former owner's", a.message("left"), true)
	}},
	{"RepeatedBatchIsRecognised", 2, func(ws []*world) {
		a, b := ws[0], ws[1]
		dead := a.buried("dead", true)
		a.wantUnheld("the owner's", a.message("held"), false)
		batch := b.commit(hold(b.message("left")), hold(b.messageFrom(person(1), "mine")), addEarly(b.message("x"), done(b.claimed("left"))),
			enqueue(b.queued("left")), enqueue(to(b.claimed("mine"), person(1))), replay(dead))
		first, work := resultsOf(batch), a.load()
		for range 2 {
			spoil(batch)
			if err := b.store.Commit(b.Context(), batch); err != nil {
				b.Fatalf("Commit of the same batch: %v", err)
			}
			b.same("results of the retry", resultsOf(batch), first)
			a.same("work after the retry", a.load(), work)
		}
	}},
}
