package messaging

import (
	"context"
	"errors"
	"slices"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/relay"
)

// phase is where a send stands in this process.
type phase uint8

const (
	phaseQueued   phase = iota // due; waits in its conversation
	phaseDeferred              // an alarm brings it back
	phaseClaimed               // its attempt is being committed
	phaseWired                 // handed to the wire, no answer yet
	phaseDoubt                 // may have left; no answer came
	phaseDone
)

// flight is a send while this process is concerned with it.
type flight struct {
	out      *Outgoing
	talk     *talk
	tally    *tally
	attempt  *Attempt
	attempts int
	unsent   int         // times that the wire did not take it
	refusals int         // temporary ones; they set the pace of further attempts
	marked   []uuid.UUID // attempts of it among the doubts
	phase    phase
	counted  bool      // its inbound was counted as open, and ends with it
	slot     bool      // it holds one of the outbox's slots
	takenAt  time.Time // when the gate said go; zero if nothing of that is to be given back
	wiredAt  time.Time
	doubtAt  time.Time
	asking   bool // the message log is to be asked about it, or is being asked
	alarm    *alarm
	queued   bool // it is in backlog.queued
}

func (f *flight) bulk() bool { return f.out.Priority == PriorityBulk }

// tally is an inbound that waits for what became of its replies.
type tally struct {
	open    int
	decided bool
}

// counts are the terms of the accounting identity; see Status.
type counts struct {
	received, duplicates                                 int64
	answered, nothing, suppressed, expired, failed, dead int64
	waiting                                              int64 // inbounds without a final fate
	open                                                 int64 // inbounds whose replies are under way
	held                                                 int64 // events in memory without a fate
}

// outbox decides which send may leave next. Its fields belong to the engine's goroutine.
type outbox struct {
	backlog
	unanswered, bulk int
	live             int // flights that are not done
	waiting          [PriorityBulk + 1]fifo[*talk]
	timeouts         fifo[timeout]
	doubts           map[uuid.UUID]*flight // by attempt
	doubting         int                   // flights in phaseDoubt
	forgotten        int                   // doubts that the journal alone knows
	consulting       bool                  // the message log is being read, or about to be
}

type timeout struct {
	f       *flight
	attempt *Attempt
	at      time.Time
}

// answered is an answer of the wire on its way to the engine.
type answered struct {
	f         *flight
	attempt   *Attempt
	messageID string
	err       error
}

// newFlight asks the gate about a new send and claims it at once if it may leave.
func (o *outbox) newFlight(e *Engine, out *Outgoing, tl *tally) *flight {
	f := &flight{out: out, tally: tl, talk: e.talkFor(out.Conversation())}
	out.Status = StatusQueued
	v := e.gate.ask(e.now, &out.Send)
	switch {
	case !v.Go():
		out.Status, out.Reason = v.Status, v.text()
		if v.Status == StatusQueued {
			out.NotBefore = v.Until
		}
	case e.mayWrite() && o.passes(out.Priority) && f.talk.busy == nil && len(f.talk.sends) == 0 && f.talk.coming == 0 && o.room(e, f):
		o.open(e, f)
		out.Attempt, out.Status = f.attempt, StatusSending
		return f
	default: // its turn comes later, and so does the gate's word
		release(e.gate.rules, e.now, &out.Send)
	}
	f.talk.coming++
	return f
}

// room reports whether f may take a slot without overtaking anybody who waits for one.
func (o *outbox) room(e *Engine, f *flight) bool {
	if o.unanswered >= e.cfg.MaxUnanswered || f.bulk() && o.bulk >= e.cfg.MaxBulk {
		return false
	}
	for p := range o.waiting[:f.out.Priority+1] {
		if o.waiting[p].len() > 0 {
			return false
		}
	}
	return true
}

// open gives f, which the gate has just let go, its next attempt and a slot.
func (o *outbox) open(e *Engine, f *flight) {
	f.attempts++
	f.takenAt = e.now
	f.attempt = &Attempt{ID: newID(), SendID: f.out.ID, Number: f.attempts, ClaimedAt: e.now}
	f.phase, f.slot = phaseClaimed, true
	f.talk.busy = f
	o.unanswered++
	if f.bulk() {
		o.bulk++
	}
}

// vacate gives f's slot back.
func (o *outbox) vacate(f *flight) {
	if !f.slot {
		return
	}
	f.slot = false
	o.unanswered--
	if f.bulk() {
		o.bulk--
	}
}

