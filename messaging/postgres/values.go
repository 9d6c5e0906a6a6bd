package postgres

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/signpost-sms/signpost/messaging"
)

// valueName is where a value is.
type valueName struct{ bucket, key string }

// value is a row of small_values, as it was read and as the batch leaves it.
type value struct {
	messaging.Value
	was   int64 // the version that was read; 0 if there was no row
	gone  bool  // there is none, or it has expired, or is deleted
	dirty bool
}

const (
	valueColumns = `v.bucket, v.key, v.number, v.data, v.expires_at, v.version`
	readValues   = `SELECT ` + valueColumns + ` FROM small_values v JOIN unnest($1::text[], $2::text[]) AS w(bucket, key) USING (bucket, key)`
	readMarks    = `SELECT ` + valueColumns + ` FROM small_values v WHERE v.bucket = ANY($1) AND v.key = ANY($2) AND v.expires_at > $3`
	drawVersions = `SELECT nextval('small_values_versions') FROM generate_series(1, $1)`
	// Nothing is locked while it is read: a value that another instance changed since then
	// is read again. A version that was read is that of no other value.
	saveValues = `INSERT INTO small_values AS v (bucket, key, number, data, expires_at, version)
		SELECT u.bucket, u.key, u.number, u.data, u.expires_at, u.version
		FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::bigint[], $6::bigint[]) AS u(bucket, key, number, data, expires_at, version)
		ON CONFLICT (bucket, key) DO UPDATE SET number = excluded.number, data = excluded.data, expires_at = excluded.expires_at, version = excluded.version
		WHERE v.version = ANY($7)`
	deleteValues = `DELETE FROM small_values v USING unnest($1::text[], $2::text[], $3::bigint[]) AS u(bucket, key, version)
		WHERE v.bucket = u.bucket AND v.key = u.key AND v.version = u.version`
)

// values are the values that a batch concerns.
type values struct {
	of       map[valueName]*value
	versions []int64 // drawn
	changed  []*value
}

// readValues queues the reading of the values that the batch changes, and of the questions
// and pauses of the conversations that it brings messages of.
func (w *working) readValues(q *pgx.Batch) {
	b := w.batch
	var buckets, keys []string
	b.EachValue(func(c *messaging.ValueChange) {
		buckets, keys = append(buckets, c.Bucket), append(keys, c.Key)
	})
	if len(keys) > 0 {
		w.values.of = make(map[valueName]*value, len(keys))
		q.Queue(readValues, buckets, keys).Query(func(rows pgx.Rows) error {
			return scanValues(rows, func(v messaging.Value) {
				w.values.of[valueName{v.Bucket, v.Key}] = &value{Value: v, was: v.Version, gone: !v.ExpiresAt.After(w.now)}
			})
		})
		q.Queue(drawVersions, len(keys)).Query(func(rows pgx.Rows) (err error) {
			w.values.versions, err = pgx.CollectRows(rows, pgx.RowTo[int64])
			return err
		})
	}
	b.Marks = nil
	var talks []string
	for _, a := range b.Appends {
		if a.Event.Kind == messaging.KindMessage {
			talks = append(talks, a.Event.Conversation().Key())
		}
	}
	if len(talks) > 0 {
		q.Queue(readMarks, []string{messaging.BucketQuestions, messaging.BucketPauses}, talks, w.now.UnixMilli()).Query(func(rows pgx.Rows) error {
			b.Marks = nil
			return scanValues(rows, func(v messaging.Value) { b.Marks = append(b.Marks, v) })
		})
	}
}

// marked reports whether a conversation has an open question or is paused, so that nothing
// about it can be decided in advance.
func (w *working) marked(c messaging.Conversation) bool {
	return len(w.batch.Marks) > 0 && slices.ContainsFunc(w.batch.Marks, func(v messaging.Value) bool { return v.Key == c.Key() })
}

// changeUnasked applies the changes of consent that come with an event, but for those that a
// question, open in its conversation, makes doubtful.
func (w *working) changeUnasked(a *messaging.Append) (sends bool) {
	asked := func(c *messaging.ConsentChange) bool { return c.UnlessAsked }
	if !slices.ContainsFunc(a.Consents, asked) || !slices.ContainsFunc(w.batch.Marks, func(v messaging.Value) bool {
		return v.Bucket == messaging.BucketQuestions && v.Key == a.Event.Conversation().Key()
	}) {
		return w.changeAll(a.Consents)
	}
	rest := slices.DeleteFunc(slices.Clone(a.Consents), asked)
	return len(rest) > 0 && w.changeAll(rest)
}

func scanValues(rows pgx.Rows, f func(messaging.Value)) error {
	var v messaging.Value
	var number *string
	var data []byte
	var expires int64
	_, err := pgx.ForEachRow(rows, []any{&v.Bucket, &v.Key, &number, &data, &expires, &v.Version}, func() error {
		found := v
		found.Number, found.Data, found.ExpiresAt = messaging.Number(orZero(number)), slices.Clone(data), timeOf(&expires)
		f(found)
		return nil
	})
	return err
}

// holds reports whether a change may happen, and tells the version that is there.
func (w *working) holds(c *messaging.ValueChange) bool {
	c.Applied, c.Version = false, messaging.Absent
	if v := w.values.of[valueName{c.Bucket, c.Key}]; v != nil && !v.gone {
		c.Version = v.Version
	}
	return c.Expect == messaging.AnyVersion || c.Expect == c.Version
}

// allHold reports whether all changes may happen.
func (w *working) allHold(cs []*messaging.ValueChange) bool {
	all := true
	for _, c := range cs {
		all = w.holds(c) && all
	}
	return all
}

