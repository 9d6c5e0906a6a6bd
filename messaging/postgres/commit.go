package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/signpost-sms/signpost/messaging"
)

const (
	// commitTimeout bounds a transaction against a server that says nothing.
	commitTimeout = 30 * time.Second
	// racesMost is how often a transaction is done again that met another instance's.
	racesMost = 5
)

// Commit implements messaging.Store. A transaction that met another instance's is done
// again; one whose connection broke is the caller's to try again.
func (s *Store) Commit(ctx context.Context, b *messaging.Batch) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("commit %d operations: %w", b.Len(), err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Err() != nil {
		return errClosed
	}
	// Not the caller's context: an ending process must know what it wrote.
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	if err := s.commit(within, b); err != nil {
		return fmt.Errorf("commit %d operations: %w", b.Len(), classify(err))
	}
	return nil
}

func (s *Store) commit(ctx context.Context, b *messaging.Batch) error {
	// Unheld is a result too: what was asked is there again for the next try.
	asked := make([]bool, len(b.Appends))
	for i, a := range b.Appends {
		asked[i] = a.Unheld
	}
	if err := s.join(ctx, b.Owner); err != nil {
		return err
	}
	for n := 1; ; n++ {
		if err := s.connect(ctx); err != nil {
			return err
		}
		w := newWorking(b)
		err := s.transact(ctx, w)
		if err == nil {
			return nil
		}
		w.takeBack()
		for i, a := range b.Appends {
			a.Unheld = asked[i]
		}
		if s.conn.IsClosed() || ctx.Err() != nil {
			s.hangUp()
			clear(s.last) // the batch may be in the journal all the same
		}
		if !raced(err) || n >= racesMost {
			if raced(err) {
				err = fmt.Errorf("%w: %w", messaging.ErrUnavailable, err)
			}
			return err
		}
	}
}

// connect opens the connection that commits if there is none.
func (s *Store) connect(ctx context.Context) error {
	if s.conn != nil {
		return nil
	}
	conn, err := pgx.ConnectConfig(ctx, s.conf)
	if err != nil {
		return fmt.Errorf("%w: %w", messaging.ErrUnavailable, err)
	}
	registerUUID(conn.TypeMap())
	s.conn = conn
	return nil
}

// transact commits a batch in one transaction.
func (s *Store) transact(ctx context.Context, w *working) error {
	b := w.batch
	tx, err := s.conn.Begin(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", messaging.ErrUnavailable, err)
	}
	done := false
	defer func() {
		if !done {
			_ = tx.Rollback(context.WithoutCancel(ctx)) // the connection is examined next
		}
	}()
	c := concernsOf(b)
	if err := w.readRevived(ctx, tx, c); err != nil {
		return err
	}
	if err := w.readStated(ctx, tx, c); err != nil {
		return err
	}
	c.sort()
	alive, repeated, err := s.look(ctx, tx, w, c)
	if err != nil {
		return err
	}
	if !alive {
		return errFenced
	}
	if repeated != nil {
		err := s.replay(ctx, tx, b, repeated)
		done = true
		if end := tx.Rollback(ctx); err == nil {
			err = end
		}
		if err == nil {
			s.last[b.Owner] = b.ID
		}
		return err
	}
	if err := w.makeConversations(ctx, tx, c); err != nil {
		return err
	}
	if err := w.own(ctx, tx); err != nil {
		return err
	}
	if err := w.lockOwners(ctx, tx); err != nil { // of those that could not be taken
		return err
	}
	w.complete()
	if err := w.apply(); err != nil {
		return err
	}
	if err := s.write(ctx, tx, w); err != nil {
		return err
	}
	done = true
	if err := tx.Commit(ctx); err != nil {
		if s.conn.IsClosed() || ctx.Err() != nil {
			return fmt.Errorf("%w: %w", messaging.ErrUnavailable, err)
		}
		return err
	}
	s.last[b.Owner] = b.ID
	s.now.Store(max(s.now.Load(), b.Now.UnixMilli()))
	for _, a := range b.Appends {
		if a.Fresh {
			a.Event.Seq = w.events[a.Event.ID].seq
		}
	}
	return nil
}

// look reads everything that the batch concerns in one round trip. It also tells whether
// the instance is alive, and the results of the batch if it is there already.
func (s *Store) look(ctx context.Context, tx pgx.Tx, w *working, c *concerns) (alive bool, repeated []byte, err error) {
	b := w.batch
	q := &pgx.Batch{}
	c.lockConsent(q)
	// No word of the dead is written: who declares an instance dead waits for this lock.
	q.Queue(`SELECT 1 FROM instances WHERE owner = $1 FOR KEY SHARE`, b.Owner).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			alive = true
		}
		return rows.Err()
	})
	if last, ok := s.last[b.Owner]; !ok || last == b.ID { // only what follows a failure can be a repetition
		q.Queue(`SELECT results FROM batches WHERE owner = $1 AND id = $2`, b.Owner, b.ID).Query(func(rows pgx.Rows) error {
			for rows.Next() {
				if err := rows.Scan(&repeated); err != nil {
					return err
				}
			}
			return rows.Err()
		})
	}
	w.read(q, c)
	err = tx.SendBatch(ctx, q).Close()
	if b.ID == uuid.Nil {
		repeated = nil
	}
	return alive, repeated, err
}
