package messagingtest

import (
	"cmp"
	"slices"
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

// modelValues are the values of a model, by bucket and key.
type modelValues struct {
	of      map[[2]string]messaging.Value
	version int64

	careless bool // changes whatever it finds, which is wrong
}

// find gives a value; one that is not there has the version Absent.
func (m *modelValues) find(bucket, key string, now time.Time) messaging.Value {
	if v, ok := m.of[[2]string{bucket, key}]; ok && v.ExpiresAt.After(now) {
		return v
	}
	return messaging.Value{Version: messaging.Absent}
}

// changeAll applies changes, each for itself.
func (m *modelValues) changeAll(cs []*messaging.ValueChange, now time.Time) {
	for _, c := range cs {
		c.Version = m.find(c.Bucket, c.Key, now).Version
		if c.Applied = c.Expect == messaging.AnyVersion || c.Expect == c.Version || m.careless; !c.Applied {
			continue
		}
		if c.Delete {
			delete(m.of, [2]string{c.Bucket, c.Key})
			c.Version = messaging.Absent
			continue
		}
		if m.of == nil {
			m.of = map[[2]string]messaging.Value{}
		}
		m.version++
		c.Version = m.version
		m.of[[2]string{c.Bucket, c.Key}] = messaging.Value{
			Bucket: c.Bucket, Key: c.Key, Number: c.Number, Data: slices.Clone(c.Data), ExpiresAt: c.ExpiresAt, Version: c.Version,
		}
	}
}

// hold reports whether all changes could be applied.
func (m *modelValues) hold(cs []*messaging.ValueChange, now time.Time) bool {
	all := true
	for _, c := range cs {
		c.Applied, c.Version = false, m.find(c.Bucket, c.Key, now).Version
		all = all && (c.Expect == messaging.AnyVersion || c.Expect == c.Version)
	}
	return all
}

// marked reports whether a conversation has an open question or is paused.
func (m *modelValues) marked(c messaging.Conversation, now time.Time) bool {
	return m.find(messaging.BucketQuestions, c.Key(), now).Version != messaging.Absent ||
		m.find(messaging.BucketPauses, c.Key(), now).Version != messaging.Absent
}

func notApplied(cs []*messaging.ValueChange) {
	for _, c := range cs {
		c.Applied, c.Version = false, 0
	}
}

// read answers a query.
func (m *modelValues) read(q messaging.ValueQuery) (found []messaging.Value) {
	for _, v := range m.of {
		if v.Bucket == q.Bucket && v.Key > q.After && v.ExpiresAt.After(q.Now) && (len(q.Keys) == 0 || slices.Contains(q.Keys, v.Key)) {
			v.Data = slices.Clone(v.Data)
			found = append(found, v)
		}
	}
	slices.SortFunc(found, func(a, b messaging.Value) int { return cmp.Compare(a.Key, b.Key) })
	if q.Limit > 0 {
		found = found[:min(len(found), q.Limit)]
	}
	return found
}

// valueResult is the result of a change.
type valueResult struct {
	applied bool
	version int64
}

func valueResults(b *messaging.Batch) (rs []valueResult) {
	b.EachValue(func(c *messaging.ValueChange) { rs = append(rs, valueResult{c.Applied, c.Version}) })
	return rs
}

func restoreValues(b *messaging.Batch, rs []valueResult) {
	b.EachValue(func(c *messaging.ValueChange) { c.Applied, c.Version, rs = rs[0].applied, rs[0].version, rs[1:] })
}

func snapshotValues(cs []*messaging.ValueChange) (all []*messaging.ValueChange) {
	for _, c := range cs {
		all = append(all, copied(c))
	}
	return all
}

// marks fills in the Marks of a batch that is about to be applied.
func (m *model) marks(b *messaging.Batch) {
	b.Marks = nil
	for _, a := range b.Appends {
		if a.Event.Kind != messaging.KindMessage {
			continue
		}
		for _, bucket := range []string{messaging.BucketQuestions, messaging.BucketPauses} {
			if v := m.values.find(bucket, a.Event.Conversation().Key(), b.Now); v.Version != messaging.Absent {
				b.Marks = append(b.Marks, v)
			}
		}
	}
}

// changeUnasked changes what an event says about consent, unless a question may be what it
// answers.
func (m *model) changeUnasked(a *messaging.Append) (wanted bool) {
	now := m.batch.Now
	asked := m.values.find(messaging.BucketQuestions, a.Event.Conversation().Key(), now).Version != messaging.Absent
	if m.share == nil || !asked || m.share.isWrong("a question makes nothing doubtful") {
		return m.changeAll(a.Consents)
	}
	var rest []*messaging.ConsentChange
	for _, c := range a.Consents {
		if c.UnlessAsked {
			unchanged([]*messaging.ConsentChange{c})
			continue
		}
		rest = append(rest, c)
	}
	return (len(rest) > 0 || len(a.Consents) == 0) && m.changeAll(rest)
}
