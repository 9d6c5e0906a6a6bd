package postgres

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	insertEvents = `INSERT INTO events (seq, id, conversation, holder, kind, context, message_id, from_number, to_number, body, media, segments,
			tags, state, reason, received_at, sent_at, frame, fate, attempt, retry_at, error, handler, journaled_at, finished_at, attempt_id, early, sends)
		SELECT u.seq, u.id, u.conversation, u.holder, u.kind, u.context, u.message_id, u.from_number, u.to_number, u.body, u.media, u.segments,
			u.tags, u.state, u.reason, u.received_at, u.sent_at, u.frame, u.fate, u.attempt, u.retry_at, u.error, u.handler, $25::bigint,
			CASE WHEN u.fate = 0 THEN NULL ELSE $25::bigint END, u.attempt_id, u.early, u.sends::uuid[]
		FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::uuid[], $5::smallint[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[],
			$11::text[], $12::int[], $13::text[], $14::text[], $15::text[], $16::bigint[], $17::bigint[], $18::bytea[], $19::smallint[], $20::int[],
			$21::bigint[], $22::text[], $23::text[], $24::uuid[], $26::bool[], $27::text[])
			AS u(seq, id, conversation, holder, kind, context, message_id, from_number, to_number, body, media, segments, tags, state, reason,
				received_at, sent_at, frame, fate, attempt, retry_at, error, handler, attempt_id, early, sends)`
	updateEvents = `UPDATE events e SET fate = u.fate, attempt = u.attempt, retry_at = u.retry_at, error = u.error, handler = u.handler,
			conversation = u.conversation, holder = u.holder, sends = u.sends::uuid[], finished_at = CASE WHEN u.fate = 0 THEN NULL ELSE $9::bigint END
		FROM unnest($1::bigint[], $2::smallint[], $3::int[], $4::bigint[], $5::text[], $6::text[], $7::bigint[], $8::uuid[], $10::text[], $11::smallint[])
			AS u(seq, fate, attempt, retry_at, error, handler, conversation, holder, sends, was)
		WHERE e.seq = u.seq AND e.fate = u.was AND (u.was = 0 OR u.fate <> 0 OR e.body IS DISTINCT FROM '')`
	insertSends = `INSERT INTO sends (id, seq, conversation, key, context, from_number, to_number, body, media, tags, priority, category, not_before,
			expires_at, in_reply_to, created_at, status, reason, settled, attempt_id, ordinal, callback, custom, secret)
		SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[],
			$11::smallint[], $12::text[], $13::bigint[], $14::bigint[], $15::text[], $16::bigint[], $17::smallint[], $18::text[], $19::bool[], $20::uuid[], $21::int[],
			$22::text[], $23::text[], $24::bool[])`
	updateSends = `UPDATE sends s SET status = u.status, reason = u.reason, not_before = u.not_before, settled = u.settled, conversation = u.conversation, attempt_id = u.attempt_id
		FROM unnest($1::uuid[], $2::smallint[], $3::text[], $4::bigint[], $5::bool[], $6::bigint[], $7::uuid[])
			AS u(id, status, reason, not_before, settled, conversation, attempt_id) WHERE s.id = u.id`
	insertAttempts = `INSERT INTO attempts (id, send_id, number, claimed_at, outcome, doubted_at, code, reason, message_id, state, superseded)
		SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::int[], $4::bigint[], $5::smallint[], $6::bigint[], $7::text[], $8::text[], $9::text[], $10::smallint[],
			$11::bool[])`
	updateAttempts = `UPDATE attempts a SET outcome = u.outcome, doubted_at = u.doubted_at, code = u.code, reason = u.reason, message_id = u.message_id,
			state = u.state, superseded = u.superseded
		FROM unnest($1::uuid[], $2::smallint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::smallint[], $8::bool[])
			AS u(id, outcome, doubted_at, code, reason, message_id, state, superseded) WHERE a.id = u.id`
	matchEarly = `UPDATE events e SET early = false, attempt_id = u.attempt FROM unnest($1::bigint[], $2::uuid[]) AS u(seq, attempt) WHERE e.seq = u.seq`
	// Of the early states no more than so many are kept, and none for long, since each commit
	// of a state looks through them.
	boundEarly = `UPDATE events SET early = false WHERE early AND (journaled_at < $2
		OR seq <= (SELECT seq FROM events WHERE early ORDER BY seq DESC OFFSET $1 LIMIT 1))`
	saveBatch = `INSERT INTO batches (owner, id, committed_at, results) VALUES ($1, $2, $3, $4)
		ON CONFLICT (owner) DO UPDATE SET id = $2, committed_at = $3, results = $4`
	// The schema, a colon, and who is meant: an owner, everybody if it is empty, or everybody
	// except for one.
	notify    = `SELECT pg_notify('signpost', $1)`
	exceptFor = "!"
)

