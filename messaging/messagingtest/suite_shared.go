package messagingtest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

// sharedTest is a test of some instances on the same data.
type sharedTest struct {
	name      string
	instances int
	run       func(ws []*world)
}

// testShared checks what several instances on the same data are promised.
func testShared(t *testing.T, open func(*testing.T) messaging.Store, f Features) {
	groups := []struct {
		name   string
		serial bool // the tests wait for leases, and must not keep each other from renewing theirs
		tests  []sharedTest
	}{
		{"Race", false, raceTests},
		{"Owner", false, ownerTests},
		{"Consent", false, sharedConsentTests},
		{"Watch", false, watchTests},
		{"Leave", false, leaveTests},
		{"Counters", false, counterTests},
		{"Values", false, sharedValueTests},
		{"Death", true, deathTests},
	}
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			for _, c := range g.tests {
				t.Run(c.name, func(t *testing.T) {
					if !g.serial {
						t.Parallel()
					}
					s := open(t)
					if g.name == "Consent" {
						needLedger(t, s)
					}
					c.run(openInstances(t, s, f, c.instances))
				})
			}
		})
	}
}

// openInstances opens n instances on the data of a store. Each has its own owner.
func openInstances(t *testing.T, first messaging.Store, f Features, n int) []*world {
	ws := []*world{newWorld(t, first)}
	for len(ws) < n {
		ws = append(ws, newWorld(t, f.Another(t, first)))
	}
	for _, w := range ws {
		w.lease = f.Lease
	}
	return ws
}

// sharer is the store as one that is shared.
func (w *world) sharer() messaging.Sharer {
	w.Helper()
	s, ok := w.store.(messaging.Sharer)
	if !ok {
		w.Fatalf("%T is no messaging.Sharer", w.store)
	}
	return s
}

// handOver makes another instance take over everything from the world's own, so that it
// finds all the work there is. A store that is not shared only learns a new owner.
func (w *world) handOver() {
	w.Helper()
	before := w.owner
	w.owner = newID()
	if !w.store.Traits().Shared {
		return
	}
	if err := w.sharer().Leave(w.Context(), before); err != nil {
		w.Fatalf("Leave: %v", err)
	}
	w.renew()
	w.takeOver()
}

func (w *world) renew() messaging.Lease {
	w.Helper()
	l, err := w.sharer().Renew(w.Context(), w.owner)
	if err != nil {
		w.Fatalf("Renew: %v", err)
	}
	return l
}

func (w *world) leave() {
	w.Helper()
	if err := w.sharer().Leave(w.Context(), w.owner); err != nil {
		w.Fatalf("Leave: %v", err)
	}
}

// takeOver takes over all there is and gives how many conversations it was.
func (w *world) takeOver() (total int) {
	w.Helper()
	for range everything {
		n, err := w.sharer().TakeOver(w.Context(), w.owner)
		if err != nil {
			w.Fatalf("TakeOver: %v", err)
		}
		if n == 0 {
			return total
		}
		total += n
	}
	w.Fatal("TakeOver finds something for ever")
	return 0
}

// try commits without ending the test, which only its own goroutine may do.
func (w *world) try(ops ...any) bool {
	if err := w.store.Commit(w.Context(), w.batch(ops...)); err != nil {
		w.Errorf("Commit: %v", err)
		return false
	}
	return true
}

// live renews the lease until stop is called or the test ends.
func (w *world) live() (stop func()) {
	w.Helper()
	w.renew()
	ctx, cancel := context.WithCancel(w.Context())
	var renewing sync.WaitGroup
	renewing.Go(func() {
		tick := time.NewTicker(w.lease / 10)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			if _, err := w.sharer().Renew(ctx, w.owner); err != nil && ctx.Err() == nil {
				w.Errorf("Renew of a live instance: %v", err)
				return
			}
		}
	})
	stop = func() {
		cancel()
		renewing.Wait()
	}
	w.Cleanup(stop)
	return stop
}

// eventually waits until f says true, asking often.
func (w *world) eventually(what string, f func() bool) {
	w.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.NewTimer(20*w.lease + 10*time.Second)
	defer deadline.Stop()
	for !f() {
		select {
		case <-tick.C:
		case <-deadline.C:
			w.Fatalf("%s: not in time", what)
		}
	}
}

// race runs f on two instances at once, again and again; exactly one must win.
func race(ws []*world, prepare func(w *world) func(w *world) bool) {
	const rounds = 20
	for range rounds {
		f := prepare(ws[0])
		won := together(ws, f)
		wins := 0
		for _, w := range won {
			if w {
				wins++
			}
		}
		if wins != 1 {
			ws[0].Fatalf("of %d instances %d won: %v", len(ws), wins, won)
		}
	}
}

