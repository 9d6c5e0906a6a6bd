package handlers

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signpost-sms/signpost/messaging"
)

// Metrics are the Prometheus metrics of handlers that wait for something outside of the
// daemon. They hold no number, no text and no address.
type Metrics struct {
	outside *prometheus.HistogramVec // by handler and outcome
	unknown *prometheus.CounterVec   // by context and whether it was answered
}

// NewMetrics registers the metrics with r.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{outside: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: "signpost", Name: "outside_seconds",
		Help:    "How long endpoints and programs took that handlers asked; outcome is ok, refused, later or failed.",
		Buckets: []float64{.005, .02, .1, .5, 1, 2.5, 5, 10, 30},
	}, []string{"handler", "outcome"}), unknown: prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "signpost", Name: "unknown_messages_total",
		Help: "Messages that a menu, or the handler unknown, did not understand; answered is yes or no.",
	}, []string{"context", "answered"})}
	r.MustRegister(m.outside, m.unknown)
	return m
}

type metricsKey struct{}

func (metricsKey) String() string { return "handlers: metrics" }

// WithMetrics makes the handlers whose context descends from the result count in m. The
// daemon does so for every handler.
func WithMetrics(ctx context.Context, m *Metrics) context.Context {
	return context.WithValue(ctx, metricsKey{}, m)
}

// observeUnknown counts a message that nobody understood. Its context is one that is served.
func observeUnknown(ctx context.Context, name string, answered bool) {
	m, ok := ctx.Value(metricsKey{}).(*Metrics)
	if !ok {
		return
	}
	word := "no"
	if answered {
		word = "yes"
	}
	m.unknown.WithLabelValues(name, word).Inc()
}

// observeOutside counts one try of something outside.
func observeOutside(ctx context.Context, handler string, began time.Time, err error) {
	m, ok := ctx.Value(metricsKey{}).(*Metrics)
	if !ok {
		return
	}
	outcome := "failed"
	_, later := messaging.RetryDelay(err)
	switch {
	case err == nil:
		outcome = "ok"
	case messaging.IsDrop(err):
		outcome = "refused"
	case later:
		outcome = "later"
	}
	m.outside.WithLabelValues(handler, outcome).Observe(time.Since(began).Seconds())
}