// release gives back what the gate's rules took for an attempt that does not leave.
func (f *flight) release(g *gate) {
	if !f.takenAt.IsZero() {
		release(g.rules, f.takenAt, &f.out.Send)
		f.takenAt = time.Time{}
	}
}

// discard forgets sends that were decided and never stored.
func (o *outbox) discard(e *Engine, fs []*flight) {
	for _, f := range fs {
		o.vacate(f)
		f.release(&e.gate)
		f.phase = phaseDone
		if f.talk.busy == f {
			f.talk.busy = nil
		}
		if f.attempt == nil {
			f.talk.coming--
		}
		o.want(f.talk)
		e.forget(f.talk)
	}
}

// committed follows the insertion of a send.
func (o *outbox) committed(e *Engine, f *flight) {
	o.live++
	if f.attempt == nil {
		f.talk.coming--
	}
	switch {
	case f.out.Unheld: // another instance owns the conversation, and finds it there
		e.disown(f)
		o.clear(e, f)
		f.phase = phaseDone
		o.live--
	case !f.out.Inserted:
		// The journal has a send with this key: whatever it is doing, this one ends.
		o.finish(e, f, StatusCancelled, "duplicate_key")
	case f.out.Attempt != nil:
		o.wire(e, f)
	case f.out.Status == StatusQueued:
		o.overruled(e, f)
		o.line(e, f)
	default:
		f.release(&e.gate)
		o.finish(e, f, f.out.Status, f.out.Reason)
	}
}

// overruled takes back the attempt that a shared store did not open.
func (o *outbox) overruled(e *Engine, f *flight) {
	if f.attempt == nil || f.talk.busy != f {
		return
	}
	f.attempt = nil
	o.vacate(f)
	f.release(&e.gate)
	f.talk.busy = nil
	o.want(f.talk)
}

// enqueue takes a queued send that is in the store already. Its inbound is accounted for
// here from now on, if that is wanted.
func (o *outbox) enqueue(e *Engine, out *Outgoing, account bool) {
	f := &flight{out: out, talk: e.talkFor(out.Conversation())}
	if a := out.Attempt; a != nil {
		out.Attempt = nil // a former one
		f.attempts, f.refusals = a.Number, a.Number
	}
	if account {
		e.own(f)
	}
	o.live++
	o.place(e, f)
}

// line puts a queued send in its place, or leaves it in the store.
func (o *outbox) line(e *Engine, f *flight) {
	if !o.leave(e, f) {
		o.place(e, f)
	}
}

// place puts a queued send behind everything of the same or a higher priority, or aside
// until it is due.
func (o *outbox) place(e *Engine, f *flight) {
	o.keep(f)
	if f.out.NotBefore.After(e.now) {
		f.phase = phaseDeferred
		f.alarm = e.alarms.add(f.out.NotBefore, func() { o.place(e, f) })
		e.forget(f.talk)
		return
	}
	f.phase = phaseQueued
	f.talk = e.talkFor(f.out.Conversation())
	t := f.talk
	i := len(t.sends)
	for i > 0 && t.sends[i-1].out.Priority > f.out.Priority {
		i--
	}
	t.sends = slices.Insert(t.sends, i, f)
	o.want(t)
}

// first puts a send back in front of its equals: it was there before them.
func (o *outbox) first(e *Engine, f *flight) {
	o.keep(f)
	f.phase = phaseQueued
	f.talk = e.talkFor(f.out.Conversation())
	t := f.talk
	i := 0
	for i < len(t.sends) && t.sends[i].out.Priority < f.out.Priority {
		i++
	}
	t.sends = slices.Insert(t.sends, i, f)
	o.want(t)
}

// want lists a conversation for the next free slot, under the priority of its first send.
// A place in a lower list goes stale and is skipped when its turn comes.
func (o *outbox) want(t *talk) {
	if t.busy != nil || len(t.sends) == 0 {
		return
	}
	p := t.sends[0].out.Priority
	if t.wanted == p {
		return
	}
	t.wanted = p
	o.waiting[p].push(t)
}

// pump claims sends while there are slots, higher priorities first.
func (e *Engine) pump() {
	o := &e.out
	if !e.mayWrite() {
		return
	}
	for p := range o.waiting {
		q := &o.waiting[p]
		for q.len() > 0 && o.unanswered < e.cfg.MaxUnanswered && (Priority(p) != PriorityBulk || o.bulk < e.cfg.MaxBulk) {
			t := q.pop()
			if t.wanted != Priority(p) {
				continue
			}
			t.wanted = 0
			e.claimNext(t)
		}
	}
}

