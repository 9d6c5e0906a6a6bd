package main

import (
	"cmp"
	"fmt"
	"math"
	"strings"
)

// target is what Signpost must reach and what it aims for, in one figure of one scenario.
type target struct {
	scenario  string // the start of its name
	store     string // "" for every store
	column    column
	against   against
	must, aim float64
	atLeast   bool // otherwise at most
}

// against says what the figure of a target is held against.
type against int

const (
	itself      against = iota // the figure is below must
	toBase                     // its ratio to the base of the table is
	plusCommits                // it is below the base's figure and must times the time of a commit
)

// Absolute figures drift with the machine; where a target can be a ratio to the plain client of the same run, it is one.
var targets = []target{
	{"throughput", "memory", colRate, toBase, 1.0, 2.0, true},
	{"throughput", "sqlite", colRate, toBase, 0.5, 0.8, true},
	{"throughput", "postgres", colRate, toBase, 0.25, 0.4, true},
	{"throughput", "memory", colCPU, toBase, 1.2, 0.6, false},
	{"throughput", "sqlite", colCPU, toBase, 2.2, 1.2, false},
	{"throughput", "memory", colTail, itself, 6, 3, false},
	{"throughput", "", colRSS, itself, 64, 40, false},
	{"latency-500", "memory", colP50, toBase, 1.3, 1.0, false},
	{"latency-500", "memory", colP99, toBase, 1.3, 1.0, false},
	{"latency-500", "sqlite", colP50, plusCommits, 2, 1, false},
	{"throughput", "sqlite", colCommits, itself, 0.05, 0.01, false},
	{"throughput", "postgres", colCommits, itself, 0.05, 0.01, false},
	{"reset", "", colBack, itself, 300, 100, false},
	{"reset", "", colLive, itself, 1, 1, false},
	{"start", "", colStart, itself, 150, 60, false},
	{"idle", "", colIdle, itself, 0.2, 0.05, false},
	{"finished", "", colRate, toBase, 0.8, 0.95, true},
	{"finished", "", colStart, itself, 1000, 150, false},
	{"backlog", "", colRSS, itself, 128, 64, false},
	{"growth", "", colGrown, itself, 1.10, 1.02, false},

	// The promises, in whatever way the client is treated.
	{"", "", colInversions, itself, 0, 0, false},
	{"", "", colLost, itself, 0, 0, false},
	{"", "", colUnread, itself, 0, 0, false},
	{"throughput", "", colRepeats, itself, 0, 0, false},
	{"latency", "", colRepeats, itself, 0, 0, false},
	{"order", "", colRepeats, itself, 0, 0, false},
	{"states", "", colRepeats, itself, 0, 0, false},
	{"finished", "", colRepeats, itself, 0, 0, false},
	{"backlog", "", colRepeats, itself, 0, 0, false},
	{"growth", "", colRepeats, itself, 0, 0, false},
	{"reset-tags-echoed", "", colRepeats, itself, 0, 0, false},
	{"crash-tags-echoed", "", colRepeats, itself, 0, 0, false},
	{"reset", "", colNeedless, itself, 0, 0, false}, // a killed process has no end to read to
	{"", "", colSins, itself, 0, 0, false},
}

// verdict says how one figure stands to its target.
type verdict struct {
	Client  string  `json:"client"`
	Figure  string  `json:"figure"`
	Value   float64 `json:"value"`
	Against string  `json:"against,omitempty"` // what the value is a ratio to, or what the bounds are made of
	Must    float64 `json:"must"`
	Aim     float64 `json:"aim"`
	Missed  bool    `json:"missed"` // the must
	Reached bool    `json:"reached"`
	target  int     // index in targets
}

func (v verdict) String() string {
	t := targets[v.target]
	bound := "at most"
	if t.atLeast {
		bound = "at least"
	}
	state := "reaches its aim"
	switch {
	case v.Missed:
		state = "MISSED"
	case !v.Reached:
		state = "below its aim"
	}
	what := t.column.title
	if v.Against != "" {
		what += " " + v.Against
	}
	return fmt.Sprintf("%s: %s %.4g, must be %s %.4g, aims for %.4g: %s", v.Client, what, v.Value, bound, v.Must, v.Aim, state)
}

// verdicts compares Signpost with its targets. Promises that are kept are not worth a line.
func (rep report) verdicts() []verdict {
	list := []verdict{}
	for _, r := range rep.rows {
		if r.client.store == "" {
			continue
		}
		for i, t := range targets {
			if !t.applies(rep, r) {
				continue
			}
			if v, ok := rep.verdict(r, t); ok && (v.Missed || !t.promise()) {
				v.target = i
				list = append(list, v)
			}
		}
	}
	return list
}

// applies reports whether the row has the figure of the target.
func (t target) applies(rep report, r row) bool {
	return strings.HasPrefix(rep.scenario.name, t.scenario) && strings.HasPrefix(r.client.store, t.store) && rep.shows(t.column)
}

// promise reports whether the target is that something never happens.
func (t target) promise() bool { return t.must == 0 }

// verdict holds a row against a target; false if there is nothing to hold it against.
func (rep report) verdict(r row, t target) (v verdict, ok bool) {
	v = verdict{Client: r.client.name, Figure: t.column.key, Value: r.value(t.column), Must: t.must, Aim: t.aim}
	switch t.against {
	case toBase:
		v.Value, v.Against = rep.toBase(r, t.column), "to "+rep.scenario.comparedWith()
	case plusCommits:
		base, ok := rep.base(r)
		if !ok {
			return v, false
		}
		commit := r.value(colCommit)
		v.Must, v.Aim = base.value(t.column)+t.must*commit, base.value(t.column)+t.aim*commit
		v.Against = fmt.Sprintf("(%s plus %.0f commits of %.2f ms)", rep.scenario.comparedWith(), t.must, commit)
	}
	if math.IsNaN(v.Value) || math.IsNaN(v.Must) {
		return v, false
	}
	if t.atLeast {
		v.Missed, v.Reached = v.Value < v.Must, v.Value >= v.Aim
	} else {
		v.Missed, v.Reached = v.Value > v.Must, v.Value <= v.Aim
	}
	return v, true
}

func (rep report) shows(c column) bool {
	for _, shown := range rep.scenario.columns {
		if shown.key == c.key {
			return true
		}
	}
	return false
}

// missed reports whether a figure missed what it must reach.
func (rep report) missed() bool {
	for _, v := range rep.verdicts() {
		if v.Missed {
			return true
		}
	}
	return false
}

// musts says for every target that is a figure whether it was reached in these tables, and whether the promises were kept.
func musts(reports []report) string {
	var out strings.Builder
	out.WriteString("what must be reached:\n")
	broken := 0
	for i, t := range targets {
		measured := false
		for _, rep := range reports {
			for _, v := range rep.verdicts() {
				switch {
				case v.target != i:
				case t.promise():
					broken++
					fmt.Fprintf(&out, "MISSED        %s: %s\n", rep.scenario.name, v)
				default:
					measured = true
					state := "reached"
					if v.Missed {
						state = "MISSED"
					}
					fmt.Fprintf(&out, "%-12s  %s: %s\n", state, rep.scenario.name, v)
				}
			}
		}
		if !measured && !t.promise() {
			store := cmp.Or(t.store, "any store")
			fmt.Fprintf(&out, "not measured  %s, %s: %s\n", t.scenario, store, t.column.title)
		}
	}
	if broken == 0 {
		fmt.Fprintf(&out, "reached       nothing lost, repeated or out of order, in %d tables\n", len(reports))
	}
	return out.String()
}
