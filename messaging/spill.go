package messaging

// spill is the way of events that memory has no room for: they stay in the store and are
// read back in arrival order. It is also how a new process begins.
type spill struct {
	on      bool
	cursor  int64 // arrival order up to which events are or were in memory
	loading bool
	dirty   bool // something was committed since the last read began
	// sendsLoaded is set once the doubts and sends of a former process are known, before
	// which nothing of its conversations may run.
	sendsLoaded bool

	// Of a shared store, where arrival order and commit order differ and others add too, so
	// that every read begins at the beginning: the events in memory that came from it, and
	// those that ended while a read was under way.
	paged map[int64]bool
	ended map[int64]bool
}

// spillPage is how many events one read brings back.
const spillPage = 1000

// spillIfFull stops handing over when memory is full. The store has everything.
func (e *Engine) spillIfFull() {
	if e.spill.on || !e.traits.Durable || e.held <= e.cfg.MaxHeld {
		return
	}
	e.spill.on = true
	e.cfg.Logger.Info("events overflow into the store", "held_bytes", e.held)
}

// pageIn reads the next page of what was spilled, once there is room.
func (e *Engine) pageIn() {
	s := &e.spill
	wanted := s.on || e.traits.Shared && s.dirty
	if !wanted || !e.standing.loaded || !e.marks.loaded || s.loading || !s.sendsLoaded || e.held > e.cfg.MaxHeld/2 || len(s.paged) > spillPage/2 || e.draining {
		return
	}
	s.loading, s.dirty = true, false
	q := Query{Owner: e.cfg.Owner, Now: e.now, AfterSeq: s.cursor, Limit: spillPage + len(s.paged), Events: true}
	if e.traits.Shared {
		q.AfterSeq = 0
		e.marks.during = map[string]bool{}
	}
	e.load(q, func(w *Work) {
		s.loading, e.marks.during = false, nil
		fresh := 0
		for _, u := range w.Events {
			if seq := u.Event.Seq; !s.paged[seq] && !s.ended[seq] {
				fresh++
				e.page(u)
			}
		}
		clear(s.ended)
		if fresh == 0 && !s.dirty && s.sendsLoaded {
			e.endSpill()
		}
	})
}

// page takes one event out of the store into memory.
func (e *Engine) page(u *Unfinished) {
	s, ev := &e.spill, u.Event
	s.cursor = max(s.cursor, ev.Seq)
	it := newItem(ev)
	it.notBefore = u.RetryAt
	if e.traits.Shared {
		it.paged = true
		s.paged[ev.Seq] = true
	}
	if e.traits.Shared || ev.ReceivedAt.Before(e.started) {
		e.account(ev) // until now, somebody else or nobody did
	}
	if ev.Send != nil {
		e.told(ev.Send.Attempt)
	}
	t := e.talkOf(ev)
	t.queue.push(it)
	e.hold(t, it)
}

// unpage notes that an event out of the store has ended.
func (s *spill) unpage(it *item) {
	if !it.paged {
		return
	}
	delete(s.paged, it.ev.Seq)
	if s.loading {
		s.ended[it.ev.Seq] = true
	}
}

// endSpill hands events over in memory again. Those that are being committed have their
// place there from now on, unless the store is shared: then it was told to keep them.
func (e *Engine) endSpill() {
	if !e.spill.on {
		return
	}
	e.spill.on = false
	if e.traits.Shared {
		return
	}
	e.journal.uncommitted(func(p *appending) {
		if p.Outcome == nil && p.item == nil {
			e.enter(p)
		}
	})
}
