package relay_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/signpost-sms/signpost/relay"
	"github.com/signpost-sms/signpost/relay/relaytest"
)

// These tests run the client against the simulated space, which is strict: it
// fails the test when the client breaks the protocol, repeats an id, leaves a
// socket open or overlaps two.

// acker acknowledges everything at once and counts.
type acker struct {
	events atomic.Int64
	got    chan *relay.Event
}

func (a *acker) HandleEvent(ev *relay.Event) {
	_ = ev.Ack()
	a.events.Add(1)
	if a.got != nil {
		select {
		case a.got <- ev:
		default:
		}
	}
}

func (*acker) HandleState(relay.State) {}

// start runs a client until the test ends.
func start(t *testing.T, cfg relay.Config, h relay.Handler) *relay.Client {
	t.Helper()
	if cfg.Project == "" && cfg.JWT == "" {
		cfg.Project, cfg.Token = "11111111-2222-3333-4444-555555555555", "PTtoken0123456789"
	}
	if cfg.Contexts == nil {
		cfg.Contexts = []string{"office"}
	}
	cfg.Logger = slog.New(slog.DiscardHandler)
	c, err := relay.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx, h) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return c
}

func ready(t *testing.T, c *relay.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := c.Ready(ctx); err != nil {
		t.Fatalf("Ready: %v", err)
	}
}

// inSpace runs f in a bubble with an in-memory space.
func inSpace(t *testing.T, f func(t *testing.T, s *relaytest.Server, cfg relay.Config)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := relaytest.NewServer(t, relaytest.InMemory)
		f(t, s, relay.Config{URL: s.URL(), DialContext: s.DialContext, Insecure: true})
	})
}

const sendParams = `{"from_number":"+12025550102","to_number":"+12025550101","context":"office","body":"hi"}`

func send(c *relay.Client) <-chan relay.Answer {
	out := make(chan relay.Answer, 1)
	c.Go(uuid.New(), "messaging.send", []byte(sendParams), func(a relay.Answer) {
		a.Result = append([]byte(nil), a.Result...)
		out <- a
	})
	return out
}

func TestSpaceRoundTrip(t *testing.T) {
	inSpace(t, func(t *testing.T, s *relaytest.Server, cfg relay.Config) {
		h := &acker{got: make(chan *relay.Event, 16)}
		c := start(t, cfg, h)
		sess := s.Session(t)
		ready(t, c)
		d := sess.Deliver(relaytest.SMS{From: "+12025550101", Body: "hello"})
		if err := d.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if ev := <-h.got; ev.Type != "messaging.receive" || !strings.Contains(string(ev.Params), "hello") {
			t.Errorf("got %q", ev.Type)
		}
		if a := <-send(c); a.Err != nil || !strings.Contains(string(a.Result), "message_id") {
			t.Errorf("send: %+v", a)
		}
		synctest.Wait()
		time.Sleep(time.Minute)
		if n := h.events.Load(); n < 4 { // the inbound, then queued, initiated, sent, delivered
			t.Errorf("%d events, want the states of the send too", n)
		}
	})
}

// Every malformed and foreign frame that the simulator knows leaves the session
// as it is, or (the 11 MiB one) costs one reconnect.
func TestSpecimensDoNotHurt_R12(t *testing.T) {
	for _, sp := range relaytest.Specimens() {
		t.Run(sp.Name, func(t *testing.T) {
			inSpace(t, func(t *testing.T, s *relaytest.Server, cfg relay.Config) {
				c := start(t, cfg, &acker{})
				sess := s.Session(t)
				ready(t, c)
				if err := sess.Emit(sp.Name); err != nil {
					t.Fatal(err)
				}
				if sp.Name == "huge" {
					time.Sleep(time.Second)
					ready(t, c)
					sess = s.Session(t)
				}
				if err := sess.Deliver(relaytest.SMS{From: "+12025550101", Body: "after"}).Wait(t.Context()); err != nil {
					t.Errorf("an inbound after it: %v", err)
				}
				if a := <-send(c); a.Err != nil {
					t.Errorf("a send after it: %v", a.Err)
				}
				want := uint64(1)
				if sp.Name == "huge" {
					want = 2
				}
				if got := c.Status().Connects; got != want {
					t.Errorf("connects: got %d, want %d", got, want)
				}
			})
		})
	}
}

