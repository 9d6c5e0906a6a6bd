package messagingtest

import (
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

var loadTests = []test{
	{"Empty", func(w *world) {
		work := w.load()
		w.wantEvents(work)
		w.wantSends(work)
		w.wantDoubts(work)
		w.is("NextDue.IsZero", work.NextDue.IsZero(), true)
	}},
	{"EventsInPages", func(w *world) {
		var want, got []string
		for range 5 {
			var ops []any
			for range 5 {
				ev := w.message("x")
				want = append(want, ev.ID)
				ops = append(ops, add(ev))
			}
			w.commit(ops...)
		}
		pages, after := 0, int64(0)
		for {
			work := w.query(messaging.Query{Events: true, Limit: 7, AfterSeq: after})
			if len(work.Events) > 7 {
				w.Fatalf("a page of 7 has %d events", len(work.Events))
			}
			if len(work.Events) == 0 {
				break
			}
			pages++
			for _, u := range work.Events {
				if u.Event.Seq <= after {
					w.Fatalf("event %d comes after %d", u.Event.Seq, after)
				}
				after = u.Event.Seq
				got = append(got, u.Event.ID)
			}
		}
		if pages != 4 {
			w.Errorf("25 events came in %d pages of 7, want 4", pages)
		}
		w.same("events of all pages", got, want)
	}},
	{"RetriesAreIncluded", func(w *world) {
		soon, late, now := w.message("soon"), w.message("late"), w.message("now")
		w.commit(add(soon), add(late), add(now))
		w.commit(settle(soon, retry(w.now.Add(time.Second), 1)), settle(late, retry(w.now.Add(time.Hour), 2)))
		work := w.load()
		w.wantEvents(work, soon, late, now)
		want := []time.Time{w.now.Add(time.Second), w.now.Add(time.Hour), {}}
		for i, u := range work.Events {
			w.same("RetryAt", u.RetryAt, want[i])
		}
	}},
	{"SendsInCommitOrder", func(w *world) {
		a, b, c, d := w.queued("a"), w.queued("b"), w.queued("c"), w.queued("d")
		// Neither the ids nor the times decide.
		a.ID, d.ID = d.ID, a.ID
		a.CreatedAt = w.now.Add(time.Hour)
		b.NotBefore = w.now.Add(-time.Hour)
		w.commit(enqueue(a), enqueue(b))
		w.commit(addEarly(w.message("x"), done(c)))
		w.commit(enqueue(d))
		w.wantSends(w.load(), a, b, c, d)
		work := w.query(messaging.Query{Sends: true, Limit: 3})
		w.wantSends(work, a, b, c)
	}},
	{"SendsByPriority", func(w *world) {
		send := func(p messaging.Priority, after time.Duration) *messaging.Outgoing {
			out := w.queued("x")
			out.Priority, out.NotBefore = p, w.now.Add(after)
			w.commit(enqueue(out))
			return out
		}
		bulk := send(messaging.PriorityBulk, -time.Hour)
		second := send(messaging.PriorityReply, 0)
		send(messaging.PriorityConsent, time.Second) // first of all, but not yet
		third := send(messaging.PriorityReply, -time.Minute)
		code := send(messaging.PriorityTransactional, 0)
		last := send(messaging.PriorityBulk, 0)
		first := send(messaging.PriorityConsent, 0)
		want := []*messaging.Outgoing{first, second, third, code, bulk, last}
		for limit := 1; limit <= len(want); limit++ {
			w.wantSends(w.query(messaging.Query{Sends: true, Limit: limit}), want[:limit]...)
		}
		w.commit(claim(second.ID, w.attempt(second.ID, 1)))
		w.wantSends(w.query(messaging.Query{Sends: true, Limit: 3}), first, third, code)
	}},
	{"SendsWhenDue", func(w *world) {
		soon, later, now := w.queued("soon"), w.queued("later"), w.queued("now")
		later.NotBefore = w.now.Add(2 * time.Hour)
		soon.NotBefore = w.now.Add(time.Hour)
		w.commit(enqueue(later), enqueue(now), enqueue(soon))
		work := w.load()
		w.wantSends(work, now)
		w.same("NextDue", work.NextDue, soon.NotBefore)
		w.pass(time.Hour)
		work = w.load()
		w.wantSends(work, now, soon)
		w.same("NextDue", work.NextDue, later.NotBefore)
		w.pass(time.Hour)
		work = w.load()
		w.wantSends(work, later, now, soon)
		w.is("NextDue.IsZero", work.NextDue.IsZero(), true)
	}},
	{"NextDueForgetsWhatIsClaimed", func(w *world) {
		out := w.queued("later")
		out.NotBefore = w.now.Add(time.Hour)
		w.commit(enqueue(out))
		w.commit(claim(out.ID, w.attempt(out.ID, 1)))
		w.is("NextDue.IsZero", w.load().NextDue.IsZero(), true)
	}},
	{"DoubtsOldestFirst", func(w *world) {
		a, b, c := w.claimed("a"), w.claimed("b"), w.claimed("c")
		w.commit(enqueue(a), enqueue(b), enqueue(c))
		opened := w.now
		w.pass(time.Second)
		w.commit(inDoubt(b))
		want := []messaging.Doubt{
			{Attempt: *a.Attempt, Send: a.Send, Outcome: messaging.OutcomeOpen, Since: opened},
			{Attempt: *b.Attempt, Send: b.Send, Outcome: messaging.OutcomeInDoubt, Since: w.now},
			{Attempt: *c.Attempt, Send: c.Send, Outcome: messaging.OutcomeOpen, Since: opened},
		}
		w.wantDoubts(w.load(), want...)
		w.wantDoubts(w.query(messaging.Query{Doubts: true, Limit: 2}), want[:2]...)
	}},
	{"DoubtsInPages", func(w *world) {
		var want []messaging.Doubt
		for i := range 7 {
			out := w.claimed("x")
			w.commit(enqueue(w.queued("between")), enqueue(out), enqueue(w.queued("between")))
			d := messaging.Doubt{Attempt: *out.Attempt, Send: out.Send, Outcome: messaging.OutcomeOpen, Since: w.now}
			if i%2 > 0 {
				w.commit(inDoubt(out))
				d.Outcome = isInDoubt
			}
			want = append(want, d)
		}
		after, pages := int64(0), 0
		for ; len(want) > 0; pages++ {
			work := w.query(messaging.Query{Doubts: true, AfterDoubt: after, Limit: 3})
			n := min(3, len(want))
			w.wantDoubts(work, want[:n]...)
			if len(work.Doubts) == 0 {
				w.Fatalf("a page is empty while %d doubts are left", len(want))
			}
			if first := work.Doubts[0].Seq; first <= after {
				w.Fatalf("Seq of the first doubt of a page is %d, want more than %d", first, after)
			}
			after, want = work.Doubts[len(work.Doubts)-1].Seq, want[n:]
		}
		if pages != 3 {
			w.Errorf("7 doubts came in %d pages of 3, want 3", pages)
		}
		w.wantDoubts(w.query(messaging.Query{Doubts: true, AfterDoubt: after, Limit: 3}))
	}},
	{"DoubtsOfOlderSendsComeInTheirPlace", func(w *world) {
		// A claim makes a doubt of a send that was committed before others.
		older, newer := w.queued("older"), w.claimed("newer")
		w.commit(enqueue(older), enqueue(newer))
		a := w.attempt(older.ID, 1)
		w.commit(claim(older.ID, a))
		w.wantDoubts(w.load(),
			messaging.Doubt{Attempt: *a, Send: older.Send, Outcome: messaging.OutcomeOpen, Since: w.now},
			messaging.Doubt{Attempt: *newer.Attempt, Send: newer.Send, Outcome: messaging.OutcomeOpen, Since: w.now})
	}},
	{"NoLimitIsTheStoresOwn", func(w *world) {
		out := w.sent("SM1")
		w.commit(add(w.message("x")), enqueue(w.queued("a")), enqueue(w.claimed("b")))
		work := w.query(messaging.Query{
			Events: true, Sends: true, Doubts: true, Accepted: true, Pair: out.Conversation(), Since: w.now,
		})
		if len(work.Events) != 1 || len(work.Sends) != 1 || len(work.Doubts) != 1 || len(work.Accepted) != 1 {
			w.Errorf("without a limit %d events, %d sends, %d doubts and %d accepted attempts are found; want one of each",
				len(work.Events), len(work.Sends), len(work.Doubts), len(work.Accepted))
		}
	}},
	{"AcceptedOfPair", func(w *world) {
		sent := func(messageID string, change func(*messaging.Outgoing)) *messaging.Outgoing {
			out := w.claimed("hello")
			change(out)
			w.commit(enqueue(out))
			if messageID != "" {
				w.commit(accepted(out, messageID))
			}
			w.pass(time.Second)
			return out
		}
		nothing := func(*messaging.Outgoing) {}
		sent("SM-old", nothing)
		since := w.now
		first := sent("SM1", nothing)
		sent("SM-to-other", func(o *messaging.Outgoing) { o.To = "+12025550102" })
		sent("SM-from-other", func(o *messaging.Outgoing) { o.From = "+12025550199" })
		open := sent("", nothing)
		rejected := sent("", nothing)
		again := sent("", nothing)
		// The claims decide the order, not the answers: the middle one is answered last.
		middle, last := sent("", nothing), sent("SM3", nothing)
		w.commit(report(rejected, isRejected, messaging.StatusFailed), inDoubt(again))
		w.commit(report(again, isAbsent, messaging.StatusQueued))
		second := w.attempt(again.ID, 2)
		w.commit(claim(again.ID, second))
		w.commit(&messaging.Report{SendID: again.ID, AttemptID: second.ID, Outcome: isAccepted, MessageID: "SM4", Status: messaging.StatusAccepted})
		w.arrive("SM2", messaging.StateDelivered, middle.Attempt.Tag()) // known by its state alone
		want := []messaging.Accepted{
			{Attempt: *first.Attempt, MessageID: "SM1"},
			{Attempt: *middle.Attempt, MessageID: "SM2"},
			{Attempt: *last.Attempt, MessageID: "SM3"},
			{Attempt: *second, MessageID: "SM4"},
		}
		q := messaging.Query{Accepted: true, Pair: open.Conversation(), Since: since, Limit: everything}
		ask := func() (got []messaging.Accepted) {
			for _, a := range w.query(q).Accepted {
				got = append(got, *a)
			}
			return got
		}
		w.same("accepted attempts", ask(), want)
		q.Limit = 2
		w.same("the first two accepted attempts", ask(), want[:2])
	}},
	{"OnlyWhatIsAsked", func(w *world) {
		later := w.queued("later")
		later.NotBefore = w.now.Add(time.Hour)
		w.commit(add(w.message("x")), enqueue(w.queued("a")), enqueue(w.claimed("b")), enqueue(later))
		for _, q := range []messaging.Query{{Events: true}, {Sends: true}, {Doubts: true}} {
			q.Limit = everything
			work := w.query(q)
			w.is("events loaded", len(work.Events) > 0, q.Events)
			w.is("sends loaded", len(work.Sends) > 0, q.Sends)
			w.is("doubts loaded", len(work.Doubts) > 0, q.Doubts)
			w.is("accepted attempts loaded", len(work.Accepted) > 0, false)
		}
	}},
	{"LoadedIsNotShared", func(w *world) {
		// Two readers and the writer may each change what they hold.
		ev := w.message("one")
		w.commit(add(ev), enqueue(w.queued("a")))
		first := w.load()
		first.Events[0].Event.Attempt = 99
		first.Sends[0].Status = messaging.StatusCancelled
		ev.Attempt = 98
		second := w.load()
		w.same("Attempt", second.Events[0].Event.Attempt, 0)
		w.same("Status", second.Sends[0].Status, messaging.StatusQueued)
	}},
}
