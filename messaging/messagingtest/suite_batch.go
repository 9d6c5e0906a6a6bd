package messagingtest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

// mixed is a batch with every operation, each of which changes something, and what it
// meets in the store.
type mixed struct {
	batch                            *messaging.Batch
	waiting, fresh, early, state     *messaging.Event
	dead, dropped                    *messaging.Event
	failed                           *messaging.Outgoing
	queued, open, reply, call, other *messaging.Outgoing
}

func (w *world) mixed() *mixed {
	m := &mixed{
		waiting: w.message("waiting"), fresh: w.message("fresh"), early: w.message("early"),
		queued: w.queued("queued"), open: w.claimed("open"), other: w.claimed("other"),
		reply: w.queued("reply"), call: w.queued("call"),
		dead: w.message("dead"), dropped: w.message("dropped"), failed: w.claimed("failed"),
	}
	w.commit(addEarly(m.dead, dead()), addEarly(m.dropped, dead()), add(m.waiting),
		enqueue(m.queued), enqueue(m.open), enqueue(m.other), enqueue(m.failed))
	failure := addEarly(w.state("SM-failed", messaging.StateFailed, m.failed.Attempt.Tag()), done())
	failure.Redeliver = &messaging.Redelivery{Attempts: 2, At: w.now}
	m.state = w.state("SM-other", messaging.StateSent, m.other.Attempt.Tag())
	taken := w.queued("taken")
	taken.Key = m.queued.Key
	m.batch = w.batch(
		add(m.fresh), addEarly(m.early, done(m.reply)), add(again(m.waiting)), addEarly(m.state, done()), failure,
		settle(m.waiting, done(w.claimed("answer"))), settle(m.waiting, done(w.queued("lost"))),
		enqueue(m.call), enqueue(taken),
		claim(m.queued.ID, w.attempt(m.queued.ID, 1)), claim(m.queued.ID, w.attempt(m.queued.ID, 2)),
		accepted(m.open, "SM-open"),
		&messaging.Revive{EventID: m.dead.ID}, &messaging.Revive{EventID: m.dropped.ID, Drop: true},
		&messaging.Revive{EventID: m.dead.ID}, &messaging.Revive{EventID: "nothing"},
	)
	if hasLedger(w.store) {
		w.addConsents(m.batch)
	}
	return m
}

// addConsents adds a change of consent wherever a batch has a place for it.
func (w *world) addConsents(b *messaging.Batch) {
	add := func(cs *[]*messaging.ConsentChange, n int) {
		*cs = append(*cs, stop(person(n)), scoped(change(messaging.ConsentReview, person(n)), messaging.ContextScope("support")))
	}
	for i, a := range b.Appends {
		add(&a.Consents, i)
		if a.Outcome != nil {
			add(&a.Outcome.Consents, i+20)
		}
	}
	for i, x := range b.Settles {
		add(&x.Outcome.Consents, i+40)
	}
	add(&b.Consents, 60)
}

// results are everything a commit says about a batch.
type results struct {
	Fresh    []bool
	Seq      []int64
	Merges   []*messaging.Merge
	Lost     []bool
	Inserted []bool
	Existing []*messaging.Send
	Granted  []bool
	Revived  []*messaging.Event
	Done     []bool
	Unheld   []bool
	Changed  []bool
	Stands   []messaging.ConsentState
}

