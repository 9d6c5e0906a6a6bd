package pace

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Version is the version of the data of this package, and Date the day on which it was last
// held against its sources.
const (
	Version = "2026-11"
	Date    = "2026-11-23"
)

// Class is the kind of a number of ours.
type Class string

// The classes.
const (
	TenDLC    Class = "10dlc"     // a US long code; what any unknown class counts as
	TollFree  Class = "tollfree"  //
	ShortCode Class = "shortcode" //
	Canada    Class = "canada"    // a Canadian long code
	Local     Class = "local"     // a long code of another country
)

// Carriers that limit by their own rules. The carrier of a recipient is seldom known; then
// the rules of all of them are kept.
const (
	ATT     = "att"
	TMobile = "tmobile"
)

// Rate is a number of segments in a time. The zero Rate is no limit.
type Rate struct {
	Segments int
	Per      time.Duration
}

func (r Rate) String() string {
	if r == (Rate{}) {
		return "no limit"
	}
	return fmt.Sprintf("%d per %v", r.Segments, r.Per)
}

func perSecond(n int) Rate { return Rate{n, time.Second} }
func perMinute(n int) Rate { return Rate{n, time.Minute} }

// DefaultClasses are the platform's rates for a whole space.
func DefaultClasses() map[Class]Rate { return maps.Clone(classRates) }

var classRates = map[Class]Rate{
	TenDLC: perSecond(4), TollFree: perSecond(3), ShortCode: perSecond(10), Canada: perSecond(1), Local: perSecond(1),
}

// tier is the throughput that AT&T grants a campaign.
type tier struct{ sms, mms Rate }

var attTiers = map[string]tier{
	"A": {perMinute(4500), perMinute(2400)},
	"B": {perMinute(4500), perMinute(2400)},
	"C": {perMinute(2400), perMinute(1200)},
	"D": {perMinute(2400), perMinute(1200)},
	"E": {perMinute(240), perMinute(150)},
	"F": {perMinute(240), perMinute(150)},
	"T": {perMinute(75), perMinute(50)},
}

// The segments that T-Mobile takes from a brand in a day of Pacific time, by how well the
// brand is vetted.
const (
	DailyDefault = 2_000
	DailyLow     = 10_000
	DailyMiddle  = 40_000
	DailyHigh    = 200_000
)

// Campaign is a registered 10DLC campaign.
type Campaign struct {
	ID      string
	Brand   string   // the brands' daily caps are counted by it; campaigns of one brand share one
	Numbers []string // of ours, in E.164
	// Tier is AT&T's message class, A to F or T; empty if it is not known.
	Tier string
	// Rate, if set, is kept towards every carrier.
	Rate Rate
	// Daily is the brand's cap in segments per day of Pacific time; zero is DailyDefault,
	// negative none. Campaigns of one brand must not differ.
	Daily int
}

// Cap bounds how many messages of a category one person is sent in a rolling time.
type Cap struct {
	Category string
	N        int
	Window   time.Duration
}

// DefaultCaps is what Florida and Oklahoma allow, kept everywhere.
func DefaultCaps() []Cap { return []Cap{{Category: "marketing", N: 3, Window: 24 * time.Hour}} }

// Budget bounds a day of all numbers together. Zero is no limit. It holds everything but
// consent messages.
type Budget struct {
	Segments, Messages int
	Zone               *time.Location // whose midnight starts a new day; UTC
}

// Limits is everything that a Pacer keeps. The zero value of every field means its
// documented default.
type Limits struct {
	// Classes are the rates of the whole space by class of number; DefaultClasses. A class
	// that is missing keeps its default.
	Classes map[Class]Rate
	// Number is the rate of each number of ours, Space that of all together; no limit.
	Number, Space Rate
	// Campaigns, with those 10DLC numbers that are in none counted as one campaign.
	Campaigns []Campaign
	// Daily is the daily cap of 10DLC numbers in no campaign, as Campaign.Daily.
	Daily int
	// DailyZone is where the day of the daily caps begins; America/Los_Angeles, and on a
	// machine without time zones eight hours behind UTC, which is never too early.
	DailyZone *time.Location
	// Caps are the frequency caps; nil is DefaultCaps, empty none.
	Caps   []Cap
	Budget Budget
	// MaxRecipients bounds how many people the caps remember in a window; beyond it a
	// capped message to anybody new waits. Default 1,000,000.
	MaxRecipients int
}

