package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// column is one figure of a run.
type column struct {
	key    string // in JSON, with its unit
	title  string // in the table
	digits int    // behind the point
	of     func(s sample) float64
	ratio  bool // followed by the ratio to the plain client
	worst  bool // a sin: the worst round counts, not the median
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

var (
	colRate = column{key: "messages_per_second", title: "messages/s", ratio: true, of: func(s sample) float64 {
		return float64(s.Answered) / max(s.Elapsed.Seconds(), 1e-9)
	}}
	colCPU = column{key: "cpu_microseconds_per_message", title: "CPU µs/msg", digits: 1, ratio: true, of: func(s sample) float64 {
		return float64(s.cpu.Nanoseconds()) / 1e3 / float64(max(s.Answered, 1))
	}}
	colP50  = column{key: "p50_milliseconds", title: "p50 ms", digits: 2, of: func(s sample) float64 { return milliseconds(s.P50) }}
	colP99  = column{key: "p99_milliseconds", title: "p99 ms", digits: 2, of: func(s sample) float64 { return milliseconds(s.P99) }}
	colTail = column{key: "p99_to_p50", title: "p99/p50", digits: 1, of: func(s sample) float64 {
		return float64(s.P99) / float64(max(s.P50, 1))
	}}
	colRSS = column{key: "rss_peak_mib", title: "RSS peak MiB", digits: 1, of: func(s sample) float64 {
		return float64(s.rss) / (1 << 20)
	}}
	colInversions = column{key: "order_inversions", title: "inversions", worst: true, of: func(s sample) float64 { return float64(s.Inversions) }}
	colLost       = column{key: "acknowledged_unanswered", title: "acked, unanswered", worst: true, of: func(s sample) float64 {
		return float64(s.UnansweredAcked)
	}}
	colUnread = column{key: "unacknowledged_unanswered", title: "neither", worst: true, of: func(s sample) float64 {
		return float64(s.UnansweredUnacked)
	}}
	colRepeats  = column{key: "repeated_answers", title: "repeats", worst: true, of: func(s sample) float64 { return float64(s.Repeats) }}
	colNeedless = column{key: "needless_repeats", title: "needless", worst: true, of: func(s sample) float64 { return float64(s.NeedlessRepeats) }}
	colSins     = column{key: "protocol_sins", title: "other sins", worst: true, of: func(s sample) float64 {
		sins := s.Unacked + s.Misdirected + s.Strangers + s.DuplicateAcks + s.StaleAcks + s.UnknownAcks + s.BadFrames + s.BadPongs
		if s.Stalled {
			sins++
		}
		return float64(sins)
	}}
	colCuts        = column{key: "cuts", title: "cuts", of: func(s sample) float64 { return float64(s.Resets) }}
	colAnswersLost = column{key: "answers_lost", title: "answers lost", of: func(s sample) float64 { return float64(s.AnswersLost) }}
	colSendsLost   = column{key: "sends_lost", title: "sends lost", of: func(s sample) float64 { return float64(s.SendsLost) }}
	colBack        = column{key: "cut_to_subscribed_milliseconds", title: "back ms", digits: 1, of: func(s sample) float64 {
		return milliseconds(median(s.Resubscribes))
	}}
	colLive  = column{key: "live_sockets", title: "sockets", worst: true, of: func(s sample) float64 { return float64(s.MaxLive) }}
	colStart = column{key: "start_to_subscribed_milliseconds", title: "start ms", digits: 1, ratio: true, of: func(s sample) float64 {
		return milliseconds(s.start)
	}}
	colCommits = column{key: "commits_per_message", title: "commits/msg", digits: 4, of: func(s sample) float64 {
		return s.ofCommits(func(c commits) float64 { return c.count / float64(max(s.Answered, 1)) })
	}}
	colCommit = column{key: "commit_milliseconds", title: "commit ms", digits: 2, of: func(s sample) float64 {
		return s.ofCommits(func(c commits) float64 { return 1e3 * c.seconds / max(c.count, 1) })
	}}
	colRows = column{key: "rows_per_commit", title: "rows/commit", digits: 1, of: func(s sample) float64 {
		return s.ofCommits(func(c commits) float64 { return c.rows / max(c.count, 1) })
	}}
	colEarly = column{key: "rss_early_mib", title: "RSS early MiB", digits: 1, of: func(s sample) float64 { return float64(s.growth.early) / (1 << 20) }}
	colLate  = column{key: "rss_late_mib", title: "RSS late MiB", digits: 1, of: func(s sample) float64 { return float64(s.growth.late) / (1 << 20) }}
	colGrown = column{key: "rss_late_to_early", title: "late/early", digits: 3, of: func(s sample) float64 {
		return float64(s.growth.late) / float64(max(s.growth.early, 1))
	}}
	colAnswered = column{key: "answered", title: "answered", of: func(s sample) float64 { return float64(s.Answered) }}
	colIdle     = column{key: "idle_percent_of_core", title: "% of a core", digits: 3, ratio: true, of: func(s sample) float64 { return 100 * s.idle }}

	throughputColumns = []column{colRate, colCPU, colP50, colP99, colTail, colRSS, colCommits, colCommit, colRows, colInversions, colLost, colRepeats, colSins}
	latencyColumns    = []column{colP50.toPlain(), colP99.toPlain(), colCPU, colRSS, colCommits, colCommit, colRows, colInversions, colLost, colRepeats, colSins}
	cutColumns        = []column{colRate.alone(), colAnswered, colCuts, colSendsLost, colAnswersLost, colLost, colUnread, colRepeats, colNeedless, colInversions, colBack, colLive, colSins}
	finishedColumns   = []column{colRate, colCPU, colP50, colP99, colStart.alone(), colRSS, colCommits, colCommit, colRows, colInversions, colLost, colUnread, colRepeats, colSins}
	backlogColumns    = []column{colRate.alone(), colCPU.alone(), colAnswered, colRSS, colCommits, colCommit, colInversions, colLost, colUnread, colRepeats, colSins}
	growthColumns     = []column{colRate.alone(), colEarly, colLate, colGrown, colRSS, colInversions, colLost, colUnread, colRepeats, colSins}
	idleColumns       = []column{colIdle, colRSS}
	startColumns      = []column{colStart, colRSS}
)

func (c column) toPlain() column { c.ratio = true; return c }
func (c column) alone() column   { c.ratio = false; return c }

// ofCommits is a figure of the journal; there is none without a journal.
func (s sample) ofCommits(figure func(c commits) float64) float64 {
	if s.commits == nil {
		return math.NaN()
	}
	return figure(*s.commits)
}

// cell writes a figure.
func cell(v float64, digits int) string {
	if math.IsNaN(v) {
		return "-"
	}
	return strconv.FormatFloat(v, 'f', digits, 64)
}

// median returns the middle value, the lower of two, and 0 without any.
func median[T ~int64 | ~float64](values []T) T {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	return sorted[(len(sorted)-1)/2]
}

// row is one client in a table.
type row struct {
	client  client
	samples []sample
}

// value is the figure of a column over all rounds.
func (r row) value(c column) float64 {
	values := make([]float64, len(r.samples))
	for i, s := range r.samples {
		values[i] = c.of(s)
	}
	if c.worst {
		return slices.Max(values)
	}
	return median(values)
}

// report is a table.
type report struct {
	scenario scenario
	rows     []row
}

// base returns the row that a row is compared with.
func (rep report) base(r row) (row, bool) {
	for _, other := range rep.rows {
		if other.client.name == cmp.Or(r.client.base, reference) {
			return other, true
		}
	}
	return row{}, false
}

// toBase returns the ratio of a row to the one that it is compared with; NaN without that one or with a zero.
func (rep report) toBase(r row, c column) float64 {
	if base, ok := rep.base(r); ok && base.value(c) > 0 {
		return r.value(c) / base.value(c)
	}
	return math.NaN()
}

// text lays the table out for a terminal.
func (rep report) text() string {
	sc := rep.scenario
	lines := [][]string{{"client"}}
	for _, c := range sc.columns {
		lines[0] = append(lines[0], c.title)
		if c.ratio {
			lines[0] = append(lines[0], "to "+sc.comparedWith())
		}
	}
	stalled := false
	for _, r := range rep.rows {
		line := []string{r.client.name}
		for _, s := range r.samples {
			stalled = stalled || s.Stalled
		}
		for _, c := range sc.columns {
			line = append(line, cell(r.value(c), c.digits))
			if c.ratio {
				line = append(line, cell(rep.toBase(r, c), 2))
			}
		}
		lines = append(lines, line)
	}
	var out strings.Builder
	rounds := "1 round"
	if sc.rounds > 1 {
		rounds = fmt.Sprintf("medians of %d rounds", sc.rounds)
	}
	fmt.Fprintf(&out, "%s: %s; %s\n", sc.name, sc.title, rounds)
	if len(rep.rows) == 0 {
		out.WriteString("no client here keeps its work on a disk; add -store sqlite:\n")
		return out.String()
	}
	out.WriteString(align(lines))
	if stalled {
		out.WriteString("a client stopped answering before the end of the load\n")
	}
	for _, v := range rep.verdicts() {
		fmt.Fprintf(&out, "%s\n", v)
	}
	return out.String()
}

// align pads the cells: the first column to the left, figures to the right.
func align(lines [][]string) string {
	widths := make([]int, len(lines[0]))
	for _, line := range lines {
		for i, cell := range line {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	var out strings.Builder
	for _, line := range lines {
		for i, cell := range line {
			pad := strings.Repeat(" ", widths[i]-len([]rune(cell)))
			if i == 0 {
				out.WriteString(cell + pad)
			} else {
				out.WriteString("  " + pad + cell)
			}
		}
		out.WriteByte('\n')
	}
	return out.String()
}

// MarshalJSON gives the figures without rounding.
func (rep report) MarshalJSON() ([]byte, error) {
	type jsonRow struct {
		Client  string             `json:"client"`
		Figures map[string]float64 `json:"figures"`
		ToBase  map[string]float64 `json:"to_base,omitempty"`
	}
	out := struct {
		Scenario string    `json:"scenario"`
		Title    string    `json:"title"`
		Rounds   int       `json:"rounds"`
		Base     string    `json:"base"`
		Rows     []jsonRow `json:"rows"`
		Verdicts []verdict `json:"verdicts"`
	}{Scenario: rep.scenario.name, Title: rep.scenario.title, Rounds: rep.scenario.rounds, Base: rep.scenario.comparedWith(), Rows: []jsonRow{}, Verdicts: rep.verdicts()}
	for _, r := range rep.rows {
		line := jsonRow{Client: r.client.name, Figures: map[string]float64{}, ToBase: map[string]float64{}}
		for _, c := range rep.scenario.columns {
			if v := r.value(c); !math.IsNaN(v) {
				line.Figures[c.key] = v
			}
			if ratio := rep.toBase(r, c); c.ratio && !math.IsNaN(ratio) {
				line.ToBase[c.key] = ratio
			}
		}
		out.Rows = append(out.Rows, line)
	}
	return json.Marshal(out)
}
