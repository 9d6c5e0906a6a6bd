package daemon

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/signpost-sms/signpost/daemon/api"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/relay/relaytest"
)

// operated is a daemon in a process of its own, on a journal in a file, and the directory
// that its operator's commands run in.
type operated struct {
	*process
	dir, path, listen string
	space             *relaytest.Server
}

// contextsOf writes the daemon's configuration.
func (o *operated) contextsOf(t *testing.T, contexts string) {
	t.Helper()
	o.configure(t, "", contexts)
}

// configure writes the daemon's configuration, with more keys than usual.
func (o *operated) configure(t *testing.T, more, contexts string) {
	t.Helper()
	text := fmt.Sprintf("store: sqlite:%s\nhttp: {listen: %q}\nsending: {in_doubt: {wait: 1h, settle: 1h, release: 2h}}\n%scontexts:\n%s",
		filepath.Join(o.dir, "journal", "signpost.db"), o.listen, more, contexts)
	if err := os.WriteFile(o.path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

const answering = "  support: {handlers: [{keyword: {words: [QUIET], handlers: [ignore]}}, {reply: 'support: {{.Body}}'}]}\n"

func operate(t *testing.T) *operated {
	t.Helper()
	o := prepare(t)
	o.contextsOf(t, answering)
	o.start(t)
	return o
}

// prepare makes everything but the configuration and the daemon.
func prepare(t *testing.T, edit ...relaytest.Option) *operated {
	t.Helper()
	dir := t.TempDir()
	return &operated{dir: dir, path: filepath.Join(dir, "signpost.yaml"), listen: freeAddr(t), space: socketSpace(t, edit...)}
}

// start starts the daemon, for the first time or again.
func (o *operated) start(t *testing.T) {
	t.Helper()
	o.process = launch(t, o.space, "env", "-u", "SIGNPOST_STORE", "signpost", "run", "--config", o.path)
	o.expect(`"msg":"ready"`)
}

// run runs a command of the operator and holds it against its exit code and what it says.
func (o *operated) run(t *testing.T, code int, want string, args ...string) string {
	t.Helper()
	got, out := command(t, o.dir, args...)
	if got != code || !strings.Contains(out, want) {
		t.Errorf("signpost %s: exit code %d, want %d, and %q in:\n%s", strings.Join(args, " "), got, code, want, out)
	}
	return out
}

// stop ends the daemon well.
func (o *operated) stop(t *testing.T) {
	t.Helper()
	o.signal(syscall.SIGTERM)
	if code, said := o.exit(); code != ExitOK {
		t.Errorf("exit code %d, want 0:\n%s", code, said)
	}
}

// jsonLines decodes an output of a line of JSON each.
func jsonLines[T any](t *testing.T, out string) (all []T) {
	t.Helper()
	for line := range strings.Lines(out) {
		var v T
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		all = append(all, v)
	}
	return all
}

func TestOperatorReadsTheJournal(t *testing.T) {
	t.Parallel()
	o := operate(t)
	o.run(t, ExitOK, "no messages", "messages")
	o.run(t, ExitFindings, "holds no message yet", "explain", "last")
	converse(t, o.space, "support", "hello", "support: hello")
	// The next one is answered after the delivery of the first is journaled.
	converse(t, o.space, "support", "again", "support: again")

	out := o.run(t, ExitOK, "support: hello"[:9], "messages", "--json")
	found := jsonLines[api.Message](t, out)
	if len(found) != 4 || found[0].Body != "hello" || found[1].Body != "support: hello" || found[1].InReplyTo != found[0].ID {
		t.Fatalf("messages --json:\n%s", out)
	}
	o.run(t, ExitOK, "< "+person, "messages", "--number", "+1 (202) 555-0147", "--since", "1h", "--direction", "in", "--text", "HELLO")
	o.run(t, ExitOK, "there are older ones", "messages", "--limit", "2")
	o.run(t, ExitOK, "no messages", "messages", "--until", "2020-01-01")
	o.run(t, ExitUsage, "country code", "messages", "--number", "202 555 0147")
	o.run(t, ExitUsage, "is no moment", "messages", "--since", "lately")
	o.run(t, ExitUsage, "there are queued, sending", "messages", "--status", "lost")

	o.run(t, ExitOK, `"support: hello"`, "explain", found[0].ID)
	o.run(t, ExitOK, "answered; the reply is ", "explain", found[1].ID)
	o.run(t, ExitOK, `"again"`, "explain", "last")
	o.run(t, ExitOK, `"again"`, "explain", "--number", "+1 202 555 0147")
	o.run(t, ExitFindings, "no message from or to this number", "explain", "--number", "+12025550199")
	o.run(t, ExitFindings, "holds nothing under this id", "explain", "no/such#id")
	o.run(t, ExitUsage, "an id, or last, or --number", "explain")
	lives := jsonLines[api.Life](t, o.run(t, ExitOK, "", "explain", found[0].ID, "--json"))
	if len(lives) != 1 || lives[0].Outcome != api.OutcomeAnswered {
		t.Errorf("explain --json: %+v", lives)
	}
	o.run(t, ExitFindings, "gone on", "cancel", found[1].ID)
	o.stop(t)
	o.run(t, ExitUnavailable, "start it with \"signpost run\", or name the configuration", "explain", "last")
}

func TestOperatorFollowsMessages(t *testing.T) {
	t.Parallel()
	o := operate(t)
	converse(t, o.space, "support", "before", "support: before")
	cmd := exec.CommandContext(t.Context(), "signpost", "messages", "--follow", "--json", "--limit", "1")
	cmd.Dir = o.dir
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := json.NewDecoder(out)
	next := func(want string) {
		t.Helper()
		var m api.Message
		if err := lines.Decode(&m); err != nil || m.Body != want {
			t.Fatalf("got %q, %v, want %q", m.Body, err, want)
		}
	}
	next("support: before")
	for _, body := range []string{"one", "two"} {
		converse(t, o.space, "support", body, "support: "+body)
		next(body)
		next("support: " + body)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("Ctrl+C: %v", err)
	}
	o.stop(t)
}

func TestOperatorLooksAfterDeadLetters(t *testing.T) {
	t.Parallel()
	o := operate(t)
	o.run(t, ExitOK, "no dead letters", "deadletters", "list")
	// Nobody serves sales, until the operator mends that.
	session := o.space.Session(t)
	for _, body := range []string{"one", "two", "three"} {
		if err := session.Deliver(relaytest.SMS{From: person, To: ourNumber, Context: "sales", Body: body}).Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	letters := jsonLines[api.Message](t, o.run(t, ExitOK, "", "deadletters", "list", "--json"))
	if len(letters) != 3 || letters[0].Body != "one" || letters[0].Fate != api.FateDead {
		t.Fatalf("dead letters: %+v", letters)
	}
	o.run(t, ExitOK, `"two"`, "deadletters", "list", "--context", "sales")
	o.run(t, ExitOK, "no reply: a dead letter since", "deadletters", "show", letters[0].ID)
	o.run(t, ExitUsage, "--all needs --context", "deadletters", "replay", "--all")
	o.run(t, ExitUsage, "takes an id", "deadletters", "replay")
	o.run(t, ExitFindings, "nothing under this id", "deadletters", "replay", "nothing")

	o.contextsOf(t, answering+"  sales: {handlers: [{reply: 'sales: {{.Body}}'}]}\n")
	o.run(t, ExitOK, "added: sales", "reload")
	o.run(t, ExitOK, "is let go", "deadletters", "drop", letters[1].ID)
	o.run(t, ExitFindings, "it is dropped", "deadletters", "drop", letters[1].ID)
	o.run(t, ExitOK, "is run again", "deadletters", "replay", letters[2].ID)
	expectText(t, o.space, "sales: three")
	o.run(t, ExitOK, "1 of 1 dead letters are run again", "deadletters", "replay", "--all", "--context", "sales")
	expectText(t, o.space, "sales: one")
	o.run(t, ExitOK, "there is no dead letter in context sales", "deadletters", "replay", "--all", "--context", "sales")
	o.run(t, ExitOK, "an operator let it go", "explain", letters[1].ID)
	o.stop(t)
}

func TestOperatorEndsDoubts(t *testing.T) {
	t.Parallel()
	o := operate(t)
	o.run(t, ExitOK, "nothing is in doubt", "doubts", "list")
	people := []string{"+12025550161", "+12025550162"}
	for _, p := range people {
		o.space.Carrier().On(p, relaytest.DropUnexecuted(), relaytest.Deliver())
		if _, err := o.space.Inject(relaytest.SMS{From: p, To: ourNumber, Context: "support", Body: "hello"}, relaytest.Target{}); err != nil {
			t.Fatal(err)
		}
		o.expect(`"msg":"send in doubt"`)
		o.expect(`"msg":"subscriptions changed"`) // the connection is back
	}
	var doubts []api.Message
	waitUntil(t, func() bool {
		_, out := command(t, o.dir, "doubts", "list", "--json")
		doubts = jsonLines[api.Message](t, out)
		return len(doubts) == 2
	})
	if doubts[0].Status != messaging.StatusInDoubt || doubts[0].Doubt == nil || doubts[0].Doubt.Then != "hold" {
		t.Errorf("a doubt: %+v", doubts[0])
	}
	out := o.run(t, ExitOK, "signpost doubts resolve "+doubts[0].ID+" --as accepted|resend|failed", "doubts", "list")
	if !strings.Contains(out, "in doubt since") || !strings.Contains(out, "never sent again by itself") {
		t.Errorf("the list does not say since when, or how it ends:\n%s", out)
	}
	o.run(t, ExitUsage, "accepted, resend or failed", "doubts", "resolve", doubts[0].ID)
	o.run(t, ExitUsage, "none of accepted", "doubts", "resolve", doubts[0].ID, "--as", "lost")
	o.run(t, ExitOK, "is not in doubt any more", "doubts", "resolve", doubts[0].ID, "--as", "failed")
	o.run(t, ExitFindings, "gone on", "doubts", "resolve", doubts[0].ID, "--as", "failed")
	o.run(t, ExitOK, "the operator says so", "explain", doubts[0].ID)
	o.run(t, ExitOK, `"result":"resend"`, "doubts", "resolve", doubts[1].ID, "--as", "resend", "--json")
	waitUntil(t, func() bool { return len(o.space.Handset(people[1]).Messages()) == 1 })
	if n := len(o.space.Handset(people[0]).Messages()); n != 0 {
		t.Errorf("the failed one arrived %d times", n)
	}
	o.run(t, ExitOK, "nothing is in doubt", "doubts", "list")
	o.stop(t)
}

func TestOperatorKeepsTheJournal(t *testing.T) {
	t.Parallel()
	o := operate(t)
	converse(t, o.space, "support", "a secret", "support: a secret")
	converse(t, o.space, "support", "next", "support: next")
	backup := filepath.Join(o.dir, "backup.db")
	o.run(t, ExitOK, "backed up to "+backup, "backup", "backup.db") // relative to where the command is
	o.run(t, ExitFindings, "the file exists", "backup", backup)
	o.run(t, ExitUnavailable, "daemon's user may write", "backup", filepath.Join(o.dir, "missing", "x.db"))
	o.run(t, ExitOK, "sound", "check", "--store="+backup)
	o.run(t, ExitOK, `"sound":true`, "check", "--store=sqlite:"+backup, "--json")
	o.run(t, ExitConfig, "signpost backup PATH", "check", "--store")

	o.run(t, ExitUsage, "add --yes", "consent", "forget", person)
	o.run(t, ExitUsage, "country code", "consent", "forget", "2025550147", "--yes")
	o.run(t, ExitOK, "As proof their ids, numbers, times and outcomes remain", "consent", "forget", "+1 202 555 0147", "--yes")
	if out := o.run(t, ExitOK, "(removed)", "messages"); strings.Contains(out, "secret") {
		t.Errorf("the text is still there:\n%s", out)
	}
	o.stop(t)
	o.run(t, ExitOK, "sound", "check", "--store")

	// A damaged file is found out, one that is none of ours or not there is no journal.
	damage(t, backup)
	o.run(t, ExitFindings, "damaged", "check", "--store="+backup)
	o.run(t, ExitConfig, "no such file", "check", "--store="+filepath.Join(o.dir, "nowhere.db"))
	o.run(t, ExitConfig, "not a file", "check", "--store="+o.dir)
	o.run(t, ExitConfig, "no file to examine", "check", "--store=memory:")
	o.run(t, ExitConfig, "only a journal of sqlite: or postgres:", "check", "--store=mysql://host/name")
}

// waitUntil asks until it is so.
func waitUntil(t *testing.T, so func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(patience)
	for !so() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatal("it never came to be so")
		}
	}
}

// damage overwrites the middle of a file.
func damage(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte(strings.Repeat("damage! ", int(st.Size()/16))), st.Size()/4); err != nil {
		t.Fatal(err)
	}
}
