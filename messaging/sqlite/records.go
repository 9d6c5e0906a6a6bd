package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"time"

	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
)

// What is read of an event and of a send to show them. A record's event has no frame.
const (
	recordColumns = eventStart + `NULL` + eventEnd +
		`, e.journaled_at, e.fate, e.finished_at, e.error, e.handler, e.sends_from, e.sends_count`
	recordTables = ` FROM events e
		LEFT JOIN sends s ON s.attempt_id = e.attempt_id
		LEFT JOIN attempts a ON a.id = e.attempt_id
		LEFT JOIN sends r ON r.seq = a.send_seq `
	recordWidth = eventWidth + 7

	sendRecordColumns = sendColumns + `, code, message_id`
	sendRecordWidth   = sendWidth + 2
)

// removed reports whether a body says that the text was removed.
func removed(body driver.Value) bool {
	s, ok := body.(string)
	return ok && s == ""
}

// foundEvent is a record of an event, and where its sends are.
type foundEvent struct {
	*messaging.EventRecord
	from, count int64
}

func toRecord(row []driver.Value) (foundEvent, error) {
	ev, err := toEvent(row)
	if err != nil {
		return foundEvent{}, err
	}
	r := &messaging.EventRecord{
		Event: ev, JournaledAt: toTime(row[25]), Fate: toFate(row[26]), FinishedAt: toTime(row[27]), RetryAt: toTime(row[17]),
		Attempt: ev.Attempt, Err: toText[string](row[28]), Handler: toText[string](row[29]), Forgotten: removed(row[7]),
	}
	r.Finished = r.Fate != messaging.FateRetry
	return foundEvent{r, toInt(row[30]), toInt(row[31])}, nil
}

// readEvents reads records of events, with the sends that each decided.
func readEvents(ctx context.Context, tx *sql.Tx, where string, args ...any) ([]foundEvent, error) {
	var found []foundEvent
	err := each(ctx, tx, recordWidth, func(row []driver.Value) error {
		f, err := toRecord(row)
		found = append(found, f)
		return err
	}, `SELECT `+recordColumns+recordTables+where, args...)
	if err != nil {
		return nil, err
	}
	for _, f := range found {
		if f.count == 0 {
			continue
		}
		if err := each(ctx, tx, 1, func(row []driver.Value) error {
			f.Sends = append(f.Sends, toID(row[0]))
			return nil
		}, `SELECT id FROM sends WHERE seq >= ? AND seq < ? ORDER BY seq`, f.from, f.from+f.count); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// foundSend is a record of a send, and its place.
type foundSend struct {
	*messaging.SendRecord
	seq int64
}

// toSendRecord reads a send with its newest attempt. A send without a last word claimed up
// to the deadline, in milliseconds, is of unknown fate.
func toSendRecord(row []driver.Value, deadline int64) (foundSend, error) {
	out, err := toOutgoing(row)
	if err != nil {
		return foundSend{}, err
	}
	r := &messaging.SendRecord{Send: out.Send.Shown(), Status: out.Status, Reason: out.Reason, Forgotten: removed(row[6])}
	if (r.Status == messaging.StatusAccepted || r.Status == messaging.StatusSent) && claimedOrMade(row) <= deadline {
		r.Status = messaging.StatusUnknown
	}
	if a := out.Attempt; a != nil {
		r.Attempts = []*messaging.AttemptRecord{{
			Attempt: *a, Outcome: decode(outcomes, row[20]), Since: toTime(row[21]),
			Code: toText[string](row[26]), Reason: out.Reason, MessageID: toText[string](row[27]),
		}}
	}
	return foundSend{r, toInt(row[22])}, nil
}

// claimedOrMade is since when the last word is waited for: the claim, as statusNow says it.
func claimedOrMade(row []driver.Value) int64 {
	if row[19] != nil {
		return toInt(row[19])
	}
	return toInt(row[14])
}

// statusNow is toSendRecord's status in the words of SQL; its parameter is the deadline.
const statusNow = `CASE WHEN status IN (4, 5) AND coalesce(claimed_at, created_at, 0) <= ? THEN 12 ELSE status END`

func readSends(ctx context.Context, tx *sql.Tx, deadline int64, where string, args ...any) ([]foundSend, error) {
	var found []foundSend
	err := each(ctx, tx, sendRecordWidth, func(row []driver.Value) error {
		f, err := toSendRecord(row, deadline)
		found = append(found, f)
		return err
	}, `SELECT `+sendRecordColumns+` FROM sends `+where, args...)
	return found, err
}

// complete adds the attempts before the newest, and the states of all.
func (f foundSend) complete(ctx context.Context, tx *sql.Tx) error {
	var earlier []*messaging.AttemptRecord
	err := each(ctx, tx, 8, func(row []driver.Value) error {
		earlier = append(earlier, &messaging.AttemptRecord{
			Attempt: messaging.Attempt{ID: toID(row[0]), SendID: f.Send.ID, Number: int(toInt(row[1])), ClaimedAt: toTime(row[2])},
			Outcome: decode(outcomes, row[3]), Code: toText[string](row[4]), Reason: toText[string](row[5]),
			MessageID: toText[string](row[6]), Since: toTime(row[7]),
		})
		return nil
	}, `SELECT id, number, claimed_at, outcome, code, reason, message_id, doubted_at FROM attempts WHERE send_seq = ? ORDER BY number, id`, f.seq)
	if err != nil {
		return err
	}
	f.Attempts = append(earlier, f.Attempts...)
	for _, a := range f.Attempts {
		states, err := readEvents(ctx, tx, `WHERE e.attempt_id = ? ORDER BY e.seq`, a.Attempt.ID[:])
		if err != nil {
			return err
		}
		for _, st := range states {
			a.States = append(a.States, st.EventRecord)
		}
	}
	return nil
}

// moment begins to read one moment of the journal, beside whatever is being committed. The
// caller ends it with done.
func (s *Store) moment(ctx context.Context) (tx *sql.Tx, done func(), err error) {
	if s.closing.Err() != nil {
		return nil, nil, errClosed
	}
	if tx, err = s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true}); err != nil {
		return nil, nil, err
	}
	return tx, func() { _ = tx.Rollback() }, nil
}

