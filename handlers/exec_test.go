//go:build unix

package handlers_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signpost-sms/signpost/handlers"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/messagingtest"
)

// shell runs a script for an event.
func shell(t *testing.T, script string, o handlers.ExecOptions, ev *messaging.Event) (*messagingtest.Recorder, error) {
	t.Helper()
	o.Command = []string{"/bin/sh", "-c", script}
	return messagingtest.Run(build(t, &o, handlers.Env{})(passed), ev)
}

func TestExecAnswers(t *testing.T) {
	t.Parallel()
	for script, want := range map[string][]string{
		`exit 0`:               nil,
		`echo`:                 nil,
		`echo '{"a": 1}'`:      nil,
		`echo '{"reply":"x"}'`: {"x"},
		`cat >/dev/null; echo '{"reply":"x","media":["https://example.com/a.png"]}'`:          {"x"},
		`read line; echo "{\"reply\": $line}" | sed 's/.*"body":\("[^"]*"\).*/{"reply":\1}/'`: {"HOURS"},
	} {
		rec, err := shell(t, script, handlers.ExecOptions{}, message("HOURS"))
		if diff := cmp.Diff(want, rec.Replies()); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", script, err, diff)
		}
	}
	rec, err := shell(t, `echo '{"reply":"x"}'`, handlers.ExecOptions{Continue: true}, message("HOURS"))
	if diff := cmp.Diff([]string{"x", "passed"}, rec.Replies()); diff != "" || err != nil {
		t.Errorf("continue: %v (-want +got):\n%s", err, diff)
	}
}

func TestExecInput(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "input")
	ev := message("HOURS")
	ev.SentAt = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	sent := state(messaging.StateInitiated)
	sent.SentAt = ev.SentAt
	for want, ev := range map[string]*messaging.Event{
		`{"message_id": "` + ev.ID + `", "from": "+12025550123", "to": "+12025550100", "body": "HOURS", "media": [], "timestamp": "2026-01-02T03:04:05Z", "context": "support"}`: ev,
		`{"message_id": "b7e7d4d0-3f6e-4f53-9c53-1f1a1ab0f000", "status": "sending", "timestamp": "2026-01-02T03:04:05Z", "context": "support"}`:                                 sent,
	} {
		rec, err := shell(t, `cat >"$FILE"; echo "$IDEMPOTENCY_KEY" >"$FILE.key"; echo '{"reply":"x"}'`, handlers.ExecOptions{Env: map[string]string{"FILE": file}}, ev)
		if err != nil || (ev.Kind == messaging.KindState) == (len(rec.Sends()) > 0) {
			t.Fatalf("got %d sends, %v: a message is answered, a state never", len(rec.Sends()), err)
		}
		got, _ := os.ReadFile(file)
		if diff := cmp.Diff(asJSON(t, want), asJSON(t, string(got))); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if key, _ := os.ReadFile(file + ".key"); strings.TrimSpace(string(key)) != ev.ID {
			t.Errorf("key: got %q, want %q", key, ev.ID)
		}
	}
}

func TestExecExitCodes(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]string{
		`exit 65`: "drop", `exit 75`: "later", `exit 1`: "again", `exit 70`: "again", `kill -9 $$`: "again",
		`echo secret text`: "drop", `echo '["x"]'`: "drop", `echo '{"reply": 5}'`: "drop", `echo '{"reply": "secret'`: "drop",
		`echo '{"reply": "x"}'; exit 1`:                             "again",
		`echo '{'; head -c 1000000 /dev/zero | tr '\0' x`:           "drop",
		`echo secret text >&2; exec 2>/dev/null; /nonexistent/file`: "again",
	} {
		rec, err := shell(t, strings.ReplaceAll(script, ">&2", ">/dev/null"), handlers.ExecOptions{}, message("secret"))
		if got := kindOf(err); got != want || len(rec.Sends()) > 0 {
			t.Errorf("%s: got %s with %d sends, want %s: %v", script, got, len(rec.Sends()), want, err)
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %q gives away what was printed", script, err)
		}
	}
	old := message("x")
	old.ReceivedAt = old.ReceivedAt.Add(-2 * time.Hour)
	if _, err := shell(t, `exit 75`, handlers.ExecOptions{}, old); kindOf(err) != "drop" {
		t.Errorf("75 after two hours: got %v, want a dead letter", err)
	}
	_, err := messagingtest.Run(handlers.Exec("/nonexistent/program")(passed), message("x"))
	if kindOf(err) != "again" || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no program: got %v, want it tried again", err)
	}
}

// A script's children die with it: a hanging one must not outlive its message.
func TestExecKillsTheWholeGroup(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "alive")
	began := time.Now()
	// The child would write the file after a second.
	_, err := shell(t, `(sleep 1; echo >"$FILE") & wait`, handlers.ExecOptions{Timeout: handlers.Duration(50 * time.Millisecond), Env: map[string]string{"FILE": file}}, message("x"))
	if kindOf(err) != "again" || !strings.Contains(err.Error(), "longer than 50ms") {
		t.Errorf("got %v, want a timeout", err)
	}
	if took := time.Since(began); took > 900*time.Millisecond {
		t.Errorf("took %v: the pipe of the child was waited for", took)
	}
	// And one that is left behind by a script that ended.
	if _, err := shell(t, `(sleep 1; echo >"$FILE") >/dev/null & exit 0`, handlers.ExecOptions{Env: map[string]string{"FILE": file}}, message("x")); err != nil {
		t.Error(err)
	}
	for time.Since(began) < 1500*time.Millisecond {
		if _, err := os.Stat(file); err == nil {
			t.Fatal("a child lives on")
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func TestExecSeesNoSecret(t *testing.T) {
	t.Setenv("SIGNALWIRE_API_TOKEN", "canary-token")
	t.Setenv("SIGNPOST_HTTP_TOKEN", "canary-token")
	t.Setenv("TZ", "UTC")
	rec, err := shell(t, `env | sed 's/=.*//' | sort | tr '\n' ' ' | sed 's/.*/{"reply":"&"}/'`, handlers.ExecOptions{Env: map[string]string{"OWN": "x"}}, message("x"))
	if err != nil || len(rec.Replies()) != 1 {
		t.Fatal(err)
	}
	names := rec.Replies()[0]
	if strings.Contains(names, "TOKEN") || !strings.Contains(names, "OWN") || !strings.Contains(names, "PATH") || !strings.Contains(names, "TZ") {
		t.Errorf("the program sees %s, want PATH, TZ and OWN and no token", names)
	}
}

func TestExecOptions(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]*handlers.ExecOptions{
		"command: there is none": {},
		"timeout: -1s":           {Command: []string{"x"}, Timeout: handlers.Duration(-time.Second)},
		"patience: -1s":          {Command: []string{"x"}, Patience: handlers.Duration(-time.Second)},
		`env: "a=b" is not`:      {Command: []string{"x"}, Env: map[string]string{"a=b": ""}},
	} {
		if _, err := o.Middleware(handlers.Env{}); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	var o handlers.ExecOptions
	if err := o.SetScalar("answer --sms"); err == nil || !strings.HasPrefix(err.Error(), "command: there is no shell") {
		t.Errorf("a command line: got %v", err)
	}
	if err := o.SetScalar("answer"); err != nil || len(o.Command) != 1 {
		t.Errorf("a program: got %v, %q", err, o.Command)
	}
}
