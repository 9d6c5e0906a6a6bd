package memory

import (
	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
)

// answers are the results of the last batch. A caller to whom the answer of a commit was
// lost comes again with the same batch, before any other, and is told the same.
type answers struct {
	id       uuid.UUID
	appends  []appended
	inserted []bool // of every send, in the order of the operations
	existing []*messaging.Send
	lost     []bool
	granted  []bool
	merges   []*messaging.Merge
	revives  []revived
	consents []consented
	values   []valued
	conflict []bool // of every Enqueue
}

type valued struct {
	applied bool
	version int64
}

type consented struct {
	changed bool
	state   messaging.ConsentState
}

type revived struct {
	done  bool
	event *messaging.Event
}

type appended struct {
	fresh bool
	seq   int64
	merge *messaging.Merge
}

// outgoings calls f for every send of a batch.
func outgoings(b *messaging.Batch, f func(*messaging.Outgoing)) {
	for _, a := range b.Appends {
		if a.Outcome != nil {
			for _, o := range a.Outcome.Sends {
				f(o)
			}
		}
	}
	for _, x := range b.Settles {
		for _, o := range x.Outcome.Sends {
			f(o)
		}
	}
	for _, q := range b.Enqueues {
		f(q.Outgoing)
	}
}

func (l *answers) record(b *messaging.Batch) {
	l.id = b.ID
	l.appends, l.inserted, l.lost, l.granted = l.appends[:0], l.inserted[:0], l.lost[:0], l.granted[:0]
	clear(l.existing)
	clear(l.merges)
	clear(l.revives)
	l.consents, l.values, l.conflict = l.consents[:0], l.values[:0], l.conflict[:0]
	l.existing, l.merges, l.revives = l.existing[:0], l.merges[:0], l.revives[:0]
	for _, a := range b.Appends {
		r := appended{fresh: a.Fresh, merge: a.Merge}
		if a.Merge != nil && a.Merge.Again != nil {
			r.merge = copiedMerge(a.Merge) // the caller goes on with it
		}
		if a.Fresh {
			r.seq = a.Event.Seq
		}
		l.appends = append(l.appends, r)
	}
	outgoings(b, func(o *messaging.Outgoing) { l.inserted = append(l.inserted, o.Inserted) })
	for _, x := range b.Settles {
		l.lost = append(l.lost, x.Lost)
	}
	for _, q := range b.Enqueues {
		l.existing, l.conflict = append(l.existing, q.Existing), append(l.conflict, q.Conflict)
	}
	for _, c := range b.Claims {
		l.granted = append(l.granted, c.Granted)
	}
	for _, r := range b.Reports {
		l.merges = append(l.merges, r.Merge)
	}
	for _, v := range b.Revives {
		l.revives = append(l.revives, revived{v.Done, copied(v.Event)})
	}
	b.EachConsent(func(c *messaging.ConsentChange) { l.consents = append(l.consents, consented{c.Changed, c.State}) })
	b.EachValue(func(c *messaging.ValueChange) { l.values = append(l.values, valued{c.Applied, c.Version}) })
}

// replay fills in the recorded results; false if the batch is not the one they are of.
func (l *answers) replay(b *messaging.Batch) bool {
	sends, changes, values := 0, 0, 0
	b.EachValue(func(*messaging.ValueChange) { values++ })
	outgoings(b, func(*messaging.Outgoing) { sends++ })
	b.EachConsent(func(*messaging.ConsentChange) { changes++ })
	if len(b.Appends) != len(l.appends) || sends != len(l.inserted) || len(b.Settles) != len(l.lost) ||
		len(b.Enqueues) != len(l.existing) || len(b.Claims) != len(l.granted) || len(b.Reports) != len(l.merges) ||
		len(b.Revives) != len(l.revives) || changes != len(l.consents) || values != len(l.values) {
		return false
	}
	for i, a := range b.Appends {
		r := l.appends[i]
		a.Fresh, a.Merge = r.fresh, copiedMerge(r.merge)
		if r.fresh {
			a.Event.Seq = r.seq
		}
	}
	i := 0
	outgoings(b, func(o *messaging.Outgoing) { o.Inserted = l.inserted[i]; i++ })
	i = 0
	b.EachConsent(func(c *messaging.ConsentChange) { c.Changed, c.State = l.consents[i].changed, l.consents[i].state; i++ })
	i = 0
	b.EachValue(func(c *messaging.ValueChange) { c.Applied, c.Version = l.values[i].applied, l.values[i].version; i++ })
	for i, x := range b.Settles {
		x.Lost = l.lost[i]
	}
	for i, q := range b.Enqueues {
		q.Existing, q.Conflict = copied(l.existing[i]), l.conflict[i]
	}
	for i, c := range b.Claims {
		c.Granted = l.granted[i]
	}
	for i, r := range b.Reports {
		r.Merge = copied(l.merges[i])
	}
	for i, v := range b.Revives {
		v.Done, v.Event = l.revives[i].done, copied(l.revives[i].event)
	}
	return true
}

func copiedMerge(m *messaging.Merge) *messaging.Merge {
	if m = copied(m); m != nil && m.Again != nil {
		m.Again = copied(m.Again)
		m.Again.Attempt = copied(m.Again.Attempt)
	}
	return m
}

// copied spares a caller from seeing what another does to the same value.
func copied[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}
