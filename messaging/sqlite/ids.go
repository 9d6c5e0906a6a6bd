package sqlite

import (
	"database/sql/driver"
	"encoding/binary"
)

// The kinds of ids. They are stored in the last two bits of a reference.
const (
	kindEvent   = 0 // the id of an event
	kindKey     = 1 // the idempotency key of a send
	kindMessage = 2 // the platform's id of a send's message
	kindInbound = 3 // the platform's id of an inbound, where it is not the event's
)

// entry is where an id is found.
type entry struct{ hash, ref int64 }

const entrySize = 16

// ids finds events, keys and messages by their hash. They come in no order, so an ordinary
// index would touch a page for each, and the more the larger it grows. Instead the newest
// are in memory and, for a restart, in one small row of each commit; when there are enough
// of them they are written at once as a segment, sorted roughly, and never changed.
type ids struct {
	filter *filter // of events and keys; nil until the first one is built, then the segments are asked
	next   *filter // being built; it will replace filter
	kept   int     // what filter held when it was built

	active   map[int64]int64 // reference by hash: what is in no segment yet
	fresh    []entry         // what the batch adds
	sealed   segment         // what the batch makes of the active ones; zero if nothing
	serial   int64           // of the next row of ids_tail
	segments []segment       // the newest entries first
	nextID   int64           // of the next segment
	busy     bool            // maintenance runs in the background
}

// segment is a set of entries on the disk.
type segment struct {
	id, level int64
	newest    int64 // when the newest entry came, in milliseconds
}

const (
	// segmentBits is how many entries make a segment, as a power of two: few enough to be
	// held in a megabyte, and written in milliseconds.
	segmentBits = 15
	// rowBits is how many of them lie in one row on average: a kilobyte, so that some fit a
	// page and a search reads one.
	rowBits = 6
	// fanBits is how many segments of a level are merged into one of the next.
	fanBits = 4
	// keyBits is the room for the hash in a row's key; enough for levels up to the last.
	keyBits = 20
	// lastLevel is not merged further: 8 million entries.
	lastLevel = 2
)

// hashBits is how many bits of the hash choose the row in a segment of a level.
func hashBits(level int64) int64 { return segmentBits - rowBits + fanBits*level }

// key is the row of a hash in a segment.
func (g segment) key(hash int64) int64 {
	return g.id<<keyBits | int64(uint64(hash)>>(64-hashBits(g.level)))
}

// add makes an id known; the first to have it keeps it.
func (n *ids) add(hash, kind, seq int64) {
	if _, taken := n.active[hash]; taken {
		return
	}
	e := entry{hash, seq<<2 | kind}
	n.active[hash] = e.ref
	n.fresh = append(n.fresh, e)
	n.note(e)
}

// filtered reports whether an entry is in the filters. Messages are not: they are asked for
// where a state comes without its tag, or by people, and would crowd out the rest.
func filtered(e entry) bool { return e.ref&3 == kindEvent || e.ref&3 == kindKey }

// note tells the filters of an entry.
func (n *ids) note(e entry) {
	if !filtered(e) {
		return
	}
	if n.filter != nil {
		n.filter.add(e.hash)
	}
	if n.next != nil {
		n.next.add(e.hash)
	}
}

// new reports that the hash of an event or a key is not in the journal for certain.
func (n *ids) new(hash int64) bool { return n.filter != nil && !n.filter.may(hash) }

// undo forgets what the batch added. In the filters it stays, and costs a search at most.
func (n *ids) undo() {
	for _, e := range n.fresh {
		delete(n.active, e.hash)
	}
	n.fresh, n.sealed = n.fresh[:0], segment{}
}

// committed makes what the batch added lasting.
func (n *ids) committed() {
	n.fresh = n.fresh[:0]
	if n.sealed.id != 0 {
		clear(n.active)
		n.segments = append([]segment{n.sealed}, n.segments...)
		n.nextID++
		n.sealed = segment{}
	}
}

// find looks for an id of a kind, the newest first, since what comes again mostly comes
// soon. is tells whether the row at seq is the one, as two ids may have one hash.
func (s *Store) find(hash, kind int64, is func(seq int64) (bool, error)) (bool, error) {
	if ref, ok := s.ids.active[hash]; ok && ref&3 == kind {
		if ok, err := is(ref >> 2); ok || err != nil {
			return ok, err
		}
	}
	var row [1]driver.Value
	for _, g := range s.ids.segments {
		found, err := s.w.findIDs.row(row[:], g.key(hash))
		if err != nil {
			return false, err
		}
		if !found {
			continue
		}
		for e := range entries(toBytes(row[0])) {
			if e.hash != hash || e.ref&3 != kind {
				continue
			}
			if ok, err := is(e.ref >> 2); ok || err != nil {
				return ok, err
			}
		}
	}
	return false, nil
}

// entries reads what pack wrote.
func entries(b []byte) func(yield func(entry) bool) {
	return func(yield func(entry) bool) {
		for ; len(b) >= entrySize; b = b[entrySize:] {
			if !yield(entry{int64(binary.LittleEndian.Uint64(b)), int64(binary.LittleEndian.Uint64(b[8:]))}) {
				return
			}
		}
	}
}

func pack(b []byte, e entry) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(e.hash))
	return binary.LittleEndian.AppendUint64(b, uint64(e.ref))
}

// saveIDs writes what the batch added, as a part of its transaction.
func (s *Store) saveIDs(now int64) error {
	n := &s.ids
	if len(n.fresh) == 0 {
		return nil
	}
	if len(n.active) >= s.bounds.seal {
		return s.seal(now)
	}
	b := make([]byte, 0, len(n.fresh)*entrySize)
	for _, e := range n.fresh {
		b = pack(b, e)
	}
	n.serial++
	return s.w.insertTail.exec(n.serial, b)
}

// seal writes the active entries as a segment, instead of the tail's rows.
func (s *Store) seal(now int64) error {
	n := &s.ids
	g := segment{id: n.nextID, newest: now}
	rows := make([][]byte, 1<<hashBits(0))
	for hash, ref := range n.active {
		row := &rows[uint64(hash)>>(64-hashBits(0))]
		*row = pack(*row, entry{hash, ref})
	}
	for i, row := range rows {
		if len(row) > 0 {
			if err := s.w.insertIDs.exec(g.id<<keyBits|int64(i), row); err != nil {
				return err
			}
		}
	}
	if err := s.w.run(`DELETE FROM ids_tail`); err != nil {
		return err
	}
	if err := s.w.run(`INSERT INTO segments (id, level, newest) VALUES (?, ?, ?)`, g.id, g.level, g.newest); err != nil {
		return err
	}
	n.sealed = g
	return nil
}
