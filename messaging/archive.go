package messaging

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/google/uuid"
)

// ErrUnknown is returned for an id that the journal does not hold, or not any more.
var ErrUnknown = errors.New("messaging: the journal holds nothing under this id")

// Archive answers people's questions about the journal. It may be called concurrently with
// everything else and delays no commit by more than a moment. A store that forgets finished
// rows, as the memory store does, answers from what it still has.
type Archive interface {
	// Life finds everything about one message. The id is that of an event, a send or an
	// attempt, the platform's id of a message of either direction, or the key of a send;
	// the tag of an attempt names it too. [ErrUnknown] if nothing matches.
	Life(ctx context.Context, id string) (*Life, error)

	// Search lists inbounds or sends, newest first.
	Search(ctx context.Context, s Search) (*Found, error)

	// Forget removes every text and media URL to and from a person's number, the frames
	// included, keeping ids, times and outcomes as proof, and returns how many rows it
	// changed. What is not finished is left whole and counted apart: it goes when it is
	// finished and Forget is called again. The values about the person go too, and are
	// counted as rows.
	Forget(ctx context.Context, theirs Number) (changed, unfinished int64, err error)
}

// Keeper is implemented by a store in a file that can be copied and examined.
type Keeper interface {
	// Backup writes a consistent copy to a new file at path while the store is in use. It
	// never overwrites. progress, if not nil, is told how much of how many pages is done.
	Backup(ctx context.Context, path string, progress func(done, total int64)) error
}

// Life is what the journal knows about one message: an inbound with the sends that it
// caused, or a send with the inbound that asked for it.
type Life struct {
	Inbound *EventRecord // nil if nothing asked for the send
	Sends   []*SendRecord
}

// EventRecord is a journaled event as it stands.
type EventRecord struct {
	Event       *Event    // without Frame
	JournaledAt time.Time // when the batch that journaled it began to be written
	Finished    bool
	Fate        Fate // FateRetry while unfinished
	FinishedAt  time.Time
	RetryAt     time.Time // of an unfinished one that waits for it
	Attempt     int       // runs that counted
	Err         string
	Handler     string      // which one decided
	Sends       []uuid.UUID // that it decided, in order
	Forgotten   bool        // its text was removed, by retention or Forget
}

// SendRecord is a send as it stands.
type SendRecord struct {
	Send      Send             // of a Secret one with SecretBody in the place of its text
	Status    Status           // StatusUnknown for one accepted without a last word within [LastWord]
	Reason    string           // why it is suppressed, expired, deferred or failed
	Attempts  []*AttemptRecord // oldest first
	Forgotten bool
}

// LastWord is how long the delivery states of an accepted send are waited for; then its
// status is unknown.
const LastWord = 72 * time.Hour

// AttemptRecord is an attempt at a send as it stands.
type AttemptRecord struct {
	Attempt   Attempt
	Outcome   AttemptOutcome
	Since     time.Time // of a doubt
	Code      string    // of a refusal
	Reason    string
	MessageID string
	// States are the state events that named the attempt, in arrival order, as far as they
	// are still in the journal.
	States []*EventRecord
}

// Search says which rows are wanted. Zero fields do not restrict.
type Search struct {
	Sends   bool   // sends instead of inbounds
	Number  Number // either side
	Context string
	Since   time.Time // ReceivedAt or CreatedAt, inclusive
	Until   time.Time // exclusive
	Text    string    // in the body, ASCII letters in either case
	// Fates restricts inbounds; FateRetry means unfinished. Statuses restricts sends.
	Fates    []Fate
	Statuses []Status

	Limit int // at most so many; 0 means 50, more than 1,000 means 1,000
	// Before is the Cursor of a former answer: older rows than it gave. After is the other
	// way round: rows newer than Cursor, oldest first, for following.
	Before, After string
}

// Found is one page of a search.
type Found struct {
	Inbounds []*EventRecord
	Sends    []*SendRecord // the newest attempt only, without States
	// Cursor stands for the last row of the page, for Before or After; empty if the page
	// is empty. More is false when there is nothing behind it.
	Cursor string
	More   bool
}

// Sharer is implemented by a store that several instances share.
//
// Every conversation belongs to one instance while anything of it is unfinished: an event
// without a final fate, a send queued, sending or in doubt. The transaction of an append or
// an insertion locks the conversation's row and gives it to the writer if nothing of it is
// unfinished, or if its owner is no live instance; otherwise what is written is left for
// the owner (Unheld), who is told.
//
// An instance lives while it renews its lease. Once the lease has run out and the write
// timeout has passed too, another instance may declare it dead, which waits for its commit
// under way, and from then on Commit refuses it with [ErrFenced]. An instance that leaves is
// gone at once. Commit joins an owner that this Store has not seen before, as Renew does.
type Sharer interface {
	// Renew joins, or renews the lease. [ErrFenced] if the instance was declared dead.
	Renew(ctx context.Context, owner uuid.UUID) (Lease, error)
	// TakeOver declares instances dead whose lease ran out long enough ago, and gives the
	// caller conversations of instances that are gone or dead and that have something
	// unfinished. It returns how many, at most a bounded number a call; call again until 0.
	TakeOver(ctx context.Context, owner uuid.UUID) (int, error)
	// Leave ends the instance; what it still owns is anybody's to take over. It may join
	// again.
	Leave(ctx context.Context, owner uuid.UUID) error
	// Watch calls f, which must not block, whenever something was left for the owner, whenever
	// another instance changed somebody's consent or leaves, and once after every interruption in which it may have
	// missed either. It returns when ctx ends.
	Watch(ctx context.Context, owner uuid.UUID, f func()) error
}

// Lease says how long an instance may act.
type Lease struct {
	// Until is when the lease runs out, by the caller's monotonic clock, counted from before
	// the store was asked. No write to the wire may begin unless WriteTimeout more is left.
	Until time.Time
	// Orphans says that instances are gone whose work TakeOver would give.
	Orphans bool
	// Instances is how many live, the caller included: they have joined, have not left, and
	// were not declared dead. 0 if the store does not know.
	Instances int
}

// Verifier is implemented by a store that can examine itself.
type Verifier interface {
	// Verify reads everything and tells w in lines what it looked at; an error names what
	// is damaged and what to do.
	Verify(ctx context.Context, w io.Writer) error
}
