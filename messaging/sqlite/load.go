package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
)

// defaultLimit is how much of each kind a query without a limit finds.
const defaultLimit = 10_000

// sendColumns are what toSend and toOutgoing read.
const (
	sendColumns = `id, key, ordinal, context, from_number, to_number, body, media, tags, priority, category, not_before, expires_at,
		in_reply_to, created_at, status, reason, attempt_id, attempt_number, claimed_at, outcome, doubted_at, seq, callback, custom, secret`
	sendWidth = 26
)

func toSend(row []driver.Value) (*messaging.Send, error) {
	s := &messaging.Send{
		ID: toID(row[0]), Key: toText[string](row[1]), Context: toText[string](row[3]),
		From: toText[messaging.Number](row[4]), To: toText[messaging.Number](row[5]), Body: toText[string](row[6]),
		Priority: messaging.Priority(toInt(row[9])), Category: toText[messaging.Category](row[10]),
		ExpiresAt: toTime(row[12]), InReplyTo: toText[string](row[13]), CreatedAt: toTime(row[14]),
		Callback: toText[string](row[23]), Secret: row[25] != nil,
	}
	if n, ok := row[2].(int64); ok {
		s.Key = s.InReplyTo + "#" + strconv.FormatInt(n, 10)
	}
	if toInt(row[11]) != 0 {
		s.NotBefore = toTime(row[11])
	}
	var err error
	if s.Media, err = toList(row[7]); err != nil {
		return nil, err
	}
	if s.Custom, err = toObject(row[24]); err != nil {
		return nil, err
	}
	s.Tags, err = toList(row[8])
	return s, err
}

// toOutgoing reads a send as it waits, with its newest attempt if it had one.
func toOutgoing(row []driver.Value) (*messaging.Outgoing, error) {
	snd, err := toSend(row)
	if err != nil {
		return nil, err
	}
	return &messaging.Outgoing{Send: *snd, Attempt: toAttempt(row), Status: decode(statuses, row[15]), Reason: toText[string](row[16])}, nil
}

// toAttempt reads the newest attempt of a send; nil if it had none.
func toAttempt(row []driver.Value) *messaging.Attempt {
	if row[17] == nil {
		return nil
	}
	return &messaging.Attempt{ID: toID(row[17]), SendID: toID(row[0]), Number: int(toInt(row[18])), ClaimedAt: toTime(row[19])}
}

// Load implements messaging.Store. It reads one moment of the journal, beside whatever is
// being committed. A queued send comes with its newest attempt, if it had one, so that the
// next one is numbered after it. Doubts are the newest attempts of their sends; an attempt
// whose send is queued again, or was accepted by another, is nobody's to wait for.
func (s *Store) Load(ctx context.Context, q messaging.Query) (*messaging.Work, error) {
	if q.Limit <= 0 {
		q.Limit = defaultLimit
	}
	if s.closing.Err() != nil {
		return nil, errClosed
	}
	w, err := s.load(ctx, q)
	if err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("load unfinished work: %w", ctx.Err())
		}
		return nil, fmt.Errorf("load unfinished work: %w", classify(s.path, err))
	}
	return w, nil
}