// write writes what apply changed, in one round trip.
func (s *Store) write(ctx context.Context, tx pgx.Tx, w *working) error {
	q := &pgx.Batch{}
	if err := w.queueEvents(q); err != nil {
		return err
	}
	if err := w.queueSends(q); err != nil {
		return err
	}
	w.queueAttempts(q)
	w.queueConsent(q)
	w.queueValues(q)
	if len(w.matched) > 0 {
		var seqs []int64
		var attempts []uuid.UUID
		for _, st := range w.matched {
			seqs, attempts = append(seqs, st.seq), append(attempts, st.attempt)
		}
		q.Queue(matchEarly, seqs, attempts)
	}
	if w.keptEarly {
		q.Queue(boundEarly, maxEarly, w.batch.Now.Add(-maxEarlyAge).UnixMilli())
	}
	results, err := pack(w.batch)
	if err != nil {
		return err
	}
	b := w.batch
	if b.ID != uuid.Nil {
		q.Queue(saveBatch, b.Owner, b.ID, b.Now.UnixMilli(), results)
	}
	for owner := range w.notify {
		q.Queue(notify, s.path+":"+owner.String())
	}
	if len(w.lines) > 0 {
		q.Queue(notify, s.path+":"+exceptFor+b.Owner.String())
	}
	if q.Len() == 0 {
		return nil
	}
	return tx.SendBatch(ctx, q).Close()
}

func (w *working) queueEvents(q *pgx.Batch) error {
	now := w.batch.Now.UnixMilli()
	if n := len(w.newEvents); n > 0 {
		seq, id, conv, holder := make([]int64, n), make([]string, n), make([]*int64, n), make([]*uuid.UUID, n)
		kind, ctx, message, from, to := make([]int16, n), make([]*string, n), make([]*string, n), make([]*string, n), make([]*string, n)
		body, media, segments, tags := make([]*string, n), make([]*string, n), make([]*int, n), make([]*string, n)
		state, reason, received, sent, frame := make([]*string, n), make([]*string, n), make([]int64, n), make([]*int64, n), make([][]byte, n)
		fate, attempt, retry, failure, handler := make([]int16, n), make([]*int, n), make([]*int64, n), make([]*string, n), make([]*string, n)
		attemptID, early, sends := make([]*uuid.UUID, n), make([]*bool, n), make([]*string, n)
		for i, e := range w.newEvents {
			ev := e.ev
			seq[i], id[i], conv[i], holder[i] = e.seq, e.id, e.conversation, e.holder
			kind[i], ctx[i], message[i], from[i], to[i] = int16(ev.Kind), text(ev.Context), text(ev.MessageID), text(ev.From), text(ev.To)
			body[i], segments[i] = text(ev.Body), orNull(ev.Segments)
			var err error
			if media[i], err = list(ev.Media); err != nil {
				return err
			}
			if tags[i], err = list(ev.Tags); err != nil {
				return err
			}
			state[i], reason[i], received[i], sent[i], frame[i] = text(ev.State), text(ev.Reason), ev.ReceivedAt.UnixMilli(), millis(ev.SentAt), ev.Frame
			fate[i], attempt[i], retry[i], failure[i], handler[i] = encode(fates, e.fate), orNull(e.attempt), millis(e.retryAt), text(e.err), text(e.handler)
			attemptID[i], early[i], sends[i] = e.attemptID, orNull(e.early), idList(e.sends)
		}
		q.Queue(insertEvents, seq, id, conv, holder, kind, ctx, message, from, to, body, media, segments, tags, state, reason, received, sent, frame,
			fate, attempt, retry, failure, handler, attemptID, now, early, sends)
	}
	if n := len(w.changedEvents); n > 0 {
		seq, fate, attempt, retry := make([]int64, n), make([]int16, n), make([]*int, n), make([]*int64, n)
		failure, handler, conv, holder := make([]*string, n), make([]*string, n), make([]*int64, n), make([]*uuid.UUID, n)
		sends, was := make([]*string, n), make([]int16, n)
		for i, e := range w.changedEvents {
			was[i] = encode(fates, e.was)
			seq[i], fate[i], attempt[i], retry[i] = e.seq, encode(fates, e.fate), orNull(e.attempt), millis(e.retryAt)
			failure[i], handler[i], conv[i], holder[i] = text(e.err), text(e.handler), e.conversation, e.holder
			sends[i] = idList(e.sends)
		}
		// Nothing is locked while it is read: what another instance settled, revived or
		// pruned since then is read again.
		q.Queue(updateEvents, seq, fate, attempt, retry, failure, handler, conv, holder, now, sends, was).Exec(func(tag pgconn.CommandTag) error {
			if int(tag.RowsAffected()) < n {
				return errRaced
			}
			return nil
		})
	}
	return nil
}

