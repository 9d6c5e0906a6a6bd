package handlers

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/signpost-sms/signpost/messaging"
)

// maxStack bounds the stack that a panic keeps: the top frames name the fault, and a
// runaway recursion would otherwise fill the journal.
const maxStack = 16 << 10

// Recover turns a panic of next into a *[messaging.PanicError] with its stack, so that the
// event is tried again like after any other error.
//
// It does not make the handler's own state whole again: what it had locked stays locked
// unless a defer unlocked it. It does not see panics of goroutines that the handler started;
// those end the program, as no other goroutine can recover them.
func Recover(next messaging.Handler) messaging.Handler {
	return &pure{before: []messaging.Handler{next}, run: func(ctx context.Context, w messaging.Responder, ev *messaging.Event) (err error) {
		defer func() {
			if v := recover(); v != nil {
				stack := debug.Stack()
				err = &messaging.PanicError{Value: v, Stack: stack[:min(len(stack), maxStack)]}
			}
		}()
		return next.HandleEvent(ctx, w, ev)
	}}
}

// RecoverOptions are the options of [Recover]; it has none.
type RecoverOptions struct{}

// Middleware returns Recover.
func (o *RecoverOptions) Middleware(Env) (messaging.Middleware, error) { return Recover, nil }

// SetScalar accepts an empty value.
func (o *RecoverOptions) SetScalar(text string) error { return noScalar("recover", text) }

func noScalar(name, text string) error {
	if text != "" {
		return fmt.Errorf("%s takes no value: write %s: with nothing after the colon", name, name)
	}
	return nil
}