// deadline is the claim, in milliseconds, up to which a last word is overdue. The store's
// clock is the newest batch's, carried on by this process.
func (s *Store) deadline() int64 {
	idle := time.Since(s.born) - time.Duration(s.at.Load())
	return s.now.Load() + (idle - messaging.LastWord).Milliseconds()
}

// locate finds the rows to which an id of a kind may lead, the newest last; two ids may have
// one hash.
func locate(ctx context.Context, tx *sql.Tx, kind int64, id string) ([]int64, error) {
	hash := hashOf(kind, id)
	var keys, seqs []int64
	if err := each(ctx, tx, 2, func(row []driver.Value) error {
		keys = append(keys, segment{id: toInt(row[0]), level: toInt(row[1])}.key(hash))
		return nil
	}, `SELECT id, level FROM segments ORDER BY newest, id`); err != nil {
		return nil, err
	}
	look := func(row []driver.Value) error {
		for e := range entries(toBytes(row[0])) {
			if e.hash == hash && e.ref&3 == kind {
				seqs = append(seqs, e.ref>>2)
			}
		}
		return nil
	}
	for _, key := range keys {
		if err := each(ctx, tx, 1, look, `SELECT entries FROM ids WHERE key = ?`, key); err != nil {
			return nil, err
		}
	}
	return seqs, each(ctx, tx, 1, look, `SELECT entries FROM ids_tail ORDER BY serial`)
}

// eventByID reads an event; nil if there is none.
func eventByID(ctx context.Context, tx *sql.Tx, id string) (*foundEvent, error) {
	return eventAt(ctx, tx, kindEvent, id, `WHERE e.seq = ? AND e.id = ?`)
}

func eventAt(ctx context.Context, tx *sql.Tx, kind int64, id, where string) (*foundEvent, error) {
	seqs, err := locate(ctx, tx, kind, id)
	if err != nil {
		return nil, err
	}
	for _, seq := range seqs {
		if found, err := readEvents(ctx, tx, where, seq, id); err != nil || len(found) > 0 {
			return first(found), err
		}
	}
	return nil, nil
}

func first[T any](all []T) *T {
	if len(all) == 0 {
		return nil
	}
	return &all[0]
}

// attemptOf finds the attempt that the journal ties a state event to.
func (f *foundEvent) attemptOf() (uuid.UUID, bool) {
	if f.Event.Send == nil {
		return uuid.Nil, false
	}
	return f.Event.Send.Attempt, true
}
