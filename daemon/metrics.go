package daemon

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/relay"
)

const metricsNamespace = "signpost"

// statusCollector turns the snapshots of the session and the engine into metrics when they
// are scraped, so that nothing has to be counted twice.
type statusCollector struct {
	session func() relay.Status
	engine  func() messaging.EngineStatus

	state, connects, disconnects, deaf, lastEvent, pongAge *prometheus.Desc
	unacked, malformed                                     *prometheus.Desc
	handlers, hung, outbox, inDoubt, unaccounted           *prometheus.Desc
	unjournaled, writable                                  *prometheus.Desc
}

func newStatusCollector(session func() relay.Status, engine func() messaging.EngineStatus) *statusCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(metricsNamespace, "", name), help, labels, nil)
	}
	return &statusCollector{
		session: session, engine: engine,
		state:       desc("session_state", "1 for the state that the Relay session is in, 0 for the others.", "state"),
		connects:    desc("session_connects_total", "Times the platform accepted the session."),
		disconnects: desc("session_disconnects_total", "Connections and attempts that ended.", "reason"),
		deaf:        desc("session_deaf_seconds_total", "Time without a subscribed session; messages sent meanwhile may be lost."),
		lastEvent:   desc("session_last_event_timestamp_seconds", "When the last event came; 0 if none has."),
		pongAge:     desc("session_pong_age_seconds", "Time since a ping was answered on the current connection; absent if none was."),
		unacked:     desc("session_unacked_events", "Events of the current connection that are not acknowledged yet."),
		malformed:   desc("session_malformed_frames_total", "Frames that were skipped because they are no JSON-RPC."),
		handlers:    desc("handlers_inflight", "Handlers running now."),
		hung:        desc("handlers_hung", "Handlers that were given up and have not returned."),
		outbox:      desc("outbox_messages", "Sends without a final answer of the platform.", "state"),
		inDoubt:     desc("in_doubt", "Sends that may or may not have reached the platform."),
		unaccounted: desc("unaccounted_messages", "Inbounds received that no outcome accounts for; must be 0."),
		unjournaled: desc("journal_waiting_bytes", "Frames that wait for the store."),
		writable:    desc("journal_writable", "1 while the store takes writes."),
	}
}

// Describe implements prometheus.Collector.
func (c *statusCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.state, c.connects, c.disconnects, c.deaf, c.lastEvent, c.pongAge, c.unacked, c.malformed,
		c.handlers, c.hung, c.outbox, c.inDoubt, c.unaccounted, c.unjournaled, c.writable,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *statusCollector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	s := c.session()
	for _, state := range relay.States {
		gauge(c.state, oneIf(s.State == state), state.String())
	}
	counter(c.connects, float64(s.Connects))
	for reason, n := range s.Disconnects {
		counter(c.disconnects, float64(n), reason)
	}
	counter(c.deaf, s.DeafFor.Seconds())
	gauge(c.lastEvent, unixSeconds(s.LastEvent))
	if age := s.PongAge(); age >= 0 {
		gauge(c.pongAge, age.Seconds())
	}
	gauge(c.unacked, float64(s.Unacked))
	counter(c.malformed, float64(s.Malformed))

	e := c.engine()
	gauge(c.handlers, float64(e.HandlersRunning))
	gauge(c.hung, float64(e.HandlersHung))
	gauge(c.outbox, float64(e.SendsQueued), "queued")
	gauge(c.outbox, float64(e.SendsUnanswered), "sending")
	gauge(c.outbox, float64(e.InDoubt), "in_doubt")
	gauge(c.inDoubt, float64(e.InDoubt))
	gauge(c.unaccounted, float64(e.Unaccounted))
	gauge(c.unjournaled, float64(e.UnjournaledBytes))
	gauge(c.writable, oneIf(e.JournalWritable))
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func unixSeconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixNano()) / 1e9
}

// configMetrics tell which configuration is in force.
type configMetrics struct {
	successful prometheus.Gauge
	at         prometheus.Gauge
	hash       prometheus.Gauge
}

// newRegistry makes a registry with what every process of ours shows.
func newRegistry() (*prometheus.Registry, *configMetrics) {
	reg := prometheus.NewRegistry()
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: metricsNamespace, Name: name, Help: help})
	}
	m := &configMetrics{
		successful: gauge("config_last_reload_successful", "Whether the last attempt to load the configuration succeeded."),
		at:         gauge("config_last_reload_success_timestamp_seconds", "When the configuration in force was loaded."),
		hash:       gauge("config_hash", "A hash of the configuration in force; equal on replicas that are configured alike."),
	}
	b := buildInfo()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: metricsNamespace, Name: "build_info", Help: "A constant 1, labelled with what was built.",
		ConstLabels: prometheus.Labels{"version": b.Version, "commit": b.Commit, "goversion": b.Go},
	})
	info.Set(1)
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		info, m.successful, m.at, m.hash)
	return reg, m
}

func (m *configMetrics) loaded(hash uint64) {
	m.successful.Set(1)
	m.at.SetToCurrentTime()
	m.hash.Set(float64(hash))
}

func (m *configMetrics) failed() { m.successful.Set(0) }
