package contexts

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/signpost-sms/signpost/messaging"
)

// maxWarned bounds how many context names DropUnmatched remembers. Names come from the
// network: a peer that invents them must cost neither memory nor log lines without end.
const maxWarned = 100

// maxNameShown bounds a context name in errors and logs, for the same reason.
const maxNameShown = 64

// DropUnmatched returns the default handler of unmatched messages. It makes each a dead
// letter, so that an operator who bound a number to a context nobody serves finds what
// people wrote, and warns once for each context name, for the first 100 names. A nil log
// means slog.Default at the time of the event.
func DropUnmatched(log *slog.Logger) messaging.Handler {
	warned := make(map[string]struct{})
	var mu sync.Mutex
	// first tells whether the name is new, and whether it is the last that will be named.
	first := func(name string) (is, last bool) {
		mu.Lock()
		defer mu.Unlock()
		if _, ok := warned[name]; ok || len(warned) == maxWarned {
			return false, false
		}
		warned[name] = struct{}{}
		return true, len(warned) == maxWarned
	}
	return messaging.HandlerFunc(func(ctx context.Context, _ messaging.Responder, ev *messaging.Event) error {
		name := ev.Context
		if len(name) > maxNameShown {
			name = name[:maxNameShown]
		}
		if is, last := first(name); is {
			l := log
			if l == nil {
				l = slog.Default()
			}
			l.WarnContext(ctx, "no handler for messages of a context: kept as dead letters",
				"component", "contexts", "context", name, "event_id", ev.ID, "last_warning", last)
		}
		return messaging.Drop(fmt.Errorf("no handler for messages of context %q: register the context, or bind the number to another one", name))
	})
}
