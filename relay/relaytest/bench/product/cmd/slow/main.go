// Slow is Signpost with a handler that takes a millisecond for each message, as one that asks a database does.
package main

import (
	"context"
	"os"
	"time"

	"github.com/signpost-sms/signpost/contexts"
	"github.com/signpost-sms/signpost/daemon"
	"github.com/signpost-sms/signpost/messaging"
)

// takes is how long the handler waits.
const takes = time.Millisecond

func main() {
	os.Exit(daemon.Main(func(r *contexts.Router) {
		for _, name := range []string{"support", "sales", "billing"} {
			r.Context(name, func(r *contexts.Router) { r.OnMessage(messaging.HandlerFunc(answer)) })
		}
	}))
}

func answer(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
	timer := time.NewTimer(takes)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	w.Reply("You said: " + ev.Body)
	return nil
}
