package quiet

import (
	"slices"
	"sort"
	"time"
)

// A timeline covers three weeks: it is good for questions about the first ten days, so
// that each of them looks at least ten days ahead, longer than any week of windows.
const (
	timelineBack  = 24 * 3600
	timelineAsked = 10 * 24 * 3600
	timelineSpan  = 20 * 24 * 3600
)

// ruled is a place under one rule.
type ruled struct {
	zone string
	loc  *time.Location
	rule *Rule
}

// span is a half-open stretch of time in Unix seconds.
type span struct{ from, to int64 }

// stretch is a part of a timeline in which the verdict is the same.
type stretch struct {
	from   int64
	opens  int64 // when all windows are open next; zero while they are, or if they will not be
	closes int64 // when the window that is open, or the next, shuts; zero if there is none
	shut   int   // index of the place whose window is shut, the one that stays shut longest; -1 while all are open
}

// timeline is the common window of some places over three weeks, computed once, so that a
// question costs a binary search.
type timeline struct {
	from, until int64 // the questions that it is good for
	stretches   []stretch
}

// at finds the stretch of an instant between from and until.
func (t *timeline) at(now int64) *stretch {
	i := sort.Search(len(t.stretches), func(i int) bool { return t.stretches[i].from > now })
	return &t.stretches[i-1]
}

// newTimeline computes the timeline around now for places, of which there is at least one.
func newTimeline(places []ruled, now int64) *timeline {
	from := now - timelineBack
	t := &timeline{from: from, until: from + timelineAsked}
	to := from + timelineSpan

	// Most places of a country keep the same hours; only those that differ are looked at.
	var (
		open  [][]span
		which []int // the place that each of open is of
	)
	edges := []int64{from}
	for i, p := range places {
		spans := openSpans(p.loc, &p.rule.Week, from, to)
		if slices.ContainsFunc(open, func(o []span) bool { return slices.Equal(o, spans) }) {
			continue
		}
		open, which = append(open, spans), append(which, i)
		for _, s := range spans {
			edges = append(edges, s.from, s.to)
		}
	}
	slices.Sort(edges)
	edges = slices.Compact(edges)

	next := make([]int, len(open)) // the first span of each that is not over
	for _, edge := range edges {
		if edge >= to {
			break
		}
		s := stretch{from: edge, shut: -1}
		latest := int64(0)
		for i, spans := range open {
			for next[i] < len(spans) && spans[next[i]].to <= edge {
				next[i]++
			}
			opens := to
			if next[i] < len(spans) {
				opens = spans[next[i]].from
			}
			if opens > edge && opens > latest {
				latest, s.shut = opens, which[i]
			}
		}
		t.stretches = append(t.stretches, s)
	}

	// Backwards, since each stretch is about what comes after it.
	var opens, closes int64
	end := to
	for i := len(t.stretches) - 1; i >= 0; i-- {
		s := &t.stretches[i]
		if s.shut < 0 {
			opens, closes = s.from, end
			s.closes = closes
		} else {
			s.opens, s.closes = opens, closes
		}
		end = s.from
	}
	t.stretches = slices.CompactFunc(t.stretches, func(a, b stretch) bool {
		return a.opens == b.opens && a.closes == b.closes && a.shut == b.shut
	})
	return t
}

// unboundedStep is how far to go, in seconds, where the standard library cannot tell when the
// offset ends: it gives every year 365 days, so that on the last day of a leap year the
// bound that it names has passed. Clocks change on whole quarters of an hour.
const unboundedStep = 15 * 60

// openSpans lists when the wall clock of a zone is inside the windows of a week. It goes
// from one change of the clocks to the next, between which local time is a plain sum, so
// that an hour that is skipped or comes twice is dealt with exactly.
func openSpans(loc *time.Location, week *Week, from, to int64) []span {
	const day = 24 * 3600
	var spans []span
	for from < to {
		at := time.Unix(from, 0).In(loc)
		_, offset := at.Zone()
		shift := int64(offset)
		end := to
		if _, change := at.ZoneBounds(); !change.IsZero() {
			end = change.Unix()
			if end <= from {
				end = from + unboundedStep
			}
			end = min(end, to)
		}
		first, last := from+shift, end+shift // by the wall clock
		for d := floorDiv(first, day); d*day < last; d++ {
			w := week[floorMod(d+4, 7)] // 1970 began on a Thursday
			if w.Shut() {
				continue
			}
			s := span{
				max(d*day+int64(w.Open)*60, first) - shift,
				min(d*day+int64(w.Close)*60, last) - shift,
			}
			switch n := len(spans); {
			case s.from >= s.to:
			case n > 0 && spans[n-1].to == s.from:
				spans[n-1].to = s.to
			default:
				spans = append(spans, s)
			}
		}
		from = end
	}
	return spans
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func floorMod(a, b int64) int64 { return a - floorDiv(a, b)*b }
