package daemon

import (
	"context"
	"log/slog"
	"net"
)

// Option changes what [Main] and [New] build. Options apply in order.
type Option func(*options)

// options is what the options of one Main or New add up to.
type options struct {
	logger *slog.Logger
	dial   func(ctx context.Context, network, addr string) (net.Conn, error)
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
