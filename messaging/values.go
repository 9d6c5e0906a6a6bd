package messaging

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Value is a small durable value with a time to live: what a handler remembers of a
// conversation, an open question, a one-time code. The journal keeps it under a bucket and a
// key until it expires.
type Value struct {
	Bucket, Key string
	// Number is the person whom the value is about, empty if it is about nobody. Forgetting
	// that person removes it.
	Number    Number
	Data      []byte
	ExpiresAt time.Time
	// Version is given by the store: it grows with every change of any value, and none is
	// given twice. It is [Absent] for a value that is not there.
	Version int64
}

// The bounds of a value.
const (
	MaxValueName = 255     // bytes of a Bucket and of a Key
	MaxValueData = 4 << 10 // bytes of Data
)

const (
	// AnyVersion is the zero value of ValueChange.Expect: whatever is there.
	AnyVersion int64 = 0
	// Absent is the version of a value that is not there, or has expired.
	Absent int64 = -1
)

// ValueChange sets a value or deletes it.
type ValueChange struct {
	Bucket, Key string
	Number      Number
	Data        []byte
	ExpiresAt   time.Time // must be set, and by the batch's Now it must lie ahead; of no meaning with Delete
	Delete      bool
	// Expect is the version that the value must have for the change to happen: AnyVersion,
	// Absent, or one that was read.
	Expect int64

	// The results.
	Applied bool
	// Version is the value's after the operation: a new one after a change, Absent after a
	// Delete, and the one that stands in the way if nothing was applied.
	Version int64
}

// What is wrong with a change, for whoever asked for it.
var (
	errValueName  = fmt.Errorf("a value needs a Bucket and a Key of 1 to %d bytes of text without NUL", MaxValueName)
	errValueData  = fmt.Errorf("a value's Data has at most %d bytes: keep what is larger elsewhere, and here where it is", MaxValueData)
	errValueUntil = errors.New("a value needs an ExpiresAt that lies ahead: nothing is kept for ever")
)

// Check says what is wrong with a change at a time; nil if it can be stored.
func (c *ValueChange) Check(now time.Time) error {
	named := func(s string) bool {
		return s != "" && len(s) <= MaxValueName && utf8.ValidString(s) && !strings.ContainsRune(s, 0)
	}
	switch {
	case !named(c.Bucket) || !named(c.Key):
		return errValueName
	case c.Delete:
		return nil
	case len(c.Data) > MaxValueData:
		return errValueData
	case !c.ExpiresAt.After(now):
		return errValueUntil
	}
	return nil
}

// value is what an applied change leaves.
func (c *ValueChange) value() Value {
	return Value{Bucket: c.Bucket, Key: c.Key, Number: c.Number, Data: c.Data, ExpiresAt: c.ExpiresAt, Version: c.Version}
}

// ValueQuery asks for values of a bucket that have not expired, in the order of their keys
// (by their bytes).
type ValueQuery struct {
	Bucket string
	Now    time.Time
	// Keys are those wanted; empty: all.
	Keys []string
	// After is the last key of a former answer. Limit is how many at most; 0 means 1,000.
	After string
	Limit int
}

// ValueReader reads values. Every store implements it; it may be called concurrently with
// everything else, and shows what is committed.
type ValueReader interface {
	Values(ctx context.Context, q ValueQuery) ([]Value, error)
}

// EachValue calls f for every change of a value of the batch, in the order in which they
// apply, those included that come with something that may not.
func (b *Batch) EachValue(f func(*ValueChange)) {
	all := func(cs []*ValueChange) {
		for _, c := range cs {
			f(c)
		}
	}
	for _, a := range b.Appends {
		if a.Outcome != nil {
			all(a.Outcome.Values)
		}
	}
	all(b.Values)
	for _, x := range b.Settles {
		all(x.Outcome.Values)
	}
	for _, q := range b.Enqueues {
		all(q.Values)
	}
}
