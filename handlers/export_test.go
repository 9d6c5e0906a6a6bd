package handlers

import (
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

// Begin and End are an attempt of forward at an event, for tests of time.
func (f *Forwards) Begin(ev *messaging.Event) any { return f.begin(ev) }

func (f *Forwards) End(w any, answered, success bool) { f.end(w.(*forwarding), answered, success) }

// Len is how many inbounds are remembered.
func (f *Forwards) Len() int { return len(f.byPair) }

// RetryAfterHeader is retryAfter.
func RetryAfterHeader(header string, now time.Time) time.Duration { return retryAfter(header, now) }

// ReadReply is readReply.
func ReadReply(answer []byte) (text string, media []string, err error) {
	r, err := readReply(answer)
	return r.text, r.media, err
}
