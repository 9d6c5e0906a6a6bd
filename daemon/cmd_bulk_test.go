package daemon

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/signpost-sms/signpost/daemon/api"
	"github.com/signpost-sms/signpost/relay/relaytest"
)

// bulkDaemon is a daemon with its journal in a file, and a folder with its configuration for
// the commands.
func bulkDaemon(t *testing.T, space *relaytest.Server) (dir string, start func() *process) {
	t.Helper()
	dir = t.TempDir()
	config := fmt.Sprintf(`brand: Acme
http: {listen: %q}
store: sqlite:journal.db
signalwire: {space: %q}
relay: {insecure: on}
sending: {limits: off, duplicates: {window: 0s}, in_doubt: {wait: 1s, settle: 1s}}
quiet_hours: {preset: custom, windows: "00:00-24:00"}
contexts: {support: {handlers: [reply: "hm"]}}
templates: {greet: {text: "Hi {{.name}}"}}
`, freeAddr(t), space.HTTPURL())
	path := filepath.Join(dir, "signpost.yaml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, func() *process {
		p := launch(t, space, "env", "SIGNPOST_STORE=sqlite:"+filepath.Join(dir, "journal.db"), "signpost", "run", "--config", path)
		p.expect(`"msg":"ready"`)
		return p
	}
}

