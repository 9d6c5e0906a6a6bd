// Bench measures Signpost beside its two reference clients, on one machine and in one run, and prints a table with the
// ratios. See README.md.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	clients     string
	stores      string
	postgres    string
	messages    int
	finished    int
	rounds      int
	senders     int
	outstanding int
	rate        float64
	resetEvery  int
	states      bool
	quick       bool
	json        bool
	check       bool
	scratch     string
	set         map[string]bool // flags given on the command line: they win over what a scenario would choose
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errMissed):
		os.Exit(1)
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
}

// errMissed means that a figure missed what it must reach; the table says which.
var errMissed = errors.New("a figure missed its target")

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	opts, names, err := parse(args, stderr)
	if err != nil {
		return err
	}
	b, err := newBench(ctx, opts, stderr)
	if err != nil {
		return err
	}
	defer b.close()

	missed := false
	var reports []report
	for _, name := range names {
		for _, sc := range scenarios(name, opts) {
			rep, err := b.run(ctx, sc)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			missed = missed || rep.missed()
			reports = append(reports, rep)
			if !opts.json {
				fmt.Fprintln(stdout, rep.text())
			}
		}
	}
	if opts.json {
		encoder := json.NewEncoder(stdout)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(reports); err != nil {
			return fmt.Errorf("print the table: %w", err)
		}
	}
	if !opts.check {
		return nil
	}
	if !opts.json {
		fmt.Fprint(stdout, musts(reports))
	}
	if missed {
		return errMissed
	}
	return nil
}

func parse(args []string, stderr io.Writer) (opts options, names []string, err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&opts.clients, "clients", "floor,plain,signpost,jssdk", "clients to measure; those that cannot run here are left out when the flag is not given")
	flags.StringVar(&opts.stores, "store", "memory:", "stores of signpost, comma-separated: memory:, sqlite: (a new file per run), postgres: (a new schema per run), or sqlite://PATH and postgres://... (kept)")
	flags.StringVar(&opts.postgres, "postgres", "postgres://postgres@127.0.0.1:5432/postgres?sslmode=disable", "where -store postgres: makes its schemas")
	flags.IntVar(&opts.messages, "n", 100_000, "inbounds per run")
	flags.IntVar(&opts.finished, "finished", 1_000_000, "scenario finished: finished messages in the journal")
	flags.IntVar(&opts.rounds, "rounds", 5, "rounds; each runs every client once, and the table has the medians")
	flags.IntVar(&opts.senders, "senders", 1000, "numbers that the inbounds come from")
	flags.IntVar(&opts.outstanding, "outstanding", 256, "closed loop: inbounds kept unanswered")
	flags.Float64Var(&opts.rate, "rate", 0, "open loop: inbounds a second (0: closed loop)")
	flags.IntVar(&opts.resetEvery, "reset-every", 0, "reset the TCP connection after so many answers (0: never)")
	flags.BoolVar(&opts.states, "states", false, "report sent and delivered for every send")
	flags.BoolVar(&opts.quick, "quick", false, "one short round: to see that it works, not to measure")
	flags.BoolVar(&opts.json, "json", false, "print JSON")
	flags.BoolVar(&opts.check, "check", false, "say which musts are reached, and exit with 1 when a figure misses one")
	flags.StringVar(&opts.scratch, "scratch", "", "where programs, logs and SQLite files go; default a temporary directory, removed at the end")
	flags.Usage = func() {
		fmt.Fprintf(stderr, "usage: go run . [flags] [scenario ...]\n\nscenarios: %s (default throughput); all is those but %s\n\n",
			strings.Join(scenarioNames, ", "), strings.Join(longScenarios, ", "))
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return opts, nil, err
	}
	opts.set = make(map[string]bool)
	flags.Visit(func(f *flag.Flag) { opts.set[f.Name] = true })
	if opts.quick {
		if !opts.set["rounds"] {
			opts.rounds = 1
		}
		if !opts.set["n"] {
			opts.messages = 10_000
		}
		if !opts.set["finished"] {
			opts.finished = 20_000
		}
	}
	if opts.rounds < 1 || opts.finished < 1 || opts.messages < 1 {
		return opts, nil, errors.New("-rounds, -finished and -n: give at least 1")
	}
	names = flags.Args()
	switch {
	case len(names) == 0:
		names = []string{"throughput"}
	case slices.Equal(names, []string{"all"}):
		names = slices.DeleteFunc(slices.Clone(scenarioNames), func(name string) bool { return slices.Contains(longScenarios, name) })
	}
	for _, name := range names {
		if strings.HasPrefix(name, "-") {
			return opts, nil, fmt.Errorf("%s: give flags before the scenarios", name)
		}
		if !slices.Contains(scenarioNames, name) {
			return opts, nil, fmt.Errorf("no scenario %q; there are %s and all", name, strings.Join(scenarioNames, ", "))
		}
	}
	return opts, names, nil
}

// split cuts a comma-separated list.
func split(list string) (parts []string) {
	for part := range strings.SplitSeq(list, ",") {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}

// subscribeWithin bounds the time from starting a client to its subscription: Node on a busy machine takes seconds.
const subscribeWithin = 30 * time.Second
