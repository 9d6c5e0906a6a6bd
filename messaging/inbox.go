package messaging

import "github.com/signpost-sms/signpost/relay"

// arrival is an event between the socket and the journal.
type arrival struct {
	wire *relay.Event
	ev   *Event
	dead string // why the event can only be a dead letter; empty for an ordinary one
}

// eventOverhead is what an event costs in memory beyond its frame: the structures around
// it, roughly as large as a short frame.
const eventOverhead = 512

func (a *arrival) size() int64 { return int64(len(a.ev.Frame)) + eventOverhead }

// HandleEvent implements relay.Handler. It is called on the session's reader and returns at
// once. Types that are not ours are acknowledged and forgotten; ours wait for the journal,
// and beyond MaxUnjournaled bytes of waiting frames they are dropped unacknowledged, so that
// the platform may deliver them elsewhere or again.
func (e *Engine) HandleEvent(wire *relay.Event) {
	kind := kindOf(wire.Type)
	if kind == 0 {
		_ = wire.Ack() // an ack that cannot be written means that the session is gone
		return
	}
	a := &arrival{wire: wire}
	var err error
	if a.ev, err = decodeEvent(kind, wire.Type, wire.Frame, wire.Received); err != nil {
		a.ev = undecodable(kind, wire.Frame, wire.Received)
		a.dead = err.Error()
	}
	n := e.unjournaled.Add(a.size())
	if n > e.cfg.MaxUnjournaled {
		e.unjournaled.Add(-a.size())
		e.cfg.Metrics.dropped.Inc()
		return
	}
	if n > e.cfg.MaxUnjournaled/2 && e.paused.CompareAndSwap(false, true) {
		e.link.Pause("the journal cannot keep up")
	}
	e.box.mu.Lock()
	e.box.arrivals = append(e.box.arrivals, a)
	e.ring()
	e.box.mu.Unlock()
}

// relieve receives again once the store has caught up. The gap between the two bounds keeps
// the contexts from flapping.
func (e *Engine) relieve() {
	if e.paused.Load() && e.journal.healthy && e.unjournaled.Load() < e.cfg.MaxUnjournaled/4 {
		e.paused.Store(false)
		e.link.Resume()
	}
}

// admitArrivals moves arrivals into the next batch, as many as it takes. It reports
// whether there were any.
func (e *Engine) admitArrivals() (any bool) {
	for {
		room := e.journal.room()
		if room <= 0 {
			return any
		}
		e.box.mu.Lock()
		arrivals := e.box.arrivals
		if len(arrivals) > room {
			// Copied, since the reader goes on appending to what stays.
			e.box.arrivals = append([]*arrival(nil), arrivals[room:]...)
			arrivals = arrivals[:room]
		} else {
			e.box.arrivals = e.journal.spare
			e.journal.spare = nil
		}
		e.box.mu.Unlock()
		if len(arrivals) == 0 {
			if e.journal.spare == nil {
				e.journal.spare = arrivals
			}
			return any
		}
		any = true
		for _, a := range arrivals {
			e.admit(a)
		}
		clear(arrivals)
		e.journal.spare = arrivals[:0]
	}
}

// admit puts one arrival into the next batch. A pure chain runs here, so that its event is
// written once, in its final state; any other event waits in its conversation for the
// commit.
func (e *Engine) admit(a *arrival) {
	ev := a.ev
	ap := &Append{Event: ev, Redeliver: e.redelivery(ev), Unheld: e.spill.on}
	p := &appending{Append: ap, arrival: a}
	switch h := e.handlerFor(ev); {
	case a.dead != "":
		e.cfg.Logger.Error("event cannot be read; it is kept as a dead letter", "event_id", ev.ID, "context", ev.Context, "err", a.dead)
		ap.Outcome = &Outcome{Fate: FateDead, Err: a.dead}
	case h == nil:
		ap.Outcome = &Outcome{Fate: FateDone}
	case e.mayRunEarly(ev, h):
		p.flights = e.runEarly(h, ap)
	}
	if ap.Outcome == nil && !e.spill.on {
		e.enter(p)
	}
	e.journal.append(p)
}

