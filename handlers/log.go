package handlers

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

// Log writes one record per event at the given level: its id, context and kind, both
// numbers masked, the length of the body, how many sends were decided, the outcome and how
// long next took. A nil log means slog.Default at the time of the event.
//
// It does not write bodies, media addresses or whole numbers, at any level: logs are copied
// to more places than the journal. It does not decide the level by the outcome: what fails
// for good is reported by whoever runs the chain.
//
// While the level is off it costs nothing and keeps next pure.
func Log(log *slog.Logger, level slog.Level) messaging.Middleware {
	env := Env{Logger: log}
	return func(next messaging.Handler) messaging.Handler {
		return &logged{next: next, env: env, level: level}
	}
}

type logged struct {
	next  messaging.Handler
	env   Env
	level slog.Level
}

// Instant is false while there is something to write: a run whose decision is discarded
// would leave a record of what never happened.
func (l *logged) Instant() bool {
	return !l.env.logger().Enabled(context.Background(), l.level) && messaging.IsInstant(l.next)
}

func (l *logged) HandleEvent(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
	log := l.env.logger()
	if !log.Enabled(ctx, l.level) {
		return l.next.HandleEvent(ctx, w, ev)
	}
	counted := &counter{Responder: w}
	begin := time.Now()
	done := false
	var err error
	defer func() {
		outcome := outcomeOf(err, counted.n)
		if !done {
			outcome = "panic" // passes on; Recover belongs outside of Log
		}
		attrs := []slog.Attr{
			slog.String("component", "handlers"),
			slog.String("context", ev.Context),
			slog.String("event_id", ev.ID),
			slog.String("kind", ev.Kind.String()),
			slog.Any("from", ev.From),
			slog.Any("to", ev.To),
			slog.Int("body_len", len(ev.Body)),
			slog.Int("media", len(ev.Media)),
			slog.Int("attempt", ev.Attempt),
			slog.String("outcome", outcome),
			slog.Int("sends", counted.n),
			slog.Duration("duration", time.Since(begin)),
		}
		if ev.Kind == messaging.KindState {
			attrs = append(attrs, slog.String("state", string(ev.State)))
		}
		if err != nil {
			attrs = append(attrs, slog.Any("err", err))
		}
		log.LogAttrs(ctx, l.level, "event handled", attrs...)
	}()
	err = l.next.HandleEvent(ctx, counted, ev)
	done = true
	return err
}

func outcomeOf(err error, sends int) string {
	_, later := messaging.RetryDelay(err)
	switch {
	case messaging.IsDrop(err):
		return "drop"
	case later:
		return "retry_after"
	case err != nil:
		return "error"
	case sends > 0:
		return "answered"
	}
	return "nothing"
}

// counter counts what a handler decides.
type counter struct {
	messaging.Responder
	n int
}

func (c *counter) Reply(text string) {
	c.n++
	c.Responder.Reply(text)
}

func (c *counter) ReplyMedia(text string, urls ...string) {
	c.n++
	c.Responder.ReplyMedia(text, urls...)
}

func (c *counter) Send(s messaging.Send) {
	c.n++
	c.Responder.Send(s)
}

func (c *counter) OptOut(why string) {
	c.n++
	c.Responder.OptOut(why)
}

func (c *counter) OptIn(why string) {
	c.n++
	c.Responder.OptIn(why)
}

// LogOptions are the options of [Log].
type LogOptions struct {
	// Level is debug, info, warn or error. Default: debug.
	Level string `yaml:"level"`
}

// Middleware makes the middleware.
func (o *LogOptions) Middleware(env Env) (messaging.Middleware, error) {
	level, err := levelOf(o.Level, slog.LevelDebug)
	if err != nil {
		return nil, fmt.Errorf("level: %w", err)
	}
	return Log(env.Logger, level), nil
}

// SetScalar sets Level.
func (o *LogOptions) SetScalar(text string) error {
	o.Level = text
	_, err := levelOf(text, slog.LevelDebug)
	return err
}

func levelOf(name string, byDefault slog.Level) (slog.Level, error) {
	switch name {
	case "":
		return byDefault, nil
	case "debug":
		return slog.LevelDebug, nil
	case "info":
		return slog.LevelInfo, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	}
	return 0, fmt.Errorf("%q is not a level: use debug, info, warn or error", name)
}
