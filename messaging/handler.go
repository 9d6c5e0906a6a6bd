package messaging

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Handler answers events. HandleEvent runs off the network's goroutines, one at a time per
// conversation and concurrently across conversations. What it decides through w is stored
// in one transaction with the event's completion, or not at all: a crash before that
// repeats the handler, a crash after it repeats nothing.
//
// A nil error completes the event. [Drop] and [RetryAfter] instruct; any other error, and a
// panic, means: try again with backoff, and after 8 attempts or 10 minutes keep the event
// as a dead letter. On any error what was decided is discarded.
type Handler interface {
	HandleEvent(ctx context.Context, w Responder, ev *Event) error
}

// HandlerFunc makes a function a Handler.
type HandlerFunc func(ctx context.Context, w Responder, ev *Event) error

// HandleEvent calls f.
func (f HandlerFunc) HandleEvent(ctx context.Context, w Responder, ev *Event) error {
	return f(ctx, w, ev)
}

// Middleware wraps a handler. It decides by not calling next.
type Middleware func(next Handler) Handler

// Responder collects what a handler decides. Its methods may be called only until the
// handler returns, and not concurrently; afterwards they do nothing. Mistakes (a reply with
// neither text nor media) fail the event for good when the handler returns.
type Responder interface {
	// Reply answers the sender of an inbound from the number they texted.
	Reply(text string)
	// ReplyMedia is Reply with media URLs; the text may be empty.
	ReplyMedia(text string, urls ...string)
	// Send sends any message. Empty From, To and Context are the event's own.
	Send(s Send)
	// OptOut records that the person revoked consent, for what a machine does not read from
	// their words; why is kept with it. Nothing goes to them any more, this run's other sends
	// included, but the one confirmation. OptIn records that they gave it again.
	OptOut(why string)
	OptIn(why string)
	// Session is what is remembered of the conversation.
	Session() Session
	// Ask replies with a question and sends the next message of this conversation, if it
	// comes within ttl, to the answer route of that name first; see [Answerer] and
	// [AnswerTo]. A conversation has one open question: the last one asked. It is closed
	// when the route's handler has returned nil, or never answered.
	//
	// HELP and the words of consent are not answers. While a question is open, YES from
	// somebody who opted out is not taken for an opt-in: nobody can tell what it answers.
	Ask(question, name string, ttl time.Duration)
	// Pause hands the conversation to a person until that time, at most PauseMost ahead: no
	// chain runs for its messages. Resume ends that; the handler of an [Attendant] sees
	// messages meanwhile and may call it.
	Pause(until time.Time)
	Resume()
}

// Instant is implemented by a handler that may say of itself that it is pure: it neither
// blocks nor has effects outside its Responder, and decides by the event alone. The engine
// runs such a chain without a goroutine of its own, while the event's append is still in
// flight, and discards the decision if the event turns out to be a duplicate.
type Instant interface {
	Handler
	Instant() bool
}

// IsInstant reports whether h says that it is pure.
func IsInstant(h Handler) bool {
	i, ok := h.(Instant)
	return ok && i.Instant()
}

// Named gives a handler the name under which the journal shows it when it decides; see
// [Entered]. It is as pure as h is.
func Named(name string, h Handler) Handler { return named{name, h} }

type named struct {
	name string
	h    Handler
}

func (n named) HandleEvent(ctx context.Context, w Responder, ev *Event) error {
	Entered(w, n.name)
	return n.h.HandleEvent(ctx, w, ev)
}

// Instant implements messaging.Instant.
func (n named) Instant() bool { return IsInstant(n.h) }

type dropError struct{ err error }

func (e *dropError) Error() string { return "drop: " + e.err.Error() }
func (e *dropError) Unwrap() error { return e.err }

// Drop wraps err to say: do not try again. The event becomes a dead letter at once. It
// returns nil for a nil err.
func Drop(err error) error {
	if err == nil {
		return nil
	}
	return &dropError{err}
}

// IsDrop reports whether err instructs to give up.
func IsDrop(err error) bool {
	var d *dropError
	return errors.As(err, &d)
}

type retryAfterError struct {
	after time.Duration
	err   error
}

func (e *retryAfterError) Error() string { return e.err.Error() } // the delay is shown as a time
func (e *retryAfterError) Unwrap() error { return e.err }

// RetryAfter wraps err to say: not now, but after d. It does not count as an attempt; the
// conversation waits meanwhile. It returns nil for a nil err.
func RetryAfter(d time.Duration, err error) error {
	if err == nil {
		return nil
	}
	return &retryAfterError{after: max(d, 0), err: err}
}

// RetryDelay is the delay that err asks for; false if it asks for none.
func RetryDelay(err error) (time.Duration, bool) {
	var r *retryAfterError
	if errors.As(err, &r) {
		return r.after, true
	}
	return 0, false
}

// PanicError is the error of a handler that panicked.
type PanicError struct {
	Value any
	Stack []byte
}

// Error names the type of the panic value only: the value may hold a message body.
func (e *PanicError) Error() string {
	if err, ok := e.Value.(error); ok {
		return fmt.Sprintf("handler panicked with an error of type %T", err)
	}
	return fmt.Sprintf("handler panicked with a %T", e.Value)
}

// Unwrap gives the panic value if it was an error, such as a runtime.Error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}
