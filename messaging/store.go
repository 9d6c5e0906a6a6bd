package messaging

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
)

// Store is the journal. The engine writes through Commit alone, one batch at a time from
// one goroutine; the readers may be called concurrently with it and with each other. A
// store whose Traits say Shared also implements [Sharer]; every store implements [Archive]
// and [ValueReader].
type Store interface {
	// Commit applies the whole batch in one transaction and returns nil once it is as
	// durable as the store can make it; on an error nothing of it is applied. It fills the
	// result fields of every operation. Operations apply in the order Appends, Consents,
	// Values, Settles, Enqueues, Claims, Reports, Revives; within a slice, in order. A retried batch (same ID, after
	// an error that may have hidden a successful commit) must recognise its own rows and
	// report them as it did, or would have done, the first time.
	//
	// Errors: [ErrUnavailable] (retry the same batch later), [ErrFull] (no room: retry
	// later, take nothing new), anything else blames the batch's content: the engine
	// bisects it until the guilty operation stands alone.
	Commit(ctx context.Context, b *Batch) error

	// Load reads work that this process does not hold: see Query. It is called at start,
	// for what overflowed memory, and when something stored falls due; never to find work
	// just committed by this process.
	Load(ctx context.Context, q Query) (*Work, error)

	// Prune forgets bodies and finished rows older than before, and values that have
	// expired, at most a bounded number a call, and returns how many; ids live on for the
	// dedupe window. Nothing unfinished is touched.
	Prune(ctx context.Context, before time.Time) (int64, error)

	Traits() Traits
	Close() error
}

// Traits tells the engine what it may rely on.
type Traits struct {
	Name     string // "memory", "sqlite", "postgres"
	Durable  bool   // a commit survives the process
	Shared   bool   // other instances may own part of it
	Blocking bool   // Commit waits for a disk or a network: run it off the engine's goroutine
}

// The errors of Store.Commit that do not blame the batch.
var (
	ErrUnavailable = errors.New("messaging: the store is unavailable")
	ErrFull        = errors.New("messaging: the store is full")
	// ErrFenced means that this instance was taken for dead and its work was taken over:
	// nothing of it may be written any more, by this owner, ever.
	ErrFenced = errors.New("messaging: another instance has taken over this one's work")
)

// Batch is what one transaction writes: whatever arrived while the previous one ran.
type Batch struct {
	ID       uuid.UUID // UUIDv7; stored with each row, so that a lost answer can be recognised
	Owner    uuid.UUID // the instance
	Now      time.Time
	Appends  []*Append
	Settles  []*Settle
	Enqueues []*Enqueue
	Claims   []*Claim
	Reports  []*Report
	Revives  []*Revive
	// Consents are changes that come with no event.
	Consents []*ConsentChange
	// Values are changes that come with nothing else. Each stands for itself: one whose
	// Expect does not hold hinders no other.
	Values []*ValueChange

	// Marks is a result of a shared store: the values in BucketQuestions and BucketPauses of
	// the conversations of all Appends that are messages, as they were before the batch.
	Marks []Value
}

// Len is the number of operations.
func (b *Batch) Len() int {
	return len(b.Appends) + len(b.Settles) + len(b.Enqueues) + len(b.Claims) + len(b.Reports) + len(b.Revives) + len(b.Consents) + len(b.Values)
}

// EachConsent calls f for every change of consent of the batch, in the order in which they
// apply, those included that come with an event or an outcome that may not.
func (b *Batch) EachConsent(f func(*ConsentChange)) {
	all := func(cs []*ConsentChange) {
		for _, c := range cs {
			f(c)
		}
	}
	for _, a := range b.Appends {
		all(a.Consents)
		if a.Outcome != nil {
			all(a.Outcome.Consents)
		}
	}
	all(b.Consents)
	for _, x := range b.Settles {
		all(x.Outcome.Consents)
	}
}

