package policy

import (
	"time"

	"github.com/signpost-sms/signpost/messaging/pace"
)

// Instances says how many daemons share the limits, this one included; each has its part of
// every rate from then on. It may be called at any time.
//
// They need not learn it at once. Where it comes from a journal's leases, a newcomer has its
// part from the start, while the others go on with their larger ones until their next
// renewal, a quarter of a lease later: so long, and for the window of a rate more, the rate
// may be overrun by the newcomer's part, 1/n of it, and by as much again for each that joins
// meanwhile. When one leaves, what it sent last may overrun one window by its part, 1/n.
//
// A part of less than one segment is one segment in a longer time, so that in one window as
// many as there are daemons may leave.
func (p *Policy) Instances(n int) { p.instances.Store(int64(n)) }

// replica is the Shared of one of several daemons.
type replica struct {
	*Policy
	least int // how many there are at least
}

// Share is this daemon's part.
func (r replica) Share() float64 { return 1 / float64(max(r.least, int(r.instances.Load()))) }

// Elsewhere is nothing: the others' counts are not known.
func (replica) Elsewhere(pace.Scope, string, time.Time) int { return 0 }
