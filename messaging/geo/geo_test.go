package geo

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nyaruka/phonenumbers"
	"github.com/signpost-sms/signpost/messaging/sms"
)

// theirs asks the phone library for the country of an area code, through a number of it
// that it holds for valid; false if it knows none. Islands use few exchanges, which have to
// be looked for one by one.
func theirs(code, step int) (c Country, known bool) {
	for exchange := 200; exchange < 1000; exchange += step {
		n, err := phonenumbers.Parse(fmt.Sprintf("+1%03d%03d4567", code, exchange), "")
		if err != nil || !phonenumbers.IsValidNumber(n) {
			continue
		}
		switch phonenumbers.GetNumberType(n) {
		case phonenumbers.FIXED_LINE, phonenumbers.MOBILE, phonenumbers.FIXED_LINE_OR_MOBILE:
			return Country(phonenumbers.GetRegionCodeForNumber(n)), true
		case phonenumbers.PREMIUM_RATE:
			c, known = Unknown, true
		default: // toll-free and the like, which some islands have beside ordinary ones
			c, known = NorthAmerica, true
		}
		if step > 1 {
			break
		}
	}
	return c, known
}

func TestAreaCodesAgreeWithPhoneLibrary(t *testing.T) {
	t.Parallel()
	agreed, newer := map[Country]int{}, 0
	for code := 200; code < 1000; code++ {
		got := Of(fmt.Sprintf("+1%03d5550143", code))
		step := 61
		if got != "US" && got != "CA" && got != NorthAmerica {
			step = 1
		}
		want, known := theirs(code, step)
		switch {
		case got == want:
			agreed[got]++
		case !known && got == NorthAmerica:
		case !known && (got == "US" || got == "CA"):
			newer++ // assigned since, or about to be
		case got == NorthAmerica && (want == "US" || want == "CA") && !geographic(code):
			// The library gives codes of no place to one of the two.
		default:
			t.Errorf("area code %d: got %q, the phone library says %q", code, got, want)
		}
	}
	if agreed["US"] < 330 || agreed["CA"] < 40 || len(agreed) < 26 || newer > 20 {
		t.Errorf("the check is broken: %v, %d unknown to the library", agreed, newer)
	}
}

// geographic reports whether the phone library knows a place for numbers of an area code.
func geographic(code int) bool {
	zones, err := phonenumbers.GetTimezonesForPrefix(fmt.Sprintf("1%03d", code))
	return err == nil && len(zones) > 0 && len(zones) < 12 && !slices.Contains(zones, phonenumbers.UNKNOWN_TIMEZONE)
}

func TestCallingCodesAgreeWithPhoneLibrary(t *testing.T) {
	t.Parallel()
	region := func(code int) Country { return Country(phonenumbers.GetRegionCodeForCountryCode(code)) }
	const none = Country("ZZ")
	assigned := 0
	for code := 200; code < 1000; code++ { // each with what follows it, or as the beginning of a longer one
		want := none
		for c := code; c > 0 && want == none; c /= 10 {
			want = region(c)
		}
		switch {
		case want == none:
			want = Unknown
		case code/10 == 76 || code/10 == 77:
			want = "KZ"
		}
		if want != Unknown {
			assigned++
		}
		if got := Of(fmt.Sprintf("+%d20555014", code)); got != want {
			t.Errorf("+%d: got %q, the phone library says %q", code, got, want)
		}
	}
	if assigned < 600 {
		t.Errorf("the phone library knew only %d: the check is broken", assigned)
	}
}

func TestExampleNumbersOfEveryCountry(t *testing.T) {
	t.Parallel()
	// Countries that have no calling code of their own are named as the one that runs the
	// plan they are part of.
	partOf := map[string]Country{
		"GG": "GB", "JE": "GB", "IM": "GB", "SJ": "NO", "CC": "AU", "CX": "AU", "BL": "GP", "MF": "GP", "YT": "RE",
		"AX": "FI", "VA": "IT", "BQ": "CW", "TA": "SH", "EH": "MA",
	}
	checked := 0
	for region := range phonenumbers.GetSupportedRegions() {
		n := phonenumbers.GetExampleNumberForType(region, phonenumbers.MOBILE)
		if n == nil {
			continue
		}
		want := Country(region)
		if p, ok := partOf[region]; ok {
			want = p
		}
		checked++
		number := phonenumbers.Format(n, phonenumbers.E164)
		if got := Of(number); got != want {
			t.Errorf("%s (%s): got %q, want %q", number, region, got, want)
		}
		if Name(want) == "" {
			t.Errorf("%s has no name", want)
		}
	}
	if checked < 230 {
		t.Errorf("only %d countries had an example: the check is broken", checked)
	}
}

func TestAgreesWithClasses(t *testing.T) {
	t.Parallel()
	for code := 200; code < 1000; code++ {
		number := fmt.Sprintf("+1%03d5550143", code)
		c := Of(number)
		var want sms.Class
		switch {
		case c == "CA":
			want = sms.Canada
		case c == NorthAmerica || c == Unknown:
			continue
		case united(world.all[c]):
			want = sms.TenDLC
		default:
			want = sms.Local
		}
		if got := sms.ClassOf(number); got != want {
			t.Errorf("%d is in %s, yet a number of it is of class %s", code, c, got)
		}
	}
}

