package messaging

import (
	"time"

	"github.com/google/uuid"
)

// backlog is what waits to leave: in memory up to a bound, the rest in the store, from
// where it is read back when there is room or when it falls due. A store that is not
// durable has no room that memory has not, so then everything is here.
type backlog struct {
	queued map[uuid.UUID]*flight // in memory, by send: due, deferred, or with a claim under way

	// over is the smallest priority of which some wait in the store; 0 if none do. What
	// comes with it or a larger one goes there too, so that it overtakes nobody.
	over    Priority
	loading bool
	look    bool      // something may be in the store that nobody here knows of
	nextDue time.Time // when the earliest of those in the store falls due; zero if none does

	// What was left in the store since the last read began.
	missed    Priority
	missedDue time.Time
}

const (
	// sendsMost bounds the sends of the largest priority that wait in memory; each smaller
	// priority may have as many again.
	sendsMost = 10_000
	// sendsPage is how many one read brings back.
	sendsPage = sendsMost / 2
	// horizon is how far ahead a deferred send is kept in memory under an alarm.
	horizon = 2 * time.Minute
)

// leave leaves a queued send in the store, if it is not to wait in memory.
func (o *outbox) leave(e *Engine, f *flight) bool {
	if !e.traits.Durable {
		return false
	}
	p := f.out.Priority
	far := f.out.NotBefore.Sub(e.now) > horizon
	full := len(o.queued) >= sendsMost*int(PriorityBulk-p+1)
	if !far && !full && o.passes(p) {
		return false
	}
	if far {
		o.missedDue = earlier(o.missedDue, f.out.NotBefore)
		o.nextDue = earlier(o.nextDue, f.out.NotBefore)
	} else {
		o.missed = smaller(o.missed, p)
		o.over = smaller(o.over, p)
	}
	e.disown(f)
	o.unqueue(f)
	f.phase = phaseDone
	o.live--
	e.forget(f.talk)
	return true
}

// passes reports whether a send of a priority overtakes nobody who waits in the store.
func (o *outbox) passes(p Priority) bool { return o.over == 0 || p < o.over }

// keep notes that a queued send waits in memory, unqueue that it does not any more.
func (o *outbox) keep(f *flight) {
	if !f.queued {
		f.queued = true
		o.queued[f.out.ID] = f
	}
}

func (o *outbox) unqueue(f *flight) {
	if f.queued {
		f.queued = false
		delete(o.queued, f.out.ID)
	}
}

// fetchSends reads back what waits in the store, once there is room or something is due.
func (e *Engine) fetchSends() {
	o := &e.out
	if !e.traits.Durable || o.loading || e.draining || !e.spill.sendsLoaded {
		return
	}
	due := !o.nextDue.IsZero() && !o.nextDue.After(e.now)
	room := o.over != 0 && len(o.queued) <= sendsMost-sendsPage
	if due || room || o.look {
		e.readSends(nil)
	}
}

// readSends reads the queued sends that are due soon and lines up those that are not here.
func (e *Engine) readSends(then func()) {
	o := &e.out
	o.loading, o.look = true, false
	o.missed, o.missedDue = 0, time.Time{}
	q := Query{Owner: e.cfg.Owner, Now: e.now.Add(horizon), Limit: len(o.queued) + sendsPage, Sends: true}
	e.load(q, func(w *Work) {
		o.loading = false
		o.over = o.missed
		if len(w.Sends) >= q.Limit {
			o.over = smaller(o.over, w.Sends[len(w.Sends)-1].Priority)
		}
		o.nextDue = earlier(w.NextDue, o.missedDue)
		for _, s := range w.Sends {
			if o.queued[s.ID] == nil {
				o.enqueue(e, s, true)
			}
		}
		if then != nil {
			then()
		}
	})
}

// own makes this process account for the inbound of a send that came out of the store.
func (e *Engine) own(f *flight) {
	if f.out.InReplyTo == "" {
		return
	}
	f.tally, f.counted = &tally{open: 1}, true
	e.tallies.received++
	e.tallies.open++
}

// disown leaves the inbound of a send to whoever takes the send out of the store.
func (e *Engine) disown(f *flight) {
	tl := f.tally
	if tl == nil || !f.counted {
		return
	}
	f.counted = false
	if tl.open--; tl.open == 0 && !tl.decided {
		tl.decided = true
		e.tallies.received--
		e.tallies.open--
	}
}

// smaller is the smaller of two priorities, of which 0 stands for none.
func smaller(a, b Priority) Priority {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// earlier is the earlier of two times, of which zero stands for never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
