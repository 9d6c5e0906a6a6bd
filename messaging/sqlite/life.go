package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
)

// Life implements messaging.Archive. A state event that no send is known for is shown in
// the place of an inbound.
func (s *Store) Life(ctx context.Context, id string) (*messaging.Life, error) {
	l, err := s.life(ctx, id)
	if err != nil {
		return nil, s.blame(ctx, "look up a message", err)
	}
	if l == nil {
		return nil, messaging.ErrUnknown
	}
	return l, nil
}

// blame gives an error of a reader its place.
func (s *Store) blame(ctx context.Context, doing string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", doing, ctx.Err())
	}
	return fmt.Errorf("%s: %w", doing, classify(s.path, err))
}

func (s *Store) life(ctx context.Context, id string) (*messaging.Life, error) {
	tx, done, err := s.moment(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	if id == "" {
		return nil, nil
	}
	deadline := s.deadline()
	if ev, err := inbound(ctx, tx, id); ev != nil || err != nil {
		if err != nil {
			return nil, err
		}
		attempt, ok := ev.attemptOf()
		if !ok {
			return lifeOfEvent(ctx, tx, ev, deadline)
		}
		snd, err := sendByAttempt(ctx, tx, attempt, deadline)
		if snd == nil || err != nil {
			return nil, err
		}
		return lifeOfSend(ctx, tx, snd)
	}
	snd, err := outbound(ctx, tx, id, deadline)
	if snd == nil || err != nil {
		return nil, err
	}
	return lifeOfSend(ctx, tx, snd)
}

// inbound finds an event by its id, or by the platform's id of its message.
func inbound(ctx context.Context, tx *sql.Tx, id string) (*foundEvent, error) {
	if ev, err := eventByID(ctx, tx, id); ev != nil || err != nil {
		return ev, err
	}
	return eventAt(ctx, tx, kindInbound, id, `WHERE e.seq = ? AND e.message_id = ?`)
}

// outbound finds a send by its own id, an attempt's id or tag, the platform's id of its
// message, or its key.
func outbound(ctx context.Context, tx *sql.Tx, id string, deadline int64) (*foundSend, error) {
	if attempt, ok := messaging.AttemptTag([]string{id}); ok {
		return sendByAttempt(ctx, tx, attempt, deadline)
	}
	if u, err := uuid.Parse(id); err == nil {
		found, err := readSends(ctx, tx, deadline, `WHERE id = ?`, u[:])
		if len(found) > 0 || err != nil {
			return first(found), err
		}
		if snd, err := sendByAttempt(ctx, tx, u, deadline); snd != nil || err != nil {
			return snd, err
		}
	}
	snd, err := sendAt(ctx, tx, kindMessage, id, deadline,
		`WHERE seq = ?1 AND (message_id = ?2 OR EXISTS (SELECT 1 FROM attempts WHERE send_seq = ?1 AND message_id = ?2))`)
	if snd != nil || err != nil {
		return snd, err
	}
	if snd, err = sendAt(ctx, tx, kindKey, id, deadline, `WHERE seq = ? AND key = ?`); snd != nil || err != nil {
		return snd, err
	}
	return replyByKey(ctx, tx, id, deadline)
}

func sendAt(ctx context.Context, tx *sql.Tx, kind int64, id string, deadline int64, where string) (*foundSend, error) {
	seqs, err := locate(ctx, tx, kind, id)
	if err != nil {
		return nil, err
	}
	for _, seq := range seqs {
		if found, err := readSends(ctx, tx, deadline, where, seq, id); err != nil || len(found) > 0 {
			return first(found), err
		}
	}
	return nil, nil
}

// replyByKey finds a reply whose key follows from its event and is stored nowhere.
func replyByKey(ctx context.Context, tx *sql.Tx, key string, deadline int64) (*foundSend, error) {
	of, n, ok := replyKey(key)
	if !ok {
		return nil, nil
	}
	ev, err := eventByID(ctx, tx, of)
	if ev == nil || err != nil {
		return nil, err
	}
	found, err := readSends(ctx, tx, deadline, `WHERE seq >= ? AND seq < ? AND ordinal = ?`, ev.from, ev.from+ev.count, n)
	return first(found), err
}

func sendByAttempt(ctx context.Context, tx *sql.Tx, attempt uuid.UUID, deadline int64) (*foundSend, error) {
	for _, where := range []string{`WHERE attempt_id = ?`, `WHERE seq = (SELECT send_seq FROM attempts WHERE id = ?)`} {
		if found, err := readSends(ctx, tx, deadline, where, attempt[:]); len(found) > 0 || err != nil {
			return first(found), err
		}
	}
	return nil, nil
}

func lifeOfEvent(ctx context.Context, tx *sql.Tx, ev *foundEvent, deadline int64) (*messaging.Life, error) {
	l := &messaging.Life{Inbound: ev.EventRecord}
	if ev.count == 0 {
		return l, nil
	}
	sends, err := readSends(ctx, tx, deadline, `WHERE seq >= ? AND seq < ? ORDER BY seq`, ev.from, ev.from+ev.count)
	if err != nil {
		return nil, err
	}
	for _, snd := range sends {
		if err := snd.complete(ctx, tx); err != nil {
			return nil, err
		}
		l.Sends = append(l.Sends, snd.SendRecord)
	}
	return l, nil
}

func lifeOfSend(ctx context.Context, tx *sql.Tx, snd *foundSend) (*messaging.Life, error) {
	if err := snd.complete(ctx, tx); err != nil {
		return nil, err
	}
	l := &messaging.Life{Sends: []*messaging.SendRecord{snd.SendRecord}}
	if snd.Send.InReplyTo == "" {
		return l, nil
	}
	ev, err := eventByID(ctx, tx, snd.Send.InReplyTo)
	if ev != nil {
		l.Inbound = ev.EventRecord
	}
	return l, err
}
