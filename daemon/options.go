package daemon

import (
	"log/slog"
	"net/http"
)

// Option changes what [Main] and [New] build. Options apply in order.
type Option func(*options)

// options is what the options of one Main or New add up to.
type options struct {
	logger *slog.Logger
	dialer *http.Client
}

// WithLogger makes the daemon log to l instead of to standard error. Numbers and secrets are
// masked all the same.
func WithLogger(l *slog.Logger) Option {
	return func(o *options) { o.logger = l }
}

// WithRelayClient makes the daemon dial Relay with c; tests give it an in-memory transport.
func WithRelayClient(c *http.Client) Option {
	return func(o *options) { o.dialer = c }
}
