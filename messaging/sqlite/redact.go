package sqlite

import (
	"context"
	"database/sql/driver"

	"github.com/google/uuid"

	"github.com/signpost-sms/signpost/messaging"
)

// Redact implements messaging.Redacter.
func (s *Store) Redact(ctx context.Context, id string) error {
	const doing = "remove the text of a message"
	row, states, isEvent, err := s.rowNamed(ctx, id)
	if err != nil {
		return s.blame(ctx, doing, err)
	}
	if row == 0 {
		return messaging.ErrUnknown
	}
	k := kinds[1]
	if isEvent {
		k = kinds[0]
	}
	_, unfinished, err := s.strip(ctx, k, []int64{row})
	if err == nil && unfinished > 0 {
		return messaging.ErrTooLate
	}
	if err == nil && len(states) > 0 {
		_, _, err = s.strip(ctx, kinds[0], states)
	}
	if err != nil {
		return s.blame(ctx, doing, err)
	}
	return nil
}

// rowNamed finds the row of an inbound or a send by its own id, and of a send those of its
// states, whose frames may hold the text; 0 for none.
func (s *Store) rowNamed(ctx context.Context, id string) (row int64, states []int64, isEvent bool, err error) {
	tx, done, err := s.moment(ctx)
	if err != nil {
		return 0, nil, false, err
	}
	defer done()
	ev, err := eventByID(ctx, tx, id)
	if err != nil {
		return 0, nil, false, err
	}
	if ev != nil && ev.Event.Kind == messaging.KindMessage {
		return ev.Event.Seq, nil, true, nil
	}
	named, err := uuid.Parse(id)
	if err != nil {
		return 0, nil, false, nil // it is that of no send
	}
	first := func(r []driver.Value) error { row = toInt(r[0]); return nil }
	if err := each(ctx, tx, 1, first, `SELECT seq FROM sends WHERE id = ?`, named[:]); err != nil || row == 0 {
		return 0, nil, false, err
	}
	err = each(ctx, tx, 1, func(r []driver.Value) error {
		states = append(states, toInt(r[0]))
		return nil
	}, `SELECT seq FROM events WHERE attempt_id IN (SELECT attempt_id FROM sends WHERE seq = ? UNION ALL SELECT id FROM attempts WHERE send_seq = ?)`, row, row)
	return row, states, false, err
}
