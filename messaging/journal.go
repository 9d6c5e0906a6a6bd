package messaging

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"
)

// journal is the group commit: what is decided while a commit runs is the next batch. At
// most one batch is with the store; the engine's goroutine fills the next one meanwhile.
type journal struct {
	group *sync.WaitGroup
	in    chan *batch // to the committer, for a store that blocks
	done  chan *batch // from it
	ctx   context.Context
	block bool

	next     *batch
	queue    fifo[*batch] // must be committed before next: halves of a batch that failed
	inflight *batch       // with the store, or about to be tried again
	began    time.Time    // when the first try of the last batch that succeeded began
	failures int
	healthy  bool
	why      error
	spare    []*arrival // memory for the mailbox
	parked   []*arrival // found no room; wait for the next try
	free     *batch
}

// batch is a Batch with what follows its commit.
type batch struct {
	Batch
	appends  []*appending
	settles  []*settling
	enqueues []*enqueuing
	claims   []*claiming
	reports  []*reporting
	revives  []*reviving
	consents []*consenting
	values   []*valuing
	err      error
	began    time.Time // the first try
	took     time.Duration
}

type appending struct {
	*Append
	arrival      *arrival
	talk         *talk
	item         *item
	flights      []*flight
	confirmation *Send // of an opt-out or opt-in whose event goes through the chain too
	buried       bool  // second try, as a dead letter without text
	heard        bool  // by the gate's rules
}

type settling struct {
	*Settle
	run     *run
	flights []*flight
}

type enqueuing struct {
	*Enqueue
	flight *flight
	reply  func(Send, error)
}

type claiming struct {
	*Claim
	flight *flight     // nil for a send that is not in memory
	reply  func(error) // may be nil
}

type reporting struct {
	*Report
	flight *flight
	reply  func(error) // may be nil
}

type reviving struct {
	*Revive
	reply func(error)
}

type consenting struct {
	*ConsentChange
	reply func(error)
}

type valuing struct {
	*ValueChange
	reply func(error)
}

const (
	// batchMost bounds the events of one commit, so that the first of them does not wait
	// for a transaction without end.
	batchMost = 1024

	journalRetryFirst = 50 * time.Millisecond
	journalRetryMost  = 5 * time.Second
)

func (j *journal) start(e *Engine, ctx context.Context, group *sync.WaitGroup) {
	j.group, j.ctx, j.block = group, ctx, e.traits.Blocking
	j.done = make(chan *batch, 1)
	if !j.block {
		return
	}
	in := make(chan *batch, 1) // stop may come before the goroutine runs
	j.in = in
	group.Go(func() {
		for b := range in {
			j.commit(e.store, b)
			j.done <- b
		}
	})
}

func (j *journal) stop() {
	if j.in != nil {
		close(j.in)
		j.in = nil
	}
}

func (j *journal) commit(s Store, b *batch) {
	began := time.Now()
	b.err = s.Commit(j.ctx, &b.Batch)
	b.took = time.Since(began)
}

func (j *journal) batch() *batch {
	if j.next == nil {
		if j.next = j.free; j.next == nil {
			j.next = &batch{}
		}
		j.free = nil
	}
	return j.next
}

// room is how many more events the next batch takes.
func (j *journal) room() int {
	if j.parked != nil {
		return 0 // later events must not overtake them
	}
	if j.next == nil {
		return batchMost
	}
	return batchMost - len(j.next.appends)
}

// pending is how many operations are not committed.
func (j *journal) pending() int {
	n := 0
	if j.next != nil {
		n += j.next.ops()
	}
	if j.inflight != nil {
		n += j.inflight.ops()
	}
	for _, b := range j.queue.items[j.queue.head:] {
		n += b.ops()
	}
	return n + len(j.parked)
}

// uncommitted calls f for every append that is not committed, in order.
func (j *journal) uncommitted(f func(*appending)) {
	if j.inflight != nil {
		j.inflight.each(f)
	}
	j.unwritten(f)
}

// unwritten calls f for every append that is not with the store, in order.
func (j *journal) unwritten(f func(*appending)) {
	for _, b := range j.queue.items[j.queue.head:] {
		b.each(f)
	}
	if j.next != nil {
		j.next.each(f)
	}
}

func (b *batch) each(f func(*appending)) {
	for _, p := range b.appends {
		f(p)
	}
}

func (b *batch) ops() int {
	return len(b.appends) + len(b.settles) + len(b.enqueues) + len(b.claims) + len(b.reports) + len(b.revives) + len(b.consents) + len(b.values)
}

