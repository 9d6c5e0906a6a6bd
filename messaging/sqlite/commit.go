package sqlite

import (
	"context"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
	sq "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

var errReused = errors.New("a batch id was used again for other operations")

// errClosed is what a closed store says.
var errClosed = fmt.Errorf("%w: the store is closed", messaging.ErrUnavailable)

// Commit implements messaging.Store. The context is asked before it begins; a commit that
// has begun runs to its end.
func (s *Store) Commit(ctx context.Context, b *messaging.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("commit %d operations: %w", b.Len(), err)
	}
	if s.closing.Err() != nil {
		return errClosed
	}
	if err := s.commit(b); err != nil {
		return fmt.Errorf("commit %d operations: %w", b.Len(), classify(s.path, err))
	}
	return nil
}

func (s *Store) commit(b *messaging.Batch) error {
	if err := s.writable(); err != nil {
		return err
	}
	if known, err := s.replay(b); known || err != nil {
		return err
	}
	if err := s.transact(func() error {
		if err := s.apply(b); err != nil {
			return err
		}
		if err := s.saveIDs(b.Now.UnixMilli()); err != nil {
			return err
		}
		return s.w.saveBatch.exec(id(b.Owner), id(b.ID), b.Now.UnixMilli(), s.results(b))
	}); err != nil {
		return err
	}
	s.ids.committed()
	s.last[b.Owner] = b.ID
	s.now.Store(max(s.now.Load(), b.Now.UnixMilli()))
	s.at.Store(int64(time.Since(s.born)))
	for i, a := range b.Appends {
		if a.Fresh {
			a.Event.Seq = s.seqs[i]
		}
	}
	s.maintain()
	return nil
}

// writable opens the writer again if it was given up.
func (s *Store) writable() error {
	if s.w != nil {
		return nil
	}
	w, err := openWriter(dsn(s.path, writing))
	if err == nil {
		s.w = w
	}
	return err
}

// transact runs f in a transaction.
func (s *Store) transact(f func() error) error {
	next := s.next
	err := s.w.begin.exec()
	if err == nil {
		err = f()
	}
	if err == nil {
		err = s.w.commit.exec()
	}
	if err != nil {
		s.abandon(next, err)
	}
	return err
}

func (s *Store) apply(b *messaging.Batch) error {
	s.seqs, s.stamp, s.tail = s.seqs[:0], b.Now.UnixMilli(), tail{}
	for _, a := range b.Appends {
		seq, err := s.append(a, b.Now)
		if err != nil {
			return err
		}
		s.seqs = append(s.seqs, seq)
	}
	if _, err := s.changeAll(b.Consents); err != nil {
		return err
	}
	if err := s.changeValues(b.Values); err != nil {
		return err
	}
	for _, x := range b.Settles {
		if err := s.settle(x); err != nil {
			return err
		}
	}
	for _, q := range b.Enqueues {
		if err := s.enqueue(q); err != nil {
			return err
		}
	}
	for _, c := range b.Claims {
		if err := s.claim(c); err != nil {
			return err
		}
	}
	for _, r := range b.Reports {
		if err := s.report(r, b.Now); err != nil {
			return err
		}
	}
	for _, v := range b.Revives {
		if err := s.revive(v); err != nil {
			return err
		}
	}
	return nil
}

// abandon ends a transaction that failed and makes memory what it was before. Unless the
// batch itself was at fault, the connection is given up: what it still holds is not known.
func (s *Store) abandon(next struct{ event, send int64 }, err error) {
	rollback := s.w.rollback.exec()
	var e *sq.Error
	blamed := !errors.As(err, &e) || e.Code()&0xff == lib.SQLITE_CONSTRAINT
	if !blamed || rollback != nil {
		_ = s.w.close()
		s.w = nil
		clear(s.last) // the batch may be in the journal all the same
	}
	s.next = next
	clear(s.open)
	s.ids.undo()
	if early := s.recallEarly(); early != nil {
		s.cfg.Logger.Warn("the states that overtook their reports cannot be read back", "path", s.path, "err", early)
	}
}

