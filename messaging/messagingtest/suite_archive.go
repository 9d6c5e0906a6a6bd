package messagingtest

import (
	"errors"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
)

func (w *world) archive() messaging.Archive {
	w.Helper()
	a, ok := w.store.(messaging.Archive)
	if !ok {
		w.Fatalf("%T is no messaging.Archive", w.store)
	}
	return a
}

func (w *world) life(id string) *messaging.Life {
	w.Helper()
	l, err := w.archive().Life(w.Context(), id)
	if err != nil {
		w.Fatalf("Life(%q): %v", id, err)
	}
	return l
}

func (w *world) search(q messaging.Search) *messaging.Found {
	w.Helper()
	f, err := w.archive().Search(w.Context(), q)
	if err != nil {
		w.Fatalf("Search: %v", err)
	}
	return f
}

// shows compares what an archive shows.
func (w *world) shows(what string, got, want any) {
	w.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		w.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// record is how an event is shown whose batch began to be written at a time.
func record(ev *messaging.Event, journaled time.Time, o *messaging.Outcome) *messaging.EventRecord {
	shown := *ev
	shown.Frame = nil
	r := &messaging.EventRecord{Event: &shown, JournaledAt: journaled}
	if o == nil {
		return r
	}
	r.Fate, r.Attempt, r.Err, r.Handler, r.RetryAt = o.Fate, o.Attempt, o.Err, o.Handler, o.RetryAt
	shown.Attempt = o.Attempt
	if r.Finished = o.Fate != messaging.FateRetry; r.Finished {
		r.FinishedAt = journaled
	}
	for _, out := range o.Sends {
		if out.Inserted {
			r.Sends = append(r.Sends, out.ID)
		}
	}
	return r
}

// story is an inbound whose answer took two attempts.
type story struct {
	ev            *messaging.Event
	outcome       *messaging.Outcome
	out, gone     *messaging.Outgoing
	second        *messaging.Attempt
	doubted       time.Time
	sent, arrived *messaging.EventRecord
}

// tell commits it, one second after the other.
func (w *world) tell() *story {
	w.Helper()
	s := &story{ev: w.message("hours?"), out: w.claimed("9 to 5"), gone: w.queued("and more")}
	s.ev.MessageID = "platform " + s.ev.ID
	s.ev.Media = []string{"https://example.com/a"}
	s.out.Media = []string{"https://example.com/b"}
	s.gone.Status, s.gone.Reason = messaging.StatusSuppressed, "stop"
	for i, out := range []*messaging.Outgoing{s.out, s.gone} {
		out.InReplyTo, out.Key = s.ev.ID, s.ev.ID+"#"+string(rune('0'+i))
	}
	s.outcome = &messaging.Outcome{Fate: messaging.FateDone, Attempt: 2, Handler: "keyword", Sends: []*messaging.Outgoing{s.out, s.gone}}
	w.commit(addEarly(s.ev, s.outcome))
	w.pass(time.Second)
	s.doubted = w.now
	r := inDoubt(s.out)
	r.Reason = "cut off"
	w.commit(r)
	w.pass(time.Second)
	r = report(s.out, isAbsent, messaging.StatusQueued)
	r.Reason = "not in the log"
	w.commit(r)
	s.second = w.attempt(s.out.ID, 2)
	w.commit(claim(s.out.ID, s.second))
	w.pass(time.Second)
	w.commit(&messaging.Report{
		SendID: s.out.ID, AttemptID: s.second.ID, Outcome: isAccepted, MessageID: "SM " + s.ev.ID, Status: messaging.StatusAccepted,
	})
	state := func(st messaging.State) *messaging.EventRecord {
		w.pass(time.Second)
		ev, o := w.state("SM "+s.ev.ID, st), &messaging.Outcome{Fate: messaging.FateDone, Attempt: 1, Handler: "log"}
		w.commit(addEarly(ev, o))
		ev.Send = &messaging.SendRef{ID: s.out.ID, Attempt: s.second.ID, InReplyTo: s.ev.ID}
		return record(ev, w.now, o)
	}
	s.sent = state(messaging.StateSent)
	s.arrived = state(messaging.StateDelivered)
	return s
}

// wantStory checks the send of a story as it is shown.
func (w *world) wantStory(what string, got *messaging.SendRecord, s *story) {
	w.Helper()
	w.shows(what+": Send", got.Send, s.out.Send)
	w.shows(what+": Status", got.Status, messaging.StatusDelivered)
	w.is(what+": Forgotten", got.Forgotten, false)
	want := []*messaging.AttemptRecord{
		{Attempt: *s.out.Attempt, Outcome: isAbsent},
		{Attempt: *s.second, Outcome: isAccepted, MessageID: "SM " + s.ev.ID, States: []*messaging.EventRecord{s.sent, s.arrived}},
	}
	// Why and since when an attempt was in doubt that is settled since is the store's own.
	if d := cmp.Diff(want, got.Attempts, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(messaging.AttemptRecord{}, "Since", "Reason")); d != "" {
		w.Errorf("%s: Attempts (-want +got):\n%s", what, d)
	}
}

var lifeTests = []test{
	{"OfAnInbound", func(w *world) {
		journaled := w.now
		s := w.tell()
		for _, id := range []string{s.ev.ID, s.ev.MessageID} {
			l := w.life(id)
			w.shows("Inbound", l.Inbound, record(s.ev, journaled, s.outcome))
			if len(l.Sends) != 2 {
				w.Fatalf("%d sends, want 2", len(l.Sends))
			}
			w.wantStory("the answer", l.Sends[0], s)
			w.shows("the suppressed send", l.Sends[1], &messaging.SendRecord{
				Send: s.gone.Send, Status: messaging.StatusSuppressed, Reason: "stop",
			})
		}
	}},
	{"OfASend", func(w *world) {
		journaled := w.now
		s := w.tell()
		for what, id := range map[string]string{
			"id": s.out.ID.String(), "key": s.out.Key, "message id": "SM " + s.ev.ID,
			"first attempt": s.out.Attempt.ID.String(), "its tag": s.out.Attempt.Tag(),
			"second attempt": s.second.ID.String(), "its tag too": s.second.Tag(),
			"state": s.sent.Event.ID,
		} {
			l := w.life(id)
			w.shows("Inbound by the "+what, l.Inbound, record(s.ev, journaled, s.outcome))
			if len(l.Sends) != 1 {
				w.Fatalf("by the %s %d sends, want 1", what, len(l.Sends))
			}
			w.wantStory("by the "+what, l.Sends[0], s)
		}
	}},
	{"OfASendNobodyAskedFor", func(w *world) {
		out := w.queued("call")
		out.NotBefore, out.Reason = w.now.Add(time.Hour), "quiet hours"
		out.Media, out.Tags = []string{"https://example.com/a"}, []string{"tag"}
		w.commit(enqueue(out))
		for _, id := range []string{out.ID.String(), out.Key} {
			w.shows("Life", w.life(id), &messaging.Life{Sends: []*messaging.SendRecord{
				{Send: out.Send, Status: messaging.StatusQueued, Reason: "quiet hours"},
			}})
		}
	}},
	{"OfADoubt", func(w *world) {
		out := w.claimed("hello")
		w.commit(enqueue(out))
		w.shows("an open attempt", w.life(out.ID.String()).Sends[0].Attempts, []*messaging.AttemptRecord{
			{Attempt: *out.Attempt, Outcome: messaging.OutcomeOpen},
		})
		w.pass(time.Minute)
		w.commit(inDoubt(out))
		got := w.life(out.ID.String()).Sends[0]
		w.shows("Status", got.Status, messaging.StatusInDoubt)
		w.shows("a doubt", got.Attempts, []*messaging.AttemptRecord{{Attempt: *out.Attempt, Outcome: isInDoubt, Since: w.now}})
	}},
	{"OfADoubtThatWasReplaced", func(w *world) {
		out := w.claimed("hello")
		w.commit(enqueue(out))
		w.commit(inDoubt(out))
		w.commit(report(out, isInDoubt, messaging.StatusQueued))
		second := *out
		second.Attempt = w.second(out)
		w.commit(report(&second, isRejected, messaging.StatusFailed))
		outcomes := func() (got []messaging.AttemptOutcome) {
			w.Helper()
			for _, a := range w.life(out.ID.String()).Sends[0].Attempts {
				got = append(got, a.Outcome)
			}
			return got
		}
		w.shows("outcomes", outcomes(), []messaging.AttemptOutcome{isInDoubt, isRejected})
		w.arrive("SM1", messaging.StateDelivered, out.Attempt.Tag())
		w.shows("outcomes once a state came", outcomes(), []messaging.AttemptOutcome{isAccepted, isRejected})
		w.shows("its message id", w.life("SM1").Sends[0].Attempts[0].MessageID, "SM1")
	}},
	{"AttemptsOldestFirst", func(w *world) {
		out := w.queued("hello")
		w.commit(enqueue(out))
		var want, got []uuid.UUID
		for n := 1; n <= 4; n++ {
			a := w.attempt(out.ID, n)
			want = append(want, a.ID)
			w.commit(claim(out.ID, a))
			w.commit(&messaging.Report{SendID: out.ID, AttemptID: a.ID, Outcome: isNotSent, Status: messaging.StatusQueued})
		}
		for _, a := range w.life(out.Key).Sends[0].Attempts {
			got = append(got, a.Attempt.ID)
		}
		w.shows("Attempts", got, want)
	}},
	{"OfARefusal", func(w *world) {
		out := w.claimed("hello")
		w.commit(enqueue(out))
		r := report(out, isRejected, messaging.StatusFailed)
		r.Code, r.Reason = "400", "bad number"
		w.commit(r)
		w.shows("Life", w.life(out.ID.String()), &messaging.Life{Sends: []*messaging.SendRecord{{
			Send: out.Send, Status: messaging.StatusFailed, Reason: "bad number",
			Attempts: []*messaging.AttemptRecord{{Attempt: *out.Attempt, Outcome: isRejected, Code: "400", Reason: "bad number"}},
		}}})
	}},
	{"OfAFailure", func(w *world) {
		out := w.sent("SM1")
		ev := w.state("SM1", messaging.StateFailed)
		ev.Reason = "unreachable carrier"
		w.commit(addEarly(ev, done()))
		got := w.life("SM1").Sends[0]
		w.shows("Send", got.Send, out.Send)
		w.shows("Status", got.Status, messaging.StatusFailed)
		w.shows("Reason", got.Reason, "unreachable carrier")
	}},
	{"OfWhatNeverLeft", func(w *world) {
		for _, s := range []messaging.Status{messaging.StatusSuppressed, messaging.StatusExpired, messaging.StatusCancelled} {
			out := w.queued("hello")
			w.commit(enqueue(out))
			w.commit(&messaging.Claim{SendID: out.ID, Status: s, Reason: "because"})
			w.shows(string(s), w.life(out.ID.String()), &messaging.Life{Sends: []*messaging.SendRecord{
				{Send: out.Send, Status: s, Reason: "because"},
			}})
		}
	}},
	{"OfARedelivery", func(w *world) {
		out := w.sent("SM1")
		w.fail("SM1", messaging.StateFailed)
		got := w.life("SM1").Sends[0]
		w.shows("Status", got.Status, messaging.StatusQueued)
		w.pass(time.Minute)
		second := *out
		second.Attempt = w.second(out)
		w.commit(accepted(&second, "SM2"))
		for _, id := range []string{"SM1", "SM2", out.ID.String(), out.Attempt.Tag(), second.Attempt.Tag()} {
			got = w.life(id).Sends[0]
			w.shows("Status", got.Status, messaging.StatusAccepted)
			if len(got.Attempts) != 2 {
				w.Fatalf("%d attempts, want 2", len(got.Attempts))
			}
			for i, want := range []struct {
				id     uuid.UUID
				name   string
				states int
			}{{out.Attempt.ID, "SM1", 1}, {second.Attempt.ID, "SM2", 0}} {
				a := got.Attempts[i]
				if a.Attempt.ID != want.id || a.Outcome != isAccepted || a.MessageID != want.name || len(a.States) != want.states {
					w.Errorf("attempt %d is %+v, want it accepted as %s, with %d states", i+1, a, want.name, want.states)
				}
			}
		}
	}},
	{"OfWhatIsUnfinished", func(w *world) {
		ev := w.message("hello")
		w.commit(add(ev))
		journaled := w.now
		w.shows("never run", w.life(ev.ID), &messaging.Life{Inbound: record(ev, journaled, nil)})
		w.pass(time.Second)
		o := retry(w.now.Add(time.Minute), 3)
		o.Handler = "forward"
		w.commit(settle(ev, o))
		w.shows("to be retried", w.life(ev.ID), &messaging.Life{Inbound: record(ev, journaled, o)})
	}},
	{"OfADeadLetter", func(w *world) {
		for _, early := range []bool{false, true} {
			ev, journaled := w.message("hello"), w.now
			o := &messaging.Outcome{Fate: messaging.FateDead, Attempt: 8, Err: "no use", Handler: "forward"}
			if early {
				w.commit(addEarly(ev, o))
			} else {
				w.commit(add(ev))
				w.pass(time.Second)
				w.commit(settle(ev, o))
			}
			want := record(ev, journaled, o)
			want.FinishedAt = w.now
			w.shows("dead", w.life(ev.ID), &messaging.Life{Inbound: want})
			w.pass(time.Second)
			w.commit(replay(ev))
			got := w.life(ev.ID).Inbound
			w.is("Finished after a replay", got.Finished, false)
			w.shows("Fate after a replay", got.Fate, messaging.FateRetry)
			w.shows("Attempt after a replay", got.Attempt, 0)
			w.is("FinishedAt.IsZero after a replay", got.FinishedAt.IsZero(), true)
			w.commit(settle(ev, o))
			w.commit(drop(ev))
			got = w.life(ev.ID).Inbound
			w.is("Finished after a drop", got.Finished, true)
			w.shows("Fate after a drop", got.Fate, messaging.FateDropped)
		}
	}},
	{"LastWordIsOverdue", func(w *world) {
		out := w.sent("SM1")
		status := func() messaging.Status { w.Helper(); return w.life(out.ID.String()).Sends[0].Status }
		w.pass(messaging.LastWord - time.Minute)
		w.commit(addEarly(w.message("a clock"), done()))
		w.shows("Status shortly before", status(), messaging.StatusAccepted)
		w.pass(time.Minute)
		w.commit(addEarly(w.message("a clock"), done()))
		w.shows("Status then", status(), messaging.StatusUnknown)
		w.shows("found as unknown", len(w.search(messaging.Search{Sends: true, Statuses: []messaging.Status{messaging.StatusUnknown}}).Sends), 1)
		w.shows("found as accepted", len(w.search(messaging.Search{Sends: true, Statuses: []messaging.Status{messaging.StatusAccepted}}).Sends), 0)
		w.arrive("SM1", messaging.StateDelivered)
		w.shows("Status after all", status(), messaging.StatusDelivered)
	}},
	{"OfNothing", func(w *world) {
		w.tell()
		for _, id := range []string{"", "nothing", newID().String(), (&messaging.Attempt{ID: newID()}).Tag(), uuid.Nil.String(), "%"} {
			if l, err := w.archive().Life(w.Context(), id); !errors.Is(err, messaging.ErrUnknown) {
				w.Errorf("Life(%q): %v, %v; want ErrUnknown", id, l, err)
			}
		}
	}},
	{"IsNotShared", func(w *world) {
		s := w.tell()
		l := w.life(s.ev.ID)
		l.Inbound.Event.Body, l.Sends[0].Send.Body, l.Sends[0].Attempts[1].States[0].Event.Send.InReplyTo = "x", "x", "x"
		again := w.life(s.ev.ID)
		w.shows("Body of the inbound", again.Inbound.Event.Body, s.ev.Body)
		w.wantStory("the answer", again.Sends[0], s)
	}},
}
