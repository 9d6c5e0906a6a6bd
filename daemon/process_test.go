package daemon

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/signpost-sms/signpost/relay/relaytest"
)

// patience bounds every wait of these tests, for machines that are busy with others.
const patience = 30 * time.Second

// process is one of our commands, running by itself.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines chan string // of standard error, and of standard output if asked for
	seen  []string
}

// launch starts a command of TestMain with a configuration file and the space as platform.
func launch(t *testing.T, space *relaytest.Server, name string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.CommandContext(t.Context(), name, args...), lines: make(chan string, 10_000)}
	p.cmd.Dir = t.TempDir()
	p.cmd.Env = append(os.Environ(), "SIGNPOST_STORE=memory:", "SIGNALWIRE_PROJECT_ID="+simProject, "SIGNALWIRE_API_TOKEN="+simToken)
	if space != nil {
		p.cmd.Env = append(p.cmd.Env, "SIGNPOST_RELAY_URL="+space.URL())
	}
	out, err := p.cmd.StderrPipe()
	if name == "signpost" && len(args) > 0 && args[0] == "sim" {
		out, err = p.cmd.StdoutPipe()
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.lines)
		for sc := bufio.NewScanner(out); sc.Scan(); {
			p.lines <- sc.Text()
		}
	}()
	return p
}

// expect waits for a line with the text.
func (p *process) expect(text string) string {
	p.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				p.t.Fatalf("the process ended without a line with %q:\n%s", text, strings.Join(p.seen, "\n"))
			}
			p.seen = append(p.seen, line)
			if strings.Contains(line, text) {
				return line
			}
		case <-timeout:
			p.t.Fatalf("no line with %q:\n%s", text, strings.Join(p.seen, "\n"))
		}
	}
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// exit waits for the end of the process and gives its code and everything it said.
func (p *process) exit() (code int, said string) {
	p.t.Helper()
	for line := range p.lines {
		p.seen = append(p.seen, line)
	}
	err := p.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	return p.cmd.ProcessState.ExitCode(), strings.Join(p.seen, "\n")
}

// command runs a command to its end.
func command(t *testing.T, dir string, args ...string) (code int, out string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "signpost", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "SIGNALWIRE_PROJECT_ID="+simProject, "SIGNALWIRE_API_TOKEN="+simToken)
	b, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(b)
}

// socketSpace is a space that other processes can reach.
func socketSpace(t *testing.T, edit ...relaytest.Option) *relaytest.Server {
	t.Helper()
	return relaytest.NewServer(t, edit...)
}

