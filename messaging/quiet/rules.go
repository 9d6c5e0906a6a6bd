package quiet

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Rule is one row of the sheet: a window of local time somewhere, or an exemption from all
// of them, with where it comes from.
type Rule struct {
	ID      string // stable, such as quiet.strict.us-fl
	Where   string // whom it is about, for people
	Week    Week   // when sending is allowed; meaningless for an exemption
	Exempt  bool   // the class of message that Where names may leave at any time
	Version string // of this row
	Date    string // ISO; when the row was last held against its source
	Source  string
}

func rule(id, where string, week Week, source string) *Rule {
	return &Rule{ID: id, Where: where, Week: week, Version: DataVersion, Date: DataDate, Source: source}
}

func exemption(class Class, where, source string) *Rule {
	r := rule("quiet.exempt."+string(class), where, Week{}, source)
	r.Exempt = true
	return r
}

// The exemptions, by class of message.
var exemptions = map[Class]*Rule{
	Reply:         exemption(Reply, "answers to somebody who has just written", "an answer that was asked for is no solicitation; 47 CFR 64.1200(f)(15)"),
	Consent:       exemption(Consent, "confirmations of STOP and START, answers to HELP", "47 CFR 64.1200(a)(12): within five minutes of the request"),
	Transactional: exemption(Transactional, "one-time codes and the like", "sent at the person's own request; no solicitation under 47 CFR 64.1200(f)(15)"),
}

var (
	federal = rule("quiet.federal", "United States", daily(8, 21),
		"47 CFR 64.1200(c)(1), telephone solicitations; whether it binds consented texts is contested (FCC public notice 2025-03-11)")

	conservative = rule("quiet.conservative", "everywhere", daily(9, 20).on(12, 20, time.Sunday),
		"one window that keeps every row of the strict table but Rhode Island's, Kentucky's mornings and the days without any")
)

const (
	oneTable  = "one vendor table of state laws"
	twoTables = "two vendor tables of state laws"
	differing = "vendor tables of state laws, which differ; the stricter"
)

// noSunday is the week of the states that one table gives no window on Sundays.
func noSunday(from, to uint16) Week { return daily(from, to).on(0, 0, time.Sunday) }

// strict holds the rules by region that the strict preset adds to the federal one.
var strict = func() map[string]*Rule {
	m := map[string]*Rule{}
	add := func(state, name string, week Week, source string) {
		m["US-"+state] = rule("quiet.strict.us-"+strings.ToLower(state), name, week, source)
	}
	add("AL", "Alabama", noSunday(8, 20), differing)
	add("CT", "Connecticut", daily(9, 20), twoTables)
	add("FL", "Florida", daily(8, 20), "Fla. Stat. 501.616")
	add("KY", "Kentucky", daily(10, 21), oneTable)
	add("LA", "Louisiana", noSunday(8, 20), differing)
	add("MA", "Massachusetts", daily(8, 20), differing)
	add("MD", "Maryland", daily(8, 20), twoTables)
	add("MI", "Michigan", daily(9, 21), oneTable)
	add("MN", "Minnesota", daily(9, 21), oneTable)
	add("MS", "Mississippi", noSunday(8, 20), differing)
	add("NJ", "New Jersey", daily(8, 20), differing)
	add("NM", "New Mexico", daily(9, 21), oneTable)
	add("NV", "Nevada", daily(8, 20), differing)
	add("OK", "Oklahoma", daily(8, 20), "Okla. Stat. tit. 15, 775C")
	add("RI", "Rhode Island", daily(9, 18).on(10, 17, time.Saturday, time.Sunday), differing)
	add("TX", "Texas", daily(9, 21).on(12, 21, time.Sunday), "Texas SB 140, in force since 2025-09-01")
	add("VA", "Virginia", daily(8, 21), "Va. Code 59.1-511")
	add("WA", "Washington", daily(8, 20), "Washington HB 1497 (2022)")
	return m
}()

