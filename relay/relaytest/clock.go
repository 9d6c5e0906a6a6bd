package relaytest

import (
	"container/heap"
	"sync"
	"time"
)

// Clock is the simulated space's clock: it stamps frames and drives pings,
// delivery states, delayed answers and time-outs. A running clock follows
// time.Now and may be pushed ahead; a frozen one moves only by Advance.
//
// All methods are safe for concurrent use.
type Clock struct {
	mu     sync.Mutex
	offset time.Duration // of a running clock to time.Now
	frozen bool
	at     time.Time // of a frozen clock
	due    timerHeap
	seq    uint64
	wake   *time.Timer
	closed bool
}

// NewClock returns a clock that runs with time.Now. Inside a synctest bubble
// that is the bubble's time.
func NewClock() *Clock { return &Clock{} }

// NewFrozenClock returns a clock that stands still at the given time until
// Advance moves it.
func NewFrozenClock(at time.Time) *Clock { return &Clock{frozen: true, at: at} }

// Now returns the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now()
}

func (c *Clock) now() time.Time {
	if c.frozen {
		return c.at
	}
	return time.Now().Add(c.offset)
}

// Advance moves the clock ahead by d and runs everything that falls due on the
// way, in order of due time and on the caller's goroutine: a ping every 5 s is
// sent 12 times by one Advance of a minute. A negative d is ignored.
func (c *Clock) Advance(d time.Duration) {
	if d < 0 {
		return
	}
	c.mu.Lock()
	target := c.now().Add(d)
	for len(c.due) > 0 && !c.due[0].at.After(target) {
		t := heap.Pop(&c.due).(*clockTimer)
		c.moveTo(t.at)
		c.mu.Unlock()
		t.f()
		c.mu.Lock()
	}
	c.moveTo(target)
	c.arm()
	c.mu.Unlock()
}

// moveTo never moves the clock back: a callback may have taken real time.
func (c *Clock) moveTo(t time.Time) {
	if gap := t.Sub(c.now()); gap > 0 {
		if c.frozen {
			c.at = t
		} else {
			c.offset += gap
		}
	}
}

// afterFunc runs f once, d from now. f must not block: it shares a goroutine
// with every other timer of the clock.
func (c *Clock) afterFunc(d time.Duration, f func()) *clockTimer {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seq++
	t := &clockTimer{clock: c, at: c.now().Add(d), seq: c.seq, f: f, index: -1}
	if !c.closed {
		heap.Push(&c.due, t)
		c.arm()
	}
	return t
}

// arm points the one real timer at the earliest entry.
func (c *Clock) arm() {
	if c.frozen || c.closed || len(c.due) == 0 {
		if c.wake != nil {
			c.wake.Stop()
		}
		return
	}
	d := max(c.due[0].at.Sub(c.now()), 0)
	if c.wake == nil {
		c.wake = time.AfterFunc(d, c.fire)
		return
	}
	c.wake.Reset(d)
}

func (c *Clock) fire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.due) > 0 && !c.due[0].at.After(c.now()) {
		t := heap.Pop(&c.due).(*clockTimer)
		c.mu.Unlock()
		t.f()
		c.mu.Lock()
	}
	c.arm()
}

// close drops all timers, so that a closed server leaves none behind.
func (c *Clock) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.due = nil
	c.arm()
}

// clockTimer is one pending call of a Clock.
type clockTimer struct {
	clock *Clock
	at    time.Time
	seq   uint64 // keeps equal times in order of creation
	f     func()
	index int // in the heap; -1 when not in it
}

func (t *clockTimer) stop() {
	if t == nil {
		return
	}
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	if t.index >= 0 && !t.clock.closed {
		heap.Remove(&t.clock.due, t.index)
		t.clock.arm()
	}
}

type timerHeap []*clockTimer

func (h timerHeap) Len() int { return len(h) }
func (h timerHeap) Less(i, j int) bool {
	if h[i].at.Equal(h[j].at) {
		return h[i].seq < h[j].seq
	}
	return h[i].at.Before(h[j].at)
}

func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *timerHeap) Push(x any) {
	t := x.(*clockTimer)
	t.index = len(*h)
	*h = append(*h, t)
}

func (h *timerHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	t.index = -1
	return t
}
