package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/signpost-sms/signpost/messaging"
)

// Redact implements messaging.Redacter.
func (s *Store) Redact(ctx context.Context, id string) error {
	if s.closing.Err() != nil {
		return errClosed
	}
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		err := redactRow(ctx, tx, `SELECT fate = 0 FROM events WHERE id = $1 AND kind = 1 FOR UPDATE`, `UPDATE events SET `+stripEvent+` WHERE id = $1`, id)
		if !errors.Is(err, messaging.ErrUnknown) {
			return err
		}
		named, bad := uuid.Parse(id)
		if bad != nil {
			return messaging.ErrUnknown
		}
		if err := redactRow(ctx, tx, `SELECT status IN (1, 2, 3) FROM sends WHERE id = $1 FOR UPDATE`, `UPDATE sends SET body = '', media = NULL WHERE id = $1`, named); err != nil {
			return err
		}
		// The frames of its states may hold the text.
		_, err = tx.Exec(ctx, `UPDATE events SET `+stripEvent+` WHERE attempt_id IN (SELECT id FROM attempts WHERE send_id = $1) AND fate <> 0`, named)
		return err
	})
	switch {
	case err == nil, errors.Is(err, messaging.ErrUnknown), errors.Is(err, messaging.ErrTooLate):
		return err
	}
	return fmt.Errorf("remove the text of a message: %w", classify(err))
}

// redactRow removes the text of a row unless it is not finished.
func redactRow(ctx context.Context, tx pgx.Tx, live, strip string, id any) error {
	var lives bool
	switch err := tx.QueryRow(ctx, live, id).Scan(&lives); {
	case errors.Is(err, pgx.ErrNoRows):
		return messaging.ErrUnknown
	case err != nil:
		return err
	case lives:
		return messaging.ErrTooLate
	}
	_, err := tx.Exec(ctx, strip, id)
	return err
}
