package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signpost-sms/signpost/relay/relaytest/bench/internal/loadserver"
)

// The long scenarios, made short: every client does the work, and what each table is for has a figure.
func TestLongScenarios(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs programs")
	}
	small := func(args ...string) []string {
		return append([]string{"-clients", "signpost", "-store", "sqlite:", "-rounds", "1", "-n", "1500", "-finished", "3000"}, args...)
	}
	reports := runJSON(t, small("-n", "3000", "finished", "backlog", "growth")...)
	if url := os.Getenv("SIGNPOST_TEST_POSTGRES"); url != "" {
		reports = append(reports, runJSON(t, small("-store", "postgres:", "-postgres", url, "finished")...)...)
	}
	for _, rep := range reports {
		for _, r := range rep.Rows {
			for _, sin := range []column{colLost, colUnread, colRepeats, colInversions, colSins} {
				if got, ok := r.Figures[sin.key]; !ok || got != 0 {
					t.Errorf("%s, %s: %s %v, want 0", rep.Scenario, r.Client, sin.key, got)
				}
			}
			if r.Figures[colRate.key] <= 0 {
				t.Errorf("%s, %s: no messages a second", rep.Scenario, r.Client)
			}
		}
	}
	finished, backlog, growth := reports[0], reports[1], reports[2]
	if len(finished.Rows) < 3 || finished.Rows[0].ToBase[colRate.key] != 0 || finished.Rows[1].ToBase[colRate.key] <= 0 || finished.Rows[2].ToBase[colRate.key] <= 0 {
		t.Errorf("only the filled journals are compared with the empty one: %+v", finished.Rows)
	}
	if got := backlog.Rows[0].Figures[colAnswered.key]; got != 3000 {
		t.Errorf("backlog: %v answered, want all 3000", got)
	}
	for _, r := range backlog.Rows {
		if c := r.Figures[colCommits.key]; c <= 0 || c > 1 || r.Figures[colCommit.key] <= 0 {
			t.Errorf("backlog, %s: %v commits a message, %v ms each", r.Client, c, r.Figures[colCommit.key])
		}
	}
	for _, r := range growth.Rows {
		if r.Figures[colEarly.key] <= 0 || r.Figures[colLate.key] <= 0 || r.Figures[colGrown.key] <= 0 {
			t.Errorf("growth, %s: no memory: %v", r.Client, r.Figures)
		}
	}
}

// A journal that was copied is the journal: one that was not closed would lose what is in its log.
func TestCopyOfAJournal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from.db"), filepath.Join(dir, "to.db")
	write := func(name, text string) {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(from, "pages")
	write(from+"-wal", "")
	if err := copyFile(from, to); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(to); err != nil || string(got) != "pages" {
		t.Errorf("copied %q, %v", got, err)
	}
	if err := copyFile(from, to); err == nil {
		t.Error("a copy overwrites a file")
	}
	write(from+"-wal", "more pages")
	if err := copyFile(from, filepath.Join(dir, "other.db")); err == nil {
		t.Error("a journal that was not closed is copied")
	}
}

