package quiet

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func sortTimes(ts []time.Time) { slices.SortFunc(ts, time.Time.Compare) }

func mustNew(t testing.TB, cfg Config) *Hours {
	t.Helper()
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func refPlaces(t testing.TB, region string, zoneNames []string) []refPlace {
	t.Helper()
	var ps []refPlace
	for _, z := range zoneNames {
		ps = append(ps, refPlace{mustLoad(t, z), region})
	}
	return ps
}

// judge compares a verdict with the reference, both ways: no more is allowed, and no less.
func judge(t *testing.T, what string, preset Preset, places []refPlace, at time.Time, v Verdict) {
	t.Helper()
	if want := refAllowed(preset, places, at); v.Allowed != want {
		t.Errorf("%s at %s under %s: allowed is %v, want %v", what, at.Format(time.RFC3339), preset, v.Allowed, want)
		return
	}
	minute := func(at time.Time) bool { return refAllowed(preset, places, at) }
	if v.Allowed {
		if !v.NextOpening.IsZero() {
			t.Errorf("%s at %s: allowed, and opens again at %s", what, at, v.NextOpening)
		}
		if !v.Closes.After(at) || minute(v.Closes) || !minute(v.Closes.Add(-time.Minute)) {
			t.Errorf("%s at %s under %s: does not close at %s", what, at, preset, v.Closes)
		}
		return
	}
	if v.Rule.ID == "" || v.Rule.Source == "" || v.Rule.Version == "" || v.Rule.Date == "" || v.Zone == "" || !slices.Contains(v.Zones, v.Zone) {
		t.Errorf("%s at %s under %s: held without a whole rule: %+v", what, at, preset, v)
		return
	}
	local := at.In(mustLoad(t, v.Zone))
	if v.Rule.Week[local.Weekday()].Contains(local.Hour()*60 + local.Minute()) {
		t.Errorf("%s at %s under %s: held by %s in %s, which is open", what, at, preset, v.Rule.ID, v.Zone)
	}
	if !v.NextOpening.After(at) || !minute(v.NextOpening) || minute(v.NextOpening.Add(-time.Minute)) {
		t.Errorf("%s at %s under %s: does not open at %s", what, at, preset, v.NextOpening)
	}
	if !v.Closes.After(v.NextOpening) || minute(v.Closes) || !minute(v.Closes.Add(-time.Minute)) {
		t.Errorf("%s at %s under %s: opens at %s and does not close at %s", what, at, preset, v.NextOpening, v.Closes)
	}
	// Nothing earlier would have done. No window in the sheet is shorter than three hours, and
	// the common one of several places is, if at all, for the two hours that are looked at.
	step := 20 * time.Minute
	if at.Unix()%420 != 0 {
		step = 2 * time.Hour
	}
	for m := at; m.Before(v.NextOpening); m = m.Add(step) {
		if minute(m) {
			t.Errorf("%s at %s under %s: opens at %s already, not at %s", what, at, preset, m, v.NextOpening)
			return
		}
	}
}

var presets = []Preset{Federal, Conservative, Strict}

// TestEveryAreaCode asks about every area code around every clock change of three years
// and around every edge of a window.
func TestEveryAreaCode(t *testing.T) {
	t.Parallel()
	g := atlas()
	type group struct {
		region, zones string
	}
	minutes := map[group][]time.Time{}
	codes := map[group][]int{}
	for code, a := range g.areas {
		if a != nil {
			k := group{a.region, strings.Join(a.zones, ",")}
			codes[k] = append(codes[k], code)
		}
	}
	for k := range codes {
		minutes[k] = interesting(refPlaces(t, k.region, strings.Split(k.zones, ",")), 75)
	}
	for _, preset := range presets {
		t.Run(string(preset), func(t *testing.T) {
			t.Parallel()
			h := mustNew(t, Config{Preset: preset})
			asked := 0
			for k, list := range codes {
				zoneNames := strings.Split(k.zones, ",")
				places := refPlaces(t, k.region, zoneNames)
				for i, code := range list {
					to := Recipient{Number: fmt.Sprintf("+1%03d5550143", code)}
					for j, at := range minutes[k] {
						// The first code of a group asks about every minute, the others each about some.
						if i > 0 && j%37 != code%37 {
							continue
						}
						v := h.Ask(at, Marketing, to)
						asked++
						if i > 0 {
							if want := refAllowed(preset, places, at); v.Allowed != want {
								t.Fatalf("%03d at %s: allowed is %v, want %v", code, at, v.Allowed, want)
							}
							continue
						}
						judge(t, fmt.Sprintf("%03d (%s)", code, k.region), preset, places, at, v)
						if t.Failed() {
							return
						}
					}
				}
			}
			if asked < 100_000 {
				t.Errorf("only %d questions were asked", asked)
			}
		})
	}
}

// allStates is the reference's idea of where somebody of whom nothing is known could be.
func allStates(t *testing.T) []refPlace {
	var ps []refPlace
	for region, zs := range atlas().regions {
		if len(region) == 5 && region[:3] == "US-" && !strings.Contains("PR VI GU MP AS", region[3:]) {
			ps = append(ps, refPlaces(t, region, zs)...)
		}
	}
	return ps
}

func TestNoInformationIsEveryState(t *testing.T) {
	t.Parallel()
	places := allStates(t)
	minutes := interesting(places, 5)
	for _, preset := range presets {
		h := mustNew(t, Config{Preset: preset})
		for i, number := range []string{"+18005550143", "+15005550143", "+19995550143", "74736", "", "+8005550143"} {
			for j, at := range minutes {
				if j%(6+i*7) != 0 {
					continue
				}
				judge(t, "number "+number, preset, places, at, h.Ask(at, Notification, Recipient{Number: number}))
				if t.Failed() {
					return
				}
			}
		}
	}
}

// at is a time of day in a zone, on a Wednesday of winter unless it says otherwise.
func at(t *testing.T, zone, clock string) time.Time {
	t.Helper()
	ts, err := time.ParseInLocation("2006-01-02 15:04", clock, mustLoad(t, zone))
	if err != nil {
		t.Fatal(err)
	}
	return ts
}

func TestWhereTheRecipientIs(t *testing.T) {
	t.Parallel()
	const (
		newYork = "+12125550143"
		florida = "+13055550143"
		ontario = "+14165550143"
	)
	for name, tc := range map[string]struct {
		cfg   Config
		to    Recipient
		zone  string
		clock string
		want  bool
		rule  string
		zones []string
	}{
		"area code":                  {Config{Preset: Federal}, Recipient{Number: newYork}, "America/New_York", "2026-12-02 08:00", true, "quiet.federal", []string{"America/New_York"}},
		"stored zone before number":  {Config{Preset: Federal}, Recipient{Number: newYork, Zone: "America/Los_Angeles"}, "America/New_York", "2026-12-02 08:00", false, "quiet.federal", []string{"America/Los_Angeles"}},
		"stored zone before state":   {Config{Preset: Federal}, Recipient{Number: newYork, Zone: "America/New_York", State: "CA"}, "America/New_York", "2026-12-02 08:00", true, "quiet.federal", []string{"America/New_York"}},
		"state before number":        {Config{Preset: Federal}, Recipient{Number: newYork, State: "CA"}, "America/New_York", "2026-12-02 08:00", false, "quiet.federal", []string{"America/Los_Angeles"}},
		"ZIP before number":          {Config{Preset: Federal}, Recipient{Number: newYork, Zip: "90001"}, "America/New_York", "2026-12-02 08:00", false, "quiet.federal", []string{"America/Los_Angeles"}},
		"ZIP and state disagree":     {Config{Preset: Federal}, Recipient{Number: newYork, State: "NY", Zip: "90001"}, "America/New_York", "2026-12-02 21:30", false, "quiet.federal", []string{"America/Los_Angeles", "America/New_York"}},
		"unreadable zone is none":    {Config{Preset: Federal}, Recipient{Number: newYork, Zone: "Eastern"}, "America/New_York", "2026-12-02 08:00", true, "quiet.federal", []string{"America/New_York"}},
		"unreadable state is none":   {Config{Preset: Federal}, Recipient{Number: newYork, State: "New York", Zip: "1"}, "America/New_York", "2026-12-02 08:00", true, "quiet.federal", []string{"America/New_York"}},
		"zone far away":              {Config{Preset: Federal}, Recipient{Number: newYork, Zone: "Europe/Berlin"}, "Europe/Berlin", "2026-12-02 08:00", true, "quiet.federal", []string{"Europe/Berlin"}},
		"abroad":                     {Config{}, Recipient{Number: "+447700900123"}, "Europe/London", "2026-12-02 08:59", false, "quiet.conservative", []string{"Europe/Guernsey", "Europe/Isle_of_Man", "Europe/Jersey", "Europe/London"}},
		"conservative is default":    {Config{}, Recipient{Number: newYork}, "America/New_York", "2026-12-02 08:30", false, "quiet.conservative", nil},
		"law of the area code":       {Config{Preset: Strict}, Recipient{Number: florida}, "America/New_York", "2026-12-02 20:00", false, "quiet.strict.us-fl", nil},
		"law of the stored state":    {Config{Preset: Strict}, Recipient{Number: newYork, State: "FL", Zone: "America/New_York"}, "America/New_York", "2026-12-02 20:00", false, "quiet.strict.us-fl", []string{"America/New_York"}},
		"state says another law":     {Config{Preset: Strict}, Recipient{Number: florida, State: "NY"}, "America/New_York", "2026-12-02 20:00", true, "quiet.federal", nil},
		"zone agrees with area code": {Config{Preset: Strict}, Recipient{Number: newYork, Zone: "US/Eastern"}, "America/New_York", "2026-12-02 20:30", true, "quiet.federal", []string{"US/Eastern"}},
		"zone alone: all its states": {Config{Preset: Strict}, Recipient{Zone: "US/Eastern"}, "America/New_York", "2026-12-02 18:00", false, "quiet.strict.us-ri", nil},
		"zone of another state":      {Config{Preset: Strict}, Recipient{Number: florida, Zone: "America/Chicago"}, "America/Chicago", "2026-12-02 20:00", false, "quiet.strict.us-al", nil},
		"Canadian zone":              {Config{Preset: Strict}, Recipient{Zone: "America/Toronto"}, "America/Toronto", "2026-12-02 18:00", true, "quiet.federal", nil},
		"Canadian weekend":           {Config{Preset: Strict}, Recipient{Number: ontario}, "America/Toronto", "2026-12-05 18:00", false, "quiet.strict.ca", nil},
		"ported, trusted":            {Config{Preset: Federal}, Recipient{Number: newYork}, "America/New_York", "2026-12-02 09:00", true, "", nil},
		"ported, strict":             {Config{Preset: Federal, Ported: PortedStrict}, Recipient{Number: newYork}, "America/New_York", "2026-12-02 09:00", false, "quiet.federal", nil},
		"ported, stored zone known":  {Config{Preset: Federal, Ported: PortedStrict}, Recipient{Number: newYork, Zone: "America/New_York"}, "America/New_York", "2026-12-02 09:00", true, "", nil},
		"ported, zone without law":   {Config{Preset: Strict, Ported: PortedStrict}, Recipient{Number: newYork, Zone: "US/Eastern"}, "America/New_York", "2026-12-02 18:00", false, "quiet.strict.us-ri", []string{"US/Eastern"}},
		"ported, Canada":             {Config{Preset: Federal, Ported: PortedStrict}, Recipient{Number: ontario}, "America/Toronto", "2026-12-02 08:30", false, "quiet.federal", nil},
		"ported, one island":         {Config{Preset: Federal, Ported: PortedStrict}, Recipient{Number: "+18765550143"}, "America/Jamaica", "2026-12-02 08:00", true, "", []string{"America/Jamaica"}},
		"no Sunday":                  {Config{Preset: Strict}, Recipient{Number: "+15045550143"}, "America/Chicago", "2026-12-06 14:00", false, "quiet.strict.us-la", nil},
		"Sunday morning":             {Config{}, Recipient{Number: newYork}, "America/New_York", "2026-12-06 11:59", false, "quiet.conservative", nil},
		"Sunday noon":                {Config{}, Recipient{Number: newYork}, "America/New_York", "2026-12-06 12:00", true, "", nil},
		"Vancouver without winter":   {Config{Preset: Federal}, Recipient{Number: "+16045550143"}, "America/Phoenix", "2026-12-02 08:00", true, "", nil},
	} {
		v := mustNew(t, tc.cfg).Ask(at(t, tc.zone, tc.clock), Marketing, tc.to)
		if v.Allowed != tc.want || tc.rule != "" && v.Rule.ID != tc.rule || tc.zones != nil && !slices.Equal(v.Zones, tc.zones) {
			t.Errorf("%s: got allowed %v by %s in %v", name, v.Allowed, v.Rule.ID, v.Zones)
		}
	}
}

// Of several places that forbid a message the one is named that does so longest.
func TestTheLongestWaitIsNamed(t *testing.T) {
	t.Parallel()
	h := mustNew(t, Config{Preset: Federal})
	for clock, want := range map[string]string{
		"2026-12-02 07:30": "America/Denver",  // both are shut, Denver for an hour longer
		"2026-12-02 08:30": "America/Denver",  // Chicago is open
		"2026-12-02 21:30": "America/Chicago", // Denver is open
		"2026-12-02 22:30": "America/Denver",  // both are shut again
	} {
		v := h.Ask(at(t, "America/Chicago", clock), Marketing, Recipient{Number: "+13085550143"})
		if v.Allowed || v.Zone != want {
			t.Errorf("%s in Chicago: got allowed %v, by %s, want %s", clock, v.Allowed, v.Zone, want)
		}
	}
}

func TestClassesDecide(t *testing.T) {
	t.Parallel()
	h := mustNew(t, Config{Preset: Strict})
	night := at(t, "America/New_York", "2026-12-02 03:00")
	to := Recipient{Number: "+12125550143"}
	for _, class := range []Class{Reply, Consent, Transactional} {
		v := h.Ask(night, class, to)
		if !v.Allowed || v.Rule.ID != "quiet.exempt."+string(class) || !v.Rule.Exempt || v.Rule.Source == "" {
			t.Errorf("%s at night: got %+v", class, v)
		}
	}
	for _, class := range []Class{Notification, Marketing, "", "newsletter"} {
		if v := h.Ask(night, class, to); v.Allowed || v.Rule.ID != "quiet.federal" {
			t.Errorf("%q at night: got %+v", class, v)
		}
	}
}

func TestCustomWindows(t *testing.T) {
	t.Parallel()
	week := func(s string) Week {
		w, err := ParseWeek(s)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	h := mustNew(t, Config{Preset: Custom, Week: week("06:00-23:00"), States: map[string]Week{"TX": week("mon-fri 10:00-16:00"), "UT": {}}})
	for _, tc := range []struct {
		number, zone, clock, rule string
		want                      bool
	}{
		{"+12125550143", "America/New_York", "2026-12-02 07:00", "quiet.federal", false},
		{"+12125550143", "America/New_York", "2026-12-02 20:59", "", true},
		{"+447700900123", "Europe/London", "2026-12-02 06:00", "quiet.custom", true},
		{"+447700900123", "Europe/London", "2026-12-02 05:59", "quiet.custom", false},
		{"+15125550143", "America/Chicago", "2026-12-02 09:59", "quiet.custom.us-tx", false},
		{"+15125550143", "America/Chicago", "2026-12-02 10:00", "", true},
		{"+15125550143", "America/Chicago", "2026-12-05 11:00", "quiet.custom.us-tx", false},
		{"74736", "America/New_York", "2026-12-02 20:00", "", false},
	} {
		v := h.Ask(at(t, tc.zone, tc.clock), Marketing, Recipient{Number: tc.number})
		if v.Allowed != tc.want || tc.rule != "" && v.Rule.ID != tc.rule {
			t.Errorf("%s at %s: got allowed %v by %s", tc.zone, tc.clock, v.Allowed, v.Rule.ID)
		}
	}
	never := h.Ask(at(t, "America/Denver", "2026-12-02 12:00"), Marketing, Recipient{Number: "+18015550143"})
	if never.Allowed || !never.NextOpening.IsZero() || !never.Closes.IsZero() || never.Rule.ID != "quiet.custom.us-ut" {
		t.Errorf("a state without a window: got %+v", never)
	}
	if when, ok := h.Defer(never, time.Time{}); ok {
		t.Errorf("a state without a window: deferred to %s", when)
	}
}

func TestWindowsMayLastTheNight(t *testing.T) {
	t.Parallel()
	week, err := ParseWeek("00:00-24:00")
	if err != nil {
		t.Fatal(err)
	}
	h := mustNew(t, Config{Preset: Custom, Week: week})
	from := at(t, "Europe/London", "2027-03-27 12:00") // the night of a clock change follows
	for m := range 24 * 60 {
		if v := h.Ask(from.Add(time.Duration(m)*time.Minute), Marketing, Recipient{Number: "+447700900123"}); !v.Allowed {
			t.Fatalf("held at %s by %s", from.Add(time.Duration(m)*time.Minute), v.Rule.ID)
		}
	}
}

// A window that begins in the hour that the clocks skip, or that comes twice, follows the
// wall clock.
func TestWindowsAtTheClockChange(t *testing.T) {
	t.Parallel()
	week, err := ParseWeek("01:30-02:30")
	if err != nil {
		t.Fatal(err)
	}
	h := mustNew(t, Config{Preset: Custom, Week: week})
	london := mustLoad(t, "Europe/London")
	for _, day := range []time.Time{time.Date(2027, time.March, 28, 0, 0, 0, 0, time.UTC), time.Date(2027, time.October, 31, 0, 0, 0, 0, time.UTC)} {
		for m := -60; m < 300; m++ {
			now := day.Add(time.Duration(m) * time.Minute)
			local := now.In(london)
			clock := local.Hour()*60 + local.Minute()
			if got, want := h.Ask(now, Marketing, Recipient{Number: "+447700900123"}).Allowed, clock >= 90 && clock < 150; got != want {
				t.Errorf("%s: allowed is %v, want %v", local, got, want)
			}
		}
	}
}

// A timeline is used for days: its end must be as good as its beginning.
func TestQuestionsOfManyDays(t *testing.T) {
	t.Parallel()
	places := refPlaces(t, "US-TX", []string{"America/Chicago", "America/Denver"})
	from := time.Date(2026, time.October, 20, 0, 0, 0, 0, time.UTC)
	for _, preset := range presets {
		h := mustNew(t, Config{Preset: preset})
		for m := 0; m < 30*24*60; m += 30 {
			now := from.Add(time.Duration(m) * time.Minute)
			judge(t, "432", preset, places, now, h.Ask(now, Marketing, Recipient{Number: "+14325550143"}))
		}
	}
}

// The standard library is at a loss on the 366th day of a year.
func TestLastDayOfLeapYear(t *testing.T) {
	t.Parallel()
	h := mustNew(t, Config{Preset: Federal})
	places := refPlaces(t, "US-NY", []string{"America/New_York"})
	for _, year := range []int{2000, 2028, 2032} {
		for m := range 3 * 24 * 60 {
			now := time.Date(year, time.December, 30, 0, m, 0, 0, time.UTC)
			if got, want := h.Ask(now, Marketing, Recipient{Number: "+12125550143"}).Allowed, refAllowed(Federal, places, now); got != want {
				t.Fatalf("%s: allowed is %v, want %v", now, got, want)
			}
		}
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for want, cfg := range map[string]Config{
		"no preset":             {Preset: "lenient"},
		"ported is":             {Ported: "maybe"},
		"need the preset":       {Preset: Strict, Week: daily(9, 20)},
		"needs windows":         {Preset: Custom},
		"no state":              {Preset: Custom, Week: daily(9, 20), States: map[string]Week{"Texas": daily(9, 20)}},
		"mean the same area":    {Preset: Custom, Week: daily(9, 20), States: map[string]Week{"TX": daily(9, 20), "US-TX": daily(8, 20)}},
		"must end after":        {Preset: Custom, Week: daily(20, 9)},
		"the windows of FL":     {Preset: Custom, Week: daily(9, 20), States: map[string]Week{"FL": daily(9, 25)}},
		"need the preset \"cus": {States: map[string]Week{"FL": daily(9, 20)}},
	} {
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want an error with %q", cfg, err, want)
		}
	}
}

func TestRulesInForce(t *testing.T) {
	t.Parallel()
	for preset, want := range map[Preset]int{Federal: 1, Conservative: 1, Strict: 20} {
		rules := mustNew(t, Config{Preset: preset}).Rules()
		if got := len(rules) - 3; got != want {
			t.Errorf("%s: got %d windows, want %d", preset, got, want)
		}
		seen := map[string]bool{}
		for _, r := range rules {
			if r.ID == "" || r.Where == "" || r.Version != DataVersion || r.Date != DataDate || r.Source == "" || seen[r.ID] {
				t.Errorf("%s: incomplete or repeated rule %+v", preset, r)
			}
			seen[r.ID] = true
		}
	}
	for _, d := range Data() {
		if d.Name == "" || d.Version == "" || d.Entries == 0 || d.Source == "" {
			t.Errorf("incomplete data set %+v", d)
		}
	}
	if got := mustNew(t, Config{Preset: Custom, Week: daily(9, 20), States: map[string]Week{"TX": daily(10, 16)}}).Rules(); len(got) != 6 || got[1].ID != "quiet.custom.us-tx" {
		t.Errorf("custom: got %+v", got)
	}
}

// The conservative window claims to keep every row of the strict table but some.
func TestConservativeKeepsTheSheet(t *testing.T) {
	t.Parallel()
	inside := func(w Week) bool {
		for d, win := range conservative.Week {
			if win.Open < w[d].Open || win.Close > w[d].Close {
				return false
			}
		}
		return true
	}
	var not []string
	for region, r := range strict {
		if !inside(r.Week) {
			not = append(not, region)
		}
	}
	slices.Sort(not)
	if want := []string{"US-AL", "US-KY", "US-LA", "US-MS", "US-RI"}; !slices.Equal(not, want) {
		t.Errorf("not kept: %v, want %v", not, want)
	}
	if !inside(federal.Week) {
		t.Error("the federal window is not kept")
	}
}

func TestCachesAreBounded(t *testing.T) {
	t.Parallel()
	h := mustNew(t, Config{Preset: Strict})
	now := at(t, "America/New_York", "2026-12-02 20:00")
	for i := range 3 * questionsMost {
		h.Ask(now, Marketing, Recipient{Number: "+12125550143", Zone: fmt.Sprintf("junk %d", i)})
	}
	if n := len(h.asked); n > questionsMost || n < 2 {
		t.Errorf("%d questions are kept", n)
	}
	for name := range zones().bodies {
		for region := range h.geo.regions {
			if strings.HasPrefix(region, "US-") {
				h.profile(Recipient{Zone: name, State: region})
			}
		}
	}
	if n := len(h.asked); n > questionsMost {
		t.Errorf("%d questions are kept", n)
	}
	if n := len(h.byPlace); n > profilesMost {
		t.Errorf("%d profiles are kept", n)
	}
	if v := h.Ask(now, Marketing, Recipient{Zone: "America/New_York", State: "FL"}); v.Allowed || v.Rule.ID != "quiet.strict.us-fl" {
		t.Errorf("after the caches were emptied: got %+v", v)
	}
}

func TestUnknownZone(t *testing.T) {
	t.Parallel()
	h := mustNew(t, Config{UnknownZone: "America/New_York"})
	morning := time.Date(2026, 11, 23, 14, 30, 0, 0, time.UTC) // 9:30 in New York, 6:30 in Los Angeles
	for number, want := range map[string]bool{
		"":             true,  // tells nothing
		"+18335550123": true,  // toll-free: tells nothing
		"+12135550123": false, // Los Angeles
	} {
		if v := h.Ask(morning, Notification, Recipient{Number: number}); v.Allowed != want {
			t.Errorf("%q: %+v, want %v", number, v, want)
		}
	}
	if v := mustNew(t, Config{}).Ask(morning, Notification, Recipient{}); v.Allowed {
		t.Error("without a zone, the states in the west were forgotten")
	}
	if _, err := New(Config{UnknownZone: "Mars/Phobos"}); err == nil || !strings.Contains(err.Error(), "Mars/Phobos") {
		t.Errorf("an unknown zone: %v", err)
	}
}
