package daemon

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signpost-sms/signpost/contexts"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/memory"
	"github.com/signpost-sms/signpost/relay/relaytest"
)

// TestCanariesStayInside plants a token, numbers and bodies, drives the daemon through
// everything that logs, and searches all it has said.
func TestCanariesStayInside_R3(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const (
			token    = "PTcanarytokencanarytoken"
			body     = "canary-body-inbound"
			reply    = "canary-body-reply"
			stranger = "+12025559001" // undelivered by the simulator's magic
		)
		space := newSpace(t, relaytest.Lenient, func(c *relaytest.Config) {
			c.Credentials = map[string]string{"canary-project": token}
		})
		cfg := simConfig(space.URL())
		cfg.SignalWire = SignalWireConfig{Project: "canary-project", Token: token}
		r := &running{t: t, space: space, log: &logBuffer{}, ended: make(chan error, 1)}
		handler := messaging.HandlerFunc(func(_ context.Context, w messaging.Responder, ev *messaging.Event) error {
			switch {
			case strings.HasSuffix(ev.Body, "retry") && ev.Attempt == 0:
				return errors.New("come back later")
			case strings.HasSuffix(ev.Body, "drop"):
				return messaging.Drop(errors.New("never again"))
			case strings.HasSuffix(ev.Body, "panic"):
				if ev.Attempt == 0 {
					panic(ev.Body)
				}
			}
			w.Reply(reply)
			return nil
		})
		d, err := New(cfg, func(r *contexts.Router) {
			r.Context("support", func(r *contexts.Router) { r.OnMessage(handler) })
		},
			WithLogger(slog.New(slog.NewJSONHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true}))),
			WithDial(space.DialContext), withStore(memory.New(memory.Config{})))
		if err != nil {
			t.Fatal(err)
		}
		r.Daemon = d
		ctx, stop := context.WithCancel(context.Background())
		go func() { r.ended <- d.Run(ctx) }()
		r.waitReady()

		for _, from := range []string{person, stranger} {
			for _, suffix := range []string{"", "retry", "drop", "panic"} {
				in, err := space.Inject(relaytest.SMS{From: from, To: ourNumber, Context: "support", Body: body + suffix}, relaytest.Target{})
				if err != nil {
					t.Fatal(err)
				}
				if err := in.Wait(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		// A context that nobody serves, a frame that cannot be decoded, a refused send whose
		// answer quotes its text and number, a send without an answer, and a lost connection.
		session := space.Session(t)
		session.Deliver(relaytest.SMS{From: person, To: ourNumber, Context: "nobody", Body: body})
		session.Deliver(relaytest.SMS{From: person, To: ourNumber, Context: "support", Body: body, Fields: map[string]any{"message_id": nil}})
		space.NextReplies("messaging.send", relaytest.Reply{Code: "400", Message: "no route for " + reply + " to " + person + " or " + person[1:] + " with " + token})
		r.text("support", body+" refused")
		space.NextSends(relaytest.DropUnexecuted())
		r.text("support", body+" dropped")
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		ready := ask(d.http, "GET", "/readyz").Body.String()
		metrics := ask(d.http, "GET", "/metrics").Body.String()

		// The session is lost and the platform does not want us any more.
		space.SetCredentials(map[string]string{"canary-project": "another"})
		space.Session(t).Drop()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		rejected := ask(d.http, "GET", "/readyz").Body.String()
		stop()
		end := ""
		if err := <-r.ended; err != nil {
			end = err.Error()
		}

		log := r.log.String()
		for where, text := range map[string]string{
			"log": log, "readyz": ready + rejected, "metrics": metrics, "error of Run": end,
		} {
			for _, canary := range []string{token, body, reply, person, person[1:], stranger, ourNumber} {
				if i := strings.Index(text, canary); i >= 0 {
					t.Errorf("%s holds %q: ...%s...", where, canary, text[max(0, i-200):min(len(text), i+100)])
				}
			}
		}
		// The search proves nothing unless those things were logged at all.
		for _, want := range []string{`"level":"DEBUG"`, "dead", "panic", "connection lost", "send refused", "the platform refused the credentials"} {
			if !strings.Contains(log, want) {
				t.Errorf("the log has nothing on %q:\n%s", want, log)
			}
		}
	})
}
