package messaging

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signpost-sms/signpost/relay"
)

// class says what to do about an answer that is a no.
type class uint8

const (
	classPermanent   class = iota // never again: the request itself is wrong
	classLater                    // a fault on their side: again with backoff
	classThrottle                 // too fast: again with backoff
	classCredentials              // not allowed: never again, and somebody must look
)

// codes is the one table of the platform's refusals, by result or error code. 402 is
// retried, since an operator who tops up the balance wants the replies to go out. Codes
// that are not here: 5xx and the JSON-RPC server range are later, the rest is permanent.
var codes = map[string]class{
	"401": classCredentials, "403": classCredentials, "-32001": classCredentials, "-32002": classCredentials,
	"402": classLater, "408": classLater, "409": classLater, "425": classLater,
	"429":    classThrottle,
	"-32603": classLater, "-32000": classLater,
}

// classify reads an answer's error.
func classify(err error) (c class, code string) {
	var no *relay.Error
	if !errors.As(err, &no) {
		return classPermanent, ""
	}
	if c, ok := codes[no.Code]; ok {
		return c, no.Code
	}
	if n, err := strconv.Atoi(no.Code); err == nil && (n >= 500 && n <= 599 || n <= -32000 && n >= -32099) {
		return classLater, no.Code
	}
	return classPermanent, no.Code
}

// Redeliver says how often a send goes out whose delivery failed for a reason that may pass.
type Redeliver struct {
	Attempts int           // in all; 1: never again. Default 3
	Wait     time.Duration // before the next one; default 60 s
}

// passing are what a reason holds when a later try may reach the person: a telephone that is
// off or out of reach, a network that is busy. The platform does not document its reasons;
// whatever names none of these, such as a filter, a block or a wrong number, is final.
var passing = []string{
	"unreachable", "timeout", "timed out", "timed_out", "temporar", "try again", "try_again", "unavailable",
	"congest", "throttl", "busy", "switched off", "absent", "network error", "network_error", "internal error", "internal_error",
}

// mayPass reports whether the reason of a failed delivery is one that may pass.
func mayPass(reason string) bool {
	reason = strings.ToLower(reason)
	return slices.ContainsFunc(passing, func(p string) bool { return strings.Contains(reason, p) })
}

// redelivery is the wish to send again after a failed delivery; nil for any other event.
func (e *Engine) redelivery(ev *Event) *Redelivery {
	again := e.cfg.Redeliver
	if ev.Kind != KindState || ev.State != StateFailed && ev.State != StateUndelivered || again.Attempts <= 1 || !mayPass(ev.Reason) {
		return nil
	}
	return &Redelivery{Attempts: again.Attempts, At: e.now.Add(again.Wait + rand.N(again.Wait/4+1))}
}

// Backoff of retries, from the attempt's number: 1 s doubling to 5 min, full jitter over
// the upper half so that retries never bunch and never come at once.
const (
	backoffFirst = time.Second
	backoffMost  = 5 * time.Minute
)

func backoffFor(attempt int) time.Duration {
	d := backoffMost
	if attempt < 10 {
		d = min(backoffFirst<<max(attempt-1, 0), backoffMost)
	}
	return d/2 + rand.N(d/2)
}
