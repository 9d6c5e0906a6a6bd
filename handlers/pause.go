package handlers

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

// maxPause bounds the pause between two tries of what cannot be reached: when it is back,
// whoever wrote should not wait for much longer.
const maxPause = 30 * time.Second

// pauseFor says to try again: after d or, if that is 0, after a pause that grows with how long
// it has been tried. Once patience is over it says to give up.
func pauseFor(d time.Duration, since time.Time, patience time.Duration, err error) error {
	tried := time.Since(since)
	if tried > patience {
		return messaging.Drop(fmt.Errorf("%w; given up after %v", err, tried.Round(time.Second)))
	}
	if d == 0 {
		d = min(max(tried/2, time.Second), maxPause)
		d += rand.N(d/4 + 1) // not all at once when it is back
	}
	return messaging.RetryAfter(d, err)
}
