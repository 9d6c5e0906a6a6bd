package messaging

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/relay"
)

// Link is what the engine needs of a Relay session. *relay.Client implements it.
type Link interface {
	// Go puts a request on the wire without waiting; done is called exactly once.
	Go(id uuid.UUID, method string, params []byte, done func(relay.Answer))
	// Probe asks the session to find out whether the peer is still there.
	Probe()
	// Pause stops new events from coming, keeping the session; Resume lets them come again.
	Pause(reason string)
	Resume()
}

// Config tunes an Engine. The zero value of every field means its documented default.
type Config struct {
	Logger  *slog.Logger // slog.Default()
	Metrics *Metrics     // none

	// Owner names this instance in the journal. Default: a fresh UUIDv7.
	Owner uuid.UUID

	// Concurrency bounds how many handlers run at once. Default 64.
	Concurrency int
	// HandlerTimeout is when the context of a handler ends. Default 30 s. A handler that
	// has not returned HandlerGrace (default 5 s) later is given up: what it decides
	// afterwards is discarded and its event is tried again.
	HandlerTimeout, HandlerGrace time.Duration
	// MaxAttempts and GiveUpAfter bound the tries of a failing event, whichever comes
	// first. Defaults 8 and 10 min.
	MaxAttempts int
	GiveUpAfter time.Duration

	// MaxUnjournaled bounds the frames that wait for the store, in bytes. At half of it the
	// contexts are unreceived, beyond it events are dropped unacknowledged. Default 64 MiB.
	MaxUnjournaled int64
	// MaxHeld bounds the journaled events that wait in memory for their turn, in bytes; a
	// durable store keeps the rest. Default 32 MiB.
	MaxHeld int64

	// MaxUnanswered bounds the sends on the wire that have no answer yet, MaxBulk those of
	// them with PriorityBulk. Defaults 256 and 64.
	MaxUnanswered, MaxBulk int
	// AnswerTimeout is when an unanswered send becomes a doubt. Default 10 s.
	AnswerTimeout time.Duration
	// ReplyExpires is how long a reply is worth sending. Default 60 min.
	ReplyExpires time.Duration
	InDoubt      InDoubt
	Redeliver    Redeliver
	// Log, when set, is asked about doubts before the policy decides.
	Log MessageLog

	// Consent is what the operator may choose about opt-outs.
	Consent ConsentPolicy

	// Rules are asked, in order, about every send before it may leave; see Rule.
	Rules []Rule

	// Instances, when set, is told how many instances share the store, this one included,
	// before its first send may leave, and whenever that changes: after at most a quarter of
	// a lease. It is not called where the store does not know. It is called on the engine's
	// goroutine and must not block.
	Instances func(n int)

	// Trace, when set, is told what becomes of each inbound and send. It is called on the
	// engine's goroutine and must not block.
	Trace func(Trace)
}

// InDoubt says how a doubt ends when no state event settles it.
type InDoubt struct {
	Wait    time.Duration // before the message log is asked, or without one the policy decides; default 60 s
	Settle  time.Duration // after which the log cannot lag behind any more, counted from the doubt; default 5 min
	Release time.Duration // under hold: when the conversation goes on, counted from the doubt; default 10 min
	Resend  bool          // false: hold
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.Logger = c.Logger.With("component", "messaging")
	if c.Metrics == nil {
		c.Metrics = NewMetrics(nil)
	}
	if c.Owner == (uuid.UUID{}) {
		c.Owner = newID()
	}
	c.Concurrency = orDefault(c.Concurrency, 64)
	c.HandlerTimeout = orDefault(c.HandlerTimeout, 30*time.Second)
	c.HandlerGrace = orDefault(c.HandlerGrace, 5*time.Second)
	c.MaxAttempts = orDefault(c.MaxAttempts, 8)
	c.GiveUpAfter = orDefault(c.GiveUpAfter, 10*time.Minute)
	c.MaxUnjournaled = orDefault(c.MaxUnjournaled, 64<<20)
	c.MaxHeld = orDefault(c.MaxHeld, 32<<20)
	c.MaxUnanswered = orDefault(c.MaxUnanswered, 256)
	c.MaxBulk = orDefault(c.MaxBulk, 64)
	c.AnswerTimeout = orDefault(c.AnswerTimeout, 10*time.Second)
	c.ReplyExpires = orDefault(c.ReplyExpires, 60*time.Minute)
	c.Redeliver.Attempts = orDefault(c.Redeliver.Attempts, 3)
	c.Redeliver.Wait = orDefault(c.Redeliver.Wait, time.Minute)
	c.InDoubt.Wait = orDefault(c.InDoubt.Wait, 60*time.Second)
	c.InDoubt.Settle = orDefault(c.InDoubt.Settle, 5*time.Minute)
	c.InDoubt.Release = orDefault(c.InDoubt.Release, 10*time.Minute)
	c.Consent = c.Consent.withDefaults()
	return c
}

// newID gives a UUIDv7: unique, and ordered by time, so that rows that are written
// together lie together in an index.
func newID() uuid.UUID {
	id, err := uuid.NewV7()
	if err != nil {
		panic("messaging: the system's random source is broken: " + err.Error())
	}
	return id
}

// Trace tells what became of something. One of Inbound and Send is set.
type Trace struct {
	Inbound *InboundTrace
	Send    *SendTrace
}

// InboundTrace is one run of an inbound's chain, or a duplicate's end.
type InboundTrace struct {
	Event     *Event
	Duplicate bool
	Outcome   *Outcome // nil for a duplicate
}

// SendTrace is a change in the life of a send.
type SendTrace struct {
	ID        uuid.UUID
	InReplyTo string
	Status    Status
	Reason    string
}

// background is the parent of every handler's context when Run has not given one yet.
var background = context.Background()
