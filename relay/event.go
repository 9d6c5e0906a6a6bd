package relay

import (
	"sync/atomic"
	"time"
)

// Event is one signalwire.event as it came. It is the receiver's to keep: its
// bytes are never reused. Fields are not to be changed.
type Event struct {
	Frame    []byte    // the whole frame
	Type     string    // params.event_type; empty if it was missing or no string
	Params   []byte    // the raw JSON of params, a part of Frame; nil if it was missing, "null" if it was null
	Received time.Time // when the frame had been read, with the monotonic clock

	id      []byte // raw JSON of the id, a part of Frame; nil for a notification
	session *session
	acked   atomic.Bool
}

// Ack tells the platform that the event is safe. Call it only when what the
// event asks for has been stored. The first call puts the acknowledgement into
// the write queue of the connection the event came from and returns without
// waiting for the network; later calls do nothing and return nil. If that
// connection is gone Ack returns ErrStaleAck, and the platform may deliver the
// event again. An event without an id needs no acknowledgement: nil. Safe from
// any goroutine, for as long as the event is kept.
func (e *Event) Ack() error {
	if e.id == nil || e.session == nil || e.acked.Swap(true) {
		return nil
	}
	return e.session.ack(e.id)
}

// NeedsAck reports whether the platform expects an acknowledgement and Ack has
// not been called.
func (e *Event) NeedsAck() bool { return e.id != nil && e.session != nil && !e.acked.Load() }
