package quiet

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Class says what a message is for.
type Class string

// The classes. Any other value is held like a notification.
const (
	Reply         Class = "reply"         // answers somebody who wrote a moment ago; exempt
	Consent       Class = "consent"       // confirmations of STOP and START, answers to HELP; exempt
	Transactional Class = "transactional" // one-time codes; exempt
	Notification  Class = "notification"  // held
	Marketing     Class = "marketing"     // held
)

// Ported says how much an area code proves.
type Ported string

// The values of Ported.
const (
	// PortedTrust takes an area code for the place where the person is, which holds for
	// most people.
	PortedTrust Ported = "trust"
	// PortedStrict takes it for no more than the country: people keep their numbers when
	// they move.
	PortedStrict Ported = "strict"
)

// Config tunes an Hours. The zero value of every field means its documented default.
type Config struct {
	Preset Preset // Conservative
	Ported Ported // PortedTrust

	// UnknownZone is the IANA name of the zone in which people are held to be whose number
	// tells nothing, such as those of toll-free numbers. Empty means all zones of the fifty
	// states at once.
	UnknownZone string

	// Week is when the custom preset allows messages, and States the weeks of some states
	// instead, by postal abbreviation (FL, CA-ON).
	Week   Week
	States map[string]Week

	// Random gives a number from 0 to n-1, with n at least 1, for the spread of deferrals.
	// Default: math/rand/v2. It may be called by many goroutines at once.
	Random func(n int64) int64
}

// Recipient is what is known of the person. Number is E.164; every other field may be
// empty, and what cannot be read counts as empty.
type Recipient struct {
	Number string
	Zone   string // IANA name, such as America/Chicago
	State  string // postal abbreviation, such as FL, US-FL or CA-ON
	Zip    string // five digits, or nine with a hyphen
}

// Verdict is the answer to one question.
type Verdict struct {
	Allowed bool
	// NextOpening is when the message may leave, in UTC. It is zero if that is now, or
	// will not be within ten days.
	NextOpening time.Time
	// Closes is when the window that is open now, or that opens at NextOpening, shuts
	// again, in UTC. It is zero for an exempt message.
	Closes time.Time
	// Rule is the rule that decided: the exemption, one that is kept, or the one that
	// forbids the message now, of several the one that does so longest.
	Rule Rule
	// Zone is the time zone in which Rule was applied; empty for an exempt message.
	Zone string
	// Zones are all zones that the person could be in, sorted; nil for an exempt message.
	// The caller must not change the slice.
	Zones []string
}

// Spread is how far after an opening deferred messages are scattered, so that they do not
// all leave on the minute.
const Spread = 15 * time.Minute

// Hours answers whether messages may be sent. Make one with [New]; it may be used by many
// goroutines at once.
type Hours struct {
	cfg  Config
	book book
	geo  *geography

	// Profiles of recipients of whom only the number is known: the common question.
	byArea, byCountry [1000]atomic.Pointer[profile]
	unknown           atomic.Pointer[profile]

	mu      sync.Mutex
	byPlace map[string]*profile // by what profile.key says
	asked   map[question]*profile
}

// The caches are emptied when they have as many entries: stored zones and states come from
// outside, and could be of any number of combinations.
const (
	profilesMost  = 1024
	questionsMost = 8192
)

// longestName is more than any zone or state has; what is longer is not kept as a key.
const longestName = 64

// question is what a recipient with more than a number comes down to.
type question struct {
	zone, state   string
	zip           int // as zipNumber reads it
	area, country int
}

// profile is a set of places under their rules, with the timeline that was last needed.
type profile struct {
	places []ruled
	zones  []string
	line   atomic.Pointer[timeline]
}

