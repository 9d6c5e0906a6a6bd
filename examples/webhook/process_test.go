package webhook

import (
	"bufio"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signpost-sms/signpost/daemon"
	"github.com/signpost-sms/signpost/relay/relaytest"
)

// patience bounds every wait, for machines that are busy with others.
const patience = 60 * time.Second

// asDaemon makes the test binary a daemon.
const asDaemon = "WEBHOOK_DAEMON"

func TestMain(m *testing.M) {
	if os.Getenv(asDaemon) != "" {
		os.Exit(daemon.Main(nil))
	}
	os.Exit(m.Run())
}

// process is a program that is started as often as needed.
type process struct {
	t    *testing.T
	name string
	args []string
	env  []string

	cmd   *exec.Cmd
	ended chan struct{}

	mu    sync.Mutex
	said  []string
	fresh chan struct{} // closed and replaced at each line
}

func (p *process) start() {
	p.t.Helper()
	p.cmd = exec.Command(p.name, p.args...)
	p.cmd.Env = append(os.Environ(), p.env...)
	r, w, err := os.Pipe()
	if err != nil {
		p.t.Fatal(err)
	}
	p.cmd.Stdout, p.cmd.Stderr = w, w
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	_ = w.Close()
	cmd, ended := p.cmd, make(chan struct{})
	p.ended = ended
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(r); lines.Scan(); {
			p.mu.Lock()
			p.said = append(p.said, lines.Text())
			if p.fresh != nil {
				close(p.fresh)
			}
			p.fresh = make(chan struct{})
			p.mu.Unlock()
		}
		_ = cmd.Wait() // it is killed in the end
		_ = r.Close()
	}()
}

// kill ends it as a power cut would.
func (p *process) kill() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.ended
}

// line waits for a line with a text.
func (p *process) line(text string) string {
	p.t.Helper()
	for timeout := time.After(patience); ; {
		p.mu.Lock()
		if p.fresh == nil {
			p.fresh = make(chan struct{})
		}
		fresh := p.fresh
		for _, line := range p.said {
			if strings.Contains(line, text) {
				p.mu.Unlock()
				return line
			}
		}
		p.mu.Unlock()
		select {
		case <-fresh:
		case <-timeout:
			p.t.Fatalf("%s did not say %q:\n%s", filepath.Base(p.name), text, p.tail())
		}
	}
}

func (p *process) tail() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.said[max(0, len(p.said)-40):], "\n")
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

// variant is a webhook handler and the libraries that it runs with.
type variant struct {
	program string // python3 or node
	script  string
	probe   []string // arguments that succeed if the libraries are installed
	standin bool
}

var variants = map[string]variant{
	"flask":               {"python3", "flask/app.py", []string{"-c", "import flask, requests"}, false},
	"flask, its stand-in": {"python3", "flask/app.py", nil, true},
	"express":             {"node", "express/app.js", []string{"-e", `require("express"); require("axios")`}, false},
	"express, a stand-in": {"node", "express/app.js", nil, true},
}

// stage is a space, a daemon and a webhook handler.
type stage struct {
	space  *relaytest.Server
	daemon *process
	app    *process
	port   string
}

func newStage(t *testing.T, v variant, options ...relaytest.Option) *stage {
	t.Helper()
	program, err := exec.LookPath(v.program)
	if err != nil {
		t.Skipf("there is no %s here", v.program)
	}
	if v.probe != nil {
		if err := exec.Command(program, v.probe...).Run(); err != nil {
			t.Skip("the libraries are not installed here; their stand-ins are tested")
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{space: relaytest.NewServer(t, options...)}
	listen := freeAddr(t)
	_, s.port, _ = net.SplitHostPort(freeAddr(t))
	s.daemon = &process{t: t, name: self, args: []string{"run", "--config", "signpost.yaml"}, env: []string{
		asDaemon + "=1", "SIGNALWIRE_PROJECT_ID=p", "SIGNALWIRE_API_TOKEN=PTcanary", "SIGNPOST_HTTP_LISTEN=" + listen,
		"SIGNPOST_RELAY_URL=" + s.space.URL(), "SIGNPOST_SIGNALWIRE_SPACE=" + s.space.HTTPURL(), "APP_PORT=" + s.port,
		"SIGNPOST_STORE=sqlite:" + filepath.Join(t.TempDir(), "signpost.db"),
		"SIGNPOST_SENDING_LIMITS=off", "SIGNPOST_SENDING_IN_DOUBT_WAIT=2s", "SIGNPOST_SENDING_IN_DOUBT_SETTLE=2s",
	}}
	s.app = &process{t: t, name: program, args: []string{v.script}, env: []string{
		"PORT=" + s.port, "SIGNALWIRE_PROJECT_ID=p", "SIGNALWIRE_API_TOKEN=PTcanary", "SIGNALWIRE_SPACE_URL=http://" + listen,
	}}
	if v.standin {
		dir, err := filepath.Abs("standin")
		if err != nil {
			t.Fatal(err)
		}
		s.app.env = append(s.app.env, "PYTHONPATH="+dir, "PYTHONDONTWRITEBYTECODE=1", "NODE_PATH="+dir)
	}
	t.Cleanup(func() {
		s.app.kill()
		s.daemon.kill()
		if t.Failed() {
			t.Logf("the webhook handler said:\n%s\n\nthe daemon said:\n%s", s.app.tail(), s.daemon.tail())
		}
	})
	s.app.start()
	s.daemon.start()
	s.ready(t)
	return s
}

// ready waits until the daemon listens and the handler is there.
func (s *stage) ready(t *testing.T) {
	t.Helper()
	ctx, enough := context.WithTimeout(t.Context(), patience)
	defer enough()
	if _, err := s.space.WaitSessionFunc(ctx, func(sess *relaytest.Session) bool { return len(sess.Contexts()) > 0 }); err != nil {
		t.Fatalf("the daemon does not subscribe: %v", err)
	}
	for {
		c, err := net.Dial("tcp", "127.0.0.1:"+s.port)
		if err == nil {
			_ = c.Close()
			return
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("the webhook handler does not listen: %v", err)
		}
	}
}
