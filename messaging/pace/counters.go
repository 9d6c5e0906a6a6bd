package pace

import "time"

// day counts within one day of a time zone.
type day struct {
	zone        *time.Location
	start, next time.Time
	n           int
}

// holds reports whether the day that is counted is that of t.
func (d *day) holds(t time.Time) bool { return !t.Before(d.start.Add(-skew)) && t.Before(d.next) }

// skew is how far a clock may step back over midnight without bringing the old day back.
const skew = time.Hour

// advance begins a new day where one has come, and reports that it did.
func (d *day) advance(now time.Time) bool {
	if d.holds(now) {
		return false
	}
	y, m, dd := now.In(d.zone).Date()
	d.start = time.Date(y, m, dd, 0, 0, 0, 0, d.zone)
	d.next = time.Date(y, m, dd+1, 0, 0, 0, 0, d.zone)
	d.n = 0
	return true
}

func (p *Pacer) askBudget(now time.Time, a *Ask, v *Verdict) {
	b := p.limits.Budget
	if b.Segments == 0 && b.Messages == 0 || a.Priority <= 1 {
		return
	}
	p.budgetDay(now)
	if b.Segments > 0 && p.budget.n+a.Segments+p.elsewhere(ScopeBudgetSegments, "", p.budget.start) > b.Segments {
		v.forbid(p.budget.next, OverBudget, "budget.segments")
	}
	if b.Messages > 0 && p.messages+1+p.elsewhere(ScopeBudgetMessages, "", p.budget.start) > b.Messages {
		v.forbid(p.budget.next, OverBudget, "budget.messages")
	}
}

func (p *Pacer) budgetDay(now time.Time) {
	if p.budget.advance(now) {
		p.messages = 0
	}
}

// brandOf finds the brand whose daily cap counts a send, and the cap.
func (p *Pacer) brandOf(a *Ask) (brand string, most int, capped bool) {
	if a.Carrier != "" && a.Carrier != TMobile {
		return "", 0, false
	}
	if c := p.campaigns[a.From]; c != nil {
		return c.brand, c.daily, c.daily > 0
	}
	if _, known := p.classes[a.Class]; known && a.Class != TenDLC {
		return "", 0, false
	}
	return "", p.limits.Daily, p.limits.Daily > 0
}

func (p *Pacer) brandDay(now time.Time, brand string) *day {
	d := p.brands[brand]
	if d == nil {
		d = &day{zone: p.limits.DailyZone}
		p.brands[brand] = d
	}
	d.advance(now)
	return d
}

// askDaily holds bulk only: whether an answer goes to that carrier is not known, and the
// carrier itself refuses it if it must.
func (p *Pacer) askDaily(now time.Time, a *Ask, v *Verdict) {
	brand, most, capped := p.brandOf(a)
	if !capped || a.urgent() {
		return
	}
	d := p.brandDay(now, brand)
	if d.n+a.Segments+p.elsewhere(ScopeDaily, brand, d.start) > most {
		v.forbid(d.next, DailyCap, "daily_cap.tmobile")
	}
}

func (p *Pacer) askCaps(now time.Time, a *Ask, v *Verdict) {
	for _, r := range p.caps {
		if r.Category != a.Category {
			continue
		}
		elsewhere := 0
		if !p.alone {
			elsewhere = p.elsewhere(ScopeFrequency, r.key(a.To), now.Add(-r.Window))
		}
		if at, ok := r.ask(now, a.To, elsewhere); !ok {
			v.forbid(at, FrequencyCap, r.rule)
		}
	}
}

// count adds a send that leaves to every counter.
func (p *Pacer) count(now time.Time, a *Ask) {
	if brand, _, capped := p.brandOf(a); capped {
		p.brandDay(now, brand).n += a.Segments
	}
	p.budgetDay(now)
	p.budget.n += a.Segments
	p.messages++
	for _, r := range p.caps {
		if r.Category == a.Category {
			r.add(now, a.To)
		}
	}
	p.tell(now, a)
}

// uncount takes away what count added at that time, if it is still counted.
func (p *Pacer) uncount(at time.Time, a *Ask) {
	if brand, _, capped := p.brandOf(a); capped {
		if d := p.brands[brand]; d != nil && d.holds(at) {
			d.n = max(d.n-a.Segments, 0)
		}
	}
	if p.budget.holds(at) {
		p.budget.n = max(p.budget.n-a.Segments, 0)
		p.messages = max(p.messages-1, 0)
	}
	for _, r := range p.caps {
		if r.Category == a.Category {
			r.remove(at, a.To)
		}
	}
	p.tell(at, a)
}
