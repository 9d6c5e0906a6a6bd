package daemon

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// simulator starts "signpost sim" and gives its addresses.
func simulator(t *testing.T, args ...string) simulated {
	t.Helper()
	sim := launch(t, nil, "signpost", append([]string{"sim", "--json", "--http", "127.0.0.1:0"}, args...)...)
	var where simulated
	if err := json.Unmarshal([]byte(sim.expect("relay")), &where); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // the end of the test's context has killed it
		for range sim.lines {
		}
		_ = sim.cmd.Wait()
	})
	return where
}

// A journal outlives the simulator: what the next one delivers must not have the same ids.
func TestSimulatorsMakeOtherIDs(t *testing.T) {
	t.Parallel()
	text := func() string {
		_, out := command(t, t.TempDir(), "trigger", "inbound", "--context", "support", "--body", "hello", "--control", simulator(t).HTTP)
		id, _, ok := strings.Cut(out, " ")
		if !ok || len(id) != 36 {
			t.Fatalf("no id: %s", out)
		}
		return id
	}
	if one, two := text(), text(); one == two {
		t.Errorf("two simulators gave the same id, %s", one)
	}
}

func TestTriggerTextsADaemonAndReportsStates(t *testing.T) {
	t.Parallel()
	where := simulator(t)
	trigger := func(args ...string) (int, string) {
		return command(t, t.TempDir(), append(append([]string{"trigger"}, args...), "--control", where.HTTP)...)
	}

	// Nobody listens yet: a text is lost, and there is no send to report on.
	if code, out := trigger("inbound", "--context", "support", "--body", "hello"); code != ExitFindings || !strings.Contains(out, "nobody is subscribed") {
		t.Errorf("inbound without a daemon: exit code %d:\n%s", code, out)
	}
	if code, out := trigger("state", "--state", "failed"); code != ExitFindings || !strings.Contains(out, "no such send") {
		t.Errorf("state without a send: exit code %d:\n%s", code, out)
	}

	path := filepath.Join(t.TempDir(), "signpost.yaml")
	configFile(t, path, "", "support")
	p := launch(t, nil, "env", "SIGNPOST_RELAY_URL="+where.Relay, "signpost", "run", "--config", path)
	p.expect(`"msg":"ready"`)

	if code, out := trigger("inbound", "--context", "support", "--body", "hello", "--wait", "30s"); code != ExitOK || !strings.Contains(out, "< support: hello\n") {
		t.Errorf("inbound: exit code %d:\n%s", code, out)
	}
	// The number is bound to support, so it alone says where to; only the new answer is shown.
	code, out := trigger("inbound", "--to", "+12025550100", "--body", "again", "--wait", "30s", "--json")
	var got triggered
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != ExitOK || !got.Acked || got.Context != "support" ||
		len(got.Replies) != 1 || got.Replies[0].Body != "support: again" {
		t.Errorf("inbound --json: exit code %d, %v:\n%s", code, err, out)
	}
	if code, out := trigger("state", "--to", devHandset, "--state", "failed", "--reason", "spam"); code != ExitOK || !strings.Contains(out, "failed") {
		t.Errorf("state: exit code %d:\n%s", code, out)
	}
	if code, out := trigger("state", "--to", "+12025550177", "--state", "failed"); code != ExitFindings {
		t.Errorf("state of nobody's text: exit code %d:\n%s", code, out)
	}
	if code, out := trigger("inbound", "--context", "support", "--body", "hello", "--from", "911"); code != ExitUsage || !strings.Contains(out, "--from") {
		t.Errorf("inbound from no number: exit code %d:\n%s", code, out)
	}
	p.signal(syscall.SIGTERM)
	_, _ = p.exit()
}
