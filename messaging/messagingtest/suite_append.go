package messagingtest

import (
	"strings"
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

var appendTests = []test{
	{"FreshInOrder", func(w *world) {
		a, b, c := w.message("a"), w.message("b"), w.message("c")
		batch := w.commit(add(a), add(b))
		w.commit(add(c))
		for _, ap := range batch.Appends {
			w.is("Fresh of a new event", ap.Fresh, true)
		}
		if !(0 < a.Seq && a.Seq < b.Seq && b.Seq < c.Seq) {
			w.Errorf("Seq of three events: %d, %d, %d; want positive and increasing", a.Seq, b.Seq, c.Seq)
		}
		work := w.load()
		w.wantEvents(work, a, b, c)
		for i, u := range work.Events {
			if want := []int64{a.Seq, b.Seq, c.Seq}[i]; u.Event.Seq != want {
				w.Errorf("Seq of loaded event %d is %d, want %d", i, u.Event.Seq, want)
			}
		}
	}},
	{"DuplicateInLaterBatch", func(w *world) {
		first := w.message("first")
		w.commit(add(first))
		second := again(first)
		second.Body = "second"
		other := w.message("other")
		dup := add(second)
		dup.Fresh = true // results are set, not only raised
		w.commit(dup, add(other))
		w.is("Fresh of a duplicate", dup.Fresh, false)
		work := w.load()
		w.wantEvents(work, first, other)
		if len(work.Events) > 0 && work.Events[0].Event.Body != "first" {
			w.Errorf("a duplicate replaced the event: body is %q", work.Events[0].Event.Body)
		}
	}},
	{"DuplicateInSameBatch", func(w *world) {
		ev := w.message("once")
		b := w.commit(add(ev), add(again(ev)))
		w.is("Fresh of the first", b.Appends[0].Fresh, true)
		w.is("Fresh of the second", b.Appends[1].Fresh, false)
		w.wantEvents(w.load(), ev)
	}},
	{"DuplicateOfFinished", func(w *world) {
		for _, o := range []*messaging.Outcome{done(), dead()} {
			late, early := w.message("settled"), w.message("early")
			w.commit(add(late), addEarly(early, o))
			w.commit(settle(late, o))
			b := w.commit(add(again(late)), add(again(early)))
			w.is("Fresh after a settle", b.Appends[0].Fresh, false)
			w.is("Fresh after an early outcome", b.Appends[1].Fresh, false)
		}
		w.wantEvents(w.load())
	}},
	{"StatesOfOneMessageAreDifferentEvents", func(w *world) {
		sent, delivered := w.state("SM1", messaging.StateSent), w.state("SM1", messaging.StateDelivered)
		b := w.commit(add(sent), add(delivered), add(again(sent)))
		w.is("Fresh of sent", b.Appends[0].Fresh, true)
		w.is("Fresh of delivered", b.Appends[1].Fresh, true)
		w.is("Fresh of sent, again", b.Appends[2].Fresh, false)
		w.wantEvents(w.load(), sent, delivered)
	}},
	{"EarlyDoneInsertsItsSends", func(w *world) {
		ev := w.message("hours?")
		queued, open := w.queued("9 to 5"), w.claimed("and more")
		w.commit(addEarly(ev, done(queued, open)))
		w.is("Inserted of the queued send", queued.Inserted, true)
		w.is("Inserted of the claimed send", open.Inserted, true)
		work := w.load()
		w.wantEvents(work)
		w.wantSends(work, queued)
		w.wantDoubts(work, messaging.Doubt{
			Attempt: *open.Attempt, Send: open.Send, Outcome: messaging.OutcomeOpen, Since: w.now,
		})
	}},
	{"EarlyOutcomeOfDuplicateIsDiscarded", func(w *world) {
		finished, waiting := w.message("finished"), w.message("waiting")
		w.commit(addEarly(finished, done()), add(waiting))
		var outs []*messaging.Outgoing
		for _, ev := range []*messaging.Event{finished, waiting} {
			q, o := w.queued("no"), w.claimed("no")
			q.Inserted, o.Inserted = true, true // results are set, not only raised
			outs = append(outs, q, o)
			w.commit(addEarly(again(ev), done(q, o)))
		}
		for _, o := range outs {
			w.is("Inserted for a duplicate event", o.Inserted, false)
		}
		work := w.load()
		w.wantEvents(work, waiting)
		w.wantSends(work)
		w.wantDoubts(work)
		b := w.commit(enqueue(outs[0]))
		w.is("Inserted under the key of a discarded send", b.Enqueues[0].Outgoing.Inserted, true)
	}},
	{"EarlyDead", func(w *world) {
		ev := w.message("?")
		b := w.commit(addEarly(ev, dead()))
		w.is("Fresh", b.Appends[0].Fresh, true)
		w.wantEvents(w.load())
	}},
	{"EarlyRetry", func(w *world) {
		ev := w.message("later")
		at := w.now.Add(time.Minute)
		w.commit(addEarly(ev, retry(at, 1)))
		work := w.load()
		w.wantEvents(work, ev)
		if len(work.Events) == 1 {
			w.same("RetryAt", work.Events[0].RetryAt, at)
			w.same("Attempt", work.Events[0].Event.Attempt, 1)
		}
	}},
	{"RoundTrip", func(w *world) {
		full := w.message(strings.Repeat("Grüße, 您好, \U0001F468\u200d\U0001F469\u200d\U0001F467 \"quoted\" \\ ' \t\r\n\u2028", 200))
		full.Context = "Sales & Más"
		full.Media = []string{"https://example.com/a?b=c&d=%20", "https://example.com/\u00fc.png"}
		full.Tags = []string{"k-42", "two words", ""}
		full.Segments = 7
		full.Frame = []byte("{\"raw\":\"\x00\xff not even text\"}")
		bare := w.message("")
		bare.SentAt, bare.Segments, bare.Context = time.Time{}, 0, ""
		short := w.message("short code")
		short.From = "72345"
		failed := w.state("SM-9", messaging.StateFailed, "a", "b")
		failed.Reason = "30006: landline or unreachable carrier"
		strange := w.state("SM-9", "on_its_way")
		events := []*messaging.Event{full, bare, short, failed, strange}
		for _, ev := range events {
			w.commit(add(ev))
		}
		work := w.load()
		w.wantEvents(work, events...)
		for i, u := range work.Events {
			w.same("loaded event", u.Event, events[i])
			w.is("RetryAt.IsZero of an event that was never run", u.RetryAt.IsZero(), true)
		}
	}},
	{"ConversationsInArrivalOrder", func(w *world) {
		var want []*messaging.Event
		for i := range 30 {
			ev := w.message(strings.Repeat("x", i+1))
			ev.From = messaging.Number("+1202555010" + string(rune('0'+i%3)))
			// The platform's clock is not to be trusted: arrival decides.
			ev.SentAt = w.now.Add(-time.Duration(i) * time.Minute)
			want = append(want, ev)
		}
		w.commit(add(want[0]), add(want[1]))
		for _, ev := range want[2:] {
			w.commit(add(ev))
		}
		w.commit(settle(want[3], retry(w.now, 1)), settle(want[4], done()))
		w.wantEvents(w.load(), append(append([]*messaging.Event{}, want[:4]...), want[5:]...)...)
	}},
}

var settleTests = []test{
	{"Done", func(w *world) {
		ev, other := w.message("one"), w.message("two")
		w.commit(add(ev), add(other))
		reply, gone := w.queued("answer"), w.queued("no use")
		gone.Status, gone.Reason = messaging.StatusSuppressed, "stop"
		b := w.commit(settle(ev, done(reply, gone)))
		w.is("Lost", b.Settles[0].Lost, false)
		w.is("Inserted", reply.Inserted, true)
		w.is("Inserted of a suppressed send", gone.Inserted, true)
		work := w.load()
		w.wantEvents(work, other)
		w.wantSends(work, reply)
	}},
	{"Retry", func(w *world) {
		ev := w.message("one")
		w.commit(add(ev))
		for n := 1; n <= 3; n++ {
			at := w.now.Add(time.Duration(n) * time.Minute)
			b := w.commit(settle(ev, retry(at, n)))
			w.is("Lost", b.Settles[0].Lost, false)
			work := w.load()
			w.wantEvents(work, ev)
			if len(work.Events) == 1 {
				w.same("RetryAt", work.Events[0].RetryAt, at)
				w.same("Attempt", work.Events[0].Event.Attempt, n)
			}
		}
		b := w.commit(settle(ev, done()))
		w.is("Lost of the settle after retries", b.Settles[0].Lost, false)
		w.wantEvents(w.load())
	}},
	{"Dead", func(w *world) {
		ev := w.message("one")
		w.commit(add(ev))
		b := w.commit(settle(ev, dead()))
		w.is("Lost", b.Settles[0].Lost, false)
		w.wantEvents(w.load())
	}},
	{"LostWhenFinished", func(w *world) {
		ev := w.message("one")
		w.commit(add(ev))
		w.commit(settle(ev, done(w.queued("first"))))
		for _, o := range []*messaging.Outcome{done(w.queued("second")), retry(w.now, 2), dead()} {
			for _, s := range o.Sends {
				s.Inserted = true
			}
			b := w.commit(settle(ev, o))
			w.is("Lost", b.Settles[0].Lost, true)
			for _, s := range o.Sends {
				w.is("Inserted by a lost settle", s.Inserted, false)
			}
		}
		work := w.load()
		w.wantEvents(work)
		if len(work.Sends) != 1 {
			w.Errorf("%d sends are queued, want the first settle's only", len(work.Sends))
		}
	}},
	{"LostWithinOneBatch", func(w *world) {
		ev := w.message("one")
		w.commit(add(ev))
		first, second := w.queued("first"), w.queued("second")
		b := w.commit(settle(ev, done(first)), settle(ev, done(second)))
		w.is("Lost of the first", b.Settles[0].Lost, false)
		w.is("Lost of the second", b.Settles[1].Lost, true)
		w.wantSends(w.load(), first)
	}},
	{"OnlyDoneSends", func(w *world) {
		for _, o := range []*messaging.Outcome{dead(), retry(w.now.Add(time.Hour), 1)} {
			for _, early := range []bool{false, true} {
				ev, q, c := w.message("x"), w.queued("no"), w.claimed("no")
				q.Inserted, c.Inserted = true, true // results are set, not only raised
				with := *o
				with.Sends = []*messaging.Outgoing{q, c}
				if early {
					w.commit(addEarly(ev, &with))
				} else {
					w.commit(add(ev))
					w.commit(settle(ev, &with))
				}
				w.is("Inserted of a queued send with the fate "+o.Fate.String(), q.Inserted, false)
				w.is("Inserted of a claimed send with the fate "+o.Fate.String(), c.Inserted, false)
				w.commit(enqueue(q))
				w.is("Inserted under the key of a send that was none", q.Inserted, true)
				w.commit(&messaging.Claim{SendID: q.ID, Status: messaging.StatusCancelled})
				work := w.load()
				w.wantSends(work)
				w.wantDoubts(work)
			}
		}
	}},
	{"LostWhenUnknown", func(w *world) {
		out := w.queued("to nobody")
		b := w.commit(settle(w.message("never journaled"), done(out)))
		w.is("Lost", b.Settles[0].Lost, true)
		w.is("Inserted", out.Inserted, false)
		w.wantSends(w.load())
	}},
	{"AfterLoad", func(w *world) {
		w.commit(add(w.message("one")))
		work := w.load()
		if len(work.Events) != 1 {
			w.Fatalf("%d events loaded, want 1", len(work.Events))
		}
		b := w.commit(settle(work.Events[0].Event, done()))
		w.is("Lost", b.Settles[0].Lost, false)
		w.wantEvents(w.load())
	}},
}
