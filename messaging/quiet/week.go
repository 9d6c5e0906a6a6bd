package quiet

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Window is the part of one local day in which messages may be sent, in minutes after
// midnight by the wall clock: from Open until just before Close. The zero value is a day
// without any.
type Window struct {
	Open, Close uint16
}

// minutesPerDay is also the Close of a window that lasts until midnight.
const minutesPerDay = 24 * 60

// Shut reports whether the window never opens.
func (w Window) Shut() bool { return w.Open >= w.Close }

// Contains reports whether the window is open at that minute of the day.
func (w Window) Contains(minute int) bool { return int(w.Open) <= minute && minute < int(w.Close) }

// String writes the window as "09:00-20:00", and a shut one as "none".
func (w Window) String() string {
	if w.Shut() {
		return "none"
	}
	return fmt.Sprintf("%02d:%02d-%02d:%02d", w.Open/60, w.Open%60, w.Close/60, w.Close%60)
}

// Week holds a window for each day, indexed by [time.Weekday].
type Week [7]Window

// daily is the same window every day.
func daily(from, to uint16) Week {
	var w Week
	for d := range w {
		w[d] = Window{from * 60, to * 60}
	}
	return w
}

// on gives a copy of the week with another window on some days.
func (w Week) on(from, to uint16, days ...time.Weekday) Week {
	for _, d := range days {
		w[d] = Window{from * 60, to * 60}
	}
	return w
}

// dayNames are the names of the days in the order in which ParseWeek counts them: a range
// such as mon-sun goes over the whole week.
var dayNames = [7]string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}

func weekday(i int) time.Weekday { return time.Weekday((i + 1) % 7) }

// String writes the week in the form that [ParseWeek] reads.
func (w Week) String() string {
	var parts []string
	for i := 0; i < len(dayNames); {
		win := w[weekday(i)]
		j := i
		for j+1 < len(dayNames) && w[weekday(j+1)] == win {
			j++
		}
		if !win.Shut() {
			days := dayNames[i]
			if j > i {
				days += "-" + dayNames[j]
			}
			parts = append(parts, days+" "+win.String())
		}
		i = j + 1
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.TrimPrefix(strings.Join(parts, ", "), "mon-sun ")
}

// ParseWeek reads windows of local time, separated by commas, each with the days that it
// is for and hours that do not go over midnight:
//
//	09:00-20:00
//	mon-sat 09:00-21:00, sun 12:00-21:00
//
// A window without days is for every day. Days that no window names are without one, and
// a day that two windows name is an error.
func ParseWeek(s string) (Week, error) {
	var (
		w    Week
		seen [7]bool
	)
	if strings.EqualFold(strings.TrimSpace(s), "none") {
		return w, nil
	}
	for part := range strings.SplitSeq(s, ",") {
		fields := strings.Fields(strings.ToLower(part))
		first, last := 0, len(dayNames)-1
		switch len(fields) {
		case 1:
		case 2:
			from, to, isRange := strings.Cut(fields[0], "-")
			if !isRange {
				to = from
			}
			first, last = dayIndex(from), dayIndex(to)
			if first < 0 || last < first {
				return Week{}, fmt.Errorf("days %q: write mon, tue, wed, thu, fri, sat or sun, or a range such as mon-fri", fields[0])
			}
			fields = fields[1:]
		default:
			return Week{}, fmt.Errorf("window %q: write it like mon-fri 09:00-20:00, several with commas between", strings.TrimSpace(part))
		}
		win, err := parseWindow(fields[0])
		if err != nil {
			return Week{}, err
		}
		for i := first; i <= last; i++ {
			if seen[i] {
				return Week{}, fmt.Errorf("%s has two windows: give each day one", dayNames[i])
			}
			seen[i] = true
			w[weekday(i)] = win
		}
	}
	return w, nil
}

func dayIndex(name string) int {
	for i, d := range dayNames {
		if d == name {
			return i
		}
	}
	return -1
}

func parseWindow(s string) (Window, error) {
	from, to, ok := strings.Cut(s, "-")
	opens, err1 := parseClock(from)
	closes, err2 := parseClock(to)
	if !ok || err1 != nil || err2 != nil {
		return Window{}, fmt.Errorf("hours %q: write them like 09:00-20:00", s)
	}
	if opens >= closes {
		return Window{}, fmt.Errorf("hours %q: the window must end after it begins, on the same day", s)
	}
	return Window{opens, closes}, nil
}

func parseClock(s string) (uint16, error) {
	h, m, ok := strings.Cut(s, ":")
	if !ok || len(h) != 2 || len(m) != 2 {
		return 0, errors.New("not HH:MM")
	}
	hours, err1 := strconv.ParseUint(h, 10, 8)
	minutes, err2 := strconv.ParseUint(m, 10, 8)
	total := hours*60 + minutes
	if err1 != nil || err2 != nil || minutes > 59 || total > minutesPerDay {
		return 0, errors.New("not a time of day")
	}
	return uint16(total), nil
}
