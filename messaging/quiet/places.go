package quiet

import (
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
)

//go:embed areas.txt
var areasText string

//go:embed countries.txt
var countriesText string

//go:embed zips.txt
var zipsText string

// DataVersion is the version of the windows, the area codes, the country codes and the ZIP
// codes, and DataDate the day on which they were last held against their sources.
const (
	DataVersion = "2026-11"
	DataDate    = "2026-11-23"
)

// place is where a recipient could be: a time zone, and the region whose law holds there.
type place struct {
	zone   string
	region string // US-FL, CA-ON, JM; empty if unknown
}

// area is a line of a table: where the numbers of some codes could be.
type area struct {
	region string
	zones  []string
}

func (a *area) places() []place {
	ps := make([]place, len(a.zones))
	for i, z := range a.zones {
		ps[i] = place{z, a.region}
	}
	return ps
}

// zipRange gives the regions of a range of five-digit ZIP codes.
type zipRange struct {
	from, to int
	regions  []string
}

// geography is what is known of numbers and regions. It is never changed once loaded.
type geography struct {
	areas     [1000]*area // by area code; nil: unknown or of no place
	placeless [1000]bool  // area codes known to be of no place
	countries [1000]*area // by country code, or the first digits of one
	regions   map[string][]string
	zips      []zipRange
}

var atlas = sync.OnceValue(func() *geography {
	g := &geography{regions: map[string][]string{}}
	for fields := range lines(areasText) {
		for _, code := range fields[2:] {
			n := number(code)
			if fields[0] == "none" {
				g.placeless[n] = true
				continue
			}
			a := &area{fields[0], strings.Split(fields[1], ",")}
			g.areas[n] = a
			for _, z := range a.zones {
				if !slices.Contains(g.regions[a.region], z) {
					g.regions[a.region] = append(g.regions[a.region], z)
				}
			}
		}
	}
	for fields := range lines(countriesText) {
		g.countries[number(fields[0])] = &area{zones: strings.Split(fields[1], ",")}
	}
	for fields := range lines(zipsText) {
		from, to, _ := strings.Cut(fields[0], "-")
		r := zipRange{from: number(from), to: number(to)}
		if len(from) == 3 {
			r.from, r.to = r.from*100, r.to*100+99
		}
		for _, s := range fields[1:] {
			r.regions = append(r.regions, "US-"+s)
		}
		g.zips = append(g.zips, r)
	}
	return g
})

// lines iterates over the fields of the lines of an embedded table.
func lines(text string) func(yield func([]string) bool) {
	return func(yield func([]string) bool) {
		for line := range strings.Lines(text) {
			fields := strings.Fields(line)
			if len(fields) < 2 || fields[0] == "#" {
				continue
			}
			if !yield(fields) {
				return
			}
		}
	}
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(fmt.Sprintf("quiet: the embedded tables are damaged: %q is not a number", s))
	}
	return n
}

// territories are the parts of the United States that are not among the fifty states; the
// District of Columbia counts as one of those here.
var territories = []string{"US-PR", "US-VI", "US-GU", "US-MP", "US-AS"}

// inStates reports whether the region is one of the fifty states or the District.
func inStates(region string) bool {
	return strings.HasPrefix(region, "US-") && !slices.Contains(territories, region)
}

// all gives every place in the regions that match.
func (g *geography) all(match func(region string) bool) []place {
	var ps []place
	for region, zs := range g.regions {
		if match(region) {
			for _, z := range zs {
				ps = append(ps, place{z, region})
			}
		}
	}
	return ps
}

// region finds a state, a territory or a province by its postal abbreviation, alone or
// after the country's (FL, US-FL, CA-ON); empty if it is none.
func (g *geography) region(state string) string {
	s := strings.ToUpper(strings.TrimSpace(state))
	if len(s) == 5 && (s[:3] == "US-" || s[:3] == "CA-") {
		if s[:3] == "CA-" {
			return g.canadian(s[3:])
		}
		s = s[3:]
	} else if r := g.canadian(s); r != "" {
		return r
	}
	if _, ok := g.regions["US-"+s]; ok && len(s) == 2 {
		return "US-" + s
	}
	return ""
}

// canadian finds a province or territory. Those that share an area code are kept together.
func (g *geography) canadian(s string) string {
	switch s {
	case "PE":
		s = "NS"
	case "YT", "NU":
		s = "NT"
	}
	if _, ok := g.regions["CA-"+s]; ok && len(s) == 2 {
		return "CA-" + s
	}
	return ""
}

// zip gives the regions of a ZIP code as zipNumber reads it.
func (g *geography) zip(n int) []string {
	i, found := slices.BinarySearchFunc(g.zips, n, func(r zipRange, n int) int {
		switch {
		case n < r.from:
			return 1
		case n > r.to:
			return -1
		}
		return 0
	})
	if !found {
		return nil
	}
	return g.zips[i].regions
}

// zipNumber reads a ZIP code, of which only the first five digits count; negative if it is
// none.
func zipNumber(code string) int {
	code = strings.TrimSpace(code)
	if len(code) != 5 && (len(code) != 10 || code[5] != '-') {
		return -1
	}
	return digits(code[:5])
}

// digits reads a short decimal number; negative if anything else is in it.
func digits(s string) int {
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return -1
		}
		n = n*10 + int(s[i]-'0')
	}
	return n
}

// areaCode gives the area code of a number of the North American Numbering Plan in E.164,
// and the country prefix of any other. Both are zero for what is neither.
func (g *geography) areaCode(number string) (area, country int) {
	if len(number) < 5 || number[0] != '+' {
		return 0, 0
	}
	if number[1] == '1' {
		if len(number) != len("+12025550143") || digits(number[5:]) < 0 {
			return 0, 0
		}
		return max(digits(number[2:5]), 0), 0
	}
	for n := 3; n >= 1; n-- {
		if c := digits(number[1 : 1+n]); c > 0 && g.countries[c] != nil {
			return 0, c
		}
	}
	return 0, 0
}
