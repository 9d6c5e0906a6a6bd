package messagingtest

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

// watch counts how often an instance is told to look again.
func (w *world) watch() *atomic.Int64 {
	ctx, cancel := context.WithCancel(w.Context())
	told, ended := new(atomic.Int64), make(chan struct{})
	go func() {
		defer close(ended)
		_ = w.sharer().Watch(ctx, w.owner, func() { told.Add(1) }) // it returns when the context ends
	}()
	w.Cleanup(func() {
		cancel()
		<-ended
	})
	return told
}

// wantTold checks that whenever leave is called, an instance that watches is told. What
// comes first may be told before the watch has begun, and is repeated.
func (w *world) wantTold(leave func()) {
	w.Helper()
	told := w.watch()
	n := 0
	w.eventually("told of anything", func() bool {
		n++
		leave()
		return told.Load() > 0
	})
	// No more than n+1 words are late ones of those before, so these need their own.
	for range n + 3 {
		before := told.Load()
		leave()
		w.eventually("told of what was left", func() bool { return told.Load() > before })
	}
}

var watchTests = []sharedTest{
	{"OfAnEvent", 2, func(ws []*world) {
		a, b := ws[0], ws[1]
		a.wantUnheld("the owner's", a.message("held"), false)
		a.wantTold(func() { b.commit(hold(b.message("left"))) })
	}},
	{"OfASend", 2, func(ws []*world) {
		a, b := ws[0], ws[1]
		a.wantUnheld("the owner's", a.message("held"), false)
		a.wantTold(func() { b.commit(enqueue(b.queued("left"))) })
	}},
	{"OfAnAnswer", 2, func(ws []*world) {
		a, b := ws[0], ws[1]
		a.wantUnheld("the owner's", a.message("held"), false)
		a.wantTold(func() { b.commit(addEarly(b.message("x"), done(b.claimed("left")))) })
	}},
	{"OfADeadLetter", 2, func(ws []*world) {
		a, b := ws[0], ws[1]
		a.wantUnheld("the owner's", a.message("held"), false)
		a.wantTold(func() {
			ev := b.message("dead")
			b.commit(addEarly(ev, dead()))
			b.commit(replay(ev))
		})
	}},
	{"OfARedelivery", 2, func(ws []*world) {
		a, b := ws[0], ws[1]
		a.wantUnheld("the owner's", a.message("held"), false)
		a.wantTold(func() {
			id := newID().String()
			a.sent(id)
			b.fail(id, messaging.StateFailed)
		})
	}},
	{"OfALeave", 2, func(ws []*world) {
		a, b := ws[0], ws[1]
		a.renew()
		a.wantTold(func() {
			b.owner = newID()
			b.renew()
			b.leave()
		})
	}},
	{"EndsWithItsContext", 1, func(ws []*world) {
		ws[0].renew()
		ctx, cancel := context.WithCancel(ws[0].Context())
		ended := make(chan error, 1)
		go func() { ended <- ws[0].sharer().Watch(ctx, ws[0].owner, func() {}) }()
		cancel()
		ws[0].eventually("Watch returns", func() bool { return len(ended) > 0 })
	}},
}

// estate is what an instance leaves behind.
type estate struct {
	held, retried, unheld *messaging.Event
	queued, open, doubted *messaging.Outgoing
	doubtedAt             time.Time
	conversations         int
}

// bequeath gives an instance something unfinished of every kind, in three conversations,
// and an idle one.
func (w *world) bequeath() *estate {
	w.Helper()
	e := &estate{
		held: w.messageFrom(person(1), "held"), retried: w.messageFrom(person(1), "retried"), unheld: w.messageFrom(person(1), "unheld"),
		queued: to(w.queued("queued"), person(2)), open: to(w.claimed("open"), person(2)), doubted: to(w.claimed("doubted"), person(3)),
		conversations: 3,
	}
	idle := w.messageFrom(person(4), "idle")
	w.commit(hold(e.held), hold(e.retried), enqueue(e.queued), enqueue(e.open), enqueue(e.doubted), hold(idle))
	w.commit(add(e.unheld), settle(idle, done()), settle(e.retried, retry(w.now.Add(time.Minute), 3)), inDoubt(e.doubted))
	e.doubtedAt = w.now
	return e
}

