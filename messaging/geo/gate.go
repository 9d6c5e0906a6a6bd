package geo

import (
	"fmt"
	"slices"
	"strings"
)

// Geography is the reason of every refusal; it is stable, and a metric's label.
const Geography = "geography"

// Anywhere, in a list of allowed countries, allows them all.
const Anywhere = "*"

// territories are the parts of the United States with area codes of their own.
var territories = []Country{"PR", "VI", "GU", "AS", "MP"}

// Gate says where messages may be sent. Make one with [New].
type Gate struct {
	allowed []bool // by id of entry
}

// New makes a Gate that allows, besides the countries of our own numbers, those that are
// listed: ISO codes of two letters, or Anywhere.
func New(allowed []string) (*Gate, error) {
	g := &Gate{allowed: make([]bool, world.entryCount)}
	for _, a := range allowed {
		if a == Anywhere {
			for _, e := range world.all {
				g.allowed[e.id] = e != &unknown
			}
			continue
		}
		code := Country(strings.ToUpper(strings.TrimSpace(a)))
		e := world.all[code]
		if e == nil || e == &unknown || e == &northAmerica {
			return nil, fmt.Errorf("geography: no country %q: use ISO codes of two letters, such as US or GB, or %q", a, Anywhere)
		}
		g.allow(e)
	}
	return g, nil
}

// allow adds a country with what cannot be told from it.
func (g *Gate) allow(e *entry) {
	g.allowed[e.id] = true
	switch e.code {
	case "US":
		for _, t := range territories {
			g.allowed[world.all[t].id] = true
		}
		g.allowed[northAmerica.id] = true
	case "CA":
		g.allowed[northAmerica.id] = true
	}
}

// Verdict is the answer to one question.
type Verdict struct {
	OK      bool
	Country Country // of the recipient
	Name    string  // its English name
	Reason  string  // Geography; empty if OK
	Rule    string  // the id of the rule that decided
}

// Ask says whether a message from a number of ours may be sent to a person's. Numbers are
// E.164; a short code of ours counts as one of the United States and Canada.
func (g *Gate) Ask(from, to string) Verdict {
	e := find(to)
	switch {
	case e == &unknown:
		return Verdict{Country: Unknown, Name: e.name, Reason: Geography, Rule: "geography.unknown"}
	case g.allowed[e.id]:
		return Verdict{OK: true, Country: e.code, Name: e.name, Rule: "geography.configured"}
	case home(find(from), e):
		return Verdict{OK: true, Country: e.code, Name: e.name, Rule: "geography.own"}
	}
	return Verdict{Country: e.code, Name: e.name, Reason: Geography, Rule: "geography.own"}
}

// home reports whether a recipient is where a number of ours is from.
func home(ours, theirs *entry) bool {
	if ours == theirs {
		return ours.code != International
	}
	return domestic(ours) && domestic(theirs) && (united(ours) && united(theirs) || shared(ours) || shared(theirs))
}

// domestic are the United States, Canada, and what may be either.
func domestic(e *entry) bool { return united(e) || shared(e) || e.code == "CA" }

// shared is a number of ours of no known country: toll-free, or a short code.
func shared(e *entry) bool { return e == &northAmerica || e == &unknown }

func united(e *entry) bool {
	if e.code == "US" {
		return true
	}
	for _, t := range territories {
		if e.code == t {
			return true
		}
	}
	return false
}

// Rule is one row of the sheet.
type Rule struct {
	ID      string // stable; what Verdict.Rule names
	Text    string // one line, for people
	Version string
	Date    string // ISO; when it was last held against its source
	Source  string
}

// Rules lists the rules that the Gate keeps, in a fixed order.
func (g *Gate) Rules() []Rule {
	const source = "practice against traffic pumping; NANPA, CNA and ITU-T E.164 assignments"
	list := []Rule{{
		"geography.own", "only to the country of the number that sends; toll-free numbers and short codes: United States and Canada; " +
			"the United States include their territories",
		Version, Date, source,
	}}
	var names []string
	for _, e := range world.all {
		if g.allowed[e.id] && e != &northAmerica {
			names = append(names, e.name)
		}
	}
	if len(names) > 0 {
		slices.Sort(names)
		list = append(list, Rule{"geography.configured", "also to " + strings.Join(names, ", "), Version, Date, "the operator's configuration"})
	}
	return append(list, Rule{"geography.unknown", "never to short codes, premium numbers and codes that nobody was assigned", Version, Date, source})
}