func TestHalfOpenIsFound_R27(t *testing.T) {
	for name, way := range map[string][2]bool{"reads": {true, false}, "writes": {false, true}, "both": {true, true}} {
		t.Run(name, func(t *testing.T) {
			inSpace(t, func(t *testing.T, s *relaytest.Server, cfg relay.Config) {
				c := start(t, cfg, &acker{})
				ready(t, c)
				sess := s.Session(t)
				time.Sleep(time.Minute)
				before := time.Now()
				sess.Silence(way[0], way[1])
				for c.Status().Connects < 2 {
					time.Sleep(50 * time.Millisecond)
					if time.Since(before) > 25*time.Second {
						t.Fatalf("not back after %s", time.Since(before))
					}
				}
				ready(t, c)
			})
		})
	}
}

func TestFaultsOfTheSpace(t *testing.T) {
	for name, tt := range map[string]struct {
		during relaytest.Faults
		reason string
	}{
		"refused TCP":       {relaytest.Faults{RefuseTCP: true}, "dial"},
		"stalled handshake": {relaytest.Faults{StallHandshake: true}, "upgrade"},
		"HTTP 401":          {relaytest.Faults{UpgradeStatus: 401}, "upgrade"},
		"HTTP 403":          {relaytest.Faults{UpgradeStatus: 403}, "upgrade"},
		"HTTP 429":          {relaytest.Faults{UpgradeStatus: 429}, "upgrade"},
		"HTTP 503":          {relaytest.Faults{UpgradeStatus: 503}, "upgrade"},
		"mute connect":      {relaytest.Faults{MuteConnect: true}, "connect"},
		"-32603":            {relaytest.Faults{ConnectError: -32603}, "refused"},
		"-32002":            {relaytest.Faults{ConnectError: -32002}, "refused"},
		"half-open writes":  {relaytest.Faults{SilenceWrites: true}, "upgrade"},
	} {
		t.Run(name, func(t *testing.T) {
			inSpace(t, func(t *testing.T, s *relaytest.Server, cfg relay.Config) {
				c := start(t, cfg, &acker{})
				ready(t, c)
				if err := s.SetFaults(tt.during); err != nil {
					t.Fatal(err)
				}
				for _, sess := range s.Sessions() {
					sess.Drop()
				}
				time.Sleep(2 * time.Minute)
				st := c.Status()
				if st.Disconnects[tt.reason] == 0 || st.Ready() || st.LastError.Text == "" {
					t.Errorf("during the fault: %+v", st)
				}
				if err := s.SetFaults(relaytest.Faults{}); err != nil {
					t.Fatal(err)
				}
				before := time.Now()
				ready(t, c)
				if d := time.Since(before); d > 45*time.Second {
					t.Errorf("back after %s, want the cap of the delay and one attempt at most", d)
				}
			})
		})
	}
}

// Accepted, then refused for ever, and accepted again: never given up.
func TestRejectedThenAccepted_R20(t *testing.T) {
	inSpace(t, func(t *testing.T, s *relaytest.Server, cfg relay.Config) {
		s.NextConnects(relaytest.RejectAuth(), relaytest.RejectAuth())
		c := start(t, cfg, &acker{})
		ready(t, c)
		if got := c.Status().Disconnects["refused"]; got != 2 {
			t.Errorf("refused: got %d, want 2", got)
		}
	})
}

