package messaging

import (
	"context"
	"maps"
	"slices"
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

// consultSoon reads the message log in a moment, with every doubt that wants it by then.
func (e *Engine) consultSoon() {
	if !e.out.consulting {
		e.out.consulting = true
		e.alarms.add(e.now.Add(logGather), e.consult)
	}
}

// leftAt is when the attempt's frame may have left.
func (f *flight) leftAt() time.Time {
	if !f.wiredAt.IsZero() && f.wiredAt.After(f.attempt.ClaimedAt) {
		return f.wiredAt
	}
	return f.attempt.ClaimedAt
}

const (
	// logTimeout bounds one reading of the message log, and loadTimeout that of the journal
	// about one pair. logAgain is the pause before the log is asked again while it says
	// nothing; about a doubt that it should have settled, as long again as the doubt is old.
	logTimeout  = 2 * time.Minute
	loadTimeout = 30 * time.Second
	logAgain    = 15 * time.Second

	// logGather is how long doubts are gathered for one reading. The log has no filter for
	// numbers: to read it once for all of them costs what it costs for one, and the platform
	// bounds requests.
	logGather = 200 * time.Millisecond

	// logFresh, and the time that an answer may take, is how old an entry must be to be
	// foreign: until then the journal may not know yet that the send was accepted.
	logFresh = 5 * time.Second

	// logReach is how old a doubt may be for its absence from the log to prove anything:
	// nobody promises for how long entries are kept.
	logReach = 24 * time.Hour

	// logRest is how long the log is not asked after a doubtful attempt, whatever the
	// configured wait: so long that what the conversation sends afterwards cannot be taken
	// for that attempt, nor that attempt's entry for a later one.
	logRest = 3 * logSlack
)

// inquiry is what the message log is asked about one conversation.
type inquiry struct {
	pair    Conversation
	since   time.Time
	at      time.Time // when the log was read
	flights []*flight
	doubts  []attemptTime
	known   *Work
	entries []LogEntry
	err     error
}

// inquiries gathers the doubts of every conversation that has one that wants the log.
func (e *Engine) inquiries() []*inquiry {
	of := map[Conversation]*inquiry{}
	for _, f := range e.out.doubts {
		if pair := f.out.Conversation(); f.phase == phaseDoubt && f.asking && of[pair] == nil {
			of[pair] = &inquiry{pair: pair, since: e.now}
		}
	}
	for _, f := range e.out.doubts {
		q := of[f.out.Conversation()]
		if q == nil || f.phase != phaseDoubt {
			continue
		}
		at := attemptTime{id: f.attempt.ID, at: f.leftAt()}
		if f.wiredAt.IsZero() {
			at.spread = logLate
		}
		f.asking = true
		q.since = earlier(q.since, at.at.Add(-2*logSlack-logLate)) // with what may have been kept on its way
		q.flights, q.doubts = append(q.flights, f), append(q.doubts, at)
	}
	return slices.Collect(maps.Values(of))
}

// consult asks the message log about every doubt that wants it.
func (e *Engine) consult() {
	asked := e.inquiries()
	if len(asked) == 0 {
		e.out.consulting = false
		return
	}
	now := e.now
	e.journal.group.Go(func() {
		// The log is read first: what is accepted in between must not look foreign.
		e.readLog(asked)
		for _, q := range asked {
			if q.err == nil {
				q.known, q.err = e.knownOf(q, now)
			}
		}
		e.post(func() {
			e.out.consulting = false
			for _, q := range asked {
				e.consulted(q)
			}
			for _, f := range e.out.doubts {
				if f.phase == phaseDoubt && f.asking { // since the reading began
					e.consultSoon()
					break
				}
			}
		})
	})
}

// readLog reads the log once for all that is asked.
func (e *Engine) readLog(asked []*inquiry) {
	of := make(map[Conversation]*inquiry, len(asked))
	pairs := make([]Conversation, len(asked))
	since := asked[0].since
	for i, q := range asked {
		of[q.pair], pairs[i] = q, q.pair
		since = earlier(since, q.since)
	}
	ctx, cancel := context.WithTimeout(e.reading, logTimeout)
	defer cancel()
	began := time.Now()
	entries, err := e.cfg.Log.Outbound(ctx, pairs, since, time.Now().Add(logSlack))
	if err != nil && e.reading.Err() == nil {
		e.cfg.Logger.Warn("message log cannot be read; doubts wait for it", "err", err, "conversations", len(asked))
	}
	for _, q := range asked {
		q.at, q.err = began, err
	}
	for _, entry := range entries {
		if q := of[entry.Pair]; q != nil && !entry.CreatedAt.Before(q.since.Truncate(time.Second)) {
			q.entries = append(q.entries, entry)
		}
	}
}

// knownOf reads what the journal knows of a conversation. It has a time of its own, which a
// slow log cannot use up.
func (e *Engine) knownOf(q *inquiry, now time.Time) (*Work, error) {
	ctx, cancel := context.WithTimeout(e.reading, loadTimeout)
	defer cancel()
	w, err := e.store.Load(ctx, Query{Owner: e.cfg.Owner, Now: now, Accepted: true, Pair: q.pair, Since: q.since})
	if err != nil && e.reading.Err() == nil {
		e.cfg.Logger.Warn("journal cannot be read about a doubt; it waits", "err", err)
	}
	return w, err
}

// consulted acts on what the log said about a conversation.
func (e *Engine) consulted(q *inquiry) {
	settled := func(d attemptTime) bool { return !e.now.Before(d.at.Add(e.cfg.InDoubt.Settle)) }
	found := map[uuid.UUID]finding{}
	if q.err == nil {
		accepted := make([]attemptTime, len(q.known.Accepted))
		for i, a := range q.known.Accepted {
			accepted[i] = attemptTime{id: a.Attempt.ID, at: a.Attempt.ClaimedAt, messageID: a.MessageID}
		}
		found = reconcile(q.doubts, accepted, q.entries, settled, q.at.Add(-e.cfg.AnswerTimeout-logFresh))
	}
	for i, f := range q.flights {
		f.asking = false
		if f.phase != phaseDoubt {
			continue
		}
		log := e.cfg.Logger.With("context", f.out.Context, "send_id", f.out.ID)
		what := found[f.attempt.ID]
		if what == findAbsent && e.now.Sub(q.doubts[i].at) > logReach {
			what = findUndecidable // the log may not reach back so far
		}
		switch what {
		case findAccepted:
			log.Info("doubt settled: the message log shows the send")
			e.report(f, &Report{AttemptID: f.attempt.ID, Outcome: OutcomeAccepted, Status: StatusAccepted})
			e.resolve(f)
		case findAbsent:
			log.Info("doubt settled: the message log proves that the send was not accepted")
			f.phase = phaseClaimed
			e.out.doubting--
			e.report(f, &Report{AttemptID: f.attempt.ID, Outcome: OutcomeAbsent, Reason: "not in the message log", Status: StatusQueued})
		case findUndecidable, findNothing:
			age := e.now.Sub(q.doubts[i].at)
			switch {
			case !settled(q.doubts[i]): // the answer of a send of ours may explain an entry yet
				e.decideIn(f, logAgain)
			case e.cfg.InDoubt.Resend || age > logReach:
				log.Warn("doubt undecidable: other programs send on this pair, or the log cannot be read or is too old")
				e.applyPolicy(f)
			default: // held, and the log may settle it yet
				e.letGo(f)
				e.decideIn(f, max(logAgain, age))
			}
		}
	}
	if e.out.doubting > heldMost {
		e.forgetOldestDoubt()
	}
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
