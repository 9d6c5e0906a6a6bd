package relay

import (
	"time"

	"github.com/cenkalti/backoff/v4"
)

const (
	// firstCeiling bounds the first retry: after the loss of a good session
	// most outages are one node going away, and 125 ms on average spreads the
	// clients of a node without being felt.
	firstCeiling = 250 * time.Millisecond

	// maxDelay bounds every retry, randomisation included.
	maxDelay = 30 * time.Second

	// Beyond stormLosses ready sessions lost within stormWindow the loss is
	// no longer an accident, and the ceiling grows as if they had not become
	// ready.
	stormLosses = 20
	stormWindow = time.Minute
)

// newBackOff returns a generator of delays with full jitter: uniform between 0
// and a ceiling that begins at firstCeiling and doubles to maxDelay. The
// library draws from interval*(1±factor), so with factor 1 the ceiling is twice
// its interval, and its MaxInterval, which does not bound what is drawn, is
// half of ours.
func newBackOff() *backoff.ExponentialBackOff {
	b := &backoff.ExponentialBackOff{
		InitialInterval:     firstCeiling / 2,
		RandomizationFactor: 1,
		Multiplier:          2,
		MaxInterval:         maxDelay / 2,
		MaxElapsedTime:      0, // for ever
		Stop:                backoff.Stop,
		Clock:               backoff.SystemClock,
	}
	b.Reset()
	return b
}

// next draws a delay. The library's upper bound is one nanosecond too high.
func next(b backoff.BackOff) time.Duration {
	return min(max(b.NextBackOff(), 0), maxDelay)
}

// redial decides how long to wait before the next attempt.
type redial struct {
	delays *backoff.ExponentialBackOff
	losses []time.Time // of ready sessions, within stormWindow
}

func newRedial() *redial { return &redial{delays: newBackOff()} }

// after returns the delay after an attempt that became ready, or did not, and
// ended at now.
func (r *redial) after(ready bool, now time.Time) time.Duration {
	if ready {
		recent := r.losses[:0]
		for _, t := range r.losses {
			if now.Sub(t) < stormWindow {
				recent = append(recent, t)
			}
		}
		r.losses = append(recent, now)
		if len(r.losses) <= stormLosses {
			r.delays.Reset()
		} else {
			r.losses = r.losses[1:] // as many as needed to tell
		}
	}
	return next(r.delays)
}
