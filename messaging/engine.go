package messaging

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/relay"
)

// Engine carries messages between a Relay session, a store and handlers.
//
// One goroutine, the caller of Run, owns all of its state: conversations, sends, doubts and
// the batch that the next commit will write. The session's reader, the handlers, the wire's
// answers and the committer talk to it through a mailbox, so that nothing they do waits for
// anything but a short lock.
type Engine struct {
	store  Store
	link   Link
	cfg    Config
	traits Traits
	gate   gate
	// handler is the application's, swapped by SetHandler.
	handler atomic.Pointer[Handler]

	box  mailbox
	wake chan struct{}

	unjournaled atomic.Int64 // bytes of frames that wait for the store
	paused      atomic.Bool  // contexts unreceived because of them
	running     atomic.Int64 // handlers running now
	abandoned   atomic.Int64 // handlers that were given up and have not returned yet

	// The rest belongs to Run's goroutine.
	now       time.Time
	started   time.Time
	conv      map[Conversation]*talk
	runnable  fifo[*talk] // wait for a handler slot
	held      int64       // bytes of journaled events that wait in memory
	spill     spill
	alarms    schedule
	handlers  sync.WaitGroup
	timer     *time.Timer
	ready     bool // the session is subscribed
	draining  bool
	journal   journal
	out       outbox
	tenure    tenure
	standing  standings // where people stand about consent
	marks     marks     // open questions and pauses
	helped    helped
	agreed    time.Time // when a message last showed that the platform's clock agrees with ours
	fatal     error     // ends Run
	tallies   counts
	work      context.Context
	reading   context.Context // of reads from the store and the message log; ends with Run
	traced    bool
	debug     bool // debug records are wanted, as far as was known a second ago
	publish   atomic.Pointer[EngineStatus]
	published time.Time
}

// mailbox is what other goroutines leave for the engine's.
type mailbox struct {
	mu       sync.Mutex
	full     bool // the engine has been woken for what is inside
	arrivals []*arrival
	answers  []answered
	calls    []func()
}

// NewEngine makes an engine. It starts nothing: Run does.
func NewEngine(store Store, h Handler, link Link, cfg Config) *Engine {
	cfg = cfg.withDefaults()
	e := &Engine{
		store:  store,
		link:   link,
		cfg:    cfg,
		traits: store.Traits(),
		gate:   gate{link: link, rules: cfg.Rules},
		wake:   make(chan struct{}, 1),
		conv:   map[Conversation]*talk{},
		traced: cfg.Trace != nil,
		work:   background,

		started: time.Now(),
	}
	e.gate.standing = &e.standing
	e.spill.paged, e.spill.ended = map[int64]bool{}, map[int64]bool{}
	e.spill.on = e.traits.Durable // what a former process left is read before anything new is handled
	e.out.doubts = map[uuid.UUID]*flight{}
	e.out.queued = map[uuid.UUID]*flight{}
	if e.traits.Durable {
		e.out.over = PriorityConsent // the same of sends
	}
	e.journal.healthy = true
	e.SetHandler(h)
	e.publish.Store(&EngineStatus{JournalWritable: true})
	return e
}

// SetHandler replaces the handler for every event that has not begun to run. It may be
// called at any time.
func (e *Engine) SetHandler(h Handler) { e.handler.Store(&h) }

// ErrDrainIncomplete is what Run returns when its work context ended before everything in
// flight was finished.
var ErrDrainIncomplete = errors.New("messaging: stopped before everything in flight was finished")

