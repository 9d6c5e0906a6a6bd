package daemon

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestStopUnwindsLastInFirstOut(t *testing.T) {
	t.Parallel()
	var order []string
	l := &lifecycle{log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	for _, name := range []string{"store", "session", "engine"} {
		l.onStop(name, time.Second, func(context.Context) error {
			order = append(order, name)
			if name == "session" {
				return errors.New("it was asleep")
			}
			return nil
		})
	}
	err := l.stop()
	if diff := cmp.Diff([]string{"engine", "session", "store"}, order); diff != "" {
		t.Errorf("order of the stop (-want +got):\n%s", diff)
	}
	if err == nil || !strings.Contains(err.Error(), "stop session: it was asleep") {
		t.Errorf("stop: got %v, want the session's error by name", err)
	}
	if err := l.stop(); err != nil || len(order) != 3 {
		t.Errorf("second stop: got %v and %d steps, want nothing done", err, len(order))
	}
}

func TestStopNamesTheStuckStepAndGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		l := &lifecycle{log: slog.New(slog.NewTextHandler(&log, nil))}
		release := make(chan struct{})
		closed := false
		l.onStop("store", time.Second, func(context.Context) error { closed = true; return nil })
		l.onStop("engine", 2*time.Second, func(context.Context) error { <-release; return nil })
		began := time.Now()
		err := l.stop()
		if got, want := time.Since(began), 2*time.Second+stopSlack; got != want {
			t.Errorf("stop took %v, want %v", got, want)
		}
		if !errors.Is(err, errStuck) || !strings.Contains(err.Error(), "stop engine") {
			t.Errorf("stop: got %v, want the engine named as stuck", err)
		}
		if !closed {
			t.Error("the store was not closed after the engine got stuck")
		}
		if !strings.Contains(log.String(), `level=ERROR msg="stop step is stuck" step=engine`) {
			t.Errorf("log does not name the stuck step:\n%s", log.String())
		}
		close(release)
	})
}

func TestStopContextEndsWithTheBudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &lifecycle{log: slog.New(slog.NewTextHandler(io.Discard, nil))}
		l.onStop("engine", 3*time.Second, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		began := time.Now()
		if err := l.stop(); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errStuck) {
			t.Errorf("stop: got %v, want the step's own error", err)
		}
		if got, want := time.Since(began), 3*time.Second; got != want {
			t.Errorf("stop took %v, want %v", got, want)
		}
	})
}
