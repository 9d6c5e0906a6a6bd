package messagingtest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/memory"
)

// TestFaultyPassesTheArchiveThrough asks a wrapped store the archive's questions.
func TestFaultyPassesTheArchiveThrough(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Faulty(memory.New(memory.Config{})))
	ev := w.message("text")
	w.commit(addEarly(ev, done()))
	w.shows("Inbound", w.life(ev.ID).Inbound.Event.Body, "text")
	w.wantTexts("Search", messaging.Search{Text: "text"}, "text")
	w.forget(theirs, 1, 0)
	w.is("Forgotten", w.life(ev.ID).Inbound.Forgotten, true)
}

// TestFaultyPassesSharingThrough runs two instances of a shared store behind one each.
func TestFaultyPassesSharingThrough(t *testing.T) {
	t.Parallel()
	inner := newSharedStore("")
	a, b := newWorld(t, Faulty(inner)), newWorld(t, Faulty(&sharedStore{inner.sharedData}))
	a.lease, b.lease = shortLease+shortMargin, shortLease+shortMargin
	held := a.message("held")
	a.wantUnheld("the owner's", held, false)
	a.wantTold(func() { b.commit(hold(b.message("left"))) })
	a.leave()
	b.is("Orphans", b.renew().Orphans, true)
	if n := b.takeOver(); n != 1 {
		t.Errorf("%d conversations were taken over, want 1", n)
	}
}

// TestFaultyWithoutTheRest says so where the store behind it can neither.
func TestFaultyWithoutTheRest(t *testing.T) {
	t.Parallel()
	f := Faulty(bare{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for what, call := range map[string]func() error{
		"Life":     func() error { _, err := f.Life(ctx, "x"); return err },
		"Search":   func() error { _, err := f.Search(ctx, messaging.Search{}); return err },
		"Forget":   func() error { _, _, err := f.Forget(ctx, theirs); return err },
		"Renew":    func() error { _, err := f.Renew(ctx, uuid.Nil); return err },
		"TakeOver": func() error { _, err := f.TakeOver(ctx, uuid.Nil); return err },
		"Leave":    func() error { return f.Leave(ctx, uuid.Nil) },
		"Watch":    func() error { return f.Watch(ctx, uuid.Nil, func() {}) },
	} {
		if err := call(); err == nil {
			t.Errorf("%s on a store that cannot: no error", what)
		}
	}
}

// TestFaultyPoisonsRevivals makes a batch fail that revives a poisoned event.
func TestFaultyPoisonsRevivals(t *testing.T) {
	t.Parallel()
	bitter := errors.New("bitter")
	f := Faulty(memory.New(memory.Config{}))
	f.Poison("dead", bitter)
	b := &messaging.Batch{ID: newID(), Revives: []*messaging.Revive{{EventID: "dead"}}}
	if err := f.Commit(t.Context(), b); !errors.Is(err, bitter) {
		t.Errorf("Commit: %v, want %v", err, bitter)
	}
}

// bare is a store that can nothing else.
type bare struct{ messaging.Store }
