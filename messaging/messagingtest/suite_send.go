package messagingtest

import (
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

var sendTests = []test{
	{"Enqueue", func(w *world) {
		queued, open, gone := w.queued("one"), w.claimed("two"), w.queued("three")
		gone.Status, gone.Reason = messaging.StatusExpired, "expired"
		b := w.commit(enqueue(queued), enqueue(open), enqueue(gone))
		for _, q := range b.Enqueues {
			w.is("Inserted", q.Outgoing.Inserted, true)
			if q.Existing != nil {
				w.Errorf("Existing is %v for a new send", q.Existing.ID)
			}
		}
		work := w.load()
		w.wantSends(work, queued)
		w.wantDoubts(work, messaging.Doubt{
			Attempt: *open.Attempt, Send: open.Send, Outcome: messaging.OutcomeOpen, Since: w.now,
		})
	}},
	{"RoundTrip", func(w *world) {
		full := w.queued("Grüße, 您好 \U0001F44B\n\"'\\")
		full.Context = "Sales & Más"
		full.Media = []string{"https://example.com/a?b=c", "https://example.com/b"}
		full.Tags = []string{"k-42", ""}
		full.Priority, full.Category = messaging.PriorityTransactional, messaging.CategoryTransactional
		full.NotBefore = w.now.Add(-time.Minute)
		full.InReplyTo = "SM-in"
		full.Reason = "not_before"
		bare := w.queued("")
		bare.Media = []string{"https://example.com/c"}
		bare.Key, bare.ExpiresAt, bare.Priority = "", time.Time{}, messaging.PriorityBulk
		w.commit(enqueue(full), enqueue(bare))
		work := w.load()
		w.wantSends(work, full, bare)
		for i, want := range []*messaging.Outgoing{full, bare} {
			if i < len(work.Sends) {
				w.same("loaded send", work.Sends[i].Send, want.Send)
				w.same("reason", work.Sends[i].Reason, want.Reason)
			}
		}
	}},
	{"KeyIsUnique", func(w *world) {
		first := w.queued("first")
		w.commit(enqueue(first))
		var more []*messaging.Outgoing
		for range 3 {
			out := w.queued("second")
			out.Key, out.Inserted = first.Key, true
			more = append(more, out)
		}
		claimed := w.claimed("third")
		claimed.Key = first.Key
		ev, early := w.message("a"), w.message("b")
		w.commit(add(ev))
		b := w.commit(addEarly(early, done(more[0], claimed)), settle(ev, done(more[1])), enqueue(more[2]))
		for _, out := range append(more, claimed) {
			w.is("Inserted under a taken key", out.Inserted, false)
		}
		w.is("Fresh of the event", b.Appends[0].Fresh, true)
		w.is("Lost of the event", b.Settles[0].Lost, false)
		if x := b.Enqueues[0].Existing; x == nil {
			w.Error("Existing is nil for a taken key")
		} else {
			w.same("Existing", *x, first.Send)
		}
		work := w.load()
		w.wantEvents(work)
		w.wantSends(work, first)
		w.wantDoubts(work)
	}},
	{"KeyIsUniqueWithinBatch", func(w *world) {
		first, second := w.queued("first"), w.queued("second")
		second.Key = first.Key
		b := w.commit(enqueue(first), enqueue(second))
		w.is("Inserted of the first", first.Inserted, true)
		w.is("Inserted of the second", second.Inserted, false)
		if x := b.Enqueues[1].Existing; x == nil || x.ID != first.ID {
			w.Errorf("Existing is %v, want the first send", x)
		}
	}},
	{"KeyOutlivesItsSend", func(w *world) {
		first := w.claimed("first")
		w.commit(enqueue(first))
		w.commit(accepted(first, "SM1"))
		w.commit(add(w.state("SM1", messaging.StateDelivered, first.Attempt.Tag())))
		second := w.queued("second")
		second.Key = first.Key
		b := w.commit(enqueue(second))
		w.is("Inserted under the key of a delivered send", second.Inserted, false)
		// A store that has forgotten the text still knows who it was.
		if x := b.Enqueues[0].Existing; x == nil || x.ID != first.ID || x.Key != first.Key {
			w.Errorf("Existing is %v, want the first send", x)
		}
	}},
	{"ReplyKeyIsUnique", func(w *world) {
		// The key that the engine gives to a reply, and an API call that uses the same.
		ev, later := w.message("a"), w.message("b")
		reply := w.queued("reply")
		reply.InReplyTo, reply.Key = ev.ID, ev.ID+"#0"
		w.commit(addEarly(ev, done(reply)))
		call := w.queued("call")
		call.Key = reply.Key
		b := w.commit(enqueue(call))
		w.is("Inserted under the key of a reply", call.Inserted, false)
		if x := b.Enqueues[0].Existing; x == nil || x.ID != reply.ID {
			w.Errorf("Existing is %v, want the reply", x)
		}
		before := w.queued("call before the event")
		before.Key = later.ID + "#0"
		w.commit(enqueue(before))
		second := w.queued("reply")
		second.InReplyTo, second.Key = later.ID, later.ID+"#0"
		w.commit(addEarly(later, done(second)))
		w.is("Inserted of a reply whose key is taken", second.Inserted, false)
		w.wantSends(w.load(), reply, before)
	}},
	{"NoKeyIsNeverTaken", func(w *world) {
		a, b := w.queued("a"), w.queued("b")
		a.Key, b.Key = "", ""
		w.commit(enqueue(a), enqueue(b))
		w.is("Inserted of the first", a.Inserted, true)
		w.is("Inserted of the second", b.Inserted, true)
		w.wantSends(w.load(), a, b)
	}},
	{"ClaimIsGrantedOnce", func(w *world) {
		out := w.queued("hello")
		w.commit(enqueue(out))
		w.pass(time.Second)
		a := w.attempt(out.ID, 1)
		b := w.commit(claim(out.ID, a), claim(out.ID, w.attempt(out.ID, 2)))
		w.is("Granted of the first claim", b.Claims[0].Granted, true)
		w.is("Granted of the second claim", b.Claims[1].Granted, false)
		b = w.commit(claim(out.ID, w.attempt(out.ID, 3)))
		w.is("Granted of a later claim", b.Claims[0].Granted, false)
		work := w.load()
		w.wantSends(work)
		w.wantDoubts(work, messaging.Doubt{Attempt: *a, Send: out.Send, Outcome: messaging.OutcomeOpen, Since: w.now})
	}},
	{"ClaimOfUnknownSend", func(w *world) {
		id := newID()
		c := claim(id, w.attempt(id, 1))
		c.Granted = true
		w.commit(c)
		w.is("Granted", c.Granted, false)
		w.wantDoubts(w.load())
	}},
	{"ClaimEndsSend", func(w *world) {
		for _, s := range []messaging.Status{messaging.StatusSuppressed, messaging.StatusExpired, messaging.StatusCancelled} {
			out := w.queued("hello")
			w.commit(enqueue(out))
			b := w.commit(&messaging.Claim{SendID: out.ID, Status: s, Reason: "because"})
			w.is("Granted", b.Claims[0].Granted, true)
			w.wantSends(w.load())
			b = w.commit(claim(out.ID, w.attempt(out.ID, 1)))
			w.is("Granted of a claim after "+string(s), b.Claims[0].Granted, false)
			b = w.commit(&messaging.Claim{SendID: out.ID, Status: messaging.StatusQueued, NotBefore: w.now})
			w.is("Granted of a deferral after "+string(s), b.Claims[0].Granted, false)
		}
		w.wantSends(w.load())
	}},
	{"ClaimDefers", func(w *world) {
		out := w.queued("hello")
		w.commit(enqueue(out))
		at := w.now.Add(time.Hour)
		b := w.commit(&messaging.Claim{SendID: out.ID, Status: messaging.StatusQueued, Reason: "quiet hours", NotBefore: at})
		w.is("Granted", b.Claims[0].Granted, true)
		work := w.load()
		w.wantSends(work)
		w.same("NextDue", work.NextDue, at)
		w.pass(time.Hour)
		work = w.load()
		w.wantSends(work, out)
		if len(work.Sends) == 1 {
			w.same("NotBefore", work.Sends[0].NotBefore, at)
			w.same("Reason", work.Sends[0].Reason, "quiet hours")
		}
		b = w.commit(claim(out.ID, w.attempt(out.ID, 1)))
		w.is("Granted after the deferral", b.Claims[0].Granted, true)
	}},
	{"ClaimAfterInsertInOneBatch", func(w *world) {
		out := w.queued("hello")
		a := w.attempt(out.ID, 1)
		b := w.commit(enqueue(out), claim(out.ID, a))
		w.is("Granted", b.Claims[0].Granted, true)
		w.wantDoubts(w.load(), messaging.Doubt{Attempt: *a, Send: out.Send, Outcome: messaging.OutcomeOpen, Since: w.now})
	}},
}
