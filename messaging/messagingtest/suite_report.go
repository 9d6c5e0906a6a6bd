package messagingtest

import (
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

// The outcomes in the short form that the tables of this file need.
const (
	isAccepted = messaging.OutcomeAccepted
	isRejected = messaging.OutcomeRejected
	isInDoubt  = messaging.OutcomeInDoubt
	isAbsent   = messaging.OutcomeAbsent
	isNotSent  = messaging.OutcomeNotSent
)

var reportTests = []test{
	{"Accepted", func(w *world) {
		out := w.claimed("hello")
		out.InReplyTo = "SM-in"
		w.commit(enqueue(out))
		b := w.commit(accepted(out, "SM1"))
		w.wantMerge("report", b.Reports[0].Merge, out, merge{isAccepted, messaging.StatusAccepted, true, false})
		work := w.load()
		w.wantSends(work)
		w.wantDoubts(work)
	}},
	{"AcceptedTwice", func(w *world) {
		out := w.sent("SM1")
		b := w.commit(accepted(out, "SM1"))
		w.wantMerge("second report", b.Reports[0].Merge, out, merge{isAccepted, messaging.StatusAccepted, false, false})
	}},
	{"Rejected", func(w *world) {
		out := w.claimed("hello")
		w.commit(enqueue(out))
		r := report(out, isRejected, messaging.StatusFailed)
		r.Code, r.Reason = "400", "bad number"
		w.commit(r)
		w.wantMerge("report", r.Merge, out, merge{isRejected, messaging.StatusFailed, true, false})
		work := w.load()
		w.wantSends(work)
		w.wantDoubts(work)
	}},
	{"RejectedAndQueuedAgain", func(w *world) {
		first, out := w.queued("first"), w.claimed("second")
		third := w.queued("third")
		w.commit(enqueue(first), enqueue(out), enqueue(third))
		r := report(out, isRejected, messaging.StatusQueued)
		r.Code, r.NotBefore = "429", w.now.Add(time.Minute)
		w.commit(r)
		w.wantMerge("report", r.Merge, out, merge{isRejected, messaging.StatusQueued, true, false})
		work := w.load()
		w.wantSends(work, first, third)
		w.wantDoubts(work)
		w.same("NextDue", work.NextDue, r.NotBefore)
		w.pass(time.Minute)
		w.wantSends(w.load(), first, out, third) // commit order, however often it was tried
		b := w.commit(claim(out.ID, w.attempt(out.ID, 2)))
		w.is("Granted of the second attempt", b.Claims[0].Granted, true)
	}},
	{"NotSentIsQueuedAgain", func(w *world) {
		out := w.claimed("hello")
		w.commit(enqueue(out))
		r := report(out, isNotSent, messaging.StatusQueued)
		w.commit(r)
		w.wantMerge("report", r.Merge, out, merge{isNotSent, messaging.StatusQueued, true, false})
		work := w.load()
		w.wantSends(work, out)
		w.wantDoubts(work)
		if len(work.Sends) == 1 {
			// The next attempt must not count from one again.
			if a := work.Sends[0].Attempt; a == nil || a.ID != out.Attempt.ID || a.Number != 1 {
				w.Errorf("Attempt of a send that was tried once is %+v, want that attempt", a)
			}
		}
		a := w.attempt(out.ID, 2)
		b := w.commit(claim(out.ID, a))
		w.is("Granted", b.Claims[0].Granted, true)
		r2 := &messaging.Report{SendID: out.ID, AttemptID: a.ID, Outcome: isAccepted, MessageID: "SM1", Status: messaging.StatusAccepted}
		w.commit(r2)
		w.wantMergeOf("second attempt", r2.Merge, messaging.SendRef{ID: out.ID, Attempt: a.ID},
			merge{isAccepted, messaging.StatusAccepted, true, false})
		w.wantDoubts(w.load())
	}},
	{"NewestAttemptIsTheLastClaimed", func(w *world) {
		out := w.claimed("hello")
		w.commit(enqueue(out))
		w.commit(report(out, isNotSent, messaging.StatusQueued))
		late, last := w.attempt(out.ID, 5), w.attempt(out.ID, 2) // numbers do not decide
		w.commit(claim(out.ID, late))
		w.commit(&messaging.Report{SendID: out.ID, AttemptID: late.ID, Outcome: isNotSent, Status: messaging.StatusQueued})
		w.commit(claim(out.ID, last))
		w.wantDoubts(w.load(), messaging.Doubt{Attempt: *last, Send: out.Send, Outcome: messaging.OutcomeOpen, Since: w.now})
	}},
	{"InDoubt", func(w *world) {
		out := w.claimed("hello")
		w.commit(enqueue(out))
		w.pass(10 * time.Second)
		b := w.commit(inDoubt(out))
		w.wantMerge("report", b.Reports[0].Merge, out, merge{isInDoubt, messaging.StatusInDoubt, true, false})
		want := messaging.Doubt{Attempt: *out.Attempt, Send: out.Send, Outcome: isInDoubt, Since: w.now}
		w.pass(time.Minute)
		work := w.load()
		w.wantSends(work)
		w.wantDoubts(work, want)
		b = w.commit(inDoubt(out))
		w.wantMerge("second report", b.Reports[0].Merge, out, merge{isInDoubt, messaging.StatusInDoubt, false, false})
		w.wantDoubts(w.load(), want) // still since the first
		b = w.commit(claim(out.ID, w.attempt(out.ID, 2)))
		w.is("Granted while in doubt", b.Claims[0].Granted, false)
	}},
	{"DoubtEnds", func(w *world) {
		for _, c := range []struct {
			outcome messaging.AttemptOutcome
			status  messaging.Status
		}{
			{isAccepted, messaging.StatusAccepted},
			{isRejected, messaging.StatusFailed},
			{isAbsent, messaging.StatusExpired},
			{isAbsent, messaging.StatusFailed},
		} {
			out := w.claimed("hello")
			w.commit(enqueue(out))
			w.commit(inDoubt(out))
			r := report(out, c.outcome, c.status)
			if c.outcome == isAccepted {
				r.MessageID = "SM " + out.ID.String()
			}
			w.commit(r)
			w.wantMerge(string(c.outcome), r.Merge, out, merge{c.outcome, c.status, true, false})
			work := w.load()
			w.wantSends(work)
			w.wantDoubts(work)
		}
	}},
	{"AbsentIsQueuedAgain", func(w *world) {
		out := w.claimed("hello")
		w.commit(enqueue(out))
		w.commit(inDoubt(out))
		r := report(out, isAbsent, messaging.StatusQueued)
		w.commit(r)
		w.wantMerge("report", r.Merge, out, merge{isAbsent, messaging.StatusQueued, true, false})
		work := w.load()
		w.wantSends(work, out)
		w.wantDoubts(work)
	}},
	{"DoubtNeverOverwrites", func(w *world) {
		for _, c := range []struct {
			outcome messaging.AttemptOutcome
			status  messaging.Status
		}{{isAccepted, messaging.StatusAccepted}, {isRejected, messaging.StatusFailed}} {
			out := w.claimed("hello")
			w.commit(enqueue(out))
			r := report(out, c.outcome, c.status)
			if c.outcome == isAccepted {
				r.MessageID = "SM " + out.ID.String()
			}
			w.commit(r)
			for _, late := range []*messaging.Report{
				inDoubt(out),
				report(out, isAbsent, messaging.StatusQueued),
				report(out, isNotSent, messaging.StatusQueued),
				report(out, isInDoubt, messaging.StatusQueued),
			} {
				w.commit(late)
				w.wantMerge(string(late.Outcome)+" after "+string(c.outcome), late.Merge, out, merge{c.outcome, c.status, false, false})
			}
			work := w.load()
			w.wantSends(work)
			w.wantDoubts(work)
		}
	}},
	{"AcceptedBeatsAbsent", func(w *world) {
		// The answer comes after the doubt was given up: the send must not leave again.
		out := w.claimed("hello")
		w.commit(enqueue(out))
		w.commit(inDoubt(out))
		w.commit(report(out, isAbsent, messaging.StatusQueued))
		b := w.commit(accepted(out, "SM1"))
		w.wantMerge("late answer", b.Reports[0].Merge, out, merge{isAccepted, messaging.StatusAccepted, true, false})
		w.wantSends(w.load())
		b = w.commit(claim(out.ID, w.attempt(out.ID, 2)))
		w.is("Granted after the late answer", b.Claims[0].Granted, false)
	}},
	{"DoubtQueuedAgain", func(w *world) {
		// The policy sends again, and the old attempt stays a doubt that a state may settle.
		out := w.claimed("hello")
		w.commit(enqueue(out))
		w.commit(inDoubt(out))
		r := report(out, isInDoubt, messaging.StatusQueued)
		w.commit(r)
		w.wantMerge("report", r.Merge, out, merge{isInDoubt, messaging.StatusQueued, true, false})
		work := w.load()
		w.wantSends(work, out)
		w.wantDoubts(work) // the send is queued: nobody waits for the doubt any more
		b := w.commit(add(w.state("SM1", messaging.StateSent, out.Attempt.Tag())))
		w.wantMerge("state", b.Appends[0].Merge, out, merge{isAccepted, messaging.StatusSent, true, false})
		w.wantSends(w.load())
		b = w.commit(claim(out.ID, w.attempt(out.ID, 2)))
		w.is("Granted after the state", b.Claims[0].Granted, false)
	}},
	{"DoubtReplaced", func(w *world) {
		out := w.claimed("hello")
		w.commit(enqueue(out))
		w.commit(inDoubt(out))
		w.commit(report(out, isInDoubt, messaging.StatusQueued))
		w.pass(time.Second)
		a := w.attempt(out.ID, 2)
		b := w.commit(claim(out.ID, a))
		w.is("Granted of the second attempt", b.Claims[0].Granted, true)
		w.wantDoubts(w.load(), messaging.Doubt{Attempt: *a, Send: out.Send, Outcome: messaging.OutcomeOpen, Since: w.now})
		// Both were accepted after all. Whatever the second one's answer, the send stands.
		b = w.commit(add(w.state("SM1", messaging.StateDelivered, out.Attempt.Tag())))
		w.wantMerge("state of the first", b.Appends[0].Merge, out, merge{isAccepted, messaging.StatusDelivered, true, false})
		r := &messaging.Report{SendID: out.ID, AttemptID: a.ID, Outcome: isRejected, Code: "500", Status: messaging.StatusQueued}
		w.commit(r)
		w.wantMergeOf("report of the second", r.Merge, messaging.SendRef{ID: out.ID, Attempt: a.ID},
			merge{isRejected, messaging.StatusDelivered, false, false})
		work := w.load()
		w.wantSends(work)
		w.wantDoubts(work)
	}},
	{"UnknownAttempt", func(w *world) {
		out := w.claimed("never journaled")
		b := w.commit(accepted(out, "SM1"))
		if b.Reports[0].Merge == nil {
			w.Error("Merge is nil for an attempt that nobody remembers")
		}
		work := w.load()
		w.wantSends(work)
		w.wantDoubts(work)
	}},
}