// wantEstate checks that an instance finds all of it.
func (w *world) wantEstate(e *estate) {
	w.Helper()
	work := w.load()
	w.wantEvents(work, e.held, e.retried, e.unheld)
	if len(work.Events) == 3 {
		r := work.Events[1]
		w.same("RetryAt", r.RetryAt, e.doubtedAt.Add(time.Minute))
		w.same("Attempt", r.Event.Attempt, 3)
		w.same("Frame", work.Events[0].Event.Frame, e.held.Frame)
	}
	w.wantSends(work, e.queued)
	w.wantDoubts(work,
		messaging.Doubt{Attempt: *e.open.Attempt, Send: e.open.Send, Outcome: messaging.OutcomeOpen, Since: e.open.Attempt.ClaimedAt},
		messaging.Doubt{Attempt: *e.doubted.Attempt, Send: e.doubted.Send, Outcome: isInDoubt, Since: e.doubtedAt})
	b := w.commit(settle(e.held, done()), settle(e.retried, done()), settle(e.unheld, done()), claim(e.queued.ID, w.attempt(e.queued.ID, 1)),
		accepted(e.open, newID().String()), report(e.doubted, isAbsent, messaging.StatusFailed))
	for _, s := range b.Settles {
		w.is("Lost of what was taken over", s.Lost, false)
	}
	w.is("Granted of what was taken over", b.Claims[0].Granted, true)
}

var leaveTests = []sharedTest{
	{"OthersTakeOverAtOnce", 3, func(ws []*world) {
		a, b, c := ws[0], ws[1], ws[2]
		e := a.bequeath()
		b.renew()
		c.renew()
		b.wantNothing()
		if n := b.takeOver(); n != 0 {
			b.Errorf("%d conversations of a live instance were taken over", n)
		}
		b.is("Orphans while all live", b.renew().Orphans, false)
		a.leave()
		b.is("Orphans after a leave", b.renew().Orphans, true)
		if n := b.takeOver(); n != e.conversations {
			b.Errorf("%d conversations were taken over, want %d", n, e.conversations)
		}
		if n := c.takeOver(); n != 0 {
			c.Errorf("%d conversations were taken over twice", n)
		}
		b.is("Orphans when all is taken over", b.renew().Orphans, false)
		c.wantNothing()
		b.wantEstate(e)
		c.wantUnheld("in a conversation that was taken over", c.messageFrom(person(2), "left"), true)
	}},
	{"AppendTakesFromTheGone", 2, func(ws []*world) {
		a, b := ws[0], ws[1]
		old := a.message("old")
		a.wantUnheld("the owner's", old, false)
		out := a.queued("old")
		a.commit(enqueue(out))
		a.leave()
		b.renew()
		ev := b.message("new")
		b.wantUnheld("behind what the gone left", ev, true)
		work := b.load()
		b.wantEvents(work, old, ev)
		b.wantSends(work, out)
	}},
	{"EnqueueTakesFromTheGone", 2, func(ws []*world) {
		a, b := ws[0], ws[1]
		old := a.message("old")
		a.wantUnheld("the owner's", old, false)
		a.leave()
		b.renew()
		out := b.claimed("new")
		b.commit(enqueue(out))
		b.is("Unheld in a conversation of the gone", out.Unheld, false)
		work := b.load()
		b.wantEvents(work, old)
		b.wantDoubts(work, messaging.Doubt{Attempt: *out.Attempt, Send: out.Send, Outcome: messaging.OutcomeOpen, Since: b.now})
	}},
	{"EachOrphanGoesToOne", 3, func(ws []*world) { orphansOnce(ws, ws[0].leave) }},
	{"InstancesAreCounted", 3, func(ws []*world) {
		a, b, c := ws[0], ws[1], ws[2]
		for i, w := range ws {
			w.same("Instances when this one joins", w.renew().Instances, i+1)
		}
		a.same("Instances when all have joined", a.renew().Instances, 3)
		b.leave()
		a.same("Instances after a leave", a.renew().Instances, 2)
		a.leave()
		c.same("Instances when the others have left", c.renew().Instances, 1)
		a.wantUnheld("of one that a commit joins", a.message("again"), false)
		c.same("Instances when one has joined by a commit", c.renew().Instances, 2)
	}},
	{"CommitJoins", 2, func(ws []*world) {
		a, b := ws[0], ws[1]
		a.wantUnheld("of one that never renewed", a.message("mine"), false)
		b.renew()
		if n := b.takeOver(); n != 0 {
			b.Errorf("%d conversations of one that a commit joined were taken over", n)
		}
		b.wantUnheld("another instance's", b.message("left"), true)
		a.leave()
		if n := b.takeOver(); n != 1 {
			b.Errorf("%d conversations were taken over, want 1", n)
		}
	}},
}