// configFile writes a configuration whose contexts answer with their names.
func configFile(t *testing.T, path, listen string, names ...string) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "store: 'memory:'\nhttp: {listen: %q}\ncontexts:\n", listen)
	for _, n := range names {
		fmt.Fprintf(&b, "  %s:\n    handlers:\n      - reply: '%s: {{.Body}}'\n", n, n)
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

// freeAddr is an address that was free a moment ago.
func freeAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// converse texts a context and waits for the answer.
func converse(t *testing.T, space *relaytest.Server, label, body, want string) {
	t.Helper()
	if _, err := space.Inject(relaytest.SMS{From: person, To: ourNumber, Context: label, Body: body}, relaytest.Target{}); err != nil {
		t.Fatal(err)
	}
	expectText(t, space, want)
}

// expectText waits for a text on the person's telephone.
func expectText(t *testing.T, space *relaytest.Server, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for seq := uint64(0); ; {
		got, err := space.Handset(person).Next(ctx, seq)
		if err != nil {
			t.Fatalf("no answer %q: %v", want, err)
		}
		if got.Body == want {
			return
		}
		seq = got.Seq
	}
}

func TestProcessServesAndStopsOnSIGTERM(t *testing.T) {
	t.Parallel()
	space := socketSpace(t)
	path := filepath.Join(t.TempDir(), "signpost.yaml")
	configFile(t, path, "", "support")
	p := launch(t, space, "signpost", "run", "--config", path)
	p.expect(`"msg":"ready"`)
	converse(t, space, "support", "hello", "support: hello")
	p.signal(syscall.SIGTERM)
	code, said := p.exit()
	if code != ExitOK || !strings.Contains(said, "nothing was left") {
		t.Errorf("exit code %d, want 0:\n%s", code, said)
	}
	left := false
	for _, f := range space.Frames() {
		left = left || f.Method == "signalwire.unreceive"
	}
	if conns := space.Connections(); !left || len(conns) != 1 || conns[0].CloseCode == 0 {
		t.Errorf("the platform saw an unreceive: %v, and connections %+v; want a leave and a close frame", left, conns)
	}
	if !strings.Contains(said, "everything is lost when the process ends") {
		t.Errorf("the memory store was not warned of:\n%s", said)
	}
}

func TestProcessEndsAtOnceOnTheSecondSignal(t *testing.T) {
	t.Parallel()
	space := socketSpace(t)
	p := launch(t, space, "stuckbot", "run")
	p.expect(`"msg":"ready"`)
	if _, err := space.Inject(relaytest.SMS{From: person, To: ourNumber, Context: "support", Body: "hello"}, relaytest.Target{}); err != nil {
		t.Fatal(err)
	}
	p.expect("stuck now")
	p.signal(syscall.SIGTERM)
	p.expect(`"msg":"stopping"`)
	p.signal(syscall.SIGTERM) // the echo of the first
	ended := make(chan struct{})
	var asking sync.WaitGroup
	asking.Go(func() { // a person who presses Ctrl+C until it works
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_ = p.cmd.Process.Signal(syscall.SIGINT) // it may have ended meanwhile
			case <-ended:
				return
			}
		}
	})
	code, said := p.exit()
	close(ended)
	asking.Wait()
	if code != ExitDrain || !strings.Contains(said, "second signal") || strings.Contains(said, "is stuck") {
		t.Errorf("exit code %d, want %d at once:\n%s", code, ExitDrain, said)
	}
}

