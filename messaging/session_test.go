package messaging_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/messagingtest"
	"github.com/signpost-sms/signpost/relay"
	"github.com/signpost-sms/signpost/relay/relaytest"
)

// desk is an engine on a real session with a simulated space, in a synctest bubble.
type desk struct {
	t      *testing.T
	space  *relaytest.Server
	client *relay.Client
	eng    *messaging.Engine
	store  *messagingtest.FaultyStore
}

func open(t *testing.T, h messaging.Handler, cfg messaging.Config, opts ...relaytest.Option) *desk {
	t.Helper()
	space := relaytest.NewServer(t, append([]relaytest.Option{relaytest.InMemory}, opts...)...)
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	client, err := relay.New(relay.Config{
		URL: space.URL(), Project: "project-1", Token: "token-1", Insecure: true, Contexts: []string{"support"}, DialContext: space.DialContext, Logger: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{t: t, space: space, client: client, store: blockingStore()}
	cfg.Logger = log
	d.eng = messaging.NewEngine(d.store, h, client, cfg)
	session, hangUp := context.WithCancel(context.Background())
	stop, drain := context.WithCancel(context.Background())
	results := make(chan error, 2)
	go func() { results <- client.Run(session, d.eng) }()
	go func() { results <- d.eng.Run(stop, context.Background()) }()
	t.Cleanup(func() {
		drain()
		if err := <-results; err != nil {
			t.Errorf("engine: %v", err)
		}
		hangUp()
		if err := <-results; err != nil {
			t.Errorf("session: %v", err)
		}
		if s := d.eng.Status(); s.Unaccounted != 0 {
			t.Errorf("unaccounted: %+v", s)
		}
	})
	return d
}

func TestAckFollowsCommit_R37(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := open(t, instant{echo}, messaging.Config{})
		sess := d.space.Session(t)
		d.store.FailNext(3, messaging.ErrUnavailable)
		in := sess.Deliver(relaytest.SMS{From: "+12025550101", Body: "hi"})
		synctest.Wait()
		if in.Done() {
			t.Fatal("acknowledged before the commit")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if !in.Done() {
			t.Fatal("not acknowledged after the commit")
		}
		diff(t, "sends", 1, len(d.space.Sends()))
	})
}

func TestDuplicateIsAckedAndNotHandledAgain_R39(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := open(t, messaging.HandlerFunc(echo), messaging.Config{})
		sess := d.space.Session(t)
		for range 3 {
			in := sess.Deliver(relaytest.SMS{From: "+12025550101", Body: "hi", ID: "m1"})
			synctest.Wait()
			if !in.Done() {
				t.Error("a duplicate was not acknowledged")
			}
		}
		diff(t, "sends", 1, len(d.space.Sends()))
	})
}

func TestPingsAreAnsweredWhileHandlersBlock_R40(t *testing.T) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		d := open(t, messaging.HandlerFunc(func(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
			<-release
			return echo(ctx, w, ev)
		}), messaging.Config{HandlerTimeout: time.Hour})
		sess := d.space.Session(t)
		var last *relaytest.Delivery
		for i := range 2_000 {
			last = sess.Deliver(relaytest.SMS{From: fmt.Sprintf("+1202555%04d", i%1000), Body: "hi"})
		}
		synctest.Wait()
		if !last.Done() {
			t.Error("a blocked handler delays acknowledgements")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		for _, c := range d.space.Connections() {
			if c.PingsSent < 12 || c.PingsAnswered != c.PingsSent {
				t.Errorf("%d of %d pings answered", c.PingsAnswered, c.PingsSent)
			}
		}
		close(release)
		synctest.Wait()
	})
}

func TestDropBeforeTheResult_R34_R46(t *testing.T) {
	resend := messaging.InDoubt{Wait: 2 * time.Second, Resend: true}
	for name, c := range map[string]struct {
		outcome  relaytest.Outcome
		hideTags bool
		executed int // times the message went out
	}{
		"executed, tags echoed":   {relaytest.AcceptThenDrop(), false, 1},
		"executed, nothing known": {relaytest.AcceptThenDrop(), true, 2},
		"not executed":            {relaytest.DropUnexecuted(), false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				d := open(t, instant{echo}, messaging.Config{InDoubt: resend},
					relaytest.WithConfig(relaytest.Config{InMemory: true, Strict: true, StateDelay: time.Second, Faults: relaytest.Faults{HideTags: c.hideTags}}))
				d.space.Carrier().On("+12025550101", c.outcome, relaytest.Deliver())
				d.space.Session(t).Deliver(relaytest.SMS{From: "+12025550101", Body: "hi"})
				time.Sleep(time.Minute)
				synctest.Wait()
				n := 0
				for _, s := range d.space.Sends() {
					if s.Executed {
						n++
					}
				}
				diff(t, "times the reply went out", c.executed, n)
				s := d.eng.Status()
				diff(t, "answered, in doubt", []int64{1, 0}, []int64{s.Answered, int64(s.InDoubt)})
			})
		})
	}
}

func TestStateMayOvertakeTheResult_R45(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var last messaging.Status
		cfg := messaging.Config{Trace: func(tr messaging.Trace) {
			if tr.Send != nil {
				last = tr.Send.Status
			}
		}}
		d := open(t, instant{echo}, cfg)
		out := relaytest.Deliver()
		out.StatesFirst = true
		d.space.Carrier().On("+12025550101", out)
		d.space.Session(t).Deliver(relaytest.SMS{From: "+12025550101", Body: "hi"})
		time.Sleep(time.Second)
		synctest.Wait()
		diff(t, "last status", messaging.StatusDelivered, last)
	})
}

func TestNothingIsLostOverManyDrops(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := open(t, instant{echo}, messaging.Config{InDoubt: messaging.InDoubt{Wait: 2 * time.Second, Resend: true}})
		acked := 0
		for i := range 200 {
			in := d.space.Session(t).Deliver(relaytest.SMS{From: fmt.Sprintf("+1202555%04d", i%50), Body: fmt.Sprint(i)})
			if i%7 == 0 {
				d.space.Session(t).Drop()
			}
			synctest.Wait()
			if in.Done() {
				acked++
			}
			time.Sleep(300 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		s := d.eng.Status()
		if s.Answered < int64(acked) || acked < 150 {
			t.Errorf("%d acknowledged, %d answered", acked, s.Answered)
		}
		seen := map[string]int{}
		for _, snd := range d.space.Sends() {
			if snd.Executed {
				seen[snd.Body]++
			}
		}
		for body, n := range seen {
			if n > 1 {
				t.Errorf("%q went out %d times although tags are echoed", body, n)
			}
		}
	})
}
