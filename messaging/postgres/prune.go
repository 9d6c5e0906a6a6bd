package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// pruneMost bounds what one call of Prune looks at in each table.
const pruneMost = 2000

// table is a table that is pruned, in the words of SQL.
type table struct {
	name, time string
	id         string // of a row that has attempts
	live       string // what is unfinished and stays
	strip      string // what is forgotten of a finished row first
}

const stripEvent = "body = '', media = NULL, frame = NULL"

var tables = []table{
	{"events", "received_at", "NULL::uuid", "fate = 0", stripEvent},
	{"sends", "created_at", "id", "status IN (1, 2, 3)", "body = '', media = NULL"},
}

// Prune implements messaging.Store. A row loses its text as soon as it is finished and
// older than before; it goes once it is also out of the dedupe window, until which its id
// and key are known. Rows of conversations that nothing happens in go too.
func (s *Store) Prune(ctx context.Context, before time.Time) (int64, error) {
	if s.closing.Err() != nil {
		return 0, errClosed
	}
	var total int64
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		// One instance at a time; the others have nothing to do meanwhile.
		var first bool
		if err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock(hashtext('signpost prune ' || current_schema()))`).Scan(&first); err != nil || !first {
			return err
		}
		for _, t := range tables {
			n, err := s.prune(ctx, tx, t, before.UnixMilli())
			if err != nil {
				return err
			}
			total += n
		}
		if now := s.now.Load(); now != 0 {
			n, err := pruneValues(ctx, tx, time.UnixMilli(now))
			if total += n; err != nil {
				return err
			}
		}
		return s.pruneRest(ctx, tx)
	})
	if err != nil {
		return 0, fmt.Errorf("prune: %w", classify(err))
	}
	return total, nil
}

func mark(ctx context.Context, tx pgx.Tx, name string) (value int64, err error) {
	err = tx.QueryRow(ctx, `SELECT value FROM marks WHERE name = $1`, name).Scan(&value)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	return value, err
}

func setMark(ctx context.Context, tx pgx.Tx, name string, value int64) error {
	_, err := tx.Exec(ctx, `INSERT INTO marks (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = $2`, name, value)
	return err
}

// prune works through a table in two passes: the text of what is older than before, from
// where the last call ended, then the rows that have left the window too.
func (s *Store) prune(ctx context.Context, tx pgx.Tx, t table, before int64) (int64, error) {
	// A straggler is forgotten when its text is, and not because it has finished: it may do
	// so between two statements.
	tag, err := tx.Exec(ctx, `WITH done AS (UPDATE `+t.name+` SET `+t.strip+` WHERE NOT (`+t.live+`) AND seq IN (SELECT seq FROM stragglers WHERE of = $1) RETURNING seq)
		DELETE FROM stragglers s WHERE of = $1 AND (seq IN (SELECT seq FROM done) OR NOT EXISTS (SELECT 1 FROM `+t.name+` x WHERE x.seq = s.seq))`, t.name)
	if err != nil {
		return 0, err
	}
	total := tag.RowsAffected()
	name := t.stripped()
	from, err := mark(ctx, tx, name)
	if err != nil {
		return 0, err
	}
	// In the order of arrival up to the first row that is too young. Rows that another
	// instance is committing right now have places below it: the margin lets them come.
	var to *int64
	if err := tx.QueryRow(ctx, `WITH page AS (SELECT seq, coalesce(`+t.time+`, 0) >= $2 AS young FROM `+t.name+` WHERE seq > $1 ORDER BY seq LIMIT $3)
		SELECT max(seq) FROM page WHERE seq < coalesce((SELECT min(seq) FROM page WHERE young), 9223372036854775807)`,
		from, before, pruneMost).Scan(&to); err != nil {
		return 0, err
	}
	if to != nil {
		// Noted first: what finishes between the two statements is noted and stripped.
		if _, err = tx.Exec(ctx, `INSERT INTO stragglers SELECT $3, seq FROM `+t.name+` WHERE seq > $1 AND seq <= $2 AND `+t.live+` ON CONFLICT DO NOTHING`,
			from, *to, t.name); err != nil {
			return 0, err
		}
		if tag, err = tx.Exec(ctx, `UPDATE `+t.name+` SET `+t.strip+` WHERE seq > $1 AND seq <= $2 AND NOT (`+t.live+`)`, from, *to); err != nil {
			return 0, err
		}
		total += tag.RowsAffected()
		if err = setMark(ctx, tx, name, *to); err != nil {
			return 0, err
		}
	}
	now := s.now.Load()
	if now == 0 {
		return total, nil // nobody has said what time it is
	}
	n, err := t.delete(ctx, tx, min(before, now-s.cfg.DedupeFor.Milliseconds()))
	return total + n, err
}

func (t table) stripped() string { return "stripped " + t.name }

// delete deletes the oldest rows that were stripped and are older than the window, and the
// attempts at them.
func (t table) delete(ctx context.Context, tx pgx.Tx, window int64) (int64, error) {
	rows, err := tx.Query(ctx, `DELETE FROM `+t.name+` WHERE NOT (`+t.live+`) AND seq IN (
		SELECT seq FROM `+t.name+` WHERE seq <= coalesce((SELECT value FROM marks WHERE name = $1), 0) AND NOT (`+t.live+`) AND coalesce(`+t.time+`, 0) < $2
		ORDER BY seq LIMIT $3) RETURNING `+t.id+`, attempt_id`, t.stripped(), window, pruneMost)
	if err != nil {
		return 0, err
	}
	var gone, newest []uuid.UUID
	var n int64
	var id, attempt *uuid.UUID
	if _, err := pgx.ForEachRow(rows, []any{&id, &attempt}, func() error {
		n++
		if id != nil {
			gone = append(gone, *id)
			newest = append(newest, orZero(attempt))
		}
		return nil
	}); err != nil || len(gone) == 0 {
		return n, err
	}
	// A statement of its own, which sees every attempt that was made before the lock.
	_, err = tx.Exec(ctx, deleteAttempts, newest, gone)
	return n, err
}

const deleteAttempts = `DELETE FROM attempts WHERE id = ANY($1) OR superseded AND send_id = ANY($2)`

// pruneRest forgets what belongs to rows that are gone.
func (s *Store) pruneRest(ctx context.Context, tx pgx.Tx) error {
	if now := s.now.Load(); now != 0 {
		if _, err := tx.Exec(ctx, `DELETE FROM batches WHERE committed_at < $1`, now-s.cfg.DedupeFor.Milliseconds()); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, pruneCounters, now, pruneMost); err != nil {
			return err
		}
	}
	const name = "conversations"
	from, err := mark(ctx, tx, name)
	if err != nil {
		return err
	}
	// Locked first and judged by a statement of its own: an append that was there before
	// has committed by then, and shows.
	rows, err := tx.Query(ctx, `SELECT id FROM conversations WHERE id > $1 ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED`, from, pruneMost)
	if err != nil {
		return err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return err
	}
	to := int64(0) // from the beginning again
	if len(ids) > 0 {
		to = ids[len(ids)-1]
		if _, err := tx.Exec(ctx, `DELETE FROM conversations c WHERE id = ANY($1)
			AND NOT EXISTS (SELECT 1 FROM events e WHERE e.conversation = c.id AND e.fate = 0)
			AND NOT EXISTS (SELECT 1 FROM sends s WHERE s.conversation = c.id AND s.status IN (1, 2, 3))`, ids); err != nil {
			return err
		}
	}
	return setMark(ctx, tx, name, to)
}