// together runs f on all instances at once.
func together[T any](ws []*world, f func(w *world) T) []T {
	results := make([]T, len(ws))
	var all sync.WaitGroup
	start := make(chan struct{})
	for i, w := range ws {
		all.Go(func() {
			<-start
			results[i] = f(w)
		})
	}
	close(start)
	all.Wait()
	return results
}

var raceTests = []sharedTest{
	{"SameEvent", 2, sameEvent},
	{"SameEventOfThree", 3, sameEvent},
	{"SameEventUnfinished", 2, func(ws []*world) {
		race(ws, func(w *world) func(*world) bool {
			ev := w.message("once")
			return func(w *world) bool {
				a := hold(again(ev))
				return w.try(a) && a.Fresh
			}
		})
	}},
	{"SameKey", 2, func(ws []*world) {
		race(ws, func(*world) func(*world) bool {
			key := newID().String()
			return func(w *world) bool {
				out := w.queued("once")
				out.Key = key
				return w.try(enqueue(out)) && out.Inserted
			}
		})
	}},
	{"SameSend", 2, func(ws []*world) {
		race(ws, func(w *world) func(*world) bool {
			out := w.queued("once")
			w.commit(enqueue(out))
			return func(w *world) bool {
				c := claim(out.ID, w.attempt(out.ID, 1))
				return w.try(c) && c.Granted
			}
		})
	}},
	{"SameConversation", 3, func(ws []*world) {
		// Who comes first owns it; for the others it is somebody else's.
		n := 0
		race(ws, func(*world) func(*world) bool {
			n++
			from := person(n)
			return func(w *world) bool {
				a := hold(w.messageFrom(from, "first?"))
				return w.try(a) && !a.Unheld
			}
		})
	}},
	{"SameDeadLetter", 2, func(ws []*world) {
		race(ws, func(w *world) func(*world) bool {
			ev := w.message("dead")
			w.commit(addEarly(ev, dead()))
			return func(w *world) bool {
				v := replay(ev)
				return w.try(v) && v.Done
			}
		})
	}},
	{"SameLastState", 2, func(ws []*world) {
		// Both know that it arrived; the send advances once.
		race(ws, func(w *world) func(*world) bool {
			out := w.sent(newID().String())
			return func(w *world) bool {
				a := addEarly(w.state(newID().String(), messaging.StateDelivered, out.Attempt.Tag()), done())
				return w.try(a) && a.Merge != nil && a.Merge.Advanced
			}
		})
	}},
	{"OrderIsTheOrderOfCommits", 2, func(ws []*world) { commitOrder(ws) }},
}

func sameEvent(ws []*world) {
	race(ws, func(w *world) func(*world) bool {
		ev := w.message("once")
		return func(w *world) bool {
			out := w.queued("answer")
			out.Key = ev.ID + "#0"
			a := addEarly(again(ev), done(out))
			if w.try(a) && a.Fresh != out.Inserted {
				w.Errorf("Fresh is %v, Inserted of its send is %v", a.Fresh, out.Inserted)
			}
			return a.Fresh
		}
	})
}

// commitOrder lets instances append to one conversation at once. What one append had done
// before another began comes before it.
func commitOrder(ws []*world) {
	type span struct{ began, ended time.Time }
	spans := map[string]span{}
	var mu sync.Mutex
	const each = 30
	together(ws, func(w *world) bool {
		for range each {
			ev := w.message("x")
			s := span{began: time.Now()}
			if !w.try(hold(ev)) {
				return false
			}
			s.ended = time.Now()
			mu.Lock()
			spans[ev.ID] = s
			mu.Unlock()
		}
		return true
	})
	for _, w := range ws[1:] {
		w.leave()
	}
	ws[0].handOver()
	got := ws[0].load().Events
	if len(got) != each*len(ws) {
		ws[0].Fatalf("%d events are unfinished, want %d", len(got), each*len(ws))
	}
	latest := time.Time{} // when the last began of those that came before
	for _, u := range got {
		s := spans[u.Event.ID]
		if s.ended.Before(latest) {
			ws[0].Fatal("an event comes after one whose append began when it was journaled already")
		}
		if s.began.After(latest) {
			latest = s.began
		}
	}
}

// person is a number of a conversation of its own.
func person(n int) messaging.Number {
	return messaging.Number("+120255510" + string(rune('0'+n/10%10)) + string(rune('0'+n%10)))
}

func (w *world) messageFrom(from messaging.Number, body string) *messaging.Event {
	ev := w.message(body)
	ev.From = from
	return ev
}

// to turns a send to a person.
func to(out *messaging.Outgoing, theirs messaging.Number) *messaging.Outgoing {
	out.To = theirs
	return out
}

// wantFenced checks that an instance was declared dead.
func (w *world) wantFenced(what string, err error) {
	w.Helper()
	if !errors.Is(err, messaging.ErrFenced) {
		w.Errorf("%s of an instance that was declared dead: %v, want ErrFenced", what, err)
	}
}
