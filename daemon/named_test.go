package daemon

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signpost-sms/signpost/contexts"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/memory"
	"github.com/signpost-sms/signpost/relay"
)

// The journal names who decided by its place in the configuration, and nobody if nobody did.
func TestTheJournalNamesWhoDecided(t *testing.T) {
	t.Parallel()
	cfg := mustLoad(t, `
contexts:
  support:
    handlers:
      - log
      - keyword: {words: [HOURS], reply: "9 to 5"}
      - keyword: {words: [MORE], handlers: [reply: "More."]}
`)
	rt, err := newRouting(func(r *contexts.Router) error { return cfg.addContexts(r, slog.New(slog.DiscardHandler)) }, nil)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		by := map[string]string{}
		eng := messaging.NewEngine(memory.New(memory.Config{}), rt, nil, messaging.Config{
			Logger: slog.New(slog.DiscardHandler),
			Trace: func(tr messaging.Trace) {
				if tr.Inbound != nil && tr.Inbound.Outcome != nil {
					by[tr.Inbound.Event.Body] = tr.Inbound.Outcome.Handler
				}
			},
		})
		work, end := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- eng.Run(context.Background(), work) }()
		for i, body := range []string{"hours", "more", "something else"} {
			eng.HandleEvent(&relay.Event{Type: "messaging.receive", Received: time.Now(), Frame: []byte(`{"params":{"params":{"message_id":"m` +
				string(rune('0'+i)) + `","context":"support","from_number":"+12025550101","to_number":"+12025550100","body":"` + body + `"}}}`)})
		}
		synctest.Wait()
		end()
		<-done
		for body, want := range map[string]string{
			"hours": "handlers[1].keyword", "more": "handlers[2].keyword.handlers[0].reply", "something else": "",
		} {
			if got, ok := by[body]; !ok || got != want {
				t.Errorf("%q: decided by %q, want %q", body, got, want)
			}
		}
	})
}