// Append journals one event.
type Append struct {
	Event *Event
	// Outcome is set when the chain ran before the append: the event is written once, in
	// its final state, and the outcome's sends only if the event is fresh.
	Outcome *Outcome
	// Early says that the Outcome, a final one, is what a chain decided in advance, in the
	// belief that nothing of the conversation comes before it. A shared store lets it stand
	// only if the caller owns the conversation, nothing of it waits in the store, and it has
	// no value in BucketQuestions or BucketPauses; otherwise it journals the event unfinished, as if it had no Outcome, and sets Unheld.
	Early bool
	// Consents are what the event says about consent by itself, before any handler. They are
	// applied first, if the event is fresh; the Outcome's sends are inserted only if one of
	// them changed something or says Again.
	Consents []*ConsentChange
	// Redeliver, for a KindState event that says failed or undelivered, asks for another try
	// at the same send; see [Redelivery].
	Redeliver *Redelivery
	// Unheld says that the caller has no room for the event in memory and will read it with
	// Load. A shared store sets it too, as a result, when the event is not the caller's to
	// hold: another live instance owns its conversation, or earlier events of the
	// conversation wait in the store. Other stores leave it alone.
	Unheld bool

	Fresh bool   // result: false for an event already journaled
	Merge *Merge // result for a fresh KindState event: what it meant; nil if it matched no send (kept, bounded, for a report to come)
}

// Redelivery lets a failed send go out again. When the event of an Append makes its send
// failed or undelivered, by the newest attempt at it, and fewer than Attempts were made, and
// At lies before the send's expiry, the send is queued again with NotBefore At instead, in
// the same transaction, and Merge.Again holds it. The word that an older attempt was
// delivered, which may come before it has gone out, ends that again.
type Redelivery struct {
	Attempts int
	At       time.Time
}

// Fate is what becomes of an event after a run of its chain.
type Fate uint8

// The fates. An event is unfinished until Done or Dead.
const (
	FateRetry Fate = iota // run again at Outcome.RetryAt
	FateDone
	FateDead    // kept as a dead letter
	FateDropped // a dead letter that an operator let go; only a Revive writes it
)

// String names the fate as logs write it.
func (f Fate) String() string {
	switch f {
	case FateRetry:
		return "retry"
	case FateDone:
		return "done"
	case FateDead:
		return "dead"
	case FateDropped:
		return "dropped"
	}
	return "unknown"
}

// Outcome is what a run of the chain decided.
type Outcome struct {
	Fate  Fate
	Sends []*Outgoing // inserted in the same transaction; empty unless Done
	// Consents are changes that the chain decided, applied in the same transaction.
	Consents []*ConsentChange
	// Values are changes that the chain decided, applied in the same transaction, each for
	// itself; nothing of an outcome that is not Done.
	Values  []*ValueChange
	RetryAt time.Time
	Attempt int    // runs so far that count
	Err     string // why, for FateRetry and FateDead; holds no personal data
	Handler string // which handler decided, for explain; may be empty
}

// Outgoing is a send as it is inserted.
type Outgoing struct {
	Send
	// Attempt is set when the send is inserted already claimed, so that no second commit
	// precedes the wire. Otherwise it is inserted with Status and Reason.
	Attempt *Attempt
	Status  Status // StatusSending with an Attempt, else StatusQueued, StatusSuppressed or StatusExpired
	Reason  string

	Inserted bool // result: false if a send with the same Key exists; nothing was inserted then
	// Unheld is a result of a shared store: another live instance owns the conversation, so
	// the send was inserted queued and without Attempt, for that one to find. The caller
	// forgets it.
	Unheld bool
	// Overruled is a result of a shared store: its ledger says that the send must not leave
	// (see ConsentVerdict), although the caller did not know. It was inserted without
	// Attempt, and Status, Reason and NotBefore are what the store wrote.
	Overruled bool
}

// Settle completes, retries or buries a journaled event.
type Settle struct {
	Event   *Event
	Outcome *Outcome

	Lost bool // result: the event was not ours to settle any more (settled already, or taken over); nothing was written
}

// Enqueue inserts a send that no event asked for (the local API, bulk).
type Enqueue struct {
	Outgoing *Outgoing
	// Values are changes that happen with the insertion or not at all: if the Expect of one
	// of them does not hold, none is applied and the send is not inserted. Each names
	// another value.
	Values []*ValueChange

	Existing *Send // result when Inserted is false: the send that has the key
	Conflict bool  // result: not inserted since an Expect does not hold; Existing is nil
}

