package messaging

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"time"

	"github.com/google/uuid"
)

// ConsentVerb is what happens to a person's consent.
type ConsentVerb string

// The verbs.
const (
	ConsentStop   ConsentVerb = "stop"   // revoked: nothing may be sent any more
	ConsentStart  ConsentVerb = "start"  // given again; it ends a review too
	ConsentReview ConsentVerb = "review" // somebody has to read what was said; until then only replies go out
	ConsentKeep   ConsentVerb = "keep"   // the review found that consent was not revoked
)

// ConsentOrigin is how a change came about.
type ConsentOrigin string

// The origins.
const (
	OriginMessage  ConsentOrigin = "message"  // the words of an inbound message
	OriginHandler  ConsentOrigin = "handler"  // a handler read it out of a message
	OriginPlatform ConsentOrigin = "platform" // the platform refused a send because the person opted out there
	OriginOperator ConsentOrigin = "operator" // a call, a letter, a web form
	OriginImport   ConsentOrigin = "import"   // a list
)

// Scope is how far a change of consent reaches: everything of ours, one of our numbers or
// one context. Write it with [NumberScope] and [ContextScope].
type Scope string

// ScopeAll is everything.
const ScopeAll Scope = ""

// NumberScope is one number of ours.
func NumberScope(ours Number) Scope { return Scope("number:" + string(ours)) }

// ContextScope is one context.
func ContextScope(context string) Scope { return Scope("context:" + context) }

// Covers reports whether a send lies in the scope.
func (s Scope) Covers(snd *Send) bool {
	return s == ScopeAll || s == NumberScope(snd.From) || s == ContextScope(snd.Context)
}

// ConsentChange is one change of a person's consent, with its evidence.
type ConsentChange struct {
	Number Number // the person's
	Scope  Scope
	Verb   ConsentVerb
	Origin ConsentOrigin

	// Of OriginMessage and OriginHandler, and OriginPlatform where known: what it was read
	// from. Tier, Word and Rule are of package consent; Word is one of its words, never the
	// person's text.
	EventID          string
	Ours             Number
	Context          string
	SentAt           time.Time // zero if the platform did not say
	ReceivedAt       time.Time
	Tier, Word, Rule string

	// Of the other origins: who did it, and on what ground. Free text of the operator's.
	// SentAt is then when the person said so, zero if nobody knows.
	Actor, Note string

	// Crossing are the attempts at sends to the number that are on the wire without an
	// answer when the change is decided. A shared store adds, for a ConsentStop, those that
	// other instances have claimed.
	Crossing []uuid.UUID

	// Again lets the sends of the outcome that this change comes with go out although the
	// change alters nothing; see [Append].
	Again bool

	// UnlessAsked is set for a change with an Append that is read out of words which may
	// answer a question. A shared store leaves it out, without a line, if a question is open
	// in the conversation of the event: the caller may not know of one that another instance
	// asked.
	UnlessAsked bool

	// The results.
	Changed bool         // it altered where the number stands
	State   ConsentState // where the number stands in the scope after it
}

// ConsentState is where a number stands in one scope.
type ConsentState struct {
	Number   Number
	Scope    Scope
	OptedOut bool
	Review   bool
	Since    time.Time // when OptedOut or Review last changed
	Seq      int64     // of the ledger's last entry about the number in the scope
}

// After is the state that follows from s by a verb.
func (s ConsentState) After(v ConsentVerb, at time.Time) ConsentState {
	next := s
	switch v {
	case ConsentStop:
		next.OptedOut, next.Review = true, false
	case ConsentStart:
		next.OptedOut, next.Review = false, false
	case ConsentReview:
		next.Review = !s.OptedOut
	case ConsentKeep:
		next.Review = false
	}
	if next.OptedOut != s.OptedOut || next.Review != s.Review {
		next.Since = at
	}
	return next
}

