package messaging

import "time"

// heldMost bounds the doubts that stay in memory under the hold policy. The oldest one is
// forgotten there first; the journal keeps its row.
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
	f.alarm = e.alarms.add(e.now.Add(e.cfg.InDoubt.Wait), func() { e.decide(f) })
}

// adopt takes over a doubt of a former process.
func (o *outbox) adopt(e *Engine, d *Doubt) {
	s := d.Send
	f := &flight{
		out: &Outgoing{Send: s, Status: StatusInDoubt}, talk: e.talkFor(s.Conversation()),
		attempt: &d.Attempt, attempts: d.Attempt.Number, phase: phaseDoubt, doubtAt: d.Since,
	}
	o.live++
	o.doubting++
	o.mark(f)
	if f.talk.busy == nil {
		f.talk.busy = f
	}
	if d.Outcome == OutcomeOpen {
		e.report(f, &Report{AttemptID: d.Attempt.ID, Outcome: OutcomeInDoubt, Reason: "the process ended before the answer came", Status: StatusInDoubt})
	}
	f.alarm = e.alarms.add(later(e.now, d.Since.Add(e.cfg.InDoubt.Wait)), func() { e.decide(f) })
}

// decide applies the operator's policy to a doubt that nothing has settled.
func (e *Engine) decide(f *flight) {
	if f.phase != phaseDoubt {
		return
	}
	if e.cfg.InDoubt.Resend {
		// The attempt stays in doubt; the send is queued again and passes the gate as a
		// new attempt. A state that still comes for the old one ends it (see merged).
		e.cfg.Metrics.resent.Inc()
		f.phase = phaseClaimed
		e.out.doubting--
		e.report(f, &Report{AttemptID: f.attempt.ID, Outcome: OutcomeInDoubt, Reason: "sent again by policy", Status: StatusQueued})
		return
	}
	f.alarm = e.alarms.add(later(e.now, f.doubtAt.Add(e.cfg.InDoubt.Release)), func() {
		if f.phase == phaseDoubt && f.talk.busy == f {
			f.talk.busy = nil
			e.out.want(f.talk)
			e.forget(f.talk)
		}
	})
	if e.out.doubting > heldMost {
		e.forgetOldestDoubt()
	}
}

func (e *Engine) forgetOldestDoubt() {
	var oldest *flight
	for _, f := range e.out.doubts {
		if f.phase == phaseDoubt && (oldest == nil || f.doubtAt.Before(oldest.doubtAt)) {
			oldest = f
		}
	}
	if oldest != nil {
		e.out.finish(e, oldest, StatusUnknown, "in doubt for too long")
	}
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
	if f := e.out.doubts[m.Ref.Attempt]; f != nil && f.phase != phaseDone {
		// The state carries the tag of an attempt in doubt, perhaps one that is being
		// replaced: it was accepted, whatever this process was about to do.
		e.resolve(f)
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