// claimNext asks the gate about the first send of a conversation and writes what it says.
func (e *Engine) claimNext(t *talk) {
	o := &e.out
	if t.busy != nil || len(t.sends) == 0 {
		return
	}
	f := t.sends[0]
	t.sends = slices.Delete(t.sends, 0, 1)
	c := &Claim{SendID: f.out.ID}
	v := e.gate.ask(e.now, &f.out.Send)
	if v.Go() {
		o.open(e, f)
		c.Attempt, c.Status = f.attempt, StatusSending
	} else {
		f.phase = phaseClaimed
		c.Status, c.Reason, c.NotBefore = v.Status, v.text(), v.Until
	}
	e.journal.claim(&claiming{Claim: c, flight: f})
	o.want(t)
}

// claimed follows the commit of a claim.
func (e *Engine) claimed(c *claiming) {
	o, f := &e.out, c.flight
	if c.reply != nil {
		var err error
		if !c.Granted {
			err = ErrTooLate
		}
		c.reply(err)
	}
	if f == nil {
		return
	}
	switch {
	case f.phase == phaseDone: // a state settled it meanwhile
		o.clear(e, f)
		f.release(&e.gate)
		if c.Granted && c.Attempt != nil {
			e.report(f, &Report{AttemptID: c.Attempt.ID, Outcome: OutcomeNotSent, Status: StatusAccepted})
		}
	case !c.Granted: // something else has been done with it, and is accounted for there
		e.disown(f)
		f.release(&e.gate)
		o.finish(e, f, StatusCancelled, "taken")
	case c.Attempt != nil:
		o.wire(e, f)
	case c.Status == StatusQueued:
		o.overruled(e, f)
		f.out.NotBefore = c.NotBefore
		o.line(e, f)
	default:
		f.release(&e.gate)
		o.finish(e, f, c.Status, c.Reason)
	}
}

const (
	// notSentPause is doubled for each further time that the wire does not take a send
	// although the session is said to be ready.
	notSentPause = 5 * time.Millisecond

	// verdictGood is how long the gate's word holds; an opt-out may come meanwhile.
	verdictGood = 250 * time.Millisecond
)

// wire puts the claimed attempt on the wire.
func (o *outbox) wire(e *Engine, f *flight) {
	a := f.attempt
	may := e.standing.verdict(e.now, &f.out.Send).Go()
	if may && e.now.Sub(a.ClaimedAt) > verdictGood {
		f.release(&e.gate)
		if may = e.gate.ask(e.now, &f.out.Send).Go(); may {
			f.takenAt = e.now
		}
	}
	switch {
	case !may || !e.mayLead():
		o.unclaim(e, f)
	case e.traits.Shared && e.now.Sub(e.journal.began) > verdictGood:
		e.lookAgain(f)
	default:
		o.pass(e, f)
	}
}

// unclaim puts back a claimed send whose commit took so long that the gate's word or the
// lease does not hold any more.
func (o *outbox) unclaim(e *Engine, f *flight) {
	o.vacate(f)
	f.release(&e.gate)
	f.phase = phaseClaimed
	e.report(f, &Report{AttemptID: f.attempt.ID, Outcome: OutcomeNotSent, Status: StatusQueued})
}

// lookAgain asks a shared ledger about a recipient once more, since the answer that came with
// the claim is too old.
func (e *Engine) lookAgain(f *flight) {
	ledger, ok := e.store.(ConsentLedger)
	if !ok {
		e.out.unclaim(e, f)
		return
	}
	f.phase = phaseClaimed
	attempt, began, to := f.attempt.ID, e.now, f.out.To
	e.journal.group.Go(func() {
		ctx, cancel := context.WithTimeout(e.reading, time.Second)
		defer cancel()
		states, err := ledger.ConsentOf(ctx, to)
		e.post(func() {
			if f.phase != phaseClaimed || f.attempt.ID != attempt {
				return
			}
			fresh := err == nil && e.now.Sub(began) <= verdictGood
			if fresh && ConsentVerdict(e.now, &f.out.Send, states...).Go() && e.standing.verdict(e.now, &f.out.Send).Go() && e.mayLead() {
				e.out.pass(e, f)
			} else {
				e.out.unclaim(e, f)
			}
		})
	})
}

