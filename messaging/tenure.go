package messaging

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// WriteTimeout is how long a write to the wire may take at most. An instance of a shared
// store begins no write unless its lease lasts that much longer, and is not taken for dead
// before that much has passed after its lease.
const WriteTimeout = 5 * time.Second

// tenure is what a shared store asks of an instance: to renew its lease, to take over what
// the dead leave, and to look again when something is left for it. It belongs to the
// engine's goroutine.
type tenure struct {
	sharer Sharer
	until  time.Time     // the lease's end
	alive  int           // how many instances there are
	renew  chan struct{} // asks for a renewal now
	taking takeover
}

// takeover is where a takeover stands. Meanwhile every event goes through the store, so
// that nothing new overtakes what the dead left.
type takeover uint8

const (
	takeoverNone takeover = iota
	takeoverWaits
	takeoverRuns
)

const (
	// renewRetry is the pause after a renewal that failed.
	renewRetry = 500 * time.Millisecond
	// renewParts is how many renewals fit into a lease.
	renewParts = 4
	// leaveWithin bounds the last word to the store.
	leaveWithin = 2 * time.Second
)

// mayWrite reports whether a write to the wire may begin.
func (e *Engine) mayWrite() bool { return e.ready && e.standing.loaded && e.mayLead() }

// mayLead reports whether the lease lasts long enough for a write.
func (e *Engine) mayLead() bool {
	return e.tenure.sharer == nil || e.tenure.until.Sub(e.now) > WriteTimeout
}

// join begins the tenure.
func (e *Engine) join() {
	t := &e.tenure
	t.sharer, _ = e.store.(Sharer)
	if !e.traits.Shared || t.sharer == nil {
		t.sharer = nil
		return
	}
	t.renew = make(chan struct{}, 1)
	sharer, ask, owner := t.sharer, t.renew, e.cfg.Owner
	e.journal.group.Go(func() { e.keepLease(sharer, ask) })
	e.journal.group.Go(func() {
		again := backoff.WithContext(backoff.NewExponentialBackOff(backoff.WithMaxElapsedTime(0), backoff.WithMaxInterval(5*time.Second)), e.reading)
		_ = backoff.Retry(func() error { // ends with the context
			err := sharer.Watch(e.reading, owner, func() { e.post(e.noticed) })
			if err == nil {
				err = errors.New("the watch ended")
			}
			return err
		}, again)
	})
}

// keepLease renews the lease until the work is over.
func (e *Engine) keepLease(sharer Sharer, ask <-chan struct{}) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-e.reading.Done():
			return
		case <-timer.C:
		case <-ask:
		}
		lease, err := sharer.Renew(e.reading, e.cfg.Owner)
		pause := renewRetry
		if err == nil {
			pause = max(time.Until(lease.Until)/renewParts, 10*time.Millisecond)
		}
		e.post(func() { e.renewed(lease, err) })
		if errors.Is(err, ErrFenced) {
			return
		}
		timer.Reset(pause)
	}
}

// renewed follows a renewal.
func (e *Engine) renewed(l Lease, err error) {
	t := &e.tenure
	switch {
	case errors.Is(err, ErrFenced):
		e.fail(err)
	case err != nil:
		if e.reading.Err() == nil {
			e.cfg.Logger.Warn("lease cannot be renewed; nothing is sent once it has run out", "err", err, "left", t.until.Sub(e.now))
		}
	default:
		t.until = l.Until
		e.count(l.Instances)
		e.learnConsent()
		if l.Orphans && t.taking == takeoverNone && e.spill.sendsLoaded && !e.draining {
			e.cfg.Logger.Info("another instance is gone; taking over what it left")
			t.taking = takeoverWaits
			e.spillAll()
		}
	}
}

// count tells who wants to know how many instances there are.
func (e *Engine) count(n int) {
	if n == e.tenure.alive {
		return
	}
	e.tenure.alive = n
	if e.cfg.Instances != nil {
		e.cfg.Instances(n)
	}
}

// fail ends Run: this instance must not act any more.
func (e *Engine) fail(err error) {
	if e.fatal == nil {
		e.fatal = err
	}
}

// noticed follows a word of the store that something may have been left for this instance,
// or that another one is gone.
func (e *Engine) noticed() {
	e.spill.dirty = true
	e.out.look = true
	e.learnConsent()
	select {
	case e.tenure.renew <- struct{}{}: // the answer tells of orphans
	default:
	}
}

// spillAll sends every event from now on through the store, those included that wait to be
// written.
func (e *Engine) spillAll() {
	e.spill.on, e.spill.sendsLoaded = true, false
	e.journal.unwritten(func(p *appending) {
		if p.Outcome == nil {
			p.Unheld = true
			e.dropItem(p.talk, p.item)
			p.talk, p.item = nil, nil
		}
	})
}

// takeOver takes the work of the dead once no commit is under way, and then reads it.
func (e *Engine) takeOver() {
	t := &e.tenure
	if t.taking != takeoverWaits || e.journal.inflight != nil {
		return
	}
	t.taking = takeoverRuns
	select {
	case e.wake <- struct{}{}: // the commits that waited for this go on
	default:
	}
	e.claimOrphans(func() {
		t.taking = takeoverNone
		e.recoverDoubts(0)
	})
}

// claimOrphans takes over all there is, off the engine's goroutine, then goes on there.
func (e *Engine) claimOrphans(then func()) {
	sharer, owner, log := e.tenure.sharer, e.cfg.Owner, e.cfg.Logger
	e.journal.group.Go(func() {
		total := 0
		for e.reading.Err() == nil {
			_, err := sharer.Renew(e.reading, owner) // the dead are no heirs
			n := 0
			if err == nil {
				n, err = sharer.TakeOver(e.reading, owner)
			}
			if err != nil {
				// What is left is an orphan still: a later renewal tells of it.
				log.Warn("work of a dead instance cannot be taken over for now", "err", err)
				break
			}
			if total += n; n == 0 {
				break
			}
		}
		if total > 0 {
			log.Info("took over what other instances left", "conversations", total)
		}
		e.post(then)
	})
}

// leave ends the tenure in order; what is left is anybody's.
func (e *Engine) leave() {
	if e.tenure.sharer == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaveWithin)
	defer cancel()
	if err := e.tenure.sharer.Leave(ctx, e.cfg.Owner); err != nil {
		e.cfg.Logger.Warn("the store was not told that this instance is gone; others wait for its lease to run out", "err", err)
	}
}