func (j *journal) append(p *appending)   { b := j.batch(); b.appends = append(b.appends, p) }
func (j *journal) settle(s *settling)    { b := j.batch(); b.settles = append(b.settles, s) }
func (j *journal) enqueue(q *enqueuing)  { b := j.batch(); b.enqueues = append(b.enqueues, q) }
func (j *journal) claim(c *claiming)     { b := j.batch(); b.claims = append(b.claims, c) }
func (j *journal) report(r *reporting)   { b := j.batch(); b.reports = append(b.reports, r) }
func (j *journal) revive(r *reviving)    { b := j.batch(); b.revives = append(b.revives, r) }
func (j *journal) consent(c *consenting) { b := j.batch(); b.consents = append(b.consents, c) }
func (j *journal) value(v *valuing)      { b := j.batch(); b.values = append(b.values, v) }

// advance hands the next batch to the store if it is free. It reports whether something
// was committed, and so whether there may be more to do.
func (j *journal) advance(e *Engine) bool {
	if j.inflight != nil || e.tenure.taking == takeoverWaits {
		return false
	}
	var b *batch
	switch {
	case j.queue.len() > 0:
		b = j.queue.pop()
	case j.next != nil && j.next.ops() > 0:
		b, j.next = j.next, nil
	default:
		return false
	}
	b.prepare(e)
	if j.block {
		j.inflight = b
		j.in <- b
		return false
	}
	j.commit(e.store, b)
	e.committed(b)
	return true
}

// prepare fills the Batch from the operations; a retried batch keeps its id.
func (b *batch) prepare(e *Engine) {
	if b.ID == (uuid.UUID{}) {
		b.ID = newID()
	}
	b.Owner, b.Now = e.cfg.Owner, e.now
	if b.began.IsZero() {
		b.began = e.now
	}
	b.Appends, b.Settles = b.Appends[:0], b.Settles[:0]
	b.Enqueues, b.Claims, b.Reports, b.Revives = b.Enqueues[:0], b.Claims[:0], b.Reports[:0], b.Revives[:0]
	b.Consents, b.Values = b.Consents[:0], b.Values[:0]
	for _, o := range b.appends {
		b.Appends = append(b.Appends, o.Append)
	}
	for _, o := range b.settles {
		b.Settles = append(b.Settles, o.Settle)
	}
	for _, o := range b.enqueues {
		b.Enqueues = append(b.Enqueues, o.Enqueue)
	}
	for _, o := range b.claims {
		b.Claims = append(b.Claims, o.Claim)
	}
	for _, o := range b.reports {
		b.Reports = append(b.Reports, o.Report)
	}
	for _, o := range b.revives {
		b.Revives = append(b.Revives, o.Revive)
	}
	for _, o := range b.consents {
		b.Consents = append(b.Consents, o.ConsentChange)
	}
	for _, o := range b.values {
		b.Values = append(b.Values, o.ValueChange)
	}
}

// committed follows a commit: what depended on it happens, in order, or the batch is tried
// again or taken apart.
func (e *Engine) committed(b *batch) {
	j := &e.journal
	if b.err != nil {
		e.commitFailed(b)
		return
	}
	j.failures = 0
	if !j.healthy {
		j.healthy, j.why = true, nil
		e.cfg.Logger.Info("journal is writable again")
		e.refresh()
	}
	e.cfg.Metrics.commit.Observe(b.took.Seconds())
	e.cfg.Metrics.batchRows.Observe(float64(b.ops()))
	j.began = b.began
	e.learn(b)
	e.spillIfFull()
	for _, o := range b.appends {
		e.taken(o)
	}
	for _, o := range b.appends {
		if !e.spill.on {
			e.spill.cursor = max(e.spill.cursor, o.Event.Seq)
		}
	}
	for _, o := range b.settles {
		e.settled(o)
	}
	for _, o := range b.enqueues {
		e.enqueued(o)
	}
	for _, o := range b.claims {
		e.claimed(o)
	}
	for _, o := range b.reports {
		e.reported(o)
	}
	for _, o := range b.revives {
		e.revived(o)
	}
	for _, o := range b.consents {
		o.reply(nil)
	}
	for _, o := range b.values {
		o.reply(nil)
	}
	b.recycle()
	if j.free == nil {
		j.free = b
	}
}