// pass lets the gate hand the claimed attempt to the wire.
func (o *outbox) pass(e *Engine, f *flight) {
	a := f.attempt
	o.unqueue(f)
	f.phase, f.wiredAt = phaseWired, e.now
	e.observe(f, StatusSending, "")
	o.timeouts.push(timeout{f: f, attempt: a, at: e.now.Add(e.cfg.AnswerTimeout)})
	e.gate.pass(&f.out.Send, a, func(ans relay.Answer) {
		got := answered{f: f, attempt: a, err: ans.Err}
		if ans.Err == nil {
			got.messageID = messageID(ans.Result)
		}
		e.box.mu.Lock()
		e.box.answers = append(e.box.answers, got)
		e.ring()
		e.box.mu.Unlock()
	})
}

// messageID reads the platform's id from the result of messaging.send.
func messageID(result []byte) string {
	var r struct {
		MessageID string `json:"message_id"`
	}
	if err := jsonv2.Unmarshal(result, &r, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)); err != nil {
		return ""
	}
	return r.MessageID
}

// nextTimeout is when the oldest unanswered send becomes a doubt.
func (o *outbox) nextTimeout() time.Time {
	for o.timeouts.len() > 0 {
		t := o.timeouts.peek()
		if t.f.phase == phaseWired && t.f.attempt == t.attempt {
			return t.at
		}
		o.timeouts.pop()
	}
	return time.Time{}
}

// expire turns what has gone unanswered for too long into doubts.
func (o *outbox) expire(e *Engine) {
	for {
		at := o.nextTimeout()
		if at.IsZero() || at.After(e.now) {
			return
		}
		t := o.timeouts.pop()
		e.link.Probe()
		e.doubt(t.f, "no answer in time")
	}
}

// answered acts on an answer of the wire.
func (e *Engine) answered(a *answered) {
	o, f := &e.out, a.f
	current := f.attempt == a.attempt && f.phase == phaseWired
	switch {
	case a.err == nil:
		e.report(f, &Report{AttemptID: a.attempt.ID, Outcome: OutcomeAccepted, MessageID: a.messageID, Status: StatusAccepted})
		if current {
			o.finish(e, f, StatusAccepted, "")
		} else if f.phase != phaseDone {
			e.resolve(f) // the answer of an attempt that was in doubt
		}
	case !current:
		// A late no, or the end of a session, for an attempt that is a doubt already. A no
		// is proof enough.
		var no *relay.Error
		if errors.As(a.err, &no) && f.attempt == a.attempt && f.phase == phaseDoubt {
			e.refused(f, a.attempt, a.err)
		}
	case errors.Is(a.err, relay.ErrNotSent):
		o.vacate(f)
		f.release(&e.gate)
		f.phase = phaseClaimed // until the report is committed
		e.report(f, &Report{AttemptID: a.attempt.ID, Outcome: OutcomeNotSent, Status: StatusQueued})
	case errors.Is(a.err, relay.ErrInDoubt):
		e.doubt(f, "the connection was lost before the answer came")
	default:
		e.refused(f, a.attempt, a.err)
	}
}

// refused acts on the platform's no.
func (e *Engine) refused(f *flight, a *Attempt, err error) {
	o := &e.out
	c, code := classify(err)
	var no *relay.Error
	text := "refused"
	if errors.As(err, &no) {
		text = publicText(errors.New(no.Message))
	}
	r := &Report{AttemptID: a.ID, Outcome: OutcomeRejected, Code: code, Reason: text, Status: StatusFailed}
	e.unmark(f)
	f.alarm.cancel() // of the doubt, if it was one
	o.vacate(f)
	// The platform's words stay out of the log: they may quote the number or the text.
	log := e.cfg.Logger.With("context", f.out.Context, "send_id", f.out.ID, "code", code, "reason_len", len(text))
	if saysOptedOut(code, text) {
		c := e.platformStop(f.out.To, nil, code)
		e.standing.begin(c.Number, c.Verb)
		e.journal.consent(&consenting{ConsentChange: c, reply: func(error) { e.standing.end(c.Number, c.Verb) }})
	}
	if c == classLater || c == classThrottle {
		f.refusals++
		at := e.now.Add(backoffFor(f.refusals))
		if f.out.ExpiresAt.IsZero() || at.Before(f.out.ExpiresAt) {
			r.Status, r.NotBefore = StatusQueued, at
			f.phase = phaseClaimed
			f.out.NotBefore = at
			log.Warn("send refused for now", "attempt", f.attempts)
			e.report(f, r)
			return
		}
		r.Status = StatusExpired
	}
	if c == classCredentials {
		log.Error("the project may not send; check the token's scopes and the number's owner")
	} else {
		log.Warn("send refused")
	}
	e.report(f, r)
	o.finish(e, f, r.Status, text)
}

