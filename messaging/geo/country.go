package geo

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"
)

// Version is the version of the tables, and Date the day on which they were last held
// against their sources.
const (
	Version = "2026-11"
	Date    = "2026-11-23"
)

//go:embed areas.txt
var areasText string

//go:embed countries.txt
var countriesText string

// Country is an ISO 3166-1 code of two letters, XK for Kosovo and AC for Ascension, or one
// of the constants.
type Country string

// What is no country.
const (
	// Unknown is what is no number of E.164, such as a short code, what has a code that
	// nobody was assigned, and premium numbers.
	Unknown Country = ""
	// NorthAmerica is a number of the North American plan that belongs to no one country:
	// toll-free, personal, or of an area code that is not assigned yet.
	NorthAmerica Country = "+1"
	// International is a number of a service that is in no country, such as a satellite's.
	International Country = "001"
)

// entry is a country in the tables, with its place in a Gate's list.
type entry struct {
	code Country
	name string
	id   int
}

// The entries that are in no table of codes.
var (
	unknown      = entry{Unknown, "no country", 0}
	northAmerica = entry{NorthAmerica, "North America, no one country", 1}
)

// tables is what is known. It is never changed once loaded. The first digits of a code are
// looked up, the longest first.
type tables struct {
	areas      [1000]*entry
	codes      [1000]*entry // one, two or three digits; no code begins with 0
	all        map[Country]*entry
	entryCount int
}

var world = load(areasText, countriesText)

func load(areas, countries string) *tables {
	t := &tables{all: map[Country]*entry{Unknown: &unknown, NorthAmerica: &northAmerica}, entryCount: 2}
	for i := range t.areas {
		t.areas[i] = &northAmerica
	}
	for f := range fields(areas) {
		e := &unknown
		if f[0] != "-" {
			e = t.entry(f[0], f[1])
		}
		for code := range strings.FieldsSeq(f[2]) {
			t.areas[number(code)] = e
		}
	}
	for f := range fields(countries) {
		t.codes[number(f[0])] = t.entry(f[1], f[2])
	}
	return t
}

func (t *tables) entry(code, name string) *entry {
	e := t.all[Country(code)]
	if e == nil {
		e = &entry{Country(code), name, t.entryCount}
		t.all[e.code] = e
		t.entryCount++
	}
	return e
}

// fields iterates over the three columns of the lines of a table.
func fields(text string) func(yield func([]string) bool) {
	return func(yield func([]string) bool) {
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "#") {
				continue
			}
			f := strings.Split(strings.TrimSpace(line), "\t")
			if len(f) != 3 {
				panic(fmt.Sprintf("geo: the embedded tables are damaged: %q", line))
			}
			if !yield(f) {
				return
			}
		}
	}
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 999 {
		panic(fmt.Sprintf("geo: the embedded tables are damaged: %q is no code", s))
	}
	return n
}

// Of is the country of a number in E.164 with its plus.
func Of(number string) Country { return find(number).code }

// Name is the English name of a country; empty if there is no such country.
func Name(c Country) string {
	if e := world.all[c]; e != nil {
		return e.name
	}
	return ""
}

// The lengths of numbers in E.164 with their plus.
const (
	shortest            = 1 + 5
	longest             = 1 + 15
	northAmericanLength = 1 + 11
)

func find(number string) *entry {
	if len(number) < shortest || len(number) > longest || number[0] != '+' {
		return &unknown
	}
	for i := 1; i < len(number); i++ {
		if number[i] < '0' || number[i] > '9' {
			return &unknown
		}
	}
	digit := func(i int) int { return int(number[i] - '0') }
	one := digit(1)
	switch one {
	case 0:
		return &unknown
	case 1:
		if len(number) != northAmericanLength || number[2] < '2' {
			return &unknown
		}
		return world.areas[100*digit(2)+10*digit(3)+digit(4)]
	}
	two := 10*one + digit(2)
	for _, code := range [...]int{10*two + digit(3), two, one} {
		if e := world.codes[code]; e != nil {
			return e
		}
	}
	return &unknown
}
