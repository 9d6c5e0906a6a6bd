package messaging

import (
	"context"
	"errors"
	"runtime/debug"
	"strconv"
	"time"
)

// talk is one conversation while something of it is in memory: events that wait for their
// turn, and sends that wait for theirs.
type talk struct {
	key     Conversation
	queue   fifo[*item] // events in arrival order; the head is the one that runs
	running bool
	listed  bool // in Engine.runnable
	retry   *alarm

	sends  []*flight // due and queued, by priority, then in commit order
	coming int       // decided and not claimed, being committed; later ones must not overtake them
	busy   *flight   // the one send that is claimed, unanswered, or a doubt that holds the rest
	wanted Priority  // the list of the outbox that it waits in; 0 for none
}

func (t *talk) idle() bool {
	return t.queue.len() == 0 && !t.running && len(t.sends) == 0 && t.coming == 0 && t.busy == nil
}

// item is an event in its conversation's queue.
type item struct {
	ev        *Event
	size      int64
	journaled bool      // committed, so it may run
	gone      bool      // a duplicate; skipped
	paged     bool      // it came out of a shared store
	runs      int       // runs that count as attempts
	first     time.Time // of the first run
	notBefore time.Time
}

func newItem(ev *Event) *item {
	return &item{ev: ev, size: int64(len(ev.Frame)) + eventOverhead, runs: ev.Attempt}
}

// talkOf finds the conversation of an event, or begins it. A state that does not say whose
// message it speaks of stands for itself.
func (e *Engine) talkOf(ev *Event) *talk {
	key := ev.Conversation()
	if key == (Conversation{}) {
		key.Theirs = Number(ev.MessageID)
	}
	return e.talkFor(key)
}

func (e *Engine) talkFor(key Conversation) *talk {
	t := e.conv[key]
	if t == nil {
		t = &talk{key: key}
		e.conv[key] = t
	}
	return t
}

// forget drops a conversation from memory once nothing of it is left there.
func (e *Engine) forget(t *talk) {
	if t.idle() && e.conv[t.key] == t {
		delete(e.conv, t.key)
	}
}

// hold takes a journaled event into memory and runs it if it is its turn.
func (e *Engine) hold(t *talk, it *item) {
	it.journaled = true
	e.held += it.size
	e.tallies.held++
	e.schedule(t)
}

// dropItem takes an event out of its queue that was never held.
func (e *Engine) dropItem(t *talk, it *item) {
	if it == nil {
		return
	}
	it.gone = true
	e.schedule(t)
}

// schedule lists a conversation for a handler slot if its oldest event may run.
func (e *Engine) schedule(t *talk) {
	for t.queue.len() > 0 && t.queue.peek().gone {
		t.queue.pop()
	}
	if t.queue.len() == 0 {
		e.forget(t)
		return
	}
	it := t.queue.peek()
	if t.running || t.listed || !it.journaled {
		return
	}
	if it.notBefore.After(e.now) {
		t.retry.cancel()
		t.retry = e.alarms.add(it.notBefore, func() { e.schedule(t) })
		return
	}
	t.listed = true
	e.runnable.push(t)
}

// runReady starts as many handlers as there are slots. A handler that was given up keeps
// its slot only as long as that leaves enough of them.
func (e *Engine) runReady() {
	for e.runnable.len() > 0 {
		if e.draining && e.traits.Durable {
			return // the next process finds them in the store
		}
		if int(e.running.Load()) >= e.cfg.Concurrency || int(e.abandoned.Load()) >= e.cfg.Concurrency*abandonedMost {
			return
		}
		t := e.runnable.pop()
		t.listed = false
		if t.running || t.queue.len() == 0 {
			continue
		}
		t.running = true
		e.start(t, t.queue.peek())
	}
}

// abandonedMost bounds the goroutines of handlers that never return, in multiples of
// Concurrency. Past it no chain runs until one of them does: better a loud standstill than
// a leak without end.
const abandonedMost = 4

// run is one run of a chain on a goroutine of its own.
type run struct {
	t    *talk
	it   *item
	resp *responder
	over bool // finished or given up; engine's goroutine only
	give *alarm
}

