package daemon

import (
	"context"
	"log/slog"
	"net"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/relay"
)

// Option changes what [Main] and [New] build. Options apply in order.
type Option func(*options)

// options is what the options of one Main or New add up to.
type options struct {
	logger  *slog.Logger
	dial    func(ctx context.Context, network, addr string) (net.Conn, error)
	load    func() (Config, error)
	store   messaging.Store
	trace   func(messaging.Trace)
	onState func(relay.State)

	registry registry // handlers by name, see Handler
}

// WithLogger makes the daemon log to l instead of to standard error. Secrets are masked all
// the same.
func WithLogger(l *slog.Logger) Option {
	return func(o *options) { o.logger = l }
}

// WithDial makes the session open its network connections with dial: a proxy of your own,
// or the in-memory network of a test.
func WithDial(dial func(ctx context.Context, network, addr string) (net.Conn, error)) Option {
	return func(o *options) { o.dial = dial }
}

// WithReload lets the daemon reload: load gives the next configuration, valid or an error.
func WithReload(load func() (Config, error)) Option {
	return func(o *options) { o.load = load }
}

// withStore makes the daemon use an open store, which it closes, instead of the
// configuration's.
func withStore(s messaging.Store) Option { return func(o *options) { o.store = s } }

// withTrace lets fn hear what becomes of every message; see messaging.Config.Trace.
func withTrace(fn func(messaging.Trace)) Option { return func(o *options) { o.trace = fn } }

// withStates lets fn hear of every state of the session.
func withStates(fn func(relay.State)) Option { return func(o *options) { o.onState = fn } }