// Run journals, handles and sends until stop ends; then it finishes what is in flight and
// returns nil. When work ends it gives up at once and returns ErrDrainIncomplete if
// something was left. Handlers' contexts descend from work. Run must be called once.
func (e *Engine) Run(stop, work context.Context) error {
	reading, stopReading := context.WithCancel(work)
	defer stopReading()
	e.work, e.reading = work, reading
	e.timer = time.NewTimer(time.Hour)
	defer e.timer.Stop()
	var commits sync.WaitGroup
	defer func() { stopReading(); commits.Wait() }()
	e.journal.start(e, work, &commits)
	defer e.journal.stop()

	stopped := stop.Done()
	e.now = time.Now()
	e.join()
	e.learnConsent()
	e.learnMarks()
	e.recoverWork()
	for {
		e.rearm()
		select {
		case <-e.wake:
		case <-e.timer.C:
		case b := <-e.journal.done:
			e.now = time.Now()
			e.journal.inflight = nil
			e.committed(b)
		case <-stopped:
			stopped = nil
			e.draining = true
		case <-work.Done():
			e.now = time.Now()
			e.refresh()
			left := e.leftovers()
			e.awaitHandlers()
			if left != "" {
				return fmt.Errorf("%w: %s", ErrDrainIncomplete, left)
			}
			return nil
		}
		e.turn()
		if e.fatal != nil {
			e.refresh()
			e.awaitHandlers()
			return e.fatal
		}
		if e.draining && e.drained() {
			e.refresh()
			if n := e.out.doubting; n > 0 && !e.traits.Durable {
				return fmt.Errorf("%w: %d sends in doubt, which nobody will settle", ErrDrainIncomplete, n)
			}
			if e.tenure.sharer != nil { // no commit and no renewal may follow the leave
				stopReading()
				e.journal.stop()
				commits.Wait()
				e.leave()
			}
			return nil
		}
	}
}

// lastGrace is how long the end of Run waits for handlers whose context has ended. It is
// short, since whoever ends the work wants to be gone.
const lastGrace = time.Second

// awaitHandlers gives the handlers, whose context has ended, a moment to return.
func (e *Engine) awaitHandlers() {
	gone := make(chan struct{})
	go func() {
		e.handlers.Wait()
		close(gone)
	}()
	grace := time.NewTimer(lastGrace)
	defer grace.Stop()
	select {
	case <-gone:
	case <-grace.C:
		e.cfg.Logger.Error("handlers did not return after their context ended", "handlers", e.running.Load()+e.abandoned.Load())
	}
}

// turnMost bounds a turn, so that a flood cannot keep the engine from its status, its
// timer and the order to stop.
const turnMost = 50 * time.Millisecond

// turn does everything that can be done without waiting.
func (e *Engine) turn() {
	progress := true
	for began := time.Now(); progress && e.now.Sub(began) < turnMost; {
		e.now = time.Now()
		e.alarms.fire(e.now)
		e.out.expire(e)
		calls, answers := e.box.take()
		for _, f := range calls {
			f()
		}
		for i := range answers {
			e.answered(&answers[i])
		}
		progress = len(calls)+len(answers) > 0
		e.box.giveBack(calls, answers)
		progress = e.admitArrivals() || progress
		e.pump()
		progress = e.journal.advance(e) || progress
		e.runReady()
	}
	if progress { // come back at once, after a look at what else waits
		select {
		case e.wake <- struct{}{}:
		default:
		}
	}
	e.spillIfFull()
	e.takeOver()
	e.pageIn()
	e.fetchSends()
	e.relieve()
	if e.now.Sub(e.published) >= statusEvery {
		e.refresh()
	}
}

// rearm sets the timer for whatever is due next.
func (e *Engine) rearm() {
	next := e.now.Add(time.Second) // the published status must not grow stale
	if at := e.alarms.next(); !at.IsZero() && at.Before(next) {
		next = at
	}
	if at := e.out.nextTimeout(); !at.IsZero() && at.Before(next) {
		next = at
	}
	if at := e.out.nextDue; at.After(e.now) && at.Before(next) {
		next = at
	}
	e.timer.Reset(max(next.Sub(e.now), 0))
}

func (b *mailbox) take() (calls []func(), answers []answered) {
	b.mu.Lock()
	calls, answers = b.calls, b.answers
	b.calls, b.answers = nil, nil
	b.full = false
	b.mu.Unlock()
	return calls, answers
}

// giveBack keeps the slices for the next round, so that a steady load allocates nothing.
func (b *mailbox) giveBack(calls []func(), answers []answered) {
	clear(calls)
	clear(answers)
	b.mu.Lock()
	if b.calls == nil {
		b.calls = calls[:0]
	}
	if b.answers == nil {
		b.answers = answers[:0]
	}
	b.mu.Unlock()
}

