package messaging

import (
	"time"

	"github.com/google/uuid"
)

// Kind tells an inbound message from the progress of one of our sends.
type Kind uint8

// The kinds of events that are journaled.
const (
	KindMessage Kind = iota + 1 // a person texted one of our numbers
	KindState                   // the platform reports on a send of ours
)

// String names the kind as logs and metrics write it.
func (k Kind) String() string {
	switch k {
	case KindMessage:
		return "message"
	case KindState:
		return "state"
	}
	return "unknown"
}

// Event is one inbound message or one delivery state. A handler must not change it. An
// event may outlive the handler that was given it, so its fields are never reused.
type Event struct {
	// ID is the unique key under which the event is journaled: the platform's message id,
	// for a state followed by a slash and the state. A second event with the same ID is a
	// duplicate: acknowledged and otherwise ignored.
	ID        string
	Kind      Kind
	Context   string // the context (topic) it arrived on; opaque, case-sensitive
	MessageID string // the platform's message id
	From, To  Number
	Body      string // valid UTF-8 without NUL
	Media     []string
	Segments  int
	Tags      []string

	// State and Reason are set for KindState: the raw state name and, for failures, the
	// platform's free text.
	State  State
	Reason string
	// Send names the send of ours that a state belongs to, when the journal knows it.
	Send *SendRef

	Attempt    int       // how often the handler has been given this event before; 0 at first
	ReceivedAt time.Time // when the frame was read, by our clock
	SentAt     time.Time // the envelope's timestamp by the platform's clock; zero if absent. Never order by it.

	// Frame is the raw wire frame, from which every other field can be decoded again.
	Frame []byte
	// Seq is the arrival order the store gave it; set once journaled.
	Seq int64
}

// Conversation is the pair the event belongs to. For a state the send's sender is ours.
func (e *Event) Conversation() Conversation {
	if e.Kind == KindState {
		return Conversation{Ours: e.From, Theirs: e.To}
	}
	return Conversation{Ours: e.To, Theirs: e.From}
}

// SendRef tells which send, and which attempt at it, a state event speaks of.
type SendRef struct {
	ID        uuid.UUID // the send
	Attempt   uuid.UUID
	InReplyTo string // the inbound's event id, for a reply
	Callback  bool   // the send has a Callback, which wants to know
}

// State is a delivery state by the platform's own name. Unknown names are kept and never
// terminal.
type State string

// The states that the platform documents.
const (
	StateQueued      State = "queued"
	StateInitiated   State = "initiated"
	StateSent        State = "sent"
	StateDelivered   State = "delivered"
	StateUndelivered State = "undelivered"
	StateFailed      State = "failed"
	StateReceived    State = "received" // of an inbound
)

// Rank orders states so that a late or repeated one never rewinds progress: queued 1,
// initiated 2, sent 3, terminal 4; unknown states 0.
func (s State) Rank() int {
	switch s {
	case StateQueued:
		return 1
	case StateInitiated:
		return 2
	case StateSent:
		return 3
	case StateDelivered, StateUndelivered, StateFailed:
		return 4
	}
	return 0
}

// Terminal reports whether nothing can follow the state.
func (s State) Terminal() bool { return s.Rank() == 4 }