// report writes an outcome with the next commit.
func (e *Engine) report(f *flight, r *Report) {
	r.SendID = f.out.ID
	e.journal.report(&reporting{Report: r, flight: f})
}

// reported follows the commit of an outcome: the journal may know better, from states that
// overtook it.
func (e *Engine) reported(r *reporting) {
	o, f := &e.out, r.flight
	if r.reply != nil {
		r.reply(nil)
	}
	if r.Merge != nil && r.Merge.Advanced && r.Outcome == OutcomeAccepted && r.Merge.Status != StatusAccepted {
		e.observeID(f.out.ID, f.out.InReplyTo, r.Merge.Status, "")
	}
	if f.phase == phaseDone || f.attempt == nil || f.attempt.ID != r.AttemptID {
		return
	}
	if r.Merge != nil && r.Merge.Outcome == OutcomeAccepted {
		e.resolve(f)
		return
	}
	switch {
	case f.phase == phaseClaimed && r.Status == StatusQueued:
		if r.Outcome == OutcomeNotSent {
			if f.unsent++; f.unsent > 1 { // the wire takes nothing although it says it is ready
				f.phase = phaseDeferred // it goes on holding its conversation
				f.alarm = e.alarms.add(e.now.Add(min(notSentPause<<min(f.unsent, 10), time.Second)), func() {
					if f.talk.busy == f {
						f.talk.busy = nil
					}
					o.first(e, f)
				})
				return
			}
		}
		if f.talk.busy == f {
			f.talk.busy = nil
		}
		if r.Outcome == OutcomeRejected {
			t := f.talk
			o.line(e, f)
			o.want(t)
			e.forget(t)
		} else {
			o.first(e, f)
		}
	}
}

// clear takes a finished send out of its conversation's way.
func (o *outbox) clear(e *Engine, f *flight) {
	o.vacate(f)
	t := f.talk
	if t.busy == f {
		t.busy = nil
	}
	o.take(f)
	o.want(t)
	e.forget(t)
}

// take takes a send out of its conversation's queue.
func (o *outbox) take(f *flight) {
	if i := slices.Index(f.talk.sends, f); i >= 0 {
		f.talk.sends = slices.Delete(f.talk.sends, i, i+1)
	}
}

// finish ends a send's life in this process and counts its inbound.
func (o *outbox) finish(e *Engine, f *flight, s Status, reason string) {
	o.clear(e, f)
	if f.phase == phaseDone {
		return
	}
	e.unmark(f)
	o.unqueue(f)
	f.phase = phaseDone
	f.alarm.cancel()
	o.live--
	e.observe(f, s, reason)
	e.cfg.Metrics.sends.WithLabelValues(e.cfg.Metrics.of(f.out.Context).name, string(s)).Inc()
	if s == StatusAccepted {
		e.cfg.Metrics.accepted(&f.out.Send)
	}
	if s == StatusSuppressed {
		e.cfg.Metrics.suppressed.WithLabelValues(reasonLabel(reason)).Inc()
	}
	tl := f.tally
	if tl == nil || !f.counted {
		return
	}
	tl.open--
	if tl.decided || !s.Accepted() && tl.open > 0 {
		return
	}
	tl.decided = true
	c := &e.tallies
	c.open--
	switch {
	case s.Accepted():
		c.answered++
	case s == StatusSuppressed || s == StatusCancelled:
		c.suppressed++
	case s == StatusExpired:
		c.expired++
	default:
		c.failed++
	}
}

func (e *Engine) observe(f *flight, s Status, reason string) {
	e.observeID(f.out.ID, f.out.InReplyTo, s, reason)
}

func (e *Engine) observeID(id uuid.UUID, inReplyTo string, s Status, reason string) {
	if e.debug {
		e.cfg.Logger.Debug("send", "send_id", id, "event_id", inReplyTo, "status", string(s))
	}
	if e.traced {
		e.cfg.Trace(Trace{Send: &SendTrace{ID: id, InReplyTo: inReplyTo, Status: s, Reason: reason}})
	}
}
