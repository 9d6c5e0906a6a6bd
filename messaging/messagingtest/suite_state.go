package messagingtest

import (
	"fmt"
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

// arrive commits a state event and gives its result.
func (w *world) arrive(messageID string, s messaging.State, tags ...string) *messaging.Merge {
	w.Helper()
	b := w.commit(addEarly(w.state(messageID, s, tags...), done()))
	w.is("Fresh of the state "+string(s), b.Appends[0].Fresh, true)
	return b.Appends[0].Merge
}

var stateTests = []test{
	{"ByTagBeforeReport", func(w *world) {
		for _, doubted := range []bool{false, true} {
			out := w.claimed("hello")
			out.InReplyTo = "SM-in"
			id := "SM " + out.ID.String()
			w.commit(enqueue(out))
			if doubted {
				w.commit(inDoubt(out))
			}
			m := w.arrive(id, messaging.StateQueued, "other", out.Attempt.Tag())
			w.wantMerge("state", m, out, merge{isAccepted, messaging.StatusAccepted, true, false})
			work := w.load()
			w.wantSends(work)
			w.wantDoubts(work)
			// The message id was learned from the event.
			m = w.arrive(id, messaging.StateSent)
			w.wantMerge("state without tag", m, out, merge{isAccepted, messaging.StatusSent, true, false})
			b := w.commit(accepted(out, id))
			w.wantMerge("report", b.Reports[0].Merge, out, merge{isAccepted, messaging.StatusSent, false, false})
			b = w.commit(inDoubt(out))
			w.wantMerge("doubt", b.Reports[0].Merge, out, merge{isAccepted, messaging.StatusSent, false, false})
			w.wantDoubts(w.load())
		}
	}},
	{"ByTagAfterReport", func(w *world) {
		out := w.sent("SM1")
		w.wantMerge("sent", w.arrive("SM1", messaging.StateSent, out.Attempt.Tag()), out,
			merge{isAccepted, messaging.StatusSent, true, false})
		w.wantMerge("delivered", w.arrive("SM1", messaging.StateDelivered, out.Attempt.Tag()), out,
			merge{isAccepted, messaging.StatusDelivered, true, false})
	}},
	{"ByMessageID", func(w *world) {
		other, out := w.sent("SM0"), w.sent("SM1")
		w.wantMerge("sent", w.arrive("SM1", messaging.StateSent), out, merge{isAccepted, messaging.StatusSent, true, false})
		w.wantMerge("sent of the other", w.arrive("SM0", messaging.StateSent), other, merge{isAccepted, messaging.StatusSent, true, false})
		w.wantMerge("undelivered", w.arrive("SM1", messaging.StateUndelivered), out,
			merge{isAccepted, messaging.StatusUndelivered, true, false})
	}},
	{"OfQueuedAfterAbsent", func(w *world) {
		out := w.claimed("hello")
		w.commit(enqueue(out))
		w.commit(inDoubt(out))
		w.commit(report(out, isAbsent, messaging.StatusQueued))
		m := w.arrive("SM1", messaging.StateDelivered, out.Attempt.Tag())
		w.wantMerge("state", m, out, merge{isAccepted, messaging.StatusDelivered, true, false})
		w.wantSends(w.load())
	}},
	{"OfRejected", func(w *world) {
		out := w.claimed("hello")
		w.commit(enqueue(out))
		w.commit(report(out, isRejected, messaging.StatusFailed))
		m := w.arrive("SM1", messaging.StateDelivered, out.Attempt.Tag())
		w.wantMerge("state", m, out, merge{isRejected, messaging.StatusFailed, false, false})
	}},
	{"MonotonicByRank_R47", func(w *world) {
		out := w.sent("SM1")
		for _, c := range []struct {
			state    messaging.State
			status   messaging.Status
			advanced bool
			conflict bool
		}{
			{messaging.StateInitiated, messaging.StatusAccepted, false, false},
			{messaging.StateQueued, messaging.StatusAccepted, false, false}, // late
			{"on_its_way", messaging.StatusAccepted, false, false},          // unknown: never progress
			{messaging.StateUndelivered, messaging.StatusUndelivered, true, false},
			{messaging.StateSent, messaging.StatusUndelivered, false, false},     // never back
			{"out_for_delivery", messaging.StatusUndelivered, false, false},      // unknown: never more
			{messaging.StateDelivered, messaging.StatusUndelivered, false, true}, // the first one holds
			{messaging.StateFailed, messaging.StatusUndelivered, false, true},    // still
		} {
			m := w.arrive("SM1", c.state, out.Attempt.Tag())
			w.wantMerge(string(c.state), m, out, merge{isAccepted, c.status, c.advanced, c.conflict})
		}
		// The same terminal state under another message id is no conflict.
		m := w.arrive("SM1-b", messaging.StateUndelivered, out.Attempt.Tag())
		w.wantMerge("undelivered again", m, out, merge{isAccepted, messaging.StatusUndelivered, false, false})
	}},
	{"SkippedStates", func(w *world) {
		out := w.sent("SM1")
		w.wantMerge("delivered", w.arrive("SM1", messaging.StateDelivered), out,
			merge{isAccepted, messaging.StatusDelivered, true, false})
	}},
	{"UnknownStateAccepts", func(w *world) {
		out := w.claimed("hello")
		w.commit(enqueue(out))
		m := w.arrive("SM1", "on_its_way", out.Attempt.Tag())
		w.wantMerge("unknown state", m, out, merge{isAccepted, messaging.StatusAccepted, true, false})
		w.wantDoubts(w.load())
	}},
	{"DuplicateMergesNothing", func(w *world) {
		out := w.sent("SM1")
		ev := w.state("SM1", messaging.StateSent, out.Attempt.Tag())
		w.commit(add(ev))
		dup := add(again(ev))
		dup.Merge = &messaging.Merge{Advanced: true}
		w.commit(dup)
		if dup.Merge != nil {
			w.Errorf("Merge of a duplicate is %+v, want nil", dup.Merge)
		}
	}},
	{"OvertakesReport_R45", func(w *world) {
		out := w.claimed("hello")
		w.commit(enqueue(out))
		for _, s := range []messaging.State{messaging.StateQueued, messaging.StateSent, messaging.StateInitiated} {
			if m := w.arrive("SM1", s); m != nil {
				w.Errorf("Merge of a state that nobody can place yet is %+v, want nil", m)
			}
		}
		w.wantDoubts(w.load(), messaging.Doubt{Attempt: *out.Attempt, Send: out.Send, Outcome: messaging.OutcomeOpen, Since: w.now})
		b := w.commit(accepted(out, "SM1"))
		w.wantMerge("report", b.Reports[0].Merge, out, merge{isAccepted, messaging.StatusSent, true, false})
		m := w.arrive("SM1", messaging.StateDelivered)
		w.wantMerge("delivered", m, out, merge{isAccepted, messaging.StatusDelivered, true, false})
	}},
	{"OvertakesWithinBatch_R45", func(w *world) {
		out := w.claimed("hello")
		w.commit(enqueue(out))
		r := accepted(out, "SM1")
		b := w.commit(r, add(w.state("SM1", messaging.StateDelivered)))
		if m := b.Appends[0].Merge; m != nil {
			w.Errorf("Merge of the state is %+v; appends apply before reports", m)
		}
		w.wantMerge("report", r.Merge, out, merge{isAccepted, messaging.StatusDelivered, true, false})
	}},
	{"OvertakingConflict_R47", func(w *world) {
		out := w.claimed("hello")
		w.commit(enqueue(out))
		w.arrive("SM1", messaging.StateFailed)
		w.arrive("SM1", messaging.StateDelivered)
		w.arrive("SM1", messaging.StateSent) // too late to say anything
		b := w.commit(accepted(out, "SM1"))
		w.wantMerge("report", b.Reports[0].Merge, out, merge{isAccepted, messaging.StatusFailed, true, true})
	}},
	{"OvertakingStateIsMergedOnce", func(w *world) {
		first, second := w.claimed("first"), w.claimed("second")
		w.commit(enqueue(first), enqueue(second))
		w.arrive("SM1", messaging.StateDelivered)
		w.commit(accepted(first, "SM1"))
		b := w.commit(accepted(second, "SM1")) // as no platform should
		w.wantMerge("report of another send", b.Reports[0].Merge, second, merge{isAccepted, messaging.StatusAccepted, true, false})
	}},
	{"OvertakingStatesExpireEachForItself", func(w *world) {
		progressed, stale, babbled := w.claimed("progressed"), w.claimed("stale"), w.claimed("babbled")
		w.commit(enqueue(progressed), enqueue(stale), enqueue(babbled))
		w.arrive("SM1", messaging.StateSent)
		w.arrive("SM3", messaging.StateDelivered)
		w.arrive("SM4", messaging.StateDelivered)
		w.pass(9 * time.Minute)
		w.arrive("SM1", messaging.StateDelivered)
		w.arrive("SM4", "on_its_way") // unknown: it says nothing, and keeps nothing
		w.pass(2 * time.Minute)
		w.arrive("SM3", messaging.StateSent)
		w.pass(time.Second)
		b := w.commit(accepted(progressed, "SM1"), accepted(stale, "SM3"), accepted(babbled, "SM4"))
		w.wantMerge("report with a young last state", b.Reports[0].Merge, progressed, merge{isAccepted, messaging.StatusDelivered, true, false})
		w.wantMerge("report with an old last state", b.Reports[1].Merge, stale, merge{isAccepted, messaging.StatusSent, true, false})
		w.wantMerge("report with an old state and an unknown one", b.Reports[2].Merge, babbled, merge{isAccepted, messaging.StatusAccepted, true, false})
	}},
	{"OvertakingStateExpires", func(w *world) {
		young, old := w.claimed("young"), w.claimed("old")
		w.commit(enqueue(young), enqueue(old))
		w.arrive("SM-old", messaging.StateDelivered)
		w.pass(2 * time.Minute)
		w.arrive("SM-young", messaging.StateDelivered)
		w.pass(9 * time.Minute)
		b := w.commit(accepted(young, "SM-young"), accepted(old, "SM-old"))
		w.wantMerge("report after 9 minutes", b.Reports[0].Merge, young, merge{isAccepted, messaging.StatusDelivered, true, false})
		w.wantMerge("report after 11 minutes", b.Reports[1].Merge, old, merge{isAccepted, messaging.StatusAccepted, true, false})
	}},
	{"OvertakingStatesAreBounded", func(w *world) {
		first, last := w.claimed("first"), w.claimed("last")
		w.commit(enqueue(first), enqueue(last))
		const most = 10_000
		id := func(i int) string { return fmt.Sprintf("SM-%d", i) }
		for i := 0; i <= most; {
			var ops []any
			for ; i <= most && len(ops) < 1000; i++ {
				ops = append(ops, addEarly(w.state(id(i), messaging.StateSent), done()))
			}
			w.commit(ops...)
		}
		b := w.commit(accepted(first, id(0)), accepted(last, id(most)))
		w.wantMerge("report of the oldest", b.Reports[0].Merge, first, merge{isAccepted, messaging.StatusAccepted, true, false})
		w.wantMerge("report of the newest", b.Reports[1].Merge, last, merge{isAccepted, messaging.StatusSent, true, false})
	}},
	{"OfStranger", func(w *world) {
		out := w.claimed("hello")
		w.commit(enqueue(out))
		for _, tags := range [][]string{nil, {"not ours"}, {messaging.TagPrefix + "broken"}, {messaging.TagPrefix + newID().String()}} {
			ev := w.state("SM-"+newID().String(), messaging.StateDelivered, tags...)
			b := w.commit(add(ev))
			w.is("Fresh", b.Appends[0].Fresh, true)
			if m := b.Appends[0].Merge; m != nil {
				w.Errorf("Merge of a stranger's state with tags %q is %+v, want nil", tags, m)
			}
		}
		work := w.load()
		w.wantDoubts(work, messaging.Doubt{Attempt: *out.Attempt, Send: out.Send, Outcome: messaging.OutcomeOpen, Since: w.now})
		for _, u := range work.Events {
			if u.Event.Send != nil {
				w.Errorf("a stranger's state was loaded with the send %v", u.Event.Send)
			}
		}
	}},
	{"LoadedWithItsSend", func(w *world) {
		out := w.claimed("hello")
		out.InReplyTo = "SM-in"
		w.commit(enqueue(out))
		w.commit(add(w.state("SM1", messaging.StateSent, out.Attempt.Tag())))
		work := w.load()
		if len(work.Events) != 1 {
			w.Fatalf("%d events loaded, want 1", len(work.Events))
		}
		w.same("Event.Send", work.Events[0].Event.Send, &messaging.SendRef{ID: out.ID, Attempt: out.Attempt.ID, InReplyTo: "SM-in"})
	}},
	{"OfInboundMergesNothing", func(w *world) {
		out := w.claimed("hello")
		w.commit(enqueue(out))
		ev := w.message("I echo tags")
		ev.Tags = []string{out.Attempt.Tag()}
		b := w.commit(add(ev))
		if m := b.Appends[0].Merge; m != nil {
			w.Errorf("Merge of an inbound is %+v, want nil", m)
		}
		w.wantDoubts(w.load(), messaging.Doubt{Attempt: *out.Attempt, Send: out.Send, Outcome: messaging.OutcomeOpen, Since: w.now})
	}},
}