// learn takes over what a batch said about consent, questions and pauses, before anything
// else follows from it.
func (e *Engine) learn(b *batch) {
	for _, o := range b.appends {
		if o.Fresh {
			e.consented(o.Consents)
			if o.Outcome != nil && o.Outcome.Fate == FateDone {
				e.consented(o.Outcome.Consents)
			}
		}
	}
	for _, o := range b.settles {
		if !o.Lost && o.Outcome.Fate == FateDone {
			e.consented(o.Outcome.Consents)
		}
	}
	e.consented(b.Consents)
	if e.traits.Shared {
		e.marks.relearn(&sharedMarks{b.conversations(), b.Marks}, nil)
	}
	b.EachValue(e.marks.changed)
}

// recycle empties a batch for its next use.
func (b *batch) recycle() {
	clear(b.appends)
	clear(b.settles)
	clear(b.enqueues)
	clear(b.claims)
	clear(b.reports)
	clear(b.revives)
	clear(b.consents)
	clear(b.values)
	clear(b.Appends)
	clear(b.Settles)
	clear(b.Enqueues)
	clear(b.Claims)
	clear(b.Reports)
	clear(b.Revives)
	clear(b.Consents)
	clear(b.Values)
	*b = batch{
		Batch:   Batch{Appends: b.Appends[:0], Settles: b.Settles[:0], Enqueues: b.Enqueues[:0], Claims: b.Claims[:0], Reports: b.Reports[:0], Revives: b.Revives[:0], Consents: b.Consents[:0], Values: b.Values[:0]},
		appends: b.appends[:0], settles: b.settles[:0], enqueues: b.enqueues[:0], claims: b.claims[:0], reports: b.reports[:0],
		revives: b.revives[:0], consents: b.consents[:0], values: b.values[:0],
	}
}

// commitFailed decides what to do with a batch that the store refused.
func (e *Engine) commitFailed(b *batch) {
	j := &e.journal
	if errors.Is(b.err, ErrFenced) {
		e.fail(b.err)
		return
	}
	full := errors.Is(b.err, ErrFull)
	if !full && !errors.Is(b.err, ErrUnavailable) && !errors.Is(b.err, context.Canceled) {
		e.takeApart(b)
		return
	}
	if j.why == nil || j.why.Error() != b.err.Error() {
		e.cfg.Logger.Error("journal cannot be written; nothing new is acknowledged until it can", "err", b.err)
	}
	j.healthy, j.why = false, b.err
	e.refresh()
	if full {
		// What finishes work makes room, and must not wait behind what brings more.
		for _, q := range b.enqueues {
			e.refuse(q, b.err)
		}
		b.enqueues = nil
		rest := &batch{settles: b.settles, claims: b.claims, reports: b.reports, revives: b.revives, consents: b.consents, values: b.values}
		if rest.ops() > 0 {
			j.requeue(rest, &batch{appends: b.appends})
			return
		}
		if len(b.appends) == 0 {
			return
		}
	}
	delay := min(journalRetryFirst<<min(j.failures, 10), journalRetryMost)
	j.failures++
	if full && len(b.appends) > 0 {
		e.park(b, delay)
		return
	}
	j.inflight = b // the same batch again, under its own id
	e.alarms.add(e.now.Add(delay), func() {
		if j.block {
			j.in <- b
			return
		}
		j.inflight = nil
		j.commit(e.store, b)
		e.committed(b)
	})
}

// park takes back events that found no room and admits them again after a while. What
// their chains decided is discarded, so that it holds no slot of the outbox meanwhile.
// Later events wait behind them, so their order stays.
func (e *Engine) park(b *batch, delay time.Duration) {
	j := &e.journal
	for _, later := range append(j.queue.items[j.queue.head:len(j.queue.items):len(j.queue.items)], j.next) {
		if later != nil {
			b.appends = append(b.appends, later.appends...)
			later.appends = nil
		}
	}
	parked := make([]*arrival, 0, len(b.appends))
	for _, p := range b.appends {
		e.out.discard(e, p.flights)
		e.concluding(p.Outcome)
		e.dropItem(p.talk, p.item)
		parked = append(parked, p.arrival)
	}
	j.parked = parked
	e.alarms.add(e.now.Add(delay), func() {
		j.parked = nil
		for _, a := range parked {
			e.admit(a)
		}
	})
}

// refuse ends an Enqueue that the store did not take.
func (e *Engine) refuse(q *enqueuing, err error) {
	e.out.discard(e, []*flight{q.flight})
	q.reply(Send{}, err)
}