// canada is what the strict preset adds for a number of any province.
var canada = rule("quiet.strict.ca", "Canada", daily(9, 21).on(10, 18, time.Saturday, time.Sunday),
	"CRTC Unsolicited Telecommunications Rules, part III, for calls (weekdays to 21:30, cut to the federal window here)")

// Preset chooses the windows.
type Preset string

// The presets.
const (
	// Federal is 08:00 to 21:00 wherever the person is.
	Federal Preset = "federal"
	// Conservative, the default, is 09:00 to 20:00, and from noon on Sundays.
	Conservative Preset = "conservative"
	// Strict adds the windows of each state, and Canada's, to the federal ones. Where tables
	// of a state's law differ, the stricter is taken.
	Strict Preset = "strict"
	// Custom takes the operator's own windows. In the United States, and for a number that
	// tells nothing, the federal ones hold beside them.
	Custom Preset = "custom"
)

// book says which rules hold in a region, all of them at once.
type book func(region string) []*Rule

func (c *Config) book() book {
	switch c.Preset {
	case Federal:
		return func(string) []*Rule { return []*Rule{federal} }
	case Strict:
		return func(region string) []*Rule {
			if r := strict[region]; r != nil {
				return []*Rule{federal, r}
			}
			if strings.HasPrefix(region, "CA-") {
				return []*Rule{federal, canada}
			}
			return []*Rule{federal}
		}
	case Custom:
		general, own := c.custom()
		return func(region string) []*Rule {
			r := general
			if s := own[region]; s != nil {
				r = s
			}
			if strings.HasPrefix(region, "US-") {
				return []*Rule{r, federal}
			}
			return []*Rule{r}
		}
	}
	return func(string) []*Rule { return []*Rule{conservative} }
}

// custom gives the operator's rules, the general one and those of some regions.
func (c *Config) custom() (*Rule, map[string]*Rule) {
	mine := func(id, where string, week Week) *Rule {
		return &Rule{ID: id, Where: where, Week: week, Version: "configuration", Source: "the operator's configuration"}
	}
	own := map[string]*Rule{}
	for state, week := range c.States {
		if region := atlas().region(state); region != "" {
			own[region] = mine("quiet.custom."+strings.ToLower(region), region, week)
		}
	}
	return mine("quiet.custom", "everywhere", c.Week), own
}

// Rules lists the rules in force, windows first, in a fixed order.
func (h *Hours) Rules() []Rule {
	var list []*Rule
	switch h.cfg.Preset {
	case Federal:
		list = append(list, federal)
	case Strict:
		list = append(list, federal)
		for _, region := range slices.Sorted(maps.Keys(strict)) {
			list = append(list, strict[region])
		}
		list = append(list, canada)
	case Custom:
		general, own := h.cfg.custom()
		list = append(list, general)
		for _, region := range slices.Sorted(maps.Keys(own)) {
			list = append(list, own[region])
		}
		list = append(list, federal)
	default:
		list = append(list, conservative)
	}
	for _, class := range slices.Sorted(maps.Keys(exemptions)) {
		list = append(list, exemptions[class])
	}
	rules := make([]Rule, len(list))
	for i, r := range list {
		rules[i] = *r
	}
	return rules
}

// Dataset is a table that verdicts are made from.
type Dataset struct {
	Name    string
	Version string
	Date    string // ISO; empty for the tz database, whose version says it
	Entries int
	Source  string
}

// Data lists the tables behind the rules.
func Data() []Dataset {
	g := atlas()
	count := func(table [1000]*area) (n int) {
		for _, a := range table {
			if a != nil {
				n++
			}
		}
		return n
	}
	return []Dataset{
		{"area codes", DataVersion, DataDate, count(g.areas), "NANPA and CNA assignments"},
		{"country codes", DataVersion, DataDate, count(g.countries), "ITU-T E.164 assignments"},
		{"ZIP codes", DataVersion, DataDate, len(g.zips), "USPS ZIP code prefixes"},
		{"tz database", ZoneVersion(), "", len(zones().bodies), "IANA"},
	}
}