func (l Limits) withDefaults() Limits {
	classes := DefaultClasses()
	maps.Copy(classes, l.Classes)
	l.Classes = classes
	if l.Daily == 0 {
		l.Daily = DailyDefault
	}
	l.Campaigns = slices.Clone(l.Campaigns)
	for i := range l.Campaigns {
		if c := &l.Campaigns[i]; c.Daily == 0 {
			c.Daily = DailyDefault
		}
	}
	if l.DailyZone == nil {
		l.DailyZone = pacific()
	}
	if l.Caps == nil {
		l.Caps = DefaultCaps()
	}
	if l.Budget.Zone == nil {
		l.Budget.Zone = time.UTC
	}
	if l.MaxRecipients == 0 {
		l.MaxRecipients = 1_000_000
	}
	return l
}

func pacific() *time.Location {
	if loc, err := time.LoadLocation("America/Los_Angeles"); err == nil {
		return loc
	}
	return time.FixedZone("PST", -8*60*60)
}

// The bounds of a rate: beyond them its arithmetic, or its memory, would not hold.
const (
	mostSegments = 100_000
	longestPer   = time.Hour
)

func (r Rate) check(what string) error {
	if r == (Rate{}) {
		return nil
	}
	if r.Segments < 1 || r.Segments > mostSegments || r.Per < time.Millisecond || r.Per > longestPer {
		return fmt.Errorf("%s: %v is no rate: use 1 to %d segments in 1ms to %v", what, r, mostSegments, longestPer)
	}
	return nil
}

// check reports the first thing that is wrong. It is called after withDefaults.
func (l *Limits) check() error {
	for class, r := range l.Classes {
		if classRates[class] == (Rate{}) {
			return fmt.Errorf("pace: no class %q: use 10dlc, tollfree, shortcode, canada or local", class)
		}
		if err := r.check("pace of class " + string(class)); err != nil {
			return err
		}
	}
	if err := l.Number.check("pace of a number"); err != nil {
		return err
	}
	if err := l.Space.check("pace of the space"); err != nil {
		return err
	}
	if err := l.checkCampaigns(); err != nil {
		return err
	}
	for _, c := range l.Caps {
		if c.Category == "" || c.N < 1 || c.N > 1000 || c.Window < time.Second || c.Window > 366*24*time.Hour {
			return fmt.Errorf("frequency cap: a category, 1 to 1000 messages and a window of 1s to 366 days are needed, not %+v", c)
		}
	}
	if l.Budget.Segments < 0 || l.Budget.Messages < 0 {
		return fmt.Errorf("budget: must not be negative: use 0 for none")
	}
	if l.MaxRecipients < 0 {
		return fmt.Errorf("frequency caps: MaxRecipients must not be negative")
	}
	return nil
}

func (l *Limits) checkCampaigns() error {
	numbers, brands, ids := map[string]string{}, map[string]int{"": l.Daily}, map[string]bool{}
	for _, c := range l.Campaigns {
		if c.ID == "" || ids[c.ID] {
			return fmt.Errorf("campaign %q: each needs an id of its own", c.ID)
		}
		ids[c.ID] = true
		if err := c.Rate.check("pace of campaign " + c.ID); err != nil {
			return err
		}
		if _, ok := attTiers[c.Tier]; c.Tier != "" && !ok {
			return fmt.Errorf("campaign %s: no tier %q: use A to F or T", c.ID, c.Tier)
		}
		if daily, ok := brands[c.Brand]; ok && daily != c.Daily {
			return fmt.Errorf("campaign %s: the daily cap is the brand's, and another campaign of it says %d: use one figure", c.ID, daily)
		}
		brands[c.Brand] = c.Daily
		for _, n := range c.Numbers {
			if other, twice := numbers[n]; twice {
				return fmt.Errorf("campaign %s: one of its numbers is in campaign %s too: a number belongs to one", c.ID, other)
			}
			numbers[n] = c.ID
		}
	}
	return nil
}