// Hundreds of drops at every possible moment, with traffic: each request ends
// exactly once, and the simulator sees no overlap, leak, or repeated id.
func TestDropsUnderLoad_R34(t *testing.T) {
	inSpace(t, func(t *testing.T, s *relaytest.Server, cfg relay.Config) {
		c := start(t, cfg, &acker{})
		ended := map[bool]int{}
		total, asked := 0, 0
		for i := range 100 {
			ready(t, c)
			sess := s.Session(t)
			outs := make([]<-chan relay.Answer, 0, 20)
			for range 20 {
				outs = append(outs, send(c))
				asked++
			}
			for range i % 5 {
				sess.Deliver(relaytest.SMS{From: "+12025550101", Body: "x"})
			}
			if i%2 == 0 {
				synctest.Wait()
			}
			sess.Drop()
			for _, out := range outs {
				a := <-out
				if a.Err != nil && !errors.Is(a.Err, relay.ErrInDoubt) && !errors.Is(a.Err, relay.ErrNotSent) {
					t.Errorf("a request ended with %v", a.Err)
				}
				ended[a.Err == nil]++
				total++
			}
			time.Sleep(3 * time.Second)
		}
		if total != asked || ended[true] == 0 {
			t.Errorf("%d asked, %d ended, %v", asked, total, ended)
		}
	})
}

func TestDisconnectsOfTheSpace_R30(t *testing.T) {
	for name, tt := range map[string]struct {
		restart *bool
		opts    relaytest.DisconnectOptions
	}{
		"restart":            {relaytest.Restart, relaytest.DisconnectOptions{}},
		"keep":               {relaytest.Keep, relaytest.DisconnectOptions{}},
		"absent":             {nil, relaytest.DisconnectOptions{}},
		"never closes":       {nil, relaytest.DisconnectOptions{NeverClose: true}},
		"closes before":      {nil, relaytest.DisconnectOptions{CloseBeforeReply: true}},
		"closes later":       {nil, relaytest.DisconnectOptions{CloseAfter: 3 * time.Second, KeepEvents: true}},
		"restart, no closed": {relaytest.Restart, relaytest.DisconnectOptions{NeverClose: true}},
	} {
		t.Run(name, func(t *testing.T) {
			inSpace(t, func(t *testing.T, s *relaytest.Server, cfg relay.Config) {
				c := start(t, cfg, &acker{})
				ready(t, c)
				sess := s.Session(t)
				old := sess.Name()
				synctest.Wait()
				sess.Disconnect(tt.restart, tt.opts)
				time.Sleep(7 * time.Second)
				ready(t, c)
				same := s.Session(t).Name() == old
				if want := tt.restart == nil || !*tt.restart; same != want {
					t.Errorf("same session after it: got %v, want %v", same, want)
				}
				if got := c.Status().Disconnects["drained"]; got != 1 {
					t.Errorf("disconnects: %v", c.Status().Disconnects)
				}
			})
		})
	}
}

// One real socket, with TLS: the certificate is verified, a CA file adds to the
// trusted ones, and both ways work above the record layer.
func TestRealSocketWithTLS_R1(t *testing.T) {
	t.Parallel()
	s := relaytest.NewServer(t)
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, s.CACert(), 0o600); err != nil {
		t.Fatal(err)
	}
	c := start(t, relay.Config{URL: s.TLSURL(), CAFile: file}, &acker{})
	sess := s.Session(t)
	ready(t, c)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	outs := make([]<-chan relay.Answer, 0, 500)
	for range 500 {
		sess.Deliver(relaytest.SMS{From: "+12025550101", Body: "over TLS"})
		outs = append(outs, send(c))
	}
	for _, out := range outs {
		if a := <-out; a.Err != nil {
			t.Fatal(a.Err)
		}
	}
	if err := sess.Deliver(relaytest.SMS{From: "+12025550101", Body: "last"}).Wait(ctx); err != nil {
		t.Error(err)
	}
	sess.Drop()
	if err := s.Session(t).Deliver(relaytest.SMS{From: "+12025550101", Body: "again"}).Wait(ctx); err != nil {
		t.Error(err)
	}
}

func TestUntrustedCertificateIsRefused_R1(t *testing.T) {
	t.Parallel()
	s := relaytest.NewServer(t)
	c := start(t, relay.Config{URL: s.TLSURL(), Insecure: true}, &acker{})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for c.Status().Disconnects["dial"] == 0 {
		if ctx.Err() != nil {
			t.Fatal("no failed attempt in a minute")
		}
	}
	if st := c.Status(); st.Connects != 0 || !strings.Contains(st.LastError.Text, "certificate") {
		t.Errorf("last error: %+v", st.LastError)
	}
}
