package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"time"
)

// rebuildAfter is how many ids are added to a filter, beyond twice what it was built with,
// before it is built anew without those that have left the journal since.
const rebuildAfter = 1_000_000

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
	if err := s.recallIDs(ctx); err != nil {
		return err
	}
	if err := s.recallEarly(); err != nil {
		return err
	}
	s.ids.next = newFilter()
	for hash, ref := range s.ids.active {
		s.ids.note(entry{hash, ref})
	}
	s.ids.busy = true
	s.background.Go(func() { s.keepUp(true) })
	return nil
}

// recallIDs reads the ids that are in no segment, and the list of segments.
func (s *Store) recallIDs(ctx context.Context) error {
	n := &s.ids
	n.active = make(map[int64]int64, 1<<segmentBits)
	rows, err := s.read.QueryContext(ctx, `SELECT serial, entries FROM ids_tail ORDER BY serial`)
	if err != nil {
		return err
	}
	defer rows.Close()
	var b sql.RawBytes
	for rows.Next() {
		if err := rows.Scan(&n.serial, &b); err != nil {
			return err
		}
		for e := range entries(b) {
			n.active[e.hash] = e.ref
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return s.recallSegments(ctx)
}

func (s *Store) recallSegments(ctx context.Context) error {
	n := &s.ids
	n.segments = nil
	rows, err := s.read.QueryContext(ctx, `SELECT id, level, newest FROM segments ORDER BY newest DESC, id DESC`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var g segment
		if err := rows.Scan(&g.id, &g.level, &g.newest); err != nil {
			return err
		}
		n.segments = append(n.segments, g)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	// Above everything, half-made segments included.
	return s.read.QueryRowContext(ctx, `SELECT max(coalesce((SELECT max(id) FROM segments), 0), coalesce((SELECT max(key) >> ? FROM ids), 0)) + 1`,
		keyBits).Scan(&n.nextID)
}

// maintain looks after the ids in the background if there is anything to do; the caller
// holds the lock.
func (s *Store) maintain() {
	n := &s.ids
	if n.busy {
		return
	}
	rebuild := n.filter == nil || n.filter.added >= 2*n.kept+rebuildAfter
	if rebuild {
		n.next = newFilter()
		for hash, ref := range n.active {
			n.note(entry{hash, ref})
		}
	}
	if !rebuild && n.mergeable() == nil {
		return
	}
	n.busy = true
	s.background.Go(func() { s.keepUp(rebuild) })
}

// keepUp builds a filter and merges segments, one after the other: the filter must not miss
// what is being moved.
func (s *Store) keepUp(rebuild bool) {
	err := error(nil)
	if rebuild {
		err = s.fill()
		s.mu.Lock()
		if err == nil {
			s.ids.filter, s.ids.kept = s.ids.next, s.ids.next.added
		}
		s.ids.next = nil
		s.mu.Unlock()
	}
	if err == nil {
		err = s.sweep()
	}
	for err == nil {
		var more bool
		if more, err = s.merge(); !more {
			break
		}
	}
	if err != nil && s.closing.Err() == nil {
		s.cfg.Logger.Warn("the journal's ids cannot be looked after; searches are slower meanwhile", "path", s.path, "err", err)
	}
	s.mu.Lock()
	s.ids.busy = false
	s.mu.Unlock()
}

// fill adds every id in the segments to the filter that is being built. Those that are
// committed meanwhile are added by their commits, at the same time: were this to wait for
// them, there would be no filter as long as the store is busy, when it is needed most.
func (s *Store) fill() error {
	s.mu.Lock()
	segments, next := slices.Clone(s.ids.segments), s.ids.next
	s.mu.Unlock()
	added := 0
	for _, g := range segments {
		n, err := s.fillFrom(g, next)
		if err != nil {
			return err
		}
		added += n
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	next.added += added
	return nil
}

func (s *Store) fillFrom(g segment, next *filter) (added int, err error) {
	rows, err := s.read.QueryContext(s.closing, `SELECT entries FROM ids WHERE key >= ? AND key < ?`, g.id<<keyBits, (g.id+1)<<keyBits)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	var b sql.RawBytes
	for rows.Next() {
		if err := rows.Scan(&b); err != nil {
			return 0, err
		}
		for e := range entries(b) {
			if filtered(e) {
				next.set(e.hash)
				added++
			}
		}
	}
	return added, rows.Err()
}

// mergeable gives the segments that would make one of the next level, the lowest level and
// the oldest first; nil if there are not enough.
func (n *ids) mergeable() []segment {
	for level := range int64(lastLevel) {
		var of []segment
		for _, g := range n.segments {
			if g.level == level {
				of = append(of, g)
			}
		}
		if len(of) >= 1<<fanBits {
			return of[len(of)-1<<fanBits:]
		}
	}
	return nil
}

// mergeRows is how many rows of the new segment are written in one transaction, a few
// milliseconds in which commits wait.
const mergeRows = 512

// merge makes one segment of several. Until it is whole nobody looks at it, and the others
// are removed afterwards, so that it may end at any moment.
func (s *Store) merge() (more bool, err error) {
	s.mu.Lock()
	from := s.ids.mergeable()
	if from == nil {
		s.mu.Unlock()
		return false, nil
	}
	to := segment{id: s.ids.nextID, level: from[0].level + 1}
	s.ids.nextID++
	s.mu.Unlock()
	for _, g := range from {
		to.newest = max(to.newest, g.newest)
	}
	get, err := s.read.PrepareContext(s.closing, `SELECT entries FROM ids WHERE key = ?`)
	if err != nil {
		return false, err
	}
	defer get.Close()
	type made struct {
		key     int64
		entries []byte
	}
	var out []made
	flush := func() error {
		err := s.gently(func() error {
			for _, r := range out {
				if err := s.w.insertIDs.exec(r.key, r.entries); err != nil {
					return err
				}
			}
			return nil
		})
		out = out[:0]
		return err
	}
	shift := hashBits(to.level) - hashBits(from[0].level)
	for bits := range int64(1) << hashBits(from[0].level) {
		rows := make([][]byte, 1<<shift)
		for _, g := range from {
			var b []byte
			switch err := get.QueryRowContext(s.closing, g.id<<keyBits|bits).Scan(&b); {
			case errors.Is(err, sql.ErrNoRows):
			case err != nil:
				return false, err
			}
			for e := range entries(b) {
				i := uint64(e.hash) >> (64 - hashBits(to.level)) & (1<<shift - 1)
				rows[i] = pack(rows[i], e)
			}
		}
		for i, row := range rows {
			if len(row) > 0 {
				out = append(out, made{to.id<<keyBits | bits<<shift | int64(i), row})
			}
		}
		if len(out) >= mergeRows {
			if err := flush(); err != nil {
				return false, err
			}
		}
	}
	if err := flush(); err != nil {
		return false, err
	}
	if err := s.exclusively(func() error {
		for _, g := range from {
			if err := s.w.run(`DELETE FROM segments WHERE id = ?`, g.id); err != nil {
				return err
			}
		}
		return s.w.run(`INSERT INTO segments (id, level, newest) VALUES (?, ?, ?)`, to.id, to.level, to.newest)
	}); err != nil {
		return false, err
	}
	s.mu.Lock()
	s.ids.replace(from, to)
	s.mu.Unlock()
	for _, g := range from {
		if err := s.dropRows(g.id); err != nil {
			return false, err
		}
	}
	return true, nil
}

// replace puts a segment in the place of others, or of none if it is zero.
func (n *ids) replace(from []segment, to segment) {
	n.segments = slices.DeleteFunc(slices.Clone(n.segments), func(g segment) bool { return slices.Contains(from, g) })
	if to.id != 0 {
		n.segments = append(n.segments, to)
	}
	slices.SortFunc(n.segments, func(a, b segment) int { return cmp.Or(cmp.Compare(b.newest, a.newest), cmp.Compare(b.id, a.id)) })
}

// exclusively runs f in a transaction of its own, between commits.
func (s *Store) exclusively(f func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Err() != nil {
		return errClosed
	}
	if err := s.writable(); err != nil {
		return err
	}
	return s.transact(f)
}

// restFor is how many times as long as it has written the background waits before it writes
// again: commits keep four fifths of the writer's time, and merging needs far less than the
// rest to keep up.
const restFor = 4

// gently is exclusively for what is in no hurry.
func (s *Store) gently(f func() error) error {
	var began time.Time
	if err := s.exclusively(func() error {
		began = time.Now()
		return f()
	}); err != nil {
		return err
	}
	rest := time.NewTimer(restFor * time.Since(began))
	defer rest.Stop()
	select {
	case <-rest.C:
	case <-s.closing.Done():
	}
	return nil
}

// dropRows removes the rows of a segment that is in no list, a few at a time.
func (s *Store) dropRows(segment int64) error {
	for {
		var gone int64
		err := s.gently(func() (err error) {
			gone, err = s.w.count(`DELETE FROM ids WHERE key IN (SELECT key FROM ids WHERE key >= ? AND key < ? LIMIT ?)`,
				segment<<keyBits, (segment+1)<<keyBits, int64(mergeRows))
			return err
		})
		if err != nil || gone < mergeRows {
			return err
		}
	}
}

// sweep removes what merges and prunings that were cut short have left.
func (s *Store) sweep() error {
	for after := int64(0); ; {
		var key int64
		switch err := s.read.QueryRowContext(s.closing, `SELECT key FROM ids WHERE key >= ? ORDER BY key LIMIT 1`, after).Scan(&key); {
		case errors.Is(err, sql.ErrNoRows):
			return nil
		case err != nil:
			return fmt.Errorf("look for segments: %w", err)
		}
		id := key >> keyBits
		s.mu.Lock()
		listed := slices.ContainsFunc(s.ids.segments, func(g segment) bool { return g.id == id })
		s.mu.Unlock()
		if !listed {
			if err := s.dropRows(id); err != nil {
				return err
			}
		}
		after = (id + 1) << keyBits
	}
}

// forgetIDs takes the segments out of the list that hold nothing younger than a time, as a
// part of a transaction, and keeps what is needed of them. Their rows are swept away later.
func (s *Store) forgetIDs(before int64, needed []entry) (gone []segment, err error) {
	for _, e := range needed {
		s.ids.add(e.hash, e.ref&3, e.ref>>2)
	}
	if err := s.saveIDs(s.now.Load()); err != nil {
		return nil, err
	}
	for _, g := range s.ids.before(before) {
		if err := s.w.run(`DELETE FROM segments WHERE id = ?`, g.id); err != nil {
			return nil, err
		}
		gone = append(gone, g)
	}
	return gone, nil
}

// before are the segments that hold nothing younger than a time.
func (n *ids) before(at int64) (old []segment) {
	for _, g := range n.segments {
		if g.newest < at {
			old = append(old, g)
		}
	}
	return old
}

// needed finds what is about to be forgotten and belongs to something unfinished: a send
// that waits for its time longer than ids are kept is still known by its key.
func (s *Store) needed(ctx context.Context, before int64) ([]entry, error) {
	s.mu.Lock()
	old := s.ids.before(before)
	s.mu.Unlock()
	if len(old) == 0 {
		return nil, nil
	}
	tx, done, err := s.moment(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	live := make(map[entry]struct{})
	add := func(kind int64) func([]driver.Value) error {
		return func(row []driver.Value) error {
			live[entry{hashOf(kind, toText[string](row[1])), toInt(row[0])<<2 | kind}] = struct{}{}
			return nil
		}
	}
	if err := liveIDs(ctx, tx, add, before); err != nil || len(live) == 0 {
		return nil, err
	}
	var needed []entry
	for _, g := range old {
		if err := each(ctx, tx, 1, func(row []driver.Value) error {
			for e := range entries(toBytes(row[0])) {
				if _, ok := live[e]; ok {
					needed = append(needed, e)
				}
			}
			return nil
		}, `SELECT entries FROM ids WHERE key >= ? AND key < ?`, g.id<<keyBits, (g.id+1)<<keyBits); err != nil {
			return nil, err
		}
	}
	return needed, nil
}

// liveIDs gives the ids of what is unfinished and came before a time: seq and id of rows,
// by the kind of the id.
func liveIDs(ctx context.Context, tx *sql.Tx, of func(kind int64) func(row []driver.Value) error, before int64) error {
	if err := each(ctx, tx, 2, of(kindEvent), `SELECT seq, id FROM events INDEXED BY events_unfinished WHERE fate = 0 AND received_at < ?`, before); err != nil {
		return err
	}
	for _, where := range []string{`INDEXED BY sends_queued WHERE status = 1`, `INDEXED BY sends_open WHERE status IN (2, 3)`} {
		if err := each(ctx, tx, 2, of(kindKey), `SELECT seq, key FROM sends `+where+` AND key IS NOT NULL AND coalesce(created_at, 0) < ?`, before); err != nil {
			return err
		}
	}
	return nil
}
