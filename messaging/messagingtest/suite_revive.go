package messagingtest

import (
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

func replay(ev *messaging.Event) *messaging.Revive { return &messaging.Revive{EventID: ev.ID} }

func drop(ev *messaging.Event) *messaging.Revive {
	return &messaging.Revive{EventID: ev.ID, Drop: true}
}

// wantRevived checks a result that says what became of a dead letter.
func (w *world) wantRevived(what string, v *messaging.Revive, done bool, ev *messaging.Event) {
	w.Helper()
	w.is(what+": Done", v.Done, done)
	if v.Unheld && w.store.Traits().Shared { // it is left to Load
		ev = nil
	}
	if ev != nil {
		whole := *ev
		whole.Attempt = 0
		ev = &whole
	}
	w.same(what+": Event", v.Event, ev)
}

// buried commits an event that becomes a dead letter, by a settle or at once.
func (w *world) buried(body string, early bool) *messaging.Event {
	w.Helper()
	ev := w.message(body)
	if early {
		w.commit(addEarly(ev, dead()))
		return ev
	}
	w.commit(add(ev))
	w.commit(settle(ev, dead()))
	return ev
}

var reviveTests = []test{
	{"ReplayedLivesAgain", func(w *world) {
		for _, early := range []bool{false, true} {
			ev := w.message("Grüße, \U0001F44B")
			ev.Media, ev.Tags = []string{"https://example.com/a"}, []string{"k-42", ""}
			ev.Frame = []byte("{\"raw\":\"\x00\xff\"}")
			if early {
				w.commit(addEarly(ev, dead()))
			} else {
				w.commit(add(ev))
				w.commit(settle(ev, retry(w.now.Add(time.Hour), 7)))
				w.commit(settle(ev, &messaging.Outcome{Fate: messaging.FateDead, Attempt: 8, Err: "no use"}))
			}
			w.pass(time.Hour)
			v := replay(ev)
			w.commit(v)
			w.wantRevived("replay", v, true, ev)
			work := w.load()
			w.wantEvents(work, ev)
			if len(work.Events) == 1 {
				w.same("loaded event", work.Events[0].Event, v.Event)
				w.is("RetryAt.IsZero", work.Events[0].RetryAt.IsZero(), true)
			}
			answer := w.queued("answer")
			b := w.commit(settle(v.Event, done(answer)))
			w.is("Lost", b.Settles[0].Lost, false)
			w.is("Inserted", answer.Inserted, true)
			work = w.load()
			w.wantEvents(work)
			w.wantSends(work, answer)
			w.commit(&messaging.Claim{SendID: answer.ID, Status: messaging.StatusCancelled})
		}
	}},
	{"ReplayedIsStillADuplicate", func(w *world) {
		ev := w.buried("once", false)
		dup := add(again(ev))
		w.commit(dup)
		w.is("Fresh of a dead letter's duplicate", dup.Fresh, false)
		w.commit(replay(ev))
		dup = add(again(ev))
		w.commit(dup)
		w.is("Fresh while it lives again", dup.Fresh, false)
		w.wantEvents(w.load(), ev)
		w.commit(settle(ev, done()))
		dup = add(again(ev))
		w.commit(dup)
		w.is("Fresh after the second life", dup.Fresh, false)
		w.wantEvents(w.load())
	}},
	{"ReplayedKeepsItsPlace", func(w *world) {
		first := w.message("first")
		w.commit(add(first))
		a, b := w.buried("a", false), w.buried("b", true)
		last := w.message("last")
		w.commit(add(last))
		w.commit(replay(b))
		w.wantEvents(w.load(), first, b, last)
		w.commit(replay(a))
		work := w.load()
		w.wantEvents(work, first, a, b, last)
		w.wantEvents(w.query(messaging.Query{Events: true, Limit: 2, AfterSeq: a.Seq}), b, last)
		w.commit(settle(first, done()), settle(last, done()))
		w.wantEvents(w.load(), a, b)
	}},
	{"ReplayedMayBeRetriedAndDieAgain", func(w *world) {
		ev := w.buried("stubborn", false)
		for range 2 {
			v := replay(ev)
			w.commit(v)
			w.wantRevived("replay", v, true, ev)
			at := w.now.Add(time.Minute)
			w.commit(settle(v.Event, retry(at, 1)))
			work := w.load()
			w.wantEvents(work, ev)
			if len(work.Events) == 1 {
				w.same("RetryAt", work.Events[0].RetryAt, at)
				w.same("Attempt", work.Events[0].Event.Attempt, 1)
			}
			b := w.commit(settle(v.Event, dead()))
			w.is("Lost", b.Settles[0].Lost, false)
			w.wantEvents(w.load())
		}
	}},
	{"StateIsReplayed", func(w *world) {
		out := w.sent("SM1")
		ev := w.state("SM1", messaging.StateSent, out.Attempt.Tag())
		w.commit(addEarly(ev, dead()))
		v := replay(ev)
		w.commit(v)
		if v.Event == nil {
			w.Fatal("Event is nil")
		}
		ref := &messaging.SendRef{ID: out.ID, Attempt: out.Attempt.ID}
		w.same("Send", v.Event.Send, ref)
		work := w.load()
		w.wantEvents(work, ev)
		if len(work.Events) == 1 {
			w.same("Send of the loaded event", work.Events[0].Event.Send, ref)
		}
	}},
	{"Dropped", func(w *world) {
		for _, early := range []bool{false, true} {
			ev := w.buried("no use", early)
			v := drop(ev)
			v.Event = ev // results are set, not only raised
			w.commit(v)
			w.wantRevived("drop", v, true, nil)
			w.wantEvents(w.load())
			for _, late := range []*messaging.Revive{drop(ev), replay(ev)} {
				w.commit(late)
				w.wantRevived("after the drop", late, false, nil)
			}
			dup := add(again(ev))
			w.commit(dup)
			w.is("Fresh of a dropped letter's duplicate", dup.Fresh, false)
		}
		w.wantEvents(w.load())
	}},
	{"OnlyDeadLetters", func(w *world) {
		waiting, finished, early := w.message("waiting"), w.message("finished"), w.message("early")
		w.commit(add(waiting), add(finished), addEarly(early, done()))
		w.commit(settle(finished, done()))
		for _, ev := range []*messaging.Event{waiting, finished, early, w.message("unheard of")} {
			for _, v := range []*messaging.Revive{replay(ev), drop(ev)} {
				v.Done, v.Event = true, ev // results are set, not only raised
				w.commit(v)
				w.wantRevived(ev.Body, v, false, nil)
			}
		}
		w.wantEvents(w.load(), waiting)
		b := w.commit(settle(waiting, done()))
		w.is("Lost", b.Settles[0].Lost, false)
	}},
	{"OnceWithinBatch", func(w *world) {
		ev, other := w.buried("twice", false), w.buried("both", false)
		b := w.commit(replay(ev), replay(ev), drop(other), replay(other))
		w.wantRevived("first replay", b.Revives[0], true, ev)
		w.wantRevived("second replay", b.Revives[1], false, nil)
		w.wantRevived("drop", b.Revives[2], true, nil)
		w.wantRevived("replay after the drop", b.Revives[3], false, nil)
		w.wantEvents(w.load(), ev)
	}},
	{"LastInTheBatch", func(w *world) {
		settled, fresh := w.message("settled"), w.message("fresh")
		w.commit(add(settled))
		b := w.commit(replay(settled), replay(fresh), settle(settled, dead()), addEarly(fresh, dead()))
		w.wantRevived("replay after the settle", b.Revives[0], true, settled)
		w.wantRevived("replay after the append", b.Revives[1], true, fresh)
		w.wantEvents(w.load(), settled, fresh)
	}},
	{"RepeatedBatchIsRecognised", func(w *world) {
		replayed, dropped := w.buried("replayed", false), w.buried("dropped", true)
		b := w.commit(replay(replayed), drop(dropped), replay(dropped), drop(w.message("unheard of")))
		first := resultsOf(b)
		for range 2 {
			spoil(b)
			if err := w.store.Commit(w.Context(), b); err != nil {
				w.Fatalf("Commit of the same batch: %v", err)
			}
			w.same("results of the retry", resultsOf(b), first)
			w.wantEvents(w.load(), replayed)
		}
	}},
	{"ResultIsNotShared", func(w *world) {
		ev := w.buried("mine", false)
		v := replay(ev)
		w.commit(v)
		if v.Event == nil {
			w.Fatal("Event is nil")
		}
		v.Event.Attempt = 99 // the engine counts in its own copy
		w.same("Attempt in the store", w.load().Events[0].Event.Attempt, 0)
	}},
}
