package messagingtest

import (
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

// failure makes the append of a state that asks for another try a minute later, at most
// twice in all.
func (w *world) failure(messageID string, s messaging.State, tags ...string) *messaging.Append {
	a := addEarly(w.state(messageID, s, tags...), done())
	a.Event.Reason = "unreachable carrier"
	a.Redeliver = &messaging.Redelivery{Attempts: 2, At: w.now.Add(time.Minute)}
	return a
}

// fail commits such an append and gives its result.
func (w *world) fail(messageID string, s messaging.State, tags ...string) *messaging.Merge {
	w.Helper()
	a := w.failure(messageID, s, tags...)
	w.commit(a)
	w.is("Fresh of the failure", a.Fresh, true)
	return a.Merge
}

// wantAgain checks that the failed first attempt of a send let it go out again.
func (w *world) wantAgain(what string, m *messaging.Merge, out *messaging.Outgoing, at time.Time) {
	w.Helper()
	w.wantMerge(what, m, out, merge{isAccepted, messaging.StatusQueued, true, false})
	want := &messaging.Outgoing{Send: out.Send, Attempt: out.Attempt, Status: messaging.StatusQueued}
	want.NotBefore = at
	if m.Again == nil {
		w.Fatalf("%s: Again is nil", what)
	}
	got := *m.Again
	got.Reason = "" // the store's own
	w.same(what+": Again", &got, want)
}

// wantNotAgain checks that a failure is final.
func (w *world) wantNotAgain(what string, m *messaging.Merge, out *messaging.Outgoing, want merge) {
	w.Helper()
	w.wantMerge(what, m, out, want)
	if m.Again != nil {
		w.Errorf("%s: Again is %+v, want nil", what, m.Again)
	}
	work := w.load()
	w.wantSends(work)
	w.is(what+": NextDue.IsZero", work.NextDue.IsZero(), true)
}

// second claims the next attempt at a send.
func (w *world) second(out *messaging.Outgoing) *messaging.Attempt {
	w.Helper()
	a := w.attempt(out.ID, 2)
	b := w.commit(claim(out.ID, a))
	w.is("Granted of the second attempt", b.Claims[0].Granted, true)
	return a
}

var redeliveryTests = []test{
	{"FailedGoesOutAgain", func(w *world) {
		for _, s := range []messaging.State{messaging.StateFailed, messaging.StateUndelivered} {
			out := w.sent("SM1 " + string(s))
			at := w.now.Add(time.Minute)
			w.wantAgain(string(s), w.fail("SM1 "+string(s), s), out, at)
			work := w.load()
			w.wantSends(work)
			w.wantDoubts(work)
			w.same("NextDue", work.NextDue, at)
			w.pass(time.Minute)
			work = w.load()
			w.wantSends(work, out)
			if len(work.Sends) == 1 {
				got := work.Sends[0]
				w.same("Body", got.Body, out.Body)
				w.same("NotBefore", got.NotBefore, at)
				w.same("Attempt", got.Attempt, out.Attempt) // the next one is numbered after it
			}
			a := w.second(out)
			ref := messaging.SendRef{ID: out.ID, Attempt: a.ID}
			second := *out
			second.Attempt = a
			w.wantDoubts(w.load(), messaging.Doubt{Attempt: *a, Send: work.Sends[0].Send, Outcome: messaging.OutcomeOpen, Since: w.now})
			b := w.commit(accepted(&second, "SM2 "+string(s)))
			w.wantMergeOf("answer", b.Reports[0].Merge, ref, merge{isAccepted, messaging.StatusAccepted, true, false})
			w.wantMergeOf("delivered", w.arrive("SM2 "+string(s), messaging.StateDelivered), ref,
				merge{isAccepted, messaging.StatusDelivered, true, false})
			work = w.load()
			w.wantSends(work)
			w.wantDoubts(work)
		}
	}},
	{"ByTagBeforeTheAnswer", func(w *world) {
		for _, doubted := range []bool{false, true} {
			out := w.claimed("hello")
			out.InReplyTo = "SM-in"
			id := "SM " + out.ID.String()
			w.commit(enqueue(out))
			if doubted {
				w.commit(inDoubt(out))
			}
			w.wantAgain("failure", w.fail(id, messaging.StateFailed, out.Attempt.Tag()), out, w.now.Add(time.Minute))
			w.wantDoubts(w.load())
			b := w.commit(accepted(out, id))
			w.wantMerge("late answer", b.Reports[0].Merge, out, merge{isAccepted, messaging.StatusQueued, false, false})
			w.pass(time.Minute)
			w.wantSends(w.load(), out)
			second := *out
			second.Attempt = w.second(out)
			w.wantSends(w.load())
			w.commit(accepted(&second, "SM2 "+out.ID.String()))
		}
	}},
	{"OfAnEventWithoutNumbers", func(w *world) {
		// The numbers are those of the send.
		for _, tagged := range []bool{false, true} {
			out := w.claimed("hello")
			id := "SM " + out.ID.String()
			w.commit(enqueue(out))
			w.commit(accepted(out, id))
			a := w.failure(id, messaging.StateFailed)
			a.Event.From, a.Event.To = "", ""
			if tagged {
				a.Event.Tags, a.Event.MessageID = []string{out.Attempt.Tag()}, ""
			}
			w.commit(a)
			w.wantAgain("failure", a.Merge, out, w.now.Add(time.Minute))
			w.pass(time.Minute)
			w.wantSends(w.load(), out)
			w.commit(&messaging.Claim{SendID: out.ID, Status: messaging.StatusCancelled})
		}
	}},
	{"DeliveryOfAnOlderAttemptEndsIt", func(w *world) {
		for _, c := range []struct {
			state  messaging.State
			stands merge
		}{
			{messaging.StateDelivered, merge{isAccepted, messaging.StatusDelivered, true, false}}, // the person has the text
			{messaging.StateSent, merge{isAccepted, messaging.StatusQueued, false, false}},
			{messaging.StateUndelivered, merge{isAccepted, messaging.StatusQueued, false, false}},
		} {
			out := w.claimed("hello")
			w.commit(enqueue(out))
			w.commit(inDoubt(out))
			w.commit(report(out, isInDoubt, messaging.StatusQueued))
			second := *out
			second.Attempt = w.second(out)
			id := "SM2 " + out.ID.String()
			w.commit(accepted(&second, id))
			failed := w.failure(id, messaging.StateFailed)
			failed.Redeliver.Attempts = 3
			w.commit(failed)
			w.wantAgain("failure of the second", failed.Merge, &second, w.now.Add(time.Minute))
			m := w.arrive("SM1 "+out.ID.String(), c.state, out.Attempt.Tag())
			w.wantMerge(string(c.state)+" of the first", m, out, c.stands)
			w.pass(time.Minute)
			third := *out
			third.Attempt = w.attempt(out.ID, 3)
			b := w.commit(claim(out.ID, third.Attempt))
			w.is("Granted of the third attempt after "+string(c.state), b.Claims[0].Granted, c.state != messaging.StateDelivered)
			w.wantSends(w.load())
			if !b.Claims[0].Granted {
				continue
			}
			w.commit(accepted(&third, "SM3 "+out.ID.String()))
			m = w.arrive("SM3 "+out.ID.String(), messaging.StateDelivered)
			w.wantMergeOf("delivered by the third after "+string(c.state), m, messaging.SendRef{ID: out.ID, Attempt: third.Attempt.ID},
				merge{isAccepted, messaging.StatusDelivered, true, false})
		}
	}},
	{"NotByAnOlderAttempt", func(w *world) {
		out := w.claimed("hello")
		w.commit(enqueue(out))
		w.commit(inDoubt(out))
		w.commit(report(out, isInDoubt, messaging.StatusQueued))
		w.second(out)
		m := w.fail("SM1", messaging.StateFailed, out.Attempt.Tag())
		w.wantNotAgain("failure of the first", m, out, merge{isAccepted, messaging.StatusFailed, true, false})
	}},
	{"NotByAnOlderAttemptWhenTheNewestIsAccepted", func(w *world) {
		out := w.claimed("hello")
		w.commit(enqueue(out))
		w.commit(inDoubt(out))
		w.commit(report(out, isInDoubt, messaging.StatusQueued))
		second := *out
		second.Attempt = w.second(out)
		w.commit(accepted(&second, "SM2"))
		for _, s := range []messaging.State{messaging.StateFailed, messaging.StateUndelivered} {
			a := w.failure("SM1", s, out.Attempt.Tag())
			a.Redeliver.Attempts = 9
			w.commit(a)
			if a.Merge == nil || a.Merge.Again != nil {
				w.Errorf("failure of the first: Merge is %+v, want one without Again", a.Merge)
			}
		}
		work := w.load()
		w.wantSends(work)
		w.is("NextDue.IsZero", work.NextDue.IsZero(), true)
	}},
	{"OnlySoManyAttempts", func(w *world) {
		out := w.sent("SM1")
		w.wantAgain("first failure", w.fail("SM1", messaging.StateUndelivered), out, w.now.Add(time.Minute))
		w.pass(time.Minute)
		second := *out
		second.Attempt = w.second(out)
		w.commit(accepted(&second, "SM2"))
		w.wantNotAgain("second failure", w.fail("SM2", messaging.StateUndelivered), &second,
			merge{isAccepted, messaging.StatusUndelivered, true, false})
		once := w.sent("SM3")
		a := w.failure("SM3", messaging.StateFailed)
		a.Redeliver.Attempts = 1
		w.commit(a)
		w.wantNotAgain("the only attempt's failure", a.Merge, once, merge{isAccepted, messaging.StatusFailed, true, false})
	}},
	{"OnlyBeforeItExpires", func(w *world) {
		for _, c := range []struct {
			name    string
			expires time.Time
			again   bool
		}{
			{"expires then", w.now.Add(time.Minute), false},
			{"expires before", w.now.Add(time.Second), false},
			{"expires after", w.now.Add(time.Minute + time.Millisecond), true},
			{"never expires", time.Time{}, true},
		} {
			out := w.claimed("hello")
			out.ExpiresAt = c.expires
			w.commit(enqueue(out))
			w.commit(accepted(out, "SM "+c.name))
			m := w.fail("SM "+c.name, messaging.StateFailed)
			if !c.again {
				w.wantNotAgain(c.name, m, out, merge{isAccepted, messaging.StatusFailed, true, false})
				continue
			}
			w.wantAgain(c.name, m, out, w.now.Add(time.Minute))
			w.commit(&messaging.Claim{SendID: out.ID, Status: messaging.StatusCancelled})
		}
	}},
	{"OnlyWhenAsked", func(w *world) {
		out := w.sent("SM1")
		w.wantNotAgain("failure", w.arrive("SM1", messaging.StateFailed), out, merge{isAccepted, messaging.StatusFailed, true, false})
		late := w.fail("SM1", messaging.StateUndelivered)
		w.wantNotAgain("a second last word", late, out, merge{isAccepted, messaging.StatusFailed, false, true})
	}},
	{"OnlyWhatFails", func(w *world) {
		out := w.sent("SM1")
		w.wantNotAgain("sent", w.fail("SM1", messaging.StateSent), out, merge{isAccepted, messaging.StatusSent, true, false})
		w.wantNotAgain("delivered", w.fail("SM1", messaging.StateDelivered), out, merge{isAccepted, messaging.StatusDelivered, true, false})
		w.wantNotAgain("failed after delivered", w.fail("SM1", messaging.StateFailed), out,
			merge{isAccepted, messaging.StatusDelivered, false, true})
		rejected := w.claimed("hello")
		w.commit(enqueue(rejected))
		w.commit(report(rejected, isRejected, messaging.StatusFailed))
		w.wantNotAgain("failed after rejected", w.fail("SM2", messaging.StateFailed, rejected.Attempt.Tag()), rejected,
			merge{isRejected, messaging.StatusFailed, false, false})
		if m := w.fail("SM-stranger", messaging.StateFailed); m != nil {
			w.Errorf("Merge of a stranger's failure is %+v, want nil", m)
		}
	}},
	{"LateWordsOfTheFirstChangeNothing", func(w *world) {
		out := w.sent("SM1")
		w.fail("SM1", messaging.StateFailed)
		w.pass(time.Minute)
		late := func(what string, stands messaging.Status) {
			w.Helper()
			id, tag := "SM1 "+what, out.Attempt.Tag()
			w.wantMerge(what, w.arrive(id, messaging.StateDelivered, tag), out, merge{isAccepted, stands, false, true})
			w.wantMerge(what, w.arrive(id, messaging.StateSent, tag), out, merge{isAccepted, stands, false, false})
			w.wantMerge(what, w.fail(id, messaging.StateUndelivered, tag), out, merge{isAccepted, stands, false, true})
			b := w.commit(inDoubt(out), accepted(out, "SM1"))
			w.wantMerge(what+": doubt", b.Reports[0].Merge, out, merge{isAccepted, stands, false, false})
			w.wantMerge(what+": answer", b.Reports[1].Merge, out, merge{isAccepted, stands, false, false})
		}
		late("while queued", messaging.StatusQueued)
		w.wantSends(w.load(), out)
		second := *out
		second.Attempt = w.second(out)
		late("while sending", messaging.StatusSending)
		if n := len(w.load().Doubts); n != 1 {
			w.Errorf("%d attempts are open, want the second", n)
		}
		w.commit(accepted(&second, "SM2"))
		late("while accepted", messaging.StatusAccepted)
		w.wantMerge("delivered", w.arrive("SM2", messaging.StateDelivered), &second, merge{isAccepted, messaging.StatusDelivered, true, false})
	}},
	{"KeepsItsPlace", func(w *world) {
		before, out, after := w.queued("before"), w.claimed("hello"), w.queued("after")
		w.commit(enqueue(before), enqueue(out), enqueue(after))
		w.commit(accepted(out, "SM1"))
		w.fail("SM1", messaging.StateFailed)
		w.pass(time.Minute)
		w.wantSends(w.load(), before, out, after)
	}},
	{"KeepsItsKey", func(w *world) {
		out := w.sent("SM1")
		w.fail("SM1", messaging.StateFailed)
		call := w.queued("second")
		call.Key = out.Key
		b := w.commit(enqueue(call))
		w.is("Inserted under its key", call.Inserted, false)
		if x := b.Enqueues[0].Existing; x == nil || x.ID != out.ID {
			w.Errorf("Existing is %v, want the send that goes out again", x)
		}
	}},
	{"DuplicateFailureChangesNothing", func(w *world) {
		out := w.sent("SM1")
		a := w.failure("SM1", messaging.StateFailed)
		w.commit(a)
		w.pass(time.Minute)
		w.second(out)
		dup := w.failure("SM1", messaging.StateFailed)
		w.commit(dup)
		w.is("Fresh", dup.Fresh, false)
		if dup.Merge != nil {
			w.Errorf("Merge of a duplicate is %+v, want nil", dup.Merge)
		}
		w.wantSends(w.load())
	}},
	{"RepeatedBatchIsRecognised", func(w *world) {
		out := w.sent("SM1")
		a := w.failure("SM1", messaging.StateFailed)
		b := w.commit(a)
		first := resultsOf(b)
		w.wantAgain("failure", a.Merge, out, w.now.Add(time.Minute))
		a.Merge.Again.Body = "changed by the caller"
		a.Merge.Again.Attempt.Number = 99
		for range 2 {
			spoil(b)
			if err := w.store.Commit(w.Context(), b); err != nil {
				w.Fatalf("Commit of the same batch: %v", err)
			}
			w.same("results of the retry", resultsOf(b), first)
		}
		w.pass(time.Minute)
		w.wantSends(w.load(), out)
	}},
	{"ResultIsNotShared", func(w *world) {
		out := w.sent("SM1")
		m := w.fail("SM1", messaging.StateFailed)
		w.wantAgain("failure", m, out, w.now.Add(time.Minute))
		m.Again.Body, m.Again.Attempt.Number = "changed by the caller", 99
		w.pass(time.Minute)
		work := w.load()
		w.wantSends(work, out)
		w.same("Body", work.Sends[0].Body, out.Body)
		w.same("Number", work.Sends[0].Attempt.Number, 1)
	}},
}
