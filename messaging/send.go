package messaging

import (
	"time"

	"github.com/google/uuid"
)

// Priority orders sends that compete for the wire; a smaller number leaves first.
type Priority uint8

// The priorities. Zero means "by category".
const (
	PriorityConsent       Priority = 1 // confirmations of STOP and START, help answers
	PriorityReply         Priority = 2
	PriorityTransactional Priority = 3 // one-time codes
	PriorityBulk          Priority = 4 // notifications and marketing
)

// Category says what a send is for; the rules of texting differ by it.
type Category string

// The categories.
const (
	CategoryReply         Category = "reply"
	CategoryConsent       Category = "consent"
	CategoryTransactional Category = "transactional"
	CategoryNotification  Category = "notification"
	CategoryMarketing     Category = "marketing"
)

// Priority is the category's usual place in the queue.
func (c Category) Priority() Priority {
	switch c {
	case CategoryConsent:
		return PriorityConsent
	case CategoryReply:
		return PriorityReply
	case CategoryTransactional:
		return PriorityTransactional
	}
	return PriorityBulk
}

// Send is a text message of ours from the moment it is decided. A handler fills what it
// cares about; [Responder.Send] and the engine complete the rest.
type Send struct {
	ID        uuid.UUID // UUIDv7; given by the engine
	Key       string    // idempotency key, unique in the journal; a second send with it is ignored
	Context   string    // a subscribed context; state events come back on it. Default: the event's
	From, To  Number    // default: the event's own pair, turned round
	Body      string
	Media     []string // http(s) URLs
	Tags      []string // echoed by the platform in state events; the attempt's own tag is added
	Priority  Priority
	Category  Category
	NotBefore time.Time // zero: now
	ExpiresAt time.Time // zero: by category (a reply 60 minutes)
	InReplyTo string    // event id of the inbound, for a reply
	CreatedAt time.Time

	// Callback is the URL that wants to be told of each state of the send, and Custom are
	// values that go with it to whoever asks; neither goes on the wire. See [Send.Check] for
	// their bounds.
	Callback string
	Custom   map[string]string
	// Secret keeps the text from everybody but the wire: whoever reads the journal is shown
	// [SecretBody] in its place, no search finds it, and it is removed once the platform has
	// taken the send or it is final. A failed delivery of it is not tried again.
	Secret bool
}

// SecretBody is shown in the place of a Secret send's text.
const SecretBody = "(one-time code)"

// The bounds of a send's Callback and Custom, in bytes; of Custom, of all names and values
// together, and how many there may be.
const (
	MaxCallback    = 2048
	MaxCustom      = 4096
	MaxCustomNames = 64
)

// Shown is the send as people may see it: without a secret text.
func (s Send) Shown() Send {
	if s.Secret {
		s.Body = SecretBody
	}
	return s
}

// Check says what keeps a send from being journaled, whatever the engine completes; nil if
// nothing does.
func (s *Send) Check() error {
	switch {
	case s.Body == "" && len(s.Media) == 0:
		return errEmptySend
	case s.Priority > PriorityBulk:
		return errPriority
	case s.Category == CategoryConsent:
		return errOwnConsent
	case len(s.Callback) > MaxCallback:
		return errCallback
	}
	n := 0
	for k, v := range s.Custom {
		n += len(k) + len(v)
	}
	if n > MaxCustom || len(s.Custom) > MaxCustomNames {
		return errCustom
	}
	return nil
}

// Conversation is the pair the send belongs to.
func (s *Send) Conversation() Conversation { return Conversation{Ours: s.From, Theirs: s.To} }

// Status is where a send stands, derived from its attempts and their states.
type Status string

// The statuses of a send.
const (
	StatusQueued      Status = "queued"      // waits for its time, its turn, pace or the session
	StatusSending     Status = "sending"     // an attempt is claimed; its frame may be on the wire
	StatusInDoubt     Status = "in_doubt"    // the frame may have left, and no answer came
	StatusAccepted    Status = "accepted"    // the platform took it
	StatusSent        Status = "sent"        // handed to the carrier
	StatusDelivered   Status = "delivered"   // terminal
	StatusUndelivered Status = "undelivered" // terminal
	StatusFailed      Status = "failed"      // terminal: refused by the platform, or failed later
	StatusSuppressed  Status = "suppressed"  // terminal: the gate said no, with a reason
	StatusExpired     Status = "expired"     // terminal: could not leave in time
	StatusCancelled   Status = "cancelled"   // terminal: taken back before it left
	StatusUnknown     Status = "unknown"     // terminal: accepted, and no last word within 72 hours
)

// Terminal reports whether the status is final.
func (s Status) Terminal() bool {
	switch s {
	case StatusDelivered, StatusUndelivered, StatusFailed, StatusSuppressed, StatusExpired, StatusCancelled, StatusUnknown:
		return true
	}
	return false
}

// Accepted reports whether the platform is known to have taken the send.
func (s Status) Accepted() bool {
	switch s {
	case StatusAccepted, StatusSent, StatusDelivered, StatusUndelivered, StatusUnknown:
		return true
	}
	return false
}

// Status is the status that a state of an accepted attempt means for its send.
func (s State) Status() Status {
	switch s {
	case StateSent:
		return StatusSent
	case StateDelivered:
		return StatusDelivered
	case StateUndelivered:
		return StatusUndelivered
	case StateFailed:
		return StatusFailed
	}
	return StatusAccepted
}

// Attempt is one try to put a send on the wire. Its id is the JSON-RPC request id and,
// with [TagPrefix], the tag that state events echo.
type Attempt struct {
	ID        uuid.UUID // UUIDv7, never reused
	SendID    uuid.UUID
	Number    int // 1 for the first
	ClaimedAt time.Time
}

// TagPrefix precedes the attempt id in the tag of a send.
const TagPrefix = "sp-"

// Tag is the tag under which the attempt's state events come back.
func (a *Attempt) Tag() string { return TagPrefix + a.ID.String() }

// secretTag is a tag of the sends whose text nobody may read: the platform repeats both in
// their states.
const secretTag = TagPrefix + "secret"

// AttemptTag finds the attempt that a list of tags names; false if none does.
func AttemptTag(tags []string) (uuid.UUID, bool) {
	for _, t := range tags {
		if len(t) == len(TagPrefix)+36 && t[:len(TagPrefix)] == TagPrefix {
			if id, err := uuid.Parse(t[len(TagPrefix):]); err == nil {
				return id, true
			}
		}
	}
	return uuid.UUID{}, false
}

// AttemptOutcome is what became of an attempt.
type AttemptOutcome string

// The outcomes of an attempt. Doubt never overwrites accepted or rejected.
const (
	OutcomeOpen     AttemptOutcome = "open"     // claimed; no answer yet
	OutcomeAccepted AttemptOutcome = "accepted" // answered with a message id, or known by a state
	OutcomeRejected AttemptOutcome = "rejected" // the platform said no
	OutcomeNotSent  AttemptOutcome = "not_sent" // no byte of its frame can have left
	OutcomeInDoubt  AttemptOutcome = "in_doubt" // it may have left; no answer came
	OutcomeAbsent   AttemptOutcome = "absent"   // a doubt settled: proven, or by policy held, never to have been accepted
)
