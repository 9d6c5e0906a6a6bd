package handlers_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signpost-sms/signpost/handlers"
	"github.com/signpost-sms/signpost/messaging"
)

func handle(t *testing.T, h messaging.Handler, ev *messaging.Event) error {
	t.Helper()
	return h.HandleEvent(t.Context(), discard{}, ev)
}

func TestRecover(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	for name, value := range map[string]any{"an error": boom, "a string": "secret text", "nil": nil} {
		err := handle(t, handlers.Recover(messaging.HandlerFunc(func(context.Context, messaging.Responder, *messaging.Event) error {
			panic(value)
		})), message("x"))
		var p *messaging.PanicError
		if !errors.As(err, &p) {
			t.Fatalf("panic with %s: got %v, want a PanicError", name, err)
		}
		if !strings.Contains(string(p.Stack), "guard_test.go") {
			t.Errorf("panic with %s: the stack does not show where: %s", name, p.Stack)
		}
		if errors.Is(err, boom) != (value == any(boom)) {
			t.Errorf("panic with %s: errors.Is says %v", name, errors.Is(err, boom))
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("panic with %s: the error quotes the value: %v", name, err)
		}
	}
	for _, want := range []error{nil, boom} {
		h := handlers.Recover(messaging.HandlerFunc(func(context.Context, messaging.Responder, *messaging.Event) error { return want }))
		if got := handle(t, h, message("x")); !errors.Is(got, want) {
			t.Errorf("without a panic: got %v, want %v", got, want)
		}
	}
}

func TestRecoverBoundsTheStack(t *testing.T) {
	t.Parallel()
	var deep func(n int) int
	deep = func(n int) int {
		if n == 0 {
			panic("deep")
		}
		return deep(n-1) + 1
	}
	err := handle(t, handlers.Recover(messaging.HandlerFunc(func(context.Context, messaging.Responder, *messaging.Event) error {
		deep(10_000)
		return nil
	})), message("x"))
	var p *messaging.PanicError
	if !errors.As(err, &p) || len(p.Stack) == 0 || len(p.Stack) > 16<<10 {
		t.Errorf("deep panic: got %v with a stack of %d bytes, want at most 16 KiB", err, len(p.Stack))
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		err := handle(t, handlers.Timeout(10*time.Second)(messaging.HandlerFunc(func(ctx context.Context, _ messaging.Responder, _ *messaging.Event) error {
			<-ctx.Done()
			return ctx.Err()
		})), message("x"))
		if got, want := time.Since(begin), 10*time.Second; got != want {
			t.Errorf("deadline: got %v, want %v", got, want)
		}
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "timeout of 10s") {
			t.Errorf("error: got %v, want one that names the timeout", err)
		}
	})
}

// A handler that is left behind would run beside its own retry.
func TestTimeoutNeverAbandonsAHandler(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		returned := false
		err := handle(t, handlers.Timeout(time.Second)(messaging.HandlerFunc(func(context.Context, messaging.Responder, *messaging.Event) error {
			time.Sleep(time.Hour) // deaf to its context
			returned = true
			return nil
		})), message("x"))
		if !returned || err != nil {
			t.Errorf("deaf handler: returned %v with %v, want that it is waited for and has succeeded", returned, err)
		}
	})
}

func TestTimeoutLeavesOtherErrorsAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		outer, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := handlers.Timeout(time.Minute)(messaging.HandlerFunc(func(ctx context.Context, _ messaging.Responder, _ *messaging.Event) error {
			<-ctx.Done()
			return ctx.Err()
		})).HandleEvent(outer, discard{}, message("x"))
		if err != context.DeadlineExceeded { //nolint:errorlint // unwrapped: it is not our deadline
			t.Errorf("outer deadline: got %v, want it as it was", err)
		}
		boom := errors.New("boom")
		err = handle(t, handlers.Timeout(time.Minute)(messaging.HandlerFunc(func(context.Context, messaging.Responder, *messaging.Event) error { return boom })), message("x"))
		if err != boom { //nolint:errorlint // as it was, without anything around it
			t.Errorf("handler's own error: got %v, want it as it was", err)
		}
	})
}

func TestTimeoutReleasesItsTimer(t *testing.T) {
	t.Parallel()
	var kept context.Context
	_ = handle(t, handlers.Timeout(time.Hour)(messaging.HandlerFunc(func(ctx context.Context, _ messaging.Responder, _ *messaging.Event) error {
		kept = ctx
		return nil
	})), message("x"))
	if kept.Err() == nil {
		t.Error("the context lives on after the handler returned")
	}
}