// Claim opens a new attempt at a queued send, or ends it without one.
type Claim struct {
	SendID  uuid.UUID
	Attempt *Attempt // nil: write Status and Reason instead
	Status  Status   // StatusQueued (deferred to NotBefore), StatusSuppressed, StatusExpired, StatusCancelled
	Reason  string
	// NotBefore is when a deferred send is due again.
	NotBefore time.Time

	Granted bool // result: false if the send was not queued any more
	// Overruled is a result of a shared store, as for Outgoing: no attempt was opened, and
	// Attempt is nil, and Status, Reason and NotBefore are what the store wrote instead.
	Overruled bool
}

// Report records what became of an attempt, and what its send does next.
type Report struct {
	SendID    uuid.UUID
	AttemptID uuid.UUID
	Outcome   AttemptOutcome
	MessageID string // for OutcomeAccepted
	Code      string // for OutcomeRejected
	Reason    string // platform's or our words; holds no personal data
	Status    Status // the send's: StatusAccepted, StatusQueued (again at NotBefore), StatusFailed, StatusInDoubt, StatusExpired, ...
	NotBefore time.Time

	// Merge is the result: where the send stands after states that overtook this report
	// were merged into it. An OutcomeInDoubt or OutcomeAbsent for an attempt that is
	// already accepted or rejected changes nothing and Merge tells the truth.
	Merge *Merge
}

// Revive is an operator's word on a dead letter: run its chain again, or let it go.
type Revive struct {
	EventID string
	Drop    bool

	// Event is the result for a dead letter that lives again: unfinished, Attempt 0, due
	// now, whole as Load gives it. Nil if EventID names no dead letter, after a Drop, and
	// when Unheld.
	Event  *Event
	Done   bool // result: EventID named a dead letter
	Unheld bool // result of a shared store: as for Append
}

// Merge tells where an attempt and its send stand after an operation.
type Merge struct {
	Ref      SendRef
	Outcome  AttemptOutcome
	Status   Status
	Advanced bool // the operation changed the status
	Conflict bool // a second, different terminal state; the first one holds
	// Again is the send, queued, that a Redelivery lets go out again, with its newest
	// attempt. Nil in a shared store if another live instance owns its conversation.
	Again *Outgoing
}

// Query asks for stored work, each kind at most Limit.
type Query struct {
	// Owner is the caller. A shared store gives it what belongs to conversations that it
	// owns, and of the events only those that it does not hold (see Append.Unheld).
	Owner uuid.UUID
	Now   time.Time
	Limit int

	// Events asks for unfinished events in arrival order, retries not yet due included.
	// AfterSeq pages through them; a shared store is always asked from the beginning, since
	// there arrival order and commit order differ between conversations.
	Events   bool
	AfterSeq int64

	// Sends asks for the queued sends with NotBefore up to Now, smaller priorities first,
	// then in commit order.
	Sends bool

	// Doubts asks for the attempts that are open or in doubt, in the commit order of their
	// sends. AfterDoubt, the Seq of the last one, pages through them.
	Doubts     bool
	AfterDoubt int64

	// Accepted asks for the accepted attempts at sends of Pair that were claimed at Since
	// or later; the message log is read against them.
	Accepted bool
	Pair     Conversation
	Since    time.Time
}

// Work is what a Query found.
type Work struct {
	Events []*Unfinished
	Sends  []*Outgoing // Status queued
	Doubts []*Doubt
	// Accepted are in the order of their claims. A store that has forgotten some of them
	// leaves them out.
	Accepted []*Accepted
	// NextDue is when the earliest queued send beyond Now falls due; zero if none.
	NextDue time.Time
}

// Unfinished is a journaled event without a final fate.
type Unfinished struct {
	Event   *Event
	RetryAt time.Time // zero: now
}

// Accepted is an attempt that the platform is known to have taken.
type Accepted struct {
	Attempt   Attempt
	MessageID string
}

// Doubt is an attempt whose outcome is not known.
type Doubt struct {
	Seq     int64 // commit order of the send
	Attempt Attempt
	Send    Send
	Outcome AttemptOutcome // OutcomeOpen or OutcomeInDoubt
	Since   time.Time
}
