package main

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signpost-sms/signpost/relay/relaytest/bench/internal/loadserver"
)

// runJSON runs the command and decodes its report.
func runJSON(t *testing.T, args ...string) (reports []struct {
	Scenario string
	Rows     []struct {
		Client  string
		Figures map[string]float64
		ToBase  map[string]float64 `json:"to_base"`
	}
},
) {
	t.Helper()
	var out, progress bytes.Buffer
	if err := run(t.Context(), append([]string{"-json"}, args...), &out, &progress); err != nil {
		t.Fatalf("bench %s: %v\n%s", strings.Join(args, " "), err, progress.String())
	}
	if err := json.Unmarshal(out.Bytes(), &reports); err != nil {
		t.Fatalf("the report is no JSON: %v\n%s", err, out.String())
	}
	return reports
}

// The reference clients are what the figures are compared with: they must do the whole work.
func TestReferenceClientsDoTheWork(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs programs")
	}
	for _, rep := range runJSON(t, "-clients", "floor,plain", "-rounds", "1", "-n", "3000", "throughput", "states") {
		if len(rep.Rows) != 2 {
			t.Fatalf("%s: %d rows, want 2", rep.Scenario, len(rep.Rows))
		}
		for _, r := range rep.Rows {
			for _, sin := range []column{colLost, colRepeats, colSins} {
				if r.Figures[sin.key] != 0 {
					t.Errorf("%s, %s: %s %v, want 0", rep.Scenario, r.Client, sin.key, r.Figures[sin.key])
				}
			}
			for _, c := range []column{colRate, colCPU, colP50, colP99, colRSS} {
				if r.Figures[c.key] <= 0 {
					t.Errorf("%s, %s: %s %v, want a figure", rep.Scenario, r.Client, c.key, r.Figures[c.key])
				}
			}
		}
		// A wide margin: the floor is ten times cheaper on a quiet machine, and this is no measurement.
		floor, plain := rep.Rows[0], rep.Rows[1]
		if floor.Figures[colCPU.key] >= plain.Figures[colCPU.key] || floor.ToBase[colCPU.key] >= 1 {
			t.Errorf("%s: the floor takes %v µs per message, the plain client %v, ratio %v", rep.Scenario,
				floor.Figures[colCPU.key], plain.Figures[colCPU.key], floor.ToBase[colCPU.key])
		}
		if plain.ToBase[colCPU.key] != 1 {
			t.Errorf("%s: the plain client to itself is %v", rep.Scenario, plain.ToBase[colCPU.key])
		}
	}
}

func TestReferenceClientsComeBack(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs programs")
	}
	reports := runJSON(t, "-clients", "floor", "-n", "400", "-reset-every", "150", "reset")
	if len(reports) != 2 {
		t.Fatalf("%d reports, want one with tags and one without", len(reports))
	}
	for _, rep := range reports {
		figures := rep.Rows[0].Figures
		if figures[colCuts.key] != 2 || figures[colLive.key] != 1 || figures[colBack.key] <= 0 {
			t.Errorf("%s: %v cuts, %v sockets at once, %v ms until subscribed", rep.Scenario,
				figures[colCuts.key], figures[colLive.key], figures[colBack.key])
		}
	}
}

func TestCrashKillsAndStartsAgain(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs programs")
	}
	opts, _, err := parse([]string{"-clients", "floor", "-n", "400", "-rounds", "1", "-reset-every", "150", "crash"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	b, err := newBench(t.Context(), opts, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	b.clients[0].store = "sqlite" // it keeps nothing, but it comes back
	var processes []int
	start := b.clients[0].start
	b.clients[0].start = func(p place) (*child, error) {
		c, err := start(p)
		if err == nil {
			processes = append(processes, c.cmd.Process.Pid)
		}
		return c, err
	}
	rep, err := b.run(t.Context(), scenarios("crash", opts)[0])
	if err != nil {
		t.Fatal(err)
	}
	s := rep.rows[0].samples[0]
	if s.Resets != 2 || len(processes) != 3 || s.MaxLive != 1 || s.Connections != 3 || s.cpu <= 0 {
		t.Errorf("%d kills, processes %v, %d connections, %d at once, %v of processor time; want 2 kills and 3 processes in turn",
			s.Resets, processes, s.Connections, s.MaxLive, s.cpu)
	}
	if s.Answered+s.UnansweredAcked != s.Messages {
		t.Errorf("%d answered and %d lost by the client of %d: redelivery leaves no others", s.Answered, s.UnansweredAcked, s.Messages)
	}
}

func TestBadArguments(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"-rounds", "0"}, {"nonsense"}, {"-clients", "nobody"}, {"-clients", ""}, {"-nonsense"},
	} {
		if err := run(t.Context(), args, io.Discard, io.Discard); err == nil {
			t.Errorf("%q is accepted", args)
		}
	}
}

