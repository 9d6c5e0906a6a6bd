package daemon

import (
	"fmt"
	"strings"
	"time"
)

// parseWhen reads a moment as people give it on a command line: how long ago (2h, 3d), a day
// (2026-11-24), a day with a time, or RFC 3339. What names no zone is in loc.
func parseWhen(text string, now time.Time, loc *time.Location) (time.Time, error) {
	if ago, err := parseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	for _, layout := range []string{time.DateOnly, "2006-01-02 15:04", time.DateTime, "2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if t, err := time.ParseInLocation(layout, text, loc); err == nil {
			return t, nil
		}
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is no moment; write how long ago (2h, 3d), a day (2026-11-24), a day and a time (\"2026-11-24 15:04\"), or RFC 3339", text)
	}
	return t, nil
}

// span says how long something takes, as exactly as a person cares.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + span(-d)
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Hour:
		return short(d.Round(time.Second))
	case d < day:
		return short(d.Round(time.Minute))
	}
	d = d.Round(time.Hour)
	days, rest := d/day, d%day
	if rest == 0 {
		return fmt.Sprintf("%dd", days)
	}
	return fmt.Sprintf("%dd%s", days, short(rest))
}

// short leaves out the zeros that time.Duration ends with: 2m and not 2m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// clock writes times, all in one zone, with their day where it is not the day that was told.
type clock struct {
	now time.Time
	day time.Time // of which times are given without it
	loc *time.Location
}

func (c clock) sameDay(t time.Time) bool {
	y, m, d := t.In(c.loc).Date()
	y2, m2, d2 := c.day.In(c.loc).Date()
	return y == y2 && m == m2 && d == d2
}

// at is a time to the second.
func (c clock) at(t time.Time) string {
	if c.sameDay(t) {
		return t.In(c.loc).Format("15:04:05")
	}
	return t.In(c.loc).Format("2 Jan 15:04:05")
}

// exactly is a time to the millisecond.
func (c clock) exactly(t time.Time) string {
	if c.sameDay(t) {
		return t.In(c.loc).Format("15:04:05.000")
	}
	return t.In(c.loc).Format("2 Jan 15:04:05.000")
}

// until says when something is and how far that is from now.
func (c clock) until(t time.Time) string {
	if t.After(c.now) {
		return c.at(t) + ", in " + span(t.Sub(c.now))
	}
	return c.at(t) + ", " + span(c.now.Sub(t)) + " ago"
}