// ConsentEntry is a line of the ledger, which is only ever added to and never forgotten. Each
// one holds the hash of the one before it, so that none can be altered or removed unseen.
type ConsentEntry struct {
	Seq int64 // 1, 2, 3 ...
	At  time.Time
	ConsentChange
	Prev, Hash [sha256.Size]byte
}

// Sum is the hash of the entry: SHA-256 over the one before it and every field, each text
// preceded by its length, times in milliseconds.
func (e *ConsentEntry) Sum() [sha256.Size]byte {
	b := append(make([]byte, 0, 512), e.Prev[:]...)
	number := func(n int64) { b = binary.BigEndian.AppendUint64(b, uint64(n)) }
	text := func(s string) { number(int64(len(s))); b = append(b, s...) }
	moment := func(t time.Time) {
		if t.IsZero() {
			number(0)
			return
		}
		number(t.UnixMilli())
	}
	number(e.Seq)
	moment(e.At)
	for _, s := range []string{
		string(e.Number), string(e.Scope), string(e.Verb), string(e.Origin), e.EventID, string(e.Ours), e.Context,
		e.Tier, e.Word, e.Rule, e.Actor, e.Note,
	} {
		text(s)
	}
	moment(e.SentAt)
	moment(e.ReceivedAt)
	number(int64(len(e.Crossing)))
	for _, id := range e.Crossing {
		b = append(b, id[:]...)
	}
	if e.Changed {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	return sha256.Sum256(b)
}

// ConsentLedger is what a store knows about consent. Every store implements it; it may be
// called concurrently with everything else.
type ConsentLedger interface {
	// Consents lists where numbers stand whose last entry has a Seq above after, in the
	// order of that, at most limit. It serves to learn everything page by page, and then
	// what has changed.
	Consents(ctx context.Context, after int64, limit int) ([]ConsentState, error)

	// ConsentOf lists where the numbers stand, in every scope in which the ledger names
	// them.
	ConsentOf(ctx context.Context, numbers ...Number) ([]ConsentState, error)

	// Entries lists entries of the ledger, oldest first. The memory store keeps the newest
	// ones only.
	Entries(ctx context.Context, q LedgerQuery) ([]ConsentEntry, error)
}

// LedgerQuery asks for entries of the ledger, in order.
type LedgerQuery struct {
	Number Number // empty: all
	After  int64  // Seq of the last one known
	Limit  int    // at most so many; 0 means 1,000
}

// The reasons of the gate's verdicts about consent.
const (
	ReasonOptedOut = "opted_out"
	ReasonReview   = "consent_review"
)

// reviewPause is how long a send that a review holds waits before the gate is asked again.
const reviewPause = 15 * time.Minute

// The keys of the engine's own sends about consent begin with these.
const (
	keyStop  = "consent:stop:"
	keyStart = "consent:start:"
	keyHelp  = "consent:help:"
)

// ConsentVerdict says whether a send may leave, given where its recipient stands: any states
// of any scope. It is what the gate asks, and what a shared store asks once more in the
// transaction that claims a send.
//
// The category [CategoryConsent] is the engine's own, and no handler can give it: of these,
// the confirmation of an opt-out and the answers to HELP go to people who opted out too.
func ConsentVerdict(now time.Time, s *Send, states ...ConsentState) Verdict {
	var out, review bool
	for _, st := range states {
		if st.Number == s.To && st.Scope.Covers(s) {
			out, review = out || st.OptedOut, review || st.Review
		}
	}
	return consentVerdict(now, s, out, review)
}

func consentVerdict(now time.Time, s *Send, out, review bool) Verdict {
	own := s.Category == CategoryConsent
	switch {
	case out && !(own && (strings.HasPrefix(s.Key, keyStop) || strings.HasPrefix(s.Key, keyHelp))):
		return Verdict{Status: StatusSuppressed, Reason: ReasonOptedOut}
	case review && !out && !own && s.Category != CategoryReply:
		return Verdict{Status: StatusQueued, Reason: ReasonReview, Until: now.Add(reviewPause)}
	}
	return Verdict{}
}
