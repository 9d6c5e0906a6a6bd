package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/signpost-sms/signpost/relay/relaytest/bench/internal/loadserver"
)

var scenarioNames = []string{"throughput", "latency", "order", "states", "reset", "crash", "idle", "start", "finished", "backlog", "growth"}

// longScenarios take many minutes each and are only run when they are named.
var longScenarios = []string{"finished", "backlog", "growth"}

// scenario is one table: a load, and what is shown of it.
type scenario struct {
	name      string
	title     string
	load      loadserver.Config
	columns   []column
	rounds    int
	crash     bool                                                                    // kill the client where the load would reset the connection
	prepare   func(ctx context.Context, b *bench, clients []client) (prepared, error) // nil: as they are
	idle      time.Duration                                                           // watch for so long without any load
	startOnly bool
	durable   bool   // only clients that claim to survive it: stores on disk
	growth    int    // compare the memory after so many answers with that at the end
	base      string // what the columns compare with, if not the reference client
}

// comparedWith names what the ratios of the table stand to.
func (sc scenario) comparedWith() string { return cmp.Or(sc.base, reference) }

// scenarios returns the tables that a name stands for.
func scenarios(name string, opts options) []scenario {
	base := scenario{
		name:   name,
		rounds: opts.rounds,
		load: loadserver.Config{
			Messages: opts.messages, Senders: opts.senders, Outstanding: opts.outstanding, Rate: opts.rate,
			ResetEvery: opts.resetEvery, States: opts.states,
		},
		columns: throughputColumns,
	}
	of := func(n, quick int) int { // unless the command line says how many
		switch {
		case opts.set["n"]:
			return opts.messages
		case opts.quick:
			return quick
		}
		return n
	}
	fewer := func(n int) int { return of(n, n/4) }
	rounds := func(n int) int {
		if opts.set["rounds"] || opts.quick {
			return opts.rounds
		}
		return n
	}
	switch name {
	case "latency":
		base.columns = latencyColumns
		seconds := 10.0
		if opts.quick {
			seconds = 2
		}
		rates := []float64{500, 2000}
		if opts.rate > 0 {
			rates = []float64{opts.rate}
		}
		var list []scenario
		for _, rate := range rates {
			sc := base
			sc.load.Rate = rate
			sc.load.Messages = fewer(int(rate * seconds))
			if !opts.set["n"] {
				sc.load.Messages = int(rate * seconds)
			}
			sc.name = fmt.Sprintf("latency-%.0f", rate)
			list = append(list, sc.titled())
		}
		return list
	case "order":
		base.load.Messages = fewer(20_000)
		if !opts.set["senders"] {
			base.load.Senders = 10
		}
	case "states":
		base.load.States = true
	case "reset", "crash":
		base.columns = cutColumns
		base.rounds = rounds(1) // sins are counted, not timed
		base.load.Messages = fewer(20_000)
		if name == "crash" {
			base.rounds = rounds(3)
			base.load.Messages = fewer(10_000)
			if !opts.set["outstanding"] {
				base.load.Outstanding = 64
			}
		}
		base.load.ResetEvery = cmp.Or(opts.resetEvery, 1500)
		base.load.States, base.load.Redeliver = true, true
		// A doubt is resent after two seconds: wait longer than that for an answer, and for a repeat.
		base.load.Patience, base.load.Linger = 6*time.Second, 3*time.Second
		base.crash, base.durable = name == "crash", name == "crash"
		echoed, dropped := base, base
		echoed.name += "-tags-echoed"
		dropped.name += "-tags-dropped"
		dropped.load.DropTags = true
		return []scenario{echoed.titled(), dropped.titled()}
	case "idle":
		base.columns = idleColumns
		base.idle = 20 * time.Second
		if opts.quick {
			base.idle = 5 * time.Second
		}
	case "start":
		base.columns = startColumns
		base.startOnly = true
	case "finished":
		base.columns = finishedColumns
		base.durable, base.base, base.prepare = true, "empty", onFinished
	case "backlog":
		base.columns = backlogColumns
		base.rounds = rounds(1)
		base.load.Messages = of(1_000_000, 20_000)
		base.load.Backlog = true
		base.load.Patience = 15 * time.Second // the answers are late; only silence is a failure
		base.durable, base.prepare = true, withSlowHandler
	case "growth":
		base.columns = growthColumns
		base.rounds = rounds(1)
		base.growth = of(1_000_000, 20_000)
		base.load.Messages = growthTimes * base.growth
		base.load.Patience = 15 * time.Second // it lasts long, and a machine may stand still meanwhile
		base.prepare = withShortRetention
	}
	return []scenario{base.titled()}
}

// titled words what the scenario does.
func (sc scenario) titled() scenario {
	l := sc.load
	switch {
	case sc.startOnly:
		sc.title = "from the start of the process to subscribed"
	case sc.idle > 0:
		sc.title = fmt.Sprintf("subscribed, pinged every 5 s, no messages, watched for %v", sc.idle)
	default:
		sc.title = fmt.Sprintf("%d inbounds from %d senders", l.Messages, l.Senders)
		if l.Rate > 0 {
			sc.title += fmt.Sprintf(", %.0f a second", l.Rate)
		} else {
			sc.title += fmt.Sprintf(", %d outstanding", l.Outstanding)
		}
		if l.Backlog {
			sc.title = fmt.Sprintf("%d inbounds from %d senders, as fast as they are acknowledged, into a handler of 1 ms", l.Messages, l.Senders)
		}
		if sc.growth > 0 {
			sc.title += fmt.Sprintf("; memory after %d against memory at the end", sc.growth)
		}
		if l.States {
			sc.title += ", with states"
		}
		if l.ResetEvery > 0 {
			verb := "TCP reset"
			if sc.crash {
				verb = "SIGKILL"
			}
			sc.title += fmt.Sprintf(", %s every %d answers", verb, l.ResetEvery)
			if l.DropTags {
				sc.title += ", tags not echoed"
			} else {
				sc.title += ", tags echoed"
			}
		}
	}
	return sc
}

// run measures every client in every round, one after another within a round, so that what the machine does to one it does
// to all.
func (b *bench) run(ctx context.Context, sc scenario) (rep report, err error) {
	clients := slices.Clone(b.clients)
	if sc.durable {
		clients = slices.DeleteFunc(clients, func(c client) bool { return !c.durable() })
	}
	rep = report{scenario: sc}
	if sc.prepare != nil {
		p, err := sc.prepare(ctx, b, clients)
		if err != nil {
			return rep, err
		}
		if p.remove != nil {
			defer func() { err = errors.Join(err, p.remove()) }()
		}
		clients = p.clients
	}
	samples := make([][]sample, len(clients))
	for round := range sc.rounds {
		for i, c := range clients {
			fmt.Fprintf(b.progress, "%s: round %d of %d, %s\n", sc.name, round+1, sc.rounds, c.name)
			s, err := b.measure(ctx, c, sc)
			if err != nil {
				return rep, fmt.Errorf("%s: %w", c.name, err)
			}
			samples[i] = append(samples[i], s)
		}
	}
	for i, c := range clients {
		rep.rows = append(rep.rows, row{client: c, samples: samples[i]})
	}
	return rep, nil
}