func resultsOf(b *messaging.Batch) results {
	var r results
	sends := func(o *messaging.Outcome) {
		if o != nil {
			for _, out := range o.Sends {
				r.Inserted = append(r.Inserted, out.Inserted)
				r.Unheld = append(r.Unheld, out.Unheld)
			}
		}
	}
	b.EachConsent(func(c *messaging.ConsentChange) {
		r.Changed, r.Stands = append(r.Changed, c.Changed), append(r.Stands, c.State)
	})
	merged := func(m *messaging.Merge) {
		if m = copied(m); m != nil {
			if m.Again = copied(m.Again); m.Again != nil {
				m.Again.Attempt = copied(m.Again.Attempt)
			}
		}
		r.Merges = append(r.Merges, m)
	}
	for _, a := range b.Appends {
		r.Fresh = append(r.Fresh, a.Fresh)
		if a.Fresh {
			r.Seq = append(r.Seq, a.Event.Seq)
		}
		r.Unheld = append(r.Unheld, a.Unheld)
		merged(a.Merge)
		sends(a.Outcome)
	}
	for _, s := range b.Settles {
		r.Lost = append(r.Lost, s.Lost)
		sends(s.Outcome)
	}
	for _, q := range b.Enqueues {
		r.Inserted = append(r.Inserted, q.Outgoing.Inserted)
		r.Unheld = append(r.Unheld, q.Outgoing.Unheld)
		r.Existing = append(r.Existing, copied(q.Existing))
	}
	for _, c := range b.Claims {
		r.Granted = append(r.Granted, c.Granted)
	}
	for _, rep := range b.Reports {
		merged(rep.Merge)
	}
	for _, v := range b.Revives {
		r.Revived = append(r.Revived, copied(v.Event))
		r.Done, r.Unheld = append(r.Done, v.Done), append(r.Unheld, v.Unheld)
	}
	return r
}

// copied keeps what a result was when something changes the value that it points to.
func copied[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}

// spoil overwrites the results, so that one that is not filled in again shows.
func spoil(b *messaging.Batch) {
	nonsense := messaging.Merge{Status: "nonsense"}
	sends := func(o *messaging.Outcome) {
		if o != nil {
			for _, out := range o.Sends {
				out.Inserted = !out.Inserted
			}
		}
	}
	b.EachConsent(func(c *messaging.ConsentChange) { spoilt(c).Changed = !c.Changed })
	for _, a := range b.Appends {
		if a.Fresh {
			a.Event.Seq = -1
		}
		a.Fresh, a.Merge = !a.Fresh, &nonsense
		sends(a.Outcome)
	}
	for _, s := range b.Settles {
		s.Lost = !s.Lost
		sends(s.Outcome)
	}
	for _, q := range b.Enqueues {
		q.Outgoing.Inserted = !q.Outgoing.Inserted
		q.Existing = &messaging.Send{Body: "nonsense"}
	}
	for _, c := range b.Claims {
		c.Granted = !c.Granted
	}
	for _, r := range b.Reports {
		r.Merge = &nonsense
	}
	for _, v := range b.Revives {
		v.Done, v.Event = !v.Done, &messaging.Event{ID: "nonsense"}
	}
}