func TestOf(t *testing.T) {
	t.Parallel()
	for number, want := range map[string]Country{
		"+12025550143": "US", "+14165550143": "CA", "+18765550143": "JM", "+17875550143": "PR", "+18885550143": NorthAmerica,
		"+15555550143": NorthAmerica, "+19005550143": Unknown, "+447700900123": "GB", "+79015550143": "RU", "+77015550143": "KZ",
		"+881612345678": International, "+353861234567": "IE", "+2991234": "GL",
		"": Unknown, "+": Unknown, "74736": Unknown, "988": Unknown, "12025550143": Unknown, "+1202555014": Unknown, "+120255501430": Unknown,
		"+1202555014x": Unknown, "+11025550143": Unknown, "+0445550143": Unknown, "+9995550143": Unknown, "+4": Unknown, "+44": Unknown,
		"+4477009001234567": Unknown, "+44 7700900123": Unknown, "+４４7700900": Unknown,
	} {
		if got := Of(number); got != want {
			t.Errorf("%q: got %q, want %q", number, got, want)
		}
	}
}

func TestGate(t *testing.T) {
	t.Parallel()
	const us, ca, uk, tollFree, short, guam, jamaica = "+12025550100", "+14165550100", "+447700900100", "+18885550100", "74736", "+16715550100", "+18765550100"
	for name, tc := range map[string]struct {
		allowed  []string
		from, to string
		want     Verdict
	}{
		"home":            {nil, us, "+13125550143", Verdict{true, "US", "United States", "", "geography.own"}},
		"territory":       {nil, us, guam, Verdict{true, "GU", "Guam", "", "geography.own"}},
		"from territory":  {nil, guam, us, Verdict{true, "US", "United States", "", "geography.own"}},
		"neighbour":       {nil, us, ca, Verdict{false, "CA", "Canada", Geography, "geography.own"}},
		"island":          {nil, us, jamaica, Verdict{false, "JM", "Jamaica", Geography, "geography.own"}},
		"island at home":  {nil, jamaica, jamaica, Verdict{true, "JM", "Jamaica", "", "geography.own"}},
		"abroad":          {nil, us, uk, Verdict{false, "GB", "United Kingdom", Geography, "geography.own"}},
		"toll-free":       {nil, tollFree, ca, Verdict{true, "CA", "Canada", "", "geography.own"}},
		"toll-free far":   {nil, tollFree, jamaica, Verdict{false, "JM", "Jamaica", Geography, "geography.own"}},
		"short code":      {nil, short, us, Verdict{true, "US", "United States", "", "geography.own"}},
		"short code far":  {nil, short, uk, Verdict{false, "GB", "United Kingdom", Geography, "geography.own"}},
		"to a toll-free":  {nil, us, tollFree, Verdict{true, NorthAmerica, "North America, no one country", "", "geography.own"}},
		"to no area":      {nil, us, "+15555550143", Verdict{true, NorthAmerica, "North America, no one country", "", "geography.own"}},
		"UK to toll-free": {nil, uk, tollFree, Verdict{false, NorthAmerica, "North America, no one country", Geography, "geography.own"}},
		"to a short code": {nil, us, short, Verdict{false, Unknown, "no country", Geography, "geography.unknown"}},
		"premium":         {[]string{Anywhere}, us, "+19005550143", Verdict{false, Unknown, "no country", Geography, "geography.unknown"}},
		"satellite":       {nil, "+881612345678", "+881612345679", Verdict{false, International, "international services", Geography, "geography.own"}},
		"configured":      {[]string{"gb "}, us, uk, Verdict{true, "GB", "United Kingdom", "", "geography.configured"}},
		"others not":      {[]string{"GB"}, us, ca, Verdict{false, "CA", "Canada", Geography, "geography.own"}},
		"US configured":   {[]string{"US"}, uk, guam, Verdict{true, "GU", "Guam", "", "geography.configured"}},
		"anywhere":        {[]string{Anywhere}, us, jamaica, Verdict{true, "JM", "Jamaica", "", "geography.configured"}},
	} {
		g, err := New(tc.allowed)
		if err != nil {
			t.Fatal(name, err)
		}
		if diff := cmp.Diff(tc.want, g.Ask(tc.from, tc.to)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	for _, bad := range []string{"", "XX", "USA", "+1", "1", "England"} {
		if _, err := New([]string{bad}); err == nil || !strings.Contains(err.Error(), "ISO") {
			t.Errorf("%q: got %v", bad, err)
		}
	}
}

func TestRules(t *testing.T) {
	t.Parallel()
	g, err := New([]string{"GB", "DE", "US"})
	if err != nil {
		t.Fatal(err)
	}
	rules := g.Rules()
	if want := "also to American Samoa, Germany, Guam, Northern Mariana Islands, Puerto Rico, US Virgin Islands, United Kingdom, United States"; len(rules) != 3 || rules[1].Text != want {
		t.Errorf("got %+v, want %q", rules, want)
	}
	none, err := New(nil)
	if err != nil || len(none.Rules()) != 2 {
		t.Errorf("without configuration: %+v, %v", none.Rules(), err)
	}
	ids := map[string]bool{}
	for _, r := range rules {
		if ids[r.ID] || r.Text == "" || r.Source == "" || r.Version == "" || r.Date == "" {
			t.Errorf("incomplete or twice: %+v", r)
		}
		ids[r.ID] = true
	}
}

func FuzzOf(f *testing.F) {
	for _, s := range []string{"+12025550143", "+447700900123", "", "+", "74736", "+7"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if c := Of(s); c != Unknown && (Name(c) == "" || s[0] != '+') {
			t.Errorf("%q: %q", s, c)
		}
	})
}

func TestNoAllocation(t *testing.T) {
	g, err := New([]string{"GB"})
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { g.Ask("+12025550100", "+447700900123") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAsk(b *testing.B) {
	g, err := New(nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		g.Ask("+12025550100", "+13125550143")
	}
}