// idle reports whether nothing waits in the mailbox.
func (b *mailbox) idle() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.arrivals) == 0 && len(b.answers) == 0 && len(b.calls) == 0
}

// ring wakes the engine; the caller holds the mailbox's lock and has put something in.
func (e *Engine) ring() {
	if e.box.full {
		return
	}
	e.box.full = true
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// post runs f on the engine's goroutine.
func (e *Engine) post(f func()) {
	e.box.mu.Lock()
	e.box.calls = append(e.box.calls, f)
	e.ring()
	e.box.mu.Unlock()
}

// HandleState implements relay.Handler.
func (e *Engine) HandleState(s relay.State) {
	e.post(func() { e.ready = s == relay.StateSubscribed })
}

// recoverWork reads what a former process left: doubts and queued sends now, unfinished
// events page by page through the spill.
func (e *Engine) recoverWork() {
	switch {
	case e.tenure.sharer != nil:
		e.claimOrphans(func() { e.recoverDoubts(0) })
	case e.traits.Durable:
		e.recoverDoubts(0)
	}
}

// recoverPage is how many doubts one read brings.
const recoverPage = 1000

// recoverDoubts adopts the doubts after a place in their order, then reads the sends.
func (e *Engine) recoverDoubts(after int64) {
	q := Query{Owner: e.cfg.Owner, Now: e.now, Limit: recoverPage, Doubts: true, AfterDoubt: after}
	e.load(q, func(w *Work) {
		mine := e.attempts()
		for _, d := range w.Doubts {
			if !mine[d.Attempt.ID] {
				e.out.adopt(e, d)
			}
		}
		if n := len(w.Doubts); n >= q.Limit {
			e.recoverDoubts(w.Doubts[n-1].Seq)
			return
		}
		e.readSends(func() { e.spill.sendsLoaded = true })
	})
}

// attempts are those of this process that are claimed or on the wire.
func (e *Engine) attempts() map[uuid.UUID]bool {
	mine := map[uuid.UUID]bool{}
	for _, t := range e.conv {
		if t.busy != nil && t.busy.attempt != nil {
			mine[t.busy.attempt.ID] = true
		}
	}
	return mine
}

// load reads from the store off the engine's goroutine, and again with backoff until it
// succeeds or the work is over.
func (e *Engine) load(q Query, then func(*Work)) {
	read := func() {
		for n := 1; ; n++ {
			w, err := e.store.Load(e.reading, q)
			if err == nil {
				marks := e.marksOf(w)
				e.post(func() { e.marks.relearn(marks, e.marks.during); then(w) })
				return
			}
			e.cfg.Logger.Warn("store cannot be read", "err", err, "attempt", n)
			select {
			case <-e.reading.Done():
				return
			case <-time.After(min(journalRetryMost, journalRetryFirst<<min(n, 10))):
			}
		}
	}
	e.journal.group.Go(read)
}

// drained reports whether nothing that this process must finish is left.
func (e *Engine) drained() bool { return e.box.idle() && e.leftovers() == "" }

// leftovers names what is in flight. What a durable store holds may wait for the next
// process; what only memory holds may not. Doubts are left out: waiting does not end them.
func (e *Engine) leftovers() string {
	events, sends := e.running.Load(), int64(e.out.unanswered)
	if !e.traits.Durable {
		events, sends = e.tallies.held, int64(e.out.live-e.out.doubting)
	}
	pending := int64(e.journal.pending())
	if events+sends+pending == 0 {
		return ""
	}
	return fmt.Sprintf("%d events, %d sends, %d unwritten operations", events, sends, pending)
}

// fifo is a first-in first-out queue that reuses its memory.
type fifo[T any] struct {
	items []T
	head  int
}

func (q *fifo[T]) push(v T) { q.items = append(q.items, v) }
func (q *fifo[T]) len() int { return len(q.items) - q.head }
func (q *fifo[T]) peek() T  { return q.items[q.head] }

func (q *fifo[T]) pop() T {
	var zero T
	v := q.items[q.head]
	q.items[q.head] = zero
	q.head++
	switch {
	case q.head == len(q.items):
		q.items, q.head = q.items[:0], 0
	case q.head > 64 && q.head*2 > len(q.items):
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	return v
}