// What a result is made of, one byte for each operation or send.
const (
	wasTrue   = 1 << iota // fresh, inserted, lost or granted
	wasMerged             // a merge follows
	wasAdvanced
	wasConflict
	wasAgain // queued again
)

// results packs what the batch is told, for the case that it comes again. What can be read
// from the journal is left out, so that a result is little more than a byte.
func (s *Store) results(b *messaging.Batch) []byte {
	r := binary.AppendVarint(nil, int64(b.Len()))
	flag := func(v bool) {
		if v {
			r = append(r, wasTrue)
		} else {
			r = append(r, 0)
		}
	}
	merge := func(truth bool, m *messaging.Merge) {
		var f byte
		if truth {
			f = wasTrue
		}
		if m == nil {
			r = append(r, f)
			return
		}
		f |= wasMerged
		if m.Advanced {
			f |= wasAdvanced
		}
		if m.Conflict {
			f |= wasConflict
		}
		if m.Again != nil {
			f |= wasAgain
		}
		outcome, _ := encode(outcomes, m.Outcome) // they have been stored
		status, _ := encode(statuses, m.Status)
		r = append(r, f, byte(outcome), byte(status))
	}
	consents := func(cs []*messaging.ConsentChange) {
		for _, c := range cs {
			r = binary.AppendVarint(r, c.State.Seq)
		}
	}
	outcome := func(o *messaging.Outcome) {
		if o == nil {
			return
		}
		for _, out := range o.Sends {
			flag(out.Inserted)
		}
		consents(o.Consents)
	}
	for i, a := range b.Appends {
		merge(a.Fresh, a.Merge)
		if a.Fresh {
			r = binary.AppendVarint(r, s.seqs[i])
		}
		if a.Merge != nil {
			r = append(r, a.Merge.Ref.Attempt[:]...)
		}
		consents(a.Consents)
		outcome(a.Outcome)
	}
	consents(b.Consents)
	for _, x := range b.Settles {
		flag(x.Lost)
		outcome(x.Outcome)
	}
	for _, q := range b.Enqueues {
		var f byte
		if q.Outgoing.Inserted {
			f |= wasTrue
		}
		if q.Conflict {
			f |= wasConflict
		}
		r = append(r, f)
	}
	b.EachValue(func(c *messaging.ValueChange) {
		flag(c.Applied)
		r = binary.AppendVarint(r, c.Version)
	})
	for _, c := range b.Claims {
		flag(c.Granted)
	}
	for _, rep := range b.Reports {
		merge(false, rep.Merge)
	}
	for _, v := range b.Revives {
		flag(v.Done)
	}
	return r
}

