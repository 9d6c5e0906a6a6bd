package daemon_test

import (
	"context"
	"os"
	"time"

	"github.com/signpost-sms/signpost/contexts"
	"github.com/signpost-sms/signpost/daemon"
	"github.com/signpost-sms/signpost/handlers"
	"github.com/signpost-sms/signpost/messaging"
)

func openTicket(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
	w.Reply("Thank you. We will answer within the hour.")
	return nil
}

// A binary of your own, with every command of signpost.
func ExampleMain() {
	os.Exit(daemon.Main(func(r *contexts.Router) {
		r.Use(handlers.Recover)
		r.Context("support", func(r *contexts.Router) {
			r.Use(handlers.Timeout(10 * time.Second))
			r.OnMessage(messaging.HandlerFunc(openTicket))
		})
	}))
}
