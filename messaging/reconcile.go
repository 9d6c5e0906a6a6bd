package messaging

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
)

// MessageLog is the platform's record of what was sent, against which doubts are settled.
type MessageLog interface {
	// Outbound returns the entries of messages of any of the pairs, from its Ours to its
	// Theirs, that the log says were created between after and before, in any order.
	Outbound(ctx context.Context, pairs []Conversation, after, before time.Time) ([]LogEntry, error)
}

// LogEntry is one outbound message in the platform's log.
type LogEntry struct {
	Pair      Conversation
	ID        string // whether it equals Relay's message id is not documented; both are allowed for
	CreatedAt time.Time
}

// logSlack is how far an entry's time may lie from its attempt's: the log shows whole
// seconds, and a frame may wait a moment in our buffer or theirs.
const logSlack = 2 * time.Second

// logLate is how much later than an accepted attempt its entry may be made, if the network or
// the platform kept its frame for a while. It explains only what would be foreign else.
const logLate = 10 * time.Second

// finding is what the log says of a doubt.
type finding uint8

const (
	findNothing     finding = iota // not yet: the log may lag behind
	findAccepted                   // an entry that nothing else explains
	findAbsent                     // proven: the log has no entry, and is known to be up to date
	findUndecidable                // somebody else sends on this pair
)

// attemptTime is an attempt in the eyes of the log.
type attemptTime struct {
	id        uuid.UUID
	at        time.Time
	messageID string // of an accepted one
	// spread is how much later than at the frame may have left: of an attempt of a dead
	// process only its claim is known, not how long the commit took.
	spread time.Duration
}

// reconcile reads the log of one pair against what the journal knows of it: doubts whose
// outcome is asked for, and attempts known to be accepted. Settled means that so much time
// has passed that the log cannot lag behind any more. Of entries made at fresh or later the
// journal may not know yet that they are of sends of ours.
//
// An accepted attempt explains one entry, by its id where the log uses the same ids, else
// the earliest that is near in time. What is left accepts the doubts, oldest first, or is the
// entry of an accepted attempt that was kept on its way. An entry that is still left came
// from another program, and then nothing can be said of the pair.
func reconcile(doubts, accepted []attemptTime, entries []LogEntry, settled func(attemptTime) bool, fresh time.Time) map[uuid.UUID]finding {
	byTime := func(a, b attemptTime) int { return a.at.Compare(b.at) }
	doubts, accepted = slices.SortedFunc(slices.Values(doubts), byTime), slices.SortedFunc(slices.Values(accepted), byTime)
	entries = slices.SortedFunc(slices.Values(entries), func(a, b LogEntry) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})

	var newest time.Time // of the accepted attempts that the log shows
	explain := func(fits func(a attemptTime, e LogEntry) bool, a attemptTime) bool {
		i := slices.IndexFunc(entries, func(e LogEntry) bool { return fits(a, e) })
		if i < 0 {
			return false
		}
		entries = slices.Delete(entries, i, i+1)
		if a.at.After(newest) {
			newest = a.at
		}
		return true
	}
	sameID := func(a attemptTime, e LogEntry) bool { return a.messageID != "" && a.messageID == e.ID }
	near := func(a attemptTime, e LogEntry) bool {
		behind := e.CreatedAt.Sub(a.at)
		return behind >= -logSlack && behind <= logSlack+a.spread
	}
	late := func(a attemptTime, e LogEntry) bool {
		behind := e.CreatedAt.Sub(a.at)
		return behind > 0 && behind <= logLate
	}
	found := make(map[uuid.UUID]finding, len(doubts))
	accepted = slices.DeleteFunc(accepted, func(a attemptTime) bool { return explain(sameID, a) })
	accepted = slices.DeleteFunc(accepted, func(a attemptTime) bool { return explain(near, a) })
	for _, d := range doubts {
		if i := slices.IndexFunc(entries, func(e LogEntry) bool { return near(d, e) }); i >= 0 {
			entries = slices.Delete(entries, i, i+1)
			found[d.id] = findAccepted
		}
	}
	for _, a := range accepted { // what is left is not foreign if one of these was kept on its way
		explain(late, a)
	}
	for _, d := range doubts {
		if found[d.id] == findNothing && (newest.After(d.at) || settled(d)) {
			found[d.id] = findAbsent
		}
	}
	// The log gives whole seconds, and more of the first one than the journal was asked for:
	// what lies before every doubt's window is no sign of another program.
	entries = slices.DeleteFunc(entries, func(e LogEntry) bool {
		return !e.CreatedAt.Before(fresh) || len(doubts) > 0 && e.CreatedAt.Before(doubts[0].at.Add(-logSlack))
	})
	if len(entries) > 0 {
		for _, d := range doubts {
			found[d.id] = findUndecidable
		}
	}
	return found
}