// fixture is a report with a plain client and one on memory, without any process.
func fixture(name string, product sample) report {
	plain := sample{Result: loadserver.Result{Answered: 1000, Elapsed: time.Second, P50: 10 * time.Millisecond, P99: 20 * time.Millisecond}, cpu: 10 * time.Millisecond}
	return report{
		scenario: scenario{name: name, columns: throughputColumns, rounds: 1},
		rows: []row{
			{client: client{name: reference}, samples: []sample{plain}},
			{client: client{name: "signpost memory", store: "memory"}, samples: []sample{product}},
		},
	}
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	good := sample{Result: loadserver.Result{Answered: 3000, Elapsed: time.Second, P50: time.Millisecond, P99: 2 * time.Millisecond}, cpu: 10 * time.Millisecond}
	if rep := fixture("throughput", good); rep.missed() {
		t.Errorf("three times the plain client misses: %v", rep.verdicts())
	}
	for name, spoil := range map[string]func(*sample){
		colRate.key:    func(s *sample) { s.Elapsed = 4 * time.Second },
		colCPU.key:     func(s *sample) { s.cpu = time.Second },
		colTail.key:    func(s *sample) { s.P99 = 7 * time.Millisecond },
		colRSS.key:     func(s *sample) { s.rss = 65 << 20 },
		colLost.key:    func(s *sample) { s.UnansweredAcked = 1 },
		colRepeats.key: func(s *sample) { s.Repeats = 1 },
		colSins.key:    func(s *sample) { s.StaleAcks = 1 },
	} {
		bad := good
		spoil(&bad)
		rep := fixture("throughput", bad)
		var missed []string
		for _, v := range rep.verdicts() {
			if v.Missed {
				missed = append(missed, v.Figure)
			}
		}
		if !slices.Equal(missed, []string{name}) {
			t.Errorf("spoilt %s: missed %v", name, missed)
		}
		if text := rep.text(); !strings.Contains(text, "MISSED") {
			t.Errorf("spoilt %s: the table does not say so:\n%s", name, text)
		}
	}
}

// A resend of a doubt whose tags never came back is the operator's choice, and no miss.
func TestRepeatsUnderResend(t *testing.T) {
	t.Parallel()
	repeated := sample{Result: loadserver.Result{Answered: 1000, Elapsed: time.Second, Repeats: 3, MaxLive: 1}}
	for name, want := range map[string]bool{"reset-tags-echoed": true, "reset-tags-dropped": false} {
		rep := fixture(name, repeated)
		rep.scenario.columns = cutColumns
		if got := rep.missed(); got != want {
			t.Errorf("%s: repeats are a miss %v, want %v: %v", name, got, want, rep.verdicts())
		}
	}
}

func TestMedians(t *testing.T) {
	t.Parallel()
	r := row{samples: []sample{{idle: 3}, {idle: 1}, {idle: 2}}}
	r.samples[0].Inversions = 5
	if got := r.value(column{of: func(s sample) float64 { return s.idle }}); got != 2 {
		t.Errorf("median of 3, 1, 2 is %v", got)
	}
	if got := r.value(colInversions); got != 5 {
		t.Errorf("sins of 5, 0, 0 show as %v, want the worst", got)
	}
	if got := median([]time.Duration(nil)); got != 0 {
		t.Errorf("median of nothing is %v", got)
	}
}

func TestTableIsAligned(t *testing.T) {
	t.Parallel()
	got := align([][]string{{"client", "µs"}, {"a", "1.0"}, {"longer name", "10"}})
	want := "client        µs\na            1.0\nlonger name   10\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
