package messaging

import (
	"github.com/signpost-sms/signpost/messaging/consent"
	"github.com/signpost-sms/signpost/relay"
)

// arrival is an event between the socket and the journal.
type arrival struct {
	wire *relay.Event
	ev   *Event
	dead string // why the event can only be a dead letter; empty for an ordinary one
	said consent.Verdict
	verb ConsentVerb // of a stop or a start that is on its way into the ledger
}

// eventOverhead is what an event costs in memory beyond its frame: the structures around
// it, roughly as large as a short frame.
const eventOverhead = 512

// stopRoom is how much more than MaxUnjournaled opt-outs may take.
const stopRoom = 8 << 20

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
	e.listen(a)
	most := e.cfg.MaxUnjournaled
	if a.verb == ConsentStop {
		most += stopRoom // nobody promises that it comes again
	}
	n := e.unjournaled.Add(a.size())
	if n > most {
		e.unjournaled.Add(-a.size())
		e.heardOut(a)
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
	if !e.standing.loaded || !e.marks.loaded {
		return false
	}
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
	case e.consider(p):
	case h == nil:
		ap.Outcome = &Outcome{Fate: FateDone}
	case e.mayRunEarly(ev, h):
		e.hear(p)
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
// and no earlier event of its conversation waits here. What others hold of it only a shared
// store knows, and takes such an outcome back; see Append.Early.
func (e *Engine) mayRunEarly(ev *Event, h Handler) bool {
	if ev.Kind != KindMessage || e.spill.on || !IsInstant(h) || e.marks.marked(ev.Conversation()) {
		return false
	}
	t := e.conv[ev.Conversation()]
	return t == nil || t.queue.len() == 0 && !t.running
}

// hear tells the gate's rules of an inbound message, once.
func (e *Engine) hear(p *appending) {
	if !p.heard {
		p.heard = true
		e.gate.heard(p.Event)
	}
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
	e.concluding(p.Outcome)
	if p.arrival != nil {
		e.heardOut(p.arrival)
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
		e.hear(p)
		e.compare(ev)
		if p.confirmation != nil && changed(p.Consents) {
			e.enqueueOwn(*p.confirmation, ev)
		}
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
	if p.Early && p.Unheld {
		e.out.discard(e, p.flights) // it was decided out of its turn
		p.Outcome, p.flights = nil, nil
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