func (e *Engine) start(t *talk, it *item) {
	if it.first.IsZero() {
		it.first = e.now
	}
	ev := it.ev
	if it.runs != ev.Attempt { // a copy, since an earlier handler may have kept the event
		again := *ev
		again.Attempt = it.runs
		ev = &again
		it.ev = ev
	}
	h := e.handlerFor(ev)
	reader, _ := e.store.(ValueReader)
	r := &run{t: t, it: it, resp: &responder{ev: ev, reader: reader}}
	if e.silenced(ev) {
		Entered(r.resp, consentHandler)
		h = nil
	} else {
		h = e.attend(r, h)
	}
	if h == nil {
		e.finished(r, nil)
		return
	}
	e.running.Add(1)
	ctx, cancel := context.WithTimeout(e.work, e.cfg.HandlerTimeout)
	r.give = e.alarms.add(e.now.Add(e.cfg.HandlerTimeout+e.cfg.HandlerGrace), func() { e.giveUp(r) })
	began := time.Now()
	e.handlers.Go(func() {
		defer cancel()
		err := errGone
		defer func() { // also when the handler ends its goroutine
			e.cfg.Metrics.of(ev.Context).handler.Observe(time.Since(began).Seconds())
			e.post(func() {
				if r.over {
					e.abandoned.Add(-1)
					return
				}
				e.running.Add(-1)
				e.finished(r, err)
			})
		}()
		err = protect(ctx, h, r.resp, ev)
	})
}

// protect runs a handler and turns a panic into its error.
func protect(ctx context.Context, h Handler, w Responder, ev *Event) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return h.HandleEvent(ctx, w, ev)
}

var errGone = errors.New("the handler ended its goroutine (runtime.Goexit)")

var errHung = errors.New("the handler did not return after its context ended; it must watch ctx.Done")

// giveUp stops waiting for a handler that outlived its context.
func (e *Engine) giveUp(r *run) {
	if r.over {
		return
	}
	e.running.Add(-1)
	e.abandoned.Add(1)
	e.finished(r, errHung)
}

// finished settles what a run decided.
func (e *Engine) finished(r *run, err error) {
	r.over = true
	r.give.cancel()
	d := r.resp.seal()
	if err == nil && d.misuse != nil {
		err = Drop(d.misuse)
	}
	o := e.judge(r.it, err)
	o.Handler = d.by
	s := &settling{Settle: &Settle{Event: r.it.ev, Outcome: o}, run: r}
	if o.Fate == FateDone {
		s.flights = e.decided(r.it.ev, d, o)
	}
	e.journal.settle(s)
}

// judge turns a run's error into the event's fate.
func (e *Engine) judge(it *item, err error) *Outcome {
	if err == nil {
		return &Outcome{Fate: FateDone, Attempt: it.runs}
	}
	ev := it.ev
	o := &Outcome{Fate: FateRetry, Attempt: it.runs + 1, Err: publicText(err)}
	m := e.cfg.Metrics.of(ev.Context)
	m.errors.Inc()
	log := e.cfg.Logger.With("context", ev.Context, "event_id", ev.ID, "attempt", o.Attempt)
	var p *PanicError
	if errors.As(err, &p) {
		m.panics.Inc()
		log.Error("handler panicked", "err", o.Err, "stack", string(p.Stack))
	}
	delay, instructed := RetryDelay(err)
	switch {
	case IsDrop(err):
		o.Fate = FateDead
	case instructed:
		o.Attempt = it.runs // waiting as told is no failure
	case o.Attempt >= e.cfg.MaxAttempts || e.now.Sub(it.first) >= e.cfg.GiveUpAfter:
		o.Fate = FateDead
	default:
		delay = backoffFor(o.Attempt)
	}
	if o.Fate == FateDead {
		log.Error("event is a dead letter", "err", o.Err)
	} else {
		o.RetryAt = e.now.Add(delay)
		log.Warn("handler will be run again", "err", o.Err, "delay", delay)
	}
	return o
}

// publicText is what may be logged and stored of a handler's error. The text of a panic's
// value is left out by PanicError itself; other errors are the handler's own words.
func publicText(err error) string {
	const most = 500
	s := clean(err.Error())
	if len(s) > most {
		s = clean(s[:most]) + "…"
	}
	return s
}

// settled follows the commit of a settle.
func (e *Engine) settled(s *settling) {
	t, it := s.run.t, s.run.it
	t.running = false
	e.concluding(s.Outcome)
	switch {
	case s.Lost:
		e.out.discard(e, s.flights)
		e.release(t, it)
		if it.ev.Kind == KindMessage { // another instance accounts for it now
			e.tallies.received--
			e.tallies.waiting--
		}
	case s.Outcome.Fate == FateRetry:
		it.runs = s.Outcome.Attempt
		it.notBefore = s.Outcome.RetryAt
		e.trace(it.ev, s.Outcome)
	default:
		e.release(t, it)
		e.concluded(it.ev, s.Outcome, s.flights)
	}
	e.schedule(t)
}

