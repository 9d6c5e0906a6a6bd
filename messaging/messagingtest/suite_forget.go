package messagingtest

import (
	"github.com/signpost-sms/signpost/messaging"
)

// forget forgets a number and checks how many rows that was.
func (w *world) forget(n messaging.Number, changed, unfinished int64) {
	w.Helper()
	c, u, err := w.archive().Forget(w.Context(), n)
	if err != nil {
		w.Fatalf("Forget: %v", err)
	}
	if c != changed || u != unfinished {
		w.Errorf("Forget changed %d rows and left %d unfinished; want %d and %d", c, u, changed, unfinished)
	}
}

// stripped is a record as it is once it is forgotten.
func stripped(r *messaging.EventRecord) *messaging.EventRecord {
	ev, gone := *r.Event, *r
	ev.Body, ev.Media = "", nil
	gone.Event, gone.Forgotten = &ev, true
	return &gone
}

var forgetTests = []test{
	{"BothDirections", func(w *world) {
		journaled := w.now
		s := w.tell()
		c, u, err := w.archive().Forget(w.Context(), theirs)
		if err != nil || c < 3 || u != 0 { // the inbound and the sends; states have texts in their frames
			w.Fatalf("Forget: %d, %d, %v", c, u, err)
		}
		l := w.life(s.ev.ID)
		w.shows("Inbound", l.Inbound, stripped(record(s.ev, journaled, s.outcome)))
		for i, out := range []*messaging.Outgoing{s.out, s.gone} {
			want := out.Send
			want.Body, want.Media = "", nil
			w.shows("Send", l.Sends[i].Send, want)
			w.is("Forgotten", l.Sends[i].Forgotten, true)
		}
		w.shows("Status", l.Sends[0].Status, messaging.StatusDelivered)
		w.shows("Attempts", len(l.Sends[0].Attempts), 2)
		w.wantTexts("hours", messaging.Search{Text: "hours"})
		w.wantTexts("sends", messaging.Search{Sends: true, Text: "9 to 5"})
	}},
	{"KeepsIDs", func(w *world) {
		s := w.tell()
		if _, _, err := w.archive().Forget(w.Context(), theirs); err != nil {
			w.Fatalf("Forget: %v", err)
		}
		dup, second := add(again(s.ev)), w.queued("second")
		second.Key = s.out.Key
		w.commit(dup, enqueue(second))
		w.is("Fresh of a forgotten event", dup.Fresh, false)
		w.is("Inserted under the key of a forgotten send", second.Inserted, false)
		ref := messaging.SendRef{ID: s.out.ID, Attempt: s.second.ID, InReplyTo: s.ev.ID}
		w.wantMergeOf("a late state", w.arrive("SM "+s.ev.ID, messaging.StateInitiated), ref,
			merge{isAccepted, messaging.StatusDelivered, false, false})
	}},
	{"OfThatNumberOnly", func(w *world) {
		w.tell()
		other, out := w.messageFrom(person(1), "another's"), to(w.queued("to another"), person(1))
		out.Status = messaging.StatusSuppressed
		w.commit(addEarly(other, done()), enqueue(out))
		w.forget(person(2), 0, 0)
		w.forget(ours, 0, 0) // a person's number, not one of ours
		w.forget("", 0, 0)
		if _, _, err := w.archive().Forget(w.Context(), theirs); err != nil {
			w.Fatalf("Forget: %v", err)
		}
		w.wantTexts("inbounds", messaging.Search{Text: "another"}, "another's")
		w.wantTexts("sends", messaging.Search{Sends: true, Text: "another"}, "to another")
		w.is("Forgotten of another's", w.life(other.ID).Inbound.Forgotten, false)
		w.forget(person(1), 2, 0)
		w.wantTexts("inbounds of the other", messaging.Search{Text: "another"})
	}},
	{"LeavesWhatIsUnfinished", func(w *world) {
		waiting, retried := w.message("waiting"), w.message("retried")
		queued, open, doubted := w.queued("queued"), w.claimed("open"), w.claimed("doubted")
		w.commit(add(waiting), add(retried), enqueue(queued), enqueue(open), enqueue(doubted))
		w.commit(settle(retried, retry(w.now, 1)), inDoubt(doubted))
		before := w.load()
		w.forget(theirs, 0, 5)
		w.same("work after Forget", w.load(), before)
		w.commit(settle(waiting, done()), settle(retried, done()), &messaging.Claim{SendID: queued.ID, Status: messaging.StatusCancelled},
			accepted(open, "SM1"), report(doubted, isAbsent, messaging.StatusFailed))
		w.forget(theirs, 5, 0)
		for _, body := range []string{"waiting", "retried"} {
			w.wantTexts(body, messaging.Search{Text: body})
		}
		for _, body := range []string{"queued", "open", "doubted"} {
			w.wantTexts(body, messaging.Search{Sends: true, Text: body})
		}
	}},
	{"OnceIsEnough", func(w *world) {
		w.put(false, "text")
		w.put(true, "text")
		w.forget(theirs, 2, 0)
		w.forget(theirs, 0, 0)
		w.put(false, "new")
		w.forget(theirs, 1, 0)
	}},
	{"NoRedeliveryWithoutText", func(w *world) {
		out := w.sent("SM1")
		w.forget(theirs, 1, 0)
		w.wantNotAgain("failure", w.fail("SM1", messaging.StateFailed), out, merge{isAccepted, messaging.StatusFailed, true, false})
	}},
	{"DeadLetterCanOnlyBeDropped", func(w *world) {
		ev := w.buried("dead", false)
		w.forget(theirs, 1, 0)
		v := replay(ev)
		w.commit(v)
		w.wantRevived("replay", v, false, nil)
		w.wantEvents(w.load())
		v = drop(ev)
		w.commit(v)
		w.wantRevived("drop", v, true, nil)
	}},
	{"BesideCommits", func(w *world) {
		ended := make(chan bool)
		go func() {
			defer close(ended)
			for range 30 {
				if !w.try(addEarly(w.message("text"), done()), enqueue(w.queued("text"))) {
					return
				}
			}
		}()
		for range 10 {
			if _, _, err := w.archive().Forget(w.Context(), theirs); err != nil {
				w.Errorf("Forget beside Commit: %v", err)
			}
		}
		<-ended
		if _, _, err := w.archive().Forget(w.Context(), theirs); err != nil {
			w.Fatalf("Forget: %v", err)
		}
		w.wantTexts("inbounds", messaging.Search{Text: "text"})
		w.shows("queued sends", len(w.load().Sends), 30)
	}},
}
