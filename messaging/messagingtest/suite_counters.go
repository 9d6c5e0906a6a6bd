package messagingtest

import (
	"time"

	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
)

func (w *world) counting() messaging.Counting {
	w.Helper()
	c, ok := w.store.(messaging.Counting)
	if !ok {
		w.Skipf("%T is no messaging.Counting", w.store)
	}
	return c
}

func (w *world) counter(key string, n int) messaging.Counter {
	return messaging.Counter{Scope: "scope", Key: key, Start: w.now, N: n, Until: w.now.Add(time.Hour)}
}

func (w *world) count(cs ...messaging.Counter) {
	w.Helper()
	if err := w.counting().Count(w.Context(), w.owner, cs); err != nil {
		w.Fatalf("Count: %v", err)
	}
}

// wantCounted checks what an instance reads behind a Seq, in any order, and gives the last Seq.
func (w *world) wantCounted(after int64, limit int, owner uuid.UUID, want ...messaging.Counter) int64 {
	w.Helper()
	got, err := w.counting().Counted(w.Context(), w.owner, after, limit)
	if err != nil {
		w.Fatalf("Counted: %v", err)
	}
	set := func(cs []messaging.Counter) map[messaging.Counter]bool {
		m := map[messaging.Counter]bool{}
		for _, c := range cs {
			c.Seq, c.Owner = 0, owner
			c.Start, c.Until = c.Start.UTC().Truncate(time.Millisecond), c.Until.UTC().Truncate(time.Millisecond)
			m[c] = true
		}
		return m
	}
	for _, c := range got {
		w.same("Owner", c.Owner, owner)
		if c.Seq <= after {
			w.Errorf("Seq is %d behind %d", c.Seq, after)
		}
		after = c.Seq
	}
	w.same("counters", set(got), set(want))
	return after
}

var counterTests = []sharedTest{
	{"OthersReadWhatChanges", 2, func(ws []*world) {
		a, b := ws[0], ws[1]
		end := b.wantCounted(0, everything, a.owner)
		yesterday := a.counter("x", 7)
		yesterday.Start = a.now.Add(-24 * time.Hour)
		a.count(a.counter("x", 1), yesterday, a.counter("y", 2))
		end = b.wantCounted(end, everything, a.owner, a.counter("x", 1), yesterday, a.counter("y", 2))
		end = b.wantCounted(end, everything, a.owner)
		a.count(a.counter("y", 0))
		b.wantCounted(end, everything, a.owner, a.counter("y", 0))
		b.wantCounted(0, everything, a.owner, a.counter("x", 1), yesterday, a.counter("y", 0))
		a.wantCounted(0, everything, b.owner) // not its own
		b.count(b.counter("x", 4))
		a.wantCounted(0, everything, b.owner, b.counter("x", 4))
	}},
	{"PagesGoOnFromTheLast", 2, func(ws []*world) {
		a, b := ws[0], ws[1]
		for i, key := range []string{"x", "y", "z"} {
			a.count(a.counter(key, i))
		}
		end := b.wantCounted(0, 2, a.owner, a.counter("x", 0), a.counter("y", 1))
		b.wantCounted(end, 2, a.owner, a.counter("z", 2))
	}},
	{"TheGoneStillCount", 2, func(ws []*world) {
		a, b := ws[0], ws[1]
		a.renew()
		a.count(a.counter("x", 1))
		gone := a.owner
		a.leave()
		b.wantCounted(0, everything, gone, a.counter("x", 1))
		a.owner = newID() // its successor reads what it had counted
		a.wantCounted(0, everything, gone, a.counter("x", 1))
	}},
	{"ReaderMissesNothing", 4, func(ws []*world) {
		const each = 40
		reader := ws[len(ws)-1]
		seen, after := 0, int64(0)
		together(ws, func(w *world) bool {
			for i := 0; w != reader && i < each; i++ {
				if err := w.counting().Count(w.Context(), w.owner, []messaging.Counter{w.counter(newID().String(), i)}); err != nil {
					w.Errorf("Count: %v", err)
				}
			}
			for ends := time.Now().Add(10 * time.Second); w == reader && seen < each*(len(ws)-1) && time.Now().Before(ends); {
				cs, err := w.counting().Counted(w.Context(), w.owner, after, 10)
				if err != nil {
					w.Errorf("Counted: %v", err)
					return false
				}
				for _, c := range cs {
					seen, after = seen+1, c.Seq
				}
			}
			return true
		})
		reader.same("counters that were seen", seen, each*(len(ws)-1))
	}},
}