// release lets the next event of a conversation have its turn.
func (e *Engine) release(t *talk, it *item) {
	t.queue.pop()
	e.held -= it.size
	e.tallies.held--
	e.spill.unpage(it)
}

// runEarly runs a pure chain before its append. It returns nil flights and leaves the
// outcome empty when the chain fails, so that the event goes the ordinary way.
func (e *Engine) runEarly(h Handler, ap *Append) []*flight {
	resp := &responder{ev: ap.Event, early: true}
	began := time.Now()
	if err := protect(e.work, h, resp, ap.Event); err != nil {
		return nil
	}
	e.cfg.Metrics.of(ap.Event.Context).handler.Observe(time.Since(began).Seconds())
	d := resp.seal()
	if d.misuse != nil || d.late {
		return nil
	}
	ap.Outcome, ap.Early = &Outcome{Fate: FateDone, Handler: d.by}, true
	return e.decided(ap.Event, d, ap.Outcome)
}

// decided takes over what a chain decided.
func (e *Engine) decided(ev *Event, d decision, o *Outcome) []*flight {
	sends := d.sends
	o.Values = e.decidedValues(ev, d.values)
	if len(d.consents) > 0 {
		sends = append(sends, e.decidedConsent(ev, d.consents, o)...)
	}
	return e.launch(ev, e.orHelp(ev, sends, d.answered), o)
}

// launch completes what a chain decided to send and asks the gate, so that it can be
// inserted with the event's completion: already claimed when it may leave at once.
func (e *Engine) launch(ev *Event, sends []Send, o *Outcome) []*flight {
	if len(sends) == 0 {
		return nil
	}
	flights := make([]*flight, len(sends))
	o.Sends = make([]*Outgoing, len(sends))
	tl := &tally{open: len(sends)}
	for i := range sends {
		s := &sends[i]
		e.complete(s, ev, i)
		f := e.out.newFlight(e, &Outgoing{Send: *s}, tl)
		flights[i], o.Sends[i] = f, f.out
	}
	return flights
}

// complete fills what the handler left open.
func (e *Engine) complete(s *Send, ev *Event, ordinal int) {
	c := ev.Conversation()
	s.ID = newID()
	s.CreatedAt = e.now
	s.From, s.To = orDefault(s.From, c.Ours), orDefault(s.To, c.Theirs)
	s.Context = orDefault(s.Context, ev.Context)
	if s.Category == "" {
		s.Category = CategoryNotification
		if ev.Kind == KindMessage && s.From == c.Ours && s.To == c.Theirs {
			s.Category = CategoryReply
		}
	}
	if ev.Kind == KindMessage {
		s.InReplyTo = ev.ID
	}
	s.Priority = orDefault(s.Priority, s.Category.Priority())
	if s.Key == "" {
		s.Key = ev.ID + "#" + strconv.Itoa(ordinal)
	}
	if s.ExpiresAt.IsZero() && s.Category == CategoryReply {
		s.ExpiresAt = e.now.Add(e.cfg.ReplyExpires)
	}
}

// concluded counts a finished inbound and sends what it decided.
func (e *Engine) concluded(ev *Event, o *Outcome, flights []*flight) {
	if ev.Kind == KindMessage {
		e.tallies.waiting--
		switch {
		case o.Fate == FateDead:
			e.tallies.dead++
			e.cfg.Metrics.of(ev.Context).dead.Inc()
		case len(flights) == 0:
			e.tallies.nothing++
		default:
			e.tallies.open++
		}
	}
	e.trace(ev, o)
	for _, f := range flights {
		f.counted = ev.Kind == KindMessage
		e.out.committed(e, f)
	}
}

func (e *Engine) trace(ev *Event, o *Outcome) {
	if e.debug {
		e.cfg.Logger.Debug("event handled", "kind", ev.Kind.String(), "context", ev.Context, "event_id", ev.ID,
			"from", ev.From, "to", ev.To, "len", len(ev.Body), "fate", o.Fate.String(), "sends", len(o.Sends))
	}
	if e.traced && ev.Kind == KindMessage {
		e.cfg.Trace(Trace{Inbound: &InboundTrace{Event: ev, Outcome: o}})
	}
}
