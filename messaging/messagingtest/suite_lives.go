package messagingtest

import (
	"math/rand/v2"
	"slices"

	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
)

// life is an instance in a random script, with the events that it has in memory as the
// engine has them: by conversation, in the order in which it learned of them.
type life struct {
	*world
	queues map[messaging.Number][]*messaging.Event
	known  map[int64]bool // what Load gave it, by Seq
	stop   func()
}

// lives is a random script of instances that come and go.
type lives struct {
	*world // the one that never dies
	rnd    *rand.Rand
	all    []*life
	// What was committed, by conversation in commit order, and what became of it.
	committed map[messaging.Number][]*messaging.Event
	outcomes  map[string]int
	settled   map[messaging.Number][]int64
	sends     map[uuid.UUID]int // how often each was granted to an instance
	inserted  int
}

// randomLives plays scripts: instances append, read, settle and enqueue in a few
// conversations, leave, and fall silent; whoever lives takes over. In the end every event
// has exactly one outcome, those of a conversation in commit order, and every send was
// granted once.
func randomLives(ws []*world) {
	const scripts = 3
	for range scripts {
		seed := rand.Uint64()
		ws[0].Logf("seed %d", seed)
		l := &lives{
			world: ws[0], rnd: rand.New(rand.NewPCG(seed, 0)),
			committed: map[messaging.Number][]*messaging.Event{}, outcomes: map[string]int{}, settled: map[messaging.Number][]int64{},
			sends: map[uuid.UUID]int{},
		}
		for _, w := range ws {
			l.all = append(l.all, born(w))
		}
		for range 150 {
			l.step()
		}
		l.end()
		l.all[0].stop()
		l.all[0].leave()
	}
}

// born begins an instance at the place of a former one.
func born(w *world) *life {
	w.owner = newID()
	return &life{world: w, queues: map[messaging.Number][]*messaging.Event{}, known: map[int64]bool{}, stop: w.live()}
}

func (l *lives) step() {
	i := l.all[l.rnd.IntN(len(l.all))]
	p := person(l.rnd.IntN(4))
	switch n := l.rnd.IntN(100); {
	case n < 40:
		l.append(i, p)
	case n < 70:
		l.settle(i, p)
	case n < 80:
		i.read()
	case n < 90:
		l.send(i, p)
	case n < 96:
		i.takeOver()
		i.read()
	case i != l.all[0]:
		l.die(i, n < 99)
	}
}

func (l *lives) append(i *life, p messaging.Number) {
	a := &messaging.Append{Event: i.messageFrom(p, "x"), Unheld: l.rnd.IntN(4) == 0}
	i.commit(a)
	l.committed[p] = append(l.committed[p], a.Event)
	if !a.Unheld {
		i.queues[p] = append(i.queues[p], a.Event)
	}
}

// settle ends or retries the oldest event that an instance has of a conversation.
func (l *lives) settle(i *life, p messaging.Number) {
	if len(i.queues[p]) == 0 {
		i.read()
		return
	}
	ev := i.queues[p][0]
	o := done()
	switch l.rnd.IntN(5) {
	case 0:
		o = retry(i.now, 1)
	case 1:
		o = dead()
	}
	b := i.commit(settle(ev, o))
	i.is("Lost of an event that a live instance has", b.Settles[0].Lost, false)
	if o.Fate == messaging.FateRetry {
		return
	}
	l.outcomes[ev.ID]++
	l.settled[p] = append(l.settled[p], ev.Seq)
	i.queues[p] = i.queues[p][1:]
}

// read takes in what Load gives and the instance does not have.
func (i *life) read() {
	i.Helper()
	for _, u := range i.load().Events {
		if p := u.Event.From; !i.known[u.Event.Seq] {
			i.known[u.Event.Seq] = true
			i.queues[p] = append(i.queues[p], u.Event)
		}
	}
}

// send enqueues a send, or claims one that waits and tells that it was accepted.
func (l *lives) send(i *life, p messaging.Number) {
	if l.rnd.IntN(2) == 0 {
		i.commit(enqueue(to(i.queued("x"), p)))
		l.inserted++
		return
	}
	l.deliver(i)
}

// deliver sends the first one that waits.
func (l *lives) deliver(i *life) bool {
	sends := i.query(messaging.Query{Sends: true, Limit: 1}).Sends
	if len(sends) == 0 {
		return false
	}
	a := i.attempt(sends[0].ID, 1)
	b := i.commit(claim(a.SendID, a))
	if b.Claims[0].Granted {
		l.sends[a.SendID]++
	}
	i.commit(&messaging.Report{SendID: a.SendID, AttemptID: a.ID, Outcome: isAccepted, MessageID: a.ID.String(), Status: messaging.StatusAccepted})
	return true
}

// die ends an instance with all that it has in memory, and begins another in its place.
func (l *lives) die(i *life, inOrder bool) {
	i.stop()
	if inOrder {
		i.leave()
	}
	*i = *born(i.world)
}

// end lets the first instance do all that is left, and looks at what became of everything.
func (l *lives) end() {
	first := l.all[0]
	for _, i := range l.all[1:] {
		i.stop()
		i.leave()
	}
	unfinished := func() (n int) {
		for _, events := range l.committed {
			for _, ev := range events {
				if l.outcomes[ev.ID] == 0 {
					n++
				}
			}
		}
		return n
	}
	first.eventually("everything has its outcome", func() bool {
		first.takeOver()
		first.read()
		for p := range first.queues {
			for len(first.queues[p]) > 0 {
				l.settle(first, p)
			}
		}
		for l.deliver(first) {
		}
		return unfinished() == 0 && len(l.sends) == l.inserted
	})
	for p, events := range l.committed {
		for _, ev := range events {
			if n := l.outcomes[ev.ID]; n != 1 {
				l.Errorf("an event reached %d outcomes", n)
			}
		}
		var want []int64
		for _, ev := range events {
			want = append(want, ev.Seq)
		}
		if !slices.Equal(l.settled[p], want) {
			l.Errorf("a conversation's events were settled in the order %v, want commit order, %v", l.settled[p], want)
		}
	}
	for _, n := range l.sends {
		if n != 1 {
			l.Errorf("a send was granted %d times", n)
		}
	}
}
