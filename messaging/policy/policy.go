package policy

import (
	"cmp"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/geo"
	"github.com/signpost-sms/signpost/messaging/loop"
	"github.com/signpost-sms/signpost/messaging/pace"
	"github.com/signpost-sms/signpost/messaging/quiet"
	"github.com/signpost-sms/signpost/messaging/rules"
	"github.com/signpost-sms/signpost/messaging/sms"
)

// Config is what the rules are made from. The zero value of every field means its documented
// default, and the zero Config the default sheet.
type Config struct {
	// LimitsOff lifts the rates, the carriers' daily caps, the budget and the loop breaker,
	// for load tests. Frequency caps, quiet hours and every other rule stay.
	LimitsOff bool

	// Numbers are numbers of ours with their classes; an empty class, like that of a number
	// which is not here, is sms.ClassOf the number.
	Numbers map[messaging.Number]sms.Class
	// Countries are where messages may go besides the countries of our own numbers: ISO
	// codes of two letters, or geo.Anywhere.
	Countries []string
	// Duplicates is for how long the same text to the same number counts as a mistake;
	// loop.DuplicateWindow, negative never.
	Duplicates time.Duration
	// Quiet are the quiet hours. Its Random is not used: the spread of a send follows from
	// its id, so that asking again gives the same opening.
	Quiet quiet.Config
	// Limits are the rates, caps and budgets of all replicas together.
	Limits pace.Limits
	// Replicas is how many daemons share the limits at least; 1. Each has its part of the
	// rates, the carriers' daily caps and the budget. Where Policy.Instances says more, the
	// part of the rates is the smaller one.
	Replicas int
	// Exchanged says that Policy.Exchange is called: daily caps and the budget are then
	// counted over all daemons of the journal, and Replicas divides the rates only.
	Exchanged bool

	// SmartEncoding says that the platform replaces typographic characters before it counts
	// segments, and Prefix what it puts before every text, as on trial accounts.
	SmartEncoding bool
	Prefix        string

	// Metrics is where New registers its metrics; nil is nowhere. Configure ignores it.
	Metrics prometheus.Registerer
}

// replicasMost bounds Replicas.
const replicasMost = 1000

// Policy is the rules under one configuration. Rules are asked on one goroutine, the
// engine's; every other method is safe for concurrent use.
type Policy struct {
	now        atomic.Pointer[state]
	others     others
	breaker    *loop.Breaker
	duplicates *loop.Duplicates
	waits      *prometheus.HistogramVec

	// Of the goroutine on which the rules are asked.
	promises promises
	hearing  hearing
	opening  uint64 // of the send whose quiet hours are asked about
}

// state is what a change of the configuration replaces.
type state struct {
	cfg   Config
	geo   *geo.Gate
	quiet *quiet.Hours
	pacer *pace.Pacer
	sheet rules.List
}

// New makes a Policy. The error says what to mend in the configuration.
func New(cfg Config) (*Policy, error) {
	p := &Policy{
		duplicates: loop.NewDuplicates(cfg.Duplicates),
		waits: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "signpost", Name: "ratelimit_wait_seconds",
			Help:    "How long sends that had to wait for a rate, a cap or the budget did so, by class of the number of ours.",
			Buckets: prometheus.ExponentialBuckets(0.05, 3, 13), // to seven hours
		}, []string{"class"}),
		others:   newOthers(),
		promises: newPromises(),
		hearing:  newHearing(),
	}
	p.breaker = loop.New(loop.Config{Own: p.ours})
	if err := p.Configure(time.Now(), cfg); err != nil {
		return nil, err
	}
	if cfg.Metrics != nil {
		cfg.Metrics.MustRegister(p.waits)
	}
	return p, nil
}

// Configure changes the configuration; on an error the old one stays. It may be called while
// the rules are asked: what was counted and what left within the window of a rate is kept.
func (p *Policy) Configure(now time.Time, cfg Config) error {
	next, err := p.build(cfg)
	if err != nil {
		return err
	}
	if old := p.now.Load(); old != nil {
		next.pacer.Adopt(now, old.pacer)
	}
	p.duplicates.SetWindow(cfg.Duplicates)
	p.now.Store(next)
	return nil
}