// enter gives an event its place in its conversation.
func (e *Engine) enter(p *appending) {
	p.talk = e.talkOf(p.Event)
	p.item = newItem(p.Event)
	p.talk.queue.push(p.item)
}

// mayRunEarly reports whether the chain of an event may run before its append: it is pure,
// nobody else could hold the conversation, and no earlier event of it waits.
func (e *Engine) mayRunEarly(ev *Event, h Handler) bool {
	if ev.Kind != KindMessage || e.traits.Shared || e.spill.on || !IsInstant(h) {
		return false
	}
	t := e.conv[ev.Conversation()]
	return t == nil || t.queue.len() == 0 && !t.running
}

// handlerFor finds what runs for an event; nil for a state that nobody listens to.
func (e *Engine) handlerFor(ev *Event) Handler {
	h := *e.handler.Load()
	if r, ok := h.(interface{ HandlerFor(*Event) Handler }); ok {
		return r.HandlerFor(ev)
	}
	return h
}

// taken is what follows the commit of an append: acknowledge, then hand over.
func (e *Engine) taken(p *appending) {
	ev := p.Event
	if p.arrival != nil {
		_ = p.arrival.wire.Ack()
		e.unjournaled.Add(-p.arrival.size())
		e.cfg.Metrics.ack.Observe(e.now.Sub(ev.ReceivedAt).Seconds())
	}
	if !p.Fresh {
		e.cfg.Metrics.duplicates.Inc()
		e.tallies.duplicates++
		e.out.discard(e, p.flights)
		if p.item != nil {
			e.dropItem(p.talk, p.item)
		}
		if e.traced && ev.Kind == KindMessage {
			e.cfg.Trace(Trace{Inbound: &InboundTrace{Event: ev, Duplicate: true}})
		}
		return
	}
	switch ev.Kind {
	case KindMessage:
		e.tallies.received++
		e.tallies.waiting++
		e.cfg.Metrics.of(ev.Context).inbound.Inc()
		if !ev.SentAt.IsZero() {
			e.cfg.Metrics.lag.Observe(max(ev.ReceivedAt.Sub(ev.SentAt), 0).Seconds())
		}
	case KindState:
		e.cfg.Metrics.states.WithLabelValues(stateLabel(ev.State)).Inc()
		if p.Merge != nil {
			ev.Send = &p.Merge.Ref
			e.merged(p.Merge, ev)
			if p.Merge.Advanced {
				e.cfg.Metrics.delivered(p.Merge.Ref.ID, ev.State, e.now)
			}
			if again := p.Merge.Again; again != nil {
				e.cfg.Metrics.redelivered.Inc()
				e.cfg.Logger.Info("delivery failed for a reason that may pass; the send goes out again", "context", again.Context,
					"send_id", again.ID, "not_before", again.NotBefore)
				e.out.enqueue(e, again, false)
			}
		}
	}
	switch {
	case p.Outcome != nil:
		e.concluded(ev, p.Outcome, p.flights)
	case e.traits.Shared && p.Unheld: // whoever reads it from the store accounts for it
		e.spill.dirty = true
		if ev.Kind == KindMessage {
			e.tallies.received--
			e.tallies.waiting--
		}
		e.dropItem(p.talk, p.item)
	case e.traits.Shared: // ours, although the spill may have begun meanwhile
		if p.item == nil {
			e.enter(p)
		}
		e.hold(p.talk, p.item)
	case e.spill.on:
		e.spill.dirty = true
		if p.item != nil { // the spill began after the event was admitted
			e.dropItem(p.talk, p.item)
		}
	case ev.Seq != 0 && ev.Seq <= e.spill.cursor:
		// Paged in already, while its commit was on its way back.
		e.dropItem(p.talk, p.item)
	default:
		e.hold(p.talk, p.item)
	}
}

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
	if !wanted || s.loading || !s.sendsLoaded || e.held > e.cfg.MaxHeld/2 || len(s.paged) > spillPage/2 || e.draining {
		return
	}
	s.loading, s.dirty = true, false
	q := Query{Owner: e.cfg.Owner, Now: e.now, AfterSeq: s.cursor, Limit: spillPage + len(s.paged), Events: true}
	if e.traits.Shared {
		q.AfterSeq = 0
	}
	e.load(q, func(w *Work) {
		s.loading = false
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
