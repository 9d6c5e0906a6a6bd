package otp

import "github.com/prometheus/client_golang/prometheus"

// Metrics are the Prometheus metrics of one-time codes. They hold no number and no code.
type Metrics struct {
	issued, checks *prometheus.CounterVec
}

// NewMetrics makes the metrics and registers them; nil registers them nowhere.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counters := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "signpost", Name: name, Help: help}, []string{"result"})
	}
	m := &Metrics{
		issued: counters("codes_issued_total", "Requests for a one-time code: sent, limited, suppressed."),
		checks: counters("code_checks_total", "One-time codes typed in: accepted, wrong, none, attempts."),
	}
	if reg != nil {
		reg.MustRegister(m.issued, m.checks)
	}
	return m
}