func TestProcessReloadsOnCommandAndOnSIGHUP(t *testing.T) {
	t.Parallel()
	space := socketSpace(t)
	dir := t.TempDir()
	path, listen := filepath.Join(dir, "signpost.yaml"), freeAddr(t)
	configFile(t, path, listen, "support")
	p := launch(t, space, "signpost", "run", "--config", path)
	p.expect(`"msg":"ready"`)

	if code, out := command(t, dir, "health"); code != ExitOK || !strings.Contains(out, "ok   subscribed") {
		t.Errorf("health: exit code %d:\n%s", code, out)
	}
	if code, out := command(t, dir, "health", "--live", "--json"); code != ExitOK || !strings.HasPrefix(out, `{"ok":true`) {
		t.Errorf("health --live --json: exit code %d:\n%s", code, out)
	}

	configFile(t, path, listen, "support", "sales")
	if code, out := command(t, dir, "reload"); code != ExitOK || !strings.Contains(out, "added: sales") {
		t.Errorf("reload: exit code %d:\n%s", code, out)
	}
	converse(t, space, "sales", "price?", "sales: price?")

	if err := os.WriteFile(path, []byte("http: {listen: '"+listen+"'}\nnonsense: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGHUP)
	if line := p.expect("reload failed"); !strings.Contains(line, "signpost.yaml:2:1") {
		t.Errorf("the log does not say where the mistake is: %s", line)
	}
	converse(t, space, "sales", "still?", "sales: still?")

	configFile(t, path, listen, "sales")
	p.signal(syscall.SIGHUP)
	p.expect(`"msg":"configuration reloaded"`)
	if code, out := command(t, dir, "reload", "--json"); code != ExitOK || !strings.Contains(out, `"kept":["sales"]`) {
		t.Errorf("reload --json: exit code %d:\n%s", code, out)
	}
	if n := space.Stats().Opened; n != 1 {
		t.Errorf("%d connections, want one for all of it", n)
	}
	p.signal(syscall.SIGTERM)
	if code, said := p.exit(); code != ExitOK {
		t.Errorf("exit code %d, want 0:\n%s", code, said)
	}
}

func TestReloadCommandReportsFindings(t *testing.T) {
	t.Parallel()
	space := socketSpace(t)
	dir := t.TempDir()
	path, listen := filepath.Join(dir, "signpost.yaml"), freeAddr(t)
	configFile(t, path, listen, "support")
	p := launch(t, space, "signpost", "run", "--config", path)
	p.expect(`"msg":"ready"`)
	// The file breaks, in the values and then as YAML: the command finds the daemon all the
	// same, and it is the daemon that says what is wrong.
	for broken, where := range map[string]string{
		"http: {listen: '" + listen + "'}\nnonsense: 1\n":                  "signpost.yaml:2:1",
		"brand: 'x\n'y\nhttp:\n  listen: " + listen + "\nlog: {level: [\n": "signpost.yaml:",
	} {
		if err := os.WriteFile(path, []byte(broken), 0o600); err != nil {
			t.Fatal(err)
		}
		code, out := command(t, dir, "reload")
		if code != ExitConfig || !strings.Contains(out, where) || !strings.Contains(out, "reload: ") {
			t.Errorf("reload of %q: exit code %d, want %d and %q from the daemon:\n%s", broken, code, ExitConfig, where, out)
		}
		p.expect("reload failed")
		if code, out := command(t, dir, "health"); code != ExitOK || !strings.Contains(out, "ok   subscribed") {
			t.Errorf("health beside %q: exit code %d:\n%s", broken, code, out)
		}
	}
	resp, err := http.Get("http://" + listen + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	metrics, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(metrics), "signpost_config_last_reload_successful 0") {
		t.Errorf("the metrics do not tell of the broken file: %v", err)
	}
	p.signal(syscall.SIGTERM)
	if code, said := p.exit(); code != ExitOK {
		t.Errorf("exit code %d, want 0:\n%s", code, said)
	}
}

func TestProcessExitsOnRejectedCredentials_R20(t *testing.T) {
	t.Parallel()
	space := socketSpace(t, func(c *relaytest.Config) { c.Credentials = map[string]string{"somebody": "else"} })
	path := filepath.Join(t.TempDir(), "signpost.yaml")
	configFile(t, path, "", "support")
	p := launch(t, space, "signpost", "run", "--config", path)
	code, said := p.exit()
	last := said[strings.LastIndex(said, "\n")+1:]
	if code != ExitCredentials || !strings.Contains(last, "-32002") || !strings.Contains(last, "check the project id") {
		t.Errorf("exit code %d, want %d, and the platform's words with the mend in the last line:\n%s", code, ExitCredentials, said)
	}
	if strings.Contains(said, simToken) {
		t.Errorf("the token was printed:\n%s", said)
	}
}

func TestProcessSaysThatThePortIsTaken(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	path := filepath.Join(t.TempDir(), "signpost.yaml")
	configFile(t, path, ln.Addr().String(), "support")
	code, said := launch(t, socketSpace(t), "signpost", "run", "--config", path).exit()
	if code != ExitUnavailable || !strings.Contains(said, "http.listen") {
		t.Errorf("exit code %d, want %d and the key to change:\n%s", code, ExitUnavailable, said)
	}
}

func TestSimServesADaemon(t *testing.T) {
	t.Parallel()
	sim := launch(t, nil, "signpost", "sim", "--json", "--ca-file", filepath.Join(t.TempDir(), "ca.pem"))
	var where simulated
	if err := json.Unmarshal([]byte(sim.expect("relay")), &where); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "signpost.yaml")
	configFile(t, path, "", "support")
	// Over TLS, with the authority that the simulator wrote.
	p := launch(t, nil, "env", "SIGNPOST_RELAY_URL="+where.TLS, "SIGNPOST_RELAY_CA_FILE="+where.CAFile, "signpost", "run", "--config", path)
	p.expect(`"msg":"ready"`)
	p.signal(syscall.SIGTERM)
	if code, said := p.exit(); code != ExitOK {
		t.Errorf("daemon: exit code %d:\n%s", code, said)
	}
	sim.signal(syscall.SIGTERM)
	if code, said := sim.exit(); code != ExitOK {
		t.Errorf("simulator: exit code %d:\n%s", code, said)
	}
	for _, want := range []string{where.Relay, where.Project, "JavaScript", "support"} {
		if !strings.Contains(where.String(), want) {
			t.Errorf("what a person reads lacks %q:\n%s", want, where)
		}
	}
}