func TestCommitsAreRead(t *testing.T) {
	t.Parallel()
	const metrics = `# TYPE signpost_journal_commit_seconds histogram
signpost_journal_commit_seconds_bucket{le="0.0001"} 3
signpost_journal_commit_seconds_sum 0.5
signpost_journal_commit_seconds_count 250
signpost_journal_batch_rows_sum 1.5e+04
`
	got, err := parseCommits(strings.NewReader(metrics))
	if want := (commits{count: 250, seconds: 0.5, rows: 15000}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	for _, bad := range []string{"", "signpost_journal_commit_seconds_count 1\n", strings.Replace(metrics, "250", "many", 1)} {
		if got, err := parseCommits(strings.NewReader(bad)); err == nil {
			t.Errorf("%q gives %+v", bad, got)
		}
	}
	s := sample{Result: loadserver.Result{Answered: 1000}, commits: &got}
	for _, c := range []struct {
		column
		want float64
	}{{colCommits, 0.25}, {colCommit, 2}, {colRows, 60}} {
		if got := c.of(s); got != c.want {
			t.Errorf("%s: got %v, want %v", c.key, got, c.want)
		}
	}
}

func TestMetricsAreFoundByTheLastProcess(t *testing.T) {
	t.Parallel()
	log := filepath.Join(t.TempDir(), "log")
	const first = `{"msg":"local HTTP endpoints","url":"http://127.0.0.1:1"}` + "\nno JSON\n"
	const last = `{"msg":"local HTTP endpoints","url":"http://127.0.0.1:2"}` + "\n" + `{"msg":"ready","url":"http://127.0.0.1:3"}` + "\n"
	for text, want := range map[string]string{first + last: "http://127.0.0.1:2/metrics", first: "http://127.0.0.1:1/metrics", "nothing\n": ""} {
		if err := os.WriteFile(log, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := metricsURL(log); got != want || (err == nil) != (want != "") {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
}

// Clients without a journal have no figure of it, in the table and in JSON.
func TestNoCommitsWithoutAJournal(t *testing.T) {
	t.Parallel()
	rep := fixture("throughput", sample{Result: loadserver.Result{Answered: 1000, Elapsed: time.Second}, commits: &commits{count: 10, seconds: 1, rows: 20}})
	data, err := json.Marshal(rep)
	if err != nil {
		t.Fatal(err)
	}
	var out struct {
		Rows []struct{ Figures map[string]float64 }
	}
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	if got, ok := out.Rows[0].Figures[colCommits.key]; ok {
		t.Errorf("the plain client makes %v commits a message", got)
	}
	if got := out.Rows[1].Figures[colCommits.key]; got != 0.01 {
		t.Errorf("got %v commits a message, want 0.01", got)
	}
	if text := rep.text(); !strings.Contains(text, " - ") || strings.Contains(text, "NaN") {
		t.Errorf("no figure is no dash:\n%s", text)
	}
}

func TestGrowthComparesEarlyWithLate(t *testing.T) {
	t.Parallel()
	var seen []rssAt
	for i := range 1001 { // grows by a tenth from the first to the last; one collection in three is still due
		bytes := int64(1000 + i/10)
		if i%3 == 0 {
			bytes += 5000
		}
		seen = append(seen, rssAt{answered: i, bytes: bytes})
	}
	g, err := growthOf(seen, 100)
	if err != nil || g.early < 1010 || g.early > 1015 || g.late < 1095 || g.late > 1100 {
		t.Errorf("got %+v, %v", g, err)
	}
	if g, err := growthOf(seen[:900], 100); err == nil {
		t.Errorf("a load that was not watched to its end gives %+v", g)
	}
}

// Each promise of the long scenarios and of the commits, and the figure that breaks it.
func TestVerdictsOnJournals(t *testing.T) {
	t.Parallel()
	good := func() sample {
		return sample{
			Result: loadserver.Result{Messages: 1000, Answered: 1000, Elapsed: time.Second, P50: 12 * time.Millisecond},
			start:  time.Second, rss: 60 << 20, growth: growth{early: 100, late: 110},
			commits: &commits{count: 50, seconds: 0.05, rows: 3000}, // 1 ms each
		}
	}
	for _, test := range []struct {
		scenario string
		columns  []column
		figure   column
		spoil    func(s *sample)
	}{
		{"throughput", throughputColumns, colCommits, func(s *sample) { s.commits.count = 51 }},
		{"throughput", throughputColumns, colSins, func(s *sample) { s.Stalled = true }},
		{"latency-500", latencyColumns, colP50, func(s *sample) { s.P50 += time.Microsecond }},
		{"finished", finishedColumns, colRate, func(s *sample) { s.Elapsed = 1300 * time.Millisecond }},
		{"finished", finishedColumns, colStart, func(s *sample) { s.start = 1001 * time.Millisecond }},
		{"backlog", backlogColumns, colRSS, func(s *sample) { s.rss = 129 << 20 }},
		{"backlog", backlogColumns, colLost, func(s *sample) { s.UnansweredAcked = 1 }},
		{"backlog", backlogColumns, colInversions, func(s *sample) { s.Inversions = 1 }},
		{"growth", growthColumns, colGrown, func(s *sample) { s.growth.late = 111 }},
		{"reset-tags-dropped", cutColumns, colNeedless, func(s *sample) { s.NeedlessRepeats = 1 }},
		{"crash-tags-echoed", cutColumns, colRepeats, func(s *sample) { s.Repeats = 1 }},
		{"crash-tags-echoed", cutColumns, colUnread, func(s *sample) { s.UnansweredUnacked = 1 }},
	} {
		for _, spoilt := range []bool{false, true} {
			s := good()
			if spoilt {
				test.spoil(&s)
			}
			rep := fixture(test.scenario, s) // the plain client has a p50 of 10 ms and 1000 messages a second
			rep.scenario.columns = test.columns
			rep.rows[1].client = client{name: "signpost sqlite", store: "sqlite"}
			missed := map[string]bool{}
			for _, v := range rep.verdicts() {
				if v.Missed {
					missed[v.Figure] = true
				}
			}
			want := 0
			if spoilt {
				want = 1
			}
			if len(missed) != want || missed[test.figure.key] != spoilt {
				t.Errorf("%s, spoilt %s %v: missed %v", test.scenario, test.figure.key, spoilt, missed)
			}
			if list := musts([]report{rep}); strings.Contains(list, "MISSED") != spoilt || !strings.Contains(list, "not measured  idle") {
				t.Errorf("%s, spoilt %s %v: the list says\n%s", test.scenario, test.figure.key, spoilt, list)
			}
		}
	}
}

// What a killed process had not read is lost with it: to send it again is the operator's choice where nothing tells.
func TestNeedlessRepeatsAfterAKill(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{"reset-tags-dropped": true, "crash-tags-dropped": false} {
		rep := fixture(name, sample{Result: loadserver.Result{Answered: 1000, Elapsed: time.Second, Repeats: 3, NeedlessRepeats: 3}})
		rep.scenario.columns = cutColumns
		if got := rep.missed(); got != want {
			t.Errorf("%s: missed %v, want %v: %v", name, got, want, rep.verdicts())
		}
	}
}

// Where a figure is compared with another row than the plain client, the table has the ratio to that one.
func TestComparedWithTheEmptyJournal(t *testing.T) {
	t.Parallel()
	rep := fixture("finished", sample{Result: loadserver.Result{Answered: 500, Elapsed: time.Second}})
	rep.rows[1].client.base = "signpost sqlite"
	rep.rows = append(rep.rows, row{client: client{name: "signpost sqlite", store: "sqlite"}, samples: []sample{{
		Result: loadserver.Result{Answered: 2000, Elapsed: time.Second},
	}}})
	if got := rep.toBase(rep.rows[1], colRate); got != 0.25 {
		t.Errorf("got %v, want a quarter of the empty journal's", got)
	}
	rep.rows[1].client.base = "nobody"
	if got := rep.toBase(rep.rows[1], colRate); !math.IsNaN(got) {
		t.Errorf("a ratio to nobody is %v", got)
	}
}
