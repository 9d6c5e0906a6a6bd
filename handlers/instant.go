package handlers

import (
	"context"

	"github.com/signpost-sms/signpost/messaging"
)

// pure is the handler of a middleware that has no effect of its own: it is instant if all
// that it may call is.
type pure struct {
	run    func(ctx context.Context, w messaging.Responder, ev *messaging.Event) error
	before []messaging.Handler
}

func (p *pure) HandleEvent(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
	return p.run(ctx, w, ev)
}

func (p *pure) Instant() bool {
	for _, h := range p.before {
		if !messaging.IsInstant(h) {
			return false
		}
	}
	return true
}

// Ignore completes every event that reaches it, without an answer. It ends a chain whose
// middleware does all the work. It does not hide an event: it is journaled all the same.
func Ignore() messaging.Handler { return ignore }

var ignore messaging.Handler = &pure{
	run: func(context.Context, messaging.Responder, *messaging.Event) error { return nil },
}

// IgnoreOptions are the options of [Ignore]; it has none.
type IgnoreOptions struct{}

// Middleware makes the middleware; it never calls the handler after it.
func (o *IgnoreOptions) Middleware(Env) (messaging.Middleware, error) {
	return func(messaging.Handler) messaging.Handler { return ignore }, nil
}

// SetScalar accepts an empty value.
func (o *IgnoreOptions) SetScalar(text string) error { return noScalar("ignore", text) }
