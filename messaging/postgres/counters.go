package postgres

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/signpost-sms/signpost/messaging"
)

var _ messaging.Counting = (*Store)(nil)

const (
	// Who stores counters waits for whoever does, so that the order of Seq is that of the
	// commits.
	lockCounters  = `SELECT pg_advisory_xact_lock(hashtext('signpost counters ' || current_schema()))`
	storeCounters = `INSERT INTO counters (owner, scope, key, start, n, until, seq)
		SELECT $1, c.*, nextval('counters_order') FROM unnest($2::text[], $3::text[], $4::bigint[], $5::integer[], $6::bigint[]) AS c
		ON CONFLICT (owner, scope, key, start) DO UPDATE SET n = EXCLUDED.n, until = EXCLUDED.until, seq = EXCLUDED.seq`
	pruneCounters = `DELETE FROM counters WHERE ctid = ANY(ARRAY(SELECT ctid FROM counters WHERE until < $1 ORDER BY until LIMIT $2))`
)

// Count implements messaging.Counting.
func (s *Store) Count(ctx context.Context, owner uuid.UUID, counters []messaging.Counter) error {
	if s.closing.Err() != nil {
		return errClosed
	}
	var scopes, keys []string
	var starts, untils []int64
	var ns []int
	for _, c := range counters {
		scopes, keys, ns = append(scopes, c.Scope), append(keys, c.Key), append(ns, c.N)
		starts, untils = append(starts, c.Start.UnixMilli()), append(untils, c.Until.UnixMilli())
	}
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lockCounters); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, storeCounters, owner, scopes, keys, starts, ns, untils)
		return err
	})
	if err != nil {
		return fmt.Errorf("store counters: %w", classify(err))
	}
	return nil
}

// Counted implements messaging.Counting.
func (s *Store) Counted(ctx context.Context, except uuid.UUID, after int64, limit int) (found []messaging.Counter, err error) {
	err = s.reading(ctx, "read counters", func() error {
		rows, err := s.pool.Query(ctx, `SELECT owner, seq, scope, key, start, n, until FROM counters WHERE seq > $1 AND owner <> $2 ORDER BY seq LIMIT $3`,
			after, except, max(limit, 0))
		if err != nil {
			return err
		}
		var c messaging.Counter
		var start, until int64
		_, err = pgx.ForEachRow(rows, []any{&c.Owner, &c.Seq, &c.Scope, &c.Key, &start, &c.N, &until}, func() error {
			c.Start, c.Until = timeOf(&start), timeOf(&until)
			found = append(found, c)
			return nil
		})
		return err
	})
	return found, err
}
