package daemon

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/signpost-sms/signpost/messaging/memory"
	"github.com/signpost-sms/signpost/relay/relaytest"
)

// A send is cut off before its answer, and tags are not echoed: only the log can tell
// whether it went out. The policy says to send again, so a daemon that does not read the log
// answers twice.
func TestDoubtsAreSettledByThePlatformsLog(t *testing.T) {
	t.Parallel()
	for name, outcome := range map[string]relaytest.Outcome{
		"executed": relaytest.AcceptThenDrop(), "not executed": relaytest.DropUnexecuted(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			space := relaytest.NewServer(t, func(c *relaytest.Config) {
				c.Faults.HideTags, c.Faults.QueueUnsubscribed = true, true
			})
			space.Carrier().On(person, outcome, relaytest.Deliver())
			cfg := simConfig(space.URL())
			cfg.SignalWire.Space = space.HTTPURL()
			cfg.Sending.InDoubt = InDoubtConfig{Wait: 50 * time.Millisecond, Settle: 100 * time.Millisecond, Release: time.Hour, Then: DoubtResend}
			log := &logBuffer{}
			d, err := New(cfg, serving("support"), WithLogger(slog.New(slog.NewTextHandler(log, nil))), withStore(memory.New(memory.Config{})))
			if err != nil {
				t.Fatal(err)
			}
			r := &running{t: t, Daemon: d, space: space, log: log, ended: make(chan error, 1)}
			ctx, stop := context.WithCancel(context.Background())
			defer stop()
			go func() { r.ended <- d.Run(ctx) }()
			r.waitReady()
			r.text("support", "one")
			r.expectReply("support: one")
			// The later reply waits behind the doubt, so once it is there the doubt is over.
			if _, err := space.Inject(relaytest.SMS{From: person, To: ourNumber, Context: "support", Body: "two"}, relaytest.Target{}); err != nil {
				t.Fatal(err)
			}
			r.expectReply("support: two")
			executed := 0
			for _, s := range space.Sends() {
				if s.Executed && s.Body == "support: one" {
					executed++
				}
			}
			if executed != 1 {
				t.Errorf("the reply went out %d times\n%s", executed, log)
			}
			stop()
			if err := <-r.ended; err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}
}
