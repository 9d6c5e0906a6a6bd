package policy

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/pace"
)

// Instances says how many daemons share the limits, this one included; each has its part of
// every rate from then on. It may be called at any time.
//
// They need not learn it at once. Where it comes from a journal's leases, a newcomer has its
// part from the start, while the others go on with their larger ones until their next
// renewal, a quarter of a lease later: so long, and for the window of a rate more, the rate
// may be overrun by the newcomer's part, 1/n of it, and by as much again for each that joins
// meanwhile. When one leaves, what it sent last may overrun one window by its part, 1/n.
//
// A part of less than one segment is one segment in a longer time, so that in one window as
// many as there are daemons may leave.
func (p *Policy) Instances(n int) { p.others.instances.Store(int64(n)) }

// Exchange tells a journal what this daemon has counted since the last call, and reads what
// others have, those included that are gone: call it before the first send, then every
// second or so, on one goroutine, and at the end. Caps and budgets are then overrun by at
// most what the others send between a count and the second call after it. After an error
// nothing is lost; call again.
func (p *Policy) Exchange(ctx context.Context, journal messaging.Counting) error {
	return p.others.exchange(ctx, journal)
}

// others is what a daemon knows of those that share the limits with it.
type others struct {
	instances atomic.Int64
	owner     uuid.UUID // of what is counted here

	untold sync.Mutex // guards what follows
	own    map[messaging.Counter]messaging.Counter

	known  sync.RWMutex // guards what follows
	theirs map[counted][]messaging.Counter

	// Of the goroutine that exchanges.
	last  int64     // Seq of theirs
	swept time.Time // when what matters no more was forgotten
}

// counted is what a counter is of.
type counted struct{ scope, key string }

func newOthers() others {
	return others{owner: uuid.New(), own: map[messaging.Counter]messaging.Counter{}, theirs: map[counted][]messaging.Counter{}, swept: time.Now()}
}

// place is a counter without what may change.
func place(c messaging.Counter) messaging.Counter {
	return messaging.Counter{Owner: c.Owner, Scope: c.Scope, Key: c.Key, Start: time.UnixMilli(c.Start.UnixMilli())}
}

const (
	// exchangeMost is how many counters are written or read at once.
	exchangeMost = 5000
	// sweepEvery is how often what matters no more is forgotten.
	sweepEvery = 10 * time.Minute
)

func (o *others) exchange(ctx context.Context, journal messaging.Counting) error {
	for {
		own := o.take()
		if len(own) == 0 {
			break
		}
		if err := journal.Count(ctx, o.owner, own); err != nil {
			o.putBack(own)
			return err
		}
	}
	for {
		page, err := journal.Counted(ctx, o.owner, o.last, exchangeMost)
		if err != nil {
			return err
		}
		o.learn(page)
		if len(page) < exchangeMost {
			break
		}
	}
	if now := time.Now(); now.Sub(o.swept) >= sweepEvery {
		o.swept = now
		o.sweep(now)
	}
	return nil
}

// take takes what the journal has not been told.
func (o *others) take() (own []messaging.Counter) {
	o.untold.Lock()
	defer o.untold.Unlock()
	for at, c := range o.own {
		if len(own) == exchangeMost {
			break
		}
		own = append(own, c)
		delete(o.own, at)
	}
	return own
}

// putBack undoes take, but for what has changed since.
func (o *others) putBack(own []messaging.Counter) {
	o.untold.Lock()
	defer o.untold.Unlock()
	for _, c := range own {
		if _, newer := o.own[place(c)]; !newer {
			o.own[place(c)] = c
		}
	}
}

func (o *others) learn(page []messaging.Counter) {
	o.known.Lock()
	defer o.known.Unlock()
	for _, c := range page {
		o.last = c.Seq
		of, at := counted{c.Scope, c.Key}, place(c)
		all := slices.DeleteFunc(o.theirs[of], func(old messaging.Counter) bool { return place(old) == at })
		o.theirs[of] = append(all, c)
	}
}

// sweep forgets what matters no more. It keeps nobody waiting for long: it looks beside the
// readers, and then deletes a little at a time.
func (o *others) sweep(now time.Time) {
	over := func(c messaging.Counter) bool { return c.Until.Before(now) }
	var old []counted
	o.known.RLock()
	for of, all := range o.theirs {
		if slices.ContainsFunc(all, over) {
			old = append(old, of)
		}
	}
	o.known.RUnlock()
	for some := range slices.Chunk(old, 1000) {
		o.known.Lock()
		for _, of := range some {
			if o.theirs[of] = slices.DeleteFunc(o.theirs[of], over); len(o.theirs[of]) == 0 {
				delete(o.theirs, of)
			}
		}
		o.known.Unlock()
	}
}

// replica is the Shared of a daemon that shares the limits with others.
type replica struct {
	*others
	least  int  // how many there are at least
	counts bool // whether what is counted is exchanged
}

// Share is this daemon's part.
func (r replica) Share() float64 { return 1 / float64(max(r.least, int(r.instances.Load()))) }

// Elsewhere is what the others have counted.
func (r replica) Elsewhere(scope pace.Scope, key string, since time.Time) (n int) {
	r.known.RLock()
	defer r.known.RUnlock()
	for _, c := range r.theirs[counted{string(scope), key}] {
		if !c.Start.Before(since) {
			n += c.N
		}
	}
	return n
}

// Counted notes what the journal is to be told.
func (r replica) Counted(c pace.Counter, until time.Time) {
	if !r.counts {
		return
	}
	r.untold.Lock()
	defer r.untold.Unlock()
	m := messaging.Counter{Scope: string(c.Scope), Key: c.Key, Start: c.Start, N: c.N, Until: until}
	r.own[place(m)] = m
}