// changeValues applies changes, each for itself.
func (w *working) changeValues(cs []*messaging.ValueChange) {
	for _, c := range cs {
		if w.holds(c) {
			w.changeValue(c)
		}
	}
}

func (w *working) changeValue(c *messaging.ValueChange) {
	c.Applied = true
	name := valueName{c.Bucket, c.Key}
	v := w.values.of[name]
	if v == nil {
		v = &value{}
		w.values.of[name] = v
	}
	if !v.dirty {
		v.dirty = true
		w.values.changed = append(w.values.changed, v)
	}
	if v.gone = c.Delete; v.gone {
		v.Bucket, v.Key, c.Version = c.Bucket, c.Key, messaging.Absent
		return
	}
	c.Version, w.values.versions = w.values.versions[0], w.values.versions[1:]
	v.Value = messaging.Value{Bucket: c.Bucket, Key: c.Key, Number: c.Number, Data: c.Data, ExpiresAt: c.ExpiresAt, Version: c.Version}
}

// queueValues writes what was changed, in one order for all instances.
func (w *working) queueValues(q *pgx.Batch) {
	var bucket, key []string
	var number []*string
	var data [][]byte
	var expires, version, was []int64
	var goneBucket, goneKey []string
	var goneWas []int64
	slices.SortFunc(w.values.changed, func(a, b *value) int {
		return cmp.Or(cmp.Compare(a.Bucket, b.Bucket), cmp.Compare(a.Key, b.Key))
	})
	for _, v := range w.values.changed {
		if v.gone {
			if v.was != 0 {
				goneBucket, goneKey, goneWas = append(goneBucket, v.Bucket), append(goneKey, v.Key), append(goneWas, v.was)
			}
			continue
		}
		content := v.Data
		if content == nil {
			content = []byte{}
		}
		bucket, key, number = append(bucket, v.Bucket), append(key, v.Key), append(number, text(v.Number))
		data, expires, version = append(data, content), append(expires, v.ExpiresAt.UnixMilli()), append(version, v.Version)
		was = append(was, v.was)
	}
	all := func(n int) func(pgconn.CommandTag) error {
		return func(tag pgconn.CommandTag) error {
			if int(tag.RowsAffected()) < n {
				return errRaced
			}
			return nil
		}
	}
	if n := len(key); n > 0 {
		q.Queue(saveValues, bucket, key, number, data, expires, version, was).Exec(all(n))
	}
	if n := len(goneKey); n > 0 {
		q.Queue(deleteValues, goneBucket, goneKey, goneWas).Exec(all(n))
	}
}

// changedValue is what a change of a value was told, as it is packed.
type changedValue struct {
	Applied bool  `json:"a,omitempty"`
	Version int64 `json:"v,omitempty"`
}

func packValues(b *messaging.Batch) (packed []changedValue) {
	b.EachValue(func(c *messaging.ValueChange) { packed = append(packed, changedValue{c.Applied, c.Version}) })
	return packed
}

// unpackValues tells changes what they were told; false if they are not those.
func unpackValues(b *messaging.Batch, packed []changedValue) bool {
	n := 0
	b.EachValue(func(*messaging.ValueChange) { n++ })
	if n != len(packed) {
		return false
	}
	b.EachValue(func(c *messaging.ValueChange) {
		c.Applied, c.Version, packed = packed[0].Applied, packed[0].Version, packed[1:]
	})
	return true
}

// valuesMost is how many values a query without a limit finds.
const valuesMost = 1000

// Values implements messaging.ValueReader.
func (s *Store) Values(ctx context.Context, q messaging.ValueQuery) (found []messaging.Value, err error) {
	if q.Limit <= 0 {
		q.Limit = valuesMost
	}
	err = s.reading(ctx, "read values", func() error {
		rows, err := s.pool.Query(ctx, `SELECT `+valueColumns+` FROM small_values v
			WHERE v.bucket = $1 AND v.expires_at > $2 AND v.key > $3 AND ($4::text[] IS NULL OR v.key = ANY($4)) ORDER BY v.key LIMIT $5`,
			q.Bucket, q.Now.UnixMilli(), q.After, q.Keys, q.Limit)
		if err != nil {
			return err
		}
		return scanValues(rows, func(v messaging.Value) { found = append(found, v) })
	})
	return found, err
}

// pruneValues removes values that have expired, a bounded number of them.
func pruneValues(ctx context.Context, tx pgx.Tx, now time.Time) (int64, error) {
	tag, err := tx.Exec(ctx, `DELETE FROM small_values WHERE (bucket, key) IN (
		SELECT bucket, key FROM small_values WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)`, now.UnixMilli(), pruneMost)
	return tag.RowsAffected(), err
}

// forgetValues removes the values about a person.
func (s *Store) forgetValues(ctx context.Context, theirs messaging.Number) (int64, error) {
	tag, err := s.pool.Exec(ctx, `DELETE FROM small_values WHERE number = $1`, string(theirs))
	if err != nil {
		return 0, fmt.Errorf("forget a number: %w", classify(err))
	}
	return tag.RowsAffected(), nil
}

func object(m map[string]string) (*string, error) {
	if len(m) == 0 {
		return nil, nil
	}
	b, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	s := string(b)
	return &s, nil
}

func objectOf(s *string) (m map[string]string, err error) {
	if s == nil {
		return nil, nil
	}
	if err := json.Unmarshal([]byte(*s), &m); err != nil {
		return nil, fmt.Errorf("an object in the journal cannot be read: %w", err)
	}
	return m, nil
}
