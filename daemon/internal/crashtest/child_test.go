package crashtest

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/signpost-sms/signpost/relay/relaytest"
)

// patience bounds every wait for a daemon, for machines that are busy with others.
const patience = 60 * time.Second

// setting is how a daemon is configured.
type setting struct {
	role  string
	log   bool          // it may read the platform's message log
	then  string        // what ends a doubt that nothing settled: hold or resend
	wait  time.Duration // before a doubt is looked into; its absence from the log counts at once
	store string
}

// yaml writes the configuration.
func (s setting) yaml(space *relaytest.Server) string {
	var b strings.Builder
	b.WriteString("signalwire: {project: crash, token: crash")
	if s.log {
		fmt.Fprintf(&b, ", space: %q", space.HTTPURL())
	}
	fmt.Fprintf(&b, "}\nrelay: {url: %q}\nstore: %q\n", space.URL(), s.store)
	b.WriteString("http: {listen: \"\"}\nlog: {format: text}\n")
	release := s.wait
	if s.log { // what the log settles is not to be overtaken meanwhile
		release = patience
	}
	fmt.Fprintf(&b, "sending: {limits: off, in_doubt: {wait: %v, settle: %v, release: %v, then: %s}}\n", s.wait, s.wait, release, s.then)
	if s.role == roleConfigured {
		b.WriteString("contexts:\n")
		for _, l := range lines {
			fmt.Fprintf(&b, "  %s: {handlers: [reply: %q]}\n", l.context, saying+"{{.Body}}")
		}
	}
	return b.String()
}

// child is one daemon in a process of its own, started as often as needed.
type child struct {
	t     *testing.T
	space *relaytest.Server
	role  string
	path  string // of the configuration
	log   *os.File
	cmd   *exec.Cmd
	stdin io.Closer
	ended chan struct{} // closed when the process has ended
}

// newChild writes the configuration of the nth daemon; start runs it.
func newChild(t *testing.T, space *relaytest.Server, s setting, n int) *child {
	t.Helper()
	dir := filepath.Join(t.ArtifactDir(), fmt.Sprintf("daemon-%d", n))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, space: space, role: s.role, path: filepath.Join(dir, "signpost.yaml")}
	if err := os.WriteFile(c.path, []byte(s.yaml(space)), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if c.log, err = os.Create(filepath.Join(dir, "daemon.log")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if c.cmd != nil && c.cmd.Process != nil {
			_ = c.cmd.Process.Kill() // it may have ended
			<-c.ended
		}
		if t.Failed() {
			t.Logf("the end of what the daemon said:\n%s", c.said())
		}
		_ = c.log.Close()
	})
	return c
}

// newFleet starts as many daemons as the flag says, on one journal.
func newFleet(t *testing.T, space *relaytest.Server, s setting) []*child {
	t.Helper()
	fleet := make([]*child, *daemons)
	for i := range fleet {
		fleet[i] = newChild(t, space, s, i)
		fleet[i].start()
	}
	return fleet
}

// said is the last part of the log.
func (c *child) said() string {
	b, err := os.ReadFile(c.log.Name())
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-8<<10):])
}

// start runs the daemon. It returns before the daemon is ready.
func (c *child) start() {
	c.t.Helper()
	self, err := os.Executable()
	if err != nil {
		c.t.Fatal(err)
	}
	c.cmd = exec.Command(self, "run", "--config", c.path)
	c.cmd.Env = append(os.Environ(), roleVar+"="+c.role)
	c.cmd.Stdout, c.cmd.Stderr = c.log, c.log
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		c.t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	cmd, ended := c.cmd, make(chan struct{})
	c.ended = ended
	go func() {
		_ = cmd.Wait() // ProcessState tells how it ended
		close(ended)
	}()
}

// kill ends the process as a power cut would, and it must not have ended before.
func (c *child) kill() {
	c.t.Helper()
	_ = c.cmd.Process.Kill() // an error means that it has ended, which the state tells
	<-c.ended
	if st, ok := c.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || st.Signal() != syscall.SIGKILL {
		c.t.Fatalf("the daemon ended by itself: %v", c.cmd.ProcessState)
	}
}

// stop asks the process to end in order, waits, and wants exit code 0.
func (c *child) stop() {
	c.t.Helper()
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		c.t.Fatalf("stop the daemon: %v", err)
	}
	select {
	case <-c.ended:
	case <-time.After(patience):
		c.t.Fatal("the daemon does not stop")
	}
	if code := c.cmd.ProcessState.ExitCode(); code != 0 {
		c.t.Errorf("the daemon stopped with exit code %d, want 0", code)
	}
}

// runFor lets the process run for a while, and not end.
func (c *child) runFor(d time.Duration) {
	c.t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.ended:
		c.t.Fatalf("the daemon ended by itself: %v", c.cmd.ProcessState)
	}
}

// untilFrame waits until the platform has had a new ack or send of any daemon, at most so
// long.
func (c *child) untilFrame(most time.Duration) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), most)
	defer cancel()
	_, err := c.space.WaitFrameAfter(ctx, c.space.LastSeq(), func(f relaytest.Frame) bool {
		return f.Dir == relaytest.FromClient && (f.Method == "" || f.Method == "messaging.send")
	})
	if err != nil && most >= patience {
		c.t.Fatalf("the daemon does nothing: %v", err)
	}
}

// ready waits until a daemon has subscribed.
func ready(t *testing.T, space *relaytest.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := space.WaitSession(ctx); err != nil {
		t.Fatal(err)
	}
}
