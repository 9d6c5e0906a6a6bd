package relay

import (
	"context"
	"slices"
	"sort"
	"sync"
	"time"
)

// subscriptions is the desired set of contexts, which is the client's own and
// lasts as long as the client, and what is known of the platform's set, which
// a session changes to match.
type subscriptions struct {
	mu      sync.Mutex
	want    []string
	paused  string // the reason; empty if not paused
	stopped bool   // for good, by Shutdown
	have    map[string]grip
	changed chan struct{} // closed and replaced at each change of the effective set or of have
}

// grip is what is known of the platform's side of one context; no entry means
// that it is not subscribed.
type grip uint8

const (
	unsure    grip = iota + 1 // asked for, or to be dropped, without a confirmation
	confirmed                 // 2xx
)

func newSubscriptions(want []string) *subscriptions {
	return &subscriptions{want: tidy(want), have: map[string]grip{}, changed: make(chan struct{})}
}

// tidy drops empty and repeated names. Names are opaque otherwise.
func tidy(names []string) []string {
	out := make([]string, 0, len(names))
	for _, n := range names {
		if n != "" && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// update changes the set under the lock and tells whoever watches.
func (t *subscriptions) update(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f()
	close(t.changed)
	t.changed = make(chan struct{})
}

// effective is the set that should be subscribed now.
func (t *subscriptions) effective() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.now()
}

func (t *subscriptions) now() []string {
	if t.paused != "" || t.stopped {
		return nil
	}
	return slices.Clone(t.want)
}

// connected begins with a new connection, on which nothing is confirmed. A
// session that the platform resumed may have kept its subscriptions, or not.
func (t *subscriptions) connected(resumed bool) {
	t.update(func() {
		if !resumed {
			clear(t.have)
			return
		}
		for n := range t.have {
			t.have[n] = unsure
		}
	})
}

// plan returns what to ask for, which on a new connection is all of the set;
// and what the platform may still hold without need.
func (t *subscriptions) plan() (add, drop []string, changed <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	want := t.now()
	for _, n := range want {
		if t.have[n] != confirmed {
			add = append(add, n)
		}
	}
	for n := range t.have {
		if !slices.Contains(want, n) {
			drop = append(drop, n)
		}
	}
	sort.Strings(drop)
	return add, drop, t.changed
}

// set records the grip on names; 0 means let go.
func (t *subscriptions) set(names []string, g grip) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, n := range names {
		if g == 0 {
			delete(t.have, n)
		} else {
			t.have[n] = g
		}
	}
	if len(t.have) == 0 { // Shutdown waits for this
		close(t.changed)
		t.changed = make(chan struct{})
	}
}

func (t *subscriptions) snapshot() (held, missing []string, paused string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for n, g := range t.have {
		if g == confirmed {
			held = append(held, n)
		}
	}
	for _, n := range t.now() {
		if t.have[n] != confirmed {
			missing = append(missing, n)
		}
	}
	sort.Strings(held)
	return held, missing, t.paused
}

// subscribe keeps the platform's set equal to the desired one, one call at a
// time. The session becomes ready when the whole set has been confirmed once.
func (s *session) subscribe(ctx context.Context) {
	subs := s.c.subs
	retry := newBackOff()
	asserted := false
	for {
		add, drop, changed := subs.plan()
		err := s.change(ctx, "signalwire.receive", add, confirmed)
		if err == nil && !asserted {
			asserted = true
			s.becomeReady()
		}
		if err == nil {
			err = s.change(ctx, "signalwire.unreceive", drop, 0)
		}
		if ctx.Err() != nil {
			return
		}
		var again <-chan time.Time
		var t *time.Timer
		if err != nil {
			delay := next(retry)
			if s.c.noteError("change subscriptions", err) {
				s.log.Warn("subscription change failed; retrying", "err", err)
			}
			t = time.NewTimer(delay)
			again = t.C
		} else {
			retry.Reset()
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-again:
		}
		if t != nil {
			t.Stop()
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// change makes one call about names and records what is known afterwards.
func (s *session) change(ctx context.Context, method string, names []string, to grip) error {
	if len(names) == 0 {
		return nil
	}
	s.c.subs.set(names, unsure)
	_, err := s.call(ctx, method, struct {
		Contexts []string `json:"contexts"`
	}{names}, s.c.cfg.CallTimeout, control)
	if err != nil {
		return err
	}
	s.c.subs.set(names, to)
	s.log.Info("subscriptions changed", "method", method, "contexts", names)
	return nil
}

// SetContexts replaces the desired set. It returns at once, works while
// offline, and is applied to the open session without a reconnect.
func (c *Client) SetContexts(names []string) {
	fresh := tidy(names)
	c.subs.update(func() { c.subs.want = fresh })
}

// Receive adds names to the desired set; otherwise like SetContexts.
func (c *Client) Receive(names ...string) {
	c.subs.update(func() { c.subs.want = tidy(append(slices.Clone(c.subs.want), names...)) })
}

// Unreceive removes names from the desired set; otherwise like SetContexts.
func (c *Client) Unreceive(names ...string) {
	c.subs.update(func() {
		c.subs.want = slices.DeleteFunc(slices.Clone(c.subs.want), func(n string) bool { return slices.Contains(names, n) })
	})
}

// Pause unsubscribes from everything and keeps the desired set: new messages
// wait on the platform, or go to other sessions, until Resume. The reason is
// shown by Status. Requests and events that still come are not affected.
func (c *Client) Pause(reason string) {
	if reason == "" {
		reason = "paused"
	}
	c.subs.mu.Lock()
	same := c.subs.paused == reason
	c.subs.mu.Unlock()
	if !same {
		c.subs.update(func() { c.subs.paused = reason })
	}
}

// Resume ends a Pause.
func (c *Client) Resume() {
	c.subs.mu.Lock()
	running := c.subs.paused == ""
	c.subs.mu.Unlock()
	if !running {
		c.subs.update(func() { c.subs.paused = "" })
	}
}

// Shutdown takes leave of the contexts for good: it unsubscribes from all of
// them and waits until the platform has confirmed that, there is no session, or
// ctx ends, whose error it then returns. Afterwards events that still come are
// not handed on and not acknowledged, so that the platform can give them to
// somebody else. The connection stays, and Call and Go keep working, until the
// context of Run ends.
func (c *Client) Shutdown(ctx context.Context) error {
	defer c.deaf.Store(true)
	c.subs.update(func() { c.subs.stopped = true })
	for {
		c.subs.mu.Lock()
		left, changed := len(c.subs.have), c.subs.changed
		c.subs.mu.Unlock()
		state, moved := c.watch()
		if left == 0 || state != StateSubscribed {
			return nil
		}
		select {
		case <-changed:
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
