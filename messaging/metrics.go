package messaging

import "github.com/prometheus/client_golang/prometheus"

// Metrics are the engine's Prometheus metrics. They hold no number and no body; their
// labels are contexts, states and outcomes.
type Metrics struct {
	inbound       *prometheus.CounterVec // by context
	duplicates    prometheus.Counter
	dropped       prometheus.Counter
	lag           prometheus.Histogram
	commit        prometheus.Histogram
	batchRows     prometheus.Histogram
	ack           prometheus.Histogram
	handler       *prometheus.HistogramVec // by context
	handlerErrors *prometheus.CounterVec
	panics        *prometheus.CounterVec
	sends         *prometheus.CounterVec // by context and outcome
	states        *prometheus.CounterVec
	delivery      *prometheus.HistogramVec
	suppressed    *prometheus.CounterVec
	dead          *prometheus.CounterVec
	resent        prometheus.Counter
}

// NewMetrics makes the metrics and registers them; nil registers them nowhere.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	const ns = "signpost"
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: ns, Name: name, Help: help})
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: ns, Name: name, Help: help}, labels)
	}
	// From a tenth of a millisecond, a fast commit, to a minute, a long outage.
	seconds := prometheus.ExponentialBuckets(0.0001, 2.5, 15)
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: ns, Name: name, Help: help, Buckets: buckets})
	}
	histograms := func(name, help string, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: ns, Name: name, Help: help, Buckets: seconds}, labels)
	}
	m := &Metrics{
		inbound:       counters("inbound_messages_total", "Inbound messages journaled, duplicates not counted.", "context"),
		duplicates:    counter("inbound_duplicates_total", "Events that were journaled before and only acknowledged."),
		dropped:       counter("inbound_dropped_unacked_total", "Events dropped without acknowledgement because the store could not take them."),
		lag:           histogram("inbound_lag_seconds", "From the platform's timestamp to our reading of the frame.", seconds),
		commit:        histogram("journal_commit_seconds", "Duration of one commit of the journal.", seconds),
		batchRows:     histogram("journal_batch_rows", "Operations in one commit of the journal.", prometheus.ExponentialBuckets(1, 2, 13)),
		ack:           histogram("ack_seconds", "From reading a frame to acknowledging it.", seconds),
		handler:       histograms("handler_seconds", "Duration of one run of a context's chain.", "context"),
		handlerErrors: counters("handler_errors_total", "Runs of a chain that ended in an error.", "context"),
		panics:        counters("handler_panics_total", "Runs of a chain that panicked.", "context"),
		sends:         counters("sends_total", "Sends by what became of them.", "context", "outcome"),
		states:        counters("message_states_total", "Delivery states received.", "state"),
		delivery:      histograms("delivery_seconds", "From the decision to send to a delivery state.", "state"),
		suppressed:    counters("suppressed_total", "Sends that the gate refused.", "reason"),
		dead:          counters("dead_letters_total", "Inbounds whose chain failed for good.", "context"),
		resent:        counter("doubts_resent_total", "Doubts that the policy ended by sending again."),
	}
	if reg != nil {
		reg.MustRegister(m.inbound, m.duplicates, m.dropped, m.lag, m.commit, m.batchRows, m.ack, m.handler,
			m.handlerErrors, m.panics, m.sends, m.states, m.delivery, m.suppressed, m.dead, m.resent)
	}
	return m
}

// stateLabel bounds the label: a platform that invents states must not grow the series.
func stateLabel(s State) string {
	if s.Rank() == 0 {
		return "other"
	}
	return string(s)
}
