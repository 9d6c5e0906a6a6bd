package handlers

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/signpost-sms/signpost/messaging"
)

// OnState gives the delivery states in only to h, all of them if only is empty; other states
// and every message pass. h decides: the handlers after it do not see what it was given.
//
// It does not retry a send that failed: the platform's word is final, and the same text
// under a new id is a second message to the same person. A handler that answers a failure
// with another send should keep count by [messaging.SendRef].
func OnState(h messaging.Handler, only ...messaging.State) messaging.Middleware {
	if h == nil {
		panic("handlers: OnState has a nil handler")
	}
	only = slices.Clone(only)
	return func(next messaging.Handler) messaging.Handler {
		return &pure{before: []messaging.Handler{h, next}, run: func(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
			if concerns(ev, only) {
				return h.HandleEvent(ctx, w, ev)
			}
			return next.HandleEvent(ctx, w, ev)
		}}
	}
}

// LogState writes one record at the given level for each delivery state in only, all of them
// if it is empty, and passes everything on. Numbers are masked, also within the platform's
// reason. A nil log means slog.Default at the time of the event.
func LogState(log *slog.Logger, level slog.Level, only ...messaging.State) messaging.Middleware {
	env := Env{Logger: log}
	only = slices.Clone(only)
	return func(next messaging.Handler) messaging.Handler {
		return messaging.HandlerFunc(func(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
			if concerns(ev, only) {
				logState(ctx, env.logger(), level, ev)
			}
			return next.HandleEvent(ctx, w, ev)
		})
	}
}

func concerns(ev *messaging.Event, only []messaging.State) bool {
	return ev.Kind == messaging.KindState && (len(only) == 0 || slices.Contains(only, ev.State))
}

func logState(ctx context.Context, log *slog.Logger, level slog.Level, ev *messaging.Event) {
	if !log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("component", "handlers"),
		slog.String("context", ev.Context),
		slog.String("event_id", ev.ID),
		slog.String("message_id", ev.MessageID),
		slog.Any("from", ev.From),
		slog.Any("to", ev.To),
		slog.String("state", string(ev.State)),
	}
	if ev.Send != nil {
		attrs = append(attrs, slog.String("send_id", ev.Send.ID.String()))
		if ev.Send.InReplyTo != "" {
			attrs = append(attrs, slog.String("in_reply_to", ev.Send.InReplyTo))
		}
	}
	if ev.Reason != "" {
		attrs = append(attrs, slog.String("reason", maskDigits(ev.Reason)))
	}
	log.LogAttrs(ctx, level, "delivery state", attrs...)
}

// maxReason bounds the platform's free text in a log record.
const maxReason = 200

// minNumber is the length from which a run of digits may be somebody's number. Error codes
// of the platform and the carriers are shorter.
const minNumber = 7

// maskDigits keeps the last two digits of everything in a text that may be a number.
func maskDigits(s string) string {
	if len(s) > maxReason {
		s = strings.ToValidUTF8(s[:maxReason], "")
	}
	out := []byte(s)
	for i := 0; i < len(out); {
		if !isDigit(out[i]) {
			i++
			continue
		}
		// A number may be written in groups: (202) 555-0123, 202.555.0123.
		digits, end := 0, i
		for j := i; j < len(out) && j <= end+2; j++ {
			if isDigit(out[j]) {
				digits, end = digits+1, j+1
			} else if !strings.ContainsRune(" .-()", rune(out[j])) {
				break
			}
		}
		if digits >= minNumber {
			for j, left := i, digits; j < end; j++ {
				if !isDigit(out[j]) {
					continue
				}
				if left > 2 {
					out[j] = '*'
				}
				left--
			}
		}
		i = end
	}
	return string(out)
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// StateLogOptions are the options of [LogState].
type StateLogOptions struct {
	// States are the states to act on: queued, initiated, sent, delivered, undelivered,
	// failed. Default: failed and undelivered.
	States []messaging.State `yaml:"states"`
	// Log is the level of the record: debug, info, warn or error. Default: warn.
	Log string `yaml:"log"`

	nested messaging.Middleware
}

// ForStates lists the states that are acted on.
func (o *StateLogOptions) ForStates() []messaging.State {
	if len(o.States) == 0 {
		return []messaging.State{messaging.StateFailed, messaging.StateUndelivered}
	}
	return slices.Clone(o.States)
}

// NestedEnv is env.
func (o *StateLogOptions) NestedEnv(env Env) (Env, error) { return env, nil }

// SetNested adds a chain that runs for the states after they are logged. What it passes on
// goes to the handler after it.
func (o *StateLogOptions) SetNested(chain messaging.Middleware) { o.nested = chain }

// Middleware makes the middleware.
func (o *StateLogOptions) Middleware(env Env) (messaging.Middleware, error) {
	level, err := levelOf(o.Log, slog.LevelWarn)
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	states := o.ForStates()
	for i, s := range states {
		// Inbounds are "received"; no delivery state of a send is.
		if s.Rank() == 0 {
			return nil, fmt.Errorf("states[%d]: %q is not a delivery state: use queued, initiated, sent, delivered, undelivered or failed", i, s)
		}
	}
	log := LogState(env.Logger, level, states...)
	return func(next messaging.Handler) messaging.Handler {
		if o.nested != nil {
			next = OnState(o.nested(next), states...)(next)
		}
		return log(next)
	}, nil
}
