package quiet

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nyaruka/phonenumbers"
)

// samples are instants on both sides of the clock changes of the years that count.
var samples = func() (ts []time.Time) {
	for year := 2026; year <= 2028; year++ {
		for month := time.January; month <= time.December; month++ {
			ts = append(ts, time.Date(year, month, 15, 12, 0, 0, 0, time.UTC))
		}
	}
	return ts
}()

func mustLoad(t testing.TB, zone string) *time.Location {
	t.Helper()
	loc, err := Location(zone)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func offset(t testing.TB, zone string, at time.Time) int {
	t.Helper()
	_, off := at.In(mustLoad(t, zone)).Zone()
	return off
}

// phoneZones asks the phone library for all zones of a prefix and of those beneath it; none
// if it does not know the prefix and so names every zone of the numbering plan.
func phoneZones(t *testing.T, prefix string, below int) []string {
	t.Helper()
	var all []string
	add := func(p string) {
		zs, err := phonenumbers.GetTimezonesForPrefix(p)
		if err != nil {
			t.Fatal(err)
		}
		if len(zs) > 12 || slices.Contains(zs, phonenumbers.UNKNOWN_TIMEZONE) {
			return
		}
		for _, z := range zs {
			if !slices.Contains(all, z) {
				all = append(all, z)
			}
		}
	}
	add(prefix)
	for i := range below {
		add(fmt.Sprintf("%s%0*d", prefix, len(fmt.Sprint(below-1)), i))
	}
	return all
}

// covered fails unless each of their zones is, at any time, between the earliest and the
// latest of ours: then the common window of ours lies inside theirs.
func covered(t *testing.T, what string, ours, theirs []string) {
	t.Helper()
	for _, at := range samples {
		var offsets []int
		for _, z := range ours {
			offsets = append(offsets, offset(t, z, at))
		}
		for _, z := range theirs {
			if off := offset(t, z, at); off < slices.Min(offsets) || off > slices.Max(offsets) {
				t.Errorf("%s: the phone library knows %s, which is outside of %v in %s", what, z, ours, at.Format("January 2006"))
				return
			}
		}
	}
}

func TestAreaCodesAgreeWithPhoneLibrary(t *testing.T) {
	t.Parallel()
	g := atlas()
	known := 0
	for code := 200; code < 1000; code++ {
		theirs := phoneZones(t, fmt.Sprintf("1%03d", code), 1000)
		region := ""
		for exchange := 200; exchange < 1000; exchange += 29 {
			n, err := phonenumbers.Parse(fmt.Sprintf("+1%03d%03d4567", code, exchange), "")
			if err == nil && phonenumbers.IsValidNumber(n) {
				region = phonenumbers.GetRegionCodeForNumber(n)
				break
			}
		}
		if len(theirs) == 0 && region == "" {
			continue
		}
		known++
		a := g.areas[code]
		if a == nil {
			if !g.placeless[code] || len(theirs) > 0 {
				t.Errorf("%03d is missing: the phone library has it in %s %v", code, region, theirs)
			}
			continue
		}
		covered(t, fmt.Sprintf("%03d (%s)", code, a.region), a.zones, theirs)
		ours := a.region[:2]
		if slices.Contains(territories, a.region) {
			ours = a.region[3:]
		}
		if region != "" && region != ours {
			t.Errorf("%03d is in %s, the phone library says %s", code, a.region, region)
		}
	}
	if known < 440 {
		t.Errorf("the phone library knew only %d area codes: the check is broken", known)
	}
}

// regionNames are the words with which the phone library describes a number whose town it
// does not know.
var regionNames = map[string]string{
	"Alabama": "AL", "Alaska": "AK", "Arizona": "AZ", "Arkansas": "AR", "California": "CA", "Colorado": "CO", "Connecticut": "CT",
	"Delaware": "DE", "Washington D.C.": "DC", "Florida": "FL", "Georgia": "GA", "Hawaii": "HI", "Idaho": "ID", "Illinois": "IL",
	"Indiana": "IN", "Iowa": "IA", "Kansas": "KS", "Kentucky": "KY", "Louisiana": "LA", "Maine": "ME", "Maryland": "MD",
	"Massachusetts": "MA", "Michigan": "MI", "Minnesota": "MN", "Mississippi": "MS", "Missouri": "MO", "Montana": "MT",
	"Nebraska": "NE", "Nevada": "NV", "New Hampshire": "NH", "New Jersey": "NJ", "New Mexico": "NM", "New York": "NY",
	"North Carolina": "NC", "North Dakota": "ND", "Ohio": "OH", "Oklahoma": "OK", "Oregon": "OR", "Pennsylvania": "PA",
	"Rhode Island": "RI", "South Carolina": "SC", "South Dakota": "SD", "Tennessee": "TN", "Texas": "TX", "Utah": "UT",
	"Vermont": "VT", "Virginia": "VA", "Washington State": "WA", "West Virginia": "WV", "Wisconsin": "WI", "Wyoming": "WY",
	"Alberta": "AB", "British Columbia": "BC", "British Colombia": "BC", "Manitoba": "MB", "New Brunswick": "NB",
	"Newfoundland and Labrador": "NL", "Nova Scotia/Prince Edward Island": "NS", "Ontario": "ON", "Quebec": "QC", "Saskatchewan": "SK",
	"Northwest Territories/Nunavut/Yukon": "NT",
}

func TestStatesAgreeWithPhoneLibrary(t *testing.T) {
	t.Parallel()
	g := atlas()
	checked := 0
	for code, a := range g.areas {
		if a == nil || !strings.Contains(a.region, "-") || slices.Contains(territories, a.region) {
			continue
		}
		for exchange := 200; exchange < 1000; exchange += 31 {
			n, err := phonenumbers.Parse(fmt.Sprintf("+1%03d%03d4567", code, exchange), "")
			if err != nil || !phonenumbers.IsValidNumber(n) {
				continue
			}
			words, err := phonenumbers.GetGeocodingForNumber(n, "en")
			if err != nil {
				t.Fatal(err)
			}
			want := regionNames[words]
			if _, state, ok := strings.Cut(words, ", "); ok && len(state) == 2 {
				want = state
			}
			if want == "" {
				continue
			}
			checked++
			if got := g.region(want); got != a.region {
				t.Errorf("%03d is in %s, the phone library says %s", code, a.region, words)
				break
			}
		}
	}
	if checked < 5_000 {
		t.Errorf("only %d numbers had a state: the check is broken", checked)
	}
}

// outdated are zones that the phone library gives to a country that does not keep their
// time, or no longer: it names a well-known city of the same standard time.
var outdated = map[int]string{
	52:  "America/New_York", // Quintana Roo has no summer time
	64:  "Pacific/Pitcairn", // fifty people, twenty hours away from New Zealand
	211: "Africa/Nairobi",   // South Sudan moved an hour in 2021
	212: "Atlantic/Canary",  // Morocco has its own rules
	213: "Europe/Paris",     // Algeria has no summer time
	218: "Europe/Bucharest", // Libya has no summer time
	505: "America/Chicago",  // Nicaragua has no summer time
}

func TestCountryCodesAgreeWithPhoneLibrary(t *testing.T) {
	t.Parallel()
	g := atlas()
	for code := 2; code < 1000; code++ {
		region := phonenumbers.GetRegionCodeForCountryCode(code)
		if region == "ZZ" || region == "001" {
			continue
		}
		theirs := phoneZones(t, fmt.Sprint(code), 0)
		_, country := g.areaCode(fmt.Sprintf("+%d5550143000", code))
		if country == 0 {
			t.Errorf("+%d (%s) is missing", code, region)
			continue
		}
		theirs = slices.DeleteFunc(theirs, func(z string) bool { return z == outdated[code] })
		covered(t, fmt.Sprintf("+%d (%s)", code, region), g.countries[country].zones, theirs)
	}
}

func TestTablesAreSound(t *testing.T) {
	t.Parallel()
	g := atlas()
	seen := map[string]bool{}
	for fields := range lines(areasText) {
		if len(fields) < 3 {
			t.Errorf("line %q has no codes", fields)
		}
		for _, code := range fields[2:] {
			if seen[code] {
				t.Errorf("%s is there twice", code)
			}
			seen[code] = true
			if n := number(code); n < 200 || n > 999 {
				t.Errorf("%s cannot be an area code", code)
			}
		}
	}
	for fields := range lines(countriesText) {
		if seen["+"+fields[0]] {
			t.Errorf("+%s is there twice", fields[0])
		}
		seen["+"+fields[0]] = true
	}
	for _, table := range [][1000]*area{g.areas, g.countries} {
		for code, a := range table {
			if a == nil {
				continue
			}
			for _, z := range a.zones {
				if zones().location(z) == nil {
					t.Errorf("%d: no zone %q", code, z)
				}
			}
		}
	}
	states := 0
	for region := range g.regions {
		if inStates(region) {
			states++
		}
	}
	if states != 51 {
		t.Errorf("got %d states with the District of Columbia, want 51", states)
	}
	for region := range strict {
		if g.regions[region] == nil {
			t.Errorf("the strict table has %s, the area codes have not", region)
		}
	}
	for i, r := range g.zips {
		if r.from > r.to || i > 0 && r.from <= g.zips[i-1].to {
			t.Errorf("ZIP range %05d-%05d is out of order", r.from, r.to)
		}
		for _, region := range r.regions {
			if g.regions[region] == nil {
				t.Errorf("ZIP range %05d-%05d names %s", r.from, r.to, region)
			}
			seen[region] = true
		}
	}
	for region := range g.regions {
		if strings.HasPrefix(region, "US-") && !seen[region] {
			t.Errorf("%s has no ZIP code", region)
		}
	}
}

func TestRegionAndZip(t *testing.T) {
	t.Parallel()
	g := atlas()
	for in, want := range map[string]string{
		"FL": "US-FL", " fl ": "US-FL", "US-FL": "US-FL", "CA": "US-CA", "ON": "CA-ON", "CA-ON": "CA-ON", "PE": "CA-NS", "CA-YT": "CA-NT",
		"PR": "US-PR", "DC": "US-DC", "": "", "Florida": "", "XX": "", "CA-FL": "", "US-ON": "", "JM": "", "US-": "", "CA-": "",
	} {
		if got := g.region(in); got != want {
			t.Errorf("region %q: got %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string][]string{
		"33101": {"US-FL"}, "10001-1234": {"US-NY"}, " 60601 ": {"US-IL"}, "06390": {"US-CT", "US-NY"}, "96799": {"US-AS"}, "96701": {"US-HI"},
		"96910": {"US-GU"}, "96941": nil, "09001": nil, "00501": {"US-NY"}, "00901": {"US-PR"}, "99950": {"US-AK"}, "88510": {"US-TX"},
		"123456": nil, "1234": nil, "12345678 9": nil, "1000x": nil, "": nil, "-0001": nil,
	} {
		if got := g.zip(zipNumber(in)); !slices.Equal(got, want) {
			t.Errorf("ZIP code %q: got %v, want %v", in, got, want)
		}
	}
}

func TestAreaCodeOfNumber(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][2]int{
		"+12025550143": {202, 0}, "+1202555014": {0, 0}, "+120255501430": {0, 0}, "+1202555014x": {0, 0}, "12025550143": {0, 0},
		"2025550143": {0, 0}, "74736": {0, 0}, "988": {0, 0}, "": {0, 0}, "+": {0, 0}, "+1": {0, 0}, "+1xyz5550143": {0, 0},
		"+447700900123": {0, 44}, "+77015550143": {0, 77}, "+79015550143": {0, 7}, "+8005550143": {0, 0}, "+35315550143": {0, 353},
	} {
		area, country := atlas().areaCode(in)
		if got := [2]int{area, country}; got != want {
			t.Errorf("number %q: got area %d, country %d, want %v", in, area, country, want)
		}
	}
}
