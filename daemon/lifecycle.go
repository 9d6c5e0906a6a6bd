package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// stopSlack is how long a step of the stop may outlive its budget before it is given up as
// stuck: enough for an ended context to be noticed, too little to eat the next budget.
const stopSlack = time.Second

// cleanup undoes one step of the start.
type cleanup struct {
	name   string
	budget time.Duration
	run    func(context.Context) error
}

// lifecycle is the stack of what has been started: stop undoes it last in, first out, each
// step within its own budget. A New that fails half way unwinds through the same stop.
// It is used by one goroutine at a time.
type lifecycle struct {
	log   *slog.Logger
	steps []cleanup
}

// onStop pushes a step. The context that run gets ends with the budget.
func (l *lifecycle) onStop(name string, budget time.Duration, run func(context.Context) error) {
	l.steps = append(l.steps, cleanup{name, budget, run})
}

// stop undoes every step and joins what went wrong. A step that ignores its context is
// named in the log and in the error and left behind; the next steps run all the same, since
// a stuck handler must not keep the socket open.
func (l *lifecycle) stop() error {
	var errs []error
	for len(l.steps) > 0 {
		step := l.steps[len(l.steps)-1]
		l.steps = l.steps[:len(l.steps)-1]
		began := time.Now()
		err := step.undo()
		switch {
		case errors.Is(err, errStuck):
			l.log.Error("stop step is stuck", "step", step.name, "budget", step.budget)
		case err != nil:
			l.log.Warn("stop step ended with an error", "step", step.name, "took", time.Since(began), "err", err)
		default:
			l.log.Debug("stop step done", "step", step.name, "took", time.Since(began))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", step.name, err))
		}
	}
	return errors.Join(errs...)
}

// errStuck says that a step of the stop did not return within its budget.
var errStuck = errors.New("did not end in time")

// undo runs the step and waits for it, but not for ever.
func (c cleanup) undo() error {
	ctx, cancel := context.WithTimeout(context.Background(), c.budget)
	defer cancel()
	done := make(chan error, 1) // buffered: a step given up must not wait for us
	go func() { done <- c.run(ctx) }()
	watchdog := time.NewTimer(c.budget + stopSlack)
	defer watchdog.Stop()
	select {
	case err := <-done:
		return err
	case <-watchdog.C:
		return fmt.Errorf("%w (budget %v)", errStuck, c.budget)
	}
}
