package sqlite

import (
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
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
)

// The fates as they are stored. They are not messaging.Fate, whose zero value is a retry.
const (
	fateUnfinished = 0
	fateDone       = 1
	fateDead       = 2
	fateDropped    = 3
)

// fates are the codes of what the contract calls a fate.
var fates = map[messaging.Fate]int64{
	messaging.FateRetry: fateUnfinished, messaging.FateDone: fateDone, messaging.FateDead: fateDead, messaging.FateDropped: fateDropped,
}

// toFate is the reverse.
func toFate(v driver.Value) messaging.Fate {
	for f, code := range fates {
		if code == v {
			return f
		}
	}
	return messaging.FateDone // of a newer program, but not a retry
}

// encode gives the code of a name; an error for one that has none.
func encode[T ~string](table []T, v T) (int64, error) {
	i := slices.Index(table, v)
	if i < 0 {
		return 0, fmt.Errorf("%T %q is not known", v, string(v))
	}
	return int64(i), nil
}

// decode is the reverse. A code from a newer program reads as the empty name.
func decode[T ~string](table []T, v driver.Value) T {
	if i, _ := v.(int64); i >= 0 && int(i) < len(table) {
		return table[i]
	}
	return ""
}

// The zero values are stored as NULL, which takes no room and no binding.

func text[T ~string](s T) driver.Value {
	if s == "" {
		return nil
	}
	return string(s)
}

func number[T ~int | ~int64 | ~uint8](n T) driver.Value {
	if n == 0 {
		return nil
	}
	return int64(n)
}

func blob(b []byte) driver.Value {
	if len(b) == 0 {
		return nil
	}
	return b
}

func id(u uuid.UUID) driver.Value { return u[:] }

func millis(t time.Time) driver.Value {
	if t.IsZero() {
		return nil
	}
	return t.UnixMilli()
}

func list(l []string) (driver.Value, error) {
	if len(l) == 0 {
		return nil, nil
	}
	b, err := json.Marshal(l)
	if err != nil {
		return nil, err
	}
	return string(b), nil
}

// object is a list with names.
func object(m map[string]string) (driver.Value, error) {
	if len(m) == 0 {
		return nil, nil
	}
	b, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	return string(b), nil
}

func toText[T ~string](v driver.Value) T {
	s, _ := v.(string)
	return T(s)
}

func toInt(v driver.Value) int64 {
	n, _ := v.(int64)
	return n
}

func toBytes(v driver.Value) []byte {
	b, _ := v.([]byte)
	return b
}

func toID(v driver.Value) (u uuid.UUID) {
	copy(u[:], toBytes(v))
	return u
}

func toTime(v driver.Value) time.Time {
	if ms, ok := v.(int64); ok {
		return time.UnixMilli(ms).UTC()
	}
	return time.Time{}
}

func toList(v driver.Value) ([]string, error) {
	s, ok := v.(string)
	if !ok {
		return nil, nil
	}
	var l []string
	if err := json.Unmarshal([]byte(s), &l); err != nil {
		return nil, fmt.Errorf("decode a list: %w", err)
	}
	return l, nil
}

func toObject(v driver.Value) (m map[string]string, err error) {
	if s, ok := v.(string); ok {
		if err := json.Unmarshal([]byte(s), &m); err != nil {
			return nil, fmt.Errorf("decode an object: %w", err)
		}
	}
	return m, nil
}

// dueAt is a time in an index that has to begin with those who wait for none.
func dueAt(t time.Time) driver.Value {
	if t.IsZero() {
		return int64(0)
	}
	return t.UnixMilli()
}