// orphansOnce lets two survivors take over at once what a third left.
func orphansOnce(ws []*world, die func()) {
	a := ws[0]
	const conversations = 40
	var ops []any
	for i := range conversations {
		ops = append(ops, hold(a.messageFrom(person(i), "orphan")))
	}
	a.commit(ops...)
	for _, w := range ws[1:] {
		w.renew()
	}
	die()
	sum, taken := 0, make([]int, len(ws)-1)
	a.eventually("TakeOver of all that was left", func() bool {
		for i, n := range together(ws[1:], (*world).tryTakeOver) {
			taken[i] += n
			sum += n
		}
		return sum >= conversations
	})
	seen := map[messaging.Number]int{}
	for i, w := range ws[1:] {
		events := w.load().Events
		w.same("conversations in Load, against what TakeOver said", len(events), taken[i])
		for _, u := range events {
			seen[u.Event.From]++
		}
	}
	if sum != conversations {
		a.Errorf("%d conversations were taken over, want %d", sum, conversations)
	}
	for p, n := range seen {
		if n != 1 {
			a.Errorf("the conversation with %v went to %d instances", p, n)
		}
	}
}

// tryTakeOver takes over all there is, without ending the test.
func (w *world) tryTakeOver() (total int) {
	for {
		n, err := w.sharer().TakeOver(w.Context(), w.owner)
		if err != nil {
			w.Errorf("TakeOver: %v", err)
		}
		if total += n; n == 0 || err != nil {
			return total
		}
	}
}

// outlive waits until an instance that has stopped renewing is declared dead by another, which
// takes over what it left, and gives how many conversations that was.
func (w *world) outlive() (taken int) {
	w.Helper()
	w.eventually("TakeOver of a dead instance's work", func() bool {
		taken += w.takeOver()
		return taken > 0
	})
	return taken
}

var deathTests = []sharedTest{
	{"TheDeadIsFenced", 2, func(ws []*world) {
		a, b := ws[0], ws[1]
		b.live()
		stop := a.live()
		e := a.bequeath()
		stop()
		b.eventually("Orphans", func() bool { return b.renew().Orphans })
		if n := b.outlive(); n != e.conversations {
			b.Errorf("%d conversations were taken over, want %d", n, e.conversations)
		}
		late := a.messageFrom(person(9), "too late")
		a.wantFenced("Commit", a.store.Commit(a.Context(), a.batch(hold(late), settle(e.held, done(a.queued("too late"))))))
		_, err := a.sharer().Renew(a.Context(), a.owner)
		a.wantFenced("Renew", err)
		a.wantFenced("Commit after a Renew", a.store.Commit(a.Context(), a.batch(enqueue(a.queued("too late")))))
		b.wantEstate(e) // nothing of it was written
		fresh := hold(again(late))
		b.commit(fresh)
		b.is("Fresh of what the dead tried to append", fresh.Fresh, true)
		// A new process at the same place is another instance.
		a.owner = newID()
		a.wantUnheld("a successor's", a.messageFrom(person(8), "alive"), false)
	}},
	{"TheDeadAreNotCounted", 2, func(ws []*world) {
		a, b := ws[0], ws[1]
		b.live()
		a.wantUnheld("the owner's", a.message("left"), false)
		b.same("Instances before a death", b.renew().Instances, 2)
		b.outlive()
		b.same("Instances after a death", b.renew().Instances, 1)
	}},
	{"TheLivingIsLeftAlone", 2, func(ws []*world) {
		a, b := ws[0], ws[1]
		a.live()
		b.live()
		held := a.message("held")
		a.wantUnheld("the owner's", held, false)
		until := time.Now().Add(3 * b.lease)
		b.eventually("three leases pass", func() bool {
			if n := b.takeOver(); n != 0 {
				b.Fatalf("%d conversations of an instance that renews were taken over", n)
			}
			return time.Now().After(until)
		})
		b.is("Orphans", b.renew().Orphans, false)
		batch := a.commit(settle(held, done()))
		a.is("Lost", batch.Settles[0].Lost, false)
	}},
	{"LeaseLastsFromTheAsking", 1, func(ws []*world) {
		w := ws[0]
		asked := time.Now()
		l := w.renew()
		if !l.Until.After(asked) || l.Until.After(time.Now().Add(w.lease)) {
			w.Errorf("the lease runs out %v after it was asked for; want more than nothing, and less than %v", l.Until.Sub(asked), w.lease)
		}
	}},
	{"EachOrphanGoesToOne", 3, func(ws []*world) {
		ws[1].live()
		ws[2].live()
		orphansOnce(ws, func() {
			ws[1].eventually("Orphans", func() bool { return ws[1].renew().Orphans && ws[2].renew().Orphans })
		})
	}},
	{"Random", 4, randomLives},
}
