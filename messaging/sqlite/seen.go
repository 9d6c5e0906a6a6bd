package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"time"
)

// seen answers whether an id, a key or a message id is in the journal.
type seen struct {
	filter *filter // nil until the first one is built; then the disk is asked every time
	next   *filter // being built; it will replace filter
	kept   int     // what filter held when it was built

	events, sends span
}

// span is the range of generations that are looked through.
type span struct{ first, last int64 }

// rebuildAfter is how many ids are added to a filter, beyond twice what it was built with,
// before it is built anew without those that have left the journal since.
const rebuildAfter = 1_000_000

func (n *seen) add(hash int64) {
	if n.filter != nil {
		n.filter.add(hash)
	}
	if n.next != nil {
		n.next.add(hash)
	}
}

// new reports that a hash is not in the journal for certain.
func (n *seen) new(hash int64) bool { return n.filter != nil && !n.filter.may(hash) }

// find looks through the generations, the newest first, since what comes again mostly
// comes soon.
func (p span) find(s *stmt, dest []driver.Value, hash int64, text string) (bool, error) {
	for g := p.last; g >= p.first; g-- {
		if ok, err := s.row(dest, g, hash, text); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// recall reads what memory keeps of the journal.
func (s *Store) recall(ctx context.Context) error {
	var now sql.NullInt64
	err := s.read.QueryRowContext(ctx, `SELECT
		max(coalesce((SELECT max(seq) FROM events), 0) + 1, coalesce((SELECT value FROM marks WHERE name = 'next events'), 1)),
		max(coalesce((SELECT max(seq) FROM sends), 0) + 1, coalesce((SELECT value FROM marks WHERE name = 'next sends'), 1)),
		(SELECT max(committed_at) FROM batches)`).Scan(&s.next.event, &s.next.send, &now)
	if err != nil {
		return err
	}
	s.now.Store(now.Int64)
	if err := s.survey(ctx, &s.seen.events, &s.seen.sends); err != nil {
		return err
	}
	if err := s.recallEarly(); err != nil {
		return err
	}
	s.rebuild()
	return nil
}

// survey finds the generations that reach back as far as the window.
func (s *Store) survey(ctx context.Context, events, sends *span) error {
	since := s.now.Load() - s.cfg.DedupeFor.Milliseconds()
	for _, t := range []struct {
		span  *span
		next  int64
		query string
	}{
		{events, s.next.event, `SELECT seq, received_at FROM events WHERE seq >= ? ORDER BY seq LIMIT 1`},
		{sends, s.next.send, `SELECT seq, created_at FROM sends WHERE seq >= ? ORDER BY seq LIMIT 1`},
	} {
		// Rows are in the order of their time, near enough for a window of days.
		low, high := int64(0), t.next
		for low < high {
			middle := low + (high-low)/2
			var seq int64
			var at sql.NullInt64
			err := s.read.QueryRowContext(ctx, t.query, middle).Scan(&seq, &at)
			switch {
			case err == sql.ErrNoRows || err == nil && at.Int64 >= since:
				high = middle
			case err == nil:
				low = seq + 1
			default:
				return err
			}
		}
		*t.span = span{first: low >> generation, last: t.next >> generation}
	}
	return nil
}

// rebuild builds a filter in the background; the caller holds the lock, or is alone. The
// former filter, or the disk, is asked meanwhile.
func (s *Store) rebuild() {
	s.seen.next = newFilter()
	events, sends := s.seen.events.first, s.seen.sends.first
	s.rebuilds.Go(func() {
		err := s.fill(events, sends)
		s.mu.Lock()
		defer s.mu.Unlock()
		switch {
		case err == nil:
			s.seen.filter, s.seen.kept = s.seen.next, s.seen.next.added
		case s.closing.Err() == nil:
			s.cfg.Logger.Warn("the filter of known ids cannot be built; commits are slower without it", "path", s.path, "err", err)
		}
		s.seen.next = nil
	})
}

// fillChunk is how many hashes are added under one lock, a fraction of a millisecond.
const fillChunk = 4096

// fill adds every hash in the journal to the filter that is being built. Those that are
// committed meanwhile are added by their commits.
func (s *Store) fill(events, sends int64) error {
	chunk := make([]int64, 0, fillChunk)
	flush := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, h := range chunk {
			s.seen.next.add(h)
		}
		chunk = chunk[:0]
	}
	for _, q := range []struct {
		sql  string
		from int64
	}{
		{`SELECT hash FROM events WHERE seq >> 14 >= ?`, events},
		{`SELECT key_hash FROM sends WHERE seq >> 14 >= ? AND key_hash IS NOT NULL`, sends},
		{`SELECT message_hash FROM sends WHERE seq >> 14 >= ? AND message_hash IS NOT NULL`, sends},
		{`SELECT message_hash FROM attempts WHERE ? IS NOT NULL AND message_hash IS NOT NULL`, 0},
	} {
		rows, err := s.read.QueryContext(s.closing, q.sql, q.from)
		if err != nil {
			return err
		}
		for rows.Next() {
			var h int64
			if err := rows.Scan(&h); err != nil {
				_ = rows.Close()
				return err
			}
			if chunk = append(chunk, h); len(chunk) == cap(chunk) {
				flush()
			}
		}
		if err := rows.Close(); err != nil {
			return err
		}
		if err := rows.Err(); err != nil {
			return fmt.Errorf("read hashes: %w", err)
		}
	}
	flush()
	return nil
}

// renew builds the filter anew when it holds much that has left the window; the caller
// holds the lock.
func (s *Store) renew() {
	n := &s.seen
	n.events.last, n.sends.last = s.next.event>>generation, s.next.send>>generation
	if n.filter == nil || n.next != nil || n.filter.added < 2*n.kept+rebuildAfter {
		return
	}
	ctx, cancel := context.WithTimeout(s.closing, time.Second)
	defer cancel()
	if err := s.survey(ctx, &n.events, &n.sends); err != nil {
		s.cfg.Logger.Warn("the journal's window cannot be found", "path", s.path, "err", err)
		n.kept = n.filter.added // not before as much has come again
		return
	}
	s.rebuild()
}
