package api

import (
	"context"
	"sync"
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

// Recent remembers who wrote lately, on which context. It is a rule of the engine, which
// tells it of each inbound and which it never objects to. Memory is bounded: of more pairs
// than recentMost those that wrote first are forgotten. It may be used concurrently; a nil
// one knows nobody.
type Recent struct {
	mu         sync.Mutex
	keep       time.Duration
	now, then  map[messaging.Conversation]wrote // then: the generation before
	begun      time.Time                        // when the generation now began
	ours       map[messaging.Number]wrote       // the last to each of our numbers
	generation int
}

// wrote is the last that a person wrote.
type wrote struct {
	context string
	at      time.Time
}

// recentMost is how many pairs a generation has at most, and how many numbers of ours are
// remembered.
const recentMost = 50_000

// NewRecent makes an empty one that remembers for keep at least, if there is room.
func NewRecent(keep time.Duration) *Recent {
	return &Recent{keep: keep, now: map[messaging.Conversation]wrote{}, ours: map[messaging.Number]wrote{}, generation: recentMost}
}

// Ask implements messaging.Rule.
func (r *Recent) Ask(time.Time, *messaging.Send) messaging.Verdict { return messaging.Verdict{} }

// Heard implements messaging.Listener.
func (r *Recent) Heard(ev *messaging.Event) {
	if ev.Kind == messaging.KindMessage {
		r.note(ev.Conversation(), wrote{ev.Context, ev.ReceivedAt})
	}
}

func (r *Recent) note(pair messaging.Conversation, w wrote) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if was, ok := r.find(pair); ok && was.at.After(w.at) {
		return
	}
	if len(r.now) >= r.generation || w.at.Sub(r.begun) > r.keep {
		r.then, r.now, r.begun = r.now, map[messaging.Conversation]wrote{}, w.at
	}
	r.now[pair] = w
	if was, known := r.ours[pair.Ours]; (known || len(r.ours) < r.generation) && !was.at.After(w.at) {
		r.ours[pair.Ours] = w
	}
}

func (r *Recent) find(pair messaging.Conversation) (wrote, bool) {
	if w, ok := r.now[pair]; ok {
		return w, true
	}
	w, ok := r.then[pair]
	return w, ok
}

// last is the last that the person of a pair wrote.
func (r *Recent) last(pair messaging.Conversation) (wrote, bool) {
	if r == nil {
		return wrote{}, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.find(pair)
}

// contextOf is the context on which anybody wrote to a number of ours last.
func (r *Recent) contextOf(ours messaging.Number) (string, bool) {
	if r == nil {
		return "", false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	w, ok := r.ours[ours]
	return w.context, ok
}

// What Load reads: the newest messages, some at a time, since a start has better to do.
const (
	recallMost  = 5_000
	recallPage  = 200
	recallPause = 50 * time.Millisecond
)

// Load reads who wrote before this process began, as far back as it keeps, or the newest of
// very many.
func (r *Recent) Load(ctx context.Context, archive messaging.Archive) error {
	s := messaging.Search{Since: time.Now().Add(-r.keep), Limit: recallPage}
	for range recallMost / recallPage {
		found, err := archive.Search(ctx, s)
		if err != nil {
			return err
		}
		for _, in := range found.Inbounds {
			r.Heard(in.Event)
		}
		if s.Before = found.Cursor; !found.More {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(recallPause):
		}
	}
	return nil
}
