package messaging

import (
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/signpost-sms/signpost/messaging/sms"
)

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
	redelivered   prometheus.Counter
	segments      *prometheus.CounterVec // by encoding
	oldest        *prometheus.GaugeVec   // by priority
	consent       *prometheus.CounterVec // by change and match
	reviews       prometheus.Gauge
	stopLatency   prometheus.Histogram
	lateStops     prometheus.Counter

	paused         prometheus.Gauge
	pausedMessages prometheus.Counter

	mu    sync.RWMutex
	known map[string]*contextMetrics
}

// contextMetrics are the metrics of one context.
type contextMetrics struct {
	inbound, errors, panics, dead prometheus.Counter
	handler                       prometheus.Observer
	name                          string
}

// contextsMost bounds the values of the context label: the platform decides which contexts
// its events name, and must not be able to grow the series without end.
const contextsMost = 1000

// of finds the metrics of a context; those beyond contextsMost share the name "other".
func (m *Metrics) of(context string) *contextMetrics {
	m.mu.RLock()
	c := m.known[context]
	m.mu.RUnlock()
	if c != nil {
		return c
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if c := m.known[context]; c != nil {
		return c
	}
	name := context
	if len(m.known) >= contextsMost {
		name = "other"
		if c := m.known[name]; c != nil {
			return c
		}
	}
	c = &contextMetrics{
		inbound: m.inbound.WithLabelValues(name), errors: m.handlerErrors.WithLabelValues(name),
		panics: m.panics.WithLabelValues(name), dead: m.dead.WithLabelValues(name),
		handler: m.handler.WithLabelValues(name), name: name,
	}
	m.known[name] = c
	return c
}

// accepted counts the segments of a send that the platform took.
func (m *Metrics) accepted(s *Send) {
	if s.Body == "" || len(s.Media) > 0 {
		return // an MMS has none
	}
	encoding := sms.UCS2
	if sms.IsGSM7(s.Body) {
		encoding = sms.GSM7
	}
	m.segments.WithLabelValues(string(encoding)).Add(float64(sms.Segments(s.Body, sms.Options{})))
}

// delivered observes how long a send took to reach a state; a UUIDv7 holds the time of the
// decision to send.
func (m *Metrics) delivered(send uuid.UUID, s State, now time.Time) {
	if s.Rank() > 0 && send.Version() == 7 {
		sec, nsec := send.Time().UnixTime()
		m.delivery.WithLabelValues(string(s)).Observe(max(now.Sub(time.Unix(sec, nsec)).Seconds(), 0))
	}
}

// waiting publishes the age of the oldest send of each priority that waits to leave.
func (m *Metrics) waiting(since [PriorityBulk + 1]time.Time, now time.Time) {
	for p := PriorityConsent; p <= PriorityBulk; p++ {
		age := 0.0
		if !since[p].IsZero() {
			age = max(now.Sub(since[p]).Seconds(), 0)
		}
		m.oldest.WithLabelValues(strconv.Itoa(int(p))).Set(age)
	}
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
		segments:      counters("segments_sent_total", "Segments of texts that the platform accepted.", "encoding"),
		consent:       counters("consent_changes_total", "Lines written into the ledger of consent, by what happened and how it was known.", "change", "match"),
		stopLatency:   histogram("stop_latency_seconds", "From reading an opt-out to its commit.", seconds),
		lateStops:     counter("stop_confirm_suppressed_late_total", "Opt-outs that were too old for a confirmation when they were handled."),
		reviews: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: ns, Name: "consent_review_items",
			Help: "Numbers about whose consent a person has to decide; until then only replies go to them.",
		}),
		oldest: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: ns, Name: "outbox_oldest_age_seconds",
			Help: "Age of the oldest send that waits to leave.",
		}, []string{"priority"}),
		known:  map[string]*contextMetrics{},
		paused: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: ns, Name: "conversations_paused", Help: "Conversations that a person has taken over."}),

		pausedMessages: counter("paused_messages_total", "Messages for which no chain ran, since a person had taken over their conversation."),

		resent: counter("doubts_resent_total", "Doubts that the policy ended by sending again."),

		redelivered: counter("redeliveries_total", "Sends queued again after a delivery that failed for a reason that may pass."),
	}
	if reg != nil {
		reg.MustRegister(m.inbound, m.duplicates, m.dropped, m.lag, m.commit, m.batchRows, m.ack, m.handler,
			m.handlerErrors, m.panics, m.sends, m.states, m.delivery, m.suppressed, m.dead, m.resent, m.redelivered, m.segments, m.oldest,
			m.consent, m.reviews, m.stopLatency, m.lateStops, m.paused, m.pausedMessages)
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
