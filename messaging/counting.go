package messaging

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// Counting is implemented by a shared store that keeps what each instance has counted for
// the limits of sending, so that all of them keep one limit together and none forgets at its
// end what it has counted. Both methods may be called concurrently with everything else.
type Counting interface {
	// Count stores counters of an owner, each in the place of the one with the same Scope,
	// Key and Start; all of them or, with an error, none. Owner and Seq of the counters are
	// not read. The owner need not be an instance with a lease.
	Count(ctx context.Context, owner uuid.UUID, counters []Counter) error
	// Counted lists the counters of all but one owner that were stored behind a Seq, in the
	// order of Seq, at most limit of them. Owners that are gone are among them. Who goes on
	// from the last Seq misses none: one that shows later has a later Seq.
	Counted(ctx context.Context, except uuid.UUID, after int64, limit int) ([]Counter, error)
}

// Counter is a number that an owner has counted. Times are kept to the millisecond.
type Counter struct {
	Owner uuid.UUID
	Seq   int64 // grows with each change
	Scope string
	Key   string // may hold a phone number
	Start time.Time
	N     int
	Until time.Time // when it stops to matter; the store forgets it some time after
}