var batchTests = []test{
	{"Empty", func(w *world) { w.commit() }},
	{"OneOfEach", func(w *world) {
		m := w.mixed()
		if err := w.store.Commit(w.Context(), m.batch); err != nil {
			w.Fatalf("Commit: %v", err)
		}
		got := resultsOf(m.batch)
		w.same("Fresh", got.Fresh, []bool{true, true, false, true, true})
		w.same("Lost", got.Lost, []bool{false, true})
		w.same("Inserted", got.Inserted, []bool{true, true, false, true, false})
		w.same("Granted", got.Granted, []bool{true, false})
		w.same("Done", got.Done, []bool{true, true, false, false})
		work := w.load()
		w.wantEvents(work, m.dead, m.fresh)
		w.wantSends(work, m.failed, m.reply, m.call)
		if len(work.Doubts) != 2 { // the answer and the claimed one
			w.Errorf("%d attempts are open, want 2", len(work.Doubts))
		}
	}},
	{"Atomic", func(w *world) {
		m := w.mixed()
		before := w.load()
		// A send whose id is taken cannot be stored, wherever in the batch it stands.
		bad := w.queued("bad")
		bad.ID = m.queued.ID
		for _, poison := range []any{enqueue(bad), addEarly(w.message("poison"), done(bad)), settle(m.waiting, done(bad))} {
			spoiled := w.batch(poison)
			b := *m.batch
			b.ID = newID()
			b.Appends = append(b.Appends[:len(b.Appends):len(b.Appends)], spoiled.Appends...)
			// First, so that what follows it shows too.
			b.Settles = append(spoiled.Settles, b.Settles...)
			b.Enqueues = append(b.Enqueues[:len(b.Enqueues):len(b.Enqueues)], spoiled.Enqueues...)
			w.refuse(&b)
			w.same("the work after a refused batch", w.load(), before)
		}
		// The others are not the worse for it: everything is as new.
		if err := w.store.Commit(w.Context(), m.batch); err != nil {
			w.Fatalf("Commit without the poison: %v", err)
		}
		got := resultsOf(m.batch)
		w.same("Fresh", got.Fresh, []bool{true, true, false, true, true})
		w.same("Lost", got.Lost, []bool{false, true})
		w.same("Inserted", got.Inserted, []bool{true, true, false, true, false})
		w.same("Granted", got.Granted, []bool{true, false})
		w.same("Done", got.Done, []bool{true, true, false, false})
		w.wantMerge("state", m.batch.Appends[3].Merge, m.other, merge{isAccepted, messaging.StatusSent, true, false})
		w.wantMerge("report", m.batch.Reports[0].Merge, m.open, merge{isAccepted, messaging.StatusAccepted, true, false})
	}},
	{"RetriedIsRecognised", func(w *world) {
		m := w.mixed()
		if err := w.store.Commit(w.Context(), m.batch); err != nil {
			w.Fatalf("Commit: %v", err)
		}
		first, work := resultsOf(m.batch), w.load()
		for range 2 {
			spoil(m.batch)
			w.pass(time.Second) // a retry comes later
			m.batch.Now = w.now
			if err := w.store.Commit(w.Context(), m.batch); err != nil {
				w.Fatalf("Commit of the same batch: %v", err)
			}
			w.same("results of the retry", resultsOf(m.batch), first)
			w.same("work after the retry", w.load(), work)
		}
		// The same operations in a batch of their own are news.
		spoil(m.batch)
		m.batch.ID = newID()
		m.batch.Enqueues, m.batch.Claims = nil, nil
		if err := w.store.Commit(w.Context(), m.batch); err != nil {
			w.Fatalf("Commit as another batch: %v", err)
		}
		w.same("Fresh", resultsOf(m.batch).Fresh, []bool{false, false, false, false, false})
		w.same("Lost", resultsOf(m.batch).Lost, []bool{true, true})
		w.same("Done", resultsOf(m.batch).Done, []bool{false, false, false, false})
	}},
	{"OrderOfOperations", func(w *world) {
		ev := w.message("one")
		out, call := w.claimed("answer"), w.queued("call")
		a := w.attempt(call.ID, 1)
		b := w.commit(
			accepted(out, "SM1"),
			&messaging.Report{SendID: call.ID, AttemptID: a.ID, Outcome: isAccepted, MessageID: "SM2", Status: messaging.StatusAccepted},
			claim(call.ID, a), enqueue(call), settle(ev, done(out)), add(ev),
		)
		w.is("Fresh", b.Appends[0].Fresh, true)
		w.is("Lost", b.Settles[0].Lost, false)
		w.is("Granted", b.Claims[0].Granted, true)
		w.wantMerge("report", b.Reports[0].Merge, out, merge{isAccepted, messaging.StatusAccepted, true, false})
		work := w.load()
		w.wantEvents(work)
		w.wantSends(work)
		w.wantDoubts(work)
	}},
	{"EndedContext", func(w *world) {
		ctx, cancel := context.WithCancel(w.Context())
		cancel()
		ev := w.message("one")
		b := w.batch(add(ev))
		if err := w.store.Commit(ctx, b); !errors.Is(err, context.Canceled) {
			w.Errorf("Commit with an ended context: %v, want context.Canceled", err)
		}
		w.wantEvents(w.load())
		w.commit(add(ev))
		if _, err := w.store.Load(ctx, messaging.Query{Owner: w.owner, Now: w.now, Limit: 1, Events: true}); !errors.Is(err, context.Canceled) {
			w.Errorf("Load with an ended context: %v, want context.Canceled", err)
		}
	}},
	{"ConcurrentReaders", func(w *world) {
		ctx, cancel := context.WithCancel(w.Context())
		var readers sync.WaitGroup
		for range 3 {
			readers.Go(func() {
				for ctx.Err() == nil {
					work, err := w.store.Load(ctx, messaging.Query{Owner: w.owner, Now: w.now, Limit: 50, Events: true, Sends: true, Doubts: true})
					if err != nil {
						if ctx.Err() == nil {
							w.Errorf("Load beside Commit: %v", err)
						}
						return
					}
					// A batch is visible as a whole or not at all.
					if len(work.Events) != len(work.Sends) {
						w.Errorf("%d events and %d sends are visible; each commit adds one of both", len(work.Events), len(work.Sends))
						return
					}
					for i, u := range work.Events {
						_ = len(u.Event.Body) + len(work.Sends[i].Body)
					}
				}
			})
		}
		for range 40 {
			a := add(w.message("x"))
			a.Unheld = w.store.Traits().Shared // its owner would not be told of it else
			w.commit(a, enqueue(w.queued("y")), enqueue(w.claimed("z")))
		}
		cancel()
		readers.Wait()
		if work := w.load(); len(work.Events) != 40 || len(work.Doubts) != 40 {
			w.Errorf("%d events and %d doubts, want 40 of each", len(work.Events), len(work.Doubts))
		}
	}},
}

