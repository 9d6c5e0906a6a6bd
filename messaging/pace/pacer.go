package pace

import (
	"sync"
	"time"
)

// Reason is why a send has to wait; it is stable, and a metric's label.
type Reason string

// The reasons.
const (
	None         Reason = ""
	Paced        Reason = "pace"          // the rate of a class, number, campaign or space
	FrequencyCap Reason = "frequency_cap" // this person was sent enough of the category
	DailyCap     Reason = "daily_cap"     // the brand's carrier takes no more today
	OverBudget   Reason = "budget"        // the operator's own limit of the day
)

// Reasons lists all reasons but None.
func Reasons() []Reason { return []Reason{FrequencyCap, OverBudget, DailyCap, Paced} }

// PriorityBulk is the priority from which a send is bulk; one is consent, two a reply,
// three a code.
const PriorityBulk = 4

// Ask is a send that wants to leave.
type Ask struct {
	From     string // our number, in E.164 or a short code
	To       string // the person's
	Class    Class  // of From
	Segments int    // at least one; an MMS is one
	Media    bool   // an MMS
	Priority int
	Category string // which frequency caps count it
	Carrier  string // of To, if known: ATT, TMobile or any other name
	// Promised is the time that an earlier verdict on this send named; zero if there was
	// none. A send that comes back at its time goes before those that are new.
	Promised time.Time
}

func (a *Ask) urgent() bool { return a.Priority < PriorityBulk }

// Verdict is the answer to an Ask.
type Verdict struct {
	OK     bool
	At     time.Time // when to ask again; now if OK
	Reason Reason    // None if OK
	Rule   string    // the id of the rule that decided; empty if OK
}

// forbid records a limit that forbids the send until a time.
func (v *Verdict) forbid(until time.Time, why Reason, rule string) {
	if v.OK || until.After(v.At) {
		*v = Verdict{At: until, Reason: why, Rule: rule}
	}
}

// numbersMost bounds the numbers of ours that have a bucket of their own.
const numbersMost = 10_000

// Pacer keeps the limits. Make one with [New]; it may be used by many goroutines.
type Pacer struct {
	mu     sync.Mutex
	limits Limits
	shared Shared
	alone  bool
	share  float64

	classes   map[Class]*bucket
	space     *bucket
	numbers   map[string]*bucket
	campaigns map[string]*campaign // by number of ours
	all       []*campaign
	brands    map[string]*day
	budget    day // N counts segments
	messages  int // of the budget's day
	caps      []*recipients

	using [6]rated // of the Ask being answered
}

// campaign is a Campaign at work.
type campaign struct {
	id, brand     string
	daily         int
	any, sms, mms *bucket // towards every carrier; towards AT&T
}

// rated is a bucket with the rule that it keeps.
type rated struct {
	*bucket
	rule string
}

// New makes a Pacer. The error says what to mend in the limits.
func New(l Limits, s Shared) (*Pacer, error) {
	l = l.withDefaults()
	if err := l.check(); err != nil {
		return nil, err
	}
	p := &Pacer{
		limits: l, shared: s, share: 1, space: newBucket(l.Space),
		classes: map[Class]*bucket{}, numbers: map[string]*bucket{}, campaigns: map[string]*campaign{}, brands: map[string]*day{},
		budget: day{zone: l.Budget.Zone},
	}
	_, p.alone = s.(Alone)
	for class, r := range l.Classes {
		p.classes[class] = newBucket(r)
	}
	for _, c := range l.Campaigns {
		w := &campaign{id: c.ID, brand: c.Brand, daily: c.Daily, any: newBucket(c.Rate)}
		if t, ok := attTiers[c.Tier]; ok {
			w.sms, w.mms = newBucket(t.sms), newBucket(t.mms)
		}
		p.all = append(p.all, w)
		for _, n := range c.Numbers {
			p.campaigns[n] = w
		}
	}
	for _, c := range l.Caps {
		p.caps = append(p.caps, newRecipients(c, l.MaxRecipients))
	}
	return p, nil
}

