package postgres

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

// The codes of the journal's columns: the place of a name in its table. They are stored, so
// names are only ever added at the end.
var (
	statuses = []messaging.Status{
		"", messaging.StatusQueued, messaging.StatusSending, messaging.StatusInDoubt,
		messaging.StatusAccepted, messaging.StatusSent, messaging.StatusDelivered, messaging.StatusUndelivered,
		messaging.StatusFailed, messaging.StatusSuppressed, messaging.StatusExpired, messaging.StatusCancelled,
		messaging.StatusUnknown,
	}
	outcomes = []messaging.AttemptOutcome{
		"", messaging.OutcomeOpen, messaging.OutcomeAccepted, messaging.OutcomeRejected,
		messaging.OutcomeNotSent, messaging.OutcomeInDoubt, messaging.OutcomeAbsent,
	}
	states = []messaging.State{
		"", messaging.StateQueued, messaging.StateInitiated, messaging.StateSent,
		messaging.StateDelivered, messaging.StateUndelivered, messaging.StateFailed,
	}
	fates = []messaging.Fate{messaging.FateRetry, messaging.FateDone, messaging.FateDead, messaging.FateDropped}
)

// encode gives the code of a name. What has none, which is checked before, is 0.
func encode[T comparable](table []T, v T) int16 { return int16(max(slices.Index(table, v), 0)) }

// decode is the reverse. A code from a newer program reads as the zero value.
func decode[T comparable](table []T, code int16) (v T) {
	if code >= 0 && int(code) < len(table) {
		return table[code]
	}
	return v
}

// known blames a batch that holds a name which cannot be stored.
func known[T ~string](table []T, v T) error {
	if !slices.Contains(table, v) {
		return fmt.Errorf("%T %q is not known", v, string(v))
	}
	return nil
}

// The zero values are stored as NULL, which takes no room.

func orNull[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

func text[T ~string](s T) *string { return orNull(string(s)) }

func millis(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	ms := t.UnixMilli()
	return &ms
}

// dueAt is when a send may leave; 0 for at once.
func dueAt(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func timeOf(ms *int64) time.Time {
	if ms == nil {
		return time.Time{}
	}
	return time.UnixMilli(*ms).UTC()
}

func list(l []string) (*string, error) {
	if len(l) == 0 {
		return nil, nil
	}
	b, err := json.Marshal(l)
	if err != nil {
		return nil, err
	}
	s := string(b)
	return &s, nil
}

func listOf(s *string) ([]string, error) {
	if s == nil || *s == "" {
		return nil, nil
	}
	var l []string
	if err := json.Unmarshal([]byte(*s), &l); err != nil {
		return nil, fmt.Errorf("a list in the journal cannot be read: %w", err)
	}
	return l, nil
}

func orZero[T any](p *T) (v T) {
	if p != nil {
		return *p
	}
	return v
}
