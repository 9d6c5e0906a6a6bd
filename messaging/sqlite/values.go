package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"

	"github.com/signpost-sms/signpost/messaging"
)

// valueVersion is the version of a value that has not expired, or Absent.
func (s *Store) valueVersion(c *messaging.ValueChange) (int64, error) {
	var row [1]driver.Value
	found, err := s.w.findValue.row(row[:], c.Bucket, c.Key, s.stamp)
	if !found || err != nil {
		return messaging.Absent, err
	}
	return toInt(row[0]), nil
}

// holds reports whether a change may happen, and tells the version that is there.
func (s *Store) holds(c *messaging.ValueChange) (ok bool, err error) {
	c.Applied = false
	c.Version, err = s.valueVersion(c)
	return c.Expect == messaging.AnyVersion || c.Expect == c.Version, err
}

// allHold reports whether all changes may happen.
func (s *Store) allHold(cs []*messaging.ValueChange) (all bool, err error) {
	all = true
	for _, c := range cs {
		ok, err := s.holds(c)
		if err != nil {
			return false, err
		}
		all = all && ok
	}
	return all, nil
}

// changeValues applies changes, each for itself.
func (s *Store) changeValues(cs []*messaging.ValueChange) error {
	for _, c := range cs {
		ok, err := s.holds(c)
		if ok && err == nil {
			err = s.changeValue(c)
		}
		if err != nil {
			return fmt.Errorf("write the value %q: %w", c.Bucket, err)
		}
	}
	return nil
}

func (s *Store) changeValue(c *messaging.ValueChange) error {
	c.Applied = true
	if c.Delete {
		c.Version = messaging.Absent
		return s.w.deleteValue.exec(c.Bucket, c.Key)
	}
	var row [1]driver.Value
	data := c.Data
	if data == nil {
		data = []byte{}
	}
	_, err := s.w.setValue.row(row[:], c.Bucket, c.Key, text(c.Number), data, c.ExpiresAt.UnixMilli())
	c.Version = toInt(row[0])
	return err
}

// notApplied says of changes that they did not happen.
func notApplied(cs []*messaging.ValueChange) {
	for _, c := range cs {
		c.Applied, c.Version = false, 0
	}
}

// pruneValues removes values that have expired, a bounded number of them.
func (s *Store) pruneValues() (int64, error) {
	now := s.now.Load()
	if now == 0 {
		return 0, nil // nobody has said what time it is
	}
	return s.w.count(`DELETE FROM small_values WHERE version IN (SELECT version FROM small_values WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)`,
		now, int64(s.bounds.prune))
}

// valuesMost is how many values a query without a limit finds.
const valuesMost = 1000

// Values implements messaging.ValueReader.
func (s *Store) Values(ctx context.Context, q messaging.ValueQuery) ([]messaging.Value, error) {
	found, err := s.readValues(ctx, q)
	if err != nil {
		return nil, s.blame(ctx, "read values", err)
	}
	return found, nil
}

func (s *Store) readValues(ctx context.Context, q messaging.ValueQuery) (found []messaging.Value, err error) {
	tx, done, err := s.moment(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	if q.Limit <= 0 {
		q.Limit = valuesMost
	}
	where, args := `bucket = ? AND expires_at > ? AND key > ?`, []any{q.Bucket, q.Now.UnixMilli(), q.After}
	if len(q.Keys) > 0 {
		keys, err := list(q.Keys)
		if err != nil {
			return nil, err
		}
		where, args = where+` AND key IN (SELECT value FROM json_each(?))`, append(args, keys)
	}
	err = each(ctx, tx, 5, func(row []driver.Value) error {
		found = append(found, messaging.Value{
			Bucket: q.Bucket, Key: toText[string](row[0]), Number: toText[messaging.Number](row[1]),
			Data: toBytes(row[2]), ExpiresAt: toTime(row[3]), Version: toInt(row[4]),
		})
		return nil
	}, `SELECT key, number, data, expires_at, version FROM small_values WHERE `+where+` ORDER BY key LIMIT ?`, append(args, q.Limit)...)
	return found, err
}