func (w *working) queueSends(q *pgx.Batch) error {
	if n := len(w.newSends); n > 0 {
		id, seq, conv, key := make([]uuid.UUID, n), make([]int64, n), make([]int64, n), make([]*string, n)
		ctx, from, to, body := make([]*string, n), make([]*string, n), make([]*string, n), make([]*string, n)
		media, tags, priority, category := make([]*string, n), make([]*string, n), make([]int16, n), make([]*string, n)
		due, expires, inReplyTo, created := make([]int64, n), make([]*int64, n), make([]*string, n), make([]*int64, n)
		status, reason, settled, newest := make([]int16, n), make([]*string, n), make([]*bool, n), make([]*uuid.UUID, n)
		ordinal, callback, custom, secret := make([]*int, n), make([]*string, n), make([]*string, n), make([]*bool, n)
		for i, s := range w.newSends {
			id[i], seq[i], conv[i], newest[i] = s.ID, s.seq, s.conversation, s.newestID()
			if n, follows := s.ordinal(); follows {
				ordinal[i] = &n
			} else {
				key[i] = text(s.Key)
			}
			ctx[i], from[i], to[i], body[i] = text(s.Context), text(s.From), text(s.To), text(s.Body)
			var err error
			if media[i], err = list(s.Media); err != nil {
				return err
			}
			if tags[i], err = list(s.Tags); err != nil {
				return err
			}
			if custom[i], err = object(s.Custom); err != nil {
				return err
			}
			callback[i], secret[i] = text(s.Callback), orNull(s.Secret)
			priority[i], category[i] = int16(s.Priority), text(s.Category)
			due[i], expires[i], inReplyTo[i], created[i] = dueAt(s.NotBefore), millis(s.ExpiresAt), text(s.InReplyTo), millis(s.CreatedAt)
			status[i], reason[i], settled[i] = encode(statuses, s.status), text(s.reason), orNull(s.settled)
		}
		q.Queue(insertSends, id, seq, conv, key, ctx, from, to, body, media, tags, priority, category, due, expires, inReplyTo, created, status, reason, settled, newest, ordinal,
			callback, custom, secret)
	}
	if n := len(w.changedSends); n > 0 {
		id, status, reason := make([]uuid.UUID, n), make([]int16, n), make([]*string, n)
		due, settled, conv, newest := make([]int64, n), make([]*bool, n), make([]int64, n), make([]*uuid.UUID, n)
		for i, s := range w.changedSends {
			id[i], status[i], reason[i] = s.ID, encode(statuses, s.status), text(s.reason)
			due[i], settled[i], conv[i] = dueAt(s.NotBefore), orNull(s.settled), s.conversation
			newest[i] = s.newestID()
		}
		q.Queue(updateSends, id, status, reason, due, settled, conv, newest)
	}
	return nil
}

func (w *working) queueAttempts(q *pgx.Batch) {
	if n := len(w.newAttempts); n > 0 {
		id, send, number, claimed := make([]uuid.UUID, n), make([]uuid.UUID, n), make([]int, n), make([]*int64, n)
		outcome, doubted, code := make([]int16, n), make([]*int64, n), make([]*string, n)
		reason, message, state, old := make([]*string, n), make([]*string, n), make([]*int16, n), make([]*bool, n)
		for i, a := range w.newAttempts {
			id[i], send[i], number[i], claimed[i] = a.ID, a.send.ID, a.Number, millis(a.ClaimedAt)
			outcome[i], doubted[i], code[i] = encode(outcomes, a.outcome), millis(a.doubtedAt), text(a.code)
			reason[i], message[i], state[i] = text(a.reason), text(a.messageID), orNull(encode(states, a.state))
			old[i] = orNull(!a.isNewest())
		}
		q.Queue(insertAttempts, id, send, number, claimed, outcome, doubted, code, reason, message, state, old)
	}
	if n := len(w.changedAttempts); n > 0 {
		id, outcome, doubted := make([]uuid.UUID, n), make([]int16, n), make([]*int64, n)
		code, reason, message, state, old := make([]*string, n), make([]*string, n), make([]*string, n), make([]*int16, n), make([]*bool, n)
		for i, a := range w.changedAttempts {
			id[i], outcome[i], doubted[i] = a.ID, encode(outcomes, a.outcome), millis(a.doubtedAt)
			code[i], reason[i], message[i], state[i] = text(a.code), text(a.reason), text(a.messageID), orNull(encode(states, a.state))
			old[i] = orNull(!a.isNewest())
		}
		q.Queue(updateAttempts, id, outcome, doubted, code, reason, message, state, old)
	}
}

// idList writes ids as PostgreSQL writes an array of them; nil for none.
func idList(ids []uuid.UUID) *string {
	if len(ids) == 0 {
		return nil
	}
	b := []byte{'{'}
	for i, id := range ids {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, id.String()...)
	}
	s := string(append(b, '}'))
	return &s
}
