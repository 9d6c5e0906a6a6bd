package pace

import (
	"slices"
	"time"
)

const (
	// borrow is how far what is urgent may run ahead of the average rate.
	borrow = time.Second
	// replying is how long after an urgent send bulk leaves room for the next.
	replying = 10 * time.Second
	// grace is how long the place of an urgent send that was told when to come back is
	// kept after that time.
	grace = 250 * time.Millisecond
)

// left is a send that went through a bucket: when, and how large.
type left struct {
	at int64
	n  int
}

// bucket keeps one rate. Times are nanoseconds since 1970. It is not safe for concurrent
// use.
type bucket struct {
	limit Rate // as configured
	share float64
	rate  int   // segments in a window, of this replica's share
	per   int64 // the window

	log  []left // oldest first; those before head are out of the window
	head int
	sum  int   // segments in the window
	last int64 // the latest time that was seen

	free   int64    // when the average rate has caught up with all that left
	bulk   int64    // the same for bulk alone, at four fifths of the rate
	urgent int64    // when the last urgent send left
	line   [2]int64 // the end of the places given to bulk, and to urgent sends
}

func newBucket(r Rate) *bucket {
	if r == (Rate{}) {
		return nil
	}
	b := &bucket{limit: r}
	b.divide(1)
	return b
}

// divide sets the part of the rate that this replica has. The parts of all replicas add up to
// the whole. Where a part is less than one segment in a window, each replica sends one in
// several windows, and some of these may fall into the same one.
func (b *bucket) divide(share float64) {
	if share == b.share {
		return
	}
	b.share = share
	part := float64(b.limit.Segments) * share
	b.rate, b.per = int(part), int64(b.limit.Per)
	if part < 1 {
		b.rate, b.per = 1, int64(float64(b.limit.Per)/part)
	}
}

func (b *bucket) cost(n int) int64 { return int64(n) * b.per / int64(b.rate) }

// advance moves the bucket to now and gives the time to reckon with. A clock that was put
// back takes the whole history with it; a step of less than a window, as of two callers out
// of order, is none.
func (b *bucket) advance(now int64) int64 {
	if back := b.last - now; back > b.per {
		for i := range b.log {
			b.log[i].at -= back
		}
		b.free, b.bulk, b.urgent = b.free-back, b.bulk-back, b.urgent-back
		b.line[0], b.line[1] = b.line[0]-back, b.line[1]-back
		b.last = now
	}
	b.last = max(b.last, now)
	for b.head < len(b.log) && b.log[b.head].at <= b.last-b.per {
		b.sum -= b.log[b.head].n
		b.head++
	}
	if b.head > len(b.log)/2 {
		b.log, b.head = b.log[:copy(b.log, b.log[b.head:])], 0
	}
	return b.last
}

// earliest is when a send may leave, now at the earliest. It changes nothing that matters.
func (b *bucket) earliest(now int64, n int, urgent bool) int64 {
	now = b.advance(now)
	t := now
	for i, over := b.head, b.sum+min(n, b.rate)-b.rate; over > 0 && i < len(b.log); i++ {
		over -= b.log[i].n
		t = max(t, b.log[i].at+b.per)
	}
	if urgent {
		return max(t, b.free-int64(borrow))
	}
	t = max(t, b.free)
	if now-b.urgent < int64(replying) {
		t = max(t, b.bulk)
	}
	if waiting := b.line[1] + int64(grace); b.line[1] != 0 && now < waiting {
		t = max(t, waiting)
	}
	return t
}

// place gives a send that cannot leave now the time to ask again: behind those that were
// told before, or as soon as it can if it was one of them.
func (b *bucket) place(t int64, n int, urgent, returning bool) int64 {
	l := &b.line[lane(urgent)]
	if returning {
		*l = max(*l, t)
		return t
	}
	t = max(t, *l)
	*l = t + b.cost(n)
	return t
}

// take lets a send leave.
func (b *bucket) take(now int64, n int, urgent bool) {
	now = b.advance(now)
	b.log = append(b.log, left{now, n})
	b.sum += n
	b.free = max(b.free, now) + b.cost(n)
	if !urgent {
		if now-b.urgent >= int64(replying) {
			b.bulk = now // what left at the full rate is no debt
		}
		b.bulk = max(b.bulk, now) + b.cost(n)*5/4
		return
	}
	b.urgent = now
	if b.line[1] <= now+b.cost(n) {
		b.line[1] = 0 // this was the last that waited
	}
}

// untake gives back what take took at that time, while that still matters.
func (b *bucket) untake(at int64, n int, urgent bool) {
	for i := len(b.log) - 1; i >= b.head; i-- {
		if b.log[i].at != at || b.log[i].n != n {
			continue
		}
		b.log = append(b.log[:i], b.log[i+1:]...)
		b.sum -= n
		b.free -= b.cost(n)
		if !urgent {
			b.bulk -= b.cost(n) * 5 / 4
		}
		return
	}
}

// inherit takes over what left through another bucket, and which places that gave.
func (b *bucket) inherit(old *bucket) {
	if b == nil || old == nil {
		return
	}
	limit, share, rate, per := b.limit, b.share, b.rate, b.per
	*b = *old
	b.limit, b.share, b.rate, b.per = limit, share, rate, per
	b.log = slices.Clone(old.log)
}

// idle reports whether the bucket may be forgotten.
func (b *bucket) idle(now int64) bool {
	return now-b.last > b.per && b.free <= now && b.line[0] <= now && b.line[1]+int64(grace) <= now
}

func lane(urgent bool) int {
	if urgent {
		return 1
	}
	return 0
}
