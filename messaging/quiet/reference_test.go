package quiet

import (
	"slices"
	"sync"
	"time"
)

// The reference: what the sheet says, written a second time and as plainly as it can be,
// and asked of the wall clock of one minute. It shares no code with what it judges.

// hours are from and to a whole hour of the local day.
type refHours struct{ from, to int }

func (h refHours) open(local time.Time) bool {
	return local.Hour() >= h.from && local.Hour() < h.to
}

// refOpen says whether one place may be texted at a local time under a preset.
func refOpen(preset Preset, region string, local time.Time) bool {
	sunday := local.Weekday() == time.Sunday
	weekend := sunday || local.Weekday() == time.Saturday
	switch preset {
	case Federal:
		return refHours{8, 21}.open(local)
	case Conservative:
		if sunday {
			return refHours{12, 20}.open(local)
		}
		return refHours{9, 20}.open(local)
	}
	if !(refHours{8, 21}).open(local) {
		return false
	}
	switch region {
	case "US-FL", "US-OK", "US-WA", "US-MD", "US-NJ", "US-MA", "US-NV":
		return refHours{8, 20}.open(local)
	case "US-CT":
		return refHours{9, 20}.open(local)
	case "US-TX":
		if sunday {
			return refHours{12, 21}.open(local)
		}
		return refHours{9, 21}.open(local)
	case "US-RI":
		if weekend {
			return refHours{10, 17}.open(local)
		}
		return refHours{9, 18}.open(local)
	case "US-AL", "US-LA", "US-MS":
		return !sunday && refHours{8, 20}.open(local)
	case "US-KY":
		return refHours{10, 21}.open(local)
	case "US-MI", "US-MN", "US-NM":
		return refHours{9, 21}.open(local)
	}
	if region[:2] == "CA" && len(region) == 5 {
		if weekend {
			return refHours{10, 18}.open(local)
		}
		return refHours{9, 21}.open(local)
	}
	return true
}

// refPlace is a place of the reference.
type refPlace struct {
	loc    *time.Location
	region string
}

func refAllowed(preset Preset, places []refPlace, at time.Time) bool {
	for _, p := range places {
		if !refOpen(preset, p.region, at.In(p.loc)) {
			return false
		}
	}
	return true
}

// clockChanges lists the minutes at which the clocks of the places change from 2026 to 2028.
func clockChanges(places []refPlace) []time.Time {
	var ts []time.Time
	for _, p := range places {
		list, ok := changes.Load(p.loc.String())
		if !ok {
			list = changesOf(p.loc)
			changes.Store(p.loc.String(), list)
		}
		ts = append(ts, list.([]time.Time)...)
	}
	sortTimes(ts)
	return slices.CompactFunc(ts, time.Time.Equal)
}

var changes sync.Map // of []time.Time by zone

// changesOf looks at the clock every quarter of an hour.
func changesOf(loc *time.Location) []time.Time {
	var ts []time.Time
	at := time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
	_, before := at.In(loc).Zone()
	for at.Year() < 2029 {
		at = at.Add(15 * time.Minute)
		if _, off := at.In(loc).Zone(); off != before {
			ts, before = append(ts, at), off
		}
	}
	return ts
}

// interesting lists the minutes that are worth asking about, in order: around each clock
// change, and around each hour at which a window opens or shuts, on the days about the
// change and in an ordinary week of winter and of summer.
func interesting(places []refPlace, minutesAround int) []time.Time {
	minutes := map[int64]bool{}
	around := func(at time.Time, n int) {
		for m := -n; m <= n; m++ {
			minutes[at.Add(time.Duration(m)*time.Minute).Unix()/60*60] = true
		}
	}
	days := []time.Time{
		time.Date(2026, time.January, 12, 12, 0, 0, 0, time.UTC),
		time.Date(2027, time.July, 12, 12, 0, 0, 0, time.UTC),
		time.Date(2028, time.December, 28, 12, 0, 0, 0, time.UTC), // over the 366th day of a year
	}
	edges := func(day time.Time) {
		for _, p := range places {
			l := day.In(p.loc)
			for _, hour := range []int{0, 8, 9, 10, 12, 17, 18, 20, 21} {
				around(time.Date(l.Year(), l.Month(), l.Day(), hour, 0, 0, 0, p.loc), 1)
			}
		}
	}
	for _, d := range days {
		for i := range 7 {
			edges(d.AddDate(0, 0, i))
		}
	}
	for _, change := range clockChanges(places) {
		around(change, minutesAround)
		for i := -1; i <= 1; i++ {
			edges(change.AddDate(0, 0, i))
		}
	}
	ts := make([]time.Time, 0, len(minutes))
	for sec := range minutes {
		ts = append(ts, time.Unix(sec, 0).UTC())
	}
	sortTimes(ts)
	return ts
}
