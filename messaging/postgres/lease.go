package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/signpost-sms/signpost/messaging"
)

// tenure is what this process knows of an instance of its own.
type tenure struct {
	until time.Time // when its lease runs out, by the monotonic clock
	since time.Time // from when on it was renewed without a gap
}

// join makes an instance known that this store has not seen before. One that it has seen and
// that is not there any more was declared dead.
func (s *Store) join(ctx context.Context, owner uuid.UUID) error {
	s.leases.Lock()
	_, before := s.joined[owner]
	s.leases.Unlock()
	if before {
		return nil
	}
	_, err := s.Renew(ctx, owner)
	return err
}

// Renew implements messaging.Sharer.
func (s *Store) Renew(ctx context.Context, owner uuid.UUID) (messaging.Lease, error) {
	if s.closing.Err() != nil {
		return messaging.Lease{}, errClosed
	}
	asked := time.Now()
	s.leases.Lock()
	t, before := s.joined[owner]
	s.leases.Unlock()
	lease := messaging.Lease{Until: asked.Add(s.cfg.Lease)}
	var departed, expired bool
	// A server that is silent is given up while another try can still save the lease.
	ctx, cancel := context.WithTimeout(ctx, max(s.cfg.Lease/2, renewAtLeast))
	defer cancel()
	err := pgx.BeginFunc(ctx, s.pulse, func(tx pgx.Tx) error {
		// By the server's clock, which all instances share.
		tag, err := tx.Exec(ctx, `UPDATE instances SET lease_until = clock_timestamp() + $2 WHERE owner = $1`, owner, s.cfg.Lease)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			if before {
				return errFenced
			}
			if err := cameBack(ctx, tx, owner); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `INSERT INTO instances (owner, lease_until) VALUES ($1, clock_timestamp() + $2)
				ON CONFLICT (owner) DO UPDATE SET lease_until = EXCLUDED.lease_until`, owner, s.cfg.Lease); err != nil {
				return err
			}
		}
		return tx.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM departed), coalesce(bool_or(owner <> $1 AND lease_until + $2::interval < clock_timestamp()), false),
			count(*) FROM instances`, owner, s.cfg.Margin).Scan(&departed, &expired, &lease.Instances)
	})
	if err != nil {
		return messaging.Lease{}, fmt.Errorf("renew the lease: %w", classify(err))
	}
	s.leases.Lock()
	defer s.leases.Unlock()
	if !before || time.Now().After(t.until) {
		t.since = asked
	}
	t.until = lease.Until
	s.joined[owner] = t
	lease.Orphans = departed || expired && s.steady(t)
	return lease, nil
}

// renewAtLeast is the least time that a renewal is given.
const renewAtLeast = 2 * time.Second

// steady reports whether an instance was seen long enough to declare others dead.
func (s *Store) steady(t tenure) bool { return time.Since(t.since) >= s.cfg.Lease+s.cfg.Margin }

// cameBack makes an owner that left, and joins again, like one that never was here: nobody
// takes its conversations any more, and what it once had in memory it has to read.
func cameBack(ctx context.Context, tx pgx.Tx, owner uuid.UUID) error {
	if _, err := tx.Exec(ctx, `DELETE FROM departed WHERE owner = $1`, owner); err != nil {
		return err
	}
	// Who never committed held nothing, and need not look.
	_, err := tx.Exec(ctx, `UPDATE events SET holder = NULL WHERE fate = 0 AND holder = $1 AND EXISTS (SELECT 1 FROM batches WHERE owner = $1)
		AND conversation IN (SELECT id FROM conversations WHERE owner = $1)`, owner)
	return err
}

// takeMost is how many conversations one call takes over.
const takeMost = 5000

// They begin at what is unfinished, which has indexes of its own, and not at the departed
// owner, for whom every conversation that he ever had would be looked at.
const (
	unfinished = `SELECT conversation FROM events WHERE fate = 0 UNION ALL SELECT conversation FROM sends WHERE status IN (1, 2, 3)`
	takeOver   = `UPDATE conversations SET owner = $1 WHERE id IN (
		SELECT c.id FROM conversations c JOIN departed d ON d.owner = c.owner WHERE c.id IN (` + unfinished + `)
		ORDER BY c.ours COLLATE "C", c.theirs COLLATE "C" LIMIT $2 FOR NO KEY UPDATE OF c)`
	forgetDeparted = `DELETE FROM departed WHERE owner NOT IN (SELECT owner FROM conversations WHERE id IN (` + unfinished + `))`
)

// TakeOver implements messaging.Sharer. After an outage of the database everybody's lease
// has run out; so that each can renew first, only an instance whose own lease had no gap for
// as long as a death takes declares others dead.
func (s *Store) TakeOver(ctx context.Context, owner uuid.UUID) (taken int, err error) {
	s.leases.Lock()
	t, ok := s.joined[owner]
	s.leases.Unlock()
	if !ok {
		return 0, errFenced
	}
	steady := s.steady(t)
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `SELECT 1 FROM instances WHERE owner = $1 FOR KEY SHARE`, owner)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return errFenced
		}
		if steady {
			if _, err := tx.Exec(ctx, `WITH dead AS (DELETE FROM instances WHERE owner IN (
					SELECT owner FROM instances WHERE owner <> $1 AND lease_until + $2::interval < clock_timestamp() FOR UPDATE SKIP LOCKED)
				RETURNING owner) INSERT INTO departed SELECT owner FROM dead ON CONFLICT DO NOTHING`, owner, s.cfg.Margin); err != nil {
				return err
			}
		}
		tag, err = tx.Exec(ctx, takeOver, owner, takeMost)
		if err != nil {
			return err
		}
		if taken = int(tag.RowsAffected()); taken < takeMost {
			// Nothing is left of those that departed before this began; an append takes
			// what is idle.
			_, err = tx.Exec(ctx, forgetDeparted)
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("take over: %w", classify(err))
	}
	return taken, nil
}

// Leave implements messaging.Sharer.
func (s *Store) Leave(ctx context.Context, owner uuid.UUID) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `WITH gone AS (DELETE FROM instances WHERE owner = $1 RETURNING owner)
			INSERT INTO departed SELECT owner FROM gone ON CONFLICT DO NOTHING`, owner); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, notify, s.path+":")
		return err
	})
	if err != nil {
		return fmt.Errorf("leave: %w", classify(err))
	}
	s.leases.Lock()
	delete(s.joined, owner)
	s.leases.Unlock()
	return nil
}

// Watch implements messaging.Sharer.
func (s *Store) Watch(ctx context.Context, owner uuid.UUID, f func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.closing, cancel)()
	again := backoff.NewExponentialBackOff(backoff.WithMaxElapsedTime(0), backoff.WithInitialInterval(100*time.Millisecond), backoff.WithMaxInterval(5*time.Second))
	return backoff.Retry(func() error {
		err := s.listen(ctx, owner, func() {
			again.Reset()
			f()
		})
		if ctx.Err() != nil {
			return backoff.Permanent(ctx.Err())
		}
		s.cfg.Logger.Debug("notifications are interrupted", "err", err)
		return err
	}, backoff.WithContext(again, ctx))
}

// listen calls f once it listens, since something may have been missed, and then for each
// notification.
func (s *Store) listen(ctx context.Context, owner uuid.UUID, f func()) error {
	conn, err := pgx.ConnectConfig(ctx, s.conf)
	if err != nil {
		return err
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(end)
	}()
	if _, err := conn.Exec(ctx, `LISTEN signpost`); err != nil {
		return err
	}
	f()
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		if who, ok := strings.CutPrefix(n.Payload, s.path+":"); ok && meant(who, owner) {
			f()
		}
	}
}

// meant reports whether an owner is told something.
func meant(who string, owner uuid.UUID) bool {
	if other, all := strings.CutPrefix(who, exceptFor); all {
		return other != owner.String()
	}
	return who == "" || who == owner.String()
}
