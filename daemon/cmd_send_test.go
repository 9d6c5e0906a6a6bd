package daemon

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"
)

func TestSendTellsWhatBecameOfIt(t *testing.T) {
	t.Parallel()
	space := socketSpace(t)
	dir, start := bulkDaemon(t, space)
	p := start()
	send := func(args ...string) (int, string) {
		return command(t, dir, append([]string{"send", "--from", "+12125550100"}, args...)...)
	}

	code, out := send("--to", "+1 (212) 555-0101", "--body", "Your table is ready.", "--wait", "30s")
	if code != ExitOK || !strings.Contains(out, "  1 segment, gsm7\n") || !strings.HasSuffix(out, "delivered\n") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	// A text whose carrier refuses it, and one that a rule keeps back.
	if code, out := send("--to", "+12125559002", "--body", "hi", "--wait", "30s"); code != ExitFindings || !strings.Contains(out, "undelivered: carrier_blocked") || !strings.Contains(out, "signpost explain ") {
		t.Errorf("undelivered: exit code %d:\n%s", code, out)
	}
	if code, out := command(t, dir, "consent", "stop", "+12125550102", "--note", "by mail", "--actor", "ann"); code != ExitOK {
		t.Fatalf("consent stop: exit code %d:\n%s", code, out)
	}
	if code, out := send("--to", "+12125550102", "--body", "hi"); code != ExitFindings || !strings.Contains(out, "suppressed") {
		t.Errorf("to somebody who opted out: exit code %d:\n%s", code, out)
	}
	// The same key is the same text.
	var ids []string
	for range 2 {
		code, out := send("--to", "+12125550103", "--body", "once 👋", "--key", "k", "--json", "--wait", "30s")
		var one sentOne
		if err := json.Unmarshal([]byte(out), &one); err != nil || code != ExitOK || one.Encoding != "ucs2" || one.Segments != 1 {
			t.Errorf("--json: exit code %d, %v:\n%s", code, err, out)
		}
		ids = append(ids, one.ID)
	}
	if ids[0] != ids[1] || texted(space)["+12125550103 once 👋"] != 1 {
		t.Errorf("one key: ids %q, texts %v", ids, texted(space))
	}
	if code, out := send("--to", "+12125550103", "--body", "another", "--key", "k"); code == ExitOK || !strings.Contains(out, "key") {
		t.Errorf("one key for two texts: exit code %d:\n%s", code, out)
	}
	// Later.
	code, out = send("--to", "+12125550104", "--body", "later", "--at", "2h")
	if code != ExitOK || !strings.Contains(out, "queued") {
		t.Errorf("--at: exit code %d:\n%s", code, out)
	}
	if id, _, _ := strings.Cut(out, " "); true {
		if code, out := command(t, dir, "cancel", id); code != ExitOK {
			t.Errorf("cancel: exit code %d:\n%s", code, out)
		}
	}
	if n := len(space.Handset("+12125550104").Messages()); n != 0 {
		t.Errorf("%d texts went out before their time", n)
	}
	if code, out := send("--to", "+12125559011", "--body", "hi", "--wait", "1s"); code != ExitFindings || !strings.Contains(out, "nothing more is known") {
		t.Errorf("a carrier that says nothing: exit code %d:\n%s", code, out)
	}
	p.signal(syscall.SIGTERM)
	_, _ = p.exit()
}
