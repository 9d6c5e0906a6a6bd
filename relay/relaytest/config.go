package relaytest

import (
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"time"
)

// Defaults that Config's zero values stand for.
const (
	DefaultPingInterval = 5 * time.Second
	// DefaultTranscript is how many frames, sends, texts and log entries are
	// kept each: enough to look back over a test or an afternoon by hand. A
	// space that has run for days holds about 60 MiB with it.
	DefaultTranscript = 20_000
	// DefaultMaxQueue bounds the bytes that wait for one slow connection.
	DefaultMaxQueue = 64 << 20
	// DefaultMaxFrame bounds one message from a client.
	DefaultMaxFrame = 16 << 20
	// maxUnacked bounds the unacknowledged events tracked for one session and
	// the events waiting for a subscriber; the oldest are given up as lost.
	maxUnacked = 100_000
	// maxRecent bounds what is remembered to recognise repeats: request ids,
	// client tags, acknowledged events.
	maxRecent = 1 << 16
	// maxSessions bounds the known sessions; the longest disconnected go first.
	maxSessions = 10_000
)

// Config describes a space. The zero value is a space on free loopback ports
// that accepts every non-empty credential.
type Config struct {
	// InMemory serves without sockets: connect with Server.DialContext or
	// Server.Client. Such a server lives inside a synctest bubble if it was
	// started there.
	InMemory bool
	// Addr, TLSAddr and HTTPAddr are the listen addresses of ws, wss, and of
	// REST with the control API; default "127.0.0.1:0" each. Unused InMemory.
	Addr, TLSAddr, HTTPAddr string
	// Hosts are further DNS names and IP addresses for the wss certificate,
	// beside localhost, 127.0.0.1 and ::1.
	Hosts []string

	// Credentials maps project ids to API tokens. Empty accepts any non-empty
	// pair. JWTs lists accepted jwt_token values; empty accepts any non-empty
	// one, unless Credentials is set.
	Credentials map[string]string
	JWTs        []string
	// Numbers binds our phone numbers to contexts, so that an inbound can be
	// injected by To alone.
	Numbers map[string]string

	// Clock drives everything timed; default NewClock().
	Clock *Clock
	// Seed makes ids and choices repeatable; the zero seed is a fixed one too.
	Seed uint64
	// PingInterval is the time between server pings, default 5 s; negative
	// means never.
	PingInterval time.Duration
	// StateDelay is the time before each delivery state; default none.
	StateDelay time.Duration
	// NoMagic switches the magic destination numbers off, for load tests that
	// make their numbers up.
	NoMagic bool
	// RoundRobin gives events of a context to one subscribed session in turn,
	// instead of to all of them.
	RoundRobin bool
	// Faults are the deviations in force from the start; see SetFaults.
	Faults Faults

	// Transcript, MaxQueue and MaxFrame are bounds; see the defaults.
	Transcript int
	MaxQueue   int
	MaxFrame   int64

	// Strict rejects unknown parameters and, under NewServer, fails the test on
	// every protocol violation. NewServer sets it.
	Strict bool
	// Logger is told of violations and of connections coming and going, without
	// numbers, bodies or credentials; default: discard.
	Logger *slog.Logger
	// Callbacks posts the status callbacks of messages created over REST.
	// Default: a client with a time-out of 5 s, or none when InMemory.
	Callbacks *http.Client

	report func(Violation) // what NewServer does with violations
}

// Option changes the configuration of NewServer. Any function literal will do.
type Option func(*Config)

// InMemory is an Option: no sockets, fit for synctest.
func InMemory(c *Config) { c.InMemory = true }

// Lenient is an Option: protocol violations are recorded and logged, but do not
// fail the test, and unknown parameters are accepted.
func Lenient(c *Config) { c.Strict = false }

// WithConfig is an Option that replaces the whole configuration. Strict is as
// given.
func WithConfig(cfg Config) Option { return func(c *Config) { *c = cfg } }

func (c Config) withDefaults() (Config, error) {
	c.Credentials, c.Numbers, c.JWTs = maps.Clone(c.Credentials), maps.Clone(c.Numbers), slices.Clone(c.JWTs)
	orAddr := func(p *string) {
		if *p == "" {
			*p = "127.0.0.1:0"
		}
	}
	orAddr(&c.Addr)
	orAddr(&c.TLSAddr)
	orAddr(&c.HTTPAddr)
	if c.Clock == nil {
		c.Clock = NewClock()
	}
	if c.PingInterval == 0 {
		c.PingInterval = DefaultPingInterval
	}
	if c.Transcript == 0 {
		c.Transcript = DefaultTranscript
	}
	if c.MaxQueue == 0 {
		c.MaxQueue = DefaultMaxQueue
	}
	if c.MaxFrame == 0 {
		c.MaxFrame = DefaultMaxFrame
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Callbacks == nil && !c.InMemory {
		c.Callbacks = &http.Client{Timeout: 5 * time.Second}
	}
	if c.Transcript < 0 || c.MaxQueue < 0 || c.MaxFrame < 0 || c.StateDelay < 0 {
		return c, fmt.Errorf("relaytest: negative bound or delay in Config; leave it 0 for the default")
	}
	if err := c.Faults.validate(); err != nil {
		return c, fmt.Errorf("relaytest: Config.Faults: %w", err)
	}
	return c, nil
}
