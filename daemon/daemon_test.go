package daemon

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signpost-sms/signpost/contexts"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/memory"
	"github.com/signpost-sms/signpost/relay/relaytest"
)

// The people and numbers of the tests.
const (
	person    = "+12025550147"
	ourNumber = "+12025550100"
)

// running is a daemon on an in-memory space.
type running struct {
	*Daemon
	t     *testing.T
	space *relaytest.Server
	log   *logBuffer
	stop  context.CancelFunc
	ended chan error
}

// logBuffer collects what is logged, from any goroutine.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// simConfig is the configuration of a daemon on a simulated space, without contexts.
func simConfig(relayURL string) Config {
	cfg := DefaultConfig()
	cfg.Relay = RelayConfig{URL: relayURL, Insecure: true}
	cfg.SignalWire = SignalWireConfig{Project: simProject, Token: simToken}
	cfg.HTTP = HTTPConfig{}
	cfg.Store = "memory:"
	return cfg
}

// newSpace starts a simulated space without sockets.
func newSpace(t *testing.T, edit ...relaytest.Option) *relaytest.Server {
	t.Helper()
	return relaytest.NewServer(t, append([]relaytest.Option{relaytest.InMemory}, edit...)...)
}

// startDaemon runs a daemon on the space; the test stops it, or its end does.
func startDaemon(t *testing.T, space *relaytest.Server, setup func(*contexts.Router), opts ...Option) *running {
	t.Helper()
	return startConfigured(t, simConfig(space.URL()), space, setup, opts...)
}

// startConfigured is startDaemon with a configuration that is not the usual one.
func startConfigured(t *testing.T, cfg Config, space *relaytest.Server, setup func(*contexts.Router), opts ...Option) *running {
	t.Helper()
	r := &running{t: t, space: space, log: &logBuffer{}, ended: make(chan error, 1)}
	d, err := New(cfg, setup, append([]Option{
		WithLogger(slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))),
		WithDial(space.DialContext),
		withStore(memory.New(memory.Config{})),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	r.Daemon = d
	var ctx context.Context
	ctx, r.stop = context.WithCancel(context.Background())
	go func() { r.ended <- d.Run(ctx) }()
	t.Cleanup(r.stop)
	return r
}

// waitReady waits until the session is subscribed.
func (r *running) waitReady() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	if err := r.client.Ready(ctx); err != nil {
		r.t.Fatalf("not ready: %v\n%s", err, r.log)
	}
}

// text texts a context and waits until the daemon has acknowledged it.
func (r *running) text(context, body string) {
	r.t.Helper()
	in, err := r.space.Inject(relaytest.SMS{From: person, To: ourNumber, Context: context, Body: body}, relaytest.Target{})
	if err != nil {
		r.t.Fatal(err)
	}
	if err := in.Wait(r.t.Context()); err != nil {
		r.t.Fatalf("%q was not acknowledged: %v\n%s", body, err, r.log)
	}
}

// expectReply waits for a text on the person's telephone.
func (r *running) expectReply(want string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	for seq := uint64(0); ; {
		got, err := r.space.Handset(person).Next(ctx, seq)
		if err != nil {
			r.t.Fatalf("no reply %q: %v\n%s", want, err, r.log)
		}
		if got.Body == want {
			return
		}
		seq = got.Seq
	}
}

// replies are the texts on the person's telephone.
func (r *running) replies() []string {
	var bodies []string
	for _, m := range r.space.Handset(person).Messages() {
		bodies = append(bodies, m.Body)
	}
	return bodies
}

// subscribedTo is what the platform holds the only session subscribed to, sorted.
func subscribedTo(space *relaytest.Server) []string {
	return slices.Sorted(slices.Values(space.Sessions()[0].Contexts()))
}

// replying is a handler that answers with the prefix and the body.
func replying(prefix string) messaging.Handler {
	return messaging.HandlerFunc(func(_ context.Context, w messaging.Responder, ev *messaging.Event) error {
		w.Reply(prefix + ev.Body)
		return nil
	})
}

// serving is a setup with a replying handler on each context.
func serving(names ...string) func(*contexts.Router) {
	return func(r *contexts.Router) {
		for _, n := range names {
			r.Context(n, func(r *contexts.Router) { r.OnMessage(replying(n + ": ")) })
		}
	}
}

func TestDaemonAnswersAndStopsWithNothingLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := startDaemon(t, newSpace(t), serving("support", "sales"))
		r.waitReady()
		r.text("support", "hello")
		r.text("sales", "price?")
		r.expectReply("support: hello")
		r.expectReply("sales: price?")
		r.stop()
		if err := <-r.ended; err != nil {
			t.Errorf("Run: %v\n%s", err, r.log)
		}
		if got := ExitCode(nil); got != 0 {
			t.Errorf("exit code %d, want 0", got)
		}
	})
}

