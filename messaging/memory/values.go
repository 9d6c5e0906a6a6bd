package memory

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

// values are the small values, and a heap of them by when they expire.
type values struct {
	buckets map[string]map[string]*value
	byTime  []*value
	version int64
	bytes   int64
}

type value struct {
	messaging.Value
	at int // in the heap
}

func (v *value) cost() int64 { return int64(len(v.Bucket)+len(v.Key)+len(v.Data)) + overhead }

// Len, Less, Swap, Push and Pop are for the heap.
func (vs *values) Len() int { return len(vs.byTime) }

func (vs *values) Less(i, j int) bool { return vs.byTime[i].ExpiresAt.Before(vs.byTime[j].ExpiresAt) }

func (vs *values) Swap(i, j int) {
	vs.byTime[i], vs.byTime[j] = vs.byTime[j], vs.byTime[i]
	vs.byTime[i].at, vs.byTime[j].at = i, j
}

func (vs *values) Push(x any) {
	v := x.(*value)
	v.at = len(vs.byTime)
	vs.byTime = append(vs.byTime, v)
}

func (vs *values) Pop() any {
	last := len(vs.byTime) - 1
	v := vs.byTime[last]
	vs.byTime[last] = nil
	vs.byTime = vs.byTime[:last]
	return v
}

// find gives a value that has not expired.
func (vs *values) find(bucket, key string, now time.Time) *value {
	if v := vs.buckets[bucket][key]; v != nil && v.ExpiresAt.After(now) {
		return v
	}
	return nil
}

// holds reports whether a change may happen, and which version is there.
func (vs *values) holds(c *messaging.ValueChange, now time.Time) (version int64, ok bool) {
	version = messaging.Absent
	if v := vs.find(c.Bucket, c.Key, now); v != nil {
		version = v.Version
	}
	return version, c.Expect == messaging.AnyVersion || c.Expect == version
}

// allHold reports whether all changes may happen, and tells those that stand in the way.
func (vs *values) allHold(cs []*messaging.ValueChange, now time.Time) bool {
	all := true
	for _, c := range cs {
		version, ok := vs.holds(c, now)
		c.Applied, c.Version = false, version
		all = all && ok
	}
	return all
}

// changeAll applies changes, each for itself.
func (vs *values) changeAll(cs []*messaging.ValueChange, now time.Time) {
	for _, c := range cs {
		if c.Version, c.Applied = vs.holds(c, now); c.Applied {
			vs.change(c)
		}
	}
}

func (vs *values) change(c *messaging.ValueChange) {
	if old := vs.buckets[c.Bucket][c.Key]; old != nil {
		vs.remove(old)
	}
	if c.Delete {
		c.Version = messaging.Absent
		return
	}
	vs.version++
	c.Version = vs.version
	v := &value{Value: messaging.Value{
		Bucket: c.Bucket, Key: c.Key, Number: c.Number, Data: slices.Clone(c.Data), ExpiresAt: c.ExpiresAt, Version: c.Version,
	}}
	if vs.buckets == nil {
		vs.buckets = map[string]map[string]*value{}
	}
	if vs.buckets[c.Bucket] == nil {
		vs.buckets[c.Bucket] = map[string]*value{}
	}
	vs.buckets[c.Bucket][c.Key] = v
	vs.bytes += v.cost()
	heap.Push(vs, v)
}

func (vs *values) remove(v *value) {
	heap.Remove(vs, v.at)
	vs.bytes -= v.cost()
	bucket := vs.buckets[v.Bucket]
	if delete(bucket, v.Key); len(bucket) == 0 {
		delete(vs.buckets, v.Bucket)
	}
}

// trim forgets what has expired, and then what expires first, until the rest has room.
func (vs *values) trim(now time.Time, most int64) {
	for len(vs.byTime) > 0 && (vs.bytes > most || !vs.byTime[0].ExpiresAt.After(now)) {
		vs.remove(vs.byTime[0])
	}
}

// forget removes what is about a person, and tells how much that was.
func (vs *values) forget(theirs messaging.Number) (n int64) {
	for _, v := range slices.Clone(vs.byTime) {
		if v.Number == theirs {
			vs.remove(v)
			n++
		}
	}
	return n
}

// notApplied says of changes that they did not happen.
func notApplied(cs []*messaging.ValueChange) {
	for _, c := range cs {
		c.Applied, c.Version = false, 0
	}
}

// valuesMost is how many values a query without a limit finds.
const valuesMost = 1000

// Values implements messaging.ValueReader.
func (s *Store) Values(ctx context.Context, q messaging.ValueQuery) ([]messaging.Value, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read values: %w", err)
	}
	if q.Limit <= 0 {
		q.Limit = valuesMost
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []messaging.Value
	take := func(key string) {
		if v := s.values.find(q.Bucket, key, q.Now); v != nil && key > q.After {
			shown := v.Value
			shown.Data = slices.Clone(v.Data)
			found = append(found, shown)
		}
	}
	if len(q.Keys) > 0 {
		for _, key := range slices.Compact(slices.Sorted(slices.Values(q.Keys))) {
			take(key)
		}
	} else {
		for key := range s.values.buckets[q.Bucket] {
			take(key)
		}
	}
	slices.SortFunc(found, func(a, b messaging.Value) int { return cmp.Compare(a.Key, b.Key) })
	return found[:min(len(found), q.Limit)], nil
}