// New makes an Hours. The error says what to mend in the configuration.
func New(cfg Config) (*Hours, error) {
	if cfg.Preset == "" {
		cfg.Preset = Conservative
	}
	if cfg.Ported == "" {
		cfg.Ported = PortedTrust
	}
	if cfg.Random == nil {
		cfg.Random = rand.Int64N
	}
	switch cfg.Preset {
	case Federal, Conservative, Strict:
		if cfg.Week != (Week{}) || len(cfg.States) > 0 {
			return nil, fmt.Errorf("quiet hours: own windows need the preset %q, not %q", Custom, cfg.Preset)
		}
	case Custom:
		if cfg.Week == (Week{}) {
			return nil, fmt.Errorf("quiet hours: the preset %q needs windows, such as 09:00-20:00", Custom)
		}
	default:
		return nil, fmt.Errorf("quiet hours: no preset %q: use %s, %s, %s or %s", cfg.Preset, Federal, Conservative, Strict, Custom)
	}
	if cfg.Ported != PortedTrust && cfg.Ported != PortedStrict {
		return nil, fmt.Errorf("quiet hours: ported is %q: use %s or %s", cfg.Ported, PortedTrust, PortedStrict)
	}
	if cfg.UnknownZone != "" {
		if _, err := Location(cfg.UnknownZone); err != nil {
			return nil, fmt.Errorf("quiet hours: %w", err)
		}
	}
	if err := checkWeek("the windows", cfg.Week); err != nil {
		return nil, err
	}
	seen := map[string]string{}
	for _, state := range slices.Sorted(maps.Keys(cfg.States)) {
		region := atlas().region(state)
		if region == "" {
			return nil, fmt.Errorf("quiet hours: no state %q: use a postal abbreviation such as FL or CA-ON", state)
		}
		if other, twice := seen[region]; twice {
			return nil, fmt.Errorf("quiet hours: %q and %q mean the same area: keep one", other, state)
		}
		seen[region] = state
		if err := checkWeek("the windows of "+state, cfg.States[state]); err != nil {
			return nil, err
		}
	}
	cfg.States = maps.Clone(cfg.States)
	zones() // unpacked now rather than by the first question
	return &Hours{
		cfg: cfg, book: cfg.book(), geo: atlas(),
		byPlace: map[string]*profile{}, asked: map[question]*profile{},
	}, nil
}

func checkWeek(what string, w Week) error {
	for _, win := range w {
		if win.Close > minutesPerDay || win.Open > win.Close {
			return fmt.Errorf("quiet hours: %s: a window must end after it begins, at 24:00 at the latest", what)
		}
	}
	return nil
}

// Ask says whether a message of that class may be sent to the recipient at that time.
func (h *Hours) Ask(now time.Time, class Class, to Recipient) Verdict {
	if r := exemptions[class]; r != nil {
		return Verdict{Allowed: true, Rule: *r}
	}
	p := h.profile(to)
	sec := now.Unix()
	line := p.line.Load()
	if line == nil || sec < line.from || sec >= line.until {
		line = newTimeline(p.places, sec)
		p.line.Store(line)
	}
	s := line.at(sec)
	v := Verdict{Allowed: s.shut < 0, Zones: p.zones}
	by := &p.places[max(s.shut, 0)]
	v.Rule, v.Zone = *by.rule, by.zone
	if s.opens != 0 {
		v.NextOpening = time.Unix(s.opens, 0).UTC()
	}
	if s.closes != 0 {
		v.Closes = time.Unix(s.closes, 0).UTC()
	}
	return v
}

// Defer picks when a message that was not allowed should be tried: at the next opening or
// up to [Spread] after it, while the window is open, and early enough that half of the time
// until expires is left for sending it. It reports false if there is no such time before
// expires; a zero expires never comes. For an allowed verdict it reports false too.
func (h *Hours) Defer(v Verdict, expires time.Time) (time.Time, bool) {
	if v.Allowed || v.NextOpening.IsZero() {
		return time.Time{}, false
	}
	within := Spread
	if open := v.Closes.Sub(v.NextOpening); open > 0 {
		within = min(within, open)
	}
	if !expires.IsZero() {
		left := expires.Sub(v.NextOpening)
		if left <= 0 {
			return time.Time{}, false
		}
		within = min(within, (left+1)/2)
	}
	return v.NextOpening.Add(time.Duration(h.cfg.Random(int64(within)))), true
}

// profile finds the places where the recipient could be.
func (h *Hours) profile(to Recipient) *profile {
	area, country := h.geo.areaCode(to.Number)
	if to.Zone == "" && to.State == "" && to.Zip == "" {
		slot := &h.unknown
		switch {
		case area != 0 && h.geo.areas[area] != nil:
			slot = &h.byArea[area]
		case country != 0:
			slot = &h.byCountry[country]
		}
		p := slot.Load()
		if p == nil {
			p = h.intern(h.resolve(to, area, country))
			slot.Store(p)
		}
		return p
	}
	if len(to.Zone) > longestName {
		to.Zone = ""
	}
	if len(to.State) > longestName {
		to.State = ""
	}
	q := question{zone: to.Zone, state: to.State, zip: zipNumber(to.Zip), area: area, country: country}
	h.mu.Lock()
	p := h.asked[q]
	h.mu.Unlock()
	if p != nil {
		return p
	}
	p = h.intern(h.resolve(to, area, country))
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.asked) >= questionsMost {
		clear(h.asked)
	}
	// The key outlives the call, and so must not hold on to what the caller's strings
	// were cut out of.
	q.zone, q.state = strings.Clone(q.zone), strings.Clone(q.state)
	h.asked[q] = p
	return p
}

