package messagingtest

import (
	"testing"
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

// testDurable checks that what was committed survives the store's end.
func testDurable(t *testing.T, open func(*testing.T) messaging.Store, reopen func(*testing.T, messaging.Store) messaging.Store) {
	run := func(name string, f func(w *world, again func())) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, open(t))
			f(w, func() {
				w.Helper()
				w.store = reopen(t, w.store)
				if !w.store.Traits().Shared { // else the heir of what it holds is another
					w.owner = newID() // another process
				}
			})
		})
	}
	run("WorkIsFoundAgain", func(w *world, reopen func()) {
		retried, waiting, finished := w.message("retried"), w.message("waiting"), w.message("finished")
		queued, open, doubted := w.queued("queued"), w.claimed("open"), w.claimed("doubted")
		state := w.state("SM0", messaging.StateSent, w.sent("SM0").Attempt.Tag())
		w.commit(add(retried), add(waiting), addEarly(finished, done(queued, open)), add(state), enqueue(doubted))
		w.commit(settle(retried, retry(w.now.Add(time.Minute), 2)), inDoubt(doubted))
		before := w.load()
		w.wantEvents(before, retried, waiting, state)
		w.wantSends(before, queued)
		if len(before.Doubts) != 2 {
			w.Fatalf("%d doubts, want 2", len(before.Doubts))
		}
		reopen()
		w.same("work after reopening", w.load(), before)
		b := w.commit(settle(retried, done()), claim(queued.ID, w.attempt(queued.ID, 1)), accepted(open, "SM1"), accepted(doubted, "SM2"))
		w.is("Lost", b.Settles[0].Lost, false)
		w.is("Granted", b.Claims[0].Granted, true)
		w.wantMerge("report", b.Reports[0].Merge, open, merge{isAccepted, messaging.StatusAccepted, true, false})
		w.wantMerge("report of a doubt", b.Reports[1].Merge, doubted, merge{isAccepted, messaging.StatusAccepted, true, false})
	})
	run("SequenceGoesOn", func(w *world, reopen func()) {
		a, b := w.message("a"), w.message("b")
		w.commit(addEarly(a, done()))
		reopen()
		w.commit(add(b))
		if b.Seq <= a.Seq {
			w.Errorf("Seq after reopening is %d, want more than %d", b.Seq, a.Seq)
		}
	})
	run("IDsAndKeysAreKnown", func(w *world, reopen func()) {
		finished, waiting, out := w.message("finished"), w.message("waiting"), w.queued("queued")
		w.commit(addEarly(finished, done()), add(waiting), enqueue(out))
		reopen()
		second := w.queued("second")
		second.Key = out.Key
		b := w.commit(add(again(finished)), add(again(waiting)), enqueue(second))
		w.is("Fresh of a finished event", b.Appends[0].Fresh, false)
		w.is("Fresh of an unfinished event", b.Appends[1].Fresh, false)
		w.is("Inserted under a taken key", second.Inserted, false)
	})
	run("StatesFindTheirSend", func(w *world, reopen func()) {
		tagged, known, open := w.sent("SM1"), w.sent("SM2"), w.claimed("open")
		w.commit(enqueue(open))
		w.arrive("SM3", messaging.StateSent) // overtakes the report
		reopen()
		w.wantMerge("by tag", w.arrive("SM1", messaging.StateSent, tagged.Attempt.Tag()), tagged,
			merge{isAccepted, messaging.StatusSent, true, false})
		w.wantMerge("by message id", w.arrive("SM2", messaging.StateDelivered), known,
			merge{isAccepted, messaging.StatusDelivered, true, false})
		b := w.commit(accepted(open, "SM3"))
		w.wantMerge("report", b.Reports[0].Merge, open, merge{isAccepted, messaging.StatusSent, true, false})
		reopen()
		w.wantMerge("never back", w.arrive("SM2", messaging.StateSent), known,
			merge{isAccepted, messaging.StatusDelivered, false, false})
	})
	run("ConsentIsKnown", func(w *world, reopen func()) {
		needLedger(w.T, w.store)
		cs := []*messaging.ConsentChange{
			stop(theirs), stop(theirs), scoped(change(messaging.ConsentReview, theirs), messaging.ContextScope("sales")), start(person(1)),
		}
		for _, c := range cs[:3] {
			w.commit(c)
		}
		w.commit(w.said(cs[3], w.confirmation()))
		reopen()
		w.wantLedger(w.lines(cs...)...)
		w.same("Consents", w.consents(0, everything), []messaging.ConsentState{cs[1].State, cs[2].State, cs[3].State})
		w.same("ConsentOf", w.consentOf(theirs), []messaging.ConsentState{cs[1].State, cs[2].State})
		next := stop(theirs)
		w.commit(next)
		w.is("Changed by a stop after reopening", next.Changed, false)
		w.wantLedger(w.lines(append(cs, next)...)...)
	})
	run("RetriedBatchIsRecognised", func(w *world, _ func()) {
		m := w.mixed()
		if err := w.store.Commit(w.Context(), m.batch); err != nil {
			w.Fatalf("Commit: %v", err)
		}
		first := resultsOf(m.batch)
		w.store = reopen(w.T, w.store)
		spoil(m.batch)
		if err := w.store.Commit(w.Context(), m.batch); err != nil {
			w.Fatalf("Commit of the same batch: %v", err)
		}
		w.same("results of the retry", resultsOf(m.batch), first)
	})
}