func (p *Policy) build(cfg Config) (*state, error) {
	st := &state{cfg: cfg}
	var err error
	if st.geo, err = geo.New(cfg.Countries); err != nil {
		return nil, err
	}
	cfg.Quiet.Random = func(n int64) int64 { return int64(p.opening % uint64(n)) } //nolint:gosec // n is at least 1
	if st.quiet, err = quiet.New(cfg.Quiet); err != nil {
		return nil, err
	}
	replicas := cmp.Or(cfg.Replicas, 1)
	if replicas < 1 || replicas > replicasMost {
		return nil, fmt.Errorf("replicas: %d: use 1 to %d", replicas, replicasMost)
	}
	limits := cfg.Limits
	if cfg.LimitsOff {
		limits = lifted(limits)
	}
	shared := replica{&p.others, replicas, cfg.Exchanged}
	if st.pacer, err = pace.New(limits, shared); err != nil {
		return nil, err
	}
	st.sheet = sheet(&cfg, rules.InForce{Quiet: st.quiet, Pace: st.pacer, Geo: st.geo})
	if replicas > 1 && !cfg.Exchanged {
		st.pacer, err = pace.New(divided(limits, replicas), shared)
	}
	return st, err
}

// sheet lists what is in force.
func sheet(cfg *Config, in rules.InForce) rules.List {
	list := slices.DeleteFunc(rules.Sheet(in), func(e rules.Entry) bool {
		switch {
		case e.ID == loop.DuplicateContent:
			return cfg.Duplicates < 0
		case e.Topic == rules.Loop:
			return cfg.LimitsOff
		}
		return cfg.LimitsOff && isClassRate(e.ID) // only words about no limit are left
	})
	if w := cfg.Duplicates; w > 0 && w != loop.DuplicateWindow {
		i := slices.IndexFunc(list, func(e rules.Entry) bool { return e.ID == loop.DuplicateContent })
		list[i].Text, list[i].Source = loop.DuplicateText(w), "the operator's configuration"
	}
	return list
}

// lifted are limits without what Config.LimitsOff lifts.
func lifted(l pace.Limits) pace.Limits {
	classes := pace.DefaultClasses()
	for c := range classes {
		classes[c] = pace.Rate{}
	}
	return pace.Limits{Classes: classes, Daily: -1, Caps: l.Caps, MaxRecipients: l.MaxRecipients}
}

func isClassRate(id string) bool {
	for class := range pace.DefaultClasses() {
		if id == "pace."+string(class) {
			return true
		}
	}
	return false
}

// divided are the limits of a day that one of several replicas has, which cannot know what
// the others have counted.
func divided(l pace.Limits, replicas int) pace.Limits {
	daily := func(n int) int {
		if n == 0 {
			n = pace.DailyDefault
		}
		if n < 0 {
			return n
		}
		return max(n/replicas, 1)
	}
	budget := func(n int) int {
		if n == 0 {
			return 0
		}
		return max(n/replicas, 1)
	}
	l.Daily = daily(l.Daily)
	l.Campaigns = slices.Clone(l.Campaigns)
	for i := range l.Campaigns {
		l.Campaigns[i].Daily = daily(l.Campaigns[i].Daily)
	}
	l.Budget.Segments, l.Budget.Messages = budget(l.Budget.Segments), budget(l.Budget.Messages)
	return l
}

// Sheet is every rule that is in force, with its version, date and source. It is shared: do
// not change it.
func (p *Policy) Sheet() rules.List { return p.now.Load().sheet }

// Export lists what has been counted and still matters, for Import after a restart. It holds
// phone numbers: store it as carefully as the messages.
func (p *Policy) Export(now time.Time) []pace.Counter { return p.now.Load().pacer.Export(now) }

// Import adds counters of an earlier Export.
func (p *Policy) Import(now time.Time, cs []pace.Counter) { p.now.Load().pacer.Import(now, cs) }

// class is the class of a number of ours.
func (st *state) class(n messaging.Number) sms.Class {
	if c := st.cfg.Numbers[n]; c != "" {
		return c
	}
	return sms.ClassOf(string(n))
}