func writeFile(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// texted counts the texts that went out, by number and body.
func texted(space *relaytest.Server) map[string]int {
	n := map[string]int{}
	for _, s := range space.Sends() {
		if s.Executed {
			n[s.To+" "+s.Body]++
		}
	}
	return n
}

func TestBulkForeseesAndSends(t *testing.T) {
	t.Parallel()
	space := socketSpace(t, func(c *relaytest.Config) { c.NoMagic = true })
	dir, start := bulkDaemon(t, space)
	p := start()
	writeFile(t, dir, "list.csv", "phone,name\n+12125550101,Ann\n+12125550102,Bo\n12,Cy\n+12125550104,\n")
	if code, out := command(t, dir, "consent", "stop", "+12125550102", "--note", "by mail", "--actor", "ann"); code != ExitOK {
		t.Fatalf("consent stop: exit code %d:\n%s", code, out)
	}
	flags := []string{"bulk", "list.csv", "--from", "+12125550100", "--body", "Acme: hi {{.name}}. Reply STOP to end."}

	code, out := command(t, dir, append(slices.Clone(flags), "--dry-run", "--price", "0.01")...)
	for _, want := range []string{
		"Acme: hi Ann. Reply STOP to end.", "4 rows, to 1 of which", "nothing is sent to 1: opted_out", "1 segment; 0.01 at 0.01", "Nothing was sent",
		"list.csv:4:1: ", "list.csv:5:1: ", "The last one leaves about",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("--dry-run lacks %q:\n%s", want, out)
		}
	}
	if code != ExitFindings {
		t.Errorf("--dry-run: exit code %d, want %d", code, ExitFindings)
	}
	if code, out := command(t, dir, flags...); code != ExitUsage || !strings.Contains(out, "--skip-bad") {
		t.Errorf("with bad rows: exit code %d:\n%s", code, out)
	}
	if code, out := command(t, dir, "bulk", "list.csv", "--from", "+12125550100", "--body", "Hi {{.nam}}", "--dry-run"); code != ExitUsage ||
		!strings.Contains(out, "uses {{.nam}}, and list.csv has no such column; its variables are: name") || strings.Contains(out, "list.csv:2") {
		t.Errorf("with a misspelt variable: exit code %d:\n%s", code, out)
	}
	if code, out := command(t, dir, "bulk", "list"); code != ExitOK || !strings.Contains(out, "no jobs") {
		t.Errorf("a dry run is among the jobs: exit code %d:\n%s", code, out)
	}
	if n := len(space.Sends()); n != 0 {
		t.Fatalf("%d texts went out before anything was to be sent", n)
	}

	code, out = command(t, dir, append(slices.Clone(flags), "--skip-bad", "--results", "sent.csv")...)
	if code != ExitFindings || !strings.Contains(out, "2 rows are taken") || !strings.Contains(out, "sent.csv") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	f, err := os.Open(filepath.Join(dir, "sent.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) != 5 {
		t.Fatalf("results %v, %v; want a head and four rows", rows, err)
	}
	if got := strings.Join(rows[0], ","); got != "phone,success,message_id,error,status,row" {
		t.Errorf("head %s", got)
	}
	ann, bo, cy := rows[1], rows[2], rows[3]
	if ann[0] != "+12125550101" || ann[1] != "true" || ann[2] == "" || ann[3] != "" || ann[4] != "delivered" {
		t.Errorf("Ann: %q", ann)
	}
	if bo[1] != "false" || bo[4] != "suppressed" || bo[3] == "" {
		t.Errorf("Bo, who opted out: %q", bo)
	}
	if cy[0] != "12" || cy[1] != "false" || !strings.HasPrefix(cy[3], "line 4: ") {
		t.Errorf("Cy, who has no number: %q", cy)
	}

	// Once more is the same job, which is done; another key is another.
	if code, out := command(t, dir, append(slices.Clone(flags), "--skip-bad")...); code != ExitFindings || !strings.Contains(out, "0 rows are taken, 2 were before") {
		t.Errorf("again: exit code %d:\n%s", code, out)
	}
	if got := texted(space); len(got) != 1 || got["+12125550101 Acme: hi Ann. Reply STOP to end."] != 1 {
		t.Errorf("texts: %v", got)
	}
	if code, out := command(t, dir, "bulk", "list.csv", "--from", "+12125550100", "--template", "greet", "--skip-bad", "--key", "second", "--wait", "--json"); code != ExitFindings || !strings.Contains(out, `"job":"second"`) {
		t.Errorf("by template: exit code %d:\n%s", code, out)
	}
	if got := texted(space); got["+12125550101 Acme: Hi Ann"] != 1 {
		t.Errorf("texts: %v", got)
	}
	p.signal(syscall.SIGTERM)
	_, _ = p.exit()
}

func TestBulkIsPausedResumedAndCancelled(t *testing.T) {
	t.Parallel()
	space := socketSpace(t, func(c *relaytest.Config) { c.NoMagic = true })
	dir, start := bulkDaemon(t, space)
	p := start()
	writeFile(t, dir, "list.csv", "phone\n+12125550101\n+12125550102\n")
	run := func(want string, args ...string) {
		t.Helper()
		if code, out := command(t, dir, append([]string{"bulk"}, args...)...); code != ExitOK || !strings.Contains(out, want) {
			t.Errorf("bulk %s: exit code %d, want %q:\n%s", strings.Join(args, " "), code, want, out)
		}
	}
	run("2 rows are taken", "list.csv", "--from", "+12125550100", "--body", "later", "--at", "1h", "--key", "j")
	run("j is paused", "pause", "j")
	run("is paused: 0 of 2", "status", "j")
	run("j goes on", "resume", "j")
	run("running", "list")
	run("j is cancelled", "cancel", "j")
	run("phone,success", "results", "j")
	run("2 of 2 rows have left or will not", "status", "j")
	if code, out := command(t, dir, "bulk", "resume", "j"); code != ExitFindings {
		t.Errorf("resume of a cancelled one: exit code %d:\n%s", code, out)
	}
	if code, out := command(t, dir, "bulk", "status", "nobody"); code != ExitFindings {
		t.Errorf("status of no job: exit code %d:\n%s", code, out)
	}
	if n := len(space.Sends()); n != 0 {
		t.Errorf("%d texts went out", n)
	}
	p.signal(syscall.SIGTERM)
	_, _ = p.exit()
}

// The command is killed while it posts, and then the daemon; each time the same command goes
// on. Everybody gets one text.
func TestBulkKilledAndResumedHasNoDoubleAndNoGap(t *testing.T) {
	t.Parallel()
	const people = 3000
	space := socketSpace(t, func(c *relaytest.Config) { c.NoMagic = true })
	dir, start := bulkDaemon(t, space)
	p := start()
	var list strings.Builder
	list.WriteString("phone,n\n")
	want := map[string]int{}
	for n := range people {
		number := fmt.Sprintf("+1212%07d", 2000000+n)
		fmt.Fprintf(&list, "%s,%d\n", number, n)
		want[fmt.Sprintf("%s text %d", number, n)] = 1
	}
	writeFile(t, dir, "list.csv", list.String())
	flags := []string{"bulk", "list.csv", "--from", "+12125550100", "--body", "text {{.n}}", "--key", "j"}
	url := "http://" + listenOf(t, dir) + "/v1/bulk/j"
	for round := range 2 {
		cmd := exec.CommandContext(t.Context(), "signpost", flags...)
		cmd.Dir = dir
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for until := time.Now().Add(patience); ; {
			if n := takenRows(url); n > int64(round)*people/3 || time.Now().After(until) {
				break
			}
			time.Sleep(time.Millisecond)
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if round == 1 {
			p.signal(syscall.SIGKILL)
			_, _ = p.exit()
			p = start()
		}
	}
	if code, out := command(t, dir, append(slices.Clone(flags), "--wait")...); code != ExitOK || !strings.Contains(out, "were before") {
		t.Errorf("the last run: exit code %d:\n%s", code, out)
	}
	// What was in doubt when the daemon was killed is settled by the platform's log.
	got := texted(space)
	for until := time.Now().Add(patience); len(got) < people && time.Now().Before(until); got = texted(space) {
		time.Sleep(100 * time.Millisecond)
	}
	missing, double := 0, 0
	for key := range want {
		switch got[key] {
		case 0:
			missing++
		case 1:
		default:
			double++
		}
	}
	if missing > 0 || double > 0 || len(got) != len(want) {
		t.Errorf("of %d people %d got nothing and %d more than one; %d different texts", people, missing, double, len(got))
	}
	p.signal(syscall.SIGTERM)
	_, _ = p.exit()
}

func listenOf(t *testing.T, dir string) string {
	t.Helper()
	cfg, err := whereToAsk(Source{Path: filepath.Join(dir, "signpost.yaml"), NoCredentials: true})
	if err != nil {
		t.Fatal(err)
	}
	return cfg.Listen
}

// takenRows is how many rows of a job the daemon has taken; 0 if it does not say.
func takenRows(url string) int64 {
	resp, err := http.Get(url)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	var r api.JobReport
	_ = json.NewDecoder(resp.Body).Decode(&r)
	return r.Rows
}