// requeue puts batches before everything that is not committed yet.
func (j *journal) requeue(bs ...*batch) {
	rest := append([]*batch(nil), j.queue.items[j.queue.head:]...)
	j.queue = fifo[*batch]{}
	for _, b := range append(bs, rest...) {
		j.queue.push(b)
	}
}

// takeApart halves a batch whose content the store refuses until the guilty operation
// stands alone, and then buries that one, so that the others live.
func (e *Engine) takeApart(b *batch) {
	if b.ops() > 1 {
		x, y := b.halves()
		e.journal.requeue(x, y)
		return
	}
	err := b.err
	log := e.cfg.Logger
	switch {
	case len(b.appends) == 1:
		p := b.appends[0]
		e.out.discard(e, p.flights)
		e.concluding(p.Outcome)
		p.flights = nil
		if p.buried {
			log.Error("an event cannot be journaled in any form and is left unacknowledged", "err", err)
			e.unjournaled.Add(-p.arrival.size())
			if p.arrival.verb == ConsentStop { // nothing is sent to its sender while this process lives
				log.Error("it was an opt-out: record it with signpost consent stop", "event_id", p.Event.ID, "from", p.Event.From)
			} else {
				e.heardOut(p.arrival)
			}
			e.cfg.Metrics.dropped.Inc()
			e.dropItem(p.talk, p.item)
			return
		}
		log.Error("the store refuses an event; it is kept as a dead letter", "event_id", p.Event.ID, "err", err)
		bare := *p.Event
		bare.Body, bare.Media, bare.Tags = "", nil, nil
		e.dropItem(p.talk, p.item)
		e.journal.requeue(&batch{appends: []*appending{{
			Append:  &Append{Event: &bare, Consents: p.Consents, Outcome: &Outcome{Fate: FateDead, Err: "the store refuses it: " + publicText(err)}},
			arrival: p.arrival, buried: true,
		}}})
	case len(b.settles) == 1:
		s := b.settles[0]
		e.out.discard(e, s.flights)
		e.concluding(s.Outcome)
		if s.Outcome.Fate == FateDead {
			log.Error("an event cannot be settled and stays unfinished until the next start", "event_id", s.Event.ID, "err", err)
			s.run.t.running = false
			e.release(s.run.t, s.run.it)
			e.schedule(s.run.t)
			return
		}
		log.Error("the store refuses what a handler decided; the event is a dead letter", "event_id", s.Event.ID, "err", err)
		e.journal.requeue(&batch{settles: []*settling{{
			Settle: &Settle{Event: s.Event, Outcome: &Outcome{Fate: FateDead, Attempt: s.Outcome.Attempt, Err: "the store refuses what it decided: " + publicText(err)}},
			run:    s.run,
		}}})
	case len(b.enqueues) == 1:
		e.refuse(b.enqueues[0], err)
	case len(b.claims) == 1:
		c := b.claims[0]
		log.Error("the store refuses a claim; its send is given up", "send_id", c.SendID, "err", err)
		if c.flight != nil {
			e.out.finish(e, c.flight, StatusFailed, "store")
		}
		if c.reply != nil {
			c.reply(err)
		}
	case len(b.reports) == 1:
		log.Error("the store refuses an answer", "send_id", b.reports[0].SendID, "err", err)
		e.reported(b.reports[0])
	case len(b.revives) == 1:
		b.revives[0].reply(err)
	case len(b.consents) == 1:
		log.Error("the store refuses a change of consent", "err", err)
		b.consents[0].reply(err)
	case len(b.values) == 1:
		b.values[0].reply(err)
	}
}

func (b *batch) halves() (x, y *batch) {
	x, y = &batch{}, &batch{}
	half := b.ops() / 2
	n := 0
	pick := func() *batch {
		n++
		if n <= half {
			return x
		}
		return y
	}
	for _, o := range b.appends {
		h := pick()
		h.appends = append(h.appends, o)
	}
	for _, o := range b.settles {
		h := pick()
		h.settles = append(h.settles, o)
	}
	for _, o := range b.enqueues {
		h := pick()
		h.enqueues = append(h.enqueues, o)
	}
	for _, o := range b.claims {
		h := pick()
		h.claims = append(h.claims, o)
	}
	for _, o := range b.reports {
		h := pick()
		h.reports = append(h.reports, o)
	}
	for _, o := range b.revives {
		h := pick()
		h.revives = append(h.revives, o)
	}
	for _, o := range b.consents {
		h := pick()
		h.consents = append(h.consents, o)
	}
	for _, o := range b.values {
		h := pick()
		h.values = append(h.values, o)
	}
	return x, y
}
