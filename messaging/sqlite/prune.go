package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"
	"time"
)

// kind is a table that is pruned, in the words of SQL.
type kind struct {
	table, time string
	live        string // what is unfinished and stays
	strip       string // what is forgotten of a finished row first
	text        string // there is something to forget
}

var kinds = []kind{
	{"events", "received_at", "fate = 0", "body = '', media = NULL, frame = NULL", "body <> '' OR media IS NOT NULL OR frame IS NOT NULL"},
	{"sends", "created_at", "status IN (1, 2, 3)", "body = '', media = NULL", "body <> '' OR media IS NOT NULL"},
}

// Prune implements messaging.Store. A row loses its text as soon as it is finished and
// older than before; it goes once it is also out of the dedupe window, until which its id
// and key are known.
func (s *Store) Prune(ctx context.Context, before time.Time) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("prune: %w", err)
	}
	window := s.now.Load() - s.cfg.DedupeFor.Milliseconds()
	last := min(window, before.UnixMilli()) // ids that came before it are forgotten
	needed, err := s.needed(ctx, last)
	if err != nil {
		return 0, s.blame(ctx, "prune", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Err() != nil {
		return 0, errClosed
	}
	var total int64
	var gone []segment
	err = s.writable()
	if err == nil {
		err = s.transact(func() error {
			for _, k := range kinds {
				n, err := s.prune(k, before.UnixMilli())
				if err != nil {
					return err
				}
				total += n
			}
			n, err := s.pruneValues()
			if total += n; err != nil {
				return err
			}
			if gone, err = s.forgetIDs(last, needed); err != nil {
				return err
			}
			// Of processes that are long gone; a batch comes again soon or never.
			return s.w.run(`DELETE FROM batches WHERE committed_at < ?`, window)
		})
	}
	if err != nil {
		return 0, fmt.Errorf("prune: %w", classify(s.path, err))
	}
	s.ids.committed()
	if len(gone) > 0 {
		s.ids.replace(gone, segment{})
		if !s.ids.busy {
			s.ids.busy = true
			s.background.Go(func() { s.keepUp(false) })
		}
	}
	return total, nil
}

// prune works through a table in two passes, each from where the last call ended: the text
// of what is older than before, then the rows that have left the window too.
func (s *Store) prune(k kind, before int64) (int64, error) {
	late, err := s.w.count(`UPDATE `+k.table+` SET `+k.strip+` WHERE NOT (`+k.live+`) AND seq IN (SELECT seq FROM stragglers WHERE of = ?)`, k.table)
	if err != nil {
		return 0, err
	}
	if err := s.w.run(`DELETE FROM stragglers WHERE of = ?1 AND seq NOT IN (SELECT seq FROM `+k.table+` WHERE `+k.live+`)`, k.table); err != nil {
		return 0, err
	}
	mark, err := s.w.one(`SELECT coalesce(max(value), 0) FROM marks WHERE name = ?`, "stripped "+k.table)
	if err != nil {
		return 0, err
	}
	stripped, end, err := s.pass(k, "true", mark, before, `UPDATE `+k.table+` SET `+k.strip+` WHERE seq > ?1 AND seq <= ?2 AND NOT (`+k.live+`)`)
	if err != nil {
		return 0, err
	}
	if end > mark {
		if err := s.w.run(`INSERT INTO stragglers SELECT ?3, seq FROM `+k.table+` WHERE seq > ?1 AND seq <= ?2 AND `+k.live, mark, end, k.table); err != nil {
			return 0, err
		}
		if err := s.mark("stripped "+k.table, end); err != nil {
			return 0, err
		}
	}
	now := s.now.Load()
	if now == 0 {
		return late + stripped, nil // nobody has said what time it is
	}
	gone, end, err := s.pass(k, "NOT ("+k.live+")", 0, min(before, now-s.cfg.DedupeFor.Milliseconds()),
		`DELETE FROM `+k.table+` WHERE seq > ?1 AND seq <= ?2 AND NOT (`+k.live+`)`)
	if err != nil || gone == 0 {
		return late + stripped, err
	}
	// The numbers of deleted rows are not given out again.
	next := map[string]int64{"events": s.next.event, "sends": s.next.send}[k.table]
	if err := s.mark("next "+k.table, next); err != nil {
		return 0, err
	}
	if k.table == "sends" {
		err = s.w.run(`DELETE FROM attempts WHERE send_seq <= ? AND send_seq NOT IN (SELECT seq FROM sends)`, end)
	}
	return late + stripped + gone, err
}

// pass finds the rows of a sort after a mark that are older than a time, a bounded number of
// them, and runs a statement on their range. It returns what the statement changed and the range's end.
func (s *Store) pass(k kind, sort string, mark, before int64, query string) (changed, end int64, err error) {
	end = mark
	var row [2]driver.Value
	st, err := s.w.prepare(`SELECT seq, coalesce(` + k.time + `, 0) FROM ` + k.table + ` WHERE seq > ? ORDER BY seq LIMIT ?`)
	if err != nil {
		return 0, 0, err
	}
	defer s.w.discard(st)
	young := false
	err = st.query(row[:], func() error {
		if young = young || toInt(row[1]) >= before; !young {
			end = toInt(row[0])
		}
		return nil
	}, mark, int64(s.bounds.prune))
	if err != nil || end == mark {
		return 0, end, err
	}
	changed, err = s.w.count(query, mark, end)
	return changed, end, err
}

// straggle makes Prune look at a row again that lives again, if it has passed it.
func (s *Store) straggle(table string, seq int64) error {
	return s.w.run(`INSERT INTO stragglers SELECT ?1, ?2 WHERE ?2 <= (SELECT value FROM marks WHERE name = 'stripped ' || ?1) ON CONFLICT DO NOTHING`,
		table, seq)
}

func (s *Store) mark(name string, value int64) error {
	return s.w.run(`INSERT INTO marks (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2`, name, value)
}

// run prepares, executes and forgets a statement.
func (w *writer) run(query string, args ...driver.Value) error {
	_, err := w.count(query, args...)
	return err
}

// count is run, and tells how many rows changed.
func (w *writer) count(query string, args ...driver.Value) (int64, error) {
	st, err := w.prepare(query)
	if err != nil {
		return 0, err
	}
	defer w.discard(st)
	return st.changes(args...)
}

// one reads a single number.
func (w *writer) one(query string, args ...driver.Value) (int64, error) {
	st, err := w.prepare(query)
	if err != nil {
		return 0, err
	}
	defer w.discard(st)
	var row [1]driver.Value
	_, err = st.row(row[:], args...)
	return toInt(row[0]), err
}

// discard closes the statement that was prepared last.
func (w *writer) discard(s *stmt) {
	w.all = w.all[:len(w.all)-1]
	_ = s.stmt.Close() // it reports the error of its last run again
}
