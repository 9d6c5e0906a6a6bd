package pace

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Shared is how several replicas keep the limits of one space together: each has a part of
// the rates, and knows, a little late, what the others have counted. All methods are called
// under a lock for each send and must not block: answer from memory, and bring that up to
// date elsewhere.
type Shared interface {
	// Share is this replica's part of every rate, above 0 and at most 1. The parts of all
	// replicas must not add up to more than 1.
	Share() float64
	// Elsewhere is what all other replicas have counted under a scope and key since that
	// time. A replica's share of the time until it learns of a count is how much a limit
	// may be overrun.
	Elsewhere(scope Scope, key string, since time.Time) int
	// Counted is told of each counter that this replica has changed, with all that it has
	// counted under the counter's scope, key and start, and until when that matters.
	Counted(c Counter, until time.Time)
}

// Alone is the Shared of a single process.
type Alone struct{}

// Share is all.
func (Alone) Share() float64 { return 1 }

// Elsewhere is nothing.
func (Alone) Elsewhere(Scope, string, time.Time) int { return 0 }

// Counted does nothing.
func (Alone) Counted(Counter, time.Time) {}

// Scope is what a counter counts.
type Scope string

// The scopes.
const (
	ScopeDaily          Scope = "daily"           // segments of a brand on a day; the key is the brand
	ScopeBudgetSegments Scope = "budget_segments" // of a day; no key
	ScopeBudgetMessages Scope = "budget_messages" // of a day; no key
	ScopeFrequency      Scope = "frequency"       // a message to a person; the key is category/window/number
)

// Counter is a part of a Pacer's state that outlives a restart and can be added up over
// replicas. The rates are not among it: they forget within their window.
type Counter struct {
	Scope Scope
	Key   string
	// Start is the beginning of the day that is counted; for a message to a person, when it
	// left.
	Start time.Time
	N     int
}

func (p *Pacer) elsewhere(scope Scope, key string, since time.Time) int {
	if p.alone {
		return 0
	}
	return max(p.shared.Elsewhere(scope, key, since), 0)
}

// tell tells the others what is counted now for a send that was counted or given back at
// that time.
func (p *Pacer) tell(at time.Time, a *Ask) {
	if p.alone {
		return
	}
	if brand, _, capped := p.brandOf(a); capped {
		if d := p.brands[brand]; d != nil && d.holds(at) {
			p.shared.Counted(Counter{ScopeDaily, brand, d.start, d.n}, d.next.Add(skew))
		}
	}
	if d := &p.budget; d.holds(at) {
		p.shared.Counted(Counter{ScopeBudgetSegments, "", d.start, d.n}, d.next.Add(skew))
		p.shared.Counted(Counter{ScopeBudgetMessages, "", d.start, p.messages}, d.next.Add(skew))
	}
	for _, r := range p.caps {
		if r.Category == a.Category {
			start := time.Unix(int64(second(at)), 0)
			p.shared.Counted(Counter{ScopeFrequency, r.key(a.To), start, r.count(at, a.To)}, start.Add(r.Window+margin))
		}
	}
}

// Export lists what this Pacer has counted and what still matters at that time, sorted. It
// holds phone numbers: store it as carefully as the messages.
func (p *Pacer) Export(now time.Time) []Counter {
	var cs []Counter
	add := func(scope Scope, key string, start time.Time, n int) {
		if n > 0 {
			cs = append(cs, Counter{scope, key, start, n})
		}
	}
	p.mu.Lock()
	for _, brand := range slices.Sorted(maps.Keys(p.brands)) {
		d := p.brandDay(now, brand)
		add(ScopeDaily, brand, d.start, d.n)
	}
	p.budgetDay(now)
	add(ScopeBudgetSegments, "", p.budget.start, p.budget.n)
	add(ScopeBudgetMessages, "", p.budget.start, p.messages)
	// The people may be many: what takes time is done without the lock, on copies.
	type generations struct{ old, young map[string][]uint32 }
	people := make([]generations, len(p.caps))
	for i, r := range p.caps {
		r.turn(now)
		people[i] = generations{maps.Clone(r.old), maps.Clone(r.young)}
	}
	p.mu.Unlock()

	for i, r := range p.caps {
		all := people[i].old
		if all == nil {
			all = map[string][]uint32{}
		}
		maps.Copy(all, people[i].young)
		for _, to := range slices.Sorted(maps.Keys(all)) {
			for _, t := range r.recent(now, all[to]) {
				add(ScopeFrequency, r.key(to), time.Unix(int64(t), 0), 1)
			}
		}
	}
	return cs
}

// Adopt takes over what another Pacer knows, for a change of limits while messages are being
// sent: what it has counted, and what left through each rate that both keep, even if the
// rate is another now. It is for a Pacer that has not been asked anything yet.
func (p *Pacer) Adopt(now time.Time, old *Pacer) {
	p.Import(now, old.Export(now))
	old.mu.Lock()
	defer old.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.divide()
	for class, b := range p.classes {
		b.inherit(old.classes[class])
	}
	p.space.inherit(old.space)
	if p.limits.Number != (Rate{}) {
		for n, b := range old.numbers {
			p.number(now.UnixNano(), n).inherit(b)
		}
	}
	for _, c := range p.all {
		i := slices.IndexFunc(old.all, func(o *campaign) bool { return o.id == c.id })
		if i < 0 {
			continue
		}
		c.any.inherit(old.all[i].any)
		c.sms.inherit(old.all[i].sms)
		c.mms.inherit(old.all[i].mms)
	}
}

// Import adds counters of an earlier Export, as after a restart. What is of another day, or
// of a cap that is no more, is ignored.
func (p *Pacer) Import(now time.Time, cs []Counter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.budgetDay(now)
	for _, c := range cs {
		switch c.Scope {
		case ScopeDaily:
			if !p.capped(c.Key) {
				continue
			}
			if d := p.brandDay(now, c.Key); d.start.Equal(c.Start) {
				d.n += c.N
			}
		case ScopeBudgetSegments:
			if p.budget.start.Equal(c.Start) {
				p.budget.n += c.N
			}
		case ScopeBudgetMessages:
			if p.budget.start.Equal(c.Start) {
				p.messages += c.N
			}
		case ScopeFrequency:
			p.importSent(now, c)
		}
	}
}

// capped reports whether there is a brand of that name with a daily cap.
func (p *Pacer) capped(brand string) bool {
	return brand == "" && p.limits.Daily > 0 ||
		slices.ContainsFunc(p.all, func(c *campaign) bool { return c.brand == brand && c.daily > 0 })
}

func (p *Pacer) importSent(now time.Time, c Counter) {
	for _, r := range p.caps {
		if to, ok := strings.CutPrefix(c.Key, r.key("")); ok && c.Start.After(now.Add(-r.Window)) {
			ts := r.times(now, to)
			for range min(c.N, r.N) {
				ts = append(ts, second(c.Start))
			}
			r.young[to] = ts
			delete(r.old, to)
		}
	}
}
