package main

import (
	"fmt"
	"strings"
)

// target is what Signpost must reach and what it aims for, in one figure of one scenario.
type target struct {
	scenario  string // the start of its name
	store     string // "" for every store
	column    column
	toPlain   bool
	must, aim float64
	atLeast   bool // otherwise at most
}

// Absolute figures drift with the machine; where a target can be a ratio to the plain client of the same run, it is one.
var targets = []target{
	{"throughput", "memory", colRate, true, 1.0, 2.0, true},
	{"throughput", "sqlite", colRate, true, 0.5, 0.8, true},
	{"throughput", "postgres", colRate, true, 0.25, 0.4, true},
	{"throughput", "memory", colCPU, true, 1.2, 0.6, false},
	{"throughput", "sqlite", colCPU, true, 2.2, 1.2, false},
	{"throughput", "memory", colTail, false, 6, 3, false},
	{"throughput", "", colRSS, false, 64, 40, false},
	{"latency-500", "memory", colP50, true, 1.3, 1.0, false},
	{"latency-500", "memory", colP99, true, 1.3, 1.0, false},
	{"reset", "", colBack, false, 300, 100, false},
	{"reset", "", colLive, false, 1, 1, false},
	{"start", "", colStart, false, 150, 60, false},
	{"idle", "", colIdle, false, 0.2, 0.05, false},

	// The promises, in whatever way the client is treated.
	{"", "", colInversions, false, 0, 0, false},
	{"", "", colLost, false, 0, 0, false},
	{"", "", colUnread, false, 0, 0, false},
	{"throughput", "", colRepeats, false, 0, 0, false},
	{"latency", "", colRepeats, false, 0, 0, false},
	{"order", "", colRepeats, false, 0, 0, false},
	{"states", "", colRepeats, false, 0, 0, false},
	{"reset-tags-echoed", "", colRepeats, false, 0, 0, false},
	{"crash-tags-echoed", "", colRepeats, false, 0, 0, false},
	{"", "", colNeedless, false, 0, 0, false},
	{"", "", colSins, false, 0, 0, false},
}

// verdict says how one figure stands to its target.
type verdict struct {
	Client  string  `json:"client"`
	Figure  string  `json:"figure"`
	ToPlain bool    `json:"to_plain"`
	Value   float64 `json:"value"`
	Must    float64 `json:"must"`
	Aim     float64 `json:"aim"`
	Missed  bool    `json:"missed"` // the must
	Reached bool    `json:"reached"`
	atLeast bool
	title   string
}

func (v verdict) String() string {
	what := v.title
	if v.ToPlain {
		what += " to plain"
	}
	bound := "at most"
	if v.atLeast {
		bound = "at least"
	}
	state := "reaches its aim"
	switch {
	case v.Missed:
		state = "MISSED"
	case !v.Reached:
		state = "below its aim"
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
		for _, t := range targets {
			if !strings.HasPrefix(rep.scenario.name, t.scenario) || !strings.HasPrefix(r.client.store, t.store) || !rep.shows(t.column) {
				continue
			}
			v := verdict{
				Client: r.client.name, Figure: t.column.key, title: t.column.title,
				ToPlain: t.toPlain, Must: t.must, Aim: t.aim, atLeast: t.atLeast,
			}
			v.Value = r.value(t.column)
			if t.toPlain {
				var ok bool
				if v.Value, ok = rep.toPlain(r, t.column); !ok {
					continue
				}
			}
			if t.atLeast {
				v.Missed, v.Reached = v.Value < t.must, v.Value >= t.aim
			} else {
				v.Missed, v.Reached = v.Value > t.must, v.Value <= t.aim
			}
			if v.Missed || t.must != 0 {
				list = append(list, v)
			}
		}
	}
	return list
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
