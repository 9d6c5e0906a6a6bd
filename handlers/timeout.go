package handlers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

// Timeout gives next a context that ends after d. It panics if d is not positive.
//
// It never abandons a handler that ignores its context: that one would go on beside its own
// retry and could have its effects twice. It waits, and a handler that then reports success
// has succeeded. A pure next gets no deadline, since nothing in it can wait.
func Timeout(d time.Duration) messaging.Middleware {
	if d <= 0 {
		panic(fmt.Sprintf("handlers: Timeout(%v) leaves no time: give it a positive duration", d))
	}
	return func(next messaging.Handler) messaging.Handler {
		return &timeout{next: next, d: d}
	}
}

type timeout struct {
	next messaging.Handler
	d    time.Duration
}

func (t *timeout) Instant() bool { return messaging.IsInstant(t.next) }

func (t *timeout) HandleEvent(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
	if t.Instant() {
		return t.next.HandleEvent(ctx, w, ev)
	}
	limited, cancel := context.WithTimeout(ctx, t.d)
	defer cancel()
	err := t.next.HandleEvent(limited, w, ev)
	// The outer context may have ended too, at a shutdown; then it is not our deadline.
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil && limited.Err() != nil {
		return fmt.Errorf("handler took longer than its timeout of %v: raise it, or do less: %w", t.d, err)
	}
	return err
}

// TimeoutOptions are the options of [Timeout].
type TimeoutOptions struct {
	// After is how long the handlers after it may take, such as 10s. Required.
	After Duration `yaml:"after"`
}

// Middleware makes the middleware.
func (o *TimeoutOptions) Middleware(Env) (messaging.Middleware, error) {
	if o.After <= 0 {
		return nil, fmt.Errorf("after: %v leaves no time: give it a positive duration such as 10s", time.Duration(o.After))
	}
	return Timeout(time.Duration(o.After)), nil
}

// SetScalar sets After.
func (o *TimeoutOptions) SetScalar(text string) error { return o.After.UnmarshalText([]byte(text)) }

// Duration is a time.Duration that is written as 10s or 1m30s.
type Duration time.Duration

// UnmarshalText reads a duration with its unit.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a duration: write a number with a unit, such as 10s or 1m30s", text)
	}
	*d = Duration(v)
	return nil
}

// MarshalText writes the duration as it is read.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }
