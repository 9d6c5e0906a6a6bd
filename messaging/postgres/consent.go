package postgres

import (
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/signpost-sms/signpost/messaging"
)

// What opens attempts and what changes consent is in one order over all instances: a commit
// that does the former takes one lock shared before it asks the ledger, one that does the
// latter takes it alone before it reads the ledger's end, and both keep it until they have
// committed. So an attempt is either seen by the stop that it crosses or sees it, and the
// lines of the ledger become visible in their order. It is the first lock of a transaction:
// who waits for it holds nothing.
const (
	consentLock   = `(hashtext('signpost consent ' || current_schema()))`
	shareConsents = `SELECT pg_advisory_xact_lock_shared` + consentLock
	lockConsents  = `SELECT pg_advisory_xact_lock` + consentLock

	standColumns = `number, scope, opted_out, review, since, seq`
	readStands   = `SELECT ` + standColumns + ` FROM consents WHERE number = ANY($1::text[] || ARRAY(SELECT to_number FROM sends WHERE id = ANY($2)))`
	readHead     = `SELECT seq, hash FROM ledger ORDER BY seq DESC LIMIT 1`
	// The attempts under way that others have claimed: a conversation is theirs as long as
	// they live and it has any. OFFSET 0 keeps the planner from beginning at all that is
	// unfinished.
	readCrossing = `SELECT c.theirs, a.id FROM conversations c CROSS JOIN LATERAL (SELECT a.id FROM sends s
			JOIN attempts a ON a.id = s.attempt_id AND a.outcome = 1 WHERE s.conversation = c.id AND s.status IN (1, 2, 3) OFFSET 0) a
		WHERE c.theirs = ANY($1) AND c.owner <> $2 ORDER BY a.id`

	insertLines = `INSERT INTO ledger (seq, at, number, scope, verb, origin, event_id, ours, context, sent_at, received_at, tier, word, rule, actor, note,
			crossing, changed, opted_out, review, since, prev, hash)
		SELECT u.seq, $2, u.number, u.scope, u.verb, u.origin, u.event_id, u.ours, u.context, u.sent_at, u.received_at, u.tier, u.word, u.rule, u.actor, u.note,
			u.crossing::uuid[], u.changed, u.opted_out, u.review, u.since, u.prev, u.hash
		FROM unnest($1::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::bigint[], $11::bigint[],
			$12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[], $18::bool[], $19::bool[], $20::bool[], $21::bigint[], $22::bytea[],
			$23::bytea[])
			AS u(seq, number, scope, verb, origin, event_id, ours, context, sent_at, received_at, tier, word, rule, actor, note, crossing, changed, opted_out,
				review, since, prev, hash)`
	saveStands = `INSERT INTO consents (` + standColumns + `)
		SELECT * FROM unnest($1::text[], $2::text[], $3::bool[], $4::bool[], $5::bigint[], $6::bigint[])
		ON CONFLICT (number, scope) DO UPDATE SET opted_out = EXCLUDED.opted_out, review = EXCLUDED.review, since = EXCLUDED.since, seq = EXCLUDED.seq`
)

// consent notes whose consent the batch changes or asks for.
func (c *concerns) consent(b *messaging.Batch) {
	b.EachConsent(func(x *messaging.ConsentChange) {
		c.changed = append(c.changed, string(x.Number))
		if x.Verb == messaging.ConsentStop {
			c.stopped = append(c.stopped, string(x.Number))
		}
	})
	eachSend(b, func(out *messaging.Outgoing) {
		if out.Attempt != nil {
			c.recipients = append(c.recipients, string(out.To))
		}
	})
	for _, cl := range b.Claims {
		if cl.Attempt != nil {
			c.claims = append(c.claims, cl.SendID)
		}
	}
}

// lockConsent queues the lock of the order of claims and changes, if the batch has either.
func (c *concerns) lockConsent(q *pgx.Batch) {
	switch {
	case len(c.changed) > 0:
		q.Queue(lockConsents)
	case len(c.recipients)+len(c.claims) > 0:
		q.Queue(shareConsents)
	}
}

// readConsent queues the reading of what the ledger says, under its lock.
func (w *working) readConsent(q *pgx.Batch, c *concerns) {
	if len(c.changed)+len(c.recipients)+len(c.claims) == 0 {
		return
	}
	people := slices.Concat(c.changed, c.recipients)
	slices.Sort(people)
	q.Queue(readStands, slices.Compact(people), c.claims).Query(func(rows pgx.Rows) error {
		return scanStands(rows, func(st messaging.ConsentState) { w.stands[st.Number] = append(w.stands[st.Number], st) })
	})
	if len(c.changed) == 0 {
		return
	}
	q.Queue(readHead).Query(func(rows pgx.Rows) error {
		var hash []byte
		_, err := pgx.ForEachRow(rows, []any{&w.head.Seq, &hash}, func() error {
			copy(w.head.Hash[:], hash)
			return nil
		})
		return err
	})
	if len(c.stopped) == 0 {
		return
	}
	q.Queue(readCrossing, c.stopped, w.batch.Owner).Query(func(rows pgx.Rows) error {
		var n messaging.Number
		var id uuid.UUID
		_, err := pgx.ForEachRow(rows, []any{&n, &id}, func() error {
			w.crossing[n] = append(w.crossing[n], id)
			return nil
		})
		return err
	})
}

// scanStands reads rows of standColumns.
func scanStands(rows pgx.Rows, f func(messaging.ConsentState)) error {
	var st messaging.ConsentState
	var since *int64
	_, err := pgx.ForEachRow(rows, []any{&st.Number, &st.Scope, &st.OptedOut, &st.Review, &since, &st.Seq}, func() error {
		st.Since = timeOf(since)
		f(st)
		return nil
	})
	return err
}

