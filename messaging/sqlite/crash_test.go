package sqlite_test

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/messagingtest"
	"github.com/signpost-sms/signpost/messaging/sqlite"
)

// crashPath tells a copy of the test binary that it is to write until it is killed.
const crashPath = "SIGNPOST_TEST_CRASH_PATH"

// modelChecks is how many histories the random model plays here; a store in memory plays a
// hundred, as does this one when -rapid.checks asks for it.
const modelChecks = "50"

func TestMain(m *testing.M) {
	if path := os.Getenv(crashPath); path != "" {
		writeUntilKilled(path)
	}
	flag.Parse()
	asked := false
	flag.Visit(func(f *flag.Flag) { asked = asked || f.Name == "rapid.checks" })
	if !asked {
		if err := flag.Set("rapid.checks", modelChecks); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// writeUntilKilled journals messages and says of each, once Commit has returned, what is
// true of it from then on.
func writeUntilKilled(path string) {
	s, err := sqlite.Open(context.Background(), path, sqlite.Config{Logger: sqlite.Silent})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	commit := func(b *messaging.Batch) {
		b.ID, b.Now = newID(), time.Now()
		if err := s.Commit(context.Background(), b); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
	}
	out := bufio.NewWriter(os.Stdout)
	for {
		in, answers := &messaging.Batch{}, &messaging.Batch{}
		for i := range 20 {
			ev := messagingtest.NewMessage("support", "+12025550101", "+12025550100", "hello")
			a := &messaging.Append{Event: ev}
			if i%2 == 0 {
				o := newTraffic().send(ev)
				a.Outcome = &messaging.Outcome{Fate: messaging.FateDone, Sends: []*messaging.Outgoing{o}}
				answers.Reports = append(answers.Reports, &messaging.Report{
					SendID: o.ID, AttemptID: o.Attempt.ID, Outcome: messaging.OutcomeAccepted, MessageID: "SM-" + o.ID.String(), Status: messaging.StatusAccepted,
				})
			}
			in.Appends = append(in.Appends, a)
		}
		commit(in)
		for _, a := range in.Appends {
			if a.Outcome == nil {
				fmt.Fprintln(out, "waiting", a.Event.ID)
			} else {
				fmt.Fprintln(out, "done", a.Event.ID)
			}
		}
		out.Flush()
		commit(answers)
		for _, r := range answers.Reports {
			fmt.Fprintln(out, "accepted", r.MessageID)
		}
		out.Flush()
	}
}

// TestKilledProcessLosesNothing kills a process that writes, several times on one journal,
// and looks for everything whose commit had returned.
func TestKilledProcessLosesNothing(t *testing.T) {
	t.Parallel()
	path := sqlite.NewPath(t)
	said := map[string]string{} // by id
	for round := range 4 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), crashPath+"="+path)
		cmd.Stderr = os.Stderr
		pipe, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines, killAt := bufio.NewScanner(pipe), 300+137*round
		for n := 0; lines.Scan(); n++ {
			what, id, _ := strings.Cut(lines.Text(), " ")
			if what == "error" {
				t.Fatalf("round %d: %s", round, lines.Text())
			}
			said[id] = what
			if n == killAt {
				// What it says meanwhile is still read below: it has been committed.
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // killed
	}
	if len(said) < 1500 {
		t.Fatalf("the processes wrote %d things only", len(said))
	}

	s := open(t, path)
	w, err := s.Load(t.Context(), messaging.Query{Now: time.Now(), Limit: 1 << 20, Events: true})
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	waiting := map[string]bool{}
	for _, u := range w.Events {
		waiting[u.Event.ID] = true
	}
	f := newTraffic()
	check := &messaging.Batch{ID: newID(), Owner: f.owner, Now: time.Now()}
	for id, what := range said {
		switch what {
		case "waiting":
			if !waiting[id] {
				t.Errorf("event %s was journaled and is gone", id)
			}
		case "done":
			ev := messagingtest.NewMessage("support", "+12025550101", "+12025550100", "hello")
			ev.ID = id
			check.Appends = append(check.Appends, &messaging.Append{Event: ev})
		case "accepted":
			ev := messagingtest.NewState("support", id, "+12025550100", "+12025550101", messaging.StateSent)
			check.Appends = append(check.Appends, &messaging.Append{Event: ev})
		}
	}
	if err := s.Commit(t.Context(), check); err != nil {
		t.Fatalf("Commit: %v", err)
	}
	for _, a := range check.Appends {
		switch {
		case a.Event.Kind == messaging.KindMessage && a.Fresh:
			t.Errorf("event %s was settled and is new", a.Event.ID)
		case a.Event.Kind == messaging.KindState && a.Merge == nil:
			t.Errorf("message %s was accepted and nobody knows it", a.Event.MessageID)
		}
	}
}