// resolve lists the places where the recipient could be; there is at least one.
func (h *Hours) resolve(to Recipient, area, country int) []place {
	g := h.geo
	regions := g.zip(zipNumber(to.Zip))
	if r := g.region(to.State); r != "" && !slices.Contains(regions, r) {
		regions = append(slices.Clip(regions), r)
	}
	var ps []place
	switch {
	case zones().bodies[to.Zone] != "":
		return h.inZone(to.Zone, regions, area)
	case len(regions) > 0:
		return g.all(func(r string) bool { return slices.Contains(regions, r) })
	case area != 0 && g.areas[area] != nil:
		ps = g.areas[area].places()
		if h.cfg.Ported == PortedStrict {
			ps = append(ps, g.all(sameCountry(g.areas[area].region))...)
		}
		return ps
	case country != 0:
		return g.countries[country].places()
	case h.cfg.UnknownZone != "":
		return h.inZone(h.cfg.UnknownZone, nil, 0)
	}
	return g.all(inStates)
}

// inZone lists the places in a time zone that is known for sure: which law holds there
// depends on the regions, and if those are unknown, on the area code as long as it agrees
// with the zone; else on every state that keeps that time.
func (h *Hours) inZone(zone string, regions []string, area int) []place {
	g := h.geo
	if len(regions) == 0 && area != 0 && g.areas[area] != nil && h.cfg.Ported != PortedStrict {
		for _, z := range g.areas[area].zones {
			if zones().alike(z, zone) {
				regions = []string{g.areas[area].region}
			}
		}
	}
	if len(regions) == 0 {
		// An American may be filed under any name of the time that is kept there.
		for r, zs := range g.regions {
			if slices.Contains(zs, zone) {
				regions = append(regions, r)
			}
		}
		american := len(regions) == 0 || slices.ContainsFunc(regions, inStates)
		for _, p := range g.all(inStates) {
			if american && !slices.Contains(regions, p.region) && zones().alike(p.zone, zone) {
				regions = append(regions, p.region)
			}
		}
	}
	if len(regions) == 0 {
		return []place{{zone: zone}}
	}
	ps := make([]place, len(regions))
	for i, r := range regions {
		ps[i] = place{zone, r}
	}
	return ps
}

// sameCountry matches the regions to which a person may have moved with a number of the
// region: another state, another province.
func sameCountry(region string) func(string) bool {
	switch {
	case strings.HasPrefix(region, "US-"):
		return inStates
	case strings.HasPrefix(region, "CA-"):
		return func(r string) bool { return strings.HasPrefix(r, "CA-") }
	}
	return func(string) bool { return false }
}

// intern gives the profile of the places, shared with all recipients who could be in the
// same ones.
func (h *Hours) intern(places []place) *profile {
	type key struct {
		zone string
		rule *Rule
	}
	set := map[key]bool{}
	for _, p := range places {
		for _, r := range h.book(p.region) {
			set[key{p.zone, r}] = true
		}
	}
	keys := slices.SortedFunc(maps.Keys(set), func(a, b key) int {
		if c := strings.Compare(a.zone, b.zone); c != 0 {
			return c
		}
		return strings.Compare(a.rule.ID, b.rule.ID)
	})
	p := &profile{}
	var name strings.Builder
	for _, k := range keys {
		name.WriteString(k.zone + " " + k.rule.ID + "\n")
		p.places = append(p.places, ruled{k.zone, zones().location(k.zone), k.rule})
		if n := len(p.zones); n == 0 || p.zones[n-1] != k.zone {
			p.zones = append(p.zones, k.zone)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if known := h.byPlace[name.String()]; known != nil {
		return known
	}
	if len(h.byPlace) >= profilesMost {
		clear(h.byPlace)
		clear(h.asked) // it would keep what was just given up
	}
	h.byPlace[name.String()] = p
	return p
}
