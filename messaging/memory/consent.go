package memory

import (
	"context"
	"slices"
	"sort"
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

// maxEntries is how many lines of the ledger are kept at least. Where a number stands is
// never forgotten.
const maxEntries = 100_000

// ledger is what the store knows about consent.
type ledger struct {
	states  map[messaging.Number][]*messaging.ConsentState // a person has one, or one for each scope
	order   []stood                                        // by seq; of a state all but the last are stale
	count   int                                            // of states
	entries []messaging.ConsentEntry
	last    messaging.ConsentEntry
}

// stood is a state as of a line of the ledger.
type stood struct {
	seq   int64
	state *messaging.ConsentState
}

var _ messaging.ConsentLedger = (*Store)(nil)

// change writes a line of the ledger and fills the results of c.
func (l *ledger) change(c *messaging.ConsentChange, now time.Time) {
	st := l.find(c.Number, c.Scope)
	next := st.After(c.Verb, now)
	next.Seq = l.last.Seq + 1
	c.Changed = next.OptedOut != st.OptedOut || next.Review != st.Review
	*st, c.State = next, next
	l.order = append(l.order, stood{next.Seq, st})
	if len(l.order) > 2*l.count+1000 {
		l.order = slices.DeleteFunc(l.order, stood.stale)
	}

	e := messaging.ConsentEntry{Seq: next.Seq, At: now, ConsentChange: *c, Prev: l.last.Hash}
	e.Crossing = slices.Clone(c.Crossing)
	e.Hash = e.Sum()
	l.last = e
	if l.entries = append(l.entries, e); len(l.entries) > 2*maxEntries {
		l.entries = slices.Clone(l.entries[maxEntries:])
	}
}

func (s stood) stale() bool { return s.state.Seq != s.seq }

// find gives the state of a number in a scope, made if there is none.
func (l *ledger) find(n messaging.Number, scope messaging.Scope) *messaging.ConsentState {
	for _, st := range l.states[n] {
		if st.Scope == scope {
			return st
		}
	}
	if l.states == nil {
		l.states = map[messaging.Number][]*messaging.ConsentState{}
	}
	st := &messaging.ConsentState{Number: n, Scope: scope}
	l.states[n] = append(l.states[n], st)
	l.count++
	return st
}

// changeAll applies changes and reports whether the sends that come with them go out: there
// are none, or one of them changed something or says that it does not matter.
func (l *ledger) changeAll(cs []*messaging.ConsentChange, now time.Time) bool {
	sends := len(cs) == 0
	for _, c := range cs {
		l.change(c, now)
		sends = sends || c.Changed || c.Again
	}
	return sends
}

// unchanged says of changes that they were not applied.
func unchanged(cs []*messaging.ConsentChange) {
	for _, c := range cs {
		c.Changed, c.State = false, messaging.ConsentState{}
	}
}

// Consents implements messaging.ConsentLedger.
func (s *Store) Consents(ctx context.Context, after int64, limit int) ([]messaging.ConsentState, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	order := s.ledger.order
	var found []messaging.ConsentState
	for _, o := range order[sort.Search(len(order), func(i int) bool { return order[i].seq > after }):] {
		if len(found) >= limit {
			break
		}
		if !o.stale() {
			found = append(found, *o.state)
		}
	}
	return found, nil
}

// ConsentOf implements messaging.ConsentLedger.
func (s *Store) ConsentOf(ctx context.Context, numbers ...messaging.Number) ([]messaging.ConsentState, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []messaging.ConsentState
	for _, n := range numbers {
		for _, st := range s.ledger.states[n] {
			found = append(found, *st)
		}
	}
	return found, nil
}

// Entries implements messaging.ConsentLedger.
func (s *Store) Entries(ctx context.Context, q messaging.LedgerQuery) ([]messaging.ConsentEntry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if q.Limit <= 0 {
		q.Limit = 1000
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	entries := s.ledger.entries
	var found []messaging.ConsentEntry
	for _, e := range entries[sort.Search(len(entries), func(i int) bool { return entries[i].Seq > q.After }):] {
		if len(found) >= q.Limit {
			break
		}
		if q.Number == "" || e.Number == q.Number {
			found = append(found, e)
		}
	}
	return found, nil
}