// changeAll applies changes and reports whether the sends that come with them go out: there
// are none, or one of them changed something or says that it does not matter.
func (w *working) changeAll(cs []*messaging.ConsentChange) bool {
	sends := len(cs) == 0
	for _, c := range cs {
		w.change(c)
		sends = sends || c.Changed || c.Again
	}
	return sends
}

// change adds a line to the ledger and fills the results of c.
func (w *working) change(c *messaging.ConsentChange) {
	st := w.stand(c.Number, c.Scope)
	next := st.After(c.Verb, w.now)
	next.Seq = w.head.Seq + 1
	c.Changed = next.OptedOut != st.OptedOut || next.Review != st.Review
	*st, c.State = next, next
	if c.Verb == messaging.ConsentStop {
		w.cross(c)
	}
	e := messaging.ConsentEntry{Seq: next.Seq, At: w.now, ConsentChange: *c, Prev: w.head.Hash}
	e.Hash = e.Sum()
	w.lines = append(w.lines, e)
	w.head = e
}

// stand is where a number stands in a scope.
func (w *working) stand(n messaging.Number, scope messaging.Scope) *messaging.ConsentState {
	of := w.stands[n]
	i := slices.IndexFunc(of, func(st messaging.ConsentState) bool { return st.Scope == scope })
	if i < 0 {
		i, of = len(of), append(of, messaging.ConsentState{Number: n, Scope: scope})
		w.stands[n] = of
	}
	return &of[i]
}

// cross adds to a change the attempts of other instances that it crosses.
func (w *working) cross(c *messaging.ConsentChange) {
	others, asked := w.crossing[c.Number], c.Crossing
	if len(others) == 0 {
		return
	}
	w.undo = append(w.undo, func() { c.Crossing = asked })
	c.Crossing = slices.Clip(asked)
	for _, id := range others {
		if !slices.Contains(asked, id) {
			c.Crossing = append(c.Crossing, id)
		}
	}
}

// overrule takes the attempt from a send that must not leave, if the ledger says so, and
// says what is written instead.
func (w *working) overrule(s *messaging.Send, attempt **messaging.Attempt, status *messaging.Status, reason *string, notBefore *time.Time) bool {
	v := messaging.ConsentVerdict(w.now, s, w.stands[s.To]...)
	if v.Status == "" {
		return false
	}
	a, st, r, due := *attempt, *status, *reason, *notBefore
	w.undo = append(w.undo, func() { *attempt, *status, *reason, *notBefore = a, st, r, due })
	*attempt, *status, *reason, *notBefore = nil, v.Status, v.Reason, v.Until
	return true
}

// takeBack makes the batch as it was asked, since it was not written and will come again.
func (w *working) takeBack() {
	for _, undo := range slices.Backward(w.undo) {
		undo()
	}
}

// queueConsent writes the new lines of the ledger, and where the numbers stand by them.
func (w *working) queueConsent(q *pgx.Batch) {
	n := len(w.lines)
	if n == 0 {
		return
	}
	seq, person, scope, verb, origin := make([]int64, n), make([]string, n), make([]string, n), make([]string, n), make([]*string, n)
	event, ours, ctx, sent, received := make([]*string, n), make([]*string, n), make([]*string, n), make([]*int64, n), make([]*int64, n)
	tier, word, rule, actor, note := make([]*string, n), make([]*string, n), make([]*string, n), make([]*string, n), make([]*string, n)
	crossing, changed, out, review := make([]*string, n), make([]bool, n), make([]bool, n), make([]bool, n)
	since, prev, hash := make([]*int64, n), make([][]byte, n), make([][]byte, n)
	var last stands
	for i := range w.lines {
		e := &w.lines[i]
		seq[i], person[i], scope[i], verb[i], origin[i] = e.Seq, string(e.Number), string(e.Scope), string(e.Verb), text(e.Origin)
		event[i], ours[i], ctx[i], sent[i], received[i] = text(e.EventID), text(e.Ours), text(e.Context), millis(e.SentAt), millis(e.ReceivedAt)
		tier[i], word[i], rule[i], actor[i], note[i] = text(e.Tier), text(e.Word), text(e.Rule), text(e.Actor), text(e.Note)
		crossing[i], changed[i], out[i], review[i] = idList(e.Crossing), e.Changed, e.State.OptedOut, e.State.Review
		since[i], prev[i], hash[i] = millis(e.State.Since), e.Prev[:], e.Hash[:]
		if st := w.stand(e.Number, e.Scope); st.Seq == e.Seq {
			last.add(st)
		}
	}
	q.Queue(insertLines, seq, w.now.UnixMilli(), person, scope, verb, origin, event, ours, ctx, sent, received, tier, word, rule, actor, note,
		crossing, changed, out, review, since, prev, hash)
	q.Queue(saveStands, last.number, last.scope, last.out, last.review, last.since, last.seq)
}

// stands are rows of consents, as columns.
type stands struct {
	number, scope []string
	out, review   []bool
	since         []*int64
	seq           []int64
}

func (s *stands) add(st *messaging.ConsentState) {
	s.number, s.scope = append(s.number, string(st.Number)), append(s.scope, string(st.Scope))
	s.out, s.review = append(s.out, st.OptedOut), append(s.review, st.Review)
	s.since, s.seq = append(s.since, millis(st.Since)), append(s.seq, st.Seq)
}