func TestStopLeavesFirstAndFinishesWhatWasTaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := make(chan struct{})
		slow := messaging.HandlerFunc(func(_ context.Context, w messaging.Responder, ev *messaging.Event) error {
			close(began)
			time.Sleep(3 * time.Second)
			w.Reply("late: " + ev.Body)
			return nil
		})
		space := newSpace(t)
		r := startDaemon(t, space, func(r *contexts.Router) {
			r.Context("support", func(r *contexts.Router) { r.OnMessage(slow) })
		})
		r.waitReady()
		r.text("support", "hello")
		<-began
		r.stop()
		synctest.Wait()
		if got := subscribedTo(space); len(got) != 0 {
			t.Errorf("contexts while draining: got %v, want none: new messages must go elsewhere", got)
		}
		if !strings.Contains(newHealth(r.readiness()).plain(), "FAIL draining") {
			t.Errorf("readiness does not say that it is draining:\n%s", newHealth(r.readiness()).plain())
		}
		if err := <-r.ended; err != nil {
			t.Errorf("Run: %v\n%s", err, r.log)
		}
		if got := r.replies(); !slices.Contains(got, "late: hello") {
			t.Errorf("replies: got %q, want the one that was being made at the stop", got)
		}
		conns := space.Connections()
		if n := len(conns); n != 1 || conns[0].CloseCode == 0 {
			t.Errorf("connections: got %+v, want one, closed with a close frame", conns)
		}
	})
}

func TestStopDoesNotWaitForAHandlerForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began, release := make(chan struct{}), make(chan struct{})
		r := startDaemon(t, newSpace(t), func(r *contexts.Router) {
			r.Context("support", func(r *contexts.Router) {
				r.OnMessage(messaging.HandlerFunc(func(context.Context, messaging.Responder, *messaging.Event) error {
					close(began)
					<-release
					return nil
				}))
			})
		})
		r.waitReady()
		r.text("support", "hello")
		<-began
		stopped := time.Now()
		r.stop()
		err := <-r.ended
		if got := ExitCode(err); got != ExitDrain {
			t.Errorf("exit code %d (%v), want %d", got, err, ExitDrain)
		}
		if err == nil || !strings.Contains(err.Error(), "stop engine") || !strings.Contains(r.log.String(), "step=engine") {
			t.Errorf("Run: got %v, want the engine named as what is stuck\n%s", err, r.log)
		}
		if took := time.Since(stopped); took > 25*time.Second {
			t.Errorf("the stop took %v, want at most the budget of 25s", took)
		}
		close(release)
	})
}

func TestRejectedCredentialsEndTheDaemon_R20(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		space := newSpace(t, func(c *relaytest.Config) { c.Credentials = map[string]string{"somebody": "else"} })
		r := startDaemon(t, space, serving("support"))
		err := <-r.ended
		if got := ExitCode(err); got != ExitCredentials {
			t.Errorf("exit code %d (%v), want %d", got, err, ExitCredentials)
		}
		for _, want := range []string{"-32002", "check the project id and the API token"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v lacks %q", err, want)
			}
		}
		if err != nil && strings.Contains(err.Error(), simToken) {
			t.Errorf("error holds the token: %v", err)
		}
	})
}

func TestRunTwiceIsAnError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := startDaemon(t, newSpace(t), serving("support"))
		r.waitReady()
		if err := r.Run(t.Context()); err == nil {
			t.Error("the second Run returned nil")
		}
		r.stop()
		if err := <-r.ended; err != nil {
			t.Errorf("first Run: %v", err)
		}
	})
}

func TestNewClosesWhatItOpenedWhenItFails(t *testing.T) {
	t.Parallel()
	store := &closing{Store: memory.New(memory.Config{})}
	cfg := DefaultConfig() // no credentials: the session cannot be configured
	_, err := New(cfg, serving("support"), WithLogger(slog.New(slog.NewTextHandler(io.Discard, nil))), withStore(store))
	if got := ExitCode(err); got != ExitConfig {
		t.Errorf("exit code %d (%v), want %d", got, err, ExitConfig)
	}
	if !store.closed {
		t.Error("the store stayed open")
	}
}

type closing struct {
	messaging.Store
	closed bool
}

func (c *closing) Close() error { c.closed = true; return c.Store.Close() }

func TestWrongWiringIsASentenceAndNoPanic(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	_, err := New(cfg, func(r *contexts.Router) {
		serving("support")(r)
		serving("support")(r)
	}, WithLogger(slog.New(slog.NewTextHandler(io.Discard, nil))))
	if ExitCode(err) != ExitConfig || !strings.Contains(err.Error(), `context "support" is registered twice`) {
		t.Errorf("New: got %v, want the router's sentence with exit code %d", err, ExitConfig)
	}
}