// Reserve asks whether a send may leave now. If it may, what it uses is taken at once:
// give it back with Cancel if it does not leave after all. A retry is asked for again.
//
// Of several limits that forbid it, the verdict names the one that does so longest.
func (p *Pacer) Reserve(now time.Time, a Ask) Verdict {
	a.Segments = max(a.Segments, 1)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.divide()
	v := Verdict{OK: true, At: now}
	p.askCaps(now, &a, &v)
	p.askBudget(now, &a, &v)
	p.askDaily(now, &a, &v)
	if !v.OK {
		return v
	}
	t := now.UnixNano()
	var last rated
	wait := t
	using := p.buckets(t, &a)
	for _, b := range using {
		if e := b.earliest(t, a.Segments, a.urgent()); e > wait && e > b.last {
			last, wait = b, e
		}
	}
	if last.bucket != nil {
		returning := !a.Promised.IsZero() && !now.Before(a.Promised)
		at := last.place(wait, a.Segments, a.urgent(), returning)
		return Verdict{At: now.Add(time.Duration(at - t)), Reason: Paced, Rule: last.rule}
	}
	for _, b := range using {
		b.take(t, a.Segments, a.urgent())
	}
	p.count(now, &a)
	return v
}

// Cancel gives back what a Reserve that said OK took at that time for the same Ask.
func (p *Pacer) Cancel(at time.Time, a Ask) {
	a.Segments = max(a.Segments, 1)
	p.mu.Lock()
	defer p.mu.Unlock()
	t := at.UnixNano()
	for _, b := range p.buckets(t, &a) {
		b.untake(t, a.Segments, a.urgent())
	}
	p.uncount(at, &a)
}

// divide takes over the part of the rates that is this replica's.
func (p *Pacer) divide() {
	share := p.shared.Share()
	if share <= 0 || share > 1 {
		share = 1
	}
	if share == p.share {
		return
	}
	p.share = share
	for _, b := range p.classes {
		divide(b, share)
	}
	for _, b := range p.numbers {
		divide(b, share)
	}
	for _, c := range p.all {
		divide(c.any, share)
		divide(c.sms, share)
		divide(c.mms, share)
	}
	divide(p.space, share)
}

func divide(b *bucket, share float64) {
	if b != nil {
		b.divide(share)
	}
}

// buckets lists the rates that a send is subject to. The slice is good until the next call.
func (p *Pacer) buckets(now int64, a *Ask) []rated {
	list := p.using[:0]
	add := func(b *bucket, rule string) {
		if b != nil {
			list = append(list, rated{b, rule})
		}
	}
	class := a.Class
	if _, known := p.classes[class]; !known {
		class = TenDLC
	}
	add(p.classes[class], classRules[class])
	add(p.space, "pace.space")
	if p.limits.Number != (Rate{}) {
		add(p.number(now, a.From), "pace.number")
	}
	if c := p.campaigns[a.From]; c != nil {
		add(c.any, "pace.campaign")
		if a.Carrier == "" || a.Carrier == ATT {
			if a.Media {
				add(c.mms, "pace.campaign.att")
			} else {
				add(c.sms, "pace.campaign.att")
			}
		}
	}
	return list
}

// number finds the bucket of a number of ours. When there are too many, idle ones go, and
// if none is, any.
func (p *Pacer) number(now int64, from string) *bucket {
	if b := p.numbers[from]; b != nil {
		return b
	}
	if len(p.numbers) >= numbersMost {
		for n, b := range p.numbers {
			if b.idle(now) {
				delete(p.numbers, n)
			}
		}
		for n := range p.numbers {
			if len(p.numbers) < numbersMost {
				break
			}
			delete(p.numbers, n)
		}
	}
	b := newBucket(p.limits.Number)
	b.divide(p.share)
	p.numbers[from] = b
	return b
}
