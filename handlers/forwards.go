package handlers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"sync"
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

const (
	// forwardLinger is how long a forwarded message goes on to own what is sent on its pair:
	// many webhook handlers answer 200 first and send then.
	forwardLinger = time.Minute
	// forwardForgotten is how long one is remembered that nobody has tried again: it became
	// a dead letter, or another process took it over. Longer than any delay between attempts.
	forwardForgotten = 2 * maxRetryAfter
	// forwardsSwept is from how many remembered ones on the forgotten are looked for.
	forwardsSwept = 1024
)

// Forwards knows which inbounds [Forward] has given to an endpoint of yours, so that what
// the endpoint sends meanwhile through the local API can be taken for its answer: see
// [Forwards.Claim]. There is one per daemon; its methods may be called concurrently. Memory is
// bounded by the conversations of the last minutes.
type Forwards struct {
	mu      sync.Mutex
	born    time.Time
	byPair  map[messaging.Conversation]*forwarding
	sweepAt int
}

// forwarding is an inbound that is being forwarded, or was and is not finished.
type forwarding struct {
	id string
	// now counts how often each body was posted in this attempt, before the most of any
	// earlier attempt.
	now, before map[[sha256.Size]byte]int
	// haunted says that an earlier attempt ended without an answer. Whoever worked on it may
	// do so still, beside this one, so that a body that comes once more may be theirs.
	haunted bool
	ended   bool // with success
	touched time.Time
}

// NewForwards makes an empty one.
func NewForwards() *Forwards {
	return &Forwards{born: time.Now(), byPair: map[messaging.Conversation]*forwarding{}, sweepAt: forwardsSwept}
}

// Claim tells for a send between from, a number of ours, and to whether it belongs to an
// inbound that is being forwarded, was attempted and is not finished, or was finished within
// the last minute. If so the send is a reply to the inbound with the event id inReplyTo, and
// key is its idempotency key: a later attempt at the same inbound that posts the same body
// gets the same key, and so the first attempt's send.
//
// The key counts how often the body was posted within one attempt: a handler may send the
// same text twice. After an attempt that ended without an answer it may not, beyond what it
// did then, as such a post may just as well be the late one of that attempt.
func (f *Forwards) Claim(from, to messaging.Number, body string) (inReplyTo, key string, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	w := f.byPair[messaging.Conversation{Ours: from, Theirs: to}]
	if w == nil || w.over(now) {
		return "", "", false
	}
	hash := sha256.Sum256([]byte(body))
	ordinal := w.now[hash]
	w.now[hash]++
	if w.haunted {
		ordinal = min(ordinal, max(w.before[hash], 1)-1)
	}
	return w.id, w.id + "~" + hex.EncodeToString(hash[:12]) + "~" + strconv.Itoa(ordinal), true
}

func (w *forwarding) over(now time.Time) bool {
	age := now.Sub(w.touched)
	return age > forwardForgotten || w.ended && age > forwardLinger
}

// begin notes that an attempt at an inbound begins. Of one conversation only one is at work
// at a time, so that the one before it is finished.
func (f *Forwards) begin(ev *messaging.Event) *forwarding {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	w := f.byPair[ev.Conversation()]
	if w == nil || w.id != ev.ID {
		// A message from before this process may have been forwarded by the one before.
		w = &forwarding{id: ev.ID, haunted: ev.Attempt > 0 || ev.ReceivedAt.Before(f.born)}
		f.byPair[ev.Conversation()] = w
		f.sweep(now)
	}
	if w.before == nil {
		w.before = map[[sha256.Size]byte]int{}
	}
	for hash, n := range w.now {
		w.before[hash] = max(w.before[hash], n)
	}
	w.now = map[[sha256.Size]byte]int{}
	w.ended, w.touched = false, now
	return w
}

// end notes how an attempt ended: answered, if the endpoint gave any answer at all, and with
// success.
func (f *Forwards) end(w *forwarding, answered, success bool) {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	w.haunted = w.haunted || !answered
	w.ended, w.touched = success, time.Now()
}

// answered tells whether anything was sent for it through the local API.
func (f *Forwards) answered(w *forwarding) bool {
	if f == nil {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(w.now) > 0
}

// sweep removes what is over, now and then.
func (f *Forwards) sweep(now time.Time) {
	if len(f.byPair) < f.sweepAt {
		return
	}
	for pair, w := range f.byPair {
		if w.over(now) {
			delete(f.byPair, pair)
		}
	}
	f.sweepAt = max(forwardsSwept, 2*len(f.byPair))
}

type forwardsKey struct{}

func (forwardsKey) String() string { return "handlers: what is being forwarded" }

// WithForwards lets [Forward], in handlers whose context descends from the result, note in f
// what it forwards. The daemon does so for every handler.
func WithForwards(ctx context.Context, f *Forwards) context.Context {
	return context.WithValue(ctx, forwardsKey{}, f)
}

// forwardsFrom gives the context's; nil, which notes nothing, without.
func forwardsFrom(ctx context.Context) *Forwards {
	f, _ := ctx.Value(forwardsKey{}).(*Forwards)
	return f
}