// replay recognises a batch that comes again and tells it what it was told. Only a batch
// that follows a failure, or another owner's first, can be one.
func (s *Store) replay(b *messaging.Batch) (known bool, err error) {
	if last, ok := s.last[b.Owner]; ok && last != b.ID {
		return false, nil
	}
	var row [2]driver.Value
	found, err := s.w.findBatch.row(row[:], id(b.Owner))
	if err != nil || !found || toID(row[0]) != b.ID || b.ID == uuid.Nil {
		return false, err
	}
	p := unpacker{rest: toBytes(row[1])}
	if p.varint() != int64(b.Len()) {
		return true, errReused
	}
	for _, a := range b.Appends {
		f, m := p.merge()
		a.Fresh, a.Merge = f&wasTrue != 0, m
		if a.Fresh {
			a.Event.Seq = p.varint()
		}
		if m != nil {
			if err := s.refer(m, p.uuid(), messaging.SendRef{}); err != nil {
				return true, err
			}
			if f&wasAgain != 0 {
				if m.Again, err = s.again(m.Ref.Attempt); err != nil {
					return true, err
				}
			}
		}
		if err := errors.Join(s.changedBefore(&p, a.Consents), s.concluded(&p, a.Outcome)); err != nil {
			return true, err
		}
	}
	if err := s.changedBefore(&p, b.Consents); err != nil {
		return true, err
	}
	for _, x := range b.Settles {
		x.Lost = p.flag()
		if err := s.concluded(&p, x.Outcome); err != nil {
			return true, err
		}
	}
	for _, q := range b.Enqueues {
		f := p.take(1)[0]
		q.Existing, q.Outgoing.Inserted, q.Conflict = nil, f&wasTrue != 0, f&wasConflict != 0
		if !q.Outgoing.Inserted && !q.Conflict {
			if q.Existing, err = s.existing(q.Outgoing.Key); err != nil {
				return true, err
			}
		}
	}
	b.EachValue(func(c *messaging.ValueChange) { c.Applied, c.Version = p.flag(), p.varint() })
	for _, c := range b.Claims {
		c.Granted = p.flag()
	}
	for _, r := range b.Reports {
		_, r.Merge = p.merge()
		if r.Merge != nil {
			if err := s.refer(r.Merge, r.AttemptID, messaging.SendRef{ID: r.SendID, Attempt: r.AttemptID}); err != nil {
				return true, err
			}
		}
	}
	for _, v := range b.Revives {
		v.Done = p.flag()
		if err := s.revived(v); err != nil {
			return true, err
		}
	}
	if p.short || len(p.rest) > 0 {
		return true, errReused
	}
	s.last[b.Owner] = b.ID
	return true, nil
}

// refer completes a merge from the journal.
func (s *Store) refer(m *messaging.Merge, attempt uuid.UUID, otherwise messaging.SendRef) error {
	a, err := s.attempt(attempt)
	if err != nil {
		return err
	}
	m.Ref = otherwise
	if a != nil {
		m.Ref = a.merge().Ref
	}
	return nil
}

// again reads the send of an attempt.
func (s *Store) again(attempt uuid.UUID) (*messaging.Outgoing, error) {
	a, err := s.attempt(attempt)
	if a == nil || err != nil {
		return nil, err
	}
	return s.outgoing(a.seq)
}

// unpacker reads what results packed.
type unpacker struct {
	rest  []byte
	short bool // it ended too early
}

func (p *unpacker) take(n int) []byte {
	if len(p.rest) < n {
		p.short, p.rest = true, nil
		return make([]byte, n)
	}
	b := p.rest[:n]
	p.rest = p.rest[n:]
	return b
}

func (p *unpacker) flag() bool { return p.take(1)[0]&wasTrue != 0 }

func (p *unpacker) varint() int64 {
	v, n := binary.Varint(p.rest)
	if n <= 0 {
		p.short, p.rest = true, nil
		return 0
	}
	p.rest = p.rest[n:]
	return v
}

func (p *unpacker) uuid() uuid.UUID { return uuid.UUID(p.take(16)) }

func (p *unpacker) merge() (flags byte, m *messaging.Merge) {
	flags = p.take(1)[0]
	if flags&wasMerged == 0 {
		return flags, nil
	}
	codes := p.take(2)
	return flags, &messaging.Merge{
		Outcome: decode(outcomes, int64(codes[0])), Status: decode(statuses, int64(codes[1])),
		Advanced: flags&wasAdvanced != 0, Conflict: flags&wasConflict != 0,
	}
}

// concluded unpacks what an outcome was told.
func (s *Store) concluded(p *unpacker, o *messaging.Outcome) error {
	if o == nil {
		return nil
	}
	for _, out := range o.Sends {
		out.Inserted = p.flag()
	}
	return s.changedBefore(p, o.Consents)
}

// changedBefore unpacks what changes of consent were told.
func (s *Store) changedBefore(p *unpacker, cs []*messaging.ConsentChange) error {
	for _, c := range cs {
		if err := s.changed(c, p.varint()); err != nil {
			return err
		}
	}
	return nil
}
