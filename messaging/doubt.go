package messaging

import (
	"time"

	"github.com/google/uuid"
)

// heldMost bounds the doubts that stay in memory under the hold policy. Of more, the oldest
// is forgotten there: it goes on being a doubt in the journal, which nobody but an operator
// or a state event ends.
const heldMost = 10_000

// doubt records that an attempt may have left without an answer. The conversation's later
// sends wait until it is settled or released.
func (e *Engine) doubt(f *flight, why string) {
	o := &e.out
	o.vacate(f)
	f.phase, f.doubtAt = phaseDoubt, e.now
	o.doubting++
	o.mark(f)
	e.report(f, &Report{AttemptID: f.attempt.ID, Outcome: OutcomeInDoubt, Reason: why, Status: StatusInDoubt})
	e.observe(f, StatusInDoubt, why)
	e.cfg.Logger.Warn("send in doubt", "context", f.out.Context, "send_id", f.out.ID, "attempt", f.attempts, "reason", why)
	f.alarm.cancel()
	f.alarm = e.alarms.add(e.now.Add(e.cfg.InDoubt.Wait), func() { e.decide(f) })
}

// adopt takes over a doubt of a former process.
func (o *outbox) adopt(e *Engine, d *Doubt) {
	if o.doubts[d.Attempt.ID] != nil {
		return
	}
	s := d.Send
	f := &flight{
		out: &Outgoing{Send: s, Status: StatusInDoubt}, talk: e.talkFor(s.Conversation()),
		attempt: &d.Attempt, attempts: d.Attempt.Number, phase: phaseDoubt, doubtAt: d.Since,
	}
	e.own(f)
	o.live++
	o.doubting++
	o.mark(f)
	if f.talk.busy == nil {
		f.talk.busy = f
	}
	if o.doubting > heldMost {
		e.forgetOldestDoubt()
	}
	if d.Outcome == OutcomeOpen {
		e.report(f, &Report{AttemptID: d.Attempt.ID, Outcome: OutcomeInDoubt, Reason: "the process ended before the answer came", Status: StatusInDoubt})
	}
	f.alarm = e.alarms.add(later(e.now, d.Since.Add(e.cfg.InDoubt.Wait)), func() { e.decide(f) })
}

// decide ends a doubt that no state has settled: by the message log, else by the policy.
func (e *Engine) decide(f *flight) {
	if f.phase != phaseDoubt || f.asking {
		return
	}
	if e.cfg.Log == nil {
		e.applyPolicy(f)
		return
	}
	if at := f.leftAt().Add(logRest); e.now.Before(at) {
		f.alarm.cancel()
		f.alarm = e.alarms.add(at, func() { e.decide(f) })
		return
	}
	f.asking = true
	e.consultSoon()
}

// leftAt is when the attempt's frame may have left.
func (f *flight) leftAt() time.Time {
	if !f.wiredAt.IsZero() && f.wiredAt.After(f.attempt.ClaimedAt) {
		return f.wiredAt
	}
	return f.attempt.ClaimedAt
}

// decideIn comes back to a doubt after a while, and when its hold on the conversation ends.
func (e *Engine) decideIn(f *flight, wait time.Duration) {
	if release := f.doubtAt.Add(e.cfg.InDoubt.Release).Sub(e.now); release > 0 && f.talk.busy == f {
		wait = min(wait, release)
	}
	f.alarm.cancel()
	f.alarm = e.alarms.add(e.now.Add(wait), func() { e.decide(f) })
}

// letGo lets the conversation of a held doubt go on, once its time has come.
func (e *Engine) letGo(f *flight) {
	if f.phase == phaseDoubt && f.talk.busy == f && !e.now.Before(f.doubtAt.Add(e.cfg.InDoubt.Release)) {
		f.talk.busy = nil
		e.out.want(f.talk)
		e.forget(f.talk)
	}
}

// applyPolicy ends a doubt, or its hold on the conversation, as the operator wants it.
func (e *Engine) applyPolicy(f *flight) {
	if e.cfg.InDoubt.Resend {
		// The attempt stays in doubt; the send is queued again and passes the gate as a
		// new attempt. A state that still comes for the old one ends it (see merged).
		e.cfg.Metrics.resent.Inc()
		f.phase = phaseClaimed
		e.out.doubting--
		e.report(f, &Report{AttemptID: f.attempt.ID, Outcome: OutcomeInDoubt, Reason: "sent again by policy", Status: StatusQueued})
		return
	}
	f.alarm.cancel()
	f.alarm = e.alarms.add(later(e.now, f.doubtAt.Add(e.cfg.InDoubt.Release)), func() {
		e.letGo(f)
		e.askAgain(f)
	})
	if e.out.doubting > heldMost {
		e.forgetOldestDoubt()
	}
}

// askAgainEvery is how often a shared store is asked about a doubt that is held: another
// instance may have received the state that ends it.
const askAgainEvery = time.Minute

func (e *Engine) askAgain(f *flight) {
	if !e.traits.Shared || f.phase != phaseDoubt {
		return
	}
	e.report(f, &Report{AttemptID: f.attempt.ID, Outcome: OutcomeInDoubt, Reason: "held", Status: StatusInDoubt})
	f.alarm.cancel()
	f.alarm = e.alarms.add(e.now.Add(askAgainEvery), func() { e.askAgain(f) })
}

func (e *Engine) forgetOldestDoubt() {
	var oldest *flight
	for _, f := range e.out.doubts {
		if f.phase == phaseDoubt && (oldest == nil || f.doubtAt.Before(oldest.doubtAt)) {
			oldest = f
		}
	}
	if oldest == nil {
		return
	}
	e.disown(oldest)
	e.unmark(oldest)
	oldest.phase = phaseDone
	oldest.alarm.cancel()
	e.out.live--
	e.out.forgotten++
	e.out.clear(e, oldest)
}

// resolve ends a doubt: the platform took the send.
func (e *Engine) resolve(f *flight) {
	e.out.finish(e, f, StatusAccepted, "")
}

// mark puts the current attempt of a send among the doubts. It stays there until the send
// is done, even while a further attempt replaces it.
func (o *outbox) mark(f *flight) {
	o.doubts[f.attempt.ID] = f
	f.marked = append(f.marked, f.attempt.ID)
}

// unmark takes a send out of the doubts.
func (e *Engine) unmark(f *flight) {
	if f.phase == phaseDoubt {
		e.out.doubting--
	}
	for _, id := range f.marked {
		delete(e.out.doubts, id)
	}
	f.marked = nil
}

// merged acts on what a state event meant for a send.
func (e *Engine) merged(m *Merge, ev *Event) {
	if m.Conflict {
		e.cfg.Logger.Warn("a second, different last state was ignored", "send_id", m.Ref.ID, "state", ev.State)
	}
	if m.Advanced {
		e.observeID(m.Ref.ID, m.Ref.InReplyTo, m.Status, ev.Reason)
	}
	e.told(m.Ref.Attempt)
}

// told ends the doubt about an attempt that a state speaks of, perhaps one that is being
// replaced: it was accepted, whatever this process was about to do.
func (e *Engine) told(attempt uuid.UUID) {
	if f := e.out.doubts[attempt]; f != nil && f.phase != phaseDone {
		e.resolve(f)
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
