package postgres

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/signpost-sms/signpost/messaging"
)

// defaultLimit is how much of each kind a query without a limit finds.
const defaultLimit = 10_000

// querier is a connection, a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// moment runs f on one moment of the journal.
func (s *Store) moment(ctx context.Context, doing string, f func(tx pgx.Tx) error) error {
	return s.reading(ctx, doing, func() error {
		return pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, f)
	})
}

// reading runs f, which reads, and says what its error means.
func (s *Store) reading(ctx context.Context, doing string, f func() error) error {
	if s.closing.Err() != nil {
		return errClosed
	}
	err := f()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", doing, ctx.Err())
	}
	return fmt.Errorf("%s: %w", doing, classify(err))
}

// Load implements messaging.Store.
func (s *Store) Load(ctx context.Context, q messaging.Query) (*messaging.Work, error) {
	if q.Limit <= 0 {
		q.Limit = defaultLimit
	}
	w := &messaging.Work{}
	err := s.moment(ctx, "load unfinished work", func(tx pgx.Tx) error {
		for _, part := range []struct {
			wanted bool
			load   func(context.Context, pgx.Tx, messaging.Query, *messaging.Work) error
		}{{q.Events, loadEvents}, {q.Sends, loadSends}, {q.Doubts, loadDoubts}, {q.Accepted, loadAccepted}} {
			if !part.wanted {
				continue
			}
			if err := part.load(ctx, tx, q, w); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return w, nil
}

func loadEvents(ctx context.Context, tx pgx.Tx, q messaging.Query, w *messaging.Work) error {
	rows, err := tx.Query(ctx, `SELECT `+recordColumns+recordTables+` JOIN conversations c ON c.id = e.conversation
		WHERE e.fate = 0 AND c.owner = $1 AND e.holder IS DISTINCT FROM $1 AND e.seq > $2 ORDER BY e.seq LIMIT $3`, q.Owner, q.AfterSeq, q.Limit)
	if err != nil {
		return err
	}
	return scanRecords(rows, func(r *messaging.EventRecord) {
		w.Events = append(w.Events, &messaging.Unfinished{Event: r.Event, RetryAt: r.RetryAt})
	})
}

func loadSends(ctx context.Context, tx pgx.Tx, q messaging.Query, w *messaging.Work) error {
	now := q.Now.UnixMilli()
	found, err := sendsOf(ctx, tx, `JOIN conversations c ON c.id = s.conversation
		WHERE s.status = 1 AND s.not_before <= $1 AND c.owner = $2 ORDER BY s.priority, s.seq LIMIT $3`, now, q.Owner, q.Limit)
	if err != nil {
		return err
	}
	for _, s := range found {
		w.Sends = append(w.Sends, s.outgoing())
	}
	var next *int64
	if err := tx.QueryRow(ctx, `SELECT min(s.not_before) FROM sends s JOIN conversations c ON c.id = s.conversation
		WHERE s.status = 1 AND s.not_before > $1 AND c.owner = $2`, now, q.Owner).Scan(&next); err != nil {
		return err
	}
	w.NextDue = timeOf(next)
	return nil
}

func loadDoubts(ctx context.Context, tx pgx.Tx, q messaging.Query, w *messaging.Work) error {
	found, err := sendsOf(ctx, tx, `JOIN conversations c ON c.id = s.conversation
		JOIN attempts n ON n.id = s.attempt_id AND n.outcome IN (1, 5)
		WHERE s.status IN (2, 3) AND c.owner = $1 AND s.seq > $2 ORDER BY s.seq LIMIT $3`, q.Owner, q.AfterDoubt, q.Limit)
	if err != nil {
		return err
	}
	for _, s := range found {
		a := s.newest()
		d := &messaging.Doubt{Seq: s.seq, Attempt: a.Attempt, Send: s.Send, Outcome: a.outcome, Since: a.ClaimedAt}
		if a.outcome == messaging.OutcomeInDoubt {
			d.Since = a.doubtedAt
		}
		w.Doubts = append(w.Doubts, d)
	}
	return nil
}

// clockSlack is how far an attempt's id may lie behind its claim, if a clock was set back
// in between.
const clockSlack = time.Hour

// loadAccepted finds attempts by the time in their ids, which are UUIDv7, so that no index
// has to be kept for a question that is seldom asked.
func loadAccepted(ctx context.Context, tx pgx.Tx, q messaging.Query, w *messaging.Work) error {
	var from uuid.UUID
	if ms := q.Since.Add(-clockSlack).UnixMilli(); ms > 0 {
		binary.BigEndian.PutUint64(from[:8], uint64(ms)<<16)
	}
	rows, err := tx.Query(ctx, `SELECT `+attemptList+` FROM attempts a JOIN sends s ON s.id = a.send_id
		WHERE a.id >= $1 AND s.from_number = $2 AND s.to_number = $3 AND a.claimed_at >= $4 AND a.outcome = 2
		ORDER BY a.claimed_at, a.id LIMIT $5`, from, string(q.Pair.Ours), string(q.Pair.Theirs), q.Since.UnixMilli(), q.Limit)
	if err != nil {
		return err
	}
	return scanAttempts(rows, func(a *attempt) {
		w.Accepted = append(w.Accepted, &messaging.Accepted{Attempt: a.Attempt, MessageID: a.messageID})
	})
}

// sendsOf reads sends with their attempts.
func sendsOf(ctx context.Context, tx querier, where string, args ...any) ([]*send, error) {
	rows, err := tx.Query(ctx, `SELECT `+sendColumns+` FROM sends s `+where, args...)
	if err != nil {
		return nil, err
	}
	var found []*send
	byID := map[uuid.UUID]*send{}
	var ids []uuid.UUID
	if err := scanSends(rows, func(s *send) {
		found, ids = append(found, s), append(ids, s.ID)
		byID[s.ID] = s
	}); err != nil || len(found) == 0 {
		return nil, err
	}
	rows, err = tx.Query(ctx, readAttempts, ids)
	if err != nil {
		return nil, err
	}
	err = scanAttempts(rows, func(a *attempt) {
		if s := byID[a.SendID]; s != nil {
			a.send = s
			s.attempts = append(s.attempts, a)
		}
	})
	return found, err
}

// What is read of an event, and the send that a state speaks of.
const (
	recordColumns = `e.seq, e.id, e.kind, e.context, e.message_id, e.from_number, e.to_number, e.body, e.media, e.segments, e.tags, e.state, e.reason,
		e.received_at, e.sent_at, e.frame, e.fate, e.attempt, e.retry_at, e.error, e.handler, e.journaled_at, e.finished_at, e.sends,
		e.attempt_id, ref.id, ref.in_reply_to, ref.callback IS NOT NULL`
	recordTables = ` FROM events e LEFT JOIN attempts at ON at.id = e.attempt_id LEFT JOIN sends ref ON ref.id = at.send_id`
)

// scanRecords reads rows of recordColumns.
func scanRecords(rows pgx.Rows, f func(*messaging.EventRecord)) error {
	var ev messaging.Event
	var kind, fate int16
	var ctx, message, from, to, body, media, tags, state, reason, failure, handler, inReplyTo *string
	var segments, attempt *int
	var received, journaled int64
	var sent, retry, finished *int64
	var frame []byte
	var sends []uuid.UUID
	var attemptID, sendID *uuid.UUID
	var callback bool
	_, err := pgx.ForEachRow(rows, []any{
		&ev.Seq, &ev.ID, &kind, &ctx, &message, &from, &to, &body, &media, &segments, &tags, &state, &reason,
		&received, &sent, &frame, &fate, &attempt, &retry, &failure, &handler, &journaled, &finished, &sends,
		&attemptID, &sendID, &inReplyTo, &callback,
	}, func() error {
		found := ev
		found.Kind, found.Context, found.MessageID = messaging.Kind(kind), orZero(ctx), orZero(message)
		found.From, found.To, found.Body = messaging.Number(orZero(from)), messaging.Number(orZero(to)), orZero(body)
		found.Segments, found.State, found.Reason = orZero(segments), messaging.State(orZero(state)), orZero(reason)
		found.ReceivedAt, found.SentAt, found.Attempt = timeOf(&received), timeOf(sent), orZero(attempt)
		found.Frame = append([]byte(nil), frame...)
		var err error
		if found.Media, err = listOf(media); err != nil {
			return err
		}
		if found.Tags, err = listOf(tags); err != nil {
			return err
		}
		if attemptID != nil && sendID != nil {
			found.Send = &messaging.SendRef{ID: *sendID, Attempt: *attemptID, InReplyTo: orZero(inReplyTo), Callback: callback}
		}
		f(&messaging.EventRecord{
			Event: &found, JournaledAt: timeOf(&journaled), Finished: fate != 0, Fate: decode(fates, fate), FinishedAt: timeOf(finished),
			RetryAt: timeOf(retry), Attempt: found.Attempt, Err: orZero(failure), Handler: orZero(handler),
			Sends: append([]uuid.UUID(nil), sends...), Forgotten: body != nil && *body == "",
		})
		return nil
	})
	return err
}

func recordsOf(ctx context.Context, tx querier, where string, args ...any) ([]*messaging.EventRecord, error) {
	rows, err := tx.Query(ctx, `SELECT `+recordColumns+recordTables+` `+where, args...)
	if err != nil {
		return nil, err
	}
	var found []*messaging.EventRecord
	err = scanRecords(rows, func(r *messaging.EventRecord) { found = append(found, r) })
	return found, err
}
