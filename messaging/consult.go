package messaging

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
)

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

// consultSoon reads the message log in a moment, with every doubt that wants it by then.
func (e *Engine) consultSoon() {
	if !e.out.consulting {
		e.out.consulting = true
		e.alarms.add(e.now.Add(logGather), e.consult)
	}
}

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