var pruneTests = []test{
	{"KeepsWhatIsUnfinished", func(w *world) {
		waiting, retried := w.message("waiting"), w.message("retried")
		w.commit(add(waiting), add(retried), enqueue(w.queued("queued")), enqueue(w.claimed("open")))
		doubted := w.claimed("doubted")
		w.commit(settle(retried, retry(w.now.Add(time.Hour), 1)), enqueue(doubted))
		w.commit(inDoubt(doubted))
		w.pass(time.Minute)
		before := w.load()
		w.prune()
		w.same("work after Prune", w.load(), before)
	}},
	{"KeepsIDs", func(w *world) {
		ev, out := w.message("done"), w.sent("SM1")
		w.commit(addEarly(ev, done()))
		w.arrive("SM1", messaging.StateDelivered, out.Attempt.Tag())
		w.pass(time.Minute)
		w.prune()
		dup := add(again(ev))
		second := w.queued("second")
		second.Key = out.Key
		b := w.commit(dup, enqueue(second))
		w.is("Fresh of a pruned event", dup.Fresh, false)
		w.is("Inserted under the key of a pruned send", second.Inserted, false)
		if x := b.Enqueues[0].Existing; x == nil || x.ID != out.ID {
			w.Errorf("Existing is %v, want the pruned send's id", x)
		}
	}},
	{"KeepsAttemptsThatStatesMayCome", func(w *world) {
		out := w.sent("SM1")
		w.pass(time.Minute)
		w.prune()
		w.wantMerge("state after Prune", w.arrive("SM1", messaging.StateDelivered), out,
			merge{isAccepted, messaging.StatusDelivered, true, false})
	}},
}

// prune forgets everything that is finished, however many calls it takes.
func (w *world) prune() {
	w.Helper()
	for range 100 {
		n, err := w.store.Prune(w.Context(), w.now)
		if err != nil {
			w.Fatalf("Prune: %v", err)
		}
		if n == 0 {
			return
		}
	}
	w.Fatal("Prune finds something to forget for ever")
}