func (s *Store) load(ctx context.Context, q messaging.Query) (*messaging.Work, error) {
	tx, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback() }() // it only reads
	w := &messaging.Work{}
	if q.Events {
		if err := loadEvents(ctx, tx, q, w); err != nil {
			return nil, err
		}
	}
	if q.Sends {
		if err := loadSends(ctx, tx, q, w); err != nil {
			return nil, err
		}
	}
	if q.Doubts {
		if err := loadDoubts(ctx, tx, q, w); err != nil {
			return nil, err
		}
	}
	if q.Accepted {
		if err := loadAccepted(ctx, tx, q, w); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// each calls f for every row of a query, with its values.
func each(ctx context.Context, tx *sql.Tx, width int, f func(row []driver.Value) error, query string, args ...any) error {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	values := make([]any, width)
	targets := make([]any, width)
	row := make([]driver.Value, width)
	for i := range values {
		targets[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return err
		}
		for i, v := range values {
			row[i] = v
		}
		if err := f(row); err != nil {
			return err
		}
	}
	return rows.Err()
}

// eventColumns are what toUnfinished reads, with eventJoins behind the table.
const (
	eventColumns = eventStart + `e.frame` + eventEnd
	eventStart   = `e.seq, e.id, e.kind, e.context, e.message_id, e.from_number, e.to_number, e.body, e.media, e.segments, e.tags, e.state,
		e.reason, e.received_at, e.sent_at, `
	eventEnd = `, e.attempt, e.retry_at, e.attempt_id, s.id, s.in_reply_to, s.callback IS NOT NULL, r.id, r.in_reply_to, r.callback IS NOT NULL`
	// A state that overtook its report (early is 0 by then) came before anybody knew whose it is.
	eventJoins = `
		LEFT JOIN sends s ON s.attempt_id = e.attempt_id AND e.early IS NULL
		LEFT JOIN attempts a ON a.id = e.attempt_id AND e.early IS NULL
		LEFT JOIN sends r ON r.seq = a.send_seq`
	eventWidth = 25
)

func toEvent(row []driver.Value) (*messaging.Event, error) {
	ev := &messaging.Event{
		Seq: toInt(row[0]), ID: toText[string](row[1]), Kind: messaging.Kind(toInt(row[2])), Context: toText[string](row[3]),
		MessageID: toText[string](row[4]), From: toText[messaging.Number](row[5]), To: toText[messaging.Number](row[6]),
		Body: toText[string](row[7]), Segments: int(toInt(row[9])), State: toText[messaging.State](row[11]),
		Reason: toText[string](row[12]), ReceivedAt: toTime(row[13]), SentAt: toTime(row[14]), Frame: toBytes(row[15]),
		Attempt: int(toInt(row[16])),
	}
	if row[19] != nil {
		ev.Send = &messaging.SendRef{Attempt: toID(row[18]), ID: toID(row[19]), InReplyTo: toText[string](row[20]), Callback: toInt(row[21]) != 0}
	} else if row[22] != nil {
		ev.Send = &messaging.SendRef{Attempt: toID(row[18]), ID: toID(row[22]), InReplyTo: toText[string](row[23]), Callback: toInt(row[24]) != 0}
	}
	var err error
	if ev.Media, err = toList(row[8]); err != nil {
		return nil, err
	}
	ev.Tags, err = toList(row[10])
	return ev, err
}

func loadEvents(ctx context.Context, tx *sql.Tx, q messaging.Query, w *messaging.Work) error {
	return each(ctx, tx, eventWidth, func(row []driver.Value) error {
		ev, err := toEvent(row)
		if err != nil {
			return err
		}
		w.Events = append(w.Events, &messaging.Unfinished{Event: ev, RetryAt: toTime(row[17])})
		return nil
	}, `SELECT `+eventColumns+` FROM events e INDEXED BY events_unfinished`+eventJoins+`
		WHERE e.fate = 0 AND e.seq > ? ORDER BY e.seq LIMIT ?`, q.AfterSeq, q.Limit)
}

func loadSends(ctx context.Context, tx *sql.Tx, q messaging.Query, w *messaging.Work) error {
	now := q.Now.UnixMilli()
	err := each(ctx, tx, sendWidth, func(row []driver.Value) error {
		out, err := toOutgoing(row)
		if err != nil {
			return err
		}
		w.Sends = append(w.Sends, out)
		return nil
	}, `SELECT `+sendColumns+` FROM sends INDEXED BY sends_queued WHERE status = 1 AND not_before <= ? ORDER BY priority, seq LIMIT ?`,
		now, q.Limit)
	if err != nil {
		return err
	}
	return each(ctx, tx, 1, func(row []driver.Value) error {
		w.NextDue = toTime(row[0])
		return nil
	}, `SELECT not_before FROM sends INDEXED BY sends_later WHERE status = 1 AND not_before > 0 AND not_before > ? ORDER BY not_before LIMIT 1`, now)
}

func loadDoubts(ctx context.Context, tx *sql.Tx, q messaging.Query, w *messaging.Work) error {
	return each(ctx, tx, sendWidth, func(row []driver.Value) error {
		out, err := toOutgoing(row)
		if err != nil {
			return err
		}
		d := &messaging.Doubt{
			Seq: toInt(row[22]), Attempt: *out.Attempt, Send: out.Send, Outcome: decode(outcomes, row[20]), Since: out.Attempt.ClaimedAt,
		}
		if d.Outcome == messaging.OutcomeInDoubt {
			d.Since = toTime(row[21])
		}
		w.Doubts = append(w.Doubts, d)
		return nil
	}, `SELECT `+sendColumns+` FROM sends INDEXED BY sends_open
		WHERE status IN (2, 3) AND outcome IN (1, 5) AND seq > ? ORDER BY seq LIMIT ?`, q.AfterDoubt, q.Limit)
}

// clockSlack is how far an attempt's id may lie behind its claim, if a clock was set back
// in between.
const clockSlack = time.Hour

// loadAccepted finds attempts by the time in their ids, which are UUIDv7, so that no index
// has to be kept for a question that is seldom asked.
func loadAccepted(ctx context.Context, tx *sql.Tx, q messaging.Query, w *messaging.Work) error {
	var from uuid.UUID
	if ms := q.Since.Add(-clockSlack).UnixMilli(); ms > 0 {
		binary.BigEndian.PutUint64(from[:8], uint64(ms)<<16)
	}
	return each(ctx, tx, 5, func(row []driver.Value) error {
		w.Accepted = append(w.Accepted, &messaging.Accepted{
			Attempt:   messaging.Attempt{ID: toID(row[0]), SendID: toID(row[1]), Number: int(toInt(row[2])), ClaimedAt: toTime(row[3])},
			MessageID: toText[string](row[4]),
		})
		return nil
	}, `SELECT * FROM (
			SELECT attempt_id AS id, id AS send, attempt_number, claimed_at AS at, message_id FROM sends INDEXED BY sends_attempt
			WHERE attempt_id >= ?1 AND from_number = ?2 AND to_number = ?3 AND claimed_at >= ?4 AND outcome = 2
			UNION ALL
			SELECT a.id, s.id, a.number, a.claimed_at, a.message_id FROM attempts a JOIN sends s ON s.seq = a.send_seq
			WHERE a.id >= ?1 AND s.from_number = ?2 AND s.to_number = ?3 AND a.claimed_at >= ?4 AND a.outcome = 2)
		ORDER BY at, id LIMIT ?5`, from[:], string(q.Pair.Ours), string(q.Pair.Theirs), q.Since.UnixMilli(), q.Limit)
}
